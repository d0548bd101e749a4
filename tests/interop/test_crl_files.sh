#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# CRLs as files: fetched and verified, shown as openssl reads them, and loaded for a CA whose key is elsewhere.
. "$(dirname "$0")/dev.sh"
start
cd "$dir"
sm() { "$SEALMILL" "$@" --dir "$dir/ca"; }
refused() { # what is said, then a command
    if "${@:2}" >"$dir/out" 2>"$dir/said"; then fail "not refused: ${*:2}"; fi
    contains "$(cat "$dir/said")" "$1"
}
csr dev ec -pkeyopt ec_paramgen_curve:P-256
for i in 1 2 3; do check sm issue --profile device --csr dev.csr --out "c$i.pem" >/dev/null; done
serial() { openssl x509 -in "$1.pem" -noout -serial | cut -d= -f2; }
check sm revoke "$(serial c1)" --reason key-compromise >/dev/null
check ra "$SEALMILL_URL/v1/certificates/$(serial c2):revoke" -d '{"reason":"REVOCATION_REASON_UNSPECIFIED","invalidityDate":"2026-01-02T03:04:05Z"}' >/dev/null
check sm crl make issuing >/dev/null
check sm revoke "$(serial c3)" --reason superseded >/dev/null
check sm crl make issuing --delta >/dev/null

# ---- fetch ----
check sm crl fetch issuing
contains "$(openssl crl -inform DER -in issuing.crl -CAfile ca/pki/issuing.pem -noout 2>&1)" "verify OK"
check cmp issuing.crl <(curl -sS --fail "$SEALMILL_PUBLIC_URL/crl/issuing.crl")
check sm crl fetch issuing --pem --delta --out delta.pem
contains "$(openssl crl -in delta.pem -text -noout)" "Delta CRL Indicator"
check sm crl fetch issuing --generation 1 --issuer ca/pki/issuing.pem --out again.crl
check cmp issuing.crl again.crl
refused "there is no CRL" sm crl fetch nobody
refused "there is no CRL" sm crl fetch issuing --partition 7
refused "another name" sm crl fetch issuing --issuer ca/pki/root.pem --out wrong.crl
[ ! -e wrong.crl ] && [ ! -e wrong.crl.part ] || fail "what was not verified is there"
refused "cannot be written" sm crl fetch issuing --out "$dir/none/x.crl"
# In pieces: what changes meanwhile is not mixed.
contains "$(ra "$SEALMILL_URL/v1/crls/issuing.crl?offset=10&number=999")" "has taken its place"
piece=$(ra "$SEALMILL_URL/v1/crls/issuing.crl?offset=10" | sed -n 's/.*"piece":"\([^"]*\)".*/\1/p')
check cmp <(tail -c +11 issuing.crl) <(base64 -d <<<"$piece")

# ---- show ----
"$SEALMILL" crl show issuing.crl --issuer ca/pki/issuing.pem >shown
contains "$(cat shown)" "verified"
contains "$(cat shown)" "entries      2"
contains "$(grep -i "^$(serial c1)" shown)" "key-compromise"
contains "$(grep -i "^$(serial c2)" shown)" "invalid since 2026-01-02T03:04:05"
contains "$(grep '^number' shown)" " $((16#$(openssl crl -inform DER -in issuing.crl -noout -crlnumber | sed 's/.*=\(0x\)\?//')))"
contains "$("$SEALMILL" crl show - <delta.pem)" "delta, since number"
contains "$("$SEALMILL" crl show - <issuing.crl)" "not verified"
"$SEALMILL" crl show issuing.crl --json >shown.json
/usr/bin/python3 - "$dir" <<'PY' || fail "what crl show says is not what python3-cryptography reads"
import datetime, json, sys
from cryptography import x509
dir = sys.argv[1]
crl = x509.load_der_x509_crl(open(dir + "/issuing.crl", "rb").read())
said = json.load(open(dir + "/shown.json"))
assert int(said["number"]) == crl.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number
assert {int(e["serial"], 16) for e in said["entries"]} == {e.serial_number for e in crl} and len(said["entries"]) == 2
when = lambda t: datetime.datetime.strptime(t, "%Y-%m-%dT%H:%M:%SZ")
assert when(said["thisUpdate"]) == crl.last_update and when(said["nextUpdate"]) == crl.next_update
assert said["verified"] is False
PY
checks=$((checks + 1))
# A CA's, by its name: fetched, verified, shown; a file of that name goes before.
check diff <(sm crl show issuing) <("$SEALMILL" crl show issuing.crl --issuer ca/pki/issuing.pem)
contains "$(sm crl show issuing --delta --json)" '"baseNumber":'
contains "$(sm crl show issuing --json)" '"verified":true'
mkdir shadow
cp delta.pem shadow/issuing
contains "$(cd shadow && sm crl show issuing)" "delta, since number"
refused "there is no CRL" sm crl show nobody
refused "another name" sm crl show issuing --issuer ca/pki/root.pem
for f in "${TMPDIR:-/tmp}"/sealmill-crl-*; do [ ! -e "$f" ] || [ "$f" -ot issuing.crl ] || fail "$f is left"; done
# What has a good signature and is not what was asked for is not taken: the delta CRL, or an older one, in the full one's place.
published=$(find ca -name issuing.1.crl)
cp "$published" full.kept
cp "$(find ca -name issuing.1.delta.crl)" "$published"
refused "it is a delta CRL" sm crl fetch issuing --out wrong.crl
check sm crl make issuing >/dev/null
cp full.kept "$published"
refused "is another CRL" sm crl fetch issuing --out wrong.crl
refused "is another CRL" sm crl show issuing
[ ! -e wrong.crl ] && [ ! -e wrong.crl.part ] || fail "what was not asked for is there"
check sm crl make issuing >/dev/null
check sm crl fetch issuing --out good.crl
refused "no file with a CRL" "$SEALMILL" crl show /dev/null
refused "neither DER nor" "$SEALMILL" crl show c1.pem
refused "No such file" "$SEALMILL" crl show none.crl
head -c 200 issuing.crl >short.crl
refused "" "$SEALMILL" crl show short.crl

# ---- load: a root that openssl runs, whose issuing CA is ours ----
mkdir offline && cd offline
cat >ca.cnf <<'CNF'
[ca]
default_ca = root
[root]
database = index.txt
crlnumber = number
default_md = sha256
default_crl_days = 30
[ext]
basicConstraints = critical,CA:true
keyUsage = critical,keyCertSign,cRLSign
subjectKeyIdentifier = hash
[crl]
authorityKeyIdentifier = keyid
CNF
: >index.txt
echo 1000 >number
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout root.key -out root.pem -subj "/O=Acme/CN=Acme offline root" -days 400 -config ca.cnf \
    -extensions ext -section root 2>/dev/null || openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout root.key -out root.pem \
    -subj "/O=Acme/CN=Acme offline root" -days 400 -addext "keyUsage=critical,keyCertSign,cRLSign" 2>/dev/null
crl_of() { openssl ca -config ca.cnf -gencrl -crlexts crl -keyfile root.key -cert root.pem "$@" 2>/dev/null; }
crl_of -out first.pem
openssl crl -in first.pem -outform DER -out first.der
cd ..
check sm ocsp create acme-root --offline --cert-file offline/root.pem >/dev/null
contains "$(sm crl load acme-root offline/first.der)" "number 4096"
check cmp offline/first.der <(curl -sS --fail "$SEALMILL_PUBLIC_URL/crl/acme-root.crl")
head=$(curl -sS -I "$SEALMILL_PUBLIC_URL/crl/acme-root.crl" | tr -d '\r')
contains "$head" "Content-Type: application/pkix-crl"
contains "${head,,}" "etag:"
contains "${head,,}" "last-modified:"
refused "is published already" sm crl load acme-root offline/first.pem
(cd offline && crl_of -out second.pem)
check sm crl load acme-root offline/second.pem >/dev/null
check sm crl fetch acme-root --pem --out fetched.pem
contains "$(openssl crl -in fetched.pem -noout -crlnumber)" "1001"
contains "$(sm crl list)" "acme-root.1.crl"
# What a relying party would not take is not published.
refused "made here" sm crl load issuing issuing.crl
refused "no key of this CA" sm crl load acme-root issuing.crl
refused "no key of this CA" sm crl load root offline/second.pem
printf 'not a CRL' >junk
refused "neither DER nor" sm crl load acme-root junk
(cd offline && openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout other.key -out other.pem -subj "/O=Acme/CN=Acme offline root" -days 40 2>/dev/null \
    && openssl ca -config ca.cnf -gencrl -keyfile other.key -cert other.pem -out forged.pem 2>/dev/null)
refused "no key of this CA" sm crl load acme-root offline/forged.pem
(cd offline && crl_of -crlsec 1 -out brief.pem && sleep 2)
refused "nextUpdate has passed" sm crl load acme-root offline/brief.pem
refused "needs the role admin" "$SEALMILL" crl load acme-root offline/second.pem --dir "$dir/ca" --cert "$SEALMILL_CERT" --key "$SEALMILL_KEY"
contains "$(admin "$SEALMILL_URL/v1/audit?pageSize=200")" '"crl.load"'
# Delta CRLs, after the full one that they belong to and not before; 0x1001 is published.
delta_of() { # a base, a number, a file
    printf '%s' "$2" >offline/number
    printf '[delta]\n2.5.29.27=critical,DER:0202%s\n' "$1" | cat offline/ca.cnf - >offline/delta.cnf
    (cd offline && openssl ca -config delta.cnf -gencrl -crlexts delta -keyfile root.key -cert root.pem -out "$3" 2>/dev/null)
}
delta_of 1001 1003 delta.pem
check sm crl load acme-root offline/delta.pem >/dev/null
contains "$(openssl crl -inform DER -in <(curl -sS --fail "$SEALMILL_PUBLIC_URL/crl/acme-root.delta.crl") -noout -crlnumber)" "1003"
check sm crl fetch acme-root --delta --out fetched.delta.crl
refused "is published already" sm crl load acme-root offline/delta.pem
delta_of 1002 1004 early.pem
refused "it is a delta to number 4098" sm crl load acme-root offline/early.pem
delta_of 0fff 1000 late.pem
refused "it is older than the full CRL here" sm crl load acme-root offline/late.pem
printf 1005 >offline/number
(
    printf '[users]\nissuingDistributionPoint = critical,@users_dp\n[users_dp]\nonlyuser = TRUE\n' | cat offline/ca.cnf - >offline/users.cnf
    cd offline && openssl ca -config users.cnf -gencrl -crlexts users -keyfile root.key -cert root.pem -out users.pem 2>/dev/null
)
refused "certificates alone" sm crl load acme-root offline/users.pem
printf 1006 >offline/number
# Near its end it is missed: somebody has to make another one.
overdue() { # waits for the gauge
    for _ in $(seq 150); do
        [ "$(curl -sS "$SEALMILL_OPERATIONS_URL/metrics" | sed -n 's/^sealmill_crl_overdue //p')" != "$1" ] || { checks=$((checks + 1)); return 0; }
        sleep 0.1
    done
    fail "sealmill_crl_overdue is not $1"
}
overdue 0
(cd offline && crl_of -crlsec 3600 -out ending.pem && crl_of -out third.pem)
check sm crl load acme-root offline/ending.pem >/dev/null
overdue 1
check sm crl load acme-root offline/third.pem >/dev/null
overdue 0
# kill -9 while they are loaded: what is served is one of them, whole, and is what the server says that it is.
for round in 1 2 3 4 5 6; do
    for i in 1 2 3; do (cd offline && crl_of -out "k$i.pem"); done
    last=$(openssl crl -in offline/k3.pem -noout -crlnumber)
    (for i in 1 2 3; do "$SEALMILL" crl load acme-root "$dir/offline/k$i.pem" --dir "$dir/ca" >/dev/null 2>&1 || true; done) &
    loader=$!
    sleep "0.0$((round * 13 % 9))"
    kill -9 "$server"; wait "$server" 2>/dev/null || true; server=
    wait "$loader" || true
    start
    for _ in $(seq 100); do # the first look notes what the file is
        ! sm crl fetch acme-root --out settled.crl >/dev/null 2>&1 || break
        sleep 0.1
    done
    check sm crl fetch acme-root --out settled.crl
    "$SEALMILL" crl load acme-root offline/k3.pem --dir "$dir/ca" >/dev/null 2>"$dir/said" || contains "$(cat "$dir/said")" "is published already"
    contains "$(openssl crl -inform DER -in <(curl -sS --fail "$SEALMILL_PUBLIC_URL/crl/acme-root.crl") -noout -crlnumber)" "$last"
done
(cd offline && crl_of -out third.pem)
check sm crl load acme-root offline/third.pem >/dev/null
# Over a restart it is what it was.
stop
start
contains "$(openssl crl -inform DER -in <(curl -sS --fail "$SEALMILL_PUBLIC_URL/crl/acme-root.crl") -noout -crlnumber)" "$(openssl crl -in offline/third.pem -noout -crlnumber)"
check cmp <(curl -sS --fail "$SEALMILL_PUBLIC_URL/crl/acme-root.delta.crl") fetched.delta.crl
stop
echo "$checks checks passed"
