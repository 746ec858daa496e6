#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# check-protocol.sh BUILDDIR - docs/protocol.md is what ci/gen-protocol.py says,
# and the tests that it names are there.  Run from the top of the tree.
set -euo pipefail
python3 ci/gen-protocol.py "$1" | diff -u docs/protocol.md - || {
    echo "make it again: ci/gen-protocol.py $1 >docs/protocol.md"
    exit 1
}
