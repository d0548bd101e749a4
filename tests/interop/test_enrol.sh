#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A device's life with openssl: request, issue, verify, OCSP, hold, release, revoke, renew; each key type that openssl makes here.
. "$(dirname "$0")/dev.sh"
start
verify() { openssl verify -CAfile "$dir/ca/pki/root.pem" -untrusted "$dir/ca/pki/issuing.pem" "$1"; }
ocsp() { openssl ocsp -issuer "$dir/ca/pki/issuing.pem" -serial "0x$1" -url "$SEALMILL_OCSP_URL" -CAfile "$dir/ca/pki/root.pem" "${@:2}" 2>&1; }

csr p256 ec -pkeyopt ec_paramgen_curve:P-256
csr p384 ec -pkeyopt ec_paramgen_curve:P-384
csr p521 ec -pkeyopt ec_paramgen_curve:P-521
csr rsa2048 rsa:2048
csr rsa3072 rsa:3072
csr ed25519 ed25519
for name in p256 p384 p521 rsa2048 rsa3072 ed25519; do
    check "$SEALMILL" issue --dir "$dir/ca" --profile device --csr "$dir/$name.csr" --out "$dir/$name.pem" >/dev/null
    contains "$(verify "$dir/$name.pem")" OK
    contains "$(openssl x509 -in "$dir/$name.pem" -noout -subject -ext subjectAltName)" "$name.example.net"
    want=$(openssl req -in "$dir/$name.csr" -noout -pubkey)
    check [ "$want" = "$(openssl x509 -in "$dir/$name.pem" -noout -pubkey)" ]
done

serial=$(openssl x509 -in "$dir/p256.pem" -noout -serial | cut -d= -f2 | tr A-F a-f)
contains "$(ocsp "$serial")" "Response verify OK"
contains "$(ocsp "$serial")" ": good"
contains "$(ocsp "$serial" -no_nonce)" ": good"
contains "$(ocsp 4242424242)" ": unknown"
check "$SEALMILL" revoke "$serial" --dir "$dir/ca" --reason certificate-hold >/dev/null
contains "$(ocsp "$serial")" "certificateHold"
check "$SEALMILL" release "$serial" --dir "$dir/ca" >/dev/null
contains "$(ocsp "$serial")" ": good"
check "$SEALMILL" renew "$serial" --dir "$dir/ca" --out "$dir/renewed.pem" --revoke-old >/dev/null
contains "$(verify "$dir/renewed.pem")" OK
contains "$(ocsp "$serial")" "superseded"
contains "$("$SEALMILL" list --dir "$dir/ca" --state revoked)" "$serial"
if "$SEALMILL" release "$serial" --dir "$dir/ca" 2>"$dir/err"; then fail "a revoked certificate was released"; fi
contains "$(cat "$dir/err")" "not on hold"

# OCSP by GET, the request percent-encoded.
openssl ocsp -issuer "$dir/ca/pki/issuing.pem" -serial "0x$serial" -no_nonce -reqout "$dir/req.der" >/dev/null 2>&1 || true
path=$(base64 -w0 "$dir/req.der" | sed 's/+/%2B/g; s,/,%2F,g; s/=/%3D/g')
check curl -fsS -o "$dir/resp.der" "$SEALMILL_OCSP_URL/$path"
contains "$(openssl ocsp -respin "$dir/resp.der" -issuer "$dir/ca/pki/issuing.pem" -serial "0x$serial" -CAfile "$dir/ca/pki/root.pem" 2>&1)" revoked
check [ "$(curl -s -o /dev/null -w '%{http_code}' "$SEALMILL_PUBLIC_URL/ca/issuing.cer")" = 200 ]

# A request that was tampered with proves nothing.
openssl req -in "$dir/p256.csr" -outform DER -out "$dir/bad.der"
printf '\x00' | dd of="$dir/bad.der" bs=1 seek=40 conv=notrunc 2>/dev/null
if "$SEALMILL" issue --dir "$dir/ca" --profile device --csr "$dir/bad.der" --out "$dir/bad.pem" 2>"$dir/err"; then fail "a bad request was issued"; fi
check [ ! -e "$dir/bad.pem" ]

# The same folder goes on with the same CA; a port that is taken is named.
before=$(cat "$dir/ca/pki/root.pem")
if "$SEALMILL" dev --dir "$dir/other" --port-base "$base" 2>"$dir/err" >/dev/null; then fail "two servers on one port"; fi
contains "$(cat "$dir/err")" "already in use"
contains "$(cat "$dir/err")" ":$base"
stop
start
check [ "$before" = "$(cat "$dir/ca/pki/root.pem")" ]
contains "$("$SEALMILL" get "$serial" --dir "$dir/ca")" revoked
stop
check "$SEALMILL" db check --data-dir "$dir/ca/db" >/dev/null
check "$SEALMILL" backup --data-dir "$dir/ca/db" --out "$dir/backup" >/dev/null
check "$SEALMILL" restore --from "$dir/backup" --data-dir "$dir/restored" >/dev/null
contains "$("$SEALMILL" db check --data-dir "$dir/restored")" " 0 problems"
echo "$checks checks passed"
