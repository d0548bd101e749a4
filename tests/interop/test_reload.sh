#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# SIGHUP under load changes the server certificate and drops nothing; SIGTERM under load drains: what was answered is in the inventory.
. "$(dirname "$0")/dev.sh"
start
shown() { openssl s_client -connect "$SEALMILL_API" </dev/null 2>/dev/null | openssl x509 -noout -serial; }
load() { "$SEALMILL" load --dir "$dir/ca" --csrs 200 --connections 4 --in-flight 16 --serials "$dir/$1" "${@:2}" >"$dir/$1.out" 2>&1 & load=$!; }

# A new server certificate, made by the CA that the clients trust.
pki=$dir/ca/pki
before=$(shown)
openssl req -new -key "$pki/server.key" -subj /CN=localhost -addext "subjectAltName=DNS:localhost,IP:127.0.0.1,IP:::1" -out "$dir/server.csr"
cat >"$dir/tls.json" <<JSON
{"validity":{"default":"1d"},"sans":{"copy":true},"keyUsage":["digitalSignature"],"extendedKeyUsage":["serverAuth"]}
JSON
contains "$(admin -X PUT "$SEALMILL_URL/v1/profiles/tls" --data "@$dir/tls.json")" '"name":"tls"'
admin "$SEALMILL_URL/v1/certificates" -d "{\"ca\":\"issuing\",\"profile\":\"tls\",\"csr\":\"$(base64 -w0 "$dir/server.csr")\"}" >"$dir/answer"
sed -n 's/.*"certificate":"\([^"]*\)".*/\1/p' "$dir/answer" | base64 -d | openssl x509 -inform DER -out "$dir/new.pem"

load first --seconds 4 --json
sleep 1
cat "$dir/new.pem" "$pki/issuing.pem" >"$dir/server.pem"
mv "$dir/server.pem" "$pki/server.pem"
for _ in 1 2 3; do kill -HUP "$server"; sleep 0.3; done
after=$(shown)
[ "$before" != "$after" ] || fail "the old server certificate is still shown: $after"
check [ "$after" = "$(openssl x509 -in "$dir/new.pem" -noout -serial)" ]
code=0; wait "$load" || code=$?
[ "$code" = 0 ] || fail "a reload cost answers: $(cat "$dir/first.out")"
contains "$(cat "$dir/first.out")" '"errors":0'
check [ "$(wc -l <"$dir/first")" -gt 100 ]

# A configuration that is wrong is refused and the old one goes on.
cp "$dir/ca/sealmill.yaml" "$dir/good.yaml"
echo 'nonsense: [1' >>"$dir/ca/sealmill.yaml"
kill -HUP "$server"
sleep 0.3
contains "$(ra "$SEALMILL_URL/v1/whoami")" '"method":"mtls"'
cp "$dir/good.yaml" "$dir/ca/sealmill.yaml"

load second --seconds 20
sleep 1
stop
wait "$load" || true
cat "$dir/first" "$dir/second" | sort >"$dir/all"
check [ "$(wc -l <"$dir/second")" -gt 100 ]
check [ -z "$(uniq -d "$dir/all")" ]
start
"$SEALMILL" list --dir "$dir/ca" --limit 1000000 | cut -d' ' -f1 | sort >"$dir/inventory"
check [ "$(comm -23 "$dir/all" "$dir/inventory" | wc -l)" = 0 ]
stop
echo "$checks checks passed; $(wc -l <"$dir/all") certificates answered"
