#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# serverkeygen for devices that have said what the private key is to be encrypted with: a secret, RSA, an elliptic curve; opened by
# openssl cms, the signature checked against the CA of the server's certificate. Who may register, what is refused, what is left behind.
. "$(dirname "$0")/dev.sh"
here=$(cd "$(dirname "$0")" && pwd)
start
config=$dir/ca/sealmill.yaml
url=$SEALMILL_EST_URL/serverkeygen
cat >"$dir/split.py" <<'PY'
"""split.py DIR TYPE: reads the multipart answer; writes key.der, of this type, and certs.der."""
import base64, email, sys
dir, wanted = sys.argv[1:]
head, body = open(dir + "/head", "rb").read(), open(dir + "/body", "rb").read()
lines = [l for l in head.replace(b"\r\n", b"\n").split(b"\n") if l.lower().startswith(b"content-")]
message = email.message_from_bytes(b"\n".join(lines) + b"\n\n" + body)
key, certs = message.get_payload()
assert key["Content-Type"] == wanted, key["Content-Type"]
open(dir + "/key.der", "wb").write(base64.b64decode(key.get_payload()))
open(dir + "/certs.der", "wb").write(base64.b64decode(certs.get_payload()))
PY
cat >"$dir/wrap.py" <<'PY'
"""wrap.py IN OUT: a ContentInfo around SignedData (RFC 5652 3)."""
import sys
sys.path.insert(0, sys.argv[3])
from est_csr import oid, tlv
open(sys.argv[2], "wb").write(tlv(0x30, oid("1.2.840.113549.1.7.2"), tlv(0xA0, open(sys.argv[1], "rb").read())))
PY
cat >"$dir/unpack.py" <<'PY'
"""unpack.py IN OUT: the one key of an AsymmetricKeyPackage (RFC 5958 2)."""
import sys
data = open(sys.argv[1], "rb").read()
def header(b):
    assert b[0] == 0x30
    n = b[1] & 0x7f if b[1] & 0x80 else 0
    length = int.from_bytes(b[2:2 + n], "big") if n else b[1]
    assert len(b) == 2 + n + length
    return b[2 + n:]
key = header(data)
header(key)
open(sys.argv[2], "wb").write(key)
PY
ask() { # request's base64, then curl's options: the status in $code
    code=$(curl -sS --cacert "$SEALMILL_CA_FILE" -D "$dir/head" -o "$dir/body" -w '%{http_code}' -H 'Content-Type: application/pkcs10' --data-binary "@$1" "${@:2}" "$url")
}
as_ra() { ask "$1" --cert "$SEALMILL_CERT" --key "$SEALMILL_KEY"; }
made() { /usr/bin/python3 "$here/est_csr.py" "$dir/own.key" "${@:2}" >"$dir/$1.b64"; }
register() { "$SEALMILL" decrypt-key add --dir "$dir/ca" "$@"; }
opened() { # name, cipher, options of openssl cms: the answer is for this recipient, from the server, and its key is the certificate's
    [ "$code" = 200 ] || fail "$1: $code $(cat "$dir/body")"
    check /usr/bin/python3 "$dir/split.py" "$dir" "application/pkcs7-mime; smime-type=server-generated-key"
    contains "$(openssl cms -cmsout -print -inform DER -in "$dir/key.der")" "$2"
    check openssl cms -decrypt -inform DER -in "$dir/key.der" -binary -out "$dir/signed" "${@:3}"
    /usr/bin/python3 "$dir/wrap.py" "$dir/signed" "$dir/signed.der" "$here"
    check openssl cms -verify -inform DER -in "$dir/signed.der" -CAfile "$SEALMILL_CA_FILE" -purpose any -binary -out "$dir/package" 2>/dev/null
    contains "$(openssl cms -cmsout -print -inform DER -in "$dir/signed.der")" "2.16.840.1.101.2.1.2.78.5"
    check /usr/bin/python3 "$dir/unpack.py" "$dir/package" "$dir/pkcs8"
    openssl pkcs7 -inform DER -in "$dir/certs.der" -print_certs -out "$dir/$1.pem"
    [ "$(openssl x509 -in "$dir/$1.pem" -noout -pubkey)" = "$(openssl pkey -inform DER -in "$dir/pkcs8" -pubout)" ] || fail "$1: the certificate is another key's"
    checks=$((checks + 1))
}
openssl ecparam -name prime256v1 -genkey -noout -out "$dir/own.key"

# A secret that the device has too.
openssl rand -hex 32 >"$dir/secret"
contains "$(register 64657637 --secret-file "$dir/secret")" "64657637  AES-256"
made sym CN=dev7 --decrypt-key 64657637
as_ra "$dir/sym.b64"; opened sym aes-256-cbc -secretkey "$(cat "$dir/secret")" -secretkeyid 64657637
openssl rand -hex 16 >"$dir/short"
register 00ff --secret-file - <"$dir/short" >/dev/null
made short CN=dev7 --decrypt-key 00ff --capability 1.2.840.113549.3.7 --capability 2.16.840.1.101.3.4.1.2
as_ra "$dir/short.b64"; opened short aes-128-cbc -secretkey "$(cat "$dir/short")" -secretkeyid 00ff
# A one-time password as well: the key is made once.
"$SEALMILL" otp create dev7 --dir "$dir/ca" >"$dir/otp"
ask "$dir/sym.b64" -u "$(cat "$dir/otp")"; opened sym aes-256-cbc -secretkey "$(cat "$dir/secret")" -secretkeyid 64657637
ask "$dir/sym.b64" -u "$(cat "$dir/otp")"; [ "$code" = 401 ] || fail "a second answer: $code"

# RSA by a certificate, found by its subjectKeyIdentifier; what the device can read is what it gets.
openssl req -x509 -newkey rsa:2048 -nodes -keyout "$dir/rsa.key" -out "$dir/rsa.crt" -subj /CN=dev8 -addext keyUsage=keyEncipherment 2>/dev/null
id=$(register --certificate "$dir/rsa.crt" | cut -d' ' -f1)
contains "$(openssl x509 -in "$dir/rsa.crt" -noout -ext subjectKeyIdentifier | tr -d ': \n' | tr A-F a-f)" "$id"
made rsa CN=dev8 --asymmetric-decrypt-key "$id"
as_ra "$dir/rsa.b64"; opened rsa rsaesOaep -inkey "$dir/rsa.key"
made rsa1 CN=dev8 --asymmetric-decrypt-key "$id" --capability 1.2.840.113549.1.1.1 --capability 2.16.840.1.101.3.4.1.22
as_ra "$dir/rsa1.b64"; opened rsa1 rsaEncryption -inkey "$dir/rsa.key"
# Elliptic curves by their public keys.
for curve in prime256v1 secp384r1 secp521r1; do
    openssl ecparam -name $curve -genkey -noout -out "$dir/$curve.key"
    openssl pkey -in "$dir/$curve.key" -pubout -outform DER -out "$dir/$curve.pub"
    id=$(register --public-key "$dir/$curve.pub" | cut -d' ' -f1)
    made $curve CN=dev9 --asymmetric-decrypt-key "$id"
    as_ra "$dir/$curve.b64"; opened $curve d.kari -inkey "$dir/$curve.key"
done

# Neither the secret nor the key that was made is left in the server's memory, on its disk or in its log.
/usr/bin/python3 - "$dir" <<'PY'
import sys
dir = sys.argv[1]
open(dir + "/kek", "wb").write(bytes.fromhex(open(dir + "/secret").read()))
open(dir + "/scalar", "wb").write(open(dir + "/pkcs8", "rb").read()[36:68])
PY
if (exec 3<"/proc/$server/mem") 2>/dev/null; then
    [ -z "$(/usr/bin/python3 "$here/in_memory.py" "$server" "$dir/kek" "$dir/scalar")" ] || fail "left in memory: $(/usr/bin/python3 "$here/in_memory.py" "$server" "$dir/kek" "$dir/scalar")"
else
    echo "SKIP: the server's memory cannot be read here"
fi
/usr/bin/python3 - "$dir" <<'PY' || fail "a secret is on the disk"
import os, sys
dir = sys.argv[1]
secrets = [open(dir + "/" + n, "rb").read() for n in ("kek", "scalar")]
seen = [open(os.path.join(f, n), "rb").read() for f, _, names in os.walk(dir + "/ca") for n in names if not n.startswith("LOCK")]
for s in secrets:
    for octets in seen + [open(dir + "/log", "rb").read()]:
        assert s not in octets and s.hex().encode() not in octets
PY
checks=$((checks + 1))

# The list tells no secret; a name is taken once; what is removed is no longer known. All is in the audit.
contains "$("$SEALMILL" decrypt-key list --dir "$dir/ca")" "64657637  AES-256"
case $("$SEALMILL" decrypt-key list --dir "$dir/ca" --json) in *"$(head -c 20 "$dir/secret")"* | *ecret*) fail "the list tells a secret" ;; esac
if register 64657637 --secret-file "$dir/secret" 2>"$dir/err"; then fail "a name was taken twice"; fi
contains "$(cat "$dir/err")" "under this identifier"
check "$SEALMILL" decrypt-key remove 00ff --dir "$dir/ca"
as_ra "$dir/short.b64"; [ "$code" = 400 ] || fail "a removed key: $code"
contains "$(cat "$dir/body")" "no key for the encryption"
if "$SEALMILL" decrypt-key remove 00ff --dir "$dir/ca" 2>"$dir/err"; then fail "removed twice"; fi
contains "$(cat "$dir/err")" "no key under this identifier"
contains "$("$SEALMILL" audit --dir "$dir/ca" --json)" decrypt_key.create
contains "$("$SEALMILL" audit --dir "$dir/ca" --json)" decrypt_key.delete

# Refused, and nothing is made: an unknown key, one of the other kind, ciphers that are not ours, two keys.
before=$(curl -sS "http://127.0.0.1:$((base + 3))/metrics" | sed -n 's/^sealmill_enrol_keys_made_total //p')
refused() { as_ra "$dir/$1.b64"; [ "$code" = 400 ] || fail "$1: $code"; contains "$(cat "$dir/body")" "$2"; }
made unknown CN=x --decrypt-key 0101; refused unknown "no key for the encryption"
made long CN=x --decrypt-key "$(printf '61%.0s' $(seq 65))"; refused long "1 to 64 octets"
made kind CN=x --asymmetric-decrypt-key 64657637; refused kind "no key for the encryption"
made kind2 CN=x --decrypt-key "$id"; refused kind2 "no key for the encryption"
made ciphers CN=x --decrypt-key 64657637 --capability 1.2.840.113549.3.7; refused ciphers "names no cipher"
made both CN=x --decrypt-key 64657637 --asymmetric-decrypt-key "$id"; refused both "two keys"
[ "$(curl -sS "http://127.0.0.1:$((base + 3))/metrics" | sed -n 's/^sealmill_enrol_keys_made_total //p')" = "$before" ] || fail "keys were made for a refusal"
not() { if register "${@:2}" 2>"$dir/err"; then fail "registered: ${*:2}"; fi; contains "$(cat "$dir/err")" "$1"; }
openssl genpkey -algorithm ed25519 -out "$dir/ed.key"; openssl pkey -in "$dir/ed.key" -pubout -out "$dir/ed.pub"
not "nothing is encrypted with" --public-key "$dir/ed.pub"
openssl req -x509 -key "$dir/rsa.key" -out "$dir/signs.crt" -subj /CN=signs -addext keyUsage=digitalSignature 2>/dev/null
not "keyUsage" 77 --certificate "$dir/signs.crt"
echo 00112233 >"$dir/tiny"; not "16, 24 or 32" 77 --secret-file "$dir/tiny"
not "hex" zz --secret-file "$dir/secret"
not "identifier that requests name it by" --secret-file "$dir/secret"
not "no label" 77 --secret-file "$dir/secret" --label none
code=$(ra -o "$dir/body" -w '%{http_code}' "${SEALMILL_URL}/v1/decrypt-keys?pageSize=2")
[ "$code" = 200 ] || fail "a page: $code $(cat "$dir/body")"
contains "$(cat "$dir/body")" nextPageToken

# They are there after a restart; a label's own are that label's alone.
stop
sed -i '0,/^  labels:/s//  labels:\n    - name: strict\n      ca: issuing\n      profile: device\n      operations: [serverkeygen]\n      authentication: [certificate]\n    - name: other\n      ca: issuing\n      profile: device\n      operations: [serverkeygen]\n      authentication: [certificate]\n    - name: servers\n      ca: issuing\n      profile: servers\n      operations: [simpleenroll]\n      authentication: [certificate]/; s/^profiles:$/profiles:\n  - name: servers\n    cas: [issuing]\n    validity: {default: 90d, maximum: 1y}/' "$config"
check "$SEALMILL" config check --config "$config" >/dev/null
start
as_ra "$dir/sym.b64"; opened sym aes-256-cbc -secretkey "$(cat "$dir/secret")" -secretkeyid 64657637
register 99 --secret-file "$dir/secret" --label strict >/dev/null
made labelled CN=dev7 --decrypt-key 99
refused labelled "no key for the encryption"
url=${SEALMILL_EST_URL}/other/serverkeygen; refused labelled "no key for the encryption"
url=${SEALMILL_EST_URL}/strict/serverkeygen
# A registration authority: for labels that it could issue by; without a label, for every one.
by_ra() { ra -o "$dir/body" -w '%{http_code}' -X POST "${SEALMILL_URL}/v1/$1" -H 'Content-Type: application/json' -d "$2"; }
for label in strict ''; do
    want=200; [ "$label" = strict ] || want=403
    code=$(by_ra decrypt-keys '{"id":"88'"${label:+00}"'","secret":"AAAAAAAAAAAAAAAAAAAAAA==","label":"'"$label"'"}')
    [ "$code" = $want ] || fail "a key for label \"$label\" by an ra: $code $(cat "$dir/body")"
    code=$(by_ra otps '{"entityIds":["dev7"],"label":"'"$label"'"}')
    [ "$code" = $want ] || fail "a password for label \"$label\" by an ra: $code $(cat "$dir/body")"
done
as_ra "$dir/labelled.b64"; opened labelled aes-256-cbc -secretkey "$(cat "$dir/secret")" -secretkeyid 99
stop
echo "$checks checks passed"
