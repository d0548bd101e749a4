#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# PreferredSignatureAlgorithms (RFC 6960 4.4.7): answers signed with the responder key that the client likes best, verified by openssl; a wish for
# what the CA has not is no reason to fail; keys come and go with the configuration.
. "$(dirname "$0")/dev.sh"
start
cd "$dir"
sm() { "$SEALMILL" "$@" --dir "$dir/ca"; }
csr dev ec -pkeyopt ec_paramgen_curve:P-256
check sm issue --profile device --csr dev.csr --out dev.pem >/dev/null
cat >request.py <<'PY'
"""An OCSPRequest for dev.pem that prefers the algorithms named, written to request.der."""
import hashlib, sys
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

def tlv(tag, *parts):
    body = b"".join(parts)
    n = len(body)
    size = bytes([n]) if n < 128 else bytes([0x80 | (n.bit_length() + 7) // 8]) + n.to_bytes((n.bit_length() + 7) // 8, "big")
    return bytes([tag]) + size + body

def oid(text):
    numbers = [int(x) for x in text.split(".")]
    out = bytes([40 * numbers[0] + numbers[1]])
    for n in numbers[2:]:
        piece = bytes([n & 127])
        while n > 127:
            n >>= 7
            piece = bytes([128 | n & 127]) + piece
        out += piece
    return tlv(6, out)

null = tlv(5)
algorithms = {
    "ecdsa-sha256": tlv(0x30, oid("1.2.840.10045.4.3.2")),
    "ecdsa-sha384": tlv(0x30, oid("1.2.840.10045.4.3.3")),
    "rsa-sha256": tlv(0x30, oid("1.2.840.113549.1.1.11"), null),
    "rsa-sha1": tlv(0x30, oid("1.2.840.113549.1.1.5"), null),
    "ed25519": tlv(0x30, oid("1.3.101.112")),
}
leaf = x509.load_pem_x509_certificate(open("dev.pem", "rb").read())
issuer = x509.load_pem_x509_certificate(open("ca/pki/issuing.pem", "rb").read())
key = issuer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest
serial = leaf.serial_number.to_bytes((leaf.serial_number.bit_length() + 8) // 8, "big")
cert_id = tlv(0x30, tlv(0x30, oid("1.3.14.3.2.26"), null), tlv(4, hashlib.sha1(issuer.subject.public_bytes()).digest()), tlv(4, key), tlv(2, serial))
nonce = tlv(0x30, oid("1.3.6.1.5.5.7.48.1.2"), tlv(4, tlv(4, b"n" * 20))) if "nonce" in sys.argv else b""
wish = tlv(0x30, *[tlv(0x30, algorithms[name]) for name in sys.argv[1:] if name != "nonce"])
preferred = tlv(0x30, oid("1.3.6.1.5.5.7.48.1.8"), tlv(4, wish))
tbs = tlv(0x30, tlv(0x30, tlv(0x30, cert_id)), tlv(0xa2, tlv(0x30, nonce, preferred)))
open("request.der", "wb").write(tlv(0x30, tbs))
PY
ask() { # algorithms: the answer's signature algorithm is in $got
    /usr/bin/python3 request.py "$@"
    curl -sS --fail -H 'Content-Type: application/ocsp-request' --data-binary @request.der "$SEALMILL_PUBLIC_URL/ocsp" -o answer.der || fail "no answer: $*"
    contains "$(openssl ocsp -respin answer.der -issuer ca/pki/issuing.pem -cert dev.pem -CAfile ca/pki/root.pem -verify_other ca/pki/issuing.pem -no_nonce 2>&1)" "dev.pem: good"
    openssl ocsp -respin answer.der -noverify -resp_text >answer.txt 2>/dev/null || true
    got=$(sed -n 's/^ *Signature Algorithm: //p' answer.txt | head -1)
}
wants() { [ "$got" = "$1" ] || fail "signed by $got, not $1: $2"; checks=$((checks + 1)); }

ask rsa-sha256
wants ecdsa-with-SHA256 "the CA has no such key: the usual one"
sed -i 's/^ocsp:/ocsp:\n  responder_keys: [rsa-2048, p384]/' ca/sealmill.yaml
grep -q responder_keys ca/sealmill.yaml || printf 'ocsp: {responder_keys: [rsa-2048, p384]}\n' >>ca/sealmill.yaml
check "$SEALMILL" config check --config ca/sealmill.yaml >/dev/null
kill -HUP "$server"
for _ in $(seq 100); do ask rsa-sha256; [ "$got" != sha256WithRSAEncryption ] || break; sleep 0.1; done
wants sha256WithRSAEncryption "a key that a reload brought"
for _ in $(seq 50); do ask ecdsa-sha384; [ "$got" != ecdsa-with-SHA384 ] || break; sleep 0.1; done
wants ecdsa-with-SHA384 "P-384"
# The dearest first; what we have not is passed over; what we do not know, too.
ask ecdsa-sha384 rsa-sha256; wants ecdsa-with-SHA384 "order"
ask rsa-sha256 ecdsa-sha384; wants sha256WithRSAEncryption "order"
ask ecdsa-sha256 rsa-sha256; wants ecdsa-with-SHA256 "the usual one is liked best"
ask ed25519 rsa-sha1 ecdsa-sha384; wants ecdsa-with-SHA384 "others are passed over, SHA-1 among them"
ask rsa-sha1; wants ecdsa-with-SHA256 "never SHA-1"
ask nonce rsa-sha256; wants sha256WithRSAEncryption "with a nonce"
contains "$(cat answer.txt)" "OCSP Nonce"
# Who wishes nothing gets what everybody gets, before and after.
contains "$(openssl ocsp -issuer ca/pki/issuing.pem -cert dev.pem -url "$SEALMILL_PUBLIC_URL/ocsp" -CAfile ca/pki/root.pem -verify_other ca/pki/issuing.pem -no_nonce -resp_text 2>&1)" "ecdsa-with-SHA256"
# A revocation is told by every key.
check sm revoke "$(openssl x509 -in dev.pem -noout -serial | cut -d= -f2)" --reason key-compromise >/dev/null
/usr/bin/python3 request.py rsa-sha256
curl -sS --fail -H 'Content-Type: application/ocsp-request' --data-binary @request.der "$SEALMILL_PUBLIC_URL/ocsp" -o answer.der
contains "$(openssl ocsp -respin answer.der -issuer ca/pki/issuing.pem -cert dev.pem -CAfile ca/pki/root.pem -verify_other ca/pki/issuing.pem -no_nonce 2>&1)" "dev.pem: revoked"
check sm issue --profile device --csr dev.csr --out dev.pem >/dev/null

# They live over a restart, and go when they are wanted no more, with their keys.
keys() { find ca/keys -name 'issuing-ocsp-*.key' | wc -l; }
before=$(keys)
stop
start
ask rsa-sha256; wants sha256WithRSAEncryption "after a restart"
[ "$(keys)" = "$before" ] || fail "a restart made keys"
sed -i 's/responder_keys: \[rsa-2048, p384\]/responder_keys: [p384]/' ca/sealmill.yaml
kill -HUP "$server"
for _ in $(seq 100); do ask rsa-sha256; [ "$got" != ecdsa-with-SHA256 ] || break; sleep 0.1; done
wants ecdsa-with-SHA256 "RSA is gone"
for _ in $(seq 50); do [ "$(keys)" != $((before - 1)) ] || break; sleep 0.1; done
[ "$(keys)" = $((before - 1)) ] || fail "$(keys) keys, not $((before - 1))"
ask ecdsa-sha384; wants ecdsa-with-SHA384 "P-384 has stayed"
# A new CA has them soon; a wrong setting is refused.
check sm ca create later --parent root --subject CN=later >/dev/null
for _ in $(seq 100); do [ "$(find ca/keys -name 'later-ocsp-*.key' | wc -l)" != 2 ] || break; sleep 0.1; done
[ "$(find ca/keys -name 'later-ocsp-*.key' | wc -l)" = 2 ] || fail "the new CA has no further responder"
sed 's/responder_keys: \[p384\]/responder_keys: [rot13]/' ca/sealmill.yaml >ca/wrong.yaml
contains "$("$SEALMILL" config check --config ca/wrong.yaml 2>&1 || true)" "no type of key"
stop
echo "$checks checks passed"
