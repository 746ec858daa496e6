#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# A disk whose back end is killed with requests in flight: on librte_vhost of
# DPDK, 22.11 and 24.11, on `vhost serve blk`, and on both in turn, each of
# which finishes what the other has left.  Nothing may be lost, and nothing come
# twice, with split rings and with packed ones.
. "$(dirname "$0")/lib.sh"
INFLIGHT_EXERCISE=${INFLIGHT_EXERCISE:-$(dirname "$VHOST")/../tests/interop/inflight-exercise}
DPDK_BLK=${DPDK_BLK:-$(dirname "$VHOST")/../tests/interop/dpdk-blk}
peers
libs=$root/usr/lib/x86_64-linux-gnu

# For the librte_vhost of Debian 13, by its compiler.
build_for_24_11() {
    mkdir -p "$root/build"
    cp "$here/dpdk-blk.c" "$root/build/"
    # shellcheck disable=SC2016
    chroot "$root" sh -c 'cd /build && cc -O2 -D_GNU_SOURCE -std=gnu11 \
        -DALLOW_EXPERIMENTAL_API dpdk-blk.c -o dpdk-blk \
        $(pkg-config --cflags --libs libdpdk) -lpthread'
}

theirs=("$root/lib64/ld-linux-x86-64.so.2" --library-path "$libs"
    "$root/build/dpdk-blk" SOCKET IMAGE)
host=("$DPDK_BLK" SOCKET IMAGE)
ours=("$VHOST" serve blk IMAGE --socket SOCKET)
# What comes back must offer what was in use: so no more than that library has.
alike=("${ours[@]}")
for f in MQ LOG_SHMFD BACKEND_REQ PAGEFAULT CONFIG RESET_DEVICE \
    CONFIGURE_MEM_SLOTS STATUS DEVICE_STATE GET_VRING_BASE_INFLIGHT \
    GPA_ADDRESSES GET_VRING_BASE_SKIP_DRAIN; do
    alike+=(--hide-feature VHOST_USER_PROTOCOL_F_$f)
done

outlives() { timeout 60 "$INFLIGHT_EXERCISE" "$@"; }

check "our back end on librte_vhost 24.11 compiles" build_for_24_11
for layout in split packed; do
    check "vhost serve blk, $layout: killed 40 times" outlives $layout 40 "${ours[@]}"
    check "librte_vhost 22.11, $layout: killed 6 times" outlives $layout 6 "${host[@]}"
    check "librte_vhost 24.11, $layout: killed 4 times" outlives $layout 4 "${theirs[@]}"
    check "librte_vhost 24.11 and vhost serve blk in turn, $layout: killed 12 times" \
        outlives $layout 12 "${theirs[@]}" -- "${alike[@]}"
done
finish
