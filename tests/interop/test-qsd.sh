#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# qemu-storage-daemon, 7.2 and 10.0, as back end: raw and qcow2, 1 and 4
# queues; what libvhost wrote is what qemu-img reads.
. "$(dirname "$0")/lib.sh"
peers
make_image "$work/src.img" 24

# Takes the place of the shell that runs it: the pid is the daemon's.
qsd() { # version, then options
    local version=$1
    shift
    if [ "$version" = 7.2 ]; then
        exec qemu-storage-daemon "$@"
    fi
    exec "$root/lib64/ld-linux-x86-64.so.2" \
        --library-path "$root/usr/lib/x86_64-linux-gnu" \
        "$root/usr/bin/qemu-storage-daemon" "$@"
}

serve() { # version, format, queues, file, socket
    in_background qsd "$1" \
        --blockdev "driver=file,filename=$4,node-name=file,discard=unmap" \
        --blockdev "driver=$2,file=file,node-name=disk,discard=unmap" \
        --object iothread,id=io0 \
        --export "type=vhost-user-blk,id=e0,node-name=disk,writable=on,num-queues=$3,iothread=io0,addr.type=unix,addr.path=$5"
    daemon=$!
    wait_for_socket "$5"
}

stop_daemon() {
    kill "$daemon" 2>/dev/null
    wait "$daemon" 2>/dev/null
    rm -f "$1"
}

same_as_source() { # format, file
    qemu-img compare -f raw -F "$1" "$work/src.img" "$2"
}

for version in 7.2 10.0; do
    for format in raw qcow2; do
        for queues in 1 4; do
            what="qemu-storage-daemon $version, $format, $queues queues"
            disk=$work/disk.$format
            sock=$work/d.sock
            qemu-img create -q -f $format "$disk" 24M
            serve $version $format $queues "$disk" "$sock" || failed=1
            check "$what: probe tells its queues" \
                bash -c "$VHOST probe user:$sock --json | python3 -c '
import json, sys
d = json.load(sys.stdin)
assert d[\"queues\"] == $queues, d[\"queues\"]
assert d[\"config\"][\"capacity\"] == 24 << 20, d[\"config\"]'"
            check "$what: a copy to it verifies" \
                "$VHOST" copy "$work/src.img" "user:$sock" --verify --queues $queues
            check "$what: it reads back unharmed" \
                bash -c "$VHOST copy user:$sock $work/back.img && cmp $work/src.img $work/back.img"
            check "$what: write, flush, discard, write zeroes, read back" \
                "$BLK_EXERCISE" "user:$sock" $queues
            check "$what: a second copy after it" \
                "$VHOST" copy "$work/src.img" "user:$sock" --queues $queues
            stop_daemon "$sock"
            check "$what: qemu-img finds the same content" \
                same_as_source $format "$disk"
            rm -f "$disk" "$work/back.img"
        done
    done
done
finish
