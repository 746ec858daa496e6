#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Usage errors, help, version, and the streams they are written to.
. "$(dirname "$0")/lib.sh"

usage() { fails_with 2 "$@"; }

help_lists_every_verb() {
    local verb
    run "$VHOST" --help
    [ $status = 0 ] && [ ! -s "$work/err" ] || show || return
    for verb in bench bridge copy fs probe serve state; do
        grep -qE "^  $verb +[a-z]" "$work/out" || show || return
    done
}

every_verb_has_help() {
    local verb
    for verb in bench bridge copy fs probe serve state; do
        run "$VHOST" $verb --help
        [ $status = 0 ] && grep -q "^Usage: vhost $verb " "$work/out" || show || return
    done
}

# Each option of --help stands in the manual page, and the other way round.
manual_agrees() {
    local page=${BASH_SOURCE[0]%/*}/../../man/vhost.1 verb
    for verb in bench bridge copy fs probe serve state "serve net"; do
        # shellcheck disable=SC2086 # two words
        "$VHOST" $verb --help
    done | grep -oE -- '--[a-z][a-z-]*' | grep -v '^--help$' | sort -u >"$work/a"
    grep -E '^\.It Fl|^\.Fl|Fl -socket' "$page" | grep -oE 'Fl -[a-z][a-z-]*|, Fl -[a-z-]*' |
        sed 's/.*Fl -/--/' | grep -v '^--help$' | sort -u >"$work/b"
    diff "$work/a" "$work/b"
}

check "no argument: usage on standard error, status 2" usage '^Usage: vhost' "$VHOST"
check "an unknown verb gets a hint" usage "^vhost: no verb 'prob'.*--help" "$VHOST" prob
check "an unknown option gets a hint" usage "^vhost: no option '--frob'" "$VHOST" --frob
check "--help lists every verb" help_lists_every_verb
check "every verb has --help" every_verb_has_help
check "the manual page and --help name the same options" manual_agrees
run "$VHOST" --version
check "--version" grep -qE '^vhost [0-9]+\.[0-9]+\.[0-9]+$' "$work/out"

check "probe of what is no device" usage "which device" "$VHOST" probe /run/d.sock
check "probe of what is no URI" usage 'which device' "$VHOST" probe /dev/null
check "probe of two devices" usage 'Too many' "$VHOST" probe user:a user:b
check "probe as an unknown type" usage 'no device type' "$VHOST" probe user:a --type foo
check "copy without a destination" usage 'where to' "$VHOST" copy a
check "copy from file to file" usage 'must be a device' "$VHOST" copy a b
check "copy of three" usage 'Too many' "$VHOST" copy a user:b c
for size in 0 1 -4K 3K 4KB 1.5M x 99999999999999999999 128M ''; do
    check "copy --block-size '$size'" usage 'power of two' \
        "$VHOST" copy a user:b --block-size "$size"
done
for n in 0 -1 257 4x '' 0x10; do
    check "copy --depth '$n'" usage 'a number from 1 to 256' \
        "$VHOST" copy a user:b --depth "$n"
done
check "copy with too much memory" usage '1 GiB' \
    "$VHOST" copy a user:b --depth 256 --block-size 64M
check "--deadline 0" usage 'deadline takes a number' "$VHOST" probe user:a --deadline 0
check "bench refuses to write without --allow-write" usage 'allow-write' \
    "$VHOST" bench user:a --write
check "bench refuses a mix without --allow-write" usage 'allow-write' \
    "$VHOST" bench user:a --mixed 70
check "bench --mixed 100" usage 'from 1 to 99' \
    "$VHOST" bench user:a --allow-write --mixed 100
for time in 0 0.001 -1 1. .5 1e3 86401 0.0000000001 x ''; do
    check "bench --time '$time'" usage 'seconds from 0.01 to 86400' \
        "$VHOST" bench user:a --time "$time"
done
for n in 0 -1 1000001 x ''; do
    check "bench --spin-us '$n'" usage 'from 1 to 1000000, or never' \
        "$VHOST" bench user:a --spin-us "$n"
done
check "bench --polling --spin-us" usage 'never sleeps' \
    "$VHOST" bench user:a --polling --spin-us 5
check "bench --layout of an unknown name" usage 'layout is auto, split' \
    "$VHOST" bench user:a --layout round
for n in 0 2 100 65536 x ''; do
    check "bench --queue-size '$n'" usage '(power of two|number)' \
        "$VHOST" bench user:a --queue-size "$n"
done
check "serve without a type" usage 'what to serve' "$VHOST" serve
check "serve of an unknown type" usage "no device type 'fs'" \
    "$VHOST" serve fs x --socket "$work/s"
check "serve without a socket" usage 'socket PATH is required' "$VHOST" serve blk x
check "serve --block-size 1024" usage '512 or 4096' \
    "$VHOST" serve blk x --socket "$work/s" --block-size 1024
check "serve --serial of 21 characters" usage '20 characters' \
    "$VHOST" serve blk x --socket "$work/s" --serial 123456789012345678901
check "serve --hide-feature of an unknown name" usage 'no feature' \
    "$VHOST" serve blk x --socket "$work/s" --hide-feature VIRTIO_BLK_F_FROB
check "serve --hide-feature of bit 64" usage 'no feature' \
    "$VHOST" serve blk x --socket "$work/s" --hide-feature 64
check "serve null: without a size" usage 'a size' \
    "$VHOST" serve blk null: --socket "$work/s"

check "kernel: without a device that there is" fails_with 1 'there are net\?tap=NAME' \
    "$VHOST" probe kernel:/dev/vhost-net
check "kernel: with a field that there is not" fails_with 1 "'frob=1' is none of its fields" \
    "$VHOST" probe 'kernel:net?frob=1'
check "kernel: with a cid that no guest can have" fails_with 1 'no guest can have the cid 2' \
    "$VHOST" probe 'kernel:vsock?cid=2&path=/dev/null'
check "kernel: without a node" fails_with 1 'no such node.*modprobe vhost_net' \
    "$VHOST" probe kernel:net?path=/dev/vhost-none
check "kernel: with a node that is none" fails_with 1 'not a vhost node' \
    "$VHOST" probe kernel:scsi?path=/dev/null
check "a vDPA device that is not there" \
    fails_with 1 '^vhost: vdpa:/dev/vhost-vdpa-77: No such file.*vhost_vdpa' \
    "$VHOST" bench vdpa:/dev/vhost-vdpa-77
check "a file that is no vDPA device" \
    fails_with 1 '^vhost: vdpa:/dev/null: not a vhost-vdpa node' \
    "$VHOST" copy vdpa:/dev/null "$work/s"

output_lost() { # command…: ends with 1
    run "$@"
    [ $status = 1 ] && grep -q '^vhost: standard output: ' "$work/err" || show
}
check "standard output that is closed" output_lost bash -c '"$VHOST" --version >&-'
check "standard output that is full" output_lost bash -c '"$VHOST" probe --help >/dev/full'
check "standard output that nobody reads" output_lost \
    bash -c 'set -o pipefail; { sleep 0.3; "$VHOST" --help; } | true'
finish
