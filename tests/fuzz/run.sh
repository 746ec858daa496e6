#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# run.sh SECONDS [TARGET…] - let libFuzzer attack what strangers may reach, so
# long each, FUZZ_JOBS (2) at a time.  Speaks TAP, and tells the executions.
# run.sh keep [TARGET…] - take what was found so far into corpus/: of the inputs
# that between them reach all that was reached every so manieth by size, so that
# they are some 200 of each, and KEEP_KIB (48) at most.
#
# The build is in FUZZ_BUILD (build-fuzz); what was found stays in its found/,
# and a run goes on from there and from corpus/.  An input that breaks
# something stays in its crash/: give it to the target as an argument.
set -uo pipefail
cd "$(dirname "$0")/../.."

dir=${FUZZ_BUILD:-build-fuzz}
what=${1:?seconds, or keep}
shift

export ASAN_OPTIONS=detect_leaks=1:abort_on_error=0:handle_segv=1
export UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1

# What a build says matters only if it fails.
if ! said=$({ [ -d "$dir" ] || CC=clang meson setup "$dir" -Dfuzz=true \
    -Db_sanitize=address,undefined -Db_lundef=false; } 2>&1 &&
    ninja -C "$dir" fuzz 2>&1); then
    tail -40 <<<"$said"
    echo "not ok - the fuzz targets build"
    exit 1
fi
targets=("$@")
[ $# -gt 0 ] || for exe in "$dir"/tests/fuzz/fuzz-*; do
    [ -f "$exe" ] && [ -x "$exe" ] && targets+=("${exe##*/fuzz-}")
done

attack() { # target: one line of TAP
    local t=$1 log=$dir/$1.log found=$dir/found/$1 crash=$dir/crash/$1
    mkdir -p "$found" "$crash" "tests/fuzz/corpus/$t"
    if "$dir/tests/fuzz/fuzz-$t" -max_total_time="$what" -print_final_stats=1 \
        -max_len=4096 -timeout=20 -rss_limit_mb=2048 -reload=0 \
        -artifact_prefix="$crash/" "$found" "tests/fuzz/corpus/$t" \
        >"$log" 2>&1 </dev/null; then
        echo "ok - $t: $(sed -n 's/^stat::number_of_executed_units: *//p' "$log")" \
            "executions in $what s, $(sed -n 's/.* cov: \([0-9]*\).*/\1/p' "$log" |
                tail -1) edges reached"
        return
    fi
    tail -60 "$log" | sed 's/^/# /'
    echo "not ok - $t: what was sent is in $crash"
    return 1
}

keep() { # target
    local t=$1 all left=$((${KEEP_KIB:-48} * 1024)) f n
    all=$(mktemp -d)
    mkdir -p "tests/fuzz/corpus/$t" "$dir/found/$t"
    "$dir/tests/fuzz/fuzz-$t" -merge=1 -max_len=4096 "$all" \
        "tests/fuzz/corpus/$t" "$dir/found/$t" >"$dir/$t.log" 2>&1 || {
        tail -5 "$dir/$t.log"
        rm -rf "$all"
        return 1
    }
    rm -f "tests/fuzz/corpus/$t"/*
    while read -r n f; do
        [ $((left -= n)) -ge 0 ] || break
        mv "$all/$f" "tests/fuzz/corpus/$t/"
    done < <(cd "$all" && stat -c '%s %n' -- * | sort -n |
        awk -v step=$(($(ls "$all" | wc -l) / 200 + 1)) 'NR % step == 0')
    rm -rf "$all"
    echo "$t: $(ls "tests/fuzz/corpus/$t" | wc -l) inputs"
}

bad=0
for t in "${targets[@]}"; do
    if [ "$what" = keep ]; then
        keep "$t" || bad=1
        continue
    fi
    while [ "$(jobs -rp | wc -l)" -ge "${FUZZ_JOBS:-2}" ]; do
        wait -n || bad=1
    done
    attack "$t" &
done
while [ -n "$(jobs -p)" ]; do
    wait -n || { [ $? = 127 ] && break; bad=1; }
done
exit $bad
