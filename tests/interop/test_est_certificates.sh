#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# EST by client certificates: a maker's (IDevID), an expired one within its grace, too early a renewal, what a renewal replaces; which labels want one beside
# something else, or look at none; cacerts without the root, answers in DER.
. "$(dirname "$0")/est_labels.sh"
self() { openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "$dir/$1.key" -out "$dir/$1.pem" -subj "$2" -days 30 "${@:3}" 2>/dev/null; }
self maker "/O=Maker/CN=Maker CA" -addext basicConstraints=critical,CA:true -addext keyUsage=critical,keyCertSign
self other "/O=Maker/CN=Maker CA" -addext basicConstraints=critical,CA:true -addext keyUsage=critical,keyCertSign
made_by() { # CA, name, days: a device's first certificate
    openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "$dir/$2.key" -subj "/O=Maker/serialNumber=$2" -out "$dir/$2.csr" 2>/dev/null
    openssl x509 -req -in "$dir/$2.csr" -CA "$dir/$1.pem" -CAkey "$dir/$1.key" -days "$3" -out "$dir/$2.pem" 2>/dev/null
}
made_by maker idev 20
made_by other stranger 20
made_by maker old 0
sleep 2 # it ends within the second that it is made in
start_with_labels "
    - {name: first, ca: issuing, profile: device, authentication: [device], trust_anchors_file: '$dir/maker.pem'}
    - {name: short, ca: issuing, profile: device, requests: {maximum_validity: 4s}}
    - {name: grace, ca: issuing, profile: device, expired_grace: 1h, authentication: [device, otp], trust_anchors_file: '$dir/maker.pem'}
    - {name: window, ca: issuing, profile: device, renewal_window: 30d}
    - {name: once, ca: issuing, profile: device, revoke_renewed: true}
    - {name: both, ca: issuing, profile: device, authentication: [otp], client_certificates: required, trust_anchors_file: '$dir/maker.pem'}
    - {name: blind, ca: issuing, profile: device, client_certificates: none}
    - {name: plain, ca: issuing, profile: device, no_root: true, answer_der: true}
"
request dev /CN=dev
request next /CN=dev

# By its maker's certificate, for a name of our own; no other maker's, none that has expired, and nothing is renewed by it.
code 200 as idev $(post first/simpleenroll dev.b64)
taken dev
code 200 as idev $(post first/serverkeygen dev.b64)
code 403 as stranger $(post first/simpleenroll dev.b64)
code 403 as old $(post first/simpleenroll dev.b64)
says "expired"
code 403 as idev $(post first/simplereenroll dev.b64)
code 403 "${tls[@]}" $(post first/simpleenroll dev.b64)
code 401 as idev $(post simpleenroll dev.b64) # where the maker is not trusted
contains "$("$SEALMILL" audit --dir "$dir/ca" --json)" "device:"

# For the maker's CA we may answer OCSP: its devices are no more ours by that.
check "$SEALMILL" ocsp create maker --cert-file "$dir/maker.pem" --dir "$dir/ca" >/dev/null
code 200 as idev $(post first/simpleenroll dev.b64)
taken dev
code 403 as idev $(post first/simplereenroll dev.b64)
code 401 as idev $(post simpleenroll dev.b64)

# An expired one of ours renews itself within the grace, and gives no other right; a maker's has none.
code 200 ra $(post short/simpleenroll dev.b64)
taken late
cp "$dir/dev.key" "$dir/late.key"
code 200 as late $(post simplereenroll next.b64)
while openssl x509 -in "$dir/late.pem" -noout -checkend 0 >/dev/null; do sleep 0.5; done
sleep 1
code 403 as late $(post simplereenroll next.b64)
says "expired"
code 200 as late $(post grace/simplereenroll next.b64)
code 401 as late $(post grace/simpleenroll next.b64)
code 401 as old $(post grace/simpleenroll next.b64)
serial() { openssl x509 -in "$dir/$1.pem" -noout -serial | cut -d= -f2; }
check "$SEALMILL" revoke "$(serial late)" --dir "$dir/ca" >/dev/null
code 403 as late $(post grace/simplereenroll next.b64)

# Too early; replaced and revoked, so that it renews nothing more.
code 400 as dev $(post window/simplereenroll next.b64)
says "too early"
code 200 as dev $(post once/simplereenroll next.b64)
code 403 as dev $(post once/simplereenroll next.b64)
contains "$("$SEALMILL" show "$(serial dev)" --dir "$dir/ca" --json 2>/dev/null || admin "$SEALMILL_URL/v1/certificates/$(serial dev)")" SUPERSEDED

# One that is trusted, beside the one-time password.
otp dev7 --label both >"$dir/otp"
code 403 "${tls[@]}" -u "$(cat "$dir/otp")" $(post both/simpleenroll dev.b64)
code 403 as stranger -u "$(cat "$dir/otp")" $(post both/simpleenroll dev.b64)
code 401 as idev $(post both/simpleenroll dev.b64)
code 200 as idev -u "$(cat "$dir/otp")" $(post both/simpleenroll dev.b64)
# None is looked at.
code 401 ra $(post blind/simpleenroll dev.b64)

# The CA alone, and DER.
code 200 "${tls[@]}" "$SEALMILL_EST_URL/plain/cacerts"
check [ "$(openssl pkcs7 -inform DER -in "$dir/body" -print_certs | grep -c BEGIN)" = 1 ]
if grep -qi content-transfer-encoding "$dir/head"; then fail "DER is called base64"; fi
code 200 ra $(post plain/simpleenroll dev.b64)
check openssl pkcs7 -inform DER -in "$dir/body" -print_certs -out "$dir/plain.pem"
code 200 "${tls[@]}" "$SEALMILL_EST_URL/plain/csrattrs"
check openssl asn1parse -inform DER -in "$dir/body" >/dev/null
stop
echo "$checks checks passed"
