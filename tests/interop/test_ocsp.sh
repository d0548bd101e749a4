#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# OCSP with openssl, GnuTLS' ocsptool, python3-cryptography and curl: every state, both hashes, GET and POST, caching, what is malformed.
. "$(dirname "$0")/dev.sh"
start
url=$SEALMILL_OCSP_URL
ask() { openssl ocsp -issuer "$dir/ca/pki/issuing.pem" -url "$url" -CAfile "$SEALMILL_CA_FILE" "$@" 2>&1; }
code() { local want=$1 got; shift; got=$(curl -sS "$@" -o "$dir/body" -D "$dir/head" -w '%{http_code}') || fail "$*"; [ "$got" = "$want" ] || fail "$got, not $want: $*"; checks=$((checks + 1)); }
field() { tr -d '\r' <"$dir/head" | sed -n "s/^$1: //Ip"; }
issue() { csr "$1" ec -pkeyopt ec_paramgen_curve:P-256; "$SEALMILL" issue --dir "$dir/ca" --profile device --csr "$dir/$1.csr" --out "$dir/$1.pem" >/dev/null; }
serial() { openssl x509 -in "$dir/$1.pem" -noout -serial | cut -d= -f2; }
status() { openssl ocsp -respin "$1" -issuer "$dir/ca/pki/issuing.pem" -cert "$dir/$2.pem" -CAfile "$SEALMILL_CA_FILE" 2>&1; }

# A certificate that was just issued is good, by either hash, with a nonce and without, more than once.
issue one
for hash in sha1 sha256; do
    for nonce in -nonce -no_nonce -no_nonce; do
        answer=$(ask -$hash -cert "$dir/one.pem" $nonce)
        contains "$answer" "Response verify OK"
        contains "$answer" "one.pem: good"
    done
done
# Held, released, revoked: visible at once, by either hash.
for step in "revoke --reason certificate-hold:certificateHold" "release:: good" "revoke --reason key-compromise:keyCompromise"; do
    read -r -a command <<<"${step%%:*}"
    "$SEALMILL" "${command[0]}" "$(serial one)" --dir "$dir/ca" "${command[@]:1}" >/dev/null
    for hash in sha1 sha256; do contains "$(ask -$hash -cert "$dir/one.pem" -no_nonce)" "${step#*:}"; done
done
# Nobody's serial number; several at once; another CA's.
contains "$(ask -serial 0x1234 -no_nonce)" "0x1234: unknown"
issue two
answer=$(ask -cert "$dir/one.pem" -cert "$dir/two.pem" -serial 77)
contains "$answer" "one.pem: revoked"
contains "$answer" "two.pem: good"
contains "$answer" "77: unknown"
# It may be issued: what is said of it is good for ten minutes, in whatever kind of answer.
next_update() { date -d "$(sed -n 's/.*Next Update: //p' <<<"$1" | tail -1)" +%s; }
for how in -no_nonce -nonce "-cert $dir/two.pem -no_nonce"; do
    # shellcheck disable=SC2086
    answer=$(ask $how -serial 78)
    contains "$answer" "78: unknown"
    check [ $(($(next_update "$answer") - $(date +%s))) -le 600 ]
done
check [ $(($(next_update "$(ask -serial 79 -cert "$dir/two.pem" -no_nonce)") - $(date +%s))) -gt 3600 ]
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "$dir/o.key" -subj /CN=other -days 9 -out "$dir/o.pem" 2>/dev/null
contains "$(openssl ocsp -issuer "$dir/o.pem" -serial 1 -url "$url" -no_nonce 2>&1)" "unauthorized (6)"

# Over HTTP: POST with any content type or none, GET in each encoding, with and without padding and a second slash.
openssl ocsp -issuer "$dir/ca/pki/issuing.pem" -cert "$dir/two.pem" -no_nonce -reqout "$dir/req" >/dev/null
for type in application/ocsp-request text/plain ""; do code 200 --data-binary "@$dir/req" -H "Content-Type: $type" "$url"; contains "$(status "$dir/body" two)" "two.pem: good"; done
b64=$(base64 -w0 "$dir/req")
upper=$(sed 's/+/%2B/g; s,/,%2F,g; s/=/%3D/g' <<<"$b64")
lower=$(sed 's/+/%2b/g; s,/,%2f,g; s/=/%3d/g' <<<"$b64")
for form in "$b64" "$upper" "$lower" "${b64%%=*}" "/$b64"; do
    code 200 --path-as-is "$url/$form"
    contains "$(status "$dir/body" two)" "two.pem: good"
    check [ "$(field content-type)" = application/ocsp-response ]
done
code 200 --http1.0 "$url/$upper"
contains "$(head -1 "$dir/head")" "HTTP/1.0 200"
code 200 -I "$url/$upper"
# Caching: for at most an hour and less than is left; the client that has it gets 304.
code 200 "$url/$upper"
contains "$(field cache-control)" "max-age=3600, public, no-transform, must-revalidate"
etag=$(field etag); modified=$(field last-modified)
check [ "$(date -d "$(field expires)" +%s)" -gt "$(date +%s)" ]
code 304 -H "If-None-Match: \"x\", W/$etag" "$url/$upper"
code 200 -H 'If-None-Match: "x"' "$url/$upper"
code 304 -H "If-Modified-Since: $modified" "$url/$upper"
code 200 -H "If-Modified-Since: Thu, 01 Jan 1970 00:00:00 GMT" "$url/$upper"
"$SEALMILL" revoke "$(serial two)" --dir "$dir/ca" >/dev/null
code 200 -H "If-None-Match: $etag" "$url/$upper"
contains "$(status "$dir/body" two)" "two.pem: revoked"
# Nor is it hidden from one that says when it fetched its copy: thisUpdate lies before that.
code 200 -H "If-Modified-Since: $(LC_ALL=C date -u '+%a, %d %b %Y %T GMT')" "$url/$upper"
contains "$(status "$dir/body" two)" "two.pem: revoked"
# OCSP's errors are good HTTP that nobody keeps.
printf x >"$dir/bad"
for bad in "--data-binary @$dir/bad $url" "$url/x" "$url/%zz" "$url/$(printf 'MA==')"; do
    # shellcheck disable=SC2086
    code 200 $bad
    check [ "$(field cache-control)" = no-store ]
    check [ "$(od -An -tx1 "$dir/body" | tr -d " ")" = 30030a0101 ] # malformedRequest
done
code 405 -X DELETE "$url"
openssl ocsp -issuer "$dir/ca/pki/issuing.pem" -cert "$dir/two.pem" -nonce -reqout "$dir/nonce" >/dev/null
code 200 --data-binary "@$dir/nonce" "$url"
check [ "$(field cache-control)" = no-store ]

# Whoever brings nonces is counted too.
counted() { curl -sS "$SEALMILL_OPERATIONS_URL/metrics" | sed -n 's/^sealmill_ocsp_answers_total{status="unknown"} //p'; }
before=$(counted)
for i in 1 2 3; do contains "$(ask -nonce -serial "0x99$i")" "unknown"; done
check [ "$(counted)" = $((before + 3)) ]

# GnuTLS.
ocsptool --ask="$url" --load-cert "$dir/one.pem" --load-issuer "$dir/ca/pki/issuing.pem" --load-trust "$dir/ca/pki/chain.pem" >"$dir/tool" 2>&1 || fail "$(cat "$dir/tool")"
contains "$(cat "$dir/tool")" "Certificate Status: revoked"
contains "$(cat "$dir/tool")" "Verifying OCSP Response: Success"
# Python.
/usr/bin/python3 - "$dir" "$url" <<'PY' || fail "python3-cryptography"
import sys, urllib.request
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.x509 import ocsp
dir, url = sys.argv[1:]
load = lambda name: x509.load_pem_x509_certificate(open(name, "rb").read())
issuer = load(dir + "/ca/pki/issuing.pem")
for hash in hashes.SHA1(), hashes.SHA256():
    request = ocsp.OCSPRequestBuilder().add_certificate(load(dir + "/two.pem"), issuer, hash).build()
    body = request.public_bytes(serialization.Encoding.DER)
    answer = ocsp.load_der_ocsp_response(urllib.request.urlopen(urllib.request.Request(url, body)).read())
    assert answer.certificate_status == ocsp.OCSPCertStatus.REVOKED, answer.certificate_status
    assert answer.hash_algorithm.name == hash.name
    assert answer.serial_number == load(dir + "/two.pem").serial_number
PY
checks=$((checks + 1))

# After a restart what was revoked is, from the store.
stop
start
for hash in sha1 sha256; do contains "$(ask -$hash -cert "$dir/two.pem" -no_nonce)" "two.pem: revoked"; done
contains "$(curl -sS "$SEALMILL_OPERATIONS_URL/metrics" | grep 'sealmill_ocsp_kept_total{from="[ms]')" "sealmill_ocsp_kept_total"
# Other ways to answer: the CA itself, by name; what is said of nobody's.
stop
sed -i 's/^ocsp:/ocsp:\n  responder: ca\n  responder_id: name\n  unknown: extended-revoked\n  odd_nonces: ignore/' "$dir/ca/sealmill.yaml"
start
answer=$(ask -cert "$dir/two.pem" -no_nonce -resp_text)
contains "$answer" "Response verify OK"
contains "$answer" "Responder Id: O = sealmill dev, CN = sealmill dev issuing"
contains "$answer" "revoked"
answer=$(ask -serial 0x4321 -no_nonce -resp_text)
contains "$answer" "certificateHold"
contains "$answer" "Jan  1 00:00:00 1970"
check [ $(($(next_update "$(ask -serial 0x4321 -no_nonce)") - $(date +%s))) -le 600 ]
contains "$answer" "Response verify OK"
sed -i 's/unknown: extended-revoked/unknown: unauthorized/' "$dir/ca/sealmill.yaml"
kill -HUP "$server"
for _ in $(seq 50); do case $(ask -serial 0x4321 -no_nonce) in *unauthorized*) break ;; esac; sleep 0.1; done
contains "$(ask -serial 0x4321 -no_nonce)" "unauthorized (6)"
stop
echo "$checks checks passed"
