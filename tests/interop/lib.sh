# shellcheck shell=bash
# SPDX-License-Identifier: BSD-3-Clause
# What the interop tests share.
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
. "$here/../lib/tap.sh"

peers() { root=$("$here/peers.sh"); }

# Runs a program of Debian 13 with its own libraries, without chroot.
peer() {
    local program=$1
    shift
    "$root/lib64/ld-linux-x86-64.so.2" \
        --library-path "$root/usr/lib/x86_64-linux-gnu" "$root$program" "$@"
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
