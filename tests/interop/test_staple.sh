#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Stapled answers in real clients' handshakes: good, soon revoked, and of a certificate that a reload put in place.
. "$(dirname "$0")/dev.sh"
start
sm() { "$SEALMILL" "$@" --dir "$dir/ca"; }
handshake() { # s_client's options
    openssl s_client -connect "127.0.0.1:$base" -CAfile "$dir/ca/pki/root.pem" -status "$@" </dev/null 2>&1 || true
}
soon() { # what is wanted, then s_client's options
    for _ in $(seq 60); do
        case $(handshake "${@:2}") in *"$1"*) checks=$((checks + 1)); return ;; esac
        sleep 0.1
    done
    fail "\"$1\" is not stapled: $(handshake "${@:2}" | head -30)"
}

for version in -tls1_2 -tls1_3; do
    soon "Cert Status: good" $version
    contains "$(handshake $version)" "OCSP Response Status: successful (0x0)"
done
if curl --version | grep -q -i openssl; then
    # The dev listener may ask for a client certificate: curl's verdict about the status comes first.
    check curl -sS --cert-status --cacert "$SEALMILL_CA_FILE" --cert "$SEALMILL_CERT" --key "$SEALMILL_KEY" -o "$dir/whoami" "$SEALMILL_URL/v1/whoami"
fi
contains "$(curl -sS "http://127.0.0.1:$((base + 3))/metrics" | grep '^sealmill_tls_staples ')" " 2"

# A revocation is there within seconds, in new handshakes.
old=$dir/ca/pki/server.pem
serial=$(openssl x509 -in "$old" -noout -serial | cut -d= -f2)
check sm revoke "$serial" --reason superseded --cert "$SEALMILL_ADMIN_CERT" --key "$SEALMILL_ADMIN_KEY" >/dev/null
soon "Cert Status: revoked"
if curl --version | grep -q -i openssl; then
    if curl -sS --cert-status --cacert "$SEALMILL_CA_FILE" --cert "$SEALMILL_CERT" --key "$SEALMILL_KEY" -o "$dir/whoami" "$SEALMILL_URL/v1/whoami" 2>"$dir/said"; then
        fail "curl takes a revoked certificate"
    fi
    contains "$(cat "$dir/said")" "reason: superseded"
fi

# A new certificate, by a reload: its own answer.
csr server ec -pkeyopt ec_paramgen_curve:P-256
check sm issue --profile device --csr "$dir/server.csr" --san dns:localhost --san ip:127.0.0.1 --chain --out "$dir/server.pem" >/dev/null
cp "$dir/server.pem" "$old"
cp "$dir/server.key" "$dir/ca/pki/server.key"
kill -HUP "$server"
soon "Cert Status: good"
contains "$(handshake)" "Serial Number: $(openssl x509 -in "$dir/server.pem" -noout -serial | cut -d= -f2 | cut -c1-20)"

# A certificate of somebody else: nothing is stapled, and the handshake works.
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=localhost -keyout "$dir/ca/pki/server.key" -out "$old" 2>/dev/null
kill -HUP "$server"
soon "OCSP response: no response sent"
stop
echo "$checks checks passed"
