#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# A Linux guest in QEMU 10.0 (software emulation) on `vhost serve blk`, once over
# split and once over packed rings: it mounts the ext4 image, checks what is in
# it, writes to it, and leaves it sound.  And on `vhost serve net` over packed
# rings: TCP to a server behind the tap, and back.
. "$(dirname "$0")/lib.sh"
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

# --- an initramfs: busybox, the modules of virtio-blk, virtio-net and ext4, a job
initramfs() { # -> $work/initrd
    local release modules r=$work/initramfs m f
    release=$(ls "$root/guest/lib/modules")
    modules=$root/guest/lib/modules/$release
    depmod -b "$root/guest" "$release" 2>/dev/null
    mkdir -p "$r"/{bin,proc,sys,dev,mnt,mod}
    cp "$(command -v busybox)" "$r/bin/busybox"
    : >"$r/mod/order"
    for m in virtio_pci virtio_blk virtio_net ext4; do
        modprobe -d "$root/guest" -S "$release" --show-depends $m 2>/dev/null |
            awk '$1 == "insmod" { print $2 }'
    done | awk '!seen[$0]++' | while read -r f; do
        f=${f#"$root/guest"}
        f=$root/guest/${f#/}
        case $f in
        *.xz) xz -dc "$f" >"$r/mod/$(basename "${f%.xz}")" ;;
        *) cp "$f" "$r/mod/" ;;
        esac
        basename "${f%.xz}" >>"$r/mod/order"
    done
    cat >"$r/init" <<'INIT'
#!/bin/busybox sh
/bin/busybox --install -s /bin
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
while read -r m; do insmod "/mod/$m"; done </mod/order
say() { echo "guest: $*" >/dev/ttyS0; }
has() { [ "$(cut -c$(($2 + 1)) "$1/features")" = 1 ]; } # device, feature bit

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
poweroff -f
INIT
    chmod +x "$r/init"
    (cd "$r" && find . | busybox cpio -o -H newc 2>/dev/null) >"$work/initrd"
    [ -s "$r/mod/order" ]
}

boot() { # seconds
    timeout "$1" "$root/lib64/ld-linux-x86-64.so.2" \
        --library-path "$root/usr/lib/x86_64-linux-gnu" \
        "$root/usr/bin/qemu-system-x86_64" \
        -L "$root/usr/share/qemu" -L "$root/usr/share/seabios" \
        -nodefaults -no-user-config -display none -no-reboot \
        -M q35,memory-backend=ram -accel tcg,thread=multi -smp 2 -m 256 \
        -object memory-backend-memfd,id=ram,size=256M,share=on \
        -kernel "$root"/guest/boot/vmlinuz-* -initrd "$work/initrd" \
        -append "console=ttyS0 quiet panic=-1 mitigations=off tsc=reliable" \
        -chardev "socket,id=disk,path=$work/d.sock" \
        -device vhost-user-blk-pci,chardev=disk,num-queues=2 \
        -chardev "socket,id=packed,path=$work/p.sock" \
        -device vhost-user-blk-pci,chardev=packed,num-queues=2,packed=on \
        -chardev "socket,id=net,path=$work/n.sock" \
        -netdev vhost-user,id=net0,chardev=net \
        -device virtio-net-pci,netdev=net0,packed=on \
        -serial "file:$work/console" </dev/null
    local r=$?
    tr -d '\r' <"$work/console" | tail -30
    return $r
}

saw() { tr -d '\r' <"$work/console" | grep -q "guest: $1"; }

addressed() { ip -n "vhost-tap-$$" addr add 10.8.0.1/24 dev t0 && ip -n "vhost-tap-$$" link set t0 up; }

check "an initramfs with virtio-blk, virtio-net and ext4" initramfs
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
