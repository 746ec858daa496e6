#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# vhost bench.
. "$(dirname "$0")/lib.sh"

truncate -s 16M "$work/disk.img"
serve d "$work/disk.img" --queues 2

check "reads, as JSON" bash -c '"$@" --json >"$0"' "$work/json" \
    "$VHOST" bench "user:$work/d.sock" --time 1
check "bench --json has the documented keys, and they fit together" python '
import json, sys
d = json.load(open(sys.argv[1]))
want = {"uri", "mode", "read_percent", "pattern", "block_size", "depth",
        "queues", "queue_size", "layout", "polling", "seconds", "reads", "writes", "iops",
        "bytes_per_second", "latency_ns"}
assert set(d) == want, set(d) ^ want
assert d["mode"] == "read" and d["pattern"] == "random"
assert d["reads"] > 0 and d["writes"] == 0
assert abs(d["iops"] * d["seconds"] - d["reads"]) < 1
assert abs(d["bytes_per_second"] - d["iops"] * 4096) < 1
l = d["latency_ns"]
assert set(l) == {"min", "mean", "p50", "p90", "p99", "p99_9", "max"}
steps = [l[k] for k in ("min", "p50", "p90", "p99", "p99_9", "max")]
assert steps == sorted(steps) and steps[0] > 0, steps
assert l["min"] <= l["mean"] <= l["max"]' "$work/json"
run "$VHOST" bench "user:$work/d.sock" --time 0.2 --layout packed --queue-size 64 --spin-us never --depth 4
check "a layout by name" grep -qE '^ +rings +packed, 64 entries$' "$work/out"
check "half a second is half a second" python '
import json, subprocess, sys
d = json.loads(subprocess.check_output([sys.argv[1], "bench", sys.argv[2],
                                        "--time", "0.5", "--json"]))
assert d["seconds"] == 0.5, d' "$VHOST" "user:$work/d.sock"
check "reads leave the disk alone" cmp -n 16777216 "$work/disk.img" /dev/zero
run "$VHOST" bench "user:$work/d.sock" --time 1 --queues 2 --sequential --polling --depth 4
check "two queues, sequential, polling" test $status = 0
check "... says so" grep -qF 'sequential read, 4.0 KiB, depth 4, 2 queues, polling' "$work/out"
check "... with percentiles" grep -qE '^ +99.9 % +[0-9.]+ [num]?s$' "$work/out"
check "a mix" bash -c '"$@" --json >"$0"' "$work/json" \
    "$VHOST" bench "user:$work/d.sock" --time 1 --mixed 70 --allow-write
check "... has both, in proportion" python '
import json, sys
d = json.load(open(sys.argv[1]))
assert d["mode"] == "mixed" and d["read_percent"] == 70
part = d["reads"] / (d["reads"] + d["writes"])
assert 0.6 < part < 0.8, part' "$work/json"
check "... writes data, everywhere" python '
import sys
d = open(sys.argv[1], "rb").read()
zero = sum(d[i:i + 4096] == bytes(4096) for i in range(0, len(d), 4096))
assert zero < 400, zero' "$work/disk.img"
check "more queues than there are" fails_with 1 '^vhost: ' \
    "$VHOST" bench "user:$work/d.sock" --queues 3
truncate -s 1M "$work/tiny.img"
serve t "$work/tiny.img"
check "blocks larger than the device are refused" fails_with 1 'too small' \
    "$VHOST" bench "user:$work/t.sock" --block-size 2M
serve b null:1G --block-size 4096
check "blocks smaller than the device's are refused" fails_with 1 'multiple' \
    "$VHOST" bench "user:$work/b.sock" --block-size 512
finish
