#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# spin.sh [ROUNDS [SECONDS [MICROSECONDS]]] - what it brings to look at the ring
# for a while before going to sleep: 4 KiB random reads from
# qemu-storage-daemon 10.0, null-co, at depth 1 and 32.
#
# Asleep at once and spinning alternate within each round; what counts is the
# median of the ratios of the rounds.  Front end and back end each have a core.
set -euo pipefail
cd "$(dirname "$0")/.."
rounds=${1:-7}
seconds=${2:-1}
us=${3:-50}
build=${BUILD:-build-bench}
root=$(tests/interop/peers.sh)
w=$(mktemp -d)
trap 'kill $(jobs -p) 2>/dev/null; wait 2>/dev/null; rm -rf "$w"' EXIT
[ -d "$build" ] || meson setup "$build" --buildtype=release >/dev/null
ninja -C "$build" >/dev/null

taskset -c 1 "$root/lib64/ld-linux-x86-64.so.2" \
    --library-path "$root/usr/lib/x86_64-linux-gnu" "$root/usr/bin/qemu-storage-daemon" \
    --blockdev driver=null-co,node-name=n0,size=1073741824,read-zeroes=off \
    --object iothread,id=io0 \
    --export "type=vhost-user-blk,id=e0,node-name=n0,addr.type=unix,addr.path=$w/qsd.sock,writable=on,num-queues=1,iothread=io0" &
for ((i = 0; i < 100; i++)); do [ -S "$w/qsd.sock" ] && break; sleep 0.05; done

load() { # depth N|never
    taskset -c 0 "$build/cli/vhost" bench "user:$w/qsd.sock" --depth "$1" --spin-us "$2" \
        --time "$seconds" --no-progress --json |
        sed -n 's/.*"iops": *\([0-9.e+]*\).*/\1/p'
}

median() { sort -g | awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] }'; }

printf 'spin %s us beside none, medians of %d rounds of %s s, thousands a second\n' \
    "$us" "$rounds" "$seconds"
printf '%5s %8s %18s | %10s %10s\n' depth ratio 'ratio from..to' spinning asleep
for depth in 1 32; do
    rm -f "$w/spin" "$w/never" "$w/ratio"
    for ((r = 0; r < rounds; r++)); do
        never=$(load $depth never)
        spin=$(load $depth "$us")
        echo "$never" >>"$w/never"
        echo "$spin" >>"$w/spin"
        awk "BEGIN { print $spin / $never }" >>"$w/ratio"
    done
    printf '%5d %8.2f %9.2f..%-7.2f | %10.1f %10.1f\n' $depth "$(median <"$w/ratio")" \
        "$(sort -g "$w/ratio" | head -1)" "$(sort -g "$w/ratio" | tail -1)" \
        "$(median <"$w/spin" | awk '{ print $1 / 1000 }')" \
        "$(median <"$w/never" | awk '{ print $1 / 1000 }')"
done
