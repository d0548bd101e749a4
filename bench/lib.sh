# SPDX-License-Identifier: Apache-2.0
# What every bench script here shares: sourced, after `set -euo pipefail`. The server under test is
# pinned to core 0, its load to core 1; peers take turns with it in the same run, and what is told is
# the median. $dir is the run's own folder, $runs the measurements: one line of JSON each.
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
built=$root/build/release
sealmill=$built/sealmill
server_core="taskset -c 0"
load_core="taskset -c 1"
port_base=${SM_BENCH_PORTS:-19700} # and the 99 that follow
results=${SM_BENCH_RESULTS:-$root/bench/results}

die() { printf '%s: %s\n' "$(basename "$0")" "$*" >&2; exit 1; }
need() { command -v "$1" >/dev/null || die "$1 is missing: tools/setup --bench installs it"; }

[ -x "$sealmill" ] || die "build first: cmake --preset release && ninja -C build/release"
need python3
dir=$(mktemp -d "${SM_BENCH_TMP:-/tmp}/sealmill-bench.XXXXXX") # on a disk: a tmpfs has no fsync
runs=$dir/runs
: >"$runs"
started=()

finish() {
    for pid in "${started[@]}"; do kill "$pid" 2>/dev/null || true; done
    for pid in "${started[@]}"; do wait "$pid" 2>/dev/null || true; done
    rm -rf "$dir"
}
trap finish EXIT

wait_for() { # what it waits for, a command that succeeds once it is there
    local what=$1
    shift
    for _ in $(seq 200); do
        "$@" >/dev/null 2>&1 && return
        sleep 0.05
    done
    die "$what did not start: $(tail -n 3 "$dir"/*.log 2>/dev/null)"
}

listens() { # port
    (exec 3<>"/dev/tcp/127.0.0.1/$1")
}

# A CA that was made and stopped again. Its OCSP answers are signed when they are asked for: a bench that
# wants them with the certificates says pre_sign: eager.
prepare_ca() { # folder, port base
    local pid
    "$sealmill" dev --dir "$1" --port-base "$2" >"$dir/prepare.log" 2>&1 &
    pid=$!
    wait_for "sealmill" curl -fs "http://127.0.0.1:$(($2 + 3))/readyz"
    kill "$pid"
    wait "$pid" || true
    sed -i 's/pre_sign: eager/pre_sign: on-demand/' "$1/sealmill.yaml"
}

start_sealmill() { # folder, port base: sets $server
    # shellcheck disable=SC2086
    $server_core "$sealmill" serve --config "$1/sealmill.yaml" >"$1/serve.log" 2>&1 &
    server=$!
    started+=("$server")
    wait_for "sealmill" curl -fs "http://127.0.0.1:$(($2 + 3))/readyz"
}

cpu_ticks() { # process: what all its threads have used
    sed 's/.*) //' "/proc/$1/stat" | awk '{ print $12 + $13 }'
}

with_cpu() { # process, ticks before: puts the share of a core that it used into a load's JSON
    python3 -c '
import json, os, sys
line = json.load(sys.stdin)
stat = open("/proc/%s/stat" % sys.argv[1]).read().rsplit(")", 1)[1].split()
used = (int(stat[11]) + int(stat[12]) - int(sys.argv[2])) / os.sysconf("SC_CLK_TCK")
print(json.dumps({**line, "server_cpu": round(used / line["seconds"], 3)}))' "$1" "$2"
}

record() { # who, round: a line of JSON on standard input, kept with the load average it was made at
    python3 -c '
import json, os, sys
line = json.load(sys.stdin)
print(json.dumps({"who": sys.argv[1], "round": int(sys.argv[2]), **line,
                  "load_average": round(os.getloadavg()[0], 2)}))' "$1" "$2" | tee -a "$runs" >&2
}

report() { # bench, metric, then figures as bench/report takes them
    mkdir -p "$results"
    python3 "$root/bench/report" "$runs" "$results/$1.json" "$@"
}
