#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# CRLs with openssl, GnuTLS' certtool and python3-cryptography: full and delta, reasons, hold and release, expiry, caching, rollover, kill -9.
. "$(dirname "$0")/dev.sh"
start
crl=$SEALMILL_PUBLIC_URL/crl
code() { local want=$1 got; shift; got=$(curl -sS "$@" -o "$dir/body" -D "$dir/head" -w '%{http_code}') || fail "$*"; [ "$got" = "$want" ] || fail "$got, not $want: $*"; checks=$((checks + 1)); }
field() { tr -d '\r' <"$dir/head" | sed -n "s/^$1: //Ip"; }
issue() { csr "$1" ec -pkeyopt ec_paramgen_curve:P-256; "$SEALMILL" issue --dir "$dir/ca" --profile device --csr "$dir/$1.csr" --out "$dir/$1.pem" >/dev/null; }
serial() { openssl x509 -in "$dir/$1.pem" -noout -serial | cut -d= -f2; }
make() { "$SEALMILL" crl make issuing --dir "$dir/ca" "$@" >"$dir/made"; }
# Fetches a CRL, checks its signature, and shows it.
fetch() { code 200 "$crl/$1"; openssl crl -inform DER -in "$dir/body" -CAfile "$dir/ca/pki/issuing.pem" -noout 2>"$dir/verify" || fail "$1"; contains "$(cat "$dir/verify")" "verify OK"; openssl crl -inform DER -in "$dir/body" -text -noout >"$dir/text"; openssl crl -inform DER -in "$dir/body" -out "$dir/$1.pem"; }
number() { openssl crl -inform DER -in "$dir/body" -noout -crlnumber | cut -d= -f2; }

# By itself at the start, for each CA.
for _ in $(seq 100); do [ "$(curl -s -o /dev/null -w '%{http_code}' "$crl/issuing.crl")" != 200 ] || break; sleep 0.1; done
fetch issuing.crl
contains "$(cat "$dir/text")" "No Revoked Certificates."
contains "$(cat "$dir/text")" "Authority Key Identifier"
first=$(number)
code 200 "$crl/root.crl"
code 404 "$crl/none.crl"
code 404 "$crl/issuing.9.crl"
code 404 "$crl/issuing.delta.crl"
code 404 --path-as-is "$crl/../keystore"

# Certificates name their generation's.
issue one
contains "$(openssl x509 -in "$dir/one.pem" -noout -ext crlDistributionPoints)" "/crl/issuing.1.crl"
issue two
issue three
"$SEALMILL" revoke "$(serial one)" --dir "$dir/ca" --reason key-compromise >/dev/null
"$SEALMILL" revoke "$(serial two)" --dir "$dir/ca" --reason certificate-hold >/dev/null
ra "$SEALMILL_URL/v1/certificates/$(serial three):revoke" -d '{"reason":"REVOCATION_REASON_UNSPECIFIED","invalidityDate":"2026-01-02T03:04:05Z"}' >/dev/null
make
contains "$(cat "$dir/made")" " 3 entries"
fetch issuing.crl
check [ $((16#$(number | sed 's/^0x//'))) -gt $((16#$(sed 's/^0x//' <<<"$first"))) ]
for name in one two three; do contains "$(cat "$dir/text")" "$(serial $name)"; done
contains "$(cat "$dir/text")" "Key Compromise"
contains "$(cat "$dir/text")" "Certificate Hold"
contains "$(cat "$dir/text")" "Jan  2 03:04:05 2026 GMT"
verify() { openssl verify -crl_check -CAfile "$SEALMILL_CA_FILE" -untrusted "$dir/ca/pki/issuing.pem" "$@" 2>&1 || true; }
contains "$(verify -CRLfile "$dir/issuing.crl.pem" "$dir/one.pem")" "certificate revoked"
issue four
contains "$(verify -CRLfile "$dir/issuing.crl.pem" "$dir/four.pem")" "four.pem: OK"
certtool --verify-crl --load-ca-certificate "$dir/ca/pki/issuing.pem" <"$dir/issuing.crl.pem" >"$dir/tool" 2>&1 || fail "$(cat "$dir/tool")"
contains "$(cat "$dir/tool")" "Verification output: Verified."
/usr/bin/python3 - "$dir" <<'PY' || fail "python3-cryptography"
import sys
from cryptography import x509
dir = sys.argv[1]
crl = x509.load_der_x509_crl(open(dir + "/body", "rb").read())
issuer = x509.load_pem_x509_certificate(open(dir + "/ca/pki/issuing.pem", "rb").read())
assert crl.is_signature_valid(issuer.public_key()) and len(crl) == 3
one = x509.load_pem_x509_certificate(open(dir + "/one.pem", "rb").read())
entry = crl.get_revoked_certificate_by_serial_number(one.serial_number)
assert entry.extensions.get_extension_for_class(x509.CRLReason).value.reason == x509.ReasonFlags.key_compromise
PY
checks=$((checks + 1))

# A delta CRL: what has changed since, a release among it.
"$SEALMILL" release "$(serial two)" --dir "$dir/ca" >/dev/null
"$SEALMILL" revoke "$(serial four)" --dir "$dir/ca" --reason superseded >/dev/null
base_number=$(number)
make --delta
fetch issuing.delta.crl
contains "$(cat "$dir/text")" "X509v3 Delta CRL Indicator: critical"
contains "$(cat "$dir/text")" "Remove From CRL"
contains "$(cat "$dir/text")" "$(serial four)"
contains "$(grep -A1 'Delta CRL Indicator' "$dir/text")" "$((16#$(sed 's/^0x//' <<<"$base_number")))"
contains "$(verify -use_deltas -extended_crl -CRLfile "$dir/issuing.crl.pem" -CRLfile "$dir/issuing.delta.crl.pem" "$dir/one.pem")" "certificate revoked"
make
fetch issuing.crl
check [ "$(grep -c "$(serial two)" "$dir/text")" = 0 ]
contains "$(cat "$dir/text")" "$(serial four)"

# Over HTTP.
check [ "$(field content-type)" = application/pkix-crl ]
contains "$(field cache-control)" "max-age=3600"
etag=$(field etag)
code 304 -H "If-None-Match: $etag" "$crl/issuing.crl"
code 304 -H "If-Modified-Since: $(field last-modified)" "$crl/issuing.crl"
# A copy that was fetched since thisUpdate may be of the CRL before.
code 200 -H "If-Modified-Since: $(LC_ALL=C date -u '+%a, %d %b %Y %T GMT')" "$crl/issuing.crl"
code 200 -I "$crl/issuing.crl"
check [ "$(field content-length)" -gt 100 ]
code 200 --http1.0 "$crl/issuing.crl"

# After a rollover each generation has its own.
"$SEALMILL" ca rollover issuing --dir "$dir/ca" >/dev/null
make
code 200 "$crl/issuing.2.crl"
check [ "$(openssl crl -inform DER -in "$dir/body" -text -noout | grep -c 'Serial Number')" = 0 ]
code 200 "$crl/issuing.1.crl"
check [ "$(openssl crl -inform DER -in "$dir/body" -text -noout | grep -c 'Serial Number')" = 3 ]

# kill -9 while CRLs are made and certificates revoked: no number comes twice, nothing that was answered is missing.
last=0
for round in 1 2 3 4 5; do
    issue "k$round"
    (while "$SEALMILL" crl make issuing --dir "$dir/ca" 2>/dev/null; do :; done) | sed -n 's/.*number \([0-9]*\).*/\1/p' >"$dir/numbers" &
    maker=$!
    "$SEALMILL" revoke "$(serial "k$round")" --dir "$dir/ca" >/dev/null
    sleep "0.$((RANDOM % 9 + 1))"
    kill -9 "$server"; wait "$server" 2>/dev/null || true; server=
    wait "$maker" || true
    start
    make
    new=$(sed -n 's/.*number \([0-9]*\).*/\1/p' "$dir/made")
    [ -z "$(sort "$dir/numbers" | uniq -d)" ] || fail "a number came twice"
    for n in $(cat "$dir/numbers"); do [ "$n" -gt "$last" ] && [ "$n" -lt "$new" ] || fail "$n after $last, before $new"; done
    last=$new
    code 200 "$crl/issuing.crl"
    contains "$(openssl crl -inform DER -in "$dir/body" -text -noout)" "$(serial "k$round")"
done

# A copy of the database knows nothing of the CRLs that were made since: theirs are not the next numbers.
check "$SEALMILL" backup --dir "$dir/ca" --name copy >/dev/null
make
make
last=$(sed -n 's/.*number \([0-9]*\).*/\1/p' "$dir/made")
stop
mv "$dir/ca/db" "$dir/away"
check "$SEALMILL" restore --from "$dir/ca/backups/copy" --data-dir "$dir/ca/db" >/dev/null
start
make
check [ "$(sed -n 's/.*number \([0-9]*\).*/\1/p' "$dir/made")" -gt "$last" ]
stop
echo "$checks checks passed"
