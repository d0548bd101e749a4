#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A client in a loop: so many certificates for a subject, and for a caller, and no more; over gRPC, JSON and EST alike.
. "$(dirname "$0")/dev.sh"
start
yaml=$dir/ca/sealmill.yaml
sed -i 's/^limits:/limits:\n  issue_per_subject: 3x/' "$yaml"
if "$SEALMILL" config check --config "$yaml" 2>"$dir/out"; then fail "3x is no rate"; fi
contains "$(cat "$dir/out")" 'limits.issue_per_subject: "3x" is not a rate'
sed -i 's,3x,3/h,' "$yaml"
kill -HUP "$server"
for _ in $(seq 100); do grep -q 'event=reloaded' "$dir/log" && break; sleep 0.1; done
csr one ec -pkeyopt ec_paramgen_curve:P-256
csr two ec -pkeyopt ec_paramgen_curve:P-256
issue() { "$SEALMILL" issue --dir "$dir/ca" --profile device --csr "$dir/$1.csr" --out "$dir/$1.pem" 2>"$dir/out" >/dev/null; }
for _ in 1 2 3; do check issue one; done
if issue one; then fail "a fourth one"; fi
contains "$(cat "$dir/out")" "its rate of certificates is used up"
check issue two # another subject
answer=$(ra -w '%{http_code}' "$SEALMILL_URL/v1/certificates" -d "{\"profile\":\"device\",\"csr\":\"$(base64 -w0 "$dir/one.csr")\"}")
contains "$answer" RESOURCE_EXHAUSTED
contains "$answer" 429
answer=$(ra -i --data-binary "@$dir/one.csr" "$SEALMILL_EST_URL/simpleenroll")
contains "$answer" "429"
contains "$(tr '[:upper:]' '[:lower:]' <<<"$answer")" "retry-after: "
# Nothing of what was refused is there.
check [ "$("$SEALMILL" list --dir "$dir/ca" --limit 100 | grep -c CN=one)" = 3 ]

sed -i 's,issue_per_subject: 3/h,issue_per_caller: 5/h,' "$yaml"
: >"$dir/log"
kill -HUP "$server"
for _ in $(seq 100); do grep -q 'event=reloaded' "$dir/log" && break; sleep 0.1; done
for n in 1 2 3 4 5; do csr "c$n" ec -pkeyopt ec_paramgen_curve:P-256; check issue "c$n"; done
csr c6 ec -pkeyopt ec_paramgen_curve:P-256
if issue c6; then fail "a sixth one"; fi
check openssl x509 -in "$dir/c5.pem" -noout
stop
echo "$checks checks passed"
