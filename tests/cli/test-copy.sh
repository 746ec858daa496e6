#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# vhost copy: what arrives, what is refused, what is left behind.
. "$(dirname "$0")/lib.sh"

make_image "$work/src.img" 32
used() { du -k "$1" | cut -f1; }

truncate -s 32M "$work/disk.img"
serve d "$work/disk.img" --queues 2
disk=$server
check "file to device" "$VHOST" copy "$work/src.img" "user:$work/d.sock"
check "... is the same" cmp "$work/src.img" "$work/disk.img"
check "device to file" "$VHOST" copy "user:$work/d.sock" "$work/back.img"
check "... is the same" cmp "$work/src.img" "$work/back.img"
check "... and as sparse" test "$(used "$work/back.img")" -le $(($(used "$work/src.img") + 64))

for depth in 1 2; do
    check "device to file, --depth $depth: zeroes do not end it" \
        "$VHOST" copy "user:$work/d.sock" "$work/one.img" --depth $depth
    check "... is the same" cmp "$work/src.img" "$work/one.img"
done

dd if=/dev/urandom of="$work/disk.img" bs=1M count=32 conv=notrunc status=none
check "over old data, with --verify" \
    "$VHOST" copy "$work/src.img" "user:$work/d.sock" --verify --json
cp "$work/check.log" "$work/json"
check "... is the same" cmp "$work/src.img" "$work/disk.img"
check "copy --json has the documented keys" python '
import json, sys
d = json.load(open(sys.argv[1]))
want = {"source", "destination", "bytes", "zero_bytes", "seconds",
        "bytes_per_second", "verified"}
assert set(d) == want, set(d) ^ want
assert d["bytes"] == 32 << 20 and d["verified"] is True
assert d["zero_bytes"] >= 16 << 20, d' "$work/json"

for options in "--depth 1 --block-size 4K" "--depth 64 --block-size 64K --queues 2" \
    "--depth 3 --block-size 16M"; do
    dd if=/dev/urandom of="$work/disk.img" bs=1M count=32 conv=notrunc status=none
    check "copy $options" "$VHOST" copy "$work/src.img" "user:$work/d.sock" $options
    check "... is the same" cmp "$work/src.img" "$work/disk.img"
done

truncate -s 32M "$work/disk2.img"
dd if=/dev/urandom of="$work/disk2.img" bs=1M count=32 conv=notrunc status=none
serve e "$work/disk2.img" --queues 2 --hide-feature VIRTIO_BLK_F_WRITE_ZEROES \
    --hide-feature VIRTIO_BLK_F_DISCARD
check "device to device, without write zeroes" \
    "$VHOST" copy "user:$work/d.sock" "user:$work/e.sock" --verify --queues 2
check "... is the same" cmp "$work/src.img" "$work/disk2.img"

# Not a whole number of blocks; it ends in data, and in a hole.
truncate -s 1048577 "$work/odd.img"
head -c 100 /dev/urandom | dd of="$work/odd.img" bs=1 seek=1048477 conv=notrunc status=none
serve b null:64M --block-size 4096
dd if=/dev/urandom of="$work/disk.img" bs=1M count=32 conv=notrunc status=none
cp "$work/disk.img" "$work/before.img"
check "a file of odd length" "$VHOST" copy "$work/odd.img" "user:$work/d.sock" --verify
check "... is there" cmp -n 1048577 "$work/odd.img" "$work/disk.img"
check "... its last block is filled with zeroes" python '
import sys
d = open(sys.argv[1], "rb").read()
assert d[1048577:1048576 + 512] == bytes(511)' "$work/disk.img"
check "... and what follows it is as it was" \
    cmp -i $((1048576 + 512)) "$work/before.img" "$work/disk.img"
: >"$work/empty"
check "an empty file" "$VHOST" copy "$work/empty" "user:$work/d.sock" --verify
check "--verify finds that a device forgets what is written" fails_with 1 \
    'differ at byte [0-9]+$' "$VHOST" copy "$work/src.img" "user:$work/b.sock" --verify

echo old >"$work/old"
check "a file is replaced as a whole" "$VHOST" copy "user:$work/d.sock" "$work/old" --verify
check "... is the same" cmp "$work/disk.img" "$work/old"

before=$(hash_of "$work/disk.img")
unchanged() { [ "$(hash_of "$work/disk.img")" = "$before" ]; }
truncate -s 33M "$work/large.img"
dd if=/dev/urandom of="$work/large.img" bs=1M count=1 conv=notrunc status=none
check "a device smaller than the file is refused" fails_with 1 'nothing was written' \
    "$VHOST" copy "$work/large.img" "user:$work/d.sock"
check "... and nothing was written" unchanged
serve l "$work/large.img"
check "a device smaller than the source device is refused" fails_with 1 \
    'nothing was written' "$VHOST" copy "user:$work/l.sock" "user:$work/d.sock" --force
check "... and nothing was written" unchanged
large_before=$(hash_of "$work/large.img")
check "a device larger than the source device is refused" fails_with 1 \
    'nothing was written; --force' "$VHOST" copy "user:$work/d.sock" "user:$work/l.sock"
check "... and nothing was written" \
    test "$(hash_of "$work/large.img")" = "$large_before"
check "... unless with --force" \
    "$VHOST" copy "user:$work/d.sock" "user:$work/l.sock" --force --verify
check "a missing source" fails_with 1 'none.img: No such file' \
    "$VHOST" copy "$work/none.img" "user:$work/d.sock"
check "a missing destination device" fails_with 1 'no such socket' \
    "$VHOST" copy "$work/src.img" "user:$work/none.sock"
check "a missing source device leaves no file" fails_with 1 'no such socket' \
    "$VHOST" copy "user:$work/none.sock" "$work/new.img"
check "... none" test ! -e "$work/new.img"
check "a directory as source" fails_with 1 'neither a regular file' \
    "$VHOST" copy "$work" "user:$work/d.sock"
mkfifo "$work/fifo"
check "a FIFO as source" fails_with 1 'neither a regular file' \
    "$VHOST" copy "$work/fifo" "user:$work/d.sock"
check "a device onto itself" fails_with 1 'are the same' \
    "$VHOST" copy "user:$work/d.sock" "user:$work/../$(basename "$work")/d.sock"
check "... and nothing was written" unchanged
kill $disk
wait $disk
serve d "$work/disk.img" --readonly
disk=$server
check "a read-only device" fails_with 1 'read only' \
    "$VHOST" copy "$work/src.img" "user:$work/d.sock"
check "... can be read" "$VHOST" copy "user:$work/d.sock" "$work/back.img" --verify

name="a full disk is told, and the file removed"
mkdir "$work/small"
if [ "$(id -u)" = 0 ] && mount -t tmpfs -o size=1m none "$work/small" 2>/dev/null; then
    check "$name" fails_with 1 'No space left on device' \
        "$VHOST" copy "user:$work/d.sock" "$work/small/file"
    check "... removed" test ! -e "$work/small/file"
    umount "$work/small"
else
    skip "$name" "cannot mount a tmpfs"
fi

unwritable() { # a process group without a terminal: nothing but the copy
    run "$VHOST" copy "user:$work/d.sock" "$work/back.img"
    [ $status = 0 ] && [ ! -s "$work/err" ] && [ ! -s "$work/out" ] || show
}
check "no terminal, no progress" unwritable
check "a terminal sees progress" bash -c '
    script -qec "$1 copy user:$2/d.sock $2/back.img" /dev/null </dev/null | grep -q "100 %"' \
    - "$VHOST" "$work"
check "--no-progress hides it" bash -c '
    ! script -qec "$1 copy user:$2/d.sock $2/back.img --no-progress" /dev/null </dev/null | grep "%"' \
    - "$VHOST" "$work"
# A back end that is killed in the middle, and started again.
outlives() {
    local i copy
    dd if=/dev/urandom of="$work/long.img" bs=1M count=96 status=none
    truncate -s 96M "$work/r.img"
    serve r "$work/r.img" || return
    "$VHOST" copy "$work/long.img" "user:$work/r.sock" --depth 1 --block-size 4K \
        --reconnect 20 --verify --json >"$work/out" 2>"$work/err" </dev/null &
    copy=$!
    for ((i = 0; i < 200 && $(stat -c %b "$work/r.img") == 0; i++)); do
        sleep 0.05 # a back end that was never reached is not looked for
    done
    for ((i = 0; i < 100; i++)); do
        sleep 0.1
        kill -0 $copy 2>/dev/null || break
        kill -9 "$server"
        wait "$server" 2>/dev/null
        serve r "$work/r.img" || return
    done
    [ $i -ge 2 ] || { echo "only $i interruptions"; return 1; }
    wait $copy && cmp "$work/long.img" "$work/r.img" || { cat "$work/err"; return 1; }
}
check "a copy goes on with the next back end, with --reconnect" outlives
gone() {
    serve g null:1G || return
    "$VHOST" copy "user:$work/g.sock" "$work/g.img" --depth 1 --block-size 4K --reconnect 1 >"$work/out" 2>"$work/err" </dev/null &
    local copy=$!
    sleep 0.5
    kill -9 "$server"
    ! wait $copy && grep -q 'has not come back within 1 s' "$work/err" || { cat "$work/err"; return 1; }
}
check "and ends when there is none in time" gone
check "--reconnect takes seconds" fails_with 2 'from 1 to 86400' \
    "$VHOST" copy "$work/src.img" "user:$work/d.sock" --reconnect soon
finish
