#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# vhost probe without a URI: what this machine has, whatever that is.
. "$(dirname "$0")/lib.sh"

run "$VHOST" probe
check "probe alone ends with 0" test "$status" = 0
for node in /dev/vhost-net /dev/vhost-vsock /dev/vhost-scsi /dev/vduse/control /dev/net/tun; do
    tells() {
        if [ -e "$node" ]; then
            grep -qE "^ *$node +(yes|no permission)" "$work/out"
        else
            grep -qE "^ *$node +no: modprobe [a-z_]+$" "$work/out"
        fi || show
    }
    check "it tells whether there is $node" tells
done
check "it tells the limits" grep -qE '^ *max_mem_regions +([0-9]+|not told)' "$work/out"

run "$VHOST" probe --json
check "probe --json is one object with the documented keys" python '
import json, os, sys
o = json.load(open(sys.argv[1]))
assert set(o) >= {"kernel", "machine", "nodes", "max_mem_regions", "max_iotlb_entries"}, o
assert o["kernel"] == os.uname().release
for n in o["nodes"]:
    assert set(n) >= {"path", "present", "accessible", "module", "module_loaded", "uri"}, n
    if n["path"] != "/dev/vhost-vdpa-N":
        assert n["present"] == os.path.exists(n["path"]), n
    assert n["present"] or not n["accessible"], n
    assert n["present"] or n["uri"] is None, n
assert {"vhost_net", "vhost_vsock", "vhost_scsi", "vhost_vdpa"} <= {n["module"] for n in o["nodes"]}
' "$work/out"
finish
