# shellcheck shell=bash
# SPDX-License-Identifier: BSD-3-Clause
# What the tests of the command share.
. "$(dirname "${BASH_SOURCE[0]}")/../lib/tap.sh"

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
    rm -f "$work/$name.log" # an earlier one says that it serves
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

hash_of() { sha256sum <"$1"; }
