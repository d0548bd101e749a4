#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# What administrators rely on: a backup while serving, denied keys, rates of signing keys, audited refusals, revoked identities.
. "$(dirname "$0")/dev.sh"
start
issue() { "$SEALMILL" issue --dir "$dir/ca" --profile device --csr "$dir/$1.csr" --out "$dir/$1.pem"; }
reloads() { grep -c 'event=reload' "$dir/log" || true; }
reload() {
    local before
    before=$(reloads)
    kill -HUP "$server"
    for _ in $(seq 100); do [ "$(reloads)" = "$before" ] || return 0; sleep 0.1; done
    fail "no reload after 10 s"
}
csr one ec -pkeyopt ec_paramgen_curve:P-256
csr two ec -pkeyopt ec_paramgen_curve:P-256
check issue one >/dev/null
serial=$(openssl x509 -in "$dir/one.pem" -noout -serial | cut -d= -f2 | tr A-F a-f)

# A backup while it serves; restored, it holds what was answered before.
contains "$("$SEALMILL" backup --dir "$dir/ca" --name first)" "backup made on the server in $dir/ca/backups/first"
if "$SEALMILL" backup --dir "$dir/ca" --name first 2>"$dir/out"; then fail "a backup was made over another"; fi
contains "$(cat "$dir/out")" exists
if "$SEALMILL" backup --dir "$dir/ca" --name ../first 2>"$dir/out"; then fail "a backup left its folder"; fi
contains "$(cat "$dir/out")" "name"
contains "$(ra -X POST "$SEALMILL_URL/v1/backups" -d '{}')" "role admin"
check "$SEALMILL" restore --from "$dir/ca/backups/first" --data-dir "$dir/restored" >/dev/null
contains "$("$SEALMILL" db check --data-dir "$dir/restored")" " 0 problems"
if "$SEALMILL" backup --data-dir "$dir/ca/db" --out "$dir/x" 2>"$dir/out"; then fail "a running server's files were opened"; fi
contains "$(cat "$dir/out")" "running sealmill"

# Refusals for want of a right are audited, and no more than a few a second of them.
for _ in $(seq 40); do ra -X POST "$SEALMILL_URL/v1/backups" -d '{}' -o /dev/null; done
sleep 0.3
audit=$(admin "$SEALMILL_URL/v1/audit?pageSize=1000")
contains "$audit" '"outcome":"forbidden"'
contains "$audit" '"action":"sealmill.v1.MaintenanceService/Backup"'
contains "$(curl -s "$SEALMILL_OPERATIONS_URL/metrics")" sealmill_audit_refusals_suppressed_total
count=$(curl -s "$SEALMILL_OPERATIONS_URL/metrics" | sed -n 's/^sealmill_audit_refusals_suppressed_total //p')
check [ "$count" -gt 0 ]

# Denied keys: those of the file, and the CA's own.
openssl req -in "$dir/two.csr" -noout -pubkey | openssl pkey -pubin -outform DER | sha256sum | cut -d' ' -f1 >"$dir/hash"
printf '# compromised\n\n%s  # two\n' "$(cat "$dir/hash")" >"$dir/ca/denied"
echo 'denied_keys_file: denied' >>"$dir/ca/sealmill.yaml"
reload
if issue two 2>"$dir/out"; then fail "a denied key was certified"; fi
contains "$(cat "$dir/out")" "denied"
check issue one >/dev/null
echo nonsense >>"$dir/ca/denied"
reload
contains "$(cat "$dir/log")" "line 4: 64 hex digits are wanted"
: >"$dir/ca/denied"
reload
check issue two >/dev/null

# A signing key's rate.
contains "$(admin "$SEALMILL_URL/v1/keys" -d '{"key":{"name":"slow","keyType":"KEY_TYPE_EC_P256","ratePerSecond":3,"signers":["ra"]}}')" '"name":"slow"'
limited=0
for _ in 1 2 3 4 5 6 7 8; do
    answer=$(ra "$SEALMILL_URL/v1/keys/slow:sign" -d '{"digestAlgorithm":"DIGEST_ALGORITHM_SHA256","data":"aGVsbG8="}')
    case $answer in *'"signature"'*) ;; *"3 signatures a second"*) limited=1 ;; *) fail "$answer" ;; esac
done
check [ "$limited" = 1 ]

# The commands that are one call each.
sm() { "$SEALMILL" "$@" --dir "$dir/ca"; }
contains "$(sm whoami)" '"name": "admin"'
printf 'description: for a test\nkey_usage: [digitalSignature]\nvalidity: {default: 1d}\n' >"$dir/profile.yaml"
contains "$(sm profile put short --file "$dir/profile.yaml")" '"description": "for a test"'
contains "$(sm profile show short)" '"default": "1d"'
contains "$(sm profile list)" '"name": "device"'
contains "$(sm profile delete short)" '{'
if sm profile show short 2>"$dir/out"; then fail "a deleted profile is shown"; fi
contains "$(cat "$dir/out")" "there is no profile short"
printf 'key_usge: [digitalSignature]\n' >"$dir/profile.yaml"
if sm profile put short --file "$dir/profile.yaml" 2>"$dir/out"; then fail "a misspelt key was taken"; fi
contains "$(cat "$dir/out")" 'line 1: unknown key'
sm token create --name ci --role reader >"$dir/token"
id=$(sm token list | sed -n 's/.*"id": "\([0-9a-f]*\)".*/\1/p' | head -1)
ask=("$SEALMILL" whoami --server "$SEALMILL_API" --ca-file "$SEALMILL_CA_FILE" --token-file "$dir/token")
contains "$("${ask[@]}")" '"method": "token"'
contains "$(sm whoami --token-file "$dir/token")" '"name": "ci"' # instead of the dev instance's certificate
contains "$(sm token revoke "$id")" '{'
if "${ask[@]}" 2>"$dir/out"; then fail "a revoked token works"; fi
contains "$(cat "$dir/out")" "unknown or revoked"
contains "$(sm audit --limit 1000)" '"action": "token.revoke"'
contains "$(sm key create firmware --key-type KEY_TYPE_RSA_2048 --signer ra --digest DIGEST_ALGORITHM_SHA256)" '"name": "firmware"'
contains "$(sm key list)" firmware
check sm sign firmware --in "$dir/one.pem" --out "$dir/one.sig" --digest DIGEST_ALGORITHM_SHA256 --pss
sm key list | grep -A2 '"name": "firmware"' | sed -n 's/.*"publicKey": "\(.*\)".*/\1/p' | base64 -d | openssl pkey -pubin -inform DER -out "$dir/firmware.pem"
contains "$(openssl dgst -sha256 -verify "$dir/firmware.pem" -sigopt rsa_padding_mode:pss -signature "$dir/one.sig" "$dir/one.pem")" OK
if sm sign firmware --in "$dir/one.pem" --out "$dir/x" --digest DIGEST_ALGORITHM_SHA384 2>"$dir/out"; then fail "policy was not asked"; fi
contains "$(cat "$dir/out")" "does not allow rsa-sha384"
contains "$(sm ca disable issuing)" CA_STATE_DISABLED
if issue one 2>"$dir/out"; then fail "a disabled CA issued"; fi
contains "$(sm ca enable issuing)" CA_STATE_ACTIVE
contains "$(sm ca rollover issuing)" '"generation": 2'
check issue one >/dev/null

# The pipeline's own limit.
cp "$dir/ca/sealmill.yaml" "$dir/good.yaml"
sed -i 's/^limits:$/limits:\n  pending_requests: 1/' "$dir/ca/sealmill.yaml"
reload
"$SEALMILL" load --dir "$dir/ca" --count 300 --csrs 50 --connections 2 --in-flight 32 --json >"$dir/out" 2>&1 || true
contains "$(curl -s "$SEALMILL_OPERATIONS_URL/metrics" | grep 'refused_total.*busy')" 'reason="busy"'
busy=$(curl -s "$SEALMILL_OPERATIONS_URL/metrics" | sed -n 's/^sealmill_certificates_refused_total{reason="busy"} //p')
check [ "$busy" -gt 0 ]
cp "$dir/good.yaml" "$dir/ca/sealmill.yaml"
reload

# One profile too many is refused, and what was kept before keeps the server neither from changes nor from starting.
codes=$(admin -X PUT "$SEALMILL_URL/v1/profiles/many[1-260]" -d '{}' -o /dev/null -w '%{http_code}\n' | sort | uniq -c | tr -s ' \n' ' ')
contains "$codes" " 200 "
contains "$codes" " 400 "
contains "$(admin -X PUT "$SEALMILL_URL/v1/profiles/one-more" -d '{}')" "256 profiles already"
contains "$(sm ca disable issuing)" CA_STATE_DISABLED
contains "$(sm ca enable issuing)" CA_STATE_ACTIVE
stop
start
check issue one >/dev/null

# An identity that is revoked stops working, on connections that are open already too.
mine=$(openssl x509 -in "$SEALMILL_CERT" -noout -serial | cut -d= -f2 | tr A-F a-f)
contains "$(ra "$SEALMILL_URL/v1/whoami")" '"name":"ra"'
contains "$(admin "$SEALMILL_URL/v1/certificates/$mine:revoke" -d '{"reason":"REVOCATION_REASON_CERTIFICATE_HOLD"}')" HOLD
contains "$(ra "$SEALMILL_URL/v1/whoami")" "revoked or on hold"
contains "$(admin -X POST "$SEALMILL_URL/v1/certificates/$mine:release" -d '{}')" VALID
contains "$(ra "$SEALMILL_URL/v1/whoami")" '"name":"ra"'
ra "$SEALMILL_URL/v1/certificates/$serial" -o /dev/null "$SEALMILL_URL/v1/whoami" >/dev/null
stop
echo "$checks checks passed"
