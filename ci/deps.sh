#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# deps.sh build|test - see to it that the packages are there which ./run (build)
# or ./test (build and test) needs.  As root it installs what is missing; else
# it says exactly what to install, and fails.
set -euo pipefail

build="gcc pkgconf meson ninja-build liburing-dev libjson-c-dev
       linux-libc-dev systemtap-sdt-dev libcmocka-dev e2fsprogs"
test="g++ clang libclang-rt-14-dev clang-format universal-ctags mandoc python3
      qemu-utils qemu-system-common qemu-system-x86 mmdebstrap busybox-static strace
      binutils xz-utils zstd util-linux kmod make gcc-12 valgrind
      dpdk-dev iproute2 iputils-ping procps"

case ${1:-} in
build) want=$build ;;
test) want="$build $test" ;;
*) echo "usage: deps.sh build|test" >&2; exit 2 ;;
esac

missing=()
for p in $want; do
    dpkg-query -W -f '${Status}' "$p" 2>/dev/null | grep -q '^install ok installed' ||
        missing+=("$p")
done
[ ${#missing[@]} -eq 0 ] && exit 0

if [ "$(id -u)" != 0 ]; then
    echo "Packages are missing.  Install them, then run this again:" >&2
    echo "    sudo apt-get install ${missing[*]}" >&2
    exit 1
fi
echo "installing ${missing[*]}"
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
