#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# check-words.sh - the tree names no path of one machine, and leaves nothing
# marked as unfinished.
set -uo pipefail
bad=0
git grep -nIE '/(work|farm|root)/|/tmp/(bash|build)' -- . ':!ci/check-words.sh' && bad=1
git grep -nIwE 'TODO|FIXME|XXX|HACK' -- '*.c' '*.h' '*.sh' '*.py' ':!ci/check-words.sh' && bad=1
exit $bad
