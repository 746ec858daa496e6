# shellcheck shell=bash
# SPDX-License-Identifier: BSD-3-Clause
# What the lab tests share.  A test sources this first, and so runs twice: out
# here it starts the machine with itself as the program, and in there it goes on.
#
#   programs=(cli/vhost …)    set before: what it needs of the build, or else
#                             by whole path
#   options=(-s 2 …)          set before, may be absent: for run.sh
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
: "${VHOST:?the vhost command under test}"
if [ -z "${LAB:-}" ]; then
    build=$(cd "$(dirname "$VHOST")/.." && pwd)
    put=()
    for program in cli/vhost "${programs[@]}"; do
        case $program in
        /*) put+=(-f "$program") ;;
        *) put+=(-f "$build/$program") ;;
        esac
    done
    exec "$here/run.sh" ${options[@]+"${options[@]}"} "${put[@]}" \
        -f "$here/lib.sh" -f "$here/../lib/tap.sh:/lab/lib/tap.sh" "$0"
fi
. "$here/../lib/tap.sh"

# suite PROGRAM…: each speaks TAP by itself; one that dies says so nowhere else
suite() {
    local program r
    for program in "$@"; do
        "$program"
        r=$?
        [ $r = 0 ] || { echo "not ok - $program ended with status $r"; failed=1; }
    done
}

# in_background COMMAND…: ended when the test ends; $! is its pid, and what it
# says is in $log
in_background() {
    log=$work/background.${#pids[@]}.log
    "$@" >"$log" 2>&1 </dev/null &
    pids+=($!)
}

# within SECONDS COMMAND…: whether it becomes true in that time
within() {
    local until=$((SECONDS + $1))
    shift
    until "$@"; do
        [ $SECONDS -le $until ] || return 1
        sleep 0.1
    done
}

# vhost_vdpa_of NAME: the node of a device on the vDPA bus
vhost_vdpa_of() {
    local node
    for node in "/sys/bus/vdpa/devices/$1"/vhost-vdpa-*; do
        echo "/dev/${node##*/}"
    done
}

# vduse_blk NAME IMAGE: a disk in user space, put on the vDPA bus; wants
# programs=(/usr/bin/qemu-storage-daemon)
vduse_blk() {
    in_background qemu-storage-daemon \
        --blockdev "driver=file,node-name=file,filename=$2" \
        --export "type=vduse-blk,id=disk,node-name=file,name=$1,writable=on"
    within 20 test -c "/dev/vduse/$1" && vdpa dev add name "$1" mgmtdev vduse &&
        within 10 test -c "$(vhost_vdpa_of "$1")"
}
