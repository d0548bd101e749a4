#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A CA whose key is in a token: made, used under load, found again after a restart, waited for when the token comes late.
module=/usr/lib/softhsm/libsofthsm2.so
[ -r $module ] || { echo "skipped: SoftHSM2 is not installed"; exit 77; }
. "$(dirname "$0")/dev.sh"
mkdir "$dir/tokens"
printf 'directories.tokendir = %s\nobjectstore.backend = file\nlog.level = ERROR\n' "$dir/tokens" >"$dir/softhsm2.conf"
export SOFTHSM2_CONF=$dir/softhsm2.conf
softhsm2-util --init-token --free --label hsm --so-pin 12345678 --pin 471147 >/dev/null
export LSAN_OPTIONS=detect_leaks=0 # SoftHSM2's own
start
printf '471147\n' >"$dir/ca/pin"
chmod 600 "$dir/ca/pin"
cat >>"$dir/ca/sealmill.yaml" <<YAML
pkcs11:
  - uri: "pkcs11:token=hsm?module-path=$module"
    pin_file: pin
    sessions: 4
YAML
stop
start
sm() { "$SEALMILL" "$@" --dir "$dir/ca"; }
contains "$(curl -s "$SEALMILL_OPERATIONS_URL/metrics")" 'sealmill_token_up{token="hsm"} 1'

# CAs of each kind of key that a token makes.
csr leaf ec -pkeyopt ec_paramgen_curve:P-256
der=$(openssl req -in "$dir/leaf.csr" -outform DER | base64 -w0)
printf 'validity: {default: 1d}\nkey_usage: [digitalSignature]\nsans: {copy: true}\n' >"$dir/any.yaml"
check sm profile put any --file "$dir/any.yaml" >/dev/null
issue_at() { admin "$SEALMILL_URL/v1/certificates" -d "{\"ca\":\"$1\",\"profile\":\"any\",\"csr\":\"$der\"}"; }
for type in p256 p384 rsa-2048 ed25519; do
    check sm ca create "hsm-$type" --root --subject "O=Acme,CN=HSM $type" --key-type $type --key-uri "pkcs11:token=hsm;object=ca-$type" --pem >"$dir/hsm-$type.pem"
    issue_at "hsm-$type" | sed -n 's/.*"certificate":"\([^"]*\)".*/\1/p' | base64 -d | openssl x509 -inform DER -out "$dir/leaf-$type.pem" || fail "$(issue_at "hsm-$type")"
    contains "$(openssl verify -CAfile "$dir/hsm-$type.pem" "$dir/leaf-$type.pem")" OK
done
contains "$(sm ca show hsm-p256 --json)" '"keyUri": "pkcs11:'
check [ ! -e "$dir/ca/keys/hsm-p256-1.key" ] # nothing of the CA's key on the disk
if sm ca create again --root --subject "CN=x" --key-uri "pkcs11:token=hsm;object=ca-p256" 2>"$dir/out"; then fail "a key was made over another"; fi
contains "$(cat "$dir/out")" "use_existing_key"
check sm ca create again --root --subject "O=Acme,CN=Again" --key-uri "pkcs11:token=hsm;object=ca-p256" --existing-key >/dev/null
if sm ca create x --root --subject "CN=x" --key-uri "pkcs11:token=other;object=x" 2>"$dir/out"; then fail "a token that is not configured was used"; fi
contains "$(cat "$dir/out")" "no such token"

# A signing key, and many signatures at once.
check sm key create release --key-uri "pkcs11:token=hsm;object=release" --signer ra >/dev/null
check sm sign release --in "$dir/leaf.csr" --out "$dir/sig"
sed -i 's/cas: \[issuing\]/cas: [issuing, hsm-p256]/' "$dir/ca/sealmill.yaml"
kill -HUP "$server"; sleep 1
contains "$("$SEALMILL" load --dir "$dir/ca" --ca hsm-p256 --count 400 --csrs 50 --connections 2 --in-flight 16 --json 2>&1 || true)" '"errors":0'

# What signs with a key, and what the token says of it, is told.
facts=$(ra "$SEALMILL_URL/v1/cas/hsm-p256")
for fact in '"backend":"pkcs11"' '"token":"hsm"' '"up":true' '"seen":true' '"sensitive":true' '"alwaysSensitive":true' '"neverExtractable":true' '"local":true'; do
    contains "$facts" "$fact"
done
check [ -z "$(grep '"extractable":true' <<<"$facts")" ]
contains "$(admin "$SEALMILL_URL/v1/keys")" '"neverExtractable":true'
check [ -z "$(ra "$SEALMILL_URL/v1/cas/issuing" | grep '"tokens":\[{')" ]
contains "$(curl -s "$SEALMILL_OPERATIONS_URL/metrics")" 'sealmill_key_backend{key="file:'
contains "$(curl -s "$SEALMILL_OPERATIONS_URL/metrics" | grep 'sealmill_key_backend{key="pkcs11:')" 'backend="pkcs11"'
contains "$(cat "$dir/log")" "event=key_loaded"

# Found again after a restart; and waited for when the token comes after the server.
stop
start
contains "$(issue_at hsm-p256)" '"certificate"'
stop
mv "$dir/tokens" "$dir/away"
mkdir "$dir/tokens"
start
contains "$(curl -s "$SEALMILL_OPERATIONS_URL/readyz")" "token hsm does not sign: CKR_TOKEN_NOT_PRESENT"
contains "$(issue_at hsm-p256)" "not at hand"
sign_raw() { admin "$SEALMILL_URL/v1/keys/release:sign" -d '{"data":"aGVsbG8="}'; }
contains "$(sign_raw)" '"UNAVAILABLE"'
contains "$(admin "$SEALMILL_URL/v1/certificates" -d "{\"ca\":\"issuing\",\"profile\":\"device\",\"csr\":\"$der\"}")" '"certificate"' # others go on
contains "$(curl -s "$SEALMILL_OPERATIONS_URL/metrics")" 'sealmill_token_up{token="hsm"} 0'
rmdir "$dir/tokens"
mv "$dir/away" "$dir/tokens"
back=
for _ in $(seq 200); do case $(issue_at hsm-p256) in *'"certificate"'*) back=1; break ;; esac; sleep 0.1; done
check [ -n "$back" ]
contains "$(sign_raw)" '"signature"'
contains "$(curl -s "$SEALMILL_OPERATIONS_URL/metrics")" 'sealmill_token_up{token="hsm"} 1'
check [ "$(curl -s "$SEALMILL_OPERATIONS_URL/readyz")" = ready ]
stop
echo "$checks checks passed"
