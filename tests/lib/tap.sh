# shellcheck shell=bash
# SPDX-License-Identifier: BSD-3-Clause
# What tests in shell share.  Sourced with $VHOST, the command under test.
#
# A test prints a line per check, as TAP has it: "ok - NAME", "not ok - NAME",
# "ok - NAME # SKIP reason"; what explains a failure follows as "# …".
set -uo pipefail
: "${VHOST:?the vhost command under test}"
[ -x "$VHOST" ] || { echo "not ok - there is no $VHOST"; exit 1; }
work=$(mktemp -d)
pids=()
failed=0

cleanup() {
    local p
    for p in "${pids[@]}"; do
        kill -CONT "$p" 2>/dev/null
        kill "$p" 2>/dev/null
    done
    wait 2>/dev/null
    mountpoint -q "$work/small" 2>/dev/null && umount "$work/small"
    rm -rf "$work"
}
trap cleanup EXIT

# check NAME COMMAND…: one check; the command's output is shown if it fails
check() {
    local name=$1
    shift
    if "$@" >"$work/check.log" 2>&1; then
        echo "ok - $name"
    else
        echo "not ok - $name"
        sed 's/^/# /' "$work/check.log" | tail -20
        failed=1
    fi
}

skip() { echo "ok - $1 # SKIP $2"; }

# python PROGRAM ARGUMENTS…: false if it raises
python() { python3 -c "$@"; }

# A file with data, holes, zeroes and a data block alone, the same in each run.
make_image() { # path, MiB
    truncate -s "$2M" "$1"
    python '
import random, sys
r = random.Random(7)
with open(sys.argv[1], "r+b") as f:
    for mib in range(int(sys.argv[2])):
        f.seek(mib << 20)
        if mib % 4 == 0:
            f.write(r.randbytes(1 << 20))
        elif mib % 4 == 1:
            f.write(bytes(4096))
        elif mib % 4 == 2:
            f.seek((mib << 20) + 300 * 1024)
            f.write(r.randbytes(512))' "$1" "$2"
}

finish() { exit $failed; }
