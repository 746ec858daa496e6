#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# DPDK's net_vhost, 22.11 and 24.11, in postcopy: each page that it reads or
# writes is fetched when it touches it, and frames come back as they were.
. "$(dirname "$0")/lib.sh"
peers
POSTCOPY_EXERCISE=${POSTCOPY_EXERCISE:-$(dirname "$VHOST")/../tests/interop/postcopy-exercise}
sock=$work/p.sock

back() { # version
    rm -f "$sock"
    in_background testpmd "$1" pc$$ 256 \
        --vdev "net_vhost0,iface=$sock,queues=1,postcopy-support=1" \
        -- --total-num-mbufs=16384 --no-mlockall --auto-start --no-flush-rx \
        --port-topology=loop --forward-mode=io --stats-period 1
    back=$!
    wait_for_socket "$sock" && within 10 grep -q "forwards packets" "$log"
}

for version in 22.11 24.11; do
    check "DPDK $version comes up" back $version
    check "DPDK $version waits for each page" \
        "$POSTCOPY_EXERCISE" "$sock"
    end "$back"
done
finish
