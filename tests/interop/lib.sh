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

# testpmd VERSION PREFIX MIB OPTIONS…: of DPDK 22.11 (this machine's) or 24.11,
# without huge pages, its lcore 1 on the last processor.  Takes the place of the
# shell that runs it, so that the pid is testpmd's.  --single-file-segments:
# else a front end has more memory regions than vhost-user takes, and is silent.
testpmd() {
    local version=$1 prefix=$2 mib=$3
    shift 3
    set -- --lcores "(0,1)@$(($(nproc) - 1))" --no-huge --no-pci --no-shconf \
        --no-telemetry --single-file-segments -m "$mib" --file-prefix="$prefix" "$@"
    if [ "$version" = 22.11 ]; then
        exec dpdk-testpmd "$@"
    fi
    local libs=$root/usr/lib/x86_64-linux-gnu
    exec "$root/lib64/ld-linux-x86-64.so.2" --library-path "$libs" \
        "$root/usr/bin/dpdk-testpmd" -d "$(echo "$libs"/dpdk/pmds-*)" "$@"
}

# testpmd_count LOG PORT RX|TX: packets of a port, as testpmd tells at its end
testpmd_count() {
    awk -v port="port $2 " -v want="$3-packets:" '
        /Forward statistics for/ { here = index($0, port) > 0 }
        /Accumulated/ { here = 0 }
        here { for (i = 1; i < NF; i++) if ($i == want) { print $(i + 1); exit } }' "$1"
}

# echo_server ADDRESS PORT: takes what a TCP client sends until it has no more,
# then gives it all back
echo_server() {
    exec python3 -c '
import socket, sys
s = socket.create_server((sys.argv[1], int(sys.argv[2])))
print("listening", flush=True)
while True:
    c, _ = s.accept()
    data = bytearray()
    while piece := c.recv(65536):
        data += piece
    print("got", len(data), "bytes", flush=True)
    c.sendall(data)
    c.close()' "$@"
}

# sends_and_gets_back ADDRESS PORT MIB: what an echo_server() there returns is
# what was sent.  Little is on its way at a time: passt drops what its socket
# does not take, and leaves it to TCP to send that again, after ever longer waits.
sends_and_gets_back() {
    timeout 60 python3 -c '
import random, socket, sys, threading
data = random.Random(5).randbytes(int(sys.argv[3]) << 20)
c = socket.socket()
c.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 8192)
c.settimeout(20)
c.connect((sys.argv[1], int(sys.argv[2])))
c.sendall(data)
c.shutdown(socket.SHUT_WR)
back = bytearray()
while piece := c.recv(65536):
    back += piece
print("sent", len(data), "bytes, back", len(back))
assert back == data' "$@"
}

# a_network NAME: a network namespace, as long as this test
a_network() {
    ip netns add "vhost-$1-$$" && networks+=("vhost-$1-$$") &&
        ip -n "vhost-$1-$$" link set lo up
}

in_network() { # NAME COMMAND…: takes the place of the shell that runs it
    local name=vhost-$1-$$
    shift
    case $(type -t "$1") in
    function)
        export -f "$1"
        exec ip netns exec "$name" bash -c '"$@"' - "$@"
        ;;
    *) exec ip netns exec "$name" "$@" ;;
    esac
}

networks=()
leave_networks() {
    local n
    cleanup
    for n in "${networks[@]}"; do
        ip netns del "$n"
    done
}
trap leave_networks EXIT

# in_background COMMAND…: ended when the test ends; $! is its pid, and what it
# says is in $log
in_background() {
    log=$work/background.${#pids[@]}.log
    "$@" >"$log" 2>&1 </dev/null &
    pids+=($!)
}

# end PID: ends what in_background() started, and waits for it
end() {
    kill "$1" 2>/dev/null
    wait "$1" 2>/dev/null
}

# within SECONDS COMMAND…: whether it becomes true in that time
within() {
    local until=$((SECONDS + $1))
    shift
    until "$@"; do
        [ $SECONDS -le $until ] || return 1
        sleep 0.1
    done
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
