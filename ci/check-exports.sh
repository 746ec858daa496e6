#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# check-exports.sh BUILDDIR - the shared library exports what libvhost.map
# lists, each under a version, and nothing else; and it has its soname.
set -euo pipefail
lib=$1/src/libvhost.so
listed=$(sed -n 's/^ *\([a-z_]*\);$/\1/p' libvhost.map | sort)
exported=$(nm -D --defined-only --with-symbol-versions "$lib" |
    awk '$2 ~ /[TDRB]/ { print $3 }' | grep -v '^LIBVHOST' | sort)
unversioned=$(grep -v '@@LIBVHOST_' <<<"$exported" || true)
[ -z "$unversioned" ] || { echo "without a version: $unversioned"; exit 1; }
diff <(echo "$listed") <(sed 's/@@.*//' <<<"$exported")
readelf -d "$lib" | grep -q 'SONAME.*\[libvhost\.so\.0\]'
