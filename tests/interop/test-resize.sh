#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# A disk that is resized while a program has it open: qemu-storage-daemon 10.0
# by block_resize, and `vhost serve blk` by SIGHUP.
. "$(dirname "$0")/lib.sh"
peers

watch() { # socket
    in_background "$BLK_WATCH" "user:$1"
    watch_log=$log
    within 10 grep -q "^capacity $((16 << 20))\$" "$watch_log"
}

saw() { within 10 grep -q "^capacity $1\$" "$watch_log" || { cat "$watch_log"; return 1; }; }

# command JSON: to the monitor of the daemon, and its answer
command() {
    python3 - "$work/qmp.sock" "$1" <<'PYTHON'
import json, socket, sys
s = socket.socket(socket.AF_UNIX)
s.connect(sys.argv[1])
f = s.makefile("rw")
f.readline()
for c in ('{"execute": "qmp_capabilities"}', sys.argv[2]):
    print(c, file=f, flush=True)
    while True:
        answer = json.loads(f.readline())
        if "return" in answer or "error" in answer:
            break
print(answer)
sys.exit("error" in answer)
PYTHON
}

truncate -s 16M "$work/a.img" "$work/b.img"
in_background "$root/lib64/ld-linux-x86-64.so.2" \
    --library-path "$root/usr/lib/x86_64-linux-gnu" \
    "$root/usr/bin/qemu-storage-daemon" \
    --chardev "socket,id=qmp,path=$work/qmp.sock,server=on,wait=off" --monitor qmp \
    --blockdev "driver=file,filename=$work/a.img,node-name=disk" \
    --export "type=vhost-user-blk,id=e0,node-name=disk,writable=on,addr.type=unix,addr.path=$work/a.sock"
check "qemu-storage-daemon comes up" wait_for_socket "$work/a.sock"
check "qemu-storage-daemon: the program sees 16 MiB" watch "$work/a.sock"
check "block_resize is taken" command \
    '{"execute": "block_resize", "arguments": {"node-name": "disk", "size": 50331648}}'
check "qemu-storage-daemon: the program sees 48 MiB" saw $((48 << 20))

in_background "$VHOST" serve blk "$work/b.img" --socket "$work/b.sock"
server=$!
check "vhost serve blk comes up" wait_for_socket "$work/b.sock"
check "vhost serve: the program sees 16 MiB" watch "$work/b.sock"
truncate -s 40M "$work/b.img"
kill -HUP $server
check "vhost serve: the program sees 40 MiB" saw $((40 << 20))
truncate -s 0 "$work/b.img"
kill -HUP $server
sleep 1
check "a file that became empty is no reason to end" kill -0 $server
finish
