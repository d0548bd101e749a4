#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The disk fills up under load: requests are refused, what was answered stays, reads and OCSP go on; with space, it issues again.
if [ -z "${SM_OWN_MOUNTS:-}" ]; then
    if ! unshare -rm true 2>/dev/null; then
        echo "skipped: no mount namespace of our own (unshare -rm)"
        exit 77
    fi
    SM_OWN_MOUNTS=1 exec unshare -rm "$0"
fi
. "$(dirname "$0")/dev.sh"
mkdir "$dir/ca"
if ! mount -t tmpfs -o size=64m tmpfs "$dir/ca" 2>/dev/null; then
    echo "skipped: tmpfs cannot be mounted here"
    exit 77
fi
start
csr one ec -pkeyopt ec_paramgen_curve:P-256
issue() { timeout 20 "$SEALMILL" issue --dir "$dir/ca" --profile device --csr "$dir/one.csr" --out "$dir/one.pem"; }
check issue >/dev/null
serial=$(openssl x509 -in "$dir/one.pem" -noout -serial | cut -d= -f2 | tr A-F a-f)
ocsp() { openssl ocsp -issuer "$dir/ca/pki/issuing.pem" -serial "0x$serial" -url "$SEALMILL_OCSP_URL" -CAfile "$dir/ca/pki/root.pem" 2>&1; }

# Nothing is left but what the store has reserved for its log; the load goes past that too.
head -c 100M /dev/zero >"$dir/ca/ballast" 2>/dev/null || true
timeout 60 "$SEALMILL" load --dir "$dir/ca" --seconds 15 --csrs 200 --connections 2 --in-flight 32 --serials "$dir/serials" >"$dir/load" 2>&1 &
load=$!
for _ in $(seq 600); do if [ -s "$dir/serials" ]; then break; fi; sleep 0.05; done
full=
for _ in $(seq 300); do
    if ! issue >"$dir/out" 2>&1; then full=1; break; fi
    sleep 0.1
done
[ -n "$full" ] || fail "the disk did not fill up: $(df "$dir/ca")"
sleep 1
kill -0 "$server" 2>/dev/null || fail "the server died of a full disk"
if issue >"$dir/out" 2>&1; then fail "a certificate was issued on a full disk"; fi
echo "on a full disk: $(tail -1 "$dir/out")"
contains "$(ra "$SEALMILL_URL/v1/certificates/$serial")" '"state":"CERTIFICATE_STATE_VALID"'
contains "$(ocsp)" ": good"
kill "$load" 2>/dev/null || true
wait "$load" || true
check [ -s "$dir/serials" ]

# Space again: the store opens itself anew, without a restart; and a restart finds all of it.
contains "$(curl -s "$SEALMILL_OPERATIONS_URL/metrics")" "sealmill_store_down 1"
contains "$(curl -s "$SEALMILL_OPERATIONS_URL/readyz")" "not ready: the store's disk refuses writes"
contains "$(curl -s "$SEALMILL_OPERATIONS_URL/healthz")" "ok"
rm "$dir/ca/ballast"
mount -o remount,size=400m "$dir/ca"
for _ in $(seq 100); do # by itself: whoever is told "not ready" sends nothing that would make it try
    [ "$(curl -s "$SEALMILL_OPERATIONS_URL/readyz")" = ready ] && full= && break
    sleep 0.2
done
[ -z "$full" ] || fail "it is not ready again after there is space"
check issue >/dev/null
contains "$(curl -s "$SEALMILL_OPERATIONS_URL/metrics")" "sealmill_store_down 0"
openssl x509 -in "$dir/one.pem" -noout -serial | cut -d= -f2 | tr A-F a-f >>"$dir/serials"
stop
start
"$SEALMILL" list --dir "$dir/ca" --limit 1000000 | cut -d' ' -f1 | sort >"$dir/inventory"
missing=$(sort "$dir/serials" | comm -23 - "$dir/inventory" | wc -l)
[ "$missing" = 0 ] || fail "$missing of $(wc -l <"$dir/serials") answered certificates are missing"
contains "$(ocsp)" ": good"
stop
check "$SEALMILL" db check --data-dir "$dir/ca/db" >/dev/null
echo "$(wc -l <"$dir/serials") certificates were answered before the disk was full, none is missing; $checks checks passed"
