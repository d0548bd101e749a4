#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Requests bound to their connection (RFC 7030 3.5, RFC 7894, RFC 9266): tls-unique by python's ssl, tls-exporter by openssl s_client.
. "$(dirname "$0")/est_labels.sh"
start_with_labels '
    - name: bound
      ca: issuing
      profile: device
      requests:
        channel_binding: required
    - name: watched
      ca: issuing
      profile: device
      requests:
        channel_binding: checked
    - name: loose
      ca: issuing
      profile: device
      requests:
        channel_binding: "off"
'
openssl ecparam -genkey -name prime256v1 -noout -out "$dir/a.key"
number=0
enrol() { # wanted status, label, options
    local got
    number=$((number + 1))
    got=$(python3 "$(dirname "$0")/est_bound.py" 127.0.0.1 $((base + 1)) "$SEALMILL_CA_FILE" "$dir/a.key" "CN=dev$number" "$(otp "dev$number")" "${@:2}") || fail "$*"
    printf '%s' "${got#* }" >"$dir/body"
    [ "${got%% *}" = "$1" ] || fail "$got, not $1: $*"
    checks=$((checks + 1))
}
for tls in 1.2 1.3; do
    for place in challenge linking; do
        for label in bound watched; do
            enrol 200 $label --tls $tls --in $place
            enrol 400 $label --tls $tls --in $place --wrong
            says "it is not this connection's channel binding"
        done
        enrol 200 loose --tls $tls --in $place --wrong
    done
    enrol 400 bound --tls $tls --in none
    says "this label wants the connection's channel binding"
    enrol 200 watched --tls $tls --in none
done
# In a resumed session the first Finished is the server's.
enrol 200 bound --tls 1.2 --in challenge --resume
enrol 400 bound --tls 1.2 --in challenge --resume --wrong
# A password that is none of these.
request pass /CN=pass
python3 "$(dirname "$0")/est_csr.py" "$dir/pass.key" CN=pass --challenge "a password" >"$dir/pass"
code 200 ra $(post watched/simpleenroll pass)
code 400 ra $(post bound/simpleenroll pass)
# Of another connection: what was right over the first one is wrong over the second.
python3 "$(dirname "$0")/est_csr.py" "$dir/pass.key" CN=pass --challenge "$(head -c 32 /dev/zero | base64 -w0)" >"$dir/relayed"
code 400 ra --tlsv1.3 $(post watched/simpleenroll relayed)
stop
echo "$checks checks"
