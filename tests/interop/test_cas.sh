#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# CAs of every key type, and certificates with every extension that a profile can say, read strictly by OpenSSL, GnuTLS and python-cryptography;
# a CA that an external signer signs; rollover; a CA that is disabled.
. "$(dirname "$0")/dev.sh"
# An openssl that knows ML-DSA: the distribution's, or the one in the private prefix.
ossl() { if [ -x .prefix/bin/openssl ]; then LD_LIBRARY_PATH=.prefix/lib .prefix/bin/openssl "$@"; else openssl "$@"; fi; }
start
strict() { ossl verify -x509_strict -check_ss_sig -purpose any -CAfile "$1" -untrusted "$2" "$3" 2>&1; }

cat >"$dir/full.json" <<'JSON'
{"subject":{"source":"SOURCE_TEMPLATE","template":"C=DE,O=Acme,serialNumber={metadata.serial},CN={csr.CN}"},
 "sans":{"copy":true,"templates":["uri:urn:acme:{metadata.serial}"]},
 "validity":{"default":"30d","maximum":"60d"},
 "keyUsage":["digitalSignature","nonRepudiation"],"extendedKeyUsage":["clientAuth","1.3.6.1.4.1.55555.7"],
 "policies":[{"oid":"2.23.140.1.2.1","cps":["https://acme.example/cps"]}],
 "ocspUrls":["http://ocsp.acme.example/"],"caIssuerUrls":["http://ca.acme.example/ca.cer"],"crlUrls":["http://ca.acme.example/ca.crl"],
 "extensions":[{"oid":"1.3.6.1.4.1.55555.1","derHex":"040568656c6c6f"}]}
JSON
contains "$(admin -X PUT "$SEALMILL_URL/v1/profiles/full" --data "@$dir/full.json")" '"name":"full"'
csr leaf ec -pkeyopt ec_paramgen_curve:P-256
printf '{"ca":"%%s","profile":"full","csr":"%s","metadata":{"serial":"4711"}}' "$(base64 -w0 "$dir/leaf.csr")" >"$dir/ask"

read_strictly() { # CA's name, and "classical" where the other libraries know the algorithm
    contains "$(strict "$dir/root-$1.pem" "$dir/sub-$1.pem" "$dir/leaf-$1.pem")" ": OK"
    [ "$2" = classical ] || return 0
    if command -v certtool >/dev/null; then
        cat "$dir/leaf-$1.pem" "$dir/sub-$1.pem" "$dir/root-$1.pem" >"$dir/chain-$1.pem"
        contains "$(certtool --verify-chain --infile "$dir/chain-$1.pem" 2>&1)" "Chain verification output: Verified"
    fi
    /usr/bin/python3 - "$dir/leaf-$1.pem" <<'PY'
import sys
from cryptography import x509
c = x509.load_pem_x509_certificate(open(sys.argv[1], "rb").read())
assert c.version == x509.Version.v3 and c.serial_number.bit_length() > 64 and c.serial_number > 0
e = {x.oid.dotted_string: x for x in c.extensions}
assert e["2.5.29.15"].critical and e["2.5.29.15"].value.digital_signature and e["2.5.29.15"].value.content_commitment
assert not e["2.5.29.17"].critical and "urn:acme:4711" in [n.value for n in e["2.5.29.17"].value]
assert e["1.3.6.1.4.1.55555.1"].value.value == b"\x04\x05hello"
assert set(e) == {"2.5.29.35", "2.5.29.14", "2.5.29.15", "2.5.29.37", "2.5.29.17", "2.5.29.32", "2.5.29.31", "1.3.6.1.5.5.7.1.1",
                  "1.3.6.1.4.1.55555.1"} or set(e) - {"2.5.29.19"} == {"2.5.29.35", "2.5.29.14", "2.5.29.15", "2.5.29.37", "2.5.29.17",
                  "2.5.29.32", "2.5.29.31", "1.3.6.1.5.5.7.1.1", "1.3.6.1.4.1.55555.1"}
assert e["2.5.29.35"].value.key_identifier is not None
assert [a.value for a in c.subject] == ["DE", "Acme", "4711", "leaf"]
PY
    checks=$((checks + 1))
}

for type in p256 p384 p521 rsa-2048 rsa-3072 rsa-4096 ed25519 ed448 ml-dsa-44 ml-dsa-65 ml-dsa-87; do
    case $type in
        ml-dsa-*) ossl list -signature-algorithms 2>/dev/null | grep -qi ml-dsa || { echo "not read: $type (this openssl does not know it)"; continue; }
            kind=quantum ;;
        ed448) kind=strict ;;
        *) kind=classical ;;
    esac
    check "$SEALMILL" ca create "root-$type" --dir "$dir/ca" --root --subject "O=Acme,CN=Acme root $type" --key-type "$type" --pem >"$dir/root-$type.pem"
    check "$SEALMILL" ca create "sub-$type" --dir "$dir/ca" --parent "root-$type" --subject "O=Acme,CN=Acme issuing $type" --key-type "$type" \
        --path-length 0 --pem >"$dir/sub-$type.pem"
    # shellcheck disable=SC2059
    printf "$(cat "$dir/ask")" "sub-$type" >"$dir/request"
    admin "$SEALMILL_URL/v1/certificates" -d "@$dir/request" >"$dir/answer"
    sed -n 's/.*"certificate":"\([^"]*\)".*/\1/p' "$dir/answer" | base64 -d | ossl x509 -inform DER -out "$dir/leaf-$type.pem" || fail "$(cat "$dir/answer")"
    read_strictly "$type" "$kind"
done

# A CA below an external one: our request, their signature, our issuance.
ossl req -x509 -newkey rsa:2048 -nodes -keyout "$dir/ext.key" -out "$dir/root-ext.pem" -subj "/O=External/CN=Root" -days 3650 \
    -addext keyUsage=critical,keyCertSign,cRLSign -addext subjectKeyIdentifier=hash 2>/dev/null
check "$SEALMILL" ca create below --dir "$dir/ca" --subject "O=Acme,CN=Acme below" >/dev/null
contains "$("$SEALMILL" ca list --dir "$dir/ca" | grep below)" pending
"$SEALMILL" ca csr below --dir "$dir/ca" >"$dir/below.csr"
contains "$(ossl req -in "$dir/below.csr" -noout -verify 2>&1)" OK
printf 'basicConstraints=critical,CA:TRUE,pathlen:0\nkeyUsage=critical,keyCertSign,cRLSign\nsubjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid\n' >"$dir/ext.cnf"
ossl x509 -req -in "$dir/below.csr" -CA "$dir/root-ext.pem" -CAkey "$dir/ext.key" -set_serial 0x4711 -days 365 -extfile "$dir/ext.cnf" -out "$dir/sub-ext.pem" 2>/dev/null
if "$SEALMILL" ca import below --dir "$dir/ca" --cert-file "$dir/sub-p256.pem" 2>"$dir/out"; then fail "another key's certificate was imported"; fi
contains "$(cat "$dir/out")" "another key"
cat "$dir/sub-ext.pem" "$dir/root-p256.pem" >"$dir/bad-chain.pem"
if "$SEALMILL" ca import below --dir "$dir/ca" --cert-file "$dir/bad-chain.pem" 2>"$dir/out"; then fail "a stranger's chain was imported"; fi
contains "$(cat "$dir/out")" "chain[0]"
cat "$dir/sub-ext.pem" "$dir/root-ext.pem" >"$dir/ext-chain.pem"
check "$SEALMILL" ca import below --dir "$dir/ca" --cert-file "$dir/ext-chain.pem" >/dev/null
# shellcheck disable=SC2059
printf "$(cat "$dir/ask")" below >"$dir/request"
issued() { admin "$SEALMILL_URL/v1/certificates" -d "@$dir/request" | sed -n 's/.*"certificate":"\([^"]*\)".*/\1/p' | base64 -d | ossl x509 -inform DER; }
issued >"$dir/leaf-ext.pem"
contains "$(strict "$dir/root-ext.pem" "$dir/sub-ext.pem" "$dir/leaf-ext.pem")" ": OK"

# Rollover: new certificates chain to the new key, the old ones still verify and have a status.
# shellcheck disable=SC2059
printf "$(cat "$dir/ask")" sub-p256 >"$dir/request"
old=$(ossl x509 -in "$dir/leaf-p256.pem" -noout -serial | cut -d= -f2)
contains "$(admin -X POST "$SEALMILL_URL/v1/cas/sub-p256:rollover" -d '{}')" '"generation":2'
"$SEALMILL" ca show sub-p256 --dir "$dir/ca" --pem >"$dir/sub-new.pem"
issued >"$dir/leaf-new.pem"
contains "$(strict "$dir/root-p256.pem" "$dir/sub-new.pem" "$dir/leaf-new.pem")" ": OK"
contains "$(strict "$dir/root-p256.pem" "$dir/sub-p256.pem" "$dir/leaf-p256.pem")" ": OK"
contains "$(openssl ocsp -issuer "$dir/sub-p256.pem" -serial "0x$old" -url "$SEALMILL_OCSP_URL" -CAfile "$dir/root-p256.pem" 2>&1)" ": good"

# Published: each generation, a bundle, and the links between a root's keys.
fetch() { curl -fsS "$SEALMILL_PUBLIC_URL/ca/$1"; }
der() { ossl x509 -in "$1" -outform DER | sha256sum; }
check [ "$(fetch sub-p256.1.cer | sha256sum)" = "$(der "$dir/sub-p256.pem")" ]
check [ "$(fetch sub-p256.cer | sha256sum)" = "$(der "$dir/sub-new.pem")" ]
check [ "$(fetch sub-p256.2.cer | sha256sum)" = "$(der "$dir/sub-new.pem")" ]
check [ "$(fetch sub-p256.p7c | ossl pkcs7 -inform DER -print_certs | grep -c 'BEGIN CERTIFICATE')" = 3 ]
check [ "$(fetch sub-p256.p7c | openssl cms -cmsout -inform DER -print 2>/dev/null | grep -c 'certificate:')" = 3 ]
contains "$(admin -X POST "$SEALMILL_URL/v1/cas/root-p384:rollover" -d '{}')" '"generation":2'
contains "$(admin -X POST "$SEALMILL_URL/v1/cas/sub-p384:rollover" -d '{}')" '"generation":2'
for link in new-with-old old-with-new; do fetch "root-p384.2.$link.cer" | ossl x509 -inform DER -out "$dir/$link.pem"; done
fetch sub-p384.cer | ossl x509 -inform DER -out "$dir/sub-p384-new.pem"
fetch root-p384.cer | ossl x509 -inform DER -out "$dir/root-p384-new.pem"
contains "$(strict "$dir/root-p384.pem" "$dir/new-with-old.pem" "$dir/sub-p384-new.pem")" ": OK"
contains "$(strict "$dir/root-p384-new.pem" "$dir/old-with-new.pem" "$dir/sub-p384.pem")" ": OK"

# A subordinate CA's certificate: its status is the parent's to tell, revoking it an admin's matter.
status() { openssl ocsp -issuer "$1" -cert "$2" -url "$SEALMILL_OCSP_URL" -CAfile "$1" 2>&1; }
contains "$(status "$dir/root-p521.pem" "$dir/sub-p521.pem")" ": good"
sub=$(ossl x509 -in "$dir/sub-p521.pem" -noout -serial | cut -d= -f2 | tr A-F a-f)
contains "$(ra "$SEALMILL_URL/v1/certificates/$sub:revoke" -d '{"reason":"REVOCATION_REASON_CA_COMPROMISE"}')" "role admin"
contains "$(admin "$SEALMILL_URL/v1/certificates/$sub:revoke" -d '{"reason":"REVOCATION_REASON_CA_COMPROMISE"}')" REVOKED
contains "$(status "$dir/root-p521.pem" "$dir/sub-p521.pem")" "cACompromise"

# Disabled: it issues nothing, its status service goes on.
contains "$(admin -X POST "$SEALMILL_URL/v1/cas/sub-p256:disable" -d '{}')" DISABLED
contains "$(admin "$SEALMILL_URL/v1/certificates" -d "@$dir/request")" "disabled"
contains "$(openssl ocsp -issuer "$dir/sub-p256.pem" -serial "0x$old" -url "$SEALMILL_OCSP_URL" -CAfile "$dir/root-p256.pem" 2>&1)" ": good"
contains "$(admin -X POST "$SEALMILL_URL/v1/cas/sub-p256:enable" -d '{}')" ACTIVE
stop
start # every generation's key is found again
issued >"$dir/leaf-again.pem"
contains "$(strict "$dir/root-p256.pem" "$dir/sub-new.pem" "$dir/leaf-again.pem")" ": OK"
stop
echo "$checks checks passed"
