#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# kill -9 while python3-grpcio issues over one stream: each message that reached the client is in the inventory with its certificate.
# Stricter than calls: here a message counts as answered when it arrives, without waiting for trailers.
if ! /usr/bin/python3 -c 'import grpc, google.protobuf' 2>/dev/null || ! command -v protoc >/dev/null; then
    echo "skipped: python3-grpcio, python3-protobuf or protoc is not installed"
    exit 77
fi
. "$(dirname "$0")/dev.sh"
here=$(cd "$(dirname "$0")" && pwd)
rounds=20
csr one ec -pkeyopt ec_paramgen_curve:P-256
openssl req -in "$dir/one.csr" -outform DER -out "$dir/one.der"
: >"$dir/all"
for round in $(seq $rounds); do
    start
    : >"$dir/serials" # those of the round before are not to be taken for its own
    /usr/bin/python3 "$here/stream_client.py" "$here/../../proto" "$dir/stubs" "$dir/ca/pki" "$SEALMILL_API" "$dir/one.der" 64 \
        >"$dir/serials" 2>"$dir/client" &
    client=$!
    for _ in $(seq 1200); do
        [ ! -s "$dir/serials" ] || break
        kill -0 "$client" 2>/dev/null || fail "the client ended: $(cat "$dir/client")"
        sleep 0.05
    done
    sleep "0.$(printf %03d $((RANDOM % 400)))"
    kill -9 "$server"
    wait "$server" 2>/dev/null || true
    server=
    wait "$client" || fail "round $round: $(cat "$dir/client")"
    check [ -s "$dir/serials" ]
    cat "$dir/serials" >>"$dir/all"
    last=$(tail -1 "$dir/serials")
done
answered=$(wc -l <"$dir/all")
check [ -z "$(sort "$dir/all" | uniq -d)" ]
start
"$SEALMILL" list --dir "$dir/ca" --limit 1000000 | cut -d' ' -f1 | sort >"$dir/inventory"
check [ -z "$(uniq -d "$dir/inventory")" ]
missing=$(sort "$dir/all" | comm -23 - "$dir/inventory" | wc -l)
[ "$missing" = 0 ] || fail "$missing of $answered answered certificates are missing"

# The last one before the last kill, and some others: read, and known to OCSP.
for serial in "$last" $(shuf -n 10 "$dir/all"); do
    contains "$(ra "$SEALMILL_URL/v1/certificates/$serial")" '"state":"CERTIFICATE_STATE_VALID"'
    contains "$(openssl ocsp -issuer "$dir/ca/pki/issuing.pem" -serial "0x$serial" -url "$SEALMILL_OCSP_URL" -CAfile "$dir/ca/pki/root.pem" 2>&1)" ": good"
done
stop
check "$SEALMILL" db check --data-dir "$dir/ca/db" >/dev/null
echo "$answered certificates were answered in $rounds rounds, none is missing; $checks checks passed"
