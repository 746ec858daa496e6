#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# net.sh [ROUNDS [SECONDS]] - libvhost beside DPDK's net_virtio_user, 22.11 and
# 24.11, in its best variant for each layout: 64-byte frames, millions a second,
# against the same net_vhost of DPDK 22.11, each side on one core.
#
# The three alternate within each round, since the machine changes its mood from
# minute to minute; all have huge pages; the back end is started anew for each,
# as its port keeps the state of the front end before.  What counts is the median
# of the ratios of the rounds.  A sample is dropped whose threads waited for a core for more than 5 %
# of the time ($WAITING); one without a reading is missing, never 0.
set -euo pipefail
cd "$(dirname "$0")/.."
rounds=${1:-7}
seconds=${2:-2}
build=${BUILD:-build-bench}
waiting=${WAITING:-5} # per cent
root=$(tests/interop/peers.sh)
pages=/proc/sys/vm/nr_hugepages
before=$(cat $pages)
w=$(mktemp -d)
front=
back=

stop() { # pid
    [ -z "$1" ] || { kill "$1" && wait "$1"; } 2>/dev/null || true
}

leave() {
    stop "$front"
    stop "$back"
    rm -rf "$w"
    [ "$before" = "$(cat $pages)" ] || echo "$before" >$pages
}
trap leave EXIT
trap 'exit 1' INT TERM

[ "$(nproc)" -ge 2 ] || { echo "needs two cores" >&2; exit 77; }
[ -d "$build" ] || meson setup "$build" --buildtype=release >/dev/null
ninja -C "$build" >/dev/null
[ "$before" -ge 400 ] || echo 400 >$pages ||
    { echo "needs 400 huge pages, and root to make them" >&2; exit 77; }

# Runs testpmd on a core; takes the place of the shell that runs it.
testpmd() { # version, core, prefix, forward mode, options of EAL, --, of its own
    local version=$1 core=$2 prefix=$3 mode=$4 libs=$root/usr/lib/x86_64-linux-gnu
    shift 4
    set -- --lcores "(0,1)@$core" --no-pci --in-memory --single-file-segments \
        -m 256 --file-prefix="$prefix" --no-telemetry "$@" \
        --total-num-mbufs=16384 --no-mlockall --txpkts=64 --auto-start \
        --stats-period 1 --txd=256 --rxd=256 --forward-mode="$mode"
    if [ "$version" = 22.11 ]; then
        exec dpdk-testpmd "$@"
    fi
    exec "$root/lib64/ld-linux-x86-64.so.2" --library-path "$libs" \
        "$root/usr/bin/dpdk-testpmd" -d "$(echo "$libs"/dpdk/pmds-*)" "$@"
}

start_back() { # forward mode
    local i
    rm -f "$w/sock"
    (testpmd 22.11 1 "be$$" "$1" --vdev "net_vhost0,iface=$w/sock,queues=1" --) \
        >"$w/back" 2>&1 </dev/null &
    back=$!
    for ((i = 0; i < 200; i++)); do
        grep -qs "forwards packets" "$w/back" && return
        sleep 0.05
    done
    echo "net.sh: no back end:" >&2
    tail -5 "$w/back" >&2
    exit 1
}

# Nanoseconds that the threads of these processes waited for a core.
waited() { cat $(printf '/proc/%s/task/*/schedstat ' "$@") | awk '{ n += $2 } END { printf "%.0f", n }'; }

# What DPDK's driver is asked for: the fastest that it has for a layout.
variant() { # layout mergeable|plain
    local m=1
    [ "$2" = mergeable ] || m=0
    case $1-$2 in
    split-plain) echo "packed_vq=0,in_order=0,mrg_rxbuf=0,vectorized=1" ;;
    split-mergeable) echo "packed_vq=0,in_order=0,mrg_rxbuf=1" ;;
    split-in-order-*) echo "packed_vq=0,in_order=1,mrg_rxbuf=$m" ;;
    packed-in-order-plain) echo "packed_vq=1,in_order=1,mrg_rxbuf=0,vectorized=1" ;;
    packed-in-order-*) echo "packed_vq=1,in_order=1,mrg_rxbuf=$m" ;;
    packed-*) echo "packed_vq=1,in_order=0,mrg_rxbuf=$m" ;;
    esac
}

# The rate that testpmd shows at its port, the median of what is not warm-up.
dpdk_rate() { # Rx|Tx
    awk -v what="$1-pps:" '$1 == what { print $2 }' "$w/front" | tail -n +2 |
        sort -g | awk '{ v[NR] = $1 } END { if (NR) print v[int((NR + 1) / 2)] / 1e6 }'
}

ours_rate() {
    python3 -c 'import json, sys; print(json.load(open(sys.argv[1]))["frames_per_second"] / 1e6)' \
        "$w/front" 2>/dev/null || true
}

# sample WHO DIRECTION LAYOUT KIND: a rate, or nothing
sample() {
    local who=$1 direction=$2 mode rate=Tx w0 w1 ours=() first=()
    case $direction in
    transmit) mode=txonly; start_back rxonly ;;
    receive) mode=rxonly rate=Rx; start_back txonly ;;
    # DPDK's first burst is what goes round.
    loopback) mode=mac rate=Rx first=(--tx-first --burst=64); start_back mac ;;
    esac
    [ "$4" = mergeable ] || ours+=(--no-mergeable)
    if [ "$who" = libvhost ]; then
        taskset -c 0 "$build/cli/vhost" bench "user:$w/sock" "--$direction" --polling \
            --layout "$3" "${ours[@]}" --frame 64 --no-progress \
            --huge-pages --time "$((seconds + 1))" --json >"$w/front" 2>"$w/error" &
    else
        (testpmd "$who" 0 "fe$$" "$mode" --force-max-simd-bitwidth=512 --vdev \
            "net_virtio_user0,path=$w/sock,queues=1,queue_size=256,$(variant "$3" "$4")" \
            -- "${first[@]}") >"$w/front" 2>&1 </dev/null &
    fi
    front=$!
    sleep 1.5 # it connects, and warms up
    w0=$(waited "$front" "$back" 2>/dev/null) || w0=
    sleep "$seconds"
    w1=$(waited "$front" "$back" 2>/dev/null) || w1=
    if [ "$who" = libvhost ]; then
        wait "$front" || true
    else
        stop "$front"
    fi
    front=
    stop "$back"
    back=
    [ -n "$w0" ] && [ -n "$w1" ] && [ $((w1 - w0)) -le $((seconds * waiting * 10000000)) ] || return 0
    if [ "$who" = libvhost ]; then ours_rate; else dpdk_rate "$rate"; fi
}

median() { sort -g | awk '{ v[NR] = $1 } END { print NR ? v[int((NR + 1) / 2)] : "-" }'; }

row() { # direction layout kind
    local r a b c name
    for name in libvhost 22.11 24.11 ratio; do : >"$w/$name"; done
    for ((r = 0; r < rounds; r++)); do
        a=$(sample libvhost "$@")
        b=$(sample 22.11 "$@")
        c=$(sample 24.11 "$@")
        echo "$a" | grep . >>"$w/libvhost" || true
        echo "$b" | grep . >>"$w/22.11" || true
        echo "$c" | grep . >>"$w/24.11" || true
        # To the better one of DPDK, where the round has all three.
        awk -v a="$a" -v b="$b" -v c="$c" 'BEGIN {
            most = b > c ? b : c
            if (a != "" && b != "" && c != "" && most > 0) print a / most }' >>"$w/ratio"
    done
    printf '%-9s %-16s %-10s %7.4s %15s | %8.5s %8.5s %8.5s  %d/%d\n' "$1" "$2" "$3" \
        "$(median <"$w/ratio")" "$(sort -g "$w/ratio" | sed -n '1p;$p' | cut -c1-4 | paste -sd-)" \
        "$(median <"$w/libvhost")" "$(median <"$w/22.11")" "$(median <"$w/24.11")" \
        "$(wc -l <"$w/ratio")" "$rounds"
}

printf '64-byte frames, Mpps, medians of %d rounds of %d s; ratio: ours to the better of DPDK\n' \
    "$rounds" "$seconds"
printf '%-9s %-16s %-10s %7s %15s | %8s %8s %8s  %s\n' '' layout buffers ratio \
    from-to libvhost 22.11 24.11 rounds
for direction in ${DIRECTIONS:-transmit receive loopback}; do
    for layout in ${LAYOUTS:-split split-in-order packed packed-in-order}; do
        for kind in ${KINDS:-mergeable plain}; do
            row "$direction" "$layout" "$kind"
        done
    done
done
