#!/usr/bin/env bash
#
# Instructions that one switch, one spawn, one wake and one echo take, counted by Valgrind:
#
#     benches/counts.sh            # fails if one is more than 3 % over benches/counts.txt
#     benches/counts.sh --update   # writes benches/counts.txt
#
# They repeat exactly, unlike times. Counted is the difference between twice as many and so many,
# which leaves out how the program starts and ends. Another compiler gives other counts.

set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# glibc takes its memcpy and the like by what the processor can do; here it takes those that every
# processor can.
features=-AVX,-AVX2,-AVX512F,-AVX512VL,-BMI2,-ERMS,-FSRM,-SSSE3,-SSE4_1,-SSE4_2
export GLIBC_TUNABLES=glibc.cpu.hwcaps=$features
# Valgrind itself is not to guess the cache of this machine.
callgrind=(valgrind --tool=callgrind --callgrind-out-file=/dev/null --cache-sim=no)

cargo build --quiet --release --locked --package sedge-benches --bin counted

instructions() { # VERB COUNT
    "${callgrind[@]}" target/release/counted "$1" "$2" 2>&1 |
        sed -n 's/.*Collected : \([0-9]*\).*/\1/p'
}

status=0
counts=
for verb in switch spawn park echo; do
    once=$(instructions "$verb" 10000)
    twice=$(instructions "$verb" 20000)
    count=$(((twice - once + 5000) / 10000))
    committed=$(awk -v verb="$verb" '$1 == verb {print $2}' benches/counts.txt)
    printf '%-8s %6d instructions, committed %6d\n' "$verb" "$count" "${committed:-0}"
    if [ $((count * 100)) -gt $((${committed:-0} * 103)) ]; then status=1; fi
    counts+="$verb $count"$'\n'
done
if [ "${1:-}" = --update ]; then
    printf '%s' "$counts" >benches/counts.txt
elif [ "$status" -ne 0 ]; then
    echo "counts: one has grown by more than 3 %; if it has to, benches/counts.sh --update" >&2
    exit 1
fi
