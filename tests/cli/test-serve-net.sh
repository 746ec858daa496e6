#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# vhost serve net: what is served, and what is refused in words.
. "$(dirname "$0")/lib.sh"

# serve_net NAME ARGUMENTS…: as serve, a network device
serve_net() {
    local name=$1 i
    shift
    rm -f "$work/$name.log"
    "$VHOST" serve net "$@" --socket "$work/$name.sock" \
        >"$work/$name.log" 2>&1 </dev/null &
    server=$!
    pids+=("$server")
    for ((i = 0; i < 200; i++)); do
        grep -qs '^serving ' "$work/$name.log" && return 0
        kill -0 $server 2>/dev/null || break
        sleep 0.05
    done
    cat "$work/$name.log"
    return 1
}

ends_clean() { # ended with 0 and left nothing
    kill "$server"
    wait "$server" && [ ! -e "$work/$1.sock" ]
}

refused() { # words, arguments
    local words=$1
    shift
    fails_with 1 "$words" "$VHOST" serve net "$@" --socket "$work/x.sock"
}

usage() { # words, arguments
    local words=$1
    shift
    fails_with 2 "$words" "$VHOST" serve net "$@"
}

for peer in loop: null: source:64; do
    check "serve net --peer $peer" serve_net d --peer $peer --queues 2 --mtu 9000 \
        --mac 02:00:00:00:00:07 --queue-size 256 --poll-us 5 --hide-feature VIRTIO_NET_F_CTRL_VQ
    check "its line has peer and socket" \
        grep -qxF "serving $peer at $work/d.sock" "$work/d.log"
    check "probe sees pairs and features" python '
import json, subprocess, sys
out = subprocess.run([sys.argv[1], "probe", sys.argv[2], "--type", "none", "--json"],
                     capture_output=True, check=True).stdout
d = json.loads(out)
bits = int(d["features"]["bits"], 16)
assert d["queues"] == 2, d["queues"]
for bit in 3, 5, 15, 16, 22, 32, 34, 35:
    assert bits >> bit & 1, bit
assert not bits >> 17 & 1' "$VHOST" "user:$work/d.sock"
    check "it ends with 0 and removes the socket" ends_clean d
done

check "no peer" usage 'tap NAME is required' --socket "$work/x.sock"
check "no socket" usage 'socket PATH is required' --peer loop:
check "two peers" usage 'is enough' --tap a --peer loop: --socket "$work/x.sock"
check "an argument too many" usage 'Too many arguments' x --peer loop: --socket "$work/x.sock"
check "no queues at all" usage 'queues' --peer loop: --queues 0 --socket "$work/x.sock"
check "too many queues" usage 'queues' --peer loop: --queues 129 --socket "$work/x.sock"
check "an MTU too small" usage 'from 68 to 65535' --peer loop: --mtu 67 --socket "$work/x.sock"
for mac in 1 02:00:00:00:00 02:00:00:00:00:0g 02:00:00:00:00:00:00 2:0:0:0:0:0; do
    check "$mac is no address" usage 'takes an address' --mac $mac --peer loop: --socket "$work/x.sock"
done
for mac in 01:00:00:00:00:00 00:00:00:00:00:00; do
    check "$mac is no address of a device" usage 'of a single device' --mac $mac \
        --peer loop: --socket "$work/x.sock"
done
check "a peer of no kind names the kinds" refused \
    'there are tap:NAME, loop:, null: and source:LEN' --peer pipe:
check "a frame too short" refused 'from 14 to 65535' --peer source:13
check "a frame too long" refused 'from 14 to 65535' --peer source:65536
check "a tap without a name" refused 'is empty' --tap ''
check "a name too long" refused 'at most 15 characters' --tap abcdefghijklmnop
check "a name that is a pattern" refused 'no interface can have' --tap 'tap%d'
check "none of them leaves a socket" test ! -e "$work/x.sock"

if [ ! -c /dev/net/tun ]; then
    check "without /dev/net/tun it says so" refused '/dev/net/tun' --tap vhost-t0
    skip "serve net --tap" "there is no /dev/net/tun"
    finish
fi
if ! unshare -rn true 2>/dev/null; then
    skip "serve net --tap" "no network namespace can be made here"
    finish
fi

# In a namespace of its own: all that follows.
inside() {
    unshare -rn env VHOST="$VHOST" work="$work" bash -c "$1"
}
# words, setup (which may set what is before the command), arguments: refused
in_namespace() {
    inside "$2
        timeout -k 5 60 \"\$@\" \"\$VHOST\" serve net $3 --socket \$work/x.sock >\$work/out 2>\$work/err
        echo \$? >\$work/status"
    [ "$(cat "$work/status")" = 1 ] && grep -qE -- "$1" "$work/err" &&
        [ ! -s "$work/out" ] && [ "$(wc -l <"$work/err")" = 1 ] ||
        { cat "$work/out" "$work/err"; return 1; }
}

check "an interface that is no tap" in_namespace 'lo is an interface, but no tap' '' '--tap lo'
check "a tun is no tap" in_namespace 't0 is an interface, but no tap' \
    'ip tuntap add t0 mode tun' '--tap t0'
check "a tap of one queue for two pairs" in_namespace "has only one queue.*'multi_queue'" \
    'ip tuntap add t0 mode tap' '--tap t0 --queues 2'
check "a tap in use" in_namespace 't0 is in use already' \
    '"$VHOST" serve net --tap t0 --socket "$work/busy.sock" >"$work/busy.log" &
     trap "kill $!" EXIT
     until grep -qs serving "$work/busy.log"; do sleep 0.05; done' '--tap t0'
check "a tap that is not there, without the right to make it" in_namespace \
    't0 is not there, and to make it needs CAP_NET_ADMIN' \
    'set -- setpriv --bounding-set=-net_admin --inh-caps=-all' '--tap t0'

serves() { # setup, arguments: serves, and ends with 0
    rm -f "$work/t.log"
    inside "$1
        \"\$VHOST\" serve net $2 --socket \"\$work/t.sock\" >\"\$work/t.log\" 2>&1 &
        for i in \$(seq 200); do grep -qs serving \"\$work/t.log\" && break; sleep 0.05; done
        \"\$VHOST\" probe user:\"\$work/t.sock\" --type none --json >\"\$work/json\" &&
        kill \$! && wait \$!" || { cat "$work/t.log"; return 1; }
}
check "a tap that is made" serves '' '--tap t0'
check "a tap that is there" serves 'ip tuntap add t0 mode tap' '--tap t0'
check "one for several queues, with one" serves 'ip tuntap add t0 mode tap multi_queue' '--tap t0'
check "one for several queues, with three" serves \
    'ip tuntap add t0 mode tap multi_queue' '--tap t0 --queues 3'
check "what a tap can do with headers is offered" python '
import json, sys
bits = int(json.load(open(sys.argv[1]))["features"]["bits"], 16)
for bit in 0, 1, 7, 8, 9, 11, 12, 13:
    assert bits >> bit & 1, bit' "$work/json"
finish
