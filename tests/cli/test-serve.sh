#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# vhost serve and vhost probe.
. "$(dirname "$0")/lib.sh"

truncate -s 64M "$work/disk.img"

gone() { # pid, socket: ended with 0 and left nothing
    local r
    wait "$1"
    r=$?
    [ $r = 0 ] && [ ! -e "$2" ] || { echo "status $r"; ls -l "$2"; return 1; }
}

for signal in INT TERM; do
    check "serve says where" serve d "$work/disk.img"
    check "the line has size and socket" \
        grep -qxF "serving $work/disk.img (64.0 MiB) at $work/d.sock" "$work/d.log"
    kill -$signal $server
    check "SIG$signal ends it with 0 and removes the socket" gone $server "$work/d.sock"
done

check "serve of a missing file" fails_with 1 '[Nn]o such file' \
    "$VHOST" serve blk "$work/none.img" --socket "$work/x.sock"
check "... leaves no socket" test ! -e "$work/x.sock"
check "serve of a directory" fails_with 1 "$work" \
    "$VHOST" serve blk "$work" --socket "$work/x.sock"
check "serve in a missing directory" fails_with 1 '[Nn]o such file' \
    "$VHOST" serve blk "$work/disk.img" --socket "$work/none/x.sock"
long=$(printf 'x%.0s' {1..200})
check "serve at a path that is too long" fails_with 1 '' \
    "$VHOST" serve blk "$work/disk.img" --socket "$work/$long"
echo precious >"$work/file"
check "serve at a path that is a file" fails_with 1 '' \
    "$VHOST" serve blk "$work/disk.img" --socket "$work/file"
check "... leaves the file alone" grep -qx precious "$work/file"

check "serve with all options" serve d "$work/disk.img" --queues 4 --queue-size 512 \
    --block-size 4096 --serial S1 --poll-us 10 -v \
    --hide-feature VIRTIO_BLK_F_DISCARD --hide-feature 28
check "serve at a path in use" fails_with 1 "$work/d.sock" \
    "$VHOST" serve blk "$work/disk.img" --socket "$work/d.sock"

probe() { "$VHOST" probe "user:$work/$1.sock" --json >"$work/json"; }
check "the one before still answers" probe d
check "probe --json is one object with the documented keys" python '
import json, sys
d = json.load(open(sys.argv[1]))
want = {"uri", "type", "queues", "memory_slots", "status", "device_state",
        "features",
        "protocol_features", "protocol_features_in_use", "config"}
assert set(d) == want, set(d) ^ want
assert d["queues"] == 4
assert d["memory_slots"] > 0
assert d["status"] == 0
assert d["device_state"] is True
assert d["type"] == "blk"
for k in "features", "protocol_features", "protocol_features_in_use":
    assert set(d[k]) == {"bits", "names", "unknown"}
    n = bin(int(d[k]["bits"], 16)).count("1")
    assert n == len(d[k]["names"]) + len(d[k]["unknown"]), d[k]
c = d["config"]
want = {"capacity", "block_size", "physical_block_size", "min_io_size",
        "opt_io_size", "queues", "seg_max", "size_max", "read_only", "cache",
        "discard", "write_zeroes"}
assert set(c) == want, set(c) ^ want
assert c["capacity"] == 64 << 20
assert c["block_size"] == 4096
assert c["queues"] == 4
assert c["read_only"] is False' "$work/json"
check "hidden features are not offered, others are" python '
import json, sys
f = json.load(open(sys.argv[1]))["features"]
assert "VIRTIO_BLK_F_DISCARD" not in f["names"]
assert "VIRTIO_F_VERSION_1" in f["names"]
assert int(f["bits"], 16) >> 28 & 1 == 0' "$work/json"
run "$VHOST" probe "user:$work/d.sock"
check "probe for people tells the status" grep -qE '^ *status +0x00$' "$work/out"
check "probe for people tells whether its state can be had" \
    grep -qE '^ *device state +can be saved$' "$work/out"
check "probe for people names the features" grep -q 'VIRTIO_F_VERSION_1' "$work/out"
check "probe for people tells the capacity" \
    grep -qF '64.0 MiB (67108864 bytes)' "$work/out"
check "probe for people tells what is in use" grep -qF '(in use)' "$work/out"
run "$VHOST" probe "user:$work/d.sock" --type none --json
check "probe --type none has no configuration" python '
import json, sys
d = json.load(open(sys.argv[1]))
assert d["config"] is None and d["type"] == "none"
assert not [n for n in d["features"]["names"] if "BLK" in n]' "$work/out"
check "-v tells of connections" grep -q '^vhost: ' "$work/d.log"
kill $server
wait $server

check "serve --readonly" serve r "$work/disk.img" --readonly
probe r
check "probe sees that it is read only" python '
import json, sys
assert json.load(open(sys.argv[1]))["config"]["read_only"] is True' "$work/json"
kill $server

check "serve null:3G" serve n null:3G
check "its line has the size" grep -qF '(3.0 GiB)' "$work/n.log"
probe n
check "probe sees its size" python '
import json, sys
assert json.load(open(sys.argv[1]))["config"]["capacity"] == 3 << 30' "$work/json"
kill -KILL $server
wait $server 2>/dev/null
check "a stale socket is replaced" serve n null:1G
finish
