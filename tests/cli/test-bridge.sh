#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# vhost bridge: bad options, bad taps, and two network namespaces that reach
# each other through `vhost serve net` in one and `vhost bridge` in the other.
. "$(dirname "$0")/lib.sh"

usage() { fails_with 2 "$@"; }

check "bridge without a device" usage 'which device' "$VHOST" bridge --tap a
check "bridge of what is no URI" usage 'which device' "$VHOST" bridge /dev/null --tap a
check "bridge of two devices" usage 'Too many' "$VHOST" bridge user:a user:b --tap a
check "bridge without a tap" usage 'tap NAME is required' "$VHOST" bridge user:a
check "a tap without a name" usage 'has a name' "$VHOST" bridge user:a --tap ''
check "a tap with a name of 16 characters" usage '15 characters' \
    "$VHOST" bridge user:a --tap 1234567890123456
for name in a/b 'a b' a:b a%d $'a\tb' . ..; do
    check "a tap called '$name'" usage 'the name of a tap has no|called so' \
        "$VHOST" bridge user:a --tap "$name"
done
check "bridge --layout of an unknown name" usage 'split-in-order' \
    "$VHOST" bridge user:a --tap a --layout round
for n in 0 2 5 65536 x; do
    check "bridge --queue-size $n" usage '(power of two|number)' \
        "$VHOST" bridge user:a --tap a --queue-size $n
done

a=vhost-a-$$
b=vhost-b-$$
end_namespaces() {
    local p
    for p in "${pids[@]}"; do
        kill "$p" 2>/dev/null
    done
    ip netns del $a 2>/dev/null
    ip netns del $b 2>/dev/null
    cleanup
}

# What the rest needs, or why it can't be.
missing=
[ "$(id -u)" = 0 ] || missing="needs root"
[ -n "$missing" ] || [ -c /dev/net/tun ] || missing="there is no /dev/net/tun"
[ -n "$missing" ] || command -v ip >/dev/null || missing="there is no ip (iproute2)"
if [ -z "$missing" ]; then
    trap end_namespaces EXIT
    { ip netns add $a && ip netns add $b; } 2>"$work/netns.log" ||
        missing="no network namespaces: $(head -1 "$work/netns.log")"
fi
if [ -n "$missing" ]; then
    skip "frames pass between two namespaces" "$missing"
    finish
fi
in_a() { ip netns exec $a "$@"; }
in_b() { ip netns exec $b "$@"; }

no_errors() { # the way to leave words, on standard error only
    [ ! -s "$work/$1.err" ] || { cat "$work/$1.err"; return 1; }
}

# start_far ARGUMENTS…: the back end with tap va in namespace a
start_far() {
    rm -f "$work/far.log" # an earlier one says that it serves
    ip netns exec $a "$VHOST" serve net --tap va --socket "$work/n.sock" "$@" \
        >"$work/far.log" 2>&1 </dev/null &
    far=$!
    pids+=("$far")
    wait_for '^serving ' "$work/far.log" $far || return
    in_a ip address add 192.0.2.1/24 dev va && in_a ip link set va up
}

# start_near ARGUMENTS…: the bridge with tap vb in namespace b
start_near() {
    rm -f "$work/near.out"
    ip netns exec $b "$VHOST" bridge "user:$work/n.sock" --tap vb "$@" \
        >"$work/near.out" 2>"$work/near.err" </dev/null &
    near=$!
    pids+=("$near")
    wait_for '^bridging ' "$work/near.out" $near || return
    in_b ip address add 192.0.2.2/24 dev vb && in_b ip link set vb up
}

wait_for() { # pattern, file, pid: at most 10 seconds
    local i
    for ((i = 0; i < 200; i++)); do
        grep -qs "$1" "$2" && return 0
        kill -0 "$3" 2>/dev/null || break
        sleep 0.05
    done
    cat "$2" "${2%.*}.err"
    return 1
}

# ends STATUS PID: does it end within 10 seconds, and so?
ends() {
    local i
    for ((i = 0; i < 200; i++)); do
        kill -0 "$2" 2>/dev/null || break
        sleep 0.05
    done
    kill -0 "$2" 2>/dev/null && { echo "it still runs"; return 1; }
    wait "$2"
    [ $? = "$1" ]
}

stop_both() {
    kill $near
    ends 0 $near || return
    kill $far
    ends 0 $far
}

# Sends megabytes over TCP from one namespace to the other, and compares.
receive_tcp='
import hashlib, socket, sys
s = socket.create_server((sys.argv[1], 4711))
print("listening", flush=True)
s.settimeout(30)
c, _ = s.accept()
c.settimeout(30)
h, n = hashlib.sha256(), 0
while data := c.recv(65536):
    h.update(data)
    n += len(data)
print(n, h.hexdigest())'
send_tcp='
import hashlib, random, socket, sys
data = random.Random(5).randbytes(int(sys.argv[2]))
s = socket.create_connection((sys.argv[1], 4711), timeout=30)
s.sendall(data)
s.shutdown(socket.SHUT_WR)
print(len(data), hashlib.sha256(data).hexdigest())'
transfer() { # from, to, address of it, bytes
    rm -f "$work/got"
    ip netns exec "$2" timeout 60 python3 -c "$receive_tcp" "$3" >"$work/got" 2>&1 &
    local receiver=$!
    wait_for listening "$work/got" $receiver || return
    ip netns exec "$1" timeout 60 python3 -c "$send_tcp" "$3" "$4" >"$work/sent" ||
        { kill $receiver; return 1; }
    wait $receiver
    diff "$work/sent" <(tail -n +2 "$work/got")
}

bytes=$((4 << 20))
pings() { in_b ping -c 3 -i 0.2 -W 5 192.0.2.1; }
far_pings() { in_a ping -c 3 -i 0.2 -W 5 192.0.2.2; }
passes() { # what, ARGUMENTS of the bridge…
    local what=$1
    shift
    check "$what: the back end starts" start_far
    check "$what: the bridge starts" start_near "$@"
    if command -v ping >/dev/null; then
        check "$what: ping" pings
        check "$what: ping from the other side" far_pings
    else
        skip "$what: ping" "there is no ping"
    fi
    check "$what: TCP to the device, byte for byte" transfer $b $a 192.0.2.1 $bytes
    check "$what: TCP from the device, byte for byte" transfer $a $b 192.0.2.2 $bytes
    check "$what: both end when they are asked to" stop_both
    check "$what: no complaints" no_errors near
}

passes "offloads" --offloads
check "... are said to be in use" grep -q '^bridging .*, offloads$' "$work/near.out"
# A segment of TCP is up to 64 KiB: far fewer frames than of 1500 bytes.
# Those who acknowledge them send frames, too, at most one for each.
frames_between() { # least, most, "to the device" or "to the tap"
    local frames
    frames=$(sed -n "s/^ *$3 *\([0-9]*\) frames.*/\1/p" "$work/near.out")
    echo "$frames frames"
    [ "$frames" -ge "$1" ] && [ "$frames" -le "$2" ]
}
check "... so that segments are not cut" frames_between 60 2700 "to the device"
passes "no offloads" --no-offloads
check "... are not said to be in use" grep -q '^bridging .*entries\(, mergeable\)\?$' "$work/near.out"
check "... so that frames are of the MTU" frames_between 2800 20000 "to the device"
for layout in split split-in-order packed packed-in-order; do
    check "$layout: the back end starts" start_far
    check "$layout: the bridge starts" start_near --layout $layout --queue-size 64
    check "$layout: says so" grep -q ": $layout, 64 entries" "$work/near.out"
    check "$layout: TCP, byte for byte" transfer $b $a 192.0.2.1 $bytes
    check "$layout: TCP back, byte for byte" transfer $a $b 192.0.2.2 $bytes
    check "$layout: both end when they are asked to" stop_both
done

far_without_merging() { start_far --hide-feature VIRTIO_NET_F_MRG_RXBUF; }
check "no mergeable buffers: the back end starts" far_without_merging
check "no mergeable buffers: the bridge starts" start_near
check "... TCP from the device in whole segments" transfer $a $b 192.0.2.2 $bytes
check "... both end" stop_both
check "... that are not cut" frames_between 60 2700 "to the tap"

start_json() {
    ip netns exec $b "$VHOST" bridge "user:$work/n.sock" --tap vb --json -v \
        >"$work/near.json" 2>"$work/near.err" </dev/null &
    near=$!
    pids+=("$near")
    local i
    for ((i = 0; i < 200; i++)); do
        in_b ip address add 192.0.2.2/24 dev vb 2>/dev/null && break
        sleep 0.05
    done
    in_b ip link set vb up
}
check "as JSON: the back end starts" start_far
check "as JSON: the bridge starts" start_json
check "as JSON: TCP" transfer $b $a 192.0.2.1 $bytes
check "as JSON: both end" stop_both
check "bridge --json has the documented keys" python '
import json, sys
d = json.load(open(sys.argv[1]))
want = {"uri", "tap", "queue_size", "layout", "mergeable", "offloads",
        "to_device", "to_tap", "lost"}
assert set(d) == want, set(d) ^ want
for way in d["to_device"], d["to_tap"]:
    assert set(way) == {"frames", "bytes", "dropped"}, way
    assert way["frames"] > 0 and way["bytes"] >= 14 * way["frames"], way
assert d["to_device"]["bytes"] > 4 << 20, d
assert d["lost"] == 0, d
assert d["tap"] == "vb" and d["queue_size"] == 256' "$work/near.json"
check "... and -v tells of frames" grep -q 'frames to it' "$work/near.err"

check "a back end that dies: it starts" start_far
check "... and the bridge" start_near
kill -KILL $far
check "... ends the bridge with 1" ends 1 $near
check "... in words" grep -q '^vhost: user:.*closed the connection' "$work/near.err"
check "... once" test "$(wc -l <"$work/near.err")" = 1

check "a tap that is removed: the back end starts" start_far
check "... and the bridge" start_near
in_b ip link del vb
check "... ends the bridge with 1" ends 1 $near
check "... in words" grep -q '^vhost: tap vb: it was removed' "$work/near.err"
check "a second bridge on a tap" bash -c '
    ip netns exec "$1" "$VHOST" bridge "user:$2" --tap vc >"$3.1" 2>&1 &
    first=$!
    for i in $(seq 100); do grep -q bridging "$3.1" && break; sleep 0.05; done
    ip netns exec "$1" "$VHOST" bridge "user:$2" --tap vc >"$3.2" 2>&1
    status=$?
    kill $first
    wait $first
    cat "$3.1" "$3.2"
    [ $status = 1 ] && grep -q "tap vc: another program uses it" "$3.2"' \
    - $b "$work/n.sock" "$work/second"
kill $far

check "an interface that is no tap" fails_with 1 'tap lo: .*no tap' \
    ip netns exec $b "$VHOST" bridge user:x --tap lo
check "no permission" fails_with 1 'tap vz: no permission' \
    ip netns exec $b setpriv --reuid 65534 --clear-groups "$VHOST" bridge user:x --tap vz
check "no /dev/net/tun" fails_with 1 'no /dev/net/tun' \
    unshare -m sh -c 'mount -t tmpfs none /dev/net && exec "$@"' - \
    "$VHOST" bridge user:x --tap vz
check "no back end" fails_with 1 'no such socket' \
    ip netns exec $b "$VHOST" bridge "user:$work/none" --tap vz
gone() { ! in_b ip link show "$1"; }
check "... leaves no tap behind" gone vz
finish
