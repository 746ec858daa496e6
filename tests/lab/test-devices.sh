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
portal=/sys/kernel/config/target/vhost/naa.5001405000000001/tpgt_1
check "a SCSI target has a file as a unit" test -e $portal/lun/lun_0/file/enable
check "and RAM as another" test -e $portal/lun/lun_1/ram/enable

truncate -s 8M "$work/disk.img"
check "a disk in user space comes up" vduse_blk vduse0 "$work/disk.img"
check "and is on the vDPA bus" of_type vduse0 block
check "as a device of its own" test -c "$(vhost_vdpa_of vduse0)"
check "which can be taken off" vdpa dev del vduse0
finish
