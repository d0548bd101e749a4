#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# EST with curl and openssl, and with strongSwan's pki where it is installed: each operation, each way to authenticate, what is refused.
. "$(dirname "$0")/dev.sh"
start
est=$SEALMILL_EST_URL
tls=(curl -sS --cacert "$SEALMILL_CA_FILE")
as() { curl -sS --cacert "$SEALMILL_CA_FILE" --cert "$dir/$1.pem" --key "$dir/$1.key" "${@:2}"; }
code() { local want=$1 got; shift; got=$("$@" -o "$dir/body" -D "$dir/head" -w '%{http_code}') || fail "$*"; [ "$got" = "$want" ] || fail "$got, not $want: $* : $(head -c 300 "$dir/body")"; checks=$((checks + 1)); }
certs() { base64 -d | openssl pkcs7 -inform DER -print_certs; }
taken() { base64 -d "$dir/body" | openssl pkcs7 -inform DER -print_certs -out "$dir/$1.pem"; } # the answer's certificate
post() { local url=$1; shift; echo --data-binary "@$dir/$1" -H Content-Type:application/pkcs10 "$url"; }
request() { # name: a key, and a request in PEM, DER, base64 of one line and of many
    openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "$dir/$1.key" -subj "/CN=$1" -out "$dir/$1.csr" 2>/dev/null
    openssl req -in "$dir/$1.csr" -outform DER -out "$dir/$1.der"
    base64 -w0 "$dir/$1.der" >"$dir/$1.line"
    base64 -w64 "$dir/$1.der" >"$dir/$1.lines"
}

# cacerts: the chain and the root, base64, exact headers, for anybody; in HTTP/1.0, 1.1 and 2.
for version in --http1.0 --http1.1 --http2; do
    code 200 "${tls[@]}" $version "$est/cacerts"
    contains "$(tr -d '\r' <"$dir/head" | tr '[:upper:]' '[:lower:]')" "content-type: application/pkcs7-mime; smime-type=certs-only"
    contains "$(tr -d '\r' <"$dir/head" | tr '[:upper:]' '[:lower:]')" "content-transfer-encoding: base64"
    check [ "$(certs <"$dir/body" | grep -c BEGIN)" = 2 ]
done
"${tls[@]}" --http1.0 -D "$dir/head" -o /dev/null "$est/cacerts"
contains "$(head -1 "$dir/head")" "HTTP/1.0 200"
check [ "$("${tls[@]}" "$est/cacerts" | awk '{ print length($0) }' | sort -n | tail -1)" = 64 ]
check [ "$("${tls[@]}" -H 'User-Agent:' -H 'Accept:' "$est/cacerts" | wc -l)" = 0 ]
code 200 "${tls[@]}" "$est/csrattrs"
code 405 "${tls[@]}" "$est/cacerts" -d x
code 404 "${tls[@]}" "$est/nothing"
code 404 "${tls[@]}" "$est/nolabel/cacerts"
code 501 "${tls[@]}" "$est/fullcmc" -d x

# Without credentials: 401 with Basic first, and nothing issued.
request one
code 401 "${tls[@]}" $(post "$est/simpleenroll" one.line)
contains "$(tr -d '\r' <"$dir/head")" 'asic realm="est"'
# With a certificate of the ra role, whatever form the body has; the answer's form is the request's.
for form in line lines der csr; do
    code 200 ra $(post "$est/simpleenroll" one.$form)
    taken "one"
    check openssl verify -CAfile "$SEALMILL_CA_FILE" -untrusted "$dir/ca/pki/issuing.pem" "$dir/one.pem" >/dev/null
    check [ "$(openssl x509 -in "$dir/one.pem" -noout -pubkey)" = "$(openssl pkey -in "$dir/one.key" -pubout)" ]
done
code 200 ra $(post "$est/simpleenroll" one.line)
check [ "$(wc -l <"$dir/body")" = 0 ]
code 200 ra --data-binary "@$dir/one.csr" "$est/simpleenroll" # curl's own content type
code 415 ra --data-binary "@$dir/one.csr" -H 'Content-Type: application/pkcs7-mime; smime-type=CMC-request' "$est/simpleenroll"
echo nonsense >"$dir/none"
code 400 ra $(post "$est/simpleenroll" none)
head -c 200000 /dev/zero | base64 >"$dir/large"
code 413 ra $(post "$est/simpleenroll" large)
python3 -c 'import sys; d = bytearray(open(sys.argv[1], "rb").read()); d[-1] ^= 1; open(sys.argv[2], "wb").write(d)' "$dir/one.der" "$dir/bent"
code 400 ra $(post "$est/simpleenroll" bent)

# Re-enrolment: by the certificate that is renewed, with its names and a new key.
request two
openssl req -new -key "$dir/two.key" -subj /CN=one -outform DER | base64 -w64 >"$dir/renew.lines"
code 200 as one $(post "$est/simplereenroll" renew.lines)
code 400 as one $(post "$est/simplereenroll" two.lines) # another name
code 403 "${tls[@]}" $(post "$est/simplereenroll" renew.lines)
code 401 as one $(post "$est/simpleenroll" two.lines) # a device's certificate gives no right to others
# A revoked one may not; a stranger's neither, and the handshake lets both come so far.
serial=$(openssl x509 -in "$dir/one.pem" -noout -serial | cut -d= -f2)
"$SEALMILL" revoke "$serial" --dir "$dir/ca" >/dev/null
code 403 as one $(post "$est/simplereenroll" renew.lines)
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "$dir/self.key" -subj /CN=one -days 9 -out "$dir/self.pem" 2>/dev/null
code 403 as self $(post "$est/simplereenroll" renew.lines)
code 200 as self "$est/cacerts"

# One-time passwords: used once, by the same request as often as it likes, and by no other.
otp() { admin "$SEALMILL_URL/v1/otps" -d "$1" | python3 -c 'import json, sys; print(json.load(sys.stdin)["otps"][0]["password"])'; }
password=$(otp '{"entityIds":["dev7"]}')
request three
code 401 "${tls[@]}" -u "dev7:wrong$password" $(post "$est/simpleenroll" three.line)
code 200 "${tls[@]}" -u "dev7:$password" $(post "$est/simpleenroll" three.line)
cp "$dir/body" "$dir/first"
code 200 "${tls[@]}" -u "dev7:$password" $(post "$est/simpleenroll" three.line)
check cmp -s "$dir/body" "$dir/first"
code 401 "${tls[@]}" -u "dev7:$password" $(post "$est/simpleenroll" two.line)
code 200 "${tls[@]}" -u "dev7:wrong" "$est/cacerts" # which asks for nothing
# Two requests at the same moment: one of them gets a certificate.
password=$(otp '{"entityIds":["dev8"]}')
for name in r1 r2 r3 r4; do
    request $name
    "${tls[@]}" -u "dev8:$password" $(post "$est/simpleenroll" $name.line) -o "$dir/$name.out" -w '%{http_code}\n' >"$dir/$name.code" &
    pids+=($!)
done
wait "${pids[@]}"
check [ "$(cat "$dir"/r?.code | grep -c 200)" = 1 ]
# For one label alone, and revoked.
password=$(otp '{"entityIds":["dev9"]}')
id=$(admin "$SEALMILL_URL/v1/otps?entityId=dev9" | python3 -c 'import json, sys; print(json.load(sys.stdin)["otps"][0]["id"])')
admin -X DELETE "$SEALMILL_URL/v1/otps/$id" >/dev/null
code 401 "${tls[@]}" -u "dev9:$password" $(post "$est/simpleenroll" two.line)
# For one subject alone.
password=$(otp '{"entityIds":["dev11"],"subject":"CN=three"}')
code 400 "${tls[@]}" -u "dev11:$password" $(post "$est/simpleenroll" two.line)
code 200 "${tls[@]}" -u "dev11:$password" $(post "$est/simpleenroll" three.line)
# Guessing locks, for names that do not exist too.
right=$(otp '{"entityIds":["dev10"]}')
for name in dev10 nobody; do
    for _ in 1 2 3 4 5; do code 401 "${tls[@]}" -u "$name:guess" $(post "$est/simpleenroll" two.line); done
    code 429 "${tls[@]}" -u "$name:guess" $(post "$est/simpleenroll" two.line)
    contains "$(tr '[:upper:]' '[:lower:]' <"$dir/head")" "retry-after: "
done
code 429 "${tls[@]}" -u "dev10:$right" $(post "$est/simpleenroll" two.line)
contains "$(curl -s "$SEALMILL_OPERATIONS_URL/metrics")" 'sealmill_enrolment_lockouts_total{scope="address"} 2'
contains "$(grep enrolment_locked "$dir/log")" "address=127.0.0.1 scope=address"
# No password is anywhere in the logs or the database's log.
check [ "$(grep -c "$password" "$dir/log")" = 0 ]

# After a restart a used password is still used.
stop
start
code 200 "${tls[@]}" -u "dev7:$(cat "$dir/none")" "$est/cacerts"
code 401 "${tls[@]}" -u "dev9:$password" $(post "$est/simpleenroll" two.line)
# Locks are in memory.
code 200 "${tls[@]}" -u "dev10:$right" $(post "$est/simpleenroll" two.line)

if command -v pki >/dev/null && pki --help 2>&1 | grep -q -- --est; then
    cd "$dir"
    pki --estca --url "https://127.0.0.1:$((base + 1))" --cacert "$SEALMILL_CA_FILE" --caout strong --outform pem --force >/dev/null 2>strong.log || fail "pki --estca: $(cat strong.log)"
    checks=$((checks + 1))
    password=$(otp '{"entityIds":["strong1"]}')
    openssl req -in "$dir/two.csr" -outform DER -out strong.der
    pki --est --url "https://127.0.0.1:$((base + 1))" --in strong.der --cacert "$SEALMILL_CA_FILE" --cacert "$dir/ca/pki/issuing.pem" \
        --userpass "strong1:$password" --outform pem >strong.pem 2>strong.log || fail "pki --est: $(cat strong.log)"
    check openssl x509 -in strong.pem -noout
else
    echo "strongSwan's pki with --est is not here: its part is left out"
fi
stop
echo "$checks checks"
