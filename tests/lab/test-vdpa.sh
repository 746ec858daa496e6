#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# vDPA devices as a VMM has them: shadow queues under load, suspend and resume,
# address spaces, doorbells that are pages, what is refused, and what is left of
# a device whose program was killed.
programs=(tests/lab/lab-vdpa tests/lab/lab-vdpa-faults /usr/bin/qemu-storage-daemon)
options=(-v -s 2 -t 200)
. "$(dirname "$0")/lib.sh"

suite lab-vdpa
truncate -s 8M "$work/disk.img"
check "a disk in user space comes up" vduse_blk vduse0 "$work/disk.img"
VDUSE_DISK=$(vhost_vdpa_of vduse0)
export VDUSE_DISK
ulimit -l unlimited # or what a device reaches is 8 MiB at most
suite lab-vdpa-faults
finish
