#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# run.sh [OPTION…] PROGRAM [ARGUMENT…] - runs PROGRAM as root in the lab: a Linux
# 6.12 in QEMU, without KVM, in which the kernel's vhost devices are.
#
#   -s N       processors (1)            -m MIB     memory (512)
#   -t S       time limit in seconds (120)
#   -f A[:B]   puts file or folder A there as B; else as /lab/bin/NAME
#   -o DIR     what is left in /out there comes back here
#   -v         gives vhost-vdpa a virtio-net and a virtio-blk PCI device (16 MiB)
#              behind an IOMMU: /dev/vhost-vdpa-2 and -3, by vp_vdpa
#   -a TEXT    more for the kernel's command line
#   -q TEXT    more options for QEMU
#   -x         prints the kernel's console on stderr in any case
#
# What PROGRAM says comes out on stdout, its status is ours; 124: out of time,
# 125: the machine ended without an answer.  Then the console's end is printed.
# Shared objects come along by themselves.  /lab/bin is in $PATH there, $VHOST is
# /lab/bin/vhost, cmocka speaks TAP, and the shell is busybox's.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
usage() { sed -n '3,20s/^# \{0,1\}//p' "$0" >&2; exit 2; }

processors=1 memory=512 limit=120 machine=pc show=0 back= line=
files=() qemu=()
pci=page-per-vq=on,disable-legacy=on,iommu_platform=on,ats=on
while getopts s:m:t:f:o:va:q:x option; do
    case $option in
    s) processors=$OPTARG ;;
    m) memory=$OPTARG ;;
    t) limit=$OPTARG ;;
    f) files+=("$OPTARG") ;;
    o) back=$OPTARG ;;
    v) machine=q35 line+=" lab.vp intel_iommu=on" ;;
    a) line+=" $OPTARG" ;;
    q) read -r -a more <<<"$OPTARG" && qemu+=("${more[@]}") ;;
    x) show=1 ;;
    *) usage ;;
    esac
done
shift $((OPTIND - 1))
[ $# -gt 0 ] || usage
program=$(readlink -f "$1")
shift
lab=$("$here/build.sh")

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
truncate -s 16M "$work/disk"
[ $machine = pc ] || qemu+=(
    -device intel-iommu,intremap=off,device-iotlb=on
    -netdev user,id=net,restrict=on
    -device "virtio-net-pci,netdev=net,mac=52:54:00:aa:00:01,addr=8,$pci"
    -drive "if=none,id=disk,file=$work/disk,format=raw"
    -device "virtio-blk-pci,drive=disk,addr=9,$pci")

# --- this run's own files, in an archive behind the base
root=$work/root
put() { # FROM TO
    mkdir -p "$root${2%/*}"
    cp -rL "$1" "$root$2"
}
put "$here/guest/init" /init
put "$here/guest/devices.sh" /lab/devices.sh
put "$program" "/lab/bin/${program##*/}"
for file in ${files[@]+"${files[@]}"}; do
    case $file in
    *:*) put "${file%%:*}" "${file#*:}" ;;
    *) put "$file" "/lab/bin/${file##*/}" ;;
    esac
done
find "$root" -type f -perm -u+x -exec "$here/libs.sh" "$root" {} +
{
    echo '#!/bin/sh'
    printf 'exec'
    printf ' %q' "/lab/bin/${program##*/}" "$@"
    echo
} >"$root/lab/job"
chmod +x "$root/init" "$root/lab/job"
{
    cat "$lab/base.cpio"
    (cd "$root" && find . | busybox cpio -o -H newc 2>/dev/null)
} >"$work/initrd"

# --- the machine.  Its output goes through a pipe that we hold open: QEMU would
# close a port at the end of stdin, and would truncate a file.
touch "$work/rc" "$work/files" "$work/console"
mkfifo "$work/out"
cat "$work/out" &
reader=$!
exec 8>"$work/out"
port() { qemu+=(-chardev "file,id=$1,path=$work/$1"
    -device "virtserialport,chardev=$1,name=$1"); }
qemu+=(-device virtio-serial-pci)
port out
port rc
port files
ended=0
timeout -k 5 "$limit" qemu-system-x86_64 -nodefaults -no-user-config \
    -display none -no-reboot -M $machine -accel tcg,thread=multi -cpu max \
    -smp "$processors" -m "$memory" \
    -kernel "$lab/vmlinux" -initrd "$work/initrd" \
    -append "console=ttyS0 quiet panic=-1 mitigations=off nokaslr tsc=reliable no_timer_check random.trust_cpu=on cryptomgr.notests$line" \
    -serial "file:$work/console" "${qemu[@]}" </dev/null 8>&- || ended=$?
exec 8>&-
wait $reader

answer=$(cat "$work/rc")
if [ $show = 1 ] || [ -z "$answer" ]; then
    tr -d '\r' <"$work/console" | tail -60 >&2
fi
if [ -n "$back" ] && [ -s "$work/files" ]; then
    mkdir -p "$back"
    tar -C "$back" -xf "$work/files"
fi
[ -z "$answer" ] || exit "$answer"
case $ended in
124 | 137)
    echo "run.sh: no end within $limit s" >&2
    exit 124
    ;;
esac
echo "run.sh: QEMU ended with status $ended, without an answer" >&2
exit 125
