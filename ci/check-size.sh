#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# check-size.sh - no .c over 600 lines, no private header over 150, no function
# over 60.  What is longer for a good reason stands in ci/size-allow, with the
# reason.  Run from the top of the tree.
set -euo pipefail
allow=$(grep -v '^#' ci/size-allow | awk 'NF { print $1 }' || true)
ok() { grep -qxF -- "$1" <<<"$allow"; }
bad=0
while read -r n f; do
    case $f in
    include/*) max=600 ;;
    *.h) max=150 ;;
    *) max=600 ;;
    esac
    if [ "$n" -gt $max ] && ! ok "$f"; then
        echo "$f: $n lines, at most $max"
        bad=1
    fi
done < <(find src include cli examples bench -name '*.[ch]' -exec wc -l {} + |
    awk '$2 != "total" { print $1, $2 }')
while read -r f name len; do
    if [ "$len" -gt 60 ] && ! ok "$f:$name"; then
        echo "$f:$name: $len lines, at most 60"
        bad=1
    fi
done < <(find src cli examples bench tests -name '*.c' -print0 |
    xargs -0 ctags -x --c-kinds=f --fields=+ne --_xformat='%F %N %n %e' |
    awk '{ print $1, $2, $4 - $3 + 1 }')
exit $bad
