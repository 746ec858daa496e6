#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# build.sh - makes the machine that the lab tests run in, from the packages of
# Debian 12, and prints where it is.
#
#   LAB/vmlinux       the 6.12 cloud kernel, whose vhost, vDPA and VDUSE are on
#   LAB/base.cpio     the root every run begins with: busybox, bash, ip,
#                     vdpa, modules
#   LAB/version       which kernel this is
#
# Debian leaves out the vDPA simulators, vp_vdpa and vhost_test: they are built
# from its kernel's source, as they are.  Nothing gets installed.  apt-get checks
# each download by the signature of the archive.  Kept in $LIBVHOST_CACHE, or
# /var/cache/libvhost.  A change here takes a new number in `lab`.
set -euo pipefail
lab=${LIBVHOST_CACHE:-/var/cache/libvhost}/lab-1
log=$lab.log

mkdir -p "${lab%/*}"
exec 9>"$lab.lock"
flock 9
if [ -e "$lab/complete" ]; then
    echo "$lab"
    exit 0
fi
echo "making the kernel lab of Debian's packages (about 1 minute)" >&2
rm -rf "$lab" "$lab.new"
mkdir -p "$lab.new/debs" "$lab.new/built" "$lab.new/image"
work=$lab.new

depends() { # PACKAGE WHICH: its dependency of that name
    apt-cache depends "$1" | sed -n "s/^ *Depends: \($2.*\)/\1/p" | head -1
}

# Image, headers and source must be of one version: the archive drops old ones,
# so the lists have to be of today.
meta=linux-image-6.12-cloud-amd64
image=$(depends $meta linux-image-6.12)
if [ -z "$image" ] || ! (cd "$work/debs" && apt-get -qq \
    -o APT::Sandbox::User=root download "$image" 2>/dev/null); then
    apt-get -qq update >&2
    image=$(depends $meta linux-image-6.12)
    [ -n "$image" ] || { echo "build.sh: the archive has no $meta" >&2; exit 1; }
    (cd "$work/debs" && apt-get -qq -o APT::Sandbox::User=root download "$image" >&2)
fi
release=${image#linux-image-}
common=${release%-cloud-amd64}
version=$(dpkg-deb -f "$work/debs/$image"_*.deb Version)
(cd "$work/debs" && apt-get -qq -o APT::Sandbox::User=root download \
    "linux-headers-$release=$version" "linux-headers-$common-common=$version" \
    "linux-kbuild-$common=$version" "linux-source-6.12=$version" >&2)

# --- the kernel, unpacked: QEMU enters it by its PVH note, and the machine need
# not unpack it in emulation.  Where the payload is stands in the header of the
# boot protocol; its last four bytes are not zstd's but its length.
dpkg-deb -x "$work/debs/$image"_*.deb "$work/image"
zimage=$work/image/boot/vmlinuz-$release
field() { od -An -t "u$2" -j "$1" -N "$2" "$zimage" | tr -d ' '; }
start=$((($(field 0x1f1 1) + 1) * 512 + $(field 0x248 4)))
length=$(($(field 0x24c 4) - 4))
head -c $((start + length)) "$zimage" | tail -c $length | zstd -dcq >"$work/vmlinux"
readelf -h "$work/vmlinux" >/dev/null

# --- the modules that are not in the package
headers=$work/headers/usr/src/linux-headers-$release
for deb in "$work"/debs/linux-headers-* "$work"/debs/linux-kbuild-*; do
    dpkg-deb -x "$deb" "$work/headers"
done
sed -i "s#/usr/src/#$work/headers/usr/src/#" "$headers/Makefile"
rm -f "$headers/vmlinux" # of use for BTF alone, which wants pahole
drivers=linux-source-6.12/drivers
dpkg-deb --fsys-tarfile "$work"/debs/linux-source-* |
    tar -xO ./usr/src/linux-source-6.12.tar.xz >"$work/source.tar.xz"
tar -C "$work" -I 'xz -T0' -xf "$work/source.tar.xz" --occurrence=1 \
    $drivers/vdpa/vdpa_sim/vdpa_sim{.c,.h,_net.c,_blk.c} \
    $drivers/vdpa/virtio_pci/vp_vdpa.c \
    $drivers/vhost/{vringh.c,vhost.h,test.c,test.h}
cp "$work"/$drivers/*/*/*.[ch] "$work"/$drivers/vhost/*.[ch] "$work/built/"
mv "$work/built/test.c" "$work/built/vhost_test.c"
echo 'obj-m := vringh.o vdpa_sim.o vdpa_sim_net.o vdpa_sim_blk.o vhost_test.o vp_vdpa.o' \
    >"$work/built/Kbuild"
if ! make -s -C "$headers" M="$work/built" -j"$(nproc)" modules >"$log" 2>&1; then
    tail -20 "$log" >&2
    echo "build.sh: the modules were not built" >&2
    exit 1
fi
rm -f "$log"

# --- the root: each module once, not packed, and the orders to load them in
root=$work/root
mkdir -p "$root"/{bin,usr/sbin,dev,lab/mod}
tree=$work/image/lib/modules/$release
mkdir -p "$tree/extra"
cp "$work"/built/*.ko "$tree/extra/"
depmod -b "$work/image" "$release" 2>/dev/null

modules() { # NAME…: puts them there; prints them, each after what it needs
    local m file name
    for m in "$@"; do
        modprobe -d "$work/image" -S "$release" --show-depends "$m" |
            awk '$1 == "insmod" { print $2 }'
    done | awk '!seen[$0]++' | while read -r file; do
        file=$tree/${file#*"/$release/"}
        name=$(basename "${file%.xz}" .ko)
        if [ ! -e "$root/lab/mod/$name.ko" ]; then
            case $file in
            *.xz) xz -dc "$file" >"$root/lab/mod/$name.ko" ;;
            *) cp "$file" "$root/lab/mod/$name.ko" ;;
            esac
            strip -g "$root/lab/mod/$name.ko"
        fi
        echo "$name"
    done
}
modules vhost_net tun vhost_vsock vsock_loopback vhost_scsi target_core_file \
    vhost_vdpa vduse vdpa_sim_net vdpa_sim_blk vhost_test >"$root/lab/order"
modules vp_vdpa >"$root/lab/order.vp"

cp "$(command -v busybox)" "$root/bin/busybox"
cp "$(command -v bash)" "$root/bin/bash" # the tests' own language
"${0%/*}/libs.sh" "$root" /bin/bash /usr/sbin/ip /usr/sbin/vdpa
for program in ip vdpa; do
    cp -L "$(command -v $program)" "$root/usr/sbin/$program"
done
(cd "$root" && find . | busybox cpio -o -H newc 2>/dev/null) >"$work/base.cpio"
echo "$release $version" >"$work/version"

rm -rf "$work"/{debs,built,image,headers,root,source.tar.xz,linux-source-6.12}
touch "$work/complete"
mv "$work" "$lab"
echo "$lab"
