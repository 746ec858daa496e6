#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# The devices that the other lab tests drive: simulators, PCI devices by vp_vdpa,
# a SCSI target, and a disk in user space, by VDUSE.
programs=(/usr/bin/qemu-storage-daemon)
options=(-v)
. "$(dirname "$0")/lib.sh"

of_type() { vdpa dev show "$1" | tee /dev/stderr | grep -q "type $2 "; }
check "a simulated network device" of_type net0 network
check "a simulated disk" of_type blk0 block
check "a network device on the PCI bus" of_type vp8 network
check "a disk on the PCI bus" of_type vp9 block
for i in 0 1 2 3; do
    check "/dev/vhost-vdpa-$i is there" test -c /dev/vhost-vdpa-$i
done
# probes NODE WHAT: `vhost probe` opens it, and tells that of it
probes() { vhost probe "vdpa:$1" | tee /dev/stderr | grep -qE "$2"; }
check "vhost probe sees the simulated network device" probes /dev/vhost-vdpa-0 VIRTIO_NET_F_MAC
check "which takes all memory there is" probes /dev/vhost-vdpa-0 'memory slots +unlimited'
has_no_empty_heading() { ! vhost probe "vdpa:$1" | grep -q '^protocol features'; }
check "and has no features of a protocol" has_no_empty_heading /dev/vhost-vdpa-0
check "and how large the simulated disk is" probes /dev/vhost-vdpa-1 'capacity .*134217728 bytes'
check "and the network device on the PCI bus" probes /dev/vhost-vdpa-2 VIRTIO_NET_F_MRG_RXBUF
check "and how large the disk there is" probes /dev/vhost-vdpa-3 'capacity .*16777216 bytes'

portal=/sys/kernel/config/target/vhost/naa.5001405000000001/tpgt_1
check "a SCSI target has a file as a unit" test -e $portal/lun/lun_0/file/enable
check "and RAM as another" test -e $portal/lun/lun_1/ram/enable

truncate -s 8M "$work/disk.img"
check "a disk in user space comes up" vduse_blk vduse0 "$work/disk.img"
check "and is on the vDPA bus" of_type vduse0 block
check "as a device of its own" test -c "$(vhost_vdpa_of vduse0)"
check "which vhost probe sees" probes "$(vhost_vdpa_of vduse0)" 'capacity .*8388608 bytes'
check "and which can be taken off" vdpa dev del vduse0
finish
