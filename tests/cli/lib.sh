# shellcheck shell=bash
# SPDX-License-Identifier: BSD-3-Clause
# What the tests of the command share.  Sourced with $VHOST, the command.
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

# run COMMAND…: sets $status; the output is in $work/out and $work/err
run() {
    timeout -k 5 60 "$@" >"$work/out" 2>"$work/err" </dev/null
    status=$?
}

show() {
    echo "status $status"
    cat "$work/out" "$work/err"
    return 1
}

# fails_with STATUS WORDS COMMAND…: ends with that status, says WORDS (a
# pattern of grep -E) on standard error, in one line that begins with "vhost: ",
# and nothing on standard output
fails_with() {
    local want=$1 words=$2
    shift 2
    run "$@"
    [ "$status" = "$want" ] && grep -qE -- "$words" "$work/err" &&
        [ ! -s "$work/out" ] || show || return
    [ "$want" = 2 ] && return
    [ "$(wc -l <"$work/err")" = 1 ] && grep -q '^vhost: ' "$work/err" || show
}

# serve NAME ARGUMENTS…: a back end at $work/NAME.sock; sets $server
serve() {
    local name=$1 i
    shift
    "$VHOST" serve blk "$@" --socket "$work/$name.sock" \
        >"$work/$name.log" 2>&1 </dev/null &
    server=$!
    pids+=("$server")
    for ((i = 0; i < 200; i++)); do
        grep -qs '^serving ' "$work/$name.log" && return 0
        kill -0 $server 2>/dev/null || break
        sleep 0.05
    done
    failed=1
    echo "not ok - a back end at $name.sock"
    sed 's/^/# /' "$work/$name.log"
    return 1
}

# python PROGRAM ARGUMENTS…: false if it raises
python() { python3 -c "$@"; }

hash_of() { sha256sum <"$1"; }

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
