#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Network devices behind vhost-vdpa, driven by this program as any other: the
# kernel's simulator, which sends back what it is sent, and a virtio-net PCI
# device by vp_vdpa.
options=(-v -s 2 -t 150)
. "$(dirname "$0")/lib.sh"

check "frames come back from the simulator" \
    vhost bench --loopback --time 2 --no-progress vdpa:/dev/vhost-vdpa-0
check "also to a driver that polls" \
    vhost bench --loopback --polling --time 2 --no-progress vdpa:/dev/vhost-vdpa-0
check "a network device on the PCI bus takes frames" \
    vhost bench --transmit --time 2 --no-progress vdpa:/dev/vhost-vdpa-2
ip tuntap add lab0 mode tap vnet_hdr && ip link set lab0 up
check "a bridge to a tap comes up, and ends when told" bash -c '
    vhost bridge vdpa:/dev/vhost-vdpa-2 --tap lab0 & pid=$!
    sleep 2; kill -INT $pid && wait $pid'
finish
