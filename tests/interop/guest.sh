# shellcheck shell=bash
# SPDX-License-Identifier: BSD-3-Clause
# Linux guests in QEMU 10.0, by software emulation; beside lib.sh.

# initramfs MODULE… <JOB: $work/initrd, with busybox, modules, and a job for
# ash, which has say(): a line on the console that begins with "guest: "
initramfs() {
    local release r=$work/initramfs m f
    release=$(ls "$root/guest/lib/modules")
    depmod -b "$root/guest" "$release" 2>/dev/null
    mkdir -p "$r"/{bin,proc,sys,dev,mnt,mod}
    cp "$(command -v busybox)" "$r/bin/busybox"
    : >"$r/mod/order"
    for m in "$@"; do
        modprobe -d "$root/guest" -S "$release" --show-depends "$m" 2>/dev/null |
            awk '$1 == "insmod" { print $2 }'
    done | awk '!seen[$0]++' | while read -r f; do
        f=${f#"$root/guest"}
        f=$root/guest/${f#/}
        case $f in
        *.xz) xz -dc "$f" >"$r/mod/$(basename "${f%.xz}")" ;;
        *) cp "$f" "$r/mod/" ;;
        esac
        basename "${f%.xz}" >>"$r/mod/order"
    done
    {
        cat <<'INIT'
#!/bin/busybox sh
/bin/busybox --install -s /bin
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
while read -r m; do insmod "/mod/$m"; done </mod/order
say() { echo "guest: $*" >/dev/ttyS0; }
has() { [ "$(cut -c$(($2 + 1)) "$1/features")" = 1 ]; } # device, feature bit
INIT
        cat
        echo poweroff -f
    } >"$r/init"
    chmod +x "$r/init"
    (cd "$r" && find . | busybox cpio -o -H newc 2>/dev/null) >"$work/initrd"
    [ -s "$r/mod/order" ]
}

# qemu CONSOLE OPTIONS…: a guest of 256 MiB; takes the place of the shell.
# Its kernel zeroes no page that it allocates: a page is only written by whoever
# has reason to, which is what a dirty log is about.
qemu() {
    local console=$1
    shift
    exec "$root/lib64/ld-linux-x86-64.so.2" \
        --library-path "$root/usr/lib/x86_64-linux-gnu" \
        "$root/usr/bin/qemu-system-x86_64" \
        -L "$root/usr/share/qemu" -L "$root/usr/share/seabios" \
        -nodefaults -no-user-config -display none -no-reboot \
        -M q35,memory-backend=ram -accel tcg,thread=multi -smp 2 -m 256 \
        -object memory-backend-memfd,id=ram,size=256M,share=on \
        -kernel "$root"/guest/boot/vmlinuz-* -initrd "$work/initrd" \
        -append "console=ttyS0 quiet panic=-1 mitigations=off tsc=reliable init_on_alloc=0" \
        -serial "file:$console" "$@" </dev/null
}

# said CONSOLE WORDS: has the guest?
said() { tr -d '\r' <"$1" | grep -q "guest: $2"; }

# is_over PID SECONDS CONSOLE: the guest has powered itself off in time
is_over() {
    local i
    for ((i = 0; i < $2 * 10; i++)); do
        kill -0 "$1" 2>/dev/null || { wait "$1"; return; }
        sleep 0.1
    done
    tr -d '\r' <"$3" | tail -20
    return 1
}
