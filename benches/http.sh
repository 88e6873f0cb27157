#!/usr/bin/env bash
#
# CPU time per request of the http example, beside a plain mio loop with the same parser and answers
# (benches/mio_http.rs): benches/http.sh [CONNECTIONS] [SECONDS] [ROUNDS]
#
# The server runs on core 0, wrk with one thread on core 1, on 127.0.0.1 only. The rounds alternate
# between the two servers. The time is the kernel's account of the server (utime + stime). Needs wrk
# and taskset.

set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
connections=${1:-64} seconds=${2:-5} rounds=${3:-5}

cargo build --quiet --release --example http
mio=$(cargo bench --no-run --bench mio_http 2>&1 | sed -n 's/.*(\(target.*\)).*/\1/p')
results=$(mktemp)
trap 'rm -f "$results"' EXIT

measure() { # NAME PROGRAM PORT
    taskset -c 0 "$2" --addr "127.0.0.1:$3" >/dev/null &
    local server=$!
    sleep 0.5
    ticks() { awk '{print $14 + $15}' "/proc/$server/stat"; }
    local before requests
    before=$(ticks)
    requests=$(taskset -c 1 wrk -t1 -c"$connections" -d"${seconds}s" "http://127.0.0.1:$3/" |
        awk '/requests in/ {print $1}')
    awk -v name="$1" -v ticks="$(($(ticks) - before))" -v hz="$(getconf CLK_TCK)" \
        -v requests="$requests" \
        'BEGIN {printf "%s %.3f us a request (%d requests)\n", name, ticks / hz * 1e6 / requests, requests}' |
        tee -a "$results"
    kill -KILL "$server"
    wait "$server" 2>/dev/null || true
}

for _ in $(seq "$rounds"); do
    measure sedge target/release/examples/http 18080
    measure mio "$mio" 18081
done

median() { awk -v name="$1" '$1 == name {print $2}' "$results" | sort -n | awk '{v[NR] = $1} END {print v[int((NR + 1) / 2)]}'; }
awk -v s="$(median sedge)" -v m="$(median mio)" -v c="$connections" \
    'BEGIN {printf "median, %d connections: sedge %.3f, mio %.3f, ratio %.3f\n", c, s, m, s / m}'
