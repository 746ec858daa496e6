#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Back ends that are not there, say nothing, say garbage, stop or die: each
# verb ends with an error within the deadline.
. "$(dirname "$0")/lib.sh"

truncate -s 64M "$work/disk.img"
head -c 1M /dev/urandom >"$work/src.img"

# A peer that does as told to each connection: close, garbage, or silence.
cat >"$work/peer.py" <<'PY'
import os, socket, sys
s = socket.socket(socket.AF_UNIX)
s.bind(sys.argv[1])
s.listen(8)
kept = []
while True:
    c, _ = s.accept()
    if sys.argv[2] == "garbage":
        c.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n" * 4)
    if sys.argv[2] == "close":
        c.recv(12)
        c.close()
    else:
        kept.append(c)
PY
for kind in close garbage silence; do
    python3 "$work/peer.py" "$work/$kind.sock" $kind &
    pids+=($!)
done
for ((i = 0; i < 100; i++)); do
    [ -S "$work/close.sock" ] && [ -S "$work/garbage.sock" ] &&
        [ -S "$work/silence.sock" ] && break
    sleep 0.05
done

# verbs NAME SOCKET WORDS: probe, copy and bench fail with these words
verbs() {
    local uri=user:$work/$2.sock
    check "$1: probe" fails_with 1 "$3" "$VHOST" probe "$uri" --deadline 500
    check "$1: copy to it" fails_with 1 "$3" \
        "$VHOST" copy "$work/src.img" "$uri" --deadline 500
    check "$1: copy from it" fails_with 1 "$3" \
        "$VHOST" copy "$uri" "$work/new.img" --deadline 500
    check "$1: copy leaves no file" test ! -e "$work/new.img"
    check "$1: bench" fails_with 1 "$3" "$VHOST" bench "$uri" --time 1 --deadline 500
}
verbs "no socket" none 'no such socket'
python3 -c 'import socket, sys; socket.socket(socket.AF_UNIX).bind(sys.argv[1])' "$work/stale.sock"
verbs "a socket that nobody serves" stale 'refused'
cp "$work/src.img" "$work/file.sock"
verbs "a file" file ''
verbs "a peer that closes" close '.'
verbs "a peer that talks something else" garbage '.'
verbs "a peer that says nothing" silence '500 ms'

serve d "$work/disk.img"
kill -STOP $server
verbs "a back end that is stopped" d '500 ms'
kill -CONT $server

# stop_during SIGNAL COMMAND…: the back end gets it while the command runs
stop_during() {
    local signal=$1 pid
    shift
    timeout -k 5 30 "$@" >"$work/out" 2>"$work/err" </dev/null &
    pid=$!
    sleep 0.7
    if ! kill -0 $pid || ! kill -"$signal" "$server"; then
        cat "$work/err"
        return 1
    fi
    wait $pid
    status=$?
    [ $status = 1 ] && [ "$(wc -l <"$work/err")" = 1 ] &&
        grep -q '^vhost: ' "$work/err" || show
}
serve n null:64G
check "stopped during bench" stop_during STOP \
    "$VHOST" bench "user:$work/n.sock" --time 20 --deadline 500
kill -CONT $server
check "killed during bench" stop_during KILL "$VHOST" bench "user:$work/n.sock" --time 20
serve n null:8T
check "stopped during copy" stop_during STOP \
    "$VHOST" copy "user:$work/n.sock" "$work/new.img" --deadline 500
check "... leaves no file" test ! -e "$work/new.img"
kill -CONT $server
check "killed during copy" stop_during KILL \
    "$VHOST" copy "user:$work/n.sock" "$work/new.img"
check "... leaves no file" test ! -e "$work/new.img"

# interrupted COMMAND…: SIGINT ends it with 1 and one line
interrupted() {
    timeout -s INT -k 10 0.7 "$@" >"$work/out" 2>"$work/err" </dev/null
    status=$?
    grep -qx 'vhost: interrupted' "$work/err" && [ ! -s "$work/out" ] || show
}
serve n null:8T
check "SIGINT ends a copy" interrupted "$VHOST" copy "user:$work/n.sock" "$work/new.img"
check "... which leaves no file" test ! -e "$work/new.img"
check "SIGINT ends a bench" interrupted "$VHOST" bench "user:$work/n.sock" --time 20
finish
