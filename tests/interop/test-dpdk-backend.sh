#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# DPDK's net_vhost, 22.11 and 24.11, as back end of a network device: every
# layout, mergeable or not, polling and eventfd, bursts and copies, two pairs.
# One process of DPDK serves them one after the other, and sends all back.
. "$(dirname "$0")/lib.sh"
peers
NET_EXERCISE=${NET_EXERCISE:-$(dirname "$VHOST")/../tests/interop/net-exercise}
sock=$work/n.sock

back() { # version, pairs, forward mode; sets $back
    rm -f "$sock"
    in_background testpmd "$1" be$$ 256 \
        --vdev "net_vhost0,iface=$sock,queues=$2" \
        -- --total-num-mbufs=16384 --no-mlockall --auto-start --stats-period 1 \
        --rxq="$2" --txq="$2" --no-flush-rx --port-topology=loop --forward-mode="$3"
    back=$!
    wait_for_socket "$sock" && within 10 grep -q "forwards packets" "$log"
}

for version in 22.11 24.11; do
    what="DPDK $version"
    check "$what comes up" back $version 1 io
    for layout in split split-in-order packed packed-in-order; do
        for wait in polling eventfd; do
            for how in bursts copy; do
                check "$what, $layout, $wait, $how: frames come back as they were" \
                    "$NET_EXERCISE" "user:$sock" $layout plain $wait $how io 1 3000 1514
                check "$what, $layout, mergeable, $wait, $how: up to 9000 bytes" \
                    "$NET_EXERCISE" "user:$sock" $layout mergeable $wait $how io 1 2000 9000
            done
        done
    done
    end "$back"

    check "$what with two pairs comes up" back $version 2 macswap
    for layout in split packed auto; do
        check "$what, $layout, two pairs: frames come back with addresses swapped" \
            "$NET_EXERCISE" "user:$sock" $layout mergeable polling bursts macswap 2 2000 9000
    done
    end "$back"
    got=$(testpmd_count "$log" 0 RX)
    check "$what has sent as many as it got" \
        [ "$got" = 12000 -a "$got" = "$(testpmd_count "$log" 0 TX)" ]
done
finish
