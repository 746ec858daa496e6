#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# A Linux guest in QEMU 10.0 whose `vhost serve blk` is killed and started again,
# many times while it writes, over split and over packed rings: QEMU keeps the
# in-flight buffer, and the next back end finishes what the last had taken.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/guest.sh"
peers

job() {
    cat <<'JOB'
for d in vda vdb; do
    mkdir -p /mnt/$d
    mount -t ext4 /dev/$d /mnt/$d && say "$d mounted"
done
say ready
i=0
while [ $i -lt 40 ]; do
    i=$((i + 1))
    for d in vda vdb; do
        head -c 500000 /dev/urandom >/mnt/$d/file$i
    done
    sync
    say "round $i"
done
for d in vda vdb; do
    (cd /mnt/$d && sha256sum file* >sums)
    umount /mnt/$d && say "$d unmounted"
done
dmesg | grep -q 'I/O error' || say "no error"
JOB
}

an_initramfs() { job | initramfs virtio_pci virtio_blk ext4; }

declare -A server
serve() { # disk
    in_background "$VHOST" serve blk "$work/$1.img" --socket "$work/$1.sock"
    server[$1]=$!
    wait_for_socket "$work/$1.sock"
}

kill_and_serve() { # disk
    kill -9 "${server[$1]}"
    wait "${server[$1]}" 2>/dev/null
    serve "$1"
}

comes_up() {
    qemu "$work/console" \
        -chardev "socket,id=split,path=$work/split.sock,reconnect-ms=50" \
        -device vhost-user-blk-pci,chardev=split,num-queues=1 \
        -chardev "socket,id=packed,path=$work/packed.sock,reconnect-ms=50" \
        -device vhost-user-blk-pci,chardev=packed,num-queues=1,packed=on &
    guest=$!
    pids+=($guest)
    for ((i = 0; i < 600; i++)); do
        said "$work/console" ready && return
        sleep 0.1
    done
    tr -d '\r' <"$work/console" | tail -20
    return 1
}

# Every kill is at another moment of the guest's work.
outlives() {
    kills=0
    while kill -0 $guest 2>/dev/null && [ $kills -lt ${KILLS:-60} ]; do
        kill_and_serve split || return
        sleep 0.3
        kill_and_serve packed || return
        sleep 0.$((RANDOM % 5 + 1))
        kills=$((kills + 1))
    done
    echo "# $kills kills of each"
    is_over $guest 120 "$work/console" && [ $kills -ge 5 ]
}

left_sound() { e2fsck -fn "$work/$1.img"; }
left_written() { # disk
    mkdir -p "$work/$1" && debugfs -R "rdump / $work/$1" "$work/$1.img" &&
        (cd "$work/$1" && [ "$(wc -l <sums)" = 40 ] && sha256sum -c --quiet sums)
}

check "an initramfs with virtio-blk and ext4" an_initramfs
for disk in split packed; do
    truncate -s 96M "$work/$disk.img"
    mke2fs -q -t ext4 "$work/$disk.img"
    check "vhost serve blk comes up, for a $disk ring" serve $disk
done
check "the guest comes up" comes_up
check "it goes on while its back ends are killed, until it is done" outlives
check "it has seen no error" said "$work/console" "no error"
for disk in "vda split" "vdb packed"; do
    # shellcheck disable=SC2086
    set -- $disk
    check "$2: the guest unmounts its disk" said "$work/console" "$1 unmounted"
    check "$2: the file system is sound" left_sound "$2"
    check "$2: every file is there, unharmed" left_written "$2"
done
finish
