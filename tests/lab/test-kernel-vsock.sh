#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# vhost-vsock of a real kernel: streams both ways, also with rings that move to
# another device, dirty log, IOTLB, and what goes wrong.
programs=(tests/lab/lab-kernel-vsock)
options=(-s 2 -t 200)
. "$(dirname "$0")/lib.sh"

suite lab-kernel-vsock
finish
