#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# check-floors.sh [BUILDDIR] - the floors of docs/design.md hold: no file
# includes a floor above its own, nor another room on its floor; and, given a
# build, no room calls one.  Run from the top of the tree.
set -euo pipefail

floor() {
    case $1 in
    util) echo 0 ;;
    mem | ring | wire) echo 1 ;;
    svq) echo 2 ;;
    backend | server) echo 3 ;;
    core) echo 4 ;;
    device) echo 5 ;;
    driver) echo 6 ;;
    *) echo 99 ;;
    esac
}

bad=0
allowed() { # from, to
    [ "$1" = "$2" ] || [ "$(floor "$2")" -lt "$(floor "$1")" ]
}

while read -r f; do
    me=${f#src/} me=${me%%/*}
    for you in $(sed -n 's/^#include "\([a-z]*\)\/.*/\1/p' "$f" | sort -u); do
        allowed "$me" "$you" && continue
        echo "$f: floor $(floor "$me") includes $you/, floor $(floor "$you")"
        bad=1
    done
done < <(find src -name '*.[ch]')

# The command, and the examples, stand on the public headers alone.
if grep -nE '^#include "(util|mem|ring|wire|svq|backend|server|core|device|driver)/' \
    cli/*.[ch] examples/*.c; then
    echo "cli/ and examples/ include <vhost/…> only"
    bad=1
fi

if [ -n "${1:-}" ]; then
    w=$(mktemp -d)
    trap 'rm -rf "$w"' EXIT
    for lib in "$1"/src/*/libvh_*.a; do
        room=$(basename "$lib" .a) room=${room#libvh_}
        nm "$lib" 2>/dev/null | awk -v r="$room" \
            '$2 ~ /^[TDRB]$/ { print $3, r }' >>"$w/defined"
    done
    sort -k1,1 -o "$w/defined" "$w/defined"
    for lib in "$1"/src/*/libvh_*.a; do
        room=$(basename "$lib" .a) room=${room#libvh_}
        nm -u "$lib" 2>/dev/null | awk '$1 == "U" { print $2 }' | sort -u |
            join - "$w/defined" | while read -r sym you; do
                allowed "$room" "$you" || echo "$room/ calls $sym of $you/"
            done
    done >"$w/calls"
    [ -s "$w/calls" ] && { cat "$w/calls"; bad=1; }
fi
exit $bad
