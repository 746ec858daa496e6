#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# virtiofsd as back end of a file system, that of QEMU 7.2 and 1.13: a tree of
# files is read, changed, and as it should be to the system; a session moves
# from one to another.  Each serves one front end, and ends with it.
. "$(dirname "$0")/lib.sh"
peers
FS_EXERCISE=${FS_EXERCISE:-$(dirname "$VHOST")/../tests/interop/fs-exercise}
tree=$work/tree
chmod 755 "$work"

make_tree() {
    mkdir -p "$tree/sub/deep/er" "$tree/many" "$tree/empty"
    echo hello >"$tree/hello"
    : >"$tree/zero"
    head -c 5000000 /dev/urandom >"$tree/sub/big"
    head -c 4096 /dev/urandom >"$tree/sub/deep/page"
    head -c 1048577 /dev/urandom >"$tree/sub/deep/er/odd"
    truncate -s 3M "$tree/sparse"
    local i
    for i in {1..300}; do
        head -c $((i * 7)) /dev/urandom >"$tree/many/a long name, so that they fill several answers: $i"
    done
    ln -s hello "$tree/link"
    mkfifo "$tree/pipe"
    echo secret >"$tree/secret"
    chmod 600 "$tree/secret"
}
make_tree

new() { # takes the place of the shell that runs it
    exec "$root/lib64/ld-linux-x86-64.so.2" --library-path "$root/usr/lib/x86_64-linux-gnu" \
        "$root/usr/libexec/virtiofsd" --shared-dir "$tree" --sandbox none "$@"
}
old() {
    exec /usr/lib/qemu/virtiofsd -f -o "source=$tree" -o sandbox=chroot "$@"
}
nobody() { # may write nothing but the socket
    mkdir -p "$work/nobody"
    chown 65534 "$work/nobody"
    exec setpriv --reuid 65534 --regid 65534 --clear-groups \
        "$root/lib64/ld-linux-x86-64.so.2" --library-path "$root/usr/lib/x86_64-linux-gnu" \
        "$root/usr/libexec/virtiofsd" --shared-dir "$tree" --sandbox none "$@"
}

gone() { ! pgrep -f "socket-path=$1" >/dev/null; }

# serve NAME WHICH OPTION…: at $work/NAME.sock
serve() {
    local name=$1 which=$2
    shift 2
    local sock=$work/$name.sock
    [ "$which" = nobody ] && sock=$work/nobody/$name.sock
    # The one before takes the socket away as it ends, were it that of this one.
    pkill -9 -f "socket-path=$sock" && within 10 gone "$sock"
    rm -f "$sock"
    in_background "$which" "--socket-path=$sock" "$@"
    wait_for_socket "$sock"
}

tour() { # which, exercise's options
    serve a "$1" && "$FS_EXERCISE" tour "user:$work/a.sock" "$tree" "${@:2}"
}
options() { # options of virtiofsd, then: it comes up, and all is well
    serve a new "$@" && "$FS_EXERCISE" tour "user:$work/a.sock" "$tree" auto 128 0 eventfd
}

for which in old new; do
    name="virtiofsd 1.13"
    [ $which = old ] && name="virtiofsd of QEMU 7.2"
    for size in 8 64 1024; do
        for wait in eventfd polling; do
            check "$name, queues of $size, $wait: the tree is what it is, and can be changed" \
                tour $which split $size 0 $wait
        done
    done
    for transfer in 4096 131072; do
        check "$name, $transfer bytes in a request" tour $which auto 128 $transfer eventfd
    done
done
tells_its_name() {
    options --tag the-files >"$work/out" && grep -q "tag 'the-files', 1 queues" "$work/out"
}
check "virtiofsd 1.13 tells its name" tells_its_name
check "virtiofsd 1.13 with threads of its own" options --thread-pool-size 4
check "virtiofsd 1.13 without a cache" options --cache never
check "virtiofsd 1.13 with file handles" options --inode-file-handles=prefer --modcaps=+dac_read_search

packed() {
    serve a new
    fails_with_words "does not offer packed rings" \
        "$FS_EXERCISE" tour "user:$work/a.sock" "$tree" packed 128 0 eventfd
}
fails_with_words() { # pattern, command…
    "${@:2}" >"$work/out" 2>&1 && return 1
    grep -q "$1" "$work/out" || { cat "$work/out"; return 1; }
}
check "virtiofsd 1.13 has no packed rings, and that is said" packed

# The command, each time at a virtiofsd of its own.
vhost_fs() {
    local verb=$1
    shift
    serve a new >&2 && "$VHOST" fs "$verb" "user:$work/a.sock" "$@"
}
lists() {
    vhost_fs ls / >"$work/out" && [ "$(wc -l <"$work/out")" = 9 ] &&
        grep -qE '^-rw------- +0 +0 +7 [-0-9: ]{16} secret$' "$work/out" &&
        grep -qE '^drwxr-xr-x .* sub$' "$work/out" || { cat "$work/out"; return 1; }
}
check "vhost fs ls lists a directory" lists
lists_json() {
    vhost_fs ls /sub --json | python '
import json, sys
l = json.load(sys.stdin)
assert [e["name"] for e in l] == ["big", "deep"], l
assert l[0]["size"] == 5000000 and l[0]["mode"] == "-rw-r--r--", l'
}
check "and as JSON" lists_json
describes() { [ "$(vhost_fs ls hello | awk '{ print $1, $4, $NF }')" = "-rw-r--r-- 6 hello" ]; }
check "or describes a file" describes
reads() { vhost_fs cat /sub/big | cmp - "$tree/sub/big"; }
check "vhost fs cat reads a file" reads
puts() {
    vhost_fs put /put <"$tree/sub/big" && cmp "$tree/put" "$tree/sub/big" &&
        vhost_fs put /put <"$tree/hello" && cmp "$tree/put" "$tree/hello" &&
        vhost_fs put /put </dev/null && [ ! -s "$tree/put" ]
}
check "vhost fs put writes one, or over it" puts
rm -f "$tree/put"
no_such_file() {
    serve a new
    fails_with_words "^vhost: /sub/none: .*No such file" "$VHOST" fs cat "user:$work/a.sock" /sub/none
}
check "what is not there is told, with its name" no_such_file
full() { serve a new && ! "$VHOST" fs cat "user:$work/a.sock" /sub/big >/dev/full 2>"$work/out" && grep -q 'No space left' "$work/out"; }
check "as is standard output that is full" full

owners() { serve a $1 && "$FS_EXERCISE" owners "user:$work/a.sock"; }
check "what is made belongs to whom it is made for" owners new
refused() { serve n nobody && "$FS_EXERCISE" refused "user:$work/nobody/n.sock"; }
check "what the back end may not open is refused, with words" refused

# move MODE LAYOUT: from one to another, with the state of both
move() {
    serve a new --migration-mode "$1" --modcaps=+dac_read_search &&
        serve b new --migration-mode "$1" --modcaps=+dac_read_search &&
        "$FS_EXERCISE" move "user:$work/a.sock" "$tree" "user:$work/b.sock" auto
}
check "open files move to another virtiofsd, by their paths" move find-paths
check "and again, by file handles" move file-handles
stay() { serve a new && "$FS_EXERCISE" stay "user:$work/a.sock" "$tree"; }
check "a session that was saved goes on where it was" stay
cannot_move() {
    serve a old
    fails_with_words "can't give its state" \
        "$FS_EXERCISE" stay "user:$work/a.sock" "$tree"
}
check "virtiofsd of QEMU 7.2 can't give its state, and that is said" cannot_move
finish
