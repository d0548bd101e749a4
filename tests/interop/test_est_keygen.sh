#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# serverkeygen with curl and openssl: every type of key, the wish and the default, the multipart answer read by python's email, one-time passwords, refusals,
# and that the key is written down nowhere.
. "$(dirname "$0")/dev.sh"
ossl() { if [ -x .prefix/bin/openssl ]; then LD_LIBRARY_PATH=.prefix/lib .prefix/bin/openssl "$@"; else openssl "$@"; fi; }
start
config=$dir/ca/sealmill.yaml
url=$SEALMILL_EST_URL/serverkeygen
cat >"$dir/split.py" <<'PY'
"""Reads the multipart answer: writes key.der and certs.der, checks what RFC 7030 4.4.2 says of the parts."""
import base64, email, sys
head, body = open(sys.argv[1] + "/head", "rb").read(), open(sys.argv[1] + "/body", "rb").read()
lines = [l for l in head.replace(b"\r\n", b"\n").split(b"\n") if l.lower().startswith(b"content-")]
message = email.message_from_bytes(b"\n".join(lines) + b"\n\n" + body)
assert message.get_content_type() == "multipart/mixed", message.get_content_type()
assert b"transfer-encoding: chunked" not in head.lower() and b"content-length: %d" % len(body) in head.lower()
key, certs = message.get_payload()
assert key.get_content_type() == "application/pkcs8", key.get_content_type()
assert certs.get_content_type() == "application/pkcs7-mime" and certs.get_param("smime-type") == "certs-only"
for part in key, certs:
    assert part["Content-Transfer-Encoding"] == "base64" and list(part.keys()) == ["Content-Type", "Content-Transfer-Encoding"], part.keys()
open(sys.argv[1] + "/key.der", "wb").write(base64.b64decode(key.get_payload()))
open(sys.argv[1] + "/certs.der", "wb").write(base64.b64decode(certs.get_payload()))
PY
ask() { # request's base64, then curl's options: the status in $code
    code=$(curl -sS --cacert "$SEALMILL_CA_FILE" -D "$dir/head" -o "$dir/body" -w '%{http_code}' -H 'Content-Type: application/pkcs10' --data-binary "@$1" "${@:2}" "$url")
}
wish() { # name, openssl's -newkey
    ossl req -new -newkey "${@:2}" -nodes -keyout "$dir/$1.own" -subj "/CN=$1" -outform DER -out "$dir/$1.csr" 2>/dev/null
    base64 -w0 "$dir/$1.csr" >"$dir/$1.b64"
}
otp() { "$SEALMILL" otp create "$1" --dir "$dir/ca" >"$dir/otp"; cat "$dir/otp"; }
taken() { # name: the answer is a key and its certificate, and nothing of it is the client's own
    [ "$code" = 200 ] || fail "$1: $code $(cat "$dir/body")"
    check /usr/bin/python3 "$dir/split.py" "$dir"
    ossl pkcs7 -inform DER -in "$dir/certs.der" -print_certs -out "$dir/$1.pem"
    ossl pkey -inform DER -in "$dir/key.der" -pubout -out "$dir/$1.pub" || fail "$1: no private key"
    [ "$(ossl x509 -in "$dir/$1.pem" -noout -pubkey)" = "$(cat "$dir/$1.pub")" ] || fail "$1: the certificate is another key's"
    [ "$(ossl pkey -in "$dir/$1.own" -pubout)" != "$(cat "$dir/$1.pub")" ] || fail "$1: it is the client's own key"
    contains "$(ossl verify -CAfile "$dir/ca/pki/root.pem" -untrusted "$dir/ca/pki/issuing.pem" "$dir/$1.pem")" ": OK"
    contains "$(ossl x509 -in "$dir/$1.pem" -noout -subject)" "$1"
}
type_of() { ossl pkey -pubin -in "$dir/$1.pub" -noout -text | head -3 | tr '\n' ' '; }

# Every type that the profile allows is made as it is wished for.
sed -i 's/^  - name: device$/  - name: device\n    key_types: [ec-p256, ec-p384, rsa-2048, ed25519, ml-dsa-44]/' "$config"
grep -q 'key_types' "$config" || fail "the profile is not as the test knows it"
kill -HUP "$server"
for _ in $(seq 50); do ! grep -q event=reloaded "$dir/log" || break; sleep 0.1; done
contains "$(cat "$dir/log")" event=reloaded
wish p384 ec -pkeyopt ec_paramgen_curve:P-384; ask "$dir/p384.b64" -u "$(otp p384)"; taken p384; contains "$(type_of p384)" "384 bit"
wish rsa rsa:2048; ask "$dir/rsa.b64" -u "$(otp rsa)"; taken rsa; contains "$(type_of rsa)" "2048 bit"
wish ed ed25519; ask "$dir/ed.b64" -u "$(otp ed)"; taken ed; contains "$(type_of ed)" "ED25519"
if ossl list -signature-algorithms 2>/dev/null | grep -qi ml-dsa-44; then
    wish mldsa ML-DSA-44; ask "$dir/mldsa.b64" -u "$(otp mldsa)"; taken mldsa; contains "$(type_of mldsa)" "ML-DSA-44"
fi
# What it does not allow becomes the default; so does a key that nobody would certify.
wish p521 ec -pkeyopt ec_paramgen_curve:P-521; ask "$dir/p521.b64" -u "$(otp p521)"; taken p521; contains "$(type_of p521)" "256 bit"
wish weak rsa:1024; ask "$dir/weak.b64" -u "$(otp weak)"; taken weak; contains "$(type_of weak)" "256 bit"
# The signature is ignored: a request with a wrong one does.
wish torn ec -pkeyopt ec_paramgen_curve:P-256
/usr/bin/python3 -c 'import sys; b = bytearray(open(sys.argv[1], "rb").read()); b[-1] ^= 1; open(sys.argv[1], "wb").write(b)' "$dir/torn.csr"
base64 -w0 "$dir/torn.csr" >"$dir/torn.b64"
ask "$dir/torn.b64" -u "$(otp torn)"; taken torn
# A registration authority, by its certificate; over HTTP/2 and HTTP/1.1.
wish ra ec -pkeyopt ec_paramgen_curve:P-256
ask "$dir/ra.b64" --http1.1 --cert "$SEALMILL_CERT" --key "$SEALMILL_KEY"; taken ra
contains "$(cat "$dir/head")" "Content-Type: multipart/mixed"
# The password that it came by is no more in memory than the key.
wish by1 ec -pkeyopt ec_paramgen_curve:P-256
otp by1 >/dev/null
ask "$dir/by1.b64" --http1.1 -u "$(cat "$dir/otp")"; taken by1
printf '%s' "$(cat "$dir/otp")" | base64 -w0 >"$dir/basic64"
# What has left is wiped: neither the key's octets nor its base64 are in the server's memory, where the CA's certificate is found.
in_memory() { /usr/bin/python3 "$(dirname "${BASH_SOURCE[0]}")/in_memory.py" "$server" "$@"; }
openssl x509 -in "$dir/ca/pki/issuing.pem" -outform DER -out "$dir/issuing.der"
/usr/bin/python3 - "$dir" <<'PY'
import base64, sys
key = open(sys.argv[1] + "/key.der", "rb").read()
open(sys.argv[1] + "/scalar", "wb").write(key[36:68])
open(sys.argv[1] + "/scalar64", "wb").write(base64.b64encode(key)[50:90])
PY
if (exec 3<"/proc/$server/mem") 2>/dev/null; then
    contains "$(in_memory "$dir/issuing.der")" "issuing.der"
    [ -z "$(in_memory "$dir/scalar" "$dir/scalar64" "$dir/otp" "$dir/basic64")" ] || fail "left in memory: $(in_memory "$dir/scalar" "$dir/scalar64" "$dir/otp" "$dir/basic64")"
else
    echo "SKIP: the server's memory cannot be read here"
fi

# A one-time password gives one key: no second answer, to nobody.
wish once ec -pkeyopt ec_paramgen_curve:P-256
secret=$(otp once)
ask "$dir/once.b64" -u "$secret"; taken once
ask "$dir/once.b64" -u "$secret"; [ "$code" = 401 ] || fail "a second answer: $code"
# Nothing is made for strangers.
before=$(curl -sS "http://127.0.0.1:$((base + 3))/metrics" | sed -n 's/^sealmill_enrol_keys_made_total //p')
ask "$dir/once.b64"; [ "$code" = 401 ] || fail "a stranger: $code"
ask "$dir/once.b64" -u nobody:wrong-password-000; [ "$code" = 401 ] || fail "a wrong password: $code"
printf 'bm90IGEgcmVxdWVzdA==' >"$dir/junk.b64"
ask "$dir/junk.b64" --cert "$SEALMILL_CERT" --key "$SEALMILL_KEY"; [ "$code" = 400 ] || fail "junk: $code"
# Nor for what would not be issued.
ossl req -new -newkey rsa:2048 -nodes -keyout "$dir/bad.own" -subj /CN=bad -addext "$(python3 -c 'print("subjectAltName=" + ",".join("DNS:h%d.example.net" % i for i in range(200)))')" \
    -outform DER 2>/dev/null | base64 -w0 >"$dir/bad.b64"
ask "$dir/bad.b64" --cert "$SEALMILL_CERT" --key "$SEALMILL_KEY"; [ "$code" = 400 ] || fail "too many names: $code"
contains "$(cat "$dir/body")" "200 names"
[ "$(curl -sS "http://127.0.0.1:$((base + 3))/metrics" | sed -n 's/^sealmill_enrol_keys_made_total //p')" = "$before" ] || fail "keys were made for nobody"
# The key is nowhere but with the client: not in the store, not in the log.
stop
/usr/bin/python3 - "$dir" <<'PY' || fail "the private key is on the disk"
import os, sys
dir = sys.argv[1]
secret = open(dir + "/key.der", "rb").read()
private = secret[36:68]
for folder, _, files in os.walk(dir + "/ca"):
    for name in files:
        bytes_ = open(os.path.join(folder, name), "rb").read()
        assert private not in bytes_ and private.hex().encode() not in bytes_, name
assert private not in open(dir + "/log", "rb").read()
PY
checks=$((checks + 1))

# Labels: no default, an operation that is off.
sed -i '0,/^  labels:/s//  labels:\n    - name: strict\n      ca: issuing\n      profile: device\n      operations: [serverkeygen]\n      authentication: [certificate]\n      no_default_key: true\n    - name: off\n      ca: issuing\n      profile: device\n      operations: [simpleenroll]\n      authentication: [certificate]/' "$config"
check "$SEALMILL" config check --config "$config" >/dev/null
start
url=${SEALMILL_EST_URL}/strict/serverkeygen
ask "$dir/p521.b64" --cert "$SEALMILL_CERT" --key "$SEALMILL_KEY"; [ "$code" = 400 ] || fail "a type that is not to be had: $code"
contains "$(cat "$dir/body")" "not to be had"
ask "$dir/p384.b64" --cert "$SEALMILL_CERT" --key "$SEALMILL_KEY"; taken p384
url=${SEALMILL_EST_URL}/off/serverkeygen
ask "$dir/p384.b64" --cert "$SEALMILL_CERT" --key "$SEALMILL_KEY"; [ "$code" = 404 ] || fail "an operation that is off: $code"
stop
echo "$checks checks passed"
