#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Disks behind vhost-vdpa, driven by this program as any other: the kernel's
# simulator, a virtio-blk PCI device by vp_vdpa, and a disk in user space.
programs=(/usr/bin/qemu-storage-daemon)
options=(-v -t 180)
. "$(dirname "$0")/lib.sh"

# round_trip NODE BYTES: what is written comes back, and nothing else has changed
round_trip() {
    local node=$1 size=$2
    head -c "$size" /dev/urandom >"$work/in" &&
        vhost copy "$work/in" "vdpa:$node" && vhost copy "vdpa:$node" "$work/out" &&
        cmp -n "$size" "$work/in" "$work/out"
}
# fails PATTERN COMMAND…: with words that match
fails() {
    local pattern=$1
    shift
    if "$@" 2>"$work/err"; then return 1; fi
    cat "$work/err" >&2
    grep -qE "$pattern" "$work/err"
}

check "the simulated disk gives back what was written" round_trip /dev/vhost-vdpa-1 4194304
check "over packed rings it is refused, since it has none" \
    fails 'packed' vhost bench --layout packed --time 1 vdpa:/dev/vhost-vdpa-1
check "random reads of it are measured" \
    vhost bench --time 1 --depth 8 vdpa:/dev/vhost-vdpa-1
check "the disk on the PCI bus gives back what was written" round_trip /dev/vhost-vdpa-3 4194304
check "and takes a polling driver" \
    vhost bench --time 1 --depth 8 --polling vdpa:/dev/vhost-vdpa-3

truncate -s 8M "$work/disk.img"
check "a disk in user space comes up" vduse_blk vduse0 "$work/disk.img"
node=$(vhost_vdpa_of vduse0)
check "and gives back what was written" round_trip "$node" 8388608
check "which is what lies in its image" cmp "$work/in" "$work/disk.img"

check "a device in use is refused, in words" bash -c '
    vhost bench --time 3 vdpa:/dev/vhost-vdpa-1 >/dev/null & sleep 1
    vhost bench --time 1 vdpa:/dev/vhost-vdpa-1 2>&1 | tee /dev/stderr | grep -q "another program has it\|busy"
    r=$?; wait; exit $r'
check "a program that was killed leaves a device that works" bash -c '
    vhost bench --time 9 vdpa:/dev/vhost-vdpa-1 >/dev/null & sleep 1; kill -9 $!; wait
    vhost bench --time 1 vdpa:/dev/vhost-vdpa-1'
# With its program gone nothing answers for the disk; the kernel keeps the node.
orphaned() {
    # The kernel itself gives its program half a minute, for each status.
    echo 3 >/sys/class/vduse/vduse0/msg_timeout || return
    vhost bench --time 3 --deadline 3000 "vdpa:$node" >/dev/null 2>"$work/err" &
    local bench=$!
    sleep 1
    kill -9 "${pids[0]}"
    SECONDS=0
    ! wait $bench && [ $SECONDS -le 30 ] && cat "$work/err" >&2 && grep -q "vdpa:$node" "$work/err"
}
check "a disk whose program was killed ends the read, in words" orphaned
# It goes when it is let go of, and not before.
taken_away() {
    vhost bench --time 3 vdpa:/dev/vhost-vdpa-1 >/dev/null 2>"$work/err" &
    local bench=$!
    sleep 1
    vdpa dev del blk0 && wait $bench && [ ! -e /dev/vhost-vdpa-1 ]
}
check "a disk that is taken away while in use serves to the end" taken_away
check "and is gone then, which is told" \
    fails 'vhost-vdpa-1' vhost bench --time 1 vdpa:/dev/vhost-vdpa-1
check "a network device is no disk" \
    fails 'a device of virtio type 1, and not 2' vhost bench --time 1 vdpa:/dev/vhost-vdpa-0
check "a node that is not there is told" \
    fails 'vhost_vdpa' vhost bench --time 1 vdpa:/dev/vhost-vdpa-77
finish
