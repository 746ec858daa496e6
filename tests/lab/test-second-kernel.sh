#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# What leans on the kernel most, on a kernel that is not this machine's: memory
# that arrives by userfaultfd, sealed memfds, the dirty log, io_uring, eventfds
# and sockets with fds.  And the command: one end serves, the other reads.
suites=(unit/test-arena unit/test-fd unit/test-map unit/test-map-log
    unit/test-notifier unit/test-shm unit/test-sock unit/test-chan unit/test-pool
    unit/test-server-blk unit/test-server-tap func/test-blk func/test-move func/test-sharing
    func/test-postcopy func/test-second-channel)
programs=()
for s in "${suites[@]}"; do
    programs+=("tests/$s")
done
options=(-s 2 -t 220)
. "$(dirname "$0")/lib.sh"

suite "${suites[@]##*/}"

is_another_kernel() { uname -r && [[ $(uname -r) == 6.12.* ]]; }
check "the kernel is 6.12" is_another_kernel
for node in vhost-net vhost-vsock vhost-scsi vhost-vdpa-0 vhost-vdpa-1 vduse/control; do
    check "it has /dev/$node" test -c /dev/$node
done

head -c 8388608 /dev/urandom >"$work/disk.img"
in_background vhost serve blk "$work/disk.img" --socket "$work/d.sock"
check "vhost serve blk comes up" within 10 test -S "$work/d.sock"
check "vhost probe sees it" vhost probe "user:$work/d.sock"
check "vhost copy reads it" vhost copy "user:$work/d.sock" "$work/copy.img"
check "and byte for byte" cmp "$work/disk.img" "$work/copy.img"
check "vhost bench runs" vhost bench "user:$work/d.sock" --time 1
finish
