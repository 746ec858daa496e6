#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# DPDK's net_virtio_user, 22.11 and 24.11, as front end of `vhost serve net`, in
# each layout that it can ask for.  Frames go from a capture file through its
# driver to a loop of ours, and back into another: both files hold the same.
. "$(dirname "$0")/lib.sh"
peers
sock=$work/n.sock

# A capture of N frames from 60 to MAX bytes, the same in each run.
make_capture() { # file, frames, longest
    python '
import random, struct, sys
r = random.Random(11)
n, most = int(sys.argv[2]), int(sys.argv[3])
with open(sys.argv[1], "wb") as f:
    f.write(struct.pack("<IHHiIII", 0xa1b2c3d4, 2, 4, 0, 0, 65535, 1))
    for i in range(n):
        size = (60, most)[i % 2] if i < 2 else r.randint(60, most)
        data = bytes.fromhex("020000000001020000000002" "88b5")
        data += struct.pack("<I", i) + r.randbytes(size - 18)
        f.write(struct.pack("<IIII", i, 0, size, size) + data)' "$@"
}

same_frames() { # two captures: as many frames, in the same order, byte for byte
    python '
import struct, sys
def frames(name):
    data = open(name, "rb").read()
    at = 24
    while at < len(data):
        size, = struct.unpack_from("<I", data, at + 8)
        yield data[at + 16:at + 16 + size]
        at += 16 + size
a, b = (list(frames(name)) for name in sys.argv[1:3])
print(len(a), "frames out,", len(b), "back")
assert len(a) > 0 and len(a) == len(b)
for i, pair in enumerate(zip(a, b)):
    assert pair[0] == pair[1], "frame %d differs" % i' "$1" "$2"
}

serve_net() { # peer, options…
    in_background "$VHOST" serve net --peer "$1" --socket "$sock" "${@:2}"
    server=$!
    wait_for_socket "$sock"
}

# front VERSION DEVICE-OPTIONS FORWARD OPTIONS…: sets $front; its report is $log
# The device is port 0.
front() {
    in_background testpmd "$1" fe$$ 256 \
        --vdev "net_virtio_user0,path=$sock,queues=1,queue_size=1024,$2" "${@:4}" \
        --total-num-mbufs=16384 --no-mlockall --auto-start --stats-period 1 \
        --txd=1024 --rxd=1024 --no-flush-rx --forward-mode="$3"
    front=$!
}

# Whether testpmd showed that many packets of a port, or ended.
shows() { # RX|TX, port, packets
    kill -0 "$front" 2>/dev/null || return 0
    awk -v port="port $2 " -v what="$1-packets:" -v n="$3" '
        /NIC statistics for/ { here = index($0, port) > 0 }
        here && $1 == what { last = $2 }
        END { exit !(last >= n) }' "$log"
}

# There are never more frames under way than the queues hold: none may be lost.
# net_pcap makes chains of frames that are larger than an mbuf, and the driver
# of virtio sends and receives them so, if only nobody asks it for "scatter".
loop() { # version, device options, capture, frames
    rm -f "$work/back.pcap"
    front "$1" "$2" io --vdev "net_pcap0,rx_pcap=$3,tx_pcap=$work/back.pcap" \
        --
    within 15 shows RX 0 "$4"
    end "$front"
    same_frames "$3" "$work/back.pcap" || { tail -60 "$log" | grep -A12 Forward; return 1; }
}

# flow VERSION DEVICE-OPTIONS FORWARD RX|TX: more than queues hold, many times
flow() {
    front "$1" "$2" "$3" --
    within 15 shows "$4" 0 20000
    end "$front"
    [ "$(testpmd_count "$log" 0 "$4")" -ge 20000 ] || { tail -60 "$log" | grep -A12 Forward; return 1; }
}

make_capture "$work/small.pcap" 1000 1514
make_capture "$work/large.pcap" 100 9000
variants="
split:packed_vq=0,in_order=0,mrg_rxbuf=1
split,plain:packed_vq=0,in_order=0,mrg_rxbuf=0
split,in-order:packed_vq=0,in_order=1,mrg_rxbuf=1
split,in-order,plain:packed_vq=0,in_order=1,mrg_rxbuf=0
packed:packed_vq=1,in_order=0,mrg_rxbuf=1
packed,plain:packed_vq=1,in_order=0,mrg_rxbuf=0
packed,in-order:packed_vq=1,in_order=1,mrg_rxbuf=1
packed,in-order,plain:packed_vq=1,in_order=1,mrg_rxbuf=0
"

each() { # function, name, arguments of it behind version and device options
    local version v
    for version in 22.11 24.11; do
        for v in $variants; do
            # Without mergeable buffers there is no room for large frames.
            [[ $v == *mrg_rxbuf=0 && $2 != 1000* ]] && continue
            check "DPDK $version, ${v%%:*}: $2" "$1" $version "${v#*:}" "${@:3}"
        done
    done
}

serve_net loop: --queue-size 1024
each loop "1000 frames come back as they were" "$work/small.pcap" 1000
end "$server"
# In the indirect tables of packed rings DPDK says that the device may write to
# the header of what is sent (all entries begin with VIRTQ_DESC_F_WRITE), which
# virtio 1.3, 2.8.19 does not allow before a readable entry: we refuse it.
serve_net loop: --queue-size 1024 --hide-feature VIRTIO_F_INDIRECT_DESC
each loop "frames of 9000 bytes come back as they were" "$work/large.pcap" 100
end "$server"
serve_net null:
each flow "frames that are sent do not stop" txonly TX
end "$server"
serve_net source:64
each flow "frames that are received do not stop" rxonly RX
end "$server"
finish
