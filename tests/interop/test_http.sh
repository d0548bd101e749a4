#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# What HTTP and TLS clients see at the edges: status codes, HEAD, Expect, chunks, callers without rights, OCSP's errors, weak keys.
. "$(dirname "$0")/dev.sh"
start
api=$SEALMILL_URL/v1
ca=(curl -sS --cacert "$SEALMILL_CA_FILE")
code() { local want=$1 got; shift; got=$("$@" -o "$dir/body" -w '%{http_code}') || fail "$*"; [ "$got" = "$want" ] || fail "$got, not $want: $* : $(head -c 300 "$dir/body")"; checks=$((checks + 1)); }
csr one ec -pkeyopt ec_paramgen_curve:P-256
der=$(openssl req -in "$dir/one.csr" -outform DER | base64 -w0)
printf '{"profile":"device","csr":"%s"}' "$der" >"$dir/ask"

for version in --http1.1 --http2; do
    code 200 ra $version "$api/certificates" --data "@$dir/ask"
    # A client that waits for 100 (Continue) before its body, and goes on without it (RFC 9110 10.1.1).
    contains "$(ra $version --expect100-timeout 1 -H 'Expect: 100-continue' "$api/certificates" --data "@$dir/ask")" '"serial"'
    # A body of unknown length: chunks in HTTP/1.1, DATA frames without content-length in HTTP/2.
    code 200 ra $version -X POST -T - "$api/certificates" <"$dir/ask"
    # HEAD (RFC 9110 9.3.2) has GET's header and no body.
    ra $version -I "$api/profiles/device" | tr -d '\r' | grep -i '^content-' | sort >"$dir/head"
    ra $version -D - -o /dev/null "$api/profiles/device" | tr -d '\r' | grep -i '^content-' | sort >"$dir/get"
    check cmp -s "$dir/head" "$dir/get"
    code 401 "${ca[@]}" $version "$api/cas"
    contains "$("${ca[@]}" $version -i "$api/cas")" "Bearer"
    code 401 "${ca[@]}" $version -H 'Authorization: Bearer sealmill_nothing' "$api/cas"
    code 403 ra $version "$api/cas" -d '{"name":"x"}'
    contains "$(cat "$dir/body")" admin
    code 400 ra $version "$api/certificates" -d '{"profile":"device","csr":""}'
    code 400 ra $version "$api/certificates" -d '{"profile":"device","csr":7}'
    code 400 ra $version "$api/certificates" -d '[]'
    code 404 ra $version "$api/certificates/00ff00ff"
    code 404 ra $version "$api/profiles/none"
    code 200 ra $version "$api/certificates" -d "{\"profile\":\"device\",\"csr\":\"$(base64 -w0 "$dir/one.csr")\"}"
done
# The interim answer comes, and before the body.
contains "$(ra --http1.1 -v --expect100-timeout 20 -H 'Expect: 100-continue' "$api/certificates" --data "@$dir/ask" 2>&1)" "100 Continue"

# Many requests on one connection; HTTP/1.0; HTTP/2 in clear by prior knowledge.
check [ "$(ra --http1.1 -w '%{num_connects} ' -o /dev/null "$api/cas" -o /dev/null "$api/cas" -o /dev/null "$api/profiles")" = "1 0 0 " ]
code 200 curl -sS --http1.0 "$SEALMILL_OPERATIONS_URL/healthz"
check [ "$(curl -sS --http2-prior-knowledge -o /dev/null -w '%{http_version}' "$SEALMILL_OPERATIONS_URL/healthz")" = 2 ]
check [ "$(ra -o /dev/null -w '%{http_version}' "$api/cas")" = 2 ]

# Rights: a token for another profile, for reading alone, without anything.
contains "$("$SEALMILL" token create --help)" profile
"$SEALMILL" token create --dir "$dir/ca" --name other --role ra --ca issuing --profile other >"$dir/token"
code 403 "${ca[@]}" -H "Authorization: Bearer $(cat "$dir/token")" "$api/certificates" --data "@$dir/ask"
"$SEALMILL" token create --dir "$dir/ca" --name ci --role ra --ca issuing --profile device >"$dir/token"
code 200 "${ca[@]}" -H "Authorization: Bearer $(cat "$dir/token")" "$api/certificates" --data "@$dir/ask"
code 403 "${ca[@]}" -H "Authorization: Bearer $(cat "$dir/token")" "$api/tokens"

# A client certificate from nobody we know.
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "$dir/x.key" -out "$dir/x.pem" -subj /CN=ra -days 2 2>/dev/null
got=$("${ca[@]}" --cert "$dir/x.pem" --key "$dir/x.key" -o /dev/null -w '%{http_code}' "$api/cas" 2>/dev/null || true)
check [ "$got" = 000 -o "$got" = 401 ]

# TLS: both versions, the hybrid group where the client has it, nothing older.
tls() { openssl s_client -connect "$SEALMILL_API" -CAfile "$SEALMILL_CA_FILE" -verify_return_error "$@" </dev/null 2>&1; }
contains "$(tls -tls1_3)" "Verify return code: 0"
contains "$(tls -tls1_2)" "Verify return code: 0"
contains "$(tls -alpn h2)" "ALPN protocol: h2"
if tls -tls1_1 -cipher 'ALL:@SECLEVEL=0' >/dev/null; then fail "TLS 1.1 was spoken"; fi
tls -tls1_2 -sess_out "$dir/session" >/dev/null
contains "$(tls -tls1_2 -sess_in "$dir/session")" "Reused,"

# Keys that no CA may sign.
refused() { # what the answer must say
    if "$SEALMILL" issue --dir "$dir/ca" --profile device --csr "$dir/$1.csr" --out "$dir/$1.pem" 2>"$dir/err"; then fail "$1 was issued"; fi
    contains "$(cat "$dir/err")" "csr"
    check [ ! -e "$dir/$1.pem" ]
}
csr rsa1024 rsa:1024; refused rsa1024
csr k256 ec -pkeyopt ec_paramgen_curve:secp256k1; refused k256
csr p224 ec -pkeyopt ec_paramgen_curve:P-224; refused p224
{ openssl req -in "$dir/one.csr" -outform DER; printf '\0'; } >"$dir/trailing.csr"; refused trailing
: >"$dir/empty.csr"; refused empty
csr rsa4096 rsa:4096
check "$SEALMILL" issue --dir "$dir/ca" --profile device --csr "$dir/rsa4096.csr" --out "$dir/rsa4096.pem" >/dev/null
contains "$(openssl verify -CAfile "$dir/ca/pki/root.pem" -untrusted "$dir/ca/pki/issuing.pem" "$dir/rsa4096.pem")" OK

# OCSP (RFC 6960 2.3, appendix A): errors are answers, rubbish is not a crash.
openssl ocsp -issuer "$dir/ca/pki/issuing.pem" -serial 0x4242 -reqout "$dir/req" >/dev/null 2>&1 || true
ocsp() { curl -sS -H 'Content-Type: application/ocsp-request' --data-binary "@$1" "$SEALMILL_OCSP_URL" "${@:2}"; }
code 200 ocsp "$dir/req"
contains "$(ocsp "$dir/req" -o /dev/null -w '%{content_type}')" application/ocsp-response
contains "$(ocsp "$dir/req" -o "$dir/resp"; openssl ocsp -respin "$dir/resp" -noverify -text 2>&1)" "Cert Status: unknown"
head -c 20 "$dir/req" >"$dir/cut"
ocsp "$dir/cut" -o "$dir/resp"
contains "$(openssl ocsp -respin "$dir/resp" 2>&1 || true)" malformedrequest
openssl ocsp -issuer "$dir/x.pem" -serial 0x1 -reqout "$dir/foreign" >/dev/null 2>&1 || true
ocsp "$dir/foreign" -o "$dir/resp"
contains "$(openssl ocsp -respin "$dir/resp" 2>&1 || true)" unauthorized
code 405 curl -sS -X PUT -d x "$SEALMILL_OCSP_URL"
got=$(curl -sS -o /dev/null -w '%{http_code}' "$SEALMILL_OCSP_URL/%ZZ%00%2e%2e%2f")
check [ "${got:0:1}" = 4 -o "$got" = 200 ]
stop
echo "$checks checks passed"
