#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# check-headers.sh - each public header compiles alone, as C11 and as C++17,
# and next to the kernel's <linux/vhost.h>.
set -euo pipefail
w=$(mktemp -d)
trap 'rm -rf "$w"' EXIT
flags="-Wall -Wextra -Wpedantic -Werror -fsyntax-only -Iinclude"
for h in include/vhost/*.h; do
    name=vhost/$(basename "$h")
    echo "#include <$name>" >"$w/one.c"
    cp "$w/one.c" "$w/one.cc"
    for c in gcc clang; do $c -std=c11 $flags "$w/one.c"; done
    for c in g++ clang++; do $c -std=c++17 $flags "$w/one.cc"; done
    printf '#include <linux/vhost.h>\n#include <%s>\n' "$name" >"$w/two.c"
    gcc -std=c11 $flags "$w/two.c"
done
