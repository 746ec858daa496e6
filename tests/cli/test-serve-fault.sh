#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# vhost serve --fault and --features: a back end that goes wrong on purpose.
. "$(dirname "$0")/lib.sh"
truncate -s 1M "$work/disk"

usage() { fails_with 2 "$@"; }
for what in close close@0 close@1x shut@1 delay@1 delay=x@1 drop@A:0; do
    check "--fault $what is refused" usage 'is not like close@20' \
        "$VHOST" serve blk "$work/disk" --socket "$work/s.sock" --fault "$what"
done
check "a fault at a request that is none is refused" fails_with 1 'no such request' \
    "$VHOST" serve blk "$work/disk" --socket "$work/s.sock" --fault error@NONSENSE
for bits in x -1 1z 0x10000000000000000; do
    check "--features $bits is refused" usage 'no number of 64 bits' \
        "$VHOST" serve blk "$work/disk" --socket "$work/s.sock" "--features=$bits"
done
# shellcheck disable=SC2046
check "17 faults are too many" usage 'more than 16' "$VHOST" serve blk "$work/disk" \
    --socket "$work/s.sock" $(printf -- '--fault close@%d ' {1..17})

probe=("$VHOST" probe "user:$work/f.sock")
served() { # words of the log
    grep -q -- "$1" "$work/f.log"
}
faulty() { # options of serve…
    [ -z "${server:-}" ] || kill "$server" 2>/dev/null
    serve f "$work/disk" -v "$@"
}

faulty --fault close@1
check "a back end that hangs up at the first request" fails_with 1 '' "${probe[@]}"
check "says that it was on purpose" served 'closed on purpose'

faulty --fault close@GET_CONFIG
check "one that hangs up at GET_CONFIG" fails_with 1 'GET_CONFIG|closed|gone' "${probe[@]}"

faulty --fault error@GET_CONFIG
check "one that refuses GET_CONFIG" fails_with 1 'refused GET_CONFIG' "${probe[@]}"

faulty --fault error@GET_CONFIG:2
check "one that refuses the second GET_CONFIG of a connection answers the first" "${probe[@]}"

faulty --fault delay=300@GET_FEATURES
took=$(date +%s%N)
check "one that is late by 0.3 s still answers" "${probe[@]}"
took=$((($(date +%s%N) - took) / 1000000))
check "and was late" [ $took -ge 300 ]

faulty --fault delay=200@1 --fault delay=200@2 --fault error@SET_VRING_ADDR
check "of two delays both count, and a refused start fails in words" \
    fails_with 1 'refused SET_VRING_ADDR' \
    "$VHOST" bench "user:$work/f.sock" --time 1

faulty --fault drop@GET_PROTOCOL_FEATURES
check "one that does not answer ends at the deadline" \
    fails_with 1 'GET_PROTOCOL_FEATURES' "${probe[@]}" --deadline 300

faulty --fault delay=60000@GET_PROTOCOL_FEATURES
timeout 1 "$VHOST" probe "user:$work/f.sock" >/dev/null 2>&1
check "a front end that left during a delay does no harm: the server ends when told" \
    eval 'kill -TERM $server && wait $server; [ $? = 0 ]'

faulty --features 0x140000000
"${probe[@]}" --json >"$work/json"
check "VIRTIO_F_RING_PACKED is not among them" eval '! grep -q RING_PACKED "$work/json"'
check "VIRTIO_F_VERSION_1 is" grep -q VERSION_1 "$work/json"
finish
