# SPDX-License-Identifier: BSD-3-Clause
# What the interop tests share.  Sourced with $VHOST, the command under test.
#
# A test prints a line per check, as TAP has it: "ok - NAME", "not ok - NAME",
# "ok - NAME # SKIP reason"; what explains a failure follows as "# …".
set -uo pipefail
: "${VHOST:?the vhost command under test}"
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
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
    rm -rf "$work"
}
trap cleanup EXIT

peers() { root=$("$here/peers.sh"); }

# Runs a program of Debian 13 with its own libraries, without chroot.
peer() {
    local program=$1
    shift
    "$root/lib64/ld-linux-x86-64.so.2" \
        --library-path "$root/usr/lib/x86_64-linux-gnu" "$root$program" "$@"
}

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

# in_background COMMAND…: ended when the test ends; $! is its pid
in_background() {
    "$@" >"$work/background.$((${#pids[@]})).log" 2>&1 </dev/null &
    pids+=($!)
}

# wait_for_socket PATH: at most 10 seconds
wait_for_socket() {
    local i
    for ((i = 0; i < 200; i++)); do
        [ -S "$1" ] && return 0
        sleep 0.05
    done
    echo "no socket at $1"
    cat "$work"/background.*.log
    return 1
}

# A file of SIZE with data, holes and zeroes in it, the same in each run.
make_image() { # path, MiB
    truncate -s "$2M" "$1"
    python3 - "$1" "$2" <<'PY'
import random, sys
r = random.Random(7)
with open(sys.argv[1], 'r+b') as f:
    for mib in range(int(sys.argv[2])):
        if mib % 3 == 2:
            continue                      # a hole
        f.seek(mib << 20)
        f.write(bytes(4096) if mib % 3 == 1 else r.randbytes(1 << 19))
PY
}

finish() { exit $failed; }
