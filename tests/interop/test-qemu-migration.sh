#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# A Linux guest that moves from one QEMU 10.0 to another while it writes, its disk
# from one `vhost serve blk` to a second over the same image: QEMU asks each for
# the dirty log, and nothing that the disk wrote to the guest's memory is lost.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/guest.sh"
peers

# It reads what it wrote from the disk, and once more from its cache: if a page
# that the disk wrote to were not in the log, the cache would be wrong afterwards.
# Another file each time, since the kernel takes the same pages again.
job() {
    cat <<'JOB'
mount -t ext4 /dev/vda /mnt && say mounted
cd /mnt
for n in 0 1 2 3 4; do
    head -c 5000000 /dev/urandom >origin$n
    sha256sum origin$n >origin$n.sum
done
sync
say ready
i=0 wrong=0
while [ $i -lt 36 ]; do
    sha256sum -c -s origin$((i % 5)).sum || wrong=$((wrong + 1))
    i=$((i + 1))
    echo 3 >/proc/sys/vm/drop_caches
    sha256sum -c -s origin$((i % 5)).sum || wrong=$((wrong + 1))
    head -c 300000 /dev/urandom >file$((i % 20))
    sync
    say "round $i"
done
[ $wrong = 0 ] && say "read right"
sha256sum file* >sums
cd / && umount /mnt && say unmounted
JOB
}
an_initramfs() { job | initramfs virtio_pci virtio_blk ext4; }

serve() { # NAME
    in_background "$VHOST" serve blk "$work/disk.img" --socket "$work/$1.sock"
    wait_for_socket "$work/$1.sock"
}

machine() { # NAME OPTIONS…
    local name=$1
    shift
    qemu "$work/$name.console" \
        -chardev "socket,id=disk,path=$work/$name.sock" \
        -device vhost-user-blk-pci,chardev=disk,num-queues=1 \
        -qmp "unix:$work/$name.qmp,server=on,wait=off" "$@" &
    pids+=($!)
}

wait_until() { # SECONDS COMMAND…
    local i seconds=$1
    shift
    for ((i = 0; i < seconds * 10; i++)); do
        "$@" && return
        sleep 0.1
    done
    return 1
}

comes_up() {
    machine a
    wait_until 60 said "$work/a.console" ready || { tail -c 2000 "$work/a.console"; return 1; }
}

# qmp NAME COMMAND [ARGUMENTS]: the answer
qmp() {
    python3 -c '
import json, socket, sys
s = socket.socket(socket.AF_UNIX)
s.settimeout(20)
s.connect(sys.argv[1])
f = s.makefile("rw")
def ask(name, **arguments):
    f.write(json.dumps({"execute": name, "arguments": arguments}) + "\n")
    f.flush()
    while True:
        answer = json.loads(f.readline())
        if "error" in answer:
            sys.exit(str(answer["error"]))
        if "return" in answer:
            return answer["return"]
f.readline()
ask("qmp_capabilities")
print(json.dumps(ask(sys.argv[2], **json.loads(sys.argv[3] if len(sys.argv) > 3 else "{}"))))' \
        "$work/$1.qmp" "${@:2}"
}

migrated() { qmp a query-migrate | grep -q '"status": "completed"'; }

moves() {
    machine b -incoming "unix:$work/incoming.sock"
    b=$!
    wait_until 20 test -S "$work/incoming.sock" || return
    qmp a migrate-set-parameters '{"downtime-limit": 300, "max-bandwidth": 30000000}' || return
    qmp a migrate "{\"uri\": \"unix:$work/incoming.sock\"}" || return
    sleep 4 # it works on while all of its memory is on its way
    qmp a migrate-set-parameters '{"max-bandwidth": 500000000}' || return
    wait_until 90 migrated || { qmp a query-migrate; return 1; }
    qmp a quit >/dev/null
    qmp b query-status | grep -q running
}

goes_on() { is_over $b 120 "$work/b.console"; }
left_sound() { e2fsck -fn "$work/disk.img"; }
left_written() {
    mkdir -p "$work/tree" && debugfs -R "rdump / $work/tree" "$work/disk.img" &&
        (cd "$work/tree" && [ "$(wc -l <sums)" = 20 ] && sha256sum -c --quiet sums origin?.sum)
}

check "an initramfs with virtio-blk and ext4" an_initramfs
truncate -s 96M "$work/disk.img"
mke2fs -q -t ext4 "$work/disk.img"
check "vhost serve blk comes up" serve a
check "and a second one, over the same image" serve b
check "the guest comes up" comes_up
check "it moves to another QEMU, and another back end, while it writes" moves
check "it goes on there, to its end" goes_on
check "what it read from its disk was right, before and after" said "$work/b.console" "read right"
check "it unmounts its disk" said "$work/b.console" unmounted
check "the file system is sound" left_sound
check "every file is there, unharmed" left_written
finish
