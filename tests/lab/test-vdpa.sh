#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# vDPA devices as a VMM has them: shadow queues under load, suspend and resume,
# address spaces, doorbells that are pages, and what is refused.
programs=(tests/lab/lab-vdpa)
options=(-v -s 2 -t 200)
. "$(dirname "$0")/lib.sh"

suite lab-vdpa
finish
