#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# alone.sh [ROUNDS [CORE]] - a network driver alone, ours beside that of DPDK:
# cycles per packet, burst 32, for each layout of the rings; see alone.h.
#
# They take turns.  A figure is of times during which nobody else used the
# execution units of the core; where there were too few, the line has a ~.  Of DPDK there is also the path with vector instructions, for
# the layouts that it has one for.
#
# DPDK is that of this host, as the build found it (libdpdk-dev); with DPDK=peers
# that of tests/interop/peers.sh, if it has one.
set -euo pipefail
cd "$(dirname "$0")/.."
rounds=${1:-7}
cpu=${2:-0}
build=${BUILD:-build-bench}
pages=/proc/sys/vm/nr_hugepages
before=$(cat $pages)
w=$(mktemp -d)
trap 'rm -rf "$w"; [ "$before" = "$(cat $pages)" ] || echo "$before" >$pages' EXIT

[ -d "$build" ] || meson setup "$build" --buildtype=release >/dev/null
ninja -C "$build" >/dev/null
ours=("$build/bench/bench-alone-vhost")
theirs=("$build/bench/bench-alone-dpdk")
if [ "${DPDK:-host}" = peers ]; then
    root=$(tests/interop/peers.sh)
    mkdir -p "$root/build"
    cp bench/alone.h bench/alone.c bench/alone-{device,step,dpdk}.c "$root/build/"
    # The driver by name: where it looks for drivers is not where this root is.
    # shellcheck disable=SC2016
    chroot "$root" sh -c 'cd /build && pkg-config --exists libdpdk &&
        cc -O3 -D_GNU_SOURCE -std=gnu11 $(pkg-config --cflags libdpdk) alone*.c -o alone-dpdk \
        -Wl,--no-as-needed -lrte_net_virtio -lrte_bus_vdev -lrte_mempool_ring \
        $(pkg-config --libs libdpdk) -lpthread' || rm -f "$root/build/alone-dpdk"
    theirs=("$root/lib64/ld-linux-x86-64.so.2" --library-path
        "$root/usr/lib/x86_64-linux-gnu" "$root/build/alone-dpdk")
fi
[ -x "${theirs[-1]}" ] || { echo "there is no DPDK (libdpdk-dev)" >&2; exit 77; }
[ "$before" -ge 48 ] || echo 48 >$pages ||
    { echo "needs 48 huge pages, and root to make them" >&2; exit 77; }

sample() { # who layout mergeable path
    local out who=("${theirs[@]}")
    [ "$1" = dpdk ] || who=("${ours[@]}")
    out=$("${who[@]}" "$2" "$3" "$4" "$cpu" 2>"$w/error") ||
        { cat "$w/error" >&2; echo "alone.sh: $*: failed" >&2; exit 1; }
    echo "$out" >>"$w/$1-$2-$3-$4"
}

has_vector() { # layout mergeable; else DPDK takes its scalar path whatever one asks
    [ "$1 $2" = "split plain" ] || [ "$1" = packed-in-order ]
}

median() { # who-layout-mergeable-path column
    [ -e "$w/$1" ] || { echo -; return; }
    awk "{ print \$$2 }" "$w/$1" | sort -g | awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] }'
}

ratio() { # of $1 to the least of the others
    printf '%s\n' "$@" |
        awk 'NR == 1 { a = $1 } NR > 1 && $1 != "-" && (!b || $1 < b) { b = $1 } END { printf "%.2f", a / b }'
}

row() { # direction column layout mergeable
    local ours scalar vector mark
    ours=$(median "vhost-$3-$4-scalar" "$2")
    scalar=$(median "dpdk-$3-$4-scalar" "$2")
    vector=$(median "dpdk-$3-$4-vector" "$2")
    mark=$(cat "$w"/*"-$3-$4-"* | awk '$5 < 0.9 { n++ } END { print (n > NR / 4 ? "~" : "") }')
    printf '%-8s %-16s %-10s %7s %10s | %8s %7s %7s %s\n' "$1" "$3" "$4" \
        "$(ratio "$ours" "$scalar" "$vector")" "$(ratio "$ours" "$scalar")" \
        "$ours" "$scalar" "$vector" "$mark"
}

table() { # column of transmit, of receive
    local layout kind direction
    printf '%-8s %-16s %-10s %7s %10s | %8s %7s %7s\n' '' layout buffers ratio 'to scalar' \
        libvhost DPDK vector
    for direction in "transmit $1" "receive $2"; do
        for layout in split split-in-order packed packed-in-order; do
            for kind in mergeable plain; do
                # shellcheck disable=SC2086
                row $direction $layout $kind
            done
        done
    done
}

for ((r = 0; r < rounds; r++)); do
    for layout in split split-in-order packed packed-in-order; do
        for kind in mergeable plain; do
            sample vhost $layout $kind scalar
            sample dpdk $layout $kind scalar
            if has_vector $layout $kind; then
                sample dpdk $layout $kind vector
            fi
        done
    done
done

printf 'cycles per packet, medians of %d rounds; ratio: ours to the best of DPDK\n' "$rounds"
printf '\nWhat a program must do: buffers got, described, given back\n'
table 2 4
printf '\nIn calls of the driver alone (DPDK: without its pool of mbufs)\n'
table 1 3
printf '\nDPDK took these paths:\n'
for f in "$w"/dpdk-*; do
    printf '%-40s %s\n' "${f##*/dpdk-}" "$(head -1 "$f" | cut -d' ' -f6-)"
done
