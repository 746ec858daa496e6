#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# svq.sh BUILDDIR - what a shadow virtqueue costs: instructions per request,
# counted by callgrind, with one ring and with a shadow queue between two.
# What a start takes is in both of two runs, and so in neither result.
set -euo pipefail

bench=$1/bench/bench-svq

instructions() { # mode, layout, pieces, count
    valgrind --tool=callgrind --callgrind-out-file=/dev/null \
        "$bench" "$@" 2>&1 | sed -n 's/.*Collected : \([0-9]*\).*/\1/p'
}

per_request() { # mode, layout, pieces
    local a b
    a=$(instructions "$@" 3200)
    b=$(instructions "$@" 19200)
    echo $(((b - a) / 16000))
}

printf '%-8s %6s %6s %7s %12s\n' layout pieces pass shadow "shadow alone"
for layout in split packed; do
    for pieces in 1 3; do
        pass=$(per_request pass $layout $pieces)
        shadow=$(per_request shadow $layout $pieces)
        awk -v l=$layout -v n=$pieces -v p="$pass" -v s="$shadow" 'BEGIN {
            printf "%-8s %6d %6d %7d %7.2f times\n", l, n, p, s, (s - p) / p
        }'
    done
done
