#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# The dirty log of qemu-storage-daemon, 7.2 and 10.0, and of `vhost serve blk`:
# what has changed in memory is in the log, while the log changes its size.
. "$(dirname "$0")/lib.sh"
peers
make_image "$work/disk.img" 24
sectors=$((24 << 11))
sock=$work/d.sock

# Takes the place of the shell that runs it: the pid is the daemon's.
qsd() { # version
    local version=$1
    set -- --blockdev "driver=file,filename=$work/disk.img,node-name=disk" \
        --export "type=vhost-user-blk,id=e0,node-name=disk,writable=on,addr.type=unix,addr.path=$sock"
    if [ "$version" = 7.2 ]; then
        exec qemu-storage-daemon "$@"
    fi
    exec "$root/lib64/ld-linux-x86-64.so.2" \
        --library-path "$root/usr/lib/x86_64-linux-gnu" \
        "$root/usr/bin/qemu-storage-daemon" "$@"
}

logs() { # what, command that serves…
    local what=$1
    shift
    in_background "$@"
    wait_for_socket "$sock" || failed=1
    check "$what: every page that has changed is in the log, and no other" \
        timeout 60 "$LOG_EXERCISE" "$sock" $sectors
    end $!
    rm -f "$sock"
}

logs "qemu-storage-daemon 7.2" qsd 7.2
logs "qemu-storage-daemon 10.0" qsd 10.0
logs "vhost serve blk" "$VHOST" serve blk "$work/disk.img" --socket "$sock"
finish
