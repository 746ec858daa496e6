#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# vhost bench of network devices.
. "$(dirname "$0")/lib.sh"

usage() { fails_with 2 "$@"; }
bench() { run "$VHOST" bench "$@" --time 0.2; }

check "two modes at once" usage 'one of --transmit' \
    "$VHOST" bench user:a --transmit --receive
for option in '--frame 64' '--burst 1' --mergeable --no-mergeable; do
    check "$option without a mode" usage 'is for network devices' \
        "$VHOST" bench user:a $option
done
for option in --read --write '--mixed 5' --allow-write --random --sequential \
    '--block-size 4K' '--depth 1' '--queues 1'; do
    check "$option with --transmit" usage 'is for block devices' \
        "$VHOST" bench user:a --transmit $option
done
for size in 0 13 65551 -1 64x ''; do
    check "--frame '$size'" usage 'frame takes a size from 14 to 65550' \
        "$VHOST" bench user:a --transmit --frame "$size"
done
for n in 0 -1 1025 x ''; do
    check "--burst '$n'" usage 'a number from 1 to 1024' \
        "$VHOST" bench user:a --transmit --burst "$n"
done
check "frames that take too much memory" fails_with 1 '1 GiB' \
    "$VHOST" bench user:a --transmit --frame 65550 --queue-size 32768
check "no back end" fails_with 1 'no such socket' \
    "$VHOST" bench "user:$work/none" --transmit

# serve_net NAME ARGUMENTS…: as serve of lib.sh
serve_net() {
    local name=$1 i
    shift
    rm -f "$work/$name.log"
    "$VHOST" serve net "$@" --socket "$work/$name.sock" \
        >"$work/$name.log" 2>&1 </dev/null &
    server=$!
    pids+=("$server")
    for ((i = 0; i < 200; i++)); do
        grep -qs '^serving ' "$work/$name.log" && return 0
        kill -0 $server 2>/dev/null || break
        sleep 0.05
    done
    cat "$work/$name.log"
    return 1
}
check "a back end that sends frames back" serve_net loop --peer loop:
looping=$server
check "a back end where frames vanish" serve_net null --peer null:
check "a back end that sends frames" serve_net source --peer source:600

# What holds for any result, as JSON in $work/out.
fits() { # file, condition with d the object
    python '
import json, sys
d = json.load(open(sys.argv[1]))
want = {"uri", "mode", "frame_bytes", "burst", "queue_size", "layout",
        "mergeable", "polling", "seconds", "frames_sent", "frames_received",
        "frames_dropped", "frames_per_second", "bits_per_second",
        "cycles_per_frame", "cycles_per_second", "latency_ns"}
assert set(d) == want, set(d) ^ want
frames = d["frames_sent" if d["mode"] == "transmit" else "frames_received"]
assert abs(d["frames_per_second"] * d["seconds"] - frames) < 1, d
if d["mode"] != "loopback":
    assert d["frames_dropped"] is None
else:
    assert d["frames_dropped"] == d["frames_sent"] - d["frames_received"]
if d["mode"] != "receive":
    bits = frames * d["frame_bytes"] * 8
    assert abs(d["bits_per_second"] * d["seconds"] - bits) < 10, d
if frames and d["cycles_per_second"]:
    cycles = d["cycles_per_second"] / d["frames_per_second"]
    assert abs(d["cycles_per_frame"] / cycles - 1) < 1e-3, d
assert eval("(" + sys.argv[2] + ")"), d' "$1" "$2"
}
measures() { # name, socket, condition, options…
    local name=$1 socket=$2 condition=$3
    shift 3
    bench "user:$work/$socket.sock" "$@" --json
    check "$name" test $status = 0
    check "$name: fits together" fits "$work/out" "$condition"
    check "$name: no complaints" test ! -s "$work/err"
}
for layout in split split-in-order packed packed-in-order; do
    measures "transmit, $layout" null \
        "d['frames_sent'] > 0 and d['layout'] == '$layout'" \
        --transmit --layout $layout
    measures "receive, $layout" source \
        "d['frames_received'] > 0 and d['layout'] == '$layout' and
         abs(d['bits_per_second'] / d['frames_per_second'] - 4800) < 1" \
        --receive --layout $layout
    measures "loopback, $layout" loop \
        "d['frames_received'] > 0 and d['frames_dropped'] == 0 and
         d['latency_ns'] is None and d['layout'] == '$layout'" \
        --loopback --layout $layout
    measures "loopback of single frames, $layout" loop \
        "d['frames_received'] > 0 and d['frames_dropped'] == 0 and
         0 < d['latency_ns']['min'] <= d['latency_ns']['p50']
           <= d['latency_ns']['p99'] <= d['latency_ns']['max']" \
        --loopback --burst 1 --layout $layout
done
for size in 14 65550; do
    measures "frames of $size bytes" loop \
        "d['frame_bytes'] == $size and d['mergeable'] and
         d['frames_received'] > 0 and d['frames_dropped'] == 0" \
        --loopback --frame $size
    measures "frames of $size bytes in one buffer each" loop \
        "d['frame_bytes'] == $size and not d['mergeable'] and
         d['frames_received'] > 0 and d['frames_dropped'] == 0" \
        --loopback --frame $size --no-mergeable
done
measures "polling" loop \
    "d['polling'] and d['frames_received'] > 0 and d['frames_dropped'] == 0" \
    --loopback --polling
measures "small queues, large bursts" loop \
    "d['queue_size'] == 4 and d['burst'] == 1024 and d['frames_received'] > 0" \
    --loopback --queue-size 4 --burst 1024
measures "a spin of no time" loop "d['frames_received'] > 0" \
    --loopback --spin-us never --eventfd
bench "user:$work/loop.sock" --loopback --burst 1 --layout split
check "for people" grep -qE '^ +cycles per frame +([0-9]|not known)' "$work/out"
check "... with percentiles" grep -qE '^ +99.9 % +[0-9.]+ [num]?s$' "$work/out"
check "... with the layout" grep -qE '^ +rings +split, 256 entries$' "$work/out"

bench "user:$work/null.sock" --receive
check "nothing to receive is no error" test $status = 0
check "... but is said" grep -q '^vhost: .*no frame came in 0.2' "$work/err"
bench "user:$work/null.sock" --loopback --json
check "frames that never come back are dropped" fits "$work/out" \
    'd["frames_sent"] > 0 and d["frames_received"] == 0'
check "... is said" grep -q '^vhost: .*no frame came back' "$work/err"

dies() { # options…
    "$VHOST" bench "user:$work/loop.sock" --time 60 "$@" \
        >"$work/out" 2>"$work/err" </dev/null &
    local bench=$!
    sleep 0.5
    kill -KILL $looping
    wait $bench
    status=$?
    cat "$work/err"
    [ $status = 1 ] && [ ! -s "$work/out" ] &&
        grep -q '^vhost: user:.*closed the connection' "$work/err" &&
        [ "$(wc -l <"$work/err")" = 1 ]
}
check "a back end that dies" dies --loopback
for mode in --transmit '--receive --polling' '--loopback --burst 1 --polling'; do
    serve_net loop --peer loop:
    looping=$server
    check "a back end that dies, $mode" dies $mode
done
interrupted() {
    "$VHOST" bench "user:$work/null.sock" --time 60 --transmit \
        >"$work/out" 2>"$work/err" </dev/null &
    local bench=$!
    sleep 0.3
    kill -INT $bench
    wait $bench
    [ $? = 1 ] && grep -q '^vhost: interrupted' "$work/err"
}
check "a signal ends it" interrupted
finish
