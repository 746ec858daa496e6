# shellcheck shell=sh
# SPDX-License-Identifier: BSD-3-Clause
# Makes the devices that a front end drives: part of init.  A step that fails
# leaves the others be; its words are on the console.
ip link set lo up

# vhost-scsi: naa.5001405000000001, of which lun 0 is a file of 16 MiB in /tmp,
# lun 1 a RAM disk of 8 MiB
target=/sys/kernel/config/target
core=$target/core
portal=$target/vhost/naa.5001405000000001/tpgt_1
if [ -d /sys/module/vhost_scsi ]; then
    truncate -s 16M /tmp/lun0.img
    mkdir -p $core/fileio_0/lun0 $core/rd_mcp_0/ram0
    echo fd_dev_name=/tmp/lun0.img,fd_dev_size=16777216 >$core/fileio_0/lun0/control
    echo rd_pages=2048 >$core/rd_mcp_0/ram0/control
    echo 1 >$core/fileio_0/lun0/enable
    echo 1 >$core/rd_mcp_0/ram0/enable
    mkdir -p $portal
    echo naa.5001405000000002 >$portal/nexus
    mkdir -p $portal/lun/lun_0 $portal/lun/lun_1
    ln -s $core/fileio_0/lun0 $portal/lun/lun_0/file
    ln -s $core/rd_mcp_0/ram0 $portal/lun/lun_1/ram
fi

# the simulators of vDPA: /dev/vhost-vdpa-0 net, /dev/vhost-vdpa-1 blk, 128 MiB
vdpa dev add mgmtdev vdpasim_net name net0 mac 52:54:00:12:34:56
vdpa dev add mgmtdev vdpasim_blk name blk0

# PCI devices of virtio, given to the vDPA bus: vp8 net, -2; vp9 blk, -3
# (run.sh -v)
if [ -d /sys/module/vp_vdpa ]; then
    for n in 8 9; do
        d=0000:00:0$n.0
        echo vp-vdpa >/sys/bus/pci/devices/$d/driver_override
        [ ! -e /sys/bus/pci/devices/$d/driver ] ||
            echo $d >/sys/bus/pci/devices/$d/driver/unbind
        echo $d >/sys/bus/pci/drivers_probe
        vdpa dev add mgmtdev pci/$d name vp$n
    done
fi
