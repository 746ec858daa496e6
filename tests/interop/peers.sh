#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# peers.sh - makes what the interop tests and the benchmarks run against, from
# the distribution's packages, and prints where it is.
#
#   ROOT/             files of Debian 13 (trixie): QEMU 10.0 with its
#                     qemu-storage-daemon, libblkio 1.5, DPDK 24.11 with its
#                     testpmd, passt with vhost-user, virtiofsd 1.13
#   ROOT/guest/       a Linux kernel of Debian 12, unpacked, with its modules
#
# Programs in ROOT run without chroot: see peer() in lib.sh.  Kept in
# $LIBVHOST_CACHE, or /var/cache/libvhost.
set -euo pipefail
root=${LIBVHOST_CACHE:-/var/cache/libvhost}/peers-3
if [ -e "$root/complete" ]; then
    echo "$root"
    exit 0
fi
[ "$(id -u)" = 0 ] || { echo "peers.sh: needs root to unpack Debian 13" >&2; exit 1; }

echo "unpacking Debian 13 with QEMU 10.0, libblkio, DPDK 24.11, passt and virtiofsd (about 2 minutes)" >&2
rm -rf "$root"
mkdir -p "$(dirname "$root")"
# The archive that this machine already uses.
uri=$(cat /etc/apt/sources.list.d/*.sources 2>/dev/null |
    awk '/^URIs:/ && $2 !~ /security/ { print $2; exit }')
[ -n "$uri" ] || uri=$(awk '/^deb / { print $2; exit }' /etc/apt/sources.list)
# What is only read by people is left out, which is half the time.
mmdebstrap --quiet --variant=minbase \
    --dpkgopt='path-exclude=/usr/share/doc/*' \
    --dpkgopt='path-exclude=/usr/share/man/*' \
    --dpkgopt='path-exclude=/usr/share/locale/*' \
    --include=qemu-utils,qemu-system-common,qemu-system-x86,libblkio-dev,pkgconf,gcc,libc6-dev,dpdk-dev,passt,virtiofsd \
    trixie "$root" "$uri" >&2

# The newest cloud kernel of this release: small, and it has ext4.
cd "$root"
mkdir guest
cd guest
image=$(apt-cache depends linux-image-cloud-amd64 |
    sed -n 's/^ *Depends: \(linux-image-[0-9].*\)/\1/p' | head -1)
apt-get -qq -o APT::Sandbox::User=root download "$image" >&2
dpkg-deb -x "$image"_*.deb .
rm -f -- *.deb
touch "$root/complete"
echo "$root"
