#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# vhost-net of a real kernel: frames both ways, several queues, dirty log, IOTLB,
# and what goes wrong.
programs=(tests/lab/lab-kernel-net)
options=(-s 2 -t 200)
. "$(dirname "$0")/lib.sh"

suite lab-kernel-net
finish
