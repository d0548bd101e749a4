#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Operations of one label that want different things of a client: each by what it takes and by what another takes; what a 401 offers.
. "$(dirname "$0")/est_labels.sh"
maker=$dir/maker
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "$maker.key" -out "$maker.pem" -subj /CN=Maker -addext keyUsage=critical,keyCertSign 2>/dev/null
start_with_labels "
    - name: mixed
      ca: issuing
      profile: device
      authentication: [otp]
      authenticate_reads: true
      trust_anchors_file: $maker.pem
      access:
        - operations: [serverkeygen]
          client_certificates: required
        - operations: [simpleenroll]
          client_certificates: optional
        - operations: [cacerts, csrattrs]
          authentication: [device, token]
    - {name: servers, ca: issuing, profile: server, authentication: [otp]}
" '  - {name: server, cas: [issuing], validity: {default: 90d, maximum: 1y}}'

request dev1 /CN=dev1
openssl req -new -key "$dir/dev1.key" -subj /CN=made-by-the-maker -out "$dir/first.csr"
openssl x509 -req -in "$dir/first.csr" -CA "$maker.pem" -CAkey "$maker.key" -CAcreateserial -days 30 -out "$dir/first.pem" 2>/dev/null
cp "$dir/dev1.key" "$dir/first.key"
offers() { [ "$(tr -d '\r' <"$dir/head" | sed -n 's/^[Ww][Ww][Ww]-[Aa]uthenticate: \([A-Za-z]*\).*/\1/p' | tr '\n' ' ')" = "$1" ] || fail "it offers $(grep -i www-auth "$dir/head"), not $1"; checks=$((checks + 1)); }
# A request is by a password alone; a certificate of the maker is none.
otp dev1 --label mixed >"$dir/password"
code 401 "${tls[@]}" $(post mixed/simpleenroll dev1.b64); offers "Basic "
code 401 as first $(post mixed/simpleenroll dev1.b64)
code 200 "${tls[@]}" -u "$(cat "$dir/password")" $(post mixed/simpleenroll dev1.b64)
taken dev1
# A key is made by a password, over a connection with a certificate that it can be told by.
otp dev2 --label mixed >"$dir/password"
request wish /CN=dev2
code 403 "${tls[@]}" -u "$(cat "$dir/password")" $(post mixed/serverkeygen wish.b64)
says "a client certificate is wanted"
code 401 as first $(post mixed/serverkeygen wish.b64); offers "Basic "
code 200 as first -u "$(cat "$dir/password")" $(post mixed/serverkeygen wish.b64)
# What is read is for devices and tokens.
code 401 "${tls[@]}" "$SEALMILL_EST_URL/mixed/cacerts"; offers "Bearer "
code 200 as first "$SEALMILL_EST_URL/mixed/cacerts"
code 401 "${tls[@]}" -u "$(cat "$dir/password")" "$SEALMILL_EST_URL/mixed/csrattrs"
# A password for one profile is good by the labels that issue it alone.
otp dev3 --profile server >"$dir/password"
request dev3 /CN=dev3
code 401 "${tls[@]}" -u "$(cat "$dir/password")" $(post mixed/simpleenroll dev3.b64)
code 200 "${tls[@]}" -u "$(cat "$dir/password")" $(post servers/simpleenroll dev3.b64)
for wrong in "there is no profile none:--profile none" "issues another profile:--label mixed --profile server"; do
    if otp dev3 ${wrong#*:} 2>"$dir/err" >/dev/null; then fail "made: ${wrong#*:}"; fi
    contains "$(cat "$dir/err")" "${wrong%%:*}"
done
# Re-enrolment is of the certificate.
request next /CN=dev1
code 200 as dev1 $(post mixed/simplereenroll next.b64)
# The configuration's check says what is wrong.
wrong() { # what is put in the place of what, and what is said
    sed "s/$1/$2/" "$dir/ca/sealmill.yaml" >"$dir/ca/wrong.yaml"
    if "$SEALMILL" config check --config "$dir/ca/wrong.yaml" >"$dir/checked" 2>&1; then fail "taken: $2"; fi
    contains "$(cat "$dir/checked")" "enrolment.labels.access: $3"
}
wrong 'operations: \[simpleenroll\]' 'operations: [serverkeygen]' '"mixed": each names operations, and none is named twice'
wrong 'operations: \[simpleenroll\]' 'operations: []' '"mixed": each names operations'
wrong 'operations: \[simpleenroll\]' 'operations: [simplereenroll]' '"mixed": simplereenroll is by the certificate'
wrong 'operations: \[simpleenroll\]' 'operations: [reenrol]' '"reenrol" is none of its values'
wrong '          client_certificates: optional' '          client_certificates: sometimes' '"sometimes" is none of its values'
wrong 'authentication: \[device, token\]' 'authentication: [device, face]' '"face" is none of its values'
stop
echo "$checks checks"
