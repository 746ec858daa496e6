#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# The kernel's own back ends, driven by this program as any other.
options=(-s 2 -t 120)
. "$(dirname "$0")/lib.sh"
tap() { ip tuntap add "$1" mode tap vnet_hdr && ip link set "$1" up; }
packets() { cat "/sys/class/net/$1/statistics/${2}_packets"; }

check "two taps come up" bash -c "$(declare -f tap); tap lab0 && tap lab1"
before=$(packets lab0 rx)
check "frames go to a tap through vhost-net" \
    vhost bench --transmit --time 1 --no-progress 'kernel:net?tap=lab0'
check "and arrive there" test "$(packets lab0 rx)" -gt "$((before + 1000))"

# What the host sends into one tap comes out of the other, and the way back.
vhost bridge 'kernel:net?tap=lab0' --tap lab1 &
bridge=$!
within 10 test "$(cat /sys/class/net/lab1/carrier)" = 1
before=$(packets lab1 rx)
for _ in 1 2 3 4 5; do busybox arping -c 1 -w 1 -I lab0 10.9.9.9 >/dev/null 2>&1; done
check "the bridge carries frames from one to the other" test "$(packets lab1 rx)" -gt "$before"
kill -INT $bridge
check "and ends when it is told" wait $bridge
check "a network device is no disk, in words" bash -c '
    ! vhost bench --time 1 "kernel:net?tap=lab0" 2>&1 | tee /dev/stderr | grep -q "IOPS"'
check "a device that there is not is named" bash -c '
    vhost bench --time 1 "kernel:gpu" 2>&1 | tee /dev/stderr | grep -q "net?tap=NAME"'
finish
