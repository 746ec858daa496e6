#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# The kernel's own back ends, driven by this program as any other, and by the
# drivers for programs without a VM.
programs=(tests/lab/lab-kernel-drivers)
options=(-s 2 -t 200)
. "$(dirname "$0")/lib.sh"
tap() { ip tuntap add "$1" mode tap vnet_hdr && ip link set "$1" up; }
packets() { cat "/sys/class/net/$1/statistics/${2}_packets"; }

check "two taps come up" bash -c "$(declare -f tap); tap lab0 && tap lab1"
before=$(packets lab0 rx)
check "frames go to a tap through vhost-net" \
    vhost bench --transmit --time 1 --no-progress 'kernel:net?tap=lab0'
check "and arrive there" test "$(packets lab0 rx)" -gt "$((before + 1000))"

# What the host sends into one tap comes out of the other, and the way back.
vhost bridge 'kernel:net?tap=lab0' --tap lab1 &
bridge=$!
within 10 test "$(cat /sys/class/net/lab1/carrier)" = 1
before=$(packets lab1 rx)
for _ in 1 2 3 4 5; do busybox arping -c 1 -w 1 -I lab0 10.9.9.9 >/dev/null 2>&1; done
check "the bridge carries frames from one to the other" test "$(packets lab1 rx)" -gt "$before"
kill -INT $bridge
check "and ends when it is told" wait $bridge
check "a network device is no disk, in words" bash -c '
    ! vhost bench --time 1 "kernel:net?tap=lab0" 2>&1 | tee /dev/stderr | grep -q "IOPS"'
check "a device that there is not is named" bash -c '
    vhost bench --time 1 "kernel:gpu" 2>&1 | tee /dev/stderr | grep -q "net?tap=NAME"'

check "another tap comes up" bash -c "$(declare -f tap); tap lab5"
suite lab-kernel-drivers

# probes URI WHAT: `vhost probe` opens it, and tells that of it
probes() { vhost probe "$1" | tee /dev/stderr | grep -qE "$2"; }
check "vhost probe sees vhost-net" probes 'kernel:net?tap=lab5' VIRTIO_NET_F_MRG_RXBUF
check "also without a tap" probes kernel:net 'memory slots +64'
check "and vhost-vsock" probes kernel:vsock VIRTIO_F_VERSION_1
check "and vhost-scsi" probes kernel:scsi VIRTIO_SCSI_F_HOTPLUG
lists() { vhost probe | tee /dev/stderr | grep -qE "^ *$1 +$2"; }
check "vhost probe alone lists the node" lists /dev/vhost-net 'yes, .*kernel:net'
check "and the vDPA devices" lists /dev/vhost-vdpa-1 'yes, .*vdpa:/dev/vhost-vdpa-1$'
check "and the limits" lists max_mem_regions 64

rmmod vhost_net
check "a module that is missing is told" lists /dev/vhost-net 'no: modprobe vhost_net'
check "and by what needs it" bash -c '
    vhost probe kernel:net 2>&1 | tee /dev/stderr | grep -q "modprobe vhost_net"'
finish
