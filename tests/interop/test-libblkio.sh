#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# libblkio 1.5 as front end of `vhost serve blk`: write, read back, flush,
# discard, write zeroes; polling and eventfd; one connection after another.
. "$(dirname "$0")/lib.sh"
peers
# Built with the compiler and headers of Debian 13, as libblkio is from there.
mkdir -p "$root/build"
cp "$here/blkio-exercise.c" "$root/build/"
check "the libblkio program builds" \
    chroot "$root" cc -O2 -Wall -o /build/blkio-exercise /build/blkio-exercise.c -lblkio

sock=$work/d.sock
for queues in 1 4; do
    truncate -s 64M "$work/disk.img"
    in_background "$VHOST" serve blk "$work/disk.img" --socket "$sock" --queues $queues
    server=$!
    check "vhost serve blk with $queues queues comes up" wait_for_socket "$sock"
    for mode in eventfd polling; do
        check "libblkio, $queues queues, $mode: write, read back, flush, discard, write zeroes" \
            peer /build/blkio-exercise "$sock" $queues $mode
    done
    check "$queues queues: what libblkio wrote is in the file" \
        bash -c "head -c 4096 $work/disk.img | tr -d '\\245' | wc -c | grep -qx 0"
    kill $server
    wait $server 2>/dev/null
    check "$queues queues: the server leaves no socket behind" test ! -e "$sock"
    rm -f "$work/disk.img"
done
finish
