#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# vhost-net of a real kernel: frames both ways, several queues, dirty log, IOTLB,
# and what goes wrong.
programs=(tests/lab/lab-kernel-net)
options=(-s 2 -t 200)
. "$(dirname "$0")/lib.sh"

# Or the kernel sends frames of its own into each tap that comes up.
ipv6=/proc/sys/net/ipv6/conf/default/disable_ipv6
[ ! -e $ipv6 ] || echo 1 >$ipv6
suite lab-kernel-net
finish
