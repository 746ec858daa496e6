#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# passt with --vhost-user as back end of `vhost bridge`: TCP of this host's own
# stack goes through a tap, our driver and passt, to a server, and back.  passt
# serves one connection, then ends.
. "$(dirname "$0")/lib.sh"
peers
sock=$work/p.sock
chmod 755 "$work"

# passt in a network without a way out is in "local mode": these addresses.
guest=169.254.2.1/16
host=10.9.0.1 # what we call the loopback address of passt's network

passt() {
    local libs=$root/usr/lib/x86_64-linux-gnu
    in_network host "$root/lib64/ld-linux-x86-64.so.2" --library-path "$libs" \
        "$root/usr/bin/passt" --vhost-user -f --one-off --runas 0 -s "$sock" \
        --map-host-loopback $host
}

bridge() { # options…
    in_background in_network guest "$VHOST" bridge "user:$sock" --tap t0 "$@"
    bridge=$!
    within 10 grep -q '^bridging ' "$log" || { cat "$log"; return 1; }
    ip -n "vhost-guest-$$" addr add $guest dev t0 &&
        ip -n "vhost-guest-$$" link set t0 up &&
        ip -n "vhost-guest-$$" route add default dev t0
}

guest_does() { (in_network guest "$@"); }

check "networks for passt and for its guest" eval "a_network host && a_network guest"
in_background in_network host echo_server 127.0.0.1 8000
check "a server in passt's network" within 10 grep -qs listening "$log"
server_log=$log

for options in "--offloads" "--no-offloads" "--queue-size 64"; do
    rm -f "$sock"*
    in_background passt
    passt=$!
    check "passt comes up" wait_for_socket "$sock"
    # shellcheck disable=SC2086
    check "vhost bridge $options joins passt and a tap" bridge $options
    check "bridge $options: 8 MiB of TCP go through passt and come back the same" \
        guest_does sends_and_gets_back $host 8000 8
    end $bridge
    check "bridge $options: passt ends with its one connection" \
        within 10 eval "! kill -0 $passt 2>/dev/null"
done
check "the server saw three times 8 MiB" \
    [ "$(grep -c 'got 8388608 bytes' "$server_log")" = 3 ]
finish
