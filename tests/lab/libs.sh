#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# libs.sh ROOT PROGRAM… - copies the shared objects that each PROGRAM needs into
# ROOT: the system's at the paths they have here, others into /lab/so, as what a
# program's own run path says does not hold there.  A script needs none.
set -euo pipefail
root=$1
shift
for program in "$@"; do
    { ldd "$program" 2>/dev/null || true; } | { grep -o '/[^ ]*' || true; } |
        while read -r object; do
            case $object in
            /lib* | /usr/lib*) to=$root$object ;;
            *) to=$root/lab/so/${object##*/} ;;
            esac
            [ -e "$to" ] && continue
            mkdir -p "${to%/*}"
            cp -L "$object" "$to"
        done
done
