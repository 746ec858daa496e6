#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# start.sh - what it costs to start a device with 1, 16 and 64 queues, from
# connect to running: messages, round trips, system calls of the control
# channel.  Back ends: our own and qemu-storage-daemon 10.0.
set -euo pipefail
cd "$(dirname "$0")/.."
build=${BUILD:-build-bench}
root=$(tests/interop/peers.sh)
w=$(mktemp -d)
trap 'kill $(jobs -p) 2>/dev/null; wait 2>/dev/null; rm -rf "$w"' EXIT
[ -d "$build" ] || meson setup "$build" --buildtype=release >/dev/null
ninja -C "$build" >/dev/null

ld=$root/lib64/ld-linux-x86-64.so.2
libs=$root/usr/lib/x86_64-linux-gnu
"$ld" --library-path "$libs" "$root/usr/bin/qemu-storage-daemon" \
    --blockdev driver=null-co,node-name=n0,size=1073741824 \
    --object iothread,id=io0 \
    --export "type=vhost-user-blk,id=e0,node-name=n0,addr.type=unix,addr.path=$w/qsd.sock,writable=on,num-queues=64,iothread=io0" &
"$build/cli/vhost" serve blk null:1G --socket "$w/own.sock" --queues 64 >/dev/null &
for s in qsd own; do
    for ((i = 0; i < 100; i++)); do [ -S "$w/$s.sock" ] && break; sleep 0.05; done
    echo "back end: $s"
    for queues in 1 16 64; do
        "$build/bench/bench-start" "$w/$s.sock" $queues | sed "s/^/  $queues queues: /"
    done
done
