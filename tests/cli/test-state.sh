#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# vhost state: the state of a device to a file, and back.
. "$(dirname "$0")/lib.sh"
truncate -s 1M "$work/disk"
serve d "$work/disk" -v
uri=user:$work/d.sock

usage() { fails_with 2 "$@"; }
check "without arguments it is wrong usage" usage 'a file are needed' "$VHOST" state
check "with one argument too" usage 'a file are needed' "$VHOST" state save
check "as is another command" usage "Not 'move'" "$VHOST" state move "$uri" "$work/f"
check "a device is needed" usage "begins with 'user:'" "$VHOST" state save "$work/f" "$work/g"
check "state and result do not share standard output" usage 'not both' \
    "$VHOST" state save "$uri" - --json

saves() {
    run "$VHOST" state save "$uri" "$work/state"
    [ $status = 0 ] && [ ! -s "$work/out" ] && [ ! -s "$work/err" ] || show
}
is_a_disk() { # header of 12 bytes in one chunk, and the end
    [ "$(od -An -tx1 -v "$1" | tr -d ' \n')" = 0000000c766864730001000200000000"00000000" ]
}
check "the state of a disk is saved" saves
check "and is what it should be" is_a_disk "$work/state"
check "and may be read by its owner only" [ "$(stat -c %a "$work/state")" = 600 ]
check "it is loaded again" "$VHOST" state load "$uri" "$work/state"

serve e "$work/disk" # one serves one front end at a time
through_a_pipe() {
    "$VHOST" state save "$uri" - | "$VHOST" state load "user:$work/e.sock" -
    [ "${PIPESTATUS[*]}" = "0 0" ]
}
check "it goes through a pipe" through_a_pipe
"$VHOST" state save "$uri" - >"$work/piped"
check "and is the same there" cmp "$work/state" "$work/piped"
"$VHOST" state load "$uri" "$work/state" --json >"$work/json"
check "the result as JSON" grep -q '"bytes": *20' "$work/json"

head -c 9 "$work/state" >"$work/short"
check "a file that was cut off is refused" fails_with 1 'ends after 5 bytes of 12' \
    "$VHOST" state load "$uri" "$work/short"
head -c 64 /dev/urandom | tr '\000-\377' '\252' >"$work/noise"
check "one that is something else is refused" fails_with 1 'no saved state' \
    "$VHOST" state load "$uri" "$work/noise"
printf '\0\0\0\4abcd\0\0\0\0' >"$work/other"
check "the back end refuses what it does not know" fails_with 1 'says that the transfer' \
    "$VHOST" state load "$uri" "$work/other"
check "and says why" grep -q 'too short to be one' "$work/d.log"
printf '\0\0\0\14\126\150\144\163\0\1\0\2\0\0\0\0\0\0\0\0' >"$work/magic"
check "another magic too" fails_with 1 'says that the transfer' \
    "$VHOST" state load "$uri" "$work/magic"
check "no file: words" fails_with 1 'No such file' "$VHOST" state load "$uri" "$work/nowhere"
check "no back end: words, and no file" fails_with 1 'no such socket' \
    "$VHOST" state save "user:$work/nobody" "$work/new"
check "no file is made then" [ ! -e "$work/new" ]
check "a full disk is told" fails_with 1 'No space left' "$VHOST" state save "$uri" /dev/full
kill $server

serve n "$work/disk" -v --fault error@SET_DEVICE_STATE_FD
check "a back end that refuses" fails_with 1 'refused to transfer its state .error 1' \
    "$VHOST" state save "user:$work/n.sock" "$work/f"
kill $server
serve c "$work/disk" -v --fault close@CHECK_DEVICE_STATE
check "a back end that leaves" fails_with 1 'CHECK_DEVICE_STATE|hung up|gone|closed' \
    "$VHOST" state save "user:$work/c.sock" "$work/f"
kill $server
serve s "$work/disk" -v --fault drop@CHECK_DEVICE_STATE
check "a back end that does not answer ends at the deadline" fails_with 1 'no answer to CHECK' \
    "$VHOST" state save "user:$work/s.sock" "$work/f" --deadline 200
finish
