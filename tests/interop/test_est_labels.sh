#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# What a label's requests must be, over EST: each rule kept and broken, and why it is refused.
. "$(dirname "$0")/est_labels.sh"
start_with_labels '
    - name: sensors
      ca: issuing
      profile: device
      requests:
        key_types: [ec-p256, ec-p384]
        extended_key_usage: [clientAuth]
        subject: "CN=sensor-[0-9]+,O=Acme"
        sans: [dns]
        maximum_validity: 30d
'
eku=(-addext extendedKeyUsage=clientAuth)
san=(-addext subjectAltName=DNS:sensor-1.example.net)
request good /O=Acme/CN=sensor-1 "${eku[@]}" "${san[@]}"
code 200 ra $(post sensors/simpleenroll good.b64)
taken good
# 30 days, and not the profile's 90.
check openssl x509 -in "$dir/good.pem" -noout -checkend $((29 * 86400)) >/dev/null
if openssl x509 -in "$dir/good.pem" -noout -checkend $((31 * 86400)) >/dev/null; then fail "it is longer than the label has it"; fi
refused() { # why, then as request
    request bad "${@:2}"
    code 400 ra $(post sensors/simpleenroll bad.b64)
    says "$1"
    code 200 ra $(post simpleenroll bad.b64) # which has no such rules
}
refused "csr.subject: CN=sensor-1 does not match" /CN=sensor-1 "${eku[@]}" "${san[@]}"
refused "csr.subject: CN=sensor-x,O=Acme" /O=Acme/CN=sensor-x "${eku[@]}" "${san[@]}"
refused "csr.extensions.extended_key_usage: this label wants" /O=Acme/CN=sensor-1 "${san[@]}"
refused "csr.sans: this label wants a SAN of type dns" /O=Acme/CN=sensor-1 "${eku[@]}" -addext subjectAltName=URI:urn:x:1
newkey=rsa keyopt=rsa_keygen_bits:2048 refused "csr.key: this label does not take RSA-2048 keys" /O=Acme/CN=sensor-1 "${eku[@]}" "${san[@]}"
# Re-enrolment by the same rules.
request next /O=Acme/CN=sensor-1 "${eku[@]}" "${san[@]}"
code 200 as good $(post sensors/simplereenroll next.b64)
taken next
if openssl x509 -in "$dir/next.pem" -noout -checkend $((31 * 86400)) >/dev/null; then fail "it is longer than the label has it"; fi
request none /O=Acme/CN=sensor-1 "${san[@]}"
code 400 as good $(post sensors/simplereenroll none.b64)
# The configuration's check says what is none.
sed -i 's/maximum_validity: 30d/maximum_validity: soon/' "$dir/ca/sealmill.yaml"
if "$SEALMILL" config check --config "$dir/ca/sealmill.yaml" >"$dir/checked" 2>&1; then fail "a rule that is none was taken"; fi
contains "$(cat "$dir/checked")" "enrolment.labels.requests.maximum_validity"
stop
echo "$checks checks"
