#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# h2load: many connections and streams at once over each protocol; every request is answered 2xx, none fails or is lost.
command -v h2load >/dev/null || { echo "skipped: h2load is not installed (nghttp2-client)"; exit 77; }
. "$(dirname "$0")/dev.sh"
start
requests=${SM_H2LOAD_REQUESTS:-20000}

load() { # what it is, then h2load's arguments
    local out
    out=$(timeout 60 h2load -t1 -n "$requests" "${@:2}" 2>&1) || fail "$1: h2load: $out"
    contains "$out" "$requests done, $requests succeeded, 0 failed, 0 errored, 0 timeout"
    contains "$out" "status codes: $requests 2xx"
    echo "$1: $(grep -o '[0-9.]* req/s' <<<"$out" | head -1)"
}

load "healthz, HTTP/2 in clear" -c 32 -m 50 "$SEALMILL_OPERATIONS_URL/healthz"
load "healthz, HTTP/1.1" --h1 -c 32 -m 1 "$SEALMILL_OPERATIONS_URL/healthz"
load "healthz, HTTP/1.1 pipelined" --h1 -c 8 -m 16 "$SEALMILL_OPERATIONS_URL/healthz"

# One empty HealthCheckRequest: not compressed, no octets (gRPC's Length-Prefixed-Message).
printf '\0\0\0\0\0' >"$dir/check"
grpc=(-d "$dir/check" -H 'content-type: application/grpc' -H 'te: trailers')
load "gRPC health" -c 32 -m 50 "${grpc[@]}" "$SEALMILL_URL/grpc.health.v1.Health/Check"
load "gRPC health, one connection" -c 1 -m 100 "${grpc[@]}" "$SEALMILL_URL/grpc.health.v1.Health/Check"
load "gRPC health, windows of 16 KiB" -c 8 -m 50 -w 14 -W 14 "${grpc[@]}" "$SEALMILL_URL/grpc.health.v1.Health/Check"

# OCSP as relying parties ask it: POST, the same request.
csr one ec -pkeyopt ec_paramgen_curve:P-256
check "$SEALMILL" issue --dir "$dir/ca" --profile device --csr "$dir/one.csr" --out "$dir/one.pem" >/dev/null
openssl ocsp -issuer "$dir/ca/pki/issuing.pem" -cert "$dir/one.pem" -no_nonce -reqout "$dir/req" >/dev/null 2>&1 || true
requests=$((requests / 10))
load "OCSP, HTTP/1.1" --h1 -c 16 -d "$dir/req" -H 'content-type: application/ocsp-request' "$SEALMILL_OCSP_URL"

# The connections are gone and the server still answers.
for _ in $(seq 50); do
    open=$(curl -fs "$SEALMILL_OPERATIONS_URL/metrics" | awk '/^sealmill_connections[{ ]/ { n += $NF } END { print n + 0 }')
    [ "$open" -gt 2 ] || break
    sleep 0.1
done
check [ "$open" -le 2 ]
contains "$(openssl ocsp -issuer "$dir/ca/pki/issuing.pem" -cert "$dir/one.pem" -url "$SEALMILL_OCSP_URL" -CAfile "$dir/ca/pki/root.pem" 2>&1)" ": good"
stop
echo "$checks checks passed"
