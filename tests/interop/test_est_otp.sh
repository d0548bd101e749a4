#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# One-time passwords: many of one name, where each is found, however many there were; keys that are made here for a password's subject, and for who is gone.
. "$(dirname "$0")/dev.sh"
start
openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "$dir/a.key" -subj /CN=line -outform DER 2>/dev/null | base64 >"$dir/a.b64"
code() { # name:password: the status
    curl -sS --cacert "$SEALMILL_CA_FILE" -u "$1" -H 'Content-Type: application/pkcs10' --data-binary "@$dir/a.b64" "$SEALMILL_EST_URL/simpleenroll" -o "$dir/body" -w '%{http_code}'
}
create() { admin "$SEALMILL_URL/v1/otps" -d "$1"; }
names() { python3 -c 'import json, sys; print(json.dumps({"entityIds": [sys.argv[1]] * int(sys.argv[2]), "validitySeconds": int(sys.argv[3])}))' "$@"; }
passwords() { python3 -c 'import json, sys; [print(o["password"]) for o in json.load(sys.stdin)["otps"]]'; }
count() { admin "$SEALMILL_URL/v1/otps?entityId=$1&pageSize=1000" | grep -o '"id"' | wc -l; }

# Each that is made is in the audit.
create '{"entityIds":["one-of-two","two-of-two"]}' >/dev/null
"$SEALMILL" audit --dir "$dir/ca" --json >"$dir/audit"
for name in one-of-two two-of-two; do contains "$(cat "$dir/audit")" "$name"; done

# Revoked ones hide none that is good.
create "$(names line 60 600)" >/dev/null
admin "$SEALMILL_URL/v1/otps?entityId=line&pageSize=1000" | python3 -c 'import json, sys; [print(o["id"]) for o in json.load(sys.stdin)["otps"]]' >"$dir/ids"
while read -r id; do admin -X DELETE "$SEALMILL_URL/v1/otps/$id" >/dev/null; done <"$dir/ids"
create "$(names line 64 600)" | passwords >"$dir/passwords"
check [ "$(wc -l <"$dir/passwords")" = 64 ]
while read -r password; do
    got=$(code "line:$password")
    check [ "$got" = 200 ]
done <"$dir/passwords"
# What could not be found is not made, alone or with others.
contains "$(create "$(names line 1 600)")" "may have 64"
contains "$(create '{"entityIds":["other","line"]}')" "may have 64"
contains "$(create "$(names many 65 600)")" "would have 65"
check [ "$(count many)" = 0 ]
check [ "$(count other)" = 0 ]

# Those that have expired go when there are new ones.
create "$(names short 64 1)" >/dev/null
check [ "$(count short)" = 64 ]
sleep 2
password=$(create "$(names short 1 600)" | passwords)
check [ "$(count short)" = 1 ]
check [ "$(code "short:$password")" = 200 ]

# Long names that differ at their ends are two callers, in the audit and wherever callers are counted.
long=$(printf 'é%.0s' $(seq 60))
for end in 1 2; do
    check [ "$(code "$long$end:$(create "$(names "$long$end" 1 600)" | passwords)")" = 200 ]
done
check [ "$("$SEALMILL" audit --dir "$dir/ca" --limit 1000 --json | grep -o '"caller": *"otp:[^"]*xa9[12]"' | sort -u | wc -l)" = 2 ]

# For one subject: a key that is made here may be wished for by one of a type that is not known.
keygen() { curl -sS --cacert "$SEALMILL_CA_FILE" -H 'Content-Type: application/pkcs10' --data-binary "@$dir/$1.b64" "$SEALMILL_EST_URL/serverkeygen" -o "$dir/body" -w '%{http_code}' "${@:2}"; }
for subject in one two; do
    openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:secp256k1 -nodes -keyout "$dir/k1.key" -subj "/CN=$subject" -outform DER 2>/dev/null | base64 >"$dir/$subject.b64"
done
"$SEALMILL" otp create one --subject CN=one --dir "$dir/ca" >"$dir/one"
check [ "$(keygen two -u "$(cat "$dir/one")")" = 400 ]
contains "$(cat "$dir/body")" "another subject"
check [ "$(keygen one -u "$(cat "$dir/one")")" = 200 ]

# A client that is gone before its key is there may come again (HTTP/1.1 cannot tell one that has closed its side alone).
openssl req -new -newkey rsa:4096 -nodes -keyout "$dir/big.key" -subj /CN=big -outform DER 2>/dev/null | base64 >"$dir/big.b64"
busy=()
for _ in $(seq 8); do
    keygen big --cert "$SEALMILL_CERT" --key "$SEALMILL_KEY" >/dev/null &
    busy+=($!)
done
sleep 0.3
"$SEALMILL" otp create gone --dir "$dir/ca" >"$dir/gone"
early=no
if keygen one --http2 -m 1 -u "$(cat "$dir/gone")" >/dev/null 2>&1; then early=yes; fi
wait "${busy[@]}"
for _ in $(seq 100); do [ "$(curl -s "$SEALMILL_OPERATIONS_URL/metrics" | sed -n 's/^sealmill_enrol_keys_waiting //p')" != 0 ] || break; sleep 0.1; done
if [ $early = yes ]; then echo "SKIP: the keys were made too soon for a client that is gone"; else check [ "$(keygen one -u "$(cat "$dir/gone")")" = 200 ]; fi

stop
echo "$checks checks passed"
