#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# A Linux guest in QEMU 10.0 (software emulation) on `vhost serve blk`, once over
# split and once over packed rings: it mounts the ext4 image, checks what is in
# it, writes to it, and leaves it sound.  And on `vhost serve net` over packed
# rings: TCP to a server behind the tap, and back.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/guest.sh"
peers

# --- an image with files, and their checksums
mkdir -p "$work/tree/dir"
for i in 1 2 3 4 5 6 7 8; do
    head -c $((i * 300000)) /dev/urandom >"$work/tree/dir/file$i"
done
(cd "$work/tree" && sha256sum dir/* >sums)
truncate -s 64M "$work/disk.img"
mke2fs -q -t ext4 -d "$work/tree" "$work/disk.img"
cp "$work/disk.img" "$work/packed.img"

# --- what the guest does
job() {
    cat <<'JOB'
for d in vda vdb; do
    has /sys/block/$d/device 34 && say "$d packed"
    mount -t ext4 /dev/$d /mnt && say "$d mounted"
    cd /mnt && sha256sum -c -s sums && say "$d sums right"
    head -c 3000000 /dev/urandom >/mnt/written && sync
    sha256sum written >written.sum && say "$d wrote"
    cd / && umount /mnt && say "$d unmounted"
done

has /sys/class/net/eth0/device 34 && say eth0 packed
ip addr add 10.8.0.2/24 dev eth0 && ip link set eth0 up
head -c 3000000 /dev/urandom >sent
i=0
until nc 10.8.0.1 8000 <sent >back; do
    i=$((i + 1))
    [ $i -lt 20 ] || break
    sleep 1
done
cmp sent back && say TCP came back
JOB
}

boot() { # seconds
    qemu "$work/console" \
        -chardev "socket,id=disk,path=$work/d.sock" \
        -device vhost-user-blk-pci,chardev=disk,num-queues=2 \
        -chardev "socket,id=packed,path=$work/p.sock" \
        -device vhost-user-blk-pci,chardev=packed,num-queues=2,packed=on \
        -chardev "socket,id=net,path=$work/n.sock" \
        -netdev vhost-user,id=net0,chardev=net \
        -device virtio-net-pci,netdev=net0,packed=on &
    pids+=($!)
    is_over $! "$1" "$work/console"
}

saw() { said "$work/console" "$1"; }

addressed() { ip -n "vhost-tap-$$" addr add 10.8.0.1/24 dev t0 && ip -n "vhost-tap-$$" link set t0 up; }

an_initramfs() { job | initramfs virtio_pci virtio_blk virtio_net ext4; }
check "an initramfs with virtio-blk, virtio-net and ext4" an_initramfs
in_background "$VHOST" serve blk "$work/disk.img" --socket "$work/d.sock" --queues 2
in_background "$VHOST" serve blk "$work/packed.img" --socket "$work/p.sock" --queues 2
check "vhost serve blk comes up" wait_for_socket "$work/d.sock"
check "and a second one" wait_for_socket "$work/p.sock"
check "a network for the tap" a_network tap
in_background in_network tap "$VHOST" serve net --tap t0 --socket "$work/n.sock"
check "vhost serve net comes up" wait_for_socket "$work/n.sock"
check "its tap gets an address" addressed
in_background in_network tap echo_server 10.8.0.1 8000
check "the guest boots and powers off" boot 180
left_sound() { e2fsck -fn "$1"; }
left_written() { # image
    (cd "$work" && debugfs -R 'dump /written written' "$1" &&
        debugfs -R 'dump /written.sum written.sum' "$1" && sha256sum -c written.sum)
}

check "the second disk has packed rings" saw "vdb packed"
check "the first has not" eval '! saw "vda packed"'
for disk in "vda disk.img split" "vdb packed.img packed"; do
    # shellcheck disable=SC2086
    set -- $disk
    check "$3: the guest mounts the file system" saw "$1 mounted"
    check "$3: the guest reads every file unharmed" saw "$1 sums right"
    check "$3: the guest writes a file" saw "$1 wrote"
    check "$3: the guest unmounts it" saw "$1 unmounted"
    check "$3: the file system is sound afterwards" left_sound "$work/$2"
    check "$3: the file that the guest wrote is in it, unharmed" left_written "$work/$2"
done
check "the network device has packed rings" saw "eth0 packed"
check "TCP of the guest reaches a server behind the tap, and comes back the same" \
    saw "TCP came back"
finish
