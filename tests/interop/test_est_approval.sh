#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Labels that need a person (RFC 7030 4.2.3): 202 until somebody decides, over restarts and kill -9, by each way to authenticate.
. "$(dirname "$0")/est_labels.sh"
start_with_labels '
    - name: asked
      ca: issuing
      profile: device
      requests:
        subject: "CN=dev[0-9a-z-]+"
      approval:
        retry_after: 5s
        reenroll: true
    - name: few
      ca: issuing
      profile: device
      approval: {queue: 2}
    - name: brief
      ca: issuing
      profile: device
      approval: {expires: 2s}
    - name: bound
      ca: issuing
      profile: device
      requests: {channel_binding: required}
      approval: {}
'
crash() { kill -9 "$server"; wait "$server" 2>/dev/null || true; server=; start; }
approval() { "$SEALMILL" approval "$@" --dir "$dir/ca"; }
waiting() { approval list --label "$1" --state pending | grep " $2\$" | cut -d' ' -f1; } # label, subject: its id
metric() { curl -s "$SEALMILL_OPERATIONS_URL/metrics" | grep -F "$1" | grep -v '^#' | awk '{ print $NF }'; }
header() { tr -d '\r' <"$dir/head" | tr '[:upper:]' '[:lower:]' | sed -n "s/^$1: //p"; }

# By a client certificate: 202 with Retry-After, the same each time, also after kill -9 and a restart.
request one /CN=dev1
code 202 ra $(post asked/simpleenroll one.b64)
says "the request waits for approval as"
[ "$(header retry-after)" -ge 5 ] && [ "$(header retry-after)" -le 6 ] || fail "retry-after: $(header retry-after)"
id=$(waiting asked CN=dev1)
says "$id"
crash
code 202 ra $(post asked/simpleenroll one.b64)
check [ "$(waiting asked CN=dev1)" = "$id" ]
check [ "$(metric sealmill_approvals_waiting)" = 1 ]
contains "$(approval show "$id")" "P-256"
contains "$(approval show "$id")" "requester   ra from 127.0.0.1"
# What could not be issued waits for nobody.
request odd /CN=other
code 400 ra $(post asked/simpleenroll odd.b64)
check [ "$(approval list --label asked | wc -l)" = 1 ]
python3 -c 'import base64, sys; d = bytearray(base64.b64decode(open(sys.argv[1]).read())); d[-1] ^= 1; open(sys.argv[2], "w").write(base64.b64encode(d).decode())' "$dir/one.b64" "$dir/bent"
code 400 ra $(post asked/simpleenroll bent)
check [ "$(approval list --label asked | wc -l)" = 1 ]
# Another one who sends the same waits on his own; who asked does not decide.
code 202 admin $(post asked/simpleenroll one.b64)
check [ "$(waiting asked CN=dev1 | wc -l)" = 2 ]
own=$(waiting asked CN=dev1 | grep -v "$id")
if approval approve "$own" 2>"$dir/err"; then fail "admin approved his own request"; fi
contains "$(cat "$dir/err")" "who sent a request does not decide about it"
# Rights: an ra neither sees nor decides.
if "$SEALMILL" approval list --server "$SEALMILL_API" --ca-file "$SEALMILL_CA_FILE" --cert "$SEALMILL_CERT" --key "$SEALMILL_KEY" 2>"$dir/err"; then fail "an ra lists requests"; fi
check [ "$(ra -o /dev/null -w '%{http_code}' -X POST "$SEALMILL_URL/v1/approvals/$id:approve" -d '{}')" = 403 ]
# Approved: its certificate, once, and the same one again; over kill -9 between the decision and the client's coming.
approval approve "$id" --reason "seen on site" >/dev/null
crash
code 200 ra $(post asked/simpleenroll one.b64)
taken one
cp "$dir/body" "$dir/first"
code 200 ra $(post asked/simpleenroll one.b64)
check cmp -s "$dir/body" "$dir/first"
crash
code 200 ra $(post asked/simpleenroll one.b64)
check cmp -s "$dir/body" "$dir/first"
contains "$(approval show "$id")" "issued"
contains "$(approval show "$id" | tr a-f A-F)" "$(openssl x509 -in "$dir/one.pem" -noout -serial | cut -d= -f2)"
if approval deny "$id" 2>"$dir/err"; then fail "what was issued was denied"; fi
contains "$(cat "$dir/err")" "decided about already"
contains "$(admin "$SEALMILL_URL/v1/audit?pageSize=50")" approval.approve
contains "$(admin "$SEALMILL_URL/v1/audit?pageSize=50")" "seen on site"

# Many at the same moment, and one certificate.
request many /CN=dev2
code 202 ra $(post asked/simpleenroll many.b64)
approval approve "$(waiting asked CN=dev2)" >/dev/null
pids=()
for i in 1 2 3 4 5 6 7 8; do ra $(post asked/simpleenroll many.b64) -o "$dir/many.$i" & pids+=($!); done
wait "${pids[@]}"
check [ "$(cat "$dir"/many.? | sort -u | grep -c .)" = 1 ]

# By a one-time password, which is used by the request that waits: the same gets 202 again, others nothing; it may expire meanwhile.
request three /CN=dev3
request four /CN=dev4
password=$(otp dev3 --validity 3s)
code 202 "${tls[@]}" -u "$password" $(post asked/simpleenroll three.b64)
crash
code 202 "${tls[@]}" -u "$password" $(post asked/simpleenroll three.b64)
code 401 "${tls[@]}" -u "$password" $(post asked/simpleenroll four.b64)
sleep 3
code 202 "${tls[@]}" -u "$password" $(post asked/simpleenroll three.b64)
id=$(waiting asked CN=dev3)
# Edited: other names and a shorter life, within the profile.
approval edit "$id" --subject CN=dev3,O=Acme --san dns:dev3.example.net --san ip:192.0.2.3 --validity 5d >"$dir/edited"
contains "$(cat "$dir/edited")" "subject     CN=dev3,O=Acme"
contains "$(cat "$dir/edited")" "san         dns:dev3.example.net"
if approval edit "$id" --validity 3y 2>"$dir/err"; then fail "longer than the profile allows"; fi
contains "$(cat "$dir/err")" "validity_seconds"
if approval edit "$id" --profile none 2>"$dir/err"; then fail "a profile that there is not"; fi
approval approve "$id" >/dev/null
code 200 "${tls[@]}" -u "$password" $(post asked/simpleenroll three.b64)
taken three
contains "$(openssl x509 -in "$dir/three.pem" -noout -subject -nameopt RFC2253)" "CN=dev3,O=Acme"
contains "$(openssl x509 -in "$dir/three.pem" -noout -ext subjectAltName)" "DNS:dev3.example.net, IP Address:192.0.2.3"
if openssl x509 -in "$dir/three.pem" -noout -checkend $((6 * 86400)) >/dev/null; then fail "it is longer than the edit has it"; fi
check openssl x509 -in "$dir/three.pem" -noout -checkend $((4 * 86400)) >/dev/null
# Re-enrolment by it waits too, and may get other names.
openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "$dir/next.key" -subj /O=Acme/CN=dev3 -addext subjectAltName=DNS:dev3.example.net,IP:192.0.2.3 \
    -outform DER 2>/dev/null | base64 -w0 >"$dir/next.b64"
code 400 as three $(post asked/simplereenroll next.b64) # the label's own rule
sed -i 's/subject: "CN=dev\[0-9a-z-\]+"/subject: "CN=dev[0-9a-z-]+(,O=Acme)?"/' "$dir/ca/sealmill.yaml"
kill -HUP "$server"; sleep 1
code 202 as three $(post asked/simplereenroll next.b64)
id=$(waiting asked CN=dev3,O=Acme)
contains "$(approval show "$id")" "renews"
approval edit "$id" --subject CN=dev3b --no-sans >/dev/null
approval approve "$id" >/dev/null
code 200 as three $(post asked/simplereenroll next.b64)
taken renewed
contains "$(openssl x509 -in "$dir/renewed.pem" -noout -subject)" "dev3b"
check [ "$(openssl x509 -in "$dir/renewed.pem" -noout -ext subjectAltName 2>/dev/null | grep -c DNS)" = 0 ]

# Denied: 403 with the reason, whatever else would have helped; also what was approved and not yet fetched.
password=$(otp dev4)
code 202 "${tls[@]}" -u "$password" $(post asked/simpleenroll four.b64)
id=$(waiting asked CN=dev4)
approval approve "$id" >/dev/null
approval deny "$id" --reason "no such device" >/dev/null
code 403 "${tls[@]}" -u "$password" $(post asked/simpleenroll four.b64)
says "the request was denied: no such device"
if approval approve "$id" 2>/dev/null; then fail "what was denied was approved"; fi

# The queue is bounded; a decision makes room.
for name in a b c; do request q$name /CN=q$name; done
code 202 ra $(post few/simpleenroll qa.b64)
code 202 ra $(post few/simpleenroll qb.b64)
code 503 ra $(post few/simpleenroll qc.b64)
says "2 requests wait for approval already"
[ -n "$(header retry-after)" ] || fail "503 without Retry-After"
code 202 ra $(post few/simpleenroll qa.b64)
approval deny "$(waiting few CN=qa)" >/dev/null
code 202 ra $(post few/simpleenroll qc.b64)
check [ "$(metric 'sealmill_approvals_total{step="queue_full"}')" = 1 ]

# Nobody decides in time: refused; somebody does so late: good again.
request late /CN=late
code 202 ra $(post brief/simpleenroll late.b64)
id=$(waiting brief CN=late)
sleep 3
code 403 ra $(post brief/simpleenroll late.b64)
says "the time for the request's approval is over"
contains "$(approval list --label brief --state expired)" "$id"
approval approve "$id" >/dev/null
code 200 ra $(post brief/simpleenroll late.b64)

# Who was told to wait is not forgotten, whenever the power goes.
for round in 1 2 3; do
    pids=()
    for i in 1 2 3 4 5 6 7 8; do request k$round$i /CN=dev-k$round$i; done
    for i in 1 2 3 4 5 6 7 8; do ra -m 5 $(post asked/simpleenroll k$round$i.b64) -o /dev/null -w '%{http_code}' >"$dir/k$round$i.code" 2>/dev/null & pids+=($!); done
    sleep "0.0$((round * 3))"
    kill -9 "$server"; wait "$server" 2>/dev/null || true; server=
    wait "${pids[@]}" || true
    start
    approval list --label asked --state pending >"$dir/pending"
    for i in 1 2 3 4 5 6 7 8; do
        [ "$(cat "$dir/k$round$i.code")" != 202 ] || check grep -q " CN=dev-k$round$i\$" "$dir/pending"
    done
done

# Bound to its connection: when it comes first, and not when it comes again over another one.
openssl ecparam -genkey -name prime256v1 -noout -out "$dir/b.key"
password=$(otp devb)
got=$(python3 "$(dirname "$0")/est_bound.py" 127.0.0.1 $((base + 1)) "$SEALMILL_CA_FILE" "$dir/b.key" CN=devb "$password" bound --tls 1.2 --in challenge --save "$dir/b.b64")
contains "$got" "202 the request waits"
code 202 "${tls[@]}" -u "$password" $(post bound/simpleenroll b.b64)
approval approve "$(waiting bound CN=devb)" >/dev/null
code 200 "${tls[@]}" -u "$password" $(post bound/simpleenroll b.b64)
request unbound /CN=devc
code 400 "${tls[@]}" -u "$(otp devc)" $(post bound/simpleenroll unbound.b64)
# A client that asks again by itself: strongSwan's, which renews its certificate.
if command -v pki >/dev/null && pki --help 2>&1 | grep -q -- --est; then
    request strong /CN=dev-strong
    code 200 ra $(post simpleenroll strong.b64)
    taken strong
    request again /CN=dev-strong
    base64 -d "$dir/again.b64" >"$dir/again.der"
    pki --est --url "https://127.0.0.1:$((base + 1))/asked" --in "$dir/again.der" --cacert "$SEALMILL_CA_FILE" --cacert "$dir/ca/pki/issuing.pem" --cert "$dir/strong.pem" \
        --key "$dir/strong.key" --interval 1 --maxpolltime 60 --outform pem >"$dir/again.pem" 2>"$dir/strong.log" &
    client=$!
    for _ in $(seq 100); do id=$(waiting asked CN=dev-strong || true); [ -z "$id" ] || break; sleep 0.1; done
    approval approve "$id" >/dev/null
    wait "$client" || fail "pki --est: $(cat "$dir/strong.log")"
    contains "$(cat "$dir/strong.log")" "EST request pending"
    check openssl x509 -in "$dir/again.pem" -noout
else
    echo "strongSwan's pki with --est is not here: its part is left out"
fi
stop
# A request of another CA is edited like any, also where nothing was issued by it since the start.
sed -i 's/^    cas: \[issuing\]$/    cas: [issuing, second]/; s/^    - name: few$/    - {name: second, ca: second, profile: device, authentication: [otp], approval: {}}\n&/' "$dir/ca/sealmill.yaml"
start
check "$SEALMILL" ca create second --parent root --subject CN=Second --dir "$dir/ca" >/dev/null
request five /CN=dev5
password=$(otp dev5)
code 202 "${tls[@]}" -u "$password" $(post second/simpleenroll five.b64)
crash
approval edit "$(waiting second CN=dev5)" --subject CN=dev5b >"$dir/edited"
contains "$(cat "$dir/edited")" "subject     CN=dev5b"
stop
check "$SEALMILL" db check --data-dir "$dir/ca/db" >/dev/null
echo "$checks checks"
