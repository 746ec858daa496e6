#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# vhost fs: what can go wrong before there is a file system.  The rest is shown
# with virtiofsd, among the interop tests.
. "$(dirname "$0")/lib.sh"
usage() { fails_with 2 "$@"; }
check "without arguments it is wrong usage" usage 'a path are needed' "$VHOST" fs
check "without a path too" usage 'a path are needed' "$VHOST" fs ls user:x
check "another command" usage "Not 'mv'" "$VHOST" fs mv user:x /
check "a file system is needed" usage "begins with 'user:'" "$VHOST" fs ls /tmp /
check "one path is enough" usage 'Too many' "$VHOST" fs cat user:x / /
check "JSON is for lists" usage 'for ls' "$VHOST" fs cat user:x / --json
check "nobody there" fails_with 1 'no such socket' "$VHOST" fs ls "user:$work/nobody" /
truncate -s 1M "$work/disk"
serve d "$work/disk"
check "a disk is no file system" fails_with 1 'd.sock: .*queue' "$VHOST" fs ls "user:$work/d.sock" /
serve q "$work/disk" --queues 2
check "nor is one with as many queues" fails_with 1 'q.sock: ' \
    "$VHOST" fs ls "user:$work/q.sock" / --deadline 500
finish
