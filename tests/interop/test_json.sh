#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The JSON API by curl, over HTTP/1.1 and HTTP/2: every method, and what is said when something is wrong.
. "$(dirname "$0")/dev.sh"
start
csr one ec -pkeyopt ec_paramgen_curve:P-256
der=$(openssl req -in "$dir/one.csr" -outform DER | base64 -w0)
for version in --http1.1 --http2; do
    body=$(ra $version "$SEALMILL_URL/v1/certificates" -d "{\"profile\":\"device\",\"csr\":\"$der\"}")
    contains "$body" '"certificate":"'
    serial=$(sed -n 's/.*"serial":"\([0-9a-f]*\)".*/\1/p' <<<"$body")
    contains "$(ra $version "$SEALMILL_URL/v1/certificates/$serial")" '"subject":"CN=one,O=Acme"'
    contains "$(ra $version "$SEALMILL_URL/v1/certificates?san=one.example.net&brief=true")" "$serial"
    contains "$(ra $version "$SEALMILL_URL/v1/certificates?san=ONE.example.net&brief=true")" "$serial"
    contains "$(ra $version -G "$SEALMILL_URL/v1/certificates" -d brief=true --data-urlencode "subject=cn=one,O=acme")" "$serial"
    contains "$(ra $version -G "$SEALMILL_URL/v1/certificates" --data-urlencode "subject=CN=two,O=Acme")" '{'
    check [ -z "$(ra $version -G "$SEALMILL_URL/v1/certificates" --data-urlencode "subject=CN=two,O=Acme" | grep serial)" ]
    contains "$(ra $version "$SEALMILL_URL/v1/certificates?pageSize=1")" nextPageToken
    contains "$(ra $version -X POST "$SEALMILL_URL/v1/certificates/$serial:revoke" -d '{"reason":"REVOCATION_REASON_CERTIFICATE_HOLD"}')" ON_HOLD
    contains "$(ra $version -X POST "$SEALMILL_URL/v1/certificates/$serial:release" -d '{}')" STATE_VALID
    contains "$(ra $version -X POST "$SEALMILL_URL/v1/certificates/$serial:renew" -d '{}')" '"serial"'
    contains "$(ra $version -H 'Expect: 100-continue' "$SEALMILL_URL/v1/certificates" -d "{\"profile\":\"device\",\"csr\":\"$der\"}")" '"serial"'
    check [ "$(ra $version -I -o /dev/null -w '%{http_code}' "$SEALMILL_URL/v1/cas")" = 200 ]
done

# Page by page: each certificate once. A token of other filters is refused.
all=$(ra "$SEALMILL_URL/v1/certificates?brief=true&pageSize=1000" | grep -o '"serial":"[0-9a-f]*"')
for filter in "" "expiresAfter=2020-01-01T00:00:00Z&"; do
    token= pages=
    while :; do
        page=$(ra "$SEALMILL_URL/v1/certificates?${filter}brief=true&pageSize=2&pageToken=$token")
        pages+=$(grep -o '"serial":"[0-9a-f]*"' <<<"$page")$'\n'
        token=$(sed -n 's/.*"nextPageToken":"\([^"]*\)".*/\1/p' <<<"$page")
        [ -n "$token" ] || break
        last=$token
    done
    check [ "$(sort <<<"${pages%$'\n'}")" = "$(sort <<<"$all")" ]
done
contains "$(ra "$SEALMILL_URL/v1/certificates?pageToken=$last")" "does not belong"

# The same idempotency key: the same certificate; another request with it: refused.
ask() { ra "$SEALMILL_URL/v1/certificates" -d "{\"profile\":\"device\",\"csr\":\"$der\",\"idempotencyKey\":\"k\"$1}"; }
first=$(ask "" | sed -n 's/.*"serial":"\([0-9a-f]*\)".*/\1/p')
check [ -n "$first" ]
contains "$(ask "")" "$first"
contains "$(ask ',"validitySeconds":60')" ALREADY_EXISTS
contains "$(curl -s "$SEALMILL_OPERATIONS_URL/metrics")" "sealmill_certificates_repeated_total 1"
contains "$(admin -X PUT "$SEALMILL_URL/v1/profiles/..%2fx" -d '{}')" INVALID_ARGUMENT

# CAs, profiles, tokens, keys, audit.
contains "$(ra "$SEALMILL_URL/v1/cas/issuing/chain?include_root=true")" certificates
contains "$(admin "$SEALMILL_URL/v1/cas" -d '{"name":"sub","parent":"root","keyType":"KEY_TYPE_EC_P384","subject":{"attributes":[{"type":"CN","value":"Sub"}]}}')" CA_STATE_ACTIVE
contains "$(admin -X POST "$SEALMILL_URL/v1/cas/sub:disable" -d '{}')" CA_STATE_DISABLED
contains "$(admin -X POST "$SEALMILL_URL/v1/cas/sub:enable" -d '{}')" CA_STATE_ACTIVE
contains "$(admin -X POST "$SEALMILL_URL/v1/cas/sub:rollover" -d '{}')" '"generation":2'
contains "$(admin -X PUT "$SEALMILL_URL/v1/profiles/short" -d '{"validity":{"default":"1h"},"sans":{"copy":true},"refuseDuplicateKey":true}')" '"name":"short"'
contains "$(admin "$SEALMILL_URL/v1/profiles/short")" '"default":"1h"'
contains "$(admin "$SEALMILL_URL/v1/certificates" -d "{\"ca\":\"sub\",\"profile\":\"short\",\"csr\":\"$der\"}")" '"serial"'
contains "$(admin "$SEALMILL_URL/v1/certificates" -d "{\"ca\":\"sub\",\"profile\":\"short\",\"csr\":\"$der\"}")" ALREADY_EXISTS
contains "$(ra "$SEALMILL_URL/v1/certificates" -d "{\"ca\":\"sub\",\"profile\":\"short\",\"csr\":\"$der\"}")" PERMISSION_DENIED
contains "$(admin -X DELETE "$SEALMILL_URL/v1/profiles/short")" '{}'
contains "$(admin -X DELETE "$SEALMILL_URL/v1/profiles/device")" FAILED_PRECONDITION
secret=$(admin "$SEALMILL_URL/v1/tokens" -d '{"name":"t","grants":[{"role":"ROLE_READER"}]}')
id=$(sed -n 's/.*"id":"\([0-9a-f]*\)".*/\1/p' <<<"$secret")
secret=$(sed -n 's/.*"secret":"\([^"]*\)".*/\1/p' <<<"$secret")
token() { curl -sS --cacert "$SEALMILL_CA_FILE" -H "Authorization: Bearer $secret" "$@"; }
contains "$(token "$SEALMILL_URL/v1/whoami")" '"method":"token"'
contains "$(token "$SEALMILL_URL/v1/certificates" -d "{\"profile\":\"device\",\"csr\":\"$der\"}")" "needs the role admin or operator or ra"
contains "$(admin -X DELETE "$SEALMILL_URL/v1/tokens/$id")" '{}'
contains "$(token "$SEALMILL_URL/v1/whoami")" UNAUTHENTICATED
contains "$(admin "$SEALMILL_URL/v1/keys" -d '{"key":{"name":"k1","keyType":"KEY_TYPE_EC_P256"}}')" publicKey
contains "$(admin "$SEALMILL_URL/v1/keys/k1:sign" -d '{"data":"aGVsbG8="}')" signature
contains "$(admin "$SEALMILL_URL/v1/keys/k1:sign" -d '{"digest":"aGVsbG8="}')" INVALID_ARGUMENT
contains "$(admin "$SEALMILL_URL/v1/audit?pageSize=1000")" certificate.hold

# What is wrong is said: the field, the reason, the status.
contains "$(curl -sS --cacert "$SEALMILL_CA_FILE" "$SEALMILL_URL/v1/cas")" UNAUTHENTICATED
contains "$(ra "$SEALMILL_URL/v1/certificates" -d '{"profile":"device","csr":"AAAA"}')" '"field":"csr"'
contains "$(ra "$SEALMILL_URL/v1/certificates" -d '{"profil":"device"}')" 'did you mean \"profile\"'
contains "$(ra "$SEALMILL_URL/v1/certificates" -d '{')" "not JSON"
contains "$(ra "$SEALMILL_URL/v1/certificates/zz")" INVALID_ARGUMENT
contains "$(ra "$SEALMILL_URL/v1/certificates/4242")" NOT_FOUND
check [ "$(ra -o /dev/null -w '%{http_code}' "$SEALMILL_URL/v1/nothing")" = 404 ]
check [ "$(ra -o /dev/null -w '%{http_code}' -X DELETE "$SEALMILL_URL/v1/cas")" = 405 ]
head -c 9000000 /dev/zero >"$dir/big"
check [ "$(ra --http1.1 -o /dev/null -w '%{http_code}' -H 'Expect:' --data-binary "@$dir/big" "$SEALMILL_URL/v1/certificates")" = 413 ]
contains "$(ra -i -H 'x-request-id: my.id-1' "$SEALMILL_URL/v1/whoami")" "my.id-1"

# The stream of events, as one object a line.
contains "$(admin -N --max-time 2 "$SEALMILL_URL/v1/certificates:watch?cursor=0" 2>/dev/null || true)" '"kind":"KIND_RELEASED"'
contains "$(curl -s "$SEALMILL_OPERATIONS_URL/metrics")" "sealmill_certificates_issued_total"
stop
echo "$checks checks passed"
