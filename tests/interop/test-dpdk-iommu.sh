#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# DPDK's net_vhost, 22.11 and 24.11, behind an IOMMU: it is given IO virtual
# addresses only, asks for each page, and receives every frame.
. "$(dirname "$0")/lib.sh"
peers
sock=$work/i.sock
frames=20000

back() { # version
    rm -f "$sock"
    in_background testpmd "$1" be$$ 256 \
        --vdev "net_vhost0,iface=$sock,queues=1,iommu-support=1" \
        -- --total-num-mbufs=16384 --no-mlockall --auto-start --forward-mode=rxonly \
        --stats-period 1
    back=$!
    back_log=$log
    wait_for_socket "$sock" && within 10 grep -q "forwards packets" "$log"
}

got_all() { [ "$(testpmd_count "$back_log" 0 RX)" = $frames ] || { tail -30 "$back_log"; return 1; }; }

for version in 22.11 24.11; do
    check "DPDK $version comes up" back $version
    check "DPDK $version: every page is asked for, and again when it has moved" \
        "$IOMMU_EXERCISE" "$sock" $frames
    end "$back"
    check "DPDK $version received all the frames" got_all
done
finish
