#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Groups of CAs behind a label: each policy, a CA that is disabled, a CA whose token fails (the request is another's, none is refused) and that comes back,
# cacerts of all, re-enrolment whichever CA is left.
. "$(dirname "$0")/est_labels.sh"
labels() {
    for policy in active-passive round-robin weighted lowest-latency; do
        printf '    - name: %s\n      ca_group: %s\n      profile: device\n      authentication: [certificate, otp]\n' $policy $policy
    done
}
groups() {
    for policy in active-passive round-robin weighted lowest-latency; do
        printf '    - name: %s\n      policy: %s\n      members: [{ca: east, weight: 3}, {ca: west}]\n' $policy $policy
    done
}
start_with_labels "
$(labels)
  groups:
$(groups)
"
sm() { "$SEALMILL" "$@" --dir "$dir/ca"; }
config=$dir/ca/sealmill.yaml
check "$SEALMILL" config check --config "$config" >/dev/null
sed -i 's/cas: \[issuing\]/cas: [issuing, east, west, hsm]/' "$config"
check sm ca create east --parent root --subject "O=Acme,CN=East" --pem >"$dir/east.pem"
check sm ca create west --parent root --subject "O=Acme,CN=West" --pem >"$dir/west.pem"
kill -HUP "$server"
sleep 1
request dev /CN=dev
from() { # label: the CA that issued
    code 200 ra $(post "$1/simpleenroll" dev.b64)
    taken answer
    openssl x509 -in "$dir/answer.pem" -noout -issuer | sed 's/.*CN = \{0,1\}//; s/.*CN=//'
}
count() { # label, requests: how many each issued, as "East N West N"
    local east=0 west=0
    for _ in $(seq "$2"); do case $(from "$1") in East) east=$((east + 1)) ;; West) west=$((west + 1)) ;; *) fail "neither" ;; esac; done
    echo "$east $west"
}
[ "$(count active-passive 6)" = "6 0" ] || fail "active-passive"
[ "$(count round-robin 6)" = "3 3" ] || fail "round-robin"
read -r east west <<<"$(count weighted 60)"
[ "$east" -gt "$west" ] && [ "$west" -gt 0 ] || fail "weighted: $east and $west of 60"
read -r east west <<<"$(count lowest-latency 8)"
[ $((east + west)) = 8 ] || fail "lowest-latency"
checks=$((checks + 4))

# All of their certificates, the root once.
code 200 "${tls[@]}" "$SEALMILL_EST_URL/round-robin/cacerts"
base64 -d "$dir/body" | openssl pkcs7 -inform DER -print_certs -out "$dir/cacerts.pem"
[ "$(grep -c 'BEGIN CERT' "$dir/cacerts.pem")" = 3 ] || fail "cacerts has $(grep -c 'BEGIN CERT' "$dir/cacerts.pem") certificates"
for ca in east west; do check grep -q "CN = \{0,1\}${ca^}\|CN=${ca^}" "$dir/cacerts.pem"; done

# One that is disabled is left out at once, and is back at once.
check sm ca disable east >/dev/null
[ "$(count active-passive 3)" = "0 3" ] || fail "a disabled CA issues"
[ "$(count round-robin 3)" = "0 3" ] || fail "a disabled CA issues"
check sm ca enable east >/dev/null
[ "$(count active-passive 3)" = "3 0" ] || fail "an enabled CA is not back"

# A one-time password, and a re-enrolment, of the group: whichever CA there is.
secret=$(otp once --label active-passive)
code 200 "${tls[@]}" -u "$secret" $(post active-passive/simpleenroll dev.b64)
taken dev
contains "$(openssl x509 -in "$dir/dev.pem" -noout -issuer)" East
check sm ca disable east >/dev/null
request next /CN=dev
code 200 as dev $(post active-passive/simplereenroll next.b64)
taken renewed
contains "$(openssl x509 -in "$dir/renewed.pem" -noout -issuer)" West
check sm ca enable east >/dev/null

# What cannot be is refused by its place.
sed 's/policy: weighted/policy: fastest/' "$config" >"$dir/ca/wrong.yaml"
contains "$("$SEALMILL" config check --config "$dir/ca/wrong.yaml" 2>&1 || true)" "groups.policy"
sed 's/ca_group: weighted/ca_group: none/' "$config" >"$dir/ca/wrong.yaml"
contains "$("$SEALMILL" config check --config "$dir/ca/wrong.yaml" 2>&1 || true)" "there is no group"
sed 's/{ca: west}/{ca: east}/' "$config" >"$dir/ca/wrong.yaml"
contains "$("$SEALMILL" config check --config "$dir/ca/wrong.yaml" 2>&1 || true)" "comes twice"

# A token that fails in the middle of a signature: nobody is refused, and it comes back.
faulty=$SM_BUILD_DIR/tests/libsm_faulty_pkcs11.so
if [ -r /usr/lib/softhsm/libsofthsm2.so ] && [ -e "$faulty" ]; then
    stop
    mkdir "$dir/tokens"
    printf 'directories.tokendir = %s\nobjectstore.backend = file\nlog.level = ERROR\n' "$dir/tokens" >"$dir/softhsm2.conf"
    export SOFTHSM2_CONF=$dir/softhsm2.conf LSAN_OPTIONS=detect_leaks=0 # SoftHSM2's own
    softhsm2-util --init-token --free --label hsm --so-pin 12345678 --pin 471147 >/dev/null
    cp "$faulty" "$dir/faulty.so"
    printf 'SM_P11_CONTROL=%s\n' "$dir/control" >"$dir/faulty.so.env"
    : >"$dir/control"
    printf '471147\n' >"$dir/ca/pin"
    chmod 600 "$dir/ca/pin"
    printf 'pkcs11:\n  - uri: "pkcs11:token=hsm?module-path=%s"\n    pin_file: pin\n    sessions: 2\n    timeout: 2s\n' "$dir/faulty.so" >>"$config"
    sed -i '/name: active-passive$/,/members:/s/members: .*/members: [{ca: hsm}, {ca: west}]/' "$config"
    start
    check sm ca create hsm --parent root --subject "O=Acme,CN=Hsm" --key-uri "pkcs11:token=hsm;object=hsm" >/dev/null
    [ "$(from active-passive)" = Hsm ] || fail "the token's CA does not issue"
    printf 'C_Sign CKR_DEVICE_ERROR\n' >"$dir/control"
    for _ in 1 2 3 4; do [ "$(from active-passive)" = West ] || fail "the other CA does not take over"; done
    contains "$(curl -s "$SEALMILL_OPERATIONS_URL/metrics")" "sealmill_ca_group_failovers_total"
    : >"$dir/control"
    for _ in $(seq 60); do [ "$(from active-passive)" != Hsm ] || break; sleep 0.5; done
    [ "$(from active-passive)" = Hsm ] || fail "the token's CA does not come back"
    checks=$((checks + 3))
fi
stop
echo "$checks checks"
