#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# check-install.sh BUILDDIR - what is installed is enough: examples build with
# pkg-config alone, against the shared and the static library.
set -euo pipefail
w=$(mktemp -d)
trap 'rm -rf "$w"' EXIT
DESTDIR=$w meson install -C "$1" --quiet --no-rebuild
pc=$(find "$w" -name libvhost.pc)
export PKG_CONFIG_LIBDIR=$(dirname "$pc"):$(pkg-config --variable pc_path pkg-config)
export PKG_CONFIG_SYSROOT_DIR=
prefix=$w$(pkg-config --variable=prefix libvhost)
flags() { pkg-config --define-variable=prefix="$prefix" "$@" libvhost; }
# The programs of README.md too: the first is whole, the others are parts.
program() { awk -v want="$1" '/^```c$/ { n++; on = 1; next } /^```$/ { on = 0 } on && n == want' README.md; }
program 1 >"$w/readme-1.c"
{
    echo '#include <vhost/net.h>'
    echo 'ssize_t frames(void *buffers[32], struct vhost_net_packet packets[32],'
    echo '    struct vhost_error *error);'
    echo 'ssize_t frames(void *buffers[32], struct vhost_net_packet packets[32],'
    echo '    struct vhost_error *error) {'
    echo 'char frame[2048]; ssize_t n;'
    program 2 | sed 's/\([^a-z]\)n)/\1(unsigned)n)/; s/frame, n, /frame, (size_t)n, /'
    echo 'return n; }'
} >"$w/readme-2.c"
{
    echo '#include <vhost/vhost.h>'
    echo 'void start(void *ram, size_t ram_size, int ram_fd, uint64_t guest_features,'
    echo '    const int *feature_bits, struct vhost_vdev vdev, struct vhost_error *err);'
    echo 'void start(void *ram, size_t ram_size, int ram_fd, uint64_t guest_features,'
    echo '    const int *feature_bits, struct vhost_vdev vdev, struct vhost_error *err) {'
    program 3
    echo '}'
} >"$w/readme-3.c"
for n in 2 3; do
    cc -std=c11 -D_GNU_SOURCE -Wall -Werror -c -o "$w/readme-$n.o" "$w/readme-$n.c" $(flags --cflags)
done
for f in examples/*.c "$w/readme-1.c"; do
    cc -std=c11 -Wall -Wextra -Werror -o "$w/shared" "$f" $(flags --cflags --libs)
    cc -std=c11 -o "$w/static" "$f" $(flags --cflags) -L"$(dirname "$(find "$w" -name libvhost.a)")" \
        -Wl,-Bstatic -lvhost -Wl,-Bdynamic $(pkg-config --static --libs-only-l libvhost | sed 's/-lvhost//')
    [ "$(wc -l <"$f")" -le 60 ]
done
ldd "$w/static" | grep -q libvhost && { echo "static, and yet dynamic"; exit 1; }
[ -e "$prefix/bin/vhost" ] && [ -n "$(find "$w" -name 'vhost.1*')" ]
