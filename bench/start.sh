#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# start.sh - what it costs to start a device with 1, 16 and 64 queues, from
# connect to running: messages, round trips, system calls of the control
# channel.  Back ends: our own and qemu-storage-daemon 10.0.  Then the time of 64
# queues beside the sequence of QEMU's front end, sent as QEMU did up to 8.1, as it
# does since, and with a wait for each message (start-plain.c): they alternate,
# medians of ROUNDS (21).
# Then a start with 250 memory slots, beside one that waits for each ack.
# And memory that changes, with 509 regions (hotplug.c).
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
median() { sort -n | awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] }'; }
time_of() { awk '/^start/ { for (i = 1; i < NF; i++) if ($i == "us") print $(i + 1) }'; }
for s in own qsd; do
    for ((i = 0; i < ${ROUNDS:-21}; i++)); do
        "$build/bench/bench-start" "$w/$s.sock" 64 | time_of >>"$w/$s.ours"
        for way in pipelined enabling waiting; do
            "$build/bench/bench-start-plain" "$w/$s.sock" 64 $way | time_of >>"$w/$s.$way"
        done
    done
    echo "64 queues at $s: ours $(median <"$w/$s.ours") us, as QEMU sends it" \
        "$(median <"$w/$s.pipelined") us, as QEMU since 8.2" \
        "$(median <"$w/$s.enabling") us, waiting for each $(median <"$w/$s.waiting") us"
done
for s in own qsd; do
    for ((i = 0; i < ${ROUNDS:-21}; i++)); do
        "$build/bench/bench-start" "$w/$s.sock" 1 250 | time_of >>"$w/$s.slots"
        "$build/bench/bench-start-plain" "$w/$s.sock" 1 enabling 250 | time_of >>"$w/$s.acks"
    done
    echo "250 memory slots at $s: ours $(median <"$w/$s.slots") us," \
        "one ack at a time $(median <"$w/$s.acks") us"
done
"$build/bench/bench-hotplug" "$w/own.sock" 509
