#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# vhost-scsi of a real kernel: a unit that is a file, written and read back, several
# queues and workers, dirty log, and what goes wrong.
programs=(tests/lab/lab-kernel-scsi)
options=(-s 2 -t 200)
. "$(dirname "$0")/lib.sh"

suite lab-kernel-scsi
finish
