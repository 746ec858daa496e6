#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# blk.sh [ROUNDS [SECONDS]] - libvhost beside libblkio 1.5: 4 KiB random reads
# from one back end process, depth 1, 32 and 128, by eventfd and polling.
#
# The two alternate within each round, since the machine changes its mood from
# minute to minute; what counts is the median of the ratios of the rounds.
set -euo pipefail
cd "$(dirname "$0")/.."
rounds=${1:-7}
seconds=${2:-1}
build=${BUILD:-build-bench}
root=$(tests/interop/peers.sh)
w=$(mktemp -d)
trap 'kill $(jobs -p) 2>/dev/null; wait 2>/dev/null; rm -rf "$w"' EXIT

[ -d "$build" ] || meson setup "$build" --buildtype=release >/dev/null
ninja -C "$build" >/dev/null
mkdir -p "$root/build"
cp bench/blkio-load.c "$root/build/"
chroot "$root" cc -O2 -o /build/blkio-load /build/blkio-load.c -lblkio

ld=$root/lib64/ld-linux-x86-64.so.2
libs=$root/usr/lib/x86_64-linux-gnu
ours() { "$build/bench/bench-blk-load" "$@"; }
theirs() { "$ld" --library-path "$libs" "$root/build/blkio-load" "$@"; }

# Instructions for one request: what twice as many cost more, by callgrind.
count() { # command…, the number of requests is appended
    local n total=()
    for n in 4000x 8000x; do
        total+=("$(valgrind --tool=callgrind --callgrind-out-file=/dev/null "$@" $n 2>&1 |
            awk '/Collected/ { print $4 }')")
    done
    echo $(((total[1] - total[0]) / 4000))
}

median() { sort -g | awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] }'; }

table() { # name of the back end, socket
    local mode depth r a b
    printf '\n%s, medians of %d rounds of %s s, thousands a second\n' "$1" "$rounds" "$seconds"
    printf '%-8s %5s %10s %10s %8s %18s\n' wait depth libvhost libblkio ratio 'ratio from..to'
    for mode in eventfd polling; do
        for depth in 1 32 128; do
            : >"$w/a" >"$w/b" >"$w/ratio"
            for ((r = 0; r < rounds; r++)); do
                a=$(ours "$2" $depth $mode "$seconds")
                b=$(theirs "$2" $depth $mode "$seconds")
                echo "$a" >>"$w/a"
                echo "$b" >>"$w/b"
                awk "BEGIN { print $a / $b }" >>"$w/ratio"
            done
            printf '%-8s %5d %10.1f %10.1f %8.2f %9.2f..%.2f\n' $mode $depth \
                "$(median <"$w/a" | awk '{ print $1 / 1000 }')" \
                "$(median <"$w/b" | awk '{ print $1 / 1000 }')" \
                "$(median <"$w/ratio")" "$(sort -g "$w/ratio" | head -1)" \
                "$(sort -g "$w/ratio" | tail -1)"
        done
    done
}

instructions() { # name of the back end, socket
    local depth
    command -v valgrind >/dev/null || { echo "no valgrind: instructions not counted"; return; }
    printf '\n%s, eventfd: instructions of the front end for one request\n' "$1"
    printf '%5s %10s %10s %8s\n' depth libvhost libblkio ratio
    for depth in 1 32 128; do
        a=$(count "$build/bench/bench-blk-load" "$2" $depth eventfd)
        b=$(count "$ld" --library-path "$libs" "$root/build/blkio-load" "$2" $depth eventfd)
        printf '%5d %10d %10d %8.2f\n' $depth "$a" "$b" "$(awk "BEGIN { print $a / $b }")"
    done
}

"$ld" --library-path "$libs" "$root/usr/bin/qemu-storage-daemon" \
    --blockdev driver=null-co,node-name=n0,size=1073741824,read-zeroes=off \
    --object iothread,id=io0 \
    --export "type=vhost-user-blk,id=e0,node-name=n0,addr.type=unix,addr.path=$w/qsd.sock,writable=on,num-queues=1,iothread=io0" &
"$build/cli/vhost" serve blk null:1G --socket "$w/own.sock" --poll-us 1000 >/dev/null &
for s in qsd own; do
    for ((i = 0; i < 100; i++)); do [ -S "$w/$s.sock" ] && break; sleep 0.05; done
done
table "qemu-storage-daemon 10.0, null-co" "$w/qsd.sock"
table "vhost serve blk null:, polling" "$w/own.sock"
instructions "qemu-storage-daemon 10.0, null-co" "$w/qsd.sock"
