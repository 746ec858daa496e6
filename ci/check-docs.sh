#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# check-docs.sh - each public function is documented, its comment names it and
# its parameters, and the list of exported names (libvhost.map), the headers
# and docs/from-seed.md agree.  Run from the top of the tree.
exec python3 "$(dirname "$0")/check-docs.py" "$@"
