#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# A Linux guest in QEMU 10.0 (software emulation) on `vhost serve blk`: mounts
# the ext4 image, checks what is in it, writes to it, and leaves it sound.
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

# --- an initramfs: busybox, the modules of virtio-blk and ext4, a job
initramfs() { # -> $work/initrd
    local release modules r=$work/initramfs m f
    release=$(ls "$root/guest/lib/modules")
    modules=$root/guest/lib/modules/$release
    depmod -b "$root/guest" "$release" 2>/dev/null
    mkdir -p "$r"/{bin,proc,sys,dev,mnt,mod}
    cp "$(command -v busybox)" "$r/bin/busybox"
    : >"$r/mod/order"
    for m in virtio_pci virtio_blk ext4; do
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
mount -t ext4 /dev/vda /mnt && say mounted
cd /mnt && sha256sum -c -s sums && say sums right
head -c 3000000 /dev/urandom >/mnt/written && sync
sha256sum written >written.sum && say wrote
cat /sys/block/vda/serial >/dev/ttyS0
cd / && umount /mnt && say unmounted
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
        -serial "file:$work/console" </dev/null
    local r=$?
    tr -d '\r' <"$work/console" | tail -30
    return $r
}

saw() { tr -d '\r' <"$work/console" | grep -q "guest: $1"; }

check "an initramfs with virtio-blk and ext4" initramfs
in_background "$VHOST" serve blk "$work/disk.img" --socket "$work/d.sock" --queues 2
check "vhost serve blk comes up" wait_for_socket "$work/d.sock"
check "the guest boots and powers off" boot 180
check "the guest mounts the file system" saw mounted
check "the guest reads every file unharmed" saw "sums right"
check "the guest writes a file" saw wrote
check "the guest unmounts it" saw unmounted
check "the file system is sound afterwards" e2fsck -fn "$work/disk.img"
check "the file that the guest wrote is in it, unharmed" bash -c "
    cd $work && debugfs -R 'dump /written written' disk.img &&
    debugfs -R 'dump /written.sum written.sum' disk.img && sha256sum -c written.sum"
finish
