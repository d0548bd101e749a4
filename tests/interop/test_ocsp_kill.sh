#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# kill -9 while answers are signed anew and certificates are revoked, ten times: what was revoked is never good afterwards, and
# what is good has an answer that is fresh.
. "$(dirname "$0")/dev.sh"
rounds=${SM_KILL_ROUNDS:-6}
ocsp() { # serial
    openssl ocsp -issuer "$dir/ca/pki/issuing.pem" -serial "0x$1" -url "$SEALMILL_OCSP_URL" -CAfile "$dir/ca/pki/root.pem" -no_nonce 2>&1
}
metric() { curl -fsS "http://127.0.0.1:$((base + 3))/metrics" | awk -v m="$1" '$1 == m { print $2 }'; }

start
"$SEALMILL" load --dir "$dir/ca" --seconds 3 --csrs 200 --connections 2 --in-flight 16 --serials "$dir/serials" >/dev/null 2>&1
count=$(wc -l <"$dir/serials")
[ "$count" -gt 200 ] || fail "only $count certificates were issued"
stop
# A minute is the shortest validity: a pass takes 27 s, its steps 1 s.
sed -i 's/^ocsp:$/ocsp:\n  validity: 1m/' "$dir/ca/sealmill.yaml"
: >"$dir/revoked"
for round in $(seq $rounds); do
    start
    (
        # Read from one end; the answers of the other end are asked for below.
        sed -n "$((round * 15 + 1)),$((round * 15 + 15))p" "$dir/serials" | while read -r serial; do
            "$SEALMILL" revoke "$serial" --dir "$dir/ca" --reason key-compromise >/dev/null 2>&1 && echo "$serial" >>"$dir/revoked"
        done
    ) &
    load=$!
    sleep "$((RANDOM % 3 + 1)).$((RANDOM % 10))"
    kill -9 "$server"
    wait "$server" 2>/dev/null || true
    server=
    wait "$load" 2>/dev/null || true
done
revoked=$(wc -l <"$dir/revoked")
[ "$revoked" -gt "$rounds" ] || fail "only $revoked certificates were revoked: the load did not run"
start
for _ in $(seq 100); do
    [ "$(metric sealmill_ocsp_refreshed_total)" -ge "$count" ] && break
    sleep 0.5
done
check [ "$(metric sealmill_ocsp_refreshed_total)" -ge 100 ]
for _ in 1 2; do # from memory, and after everything was signed anew once more
    for serial in $(head -20 "$dir/revoked") $(tail -5 "$dir/revoked"); do
        contains "$(ocsp "$serial")" ": revoked"
    done
    for serial in $(tail -10 "$dir/serials"); do
        answer=$(ocsp "$serial")
        contains "$answer" "Response verify OK"
        contains "$answer" ": good"
        case $answer in *"Status times invalid"* | *expired*) fail "stale: $answer" ;; esac
    done
    sleep 8
done
check [ "$(metric sealmill_ocsp_refresh_alarm)" = 0 ]
check [ "$(metric sealmill_ocsp_refresh_lag_seconds)" -lt 10 ]
stop
check "$SEALMILL" db check --data-dir "$dir/ca/db" >/dev/null
echo "$revoked certificates of $count were revoked over $rounds kills of the server, none was good afterwards"
