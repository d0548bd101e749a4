#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# HTTP Negotiate (RFC 4559) with a KDC of its own: curl enrols by its Kerberos ticket; what is no ticket, or of nobody here, is 401.
. "$(dirname "$0")/est_labels.sh"
. "$(dirname "$0")/kdc.sh"
service=HTTP/localhost@$realm
start_kdc
principals $realm "addprinc -randkey $service" "addprinc -randkey HTTP/elsewhere" "addprinc -randkey host/dev1.est.test" "addprinc -randkey alice" \
    "addprinc -randkey mallory" "addprinc -randkey bob" "ktadd -k $dir/est.keytab $service" \
    "ktadd -k $dir/clients.keytab host/dev1.est.test alice mallory bob"
principals $other_realm "addprinc -randkey alice" "ktadd -k $dir/clients.keytab alice@$other_realm"
chmod 600 "$dir/est.keytab"
labels='
    - name: kerberos
      ca: issuing
      profile: device
      authentication: [certificate, negotiate, otp, token]
    - name: tickets
      ca: issuing
      profile: device
      authentication: [negotiate]
      authenticate_reads: true
    - name: asked
      ca: issuing
      profile: device
      authentication: [negotiate]
      approval: {}
    - name: other
      ca: issuing
      profile: device
      authentication: [otp]
'
section='
  negotiate:
    keytab_file: '$dir/est.keytab'
    service: '$service'
    principals:
      - principal: "host/([a-z0-9]+)[.]est[.]test@EST[.]TEST"
        entity: \1
        subject: CN=\1
      - principal: "(alice)@.*"
      - principal: "bob@EST[.]TEST"
        labels: [tickets]
'
# ---- what the start refuses ----
start
stop
cp "$dir/ca/sealmill.yaml" "$dir/plain.yaml"
configure() { # what sed makes of the section
    python3 - "$dir/plain.yaml" "$dir/ca/sealmill.yaml" "$labels" "$(sed "$@" <<<"$section")" <<'PY'
import sys
mark = "      authentication: [certificate, otp]\n"
text = open(sys.argv[1]).read()
assert mark in text
open(sys.argv[2], "w").write(text.replace(mark, mark + sys.argv[3] + sys.argv[4] + "\n", 1))
PY
}
refuses() { # why, then as configure
    configure "${@:2}"
    if "$SEALMILL" config check --config "$dir/ca/sealmill.yaml" >"$dir/checked" 2>&1; then fail "it was taken: $1"; fi
    contains "$(cat "$dir/checked")" "$1"
}
refuses "takes negotiate" -e d
if grep -q "built without GSSAPI" "$dir/checked"; then echo "skipped: the program was built without GSSAPI"; exit 77; fi
contains "$(cat "$dir/checked")" "enrolment.negotiate: it is needed"
refuses "enrolment.negotiate.keytab_file" -e "s,est.keytab,none.keytab,"
refuses "no key of HTTP/elsewhere@$realm is to be had of it: " -e "s,HTTP/localhost,HTTP/elsewhere,"
refuses "enrolment.negotiate.keytab_file: it is needed" -e /keytab_file/d
refuses "enrolment.negotiate.principals: it is needed" -e '/principals:/,$d'
refuses "is not a POSIX extended regular expression" -e 's/(alice)/(alice/'
refuses "has no group 2" -e 's/CN=\\1/CN=\\2/'
chmod 644 "$dir/est.keytab"
refuses "others may read or change" -e ''
chmod 600 "$dir/est.keytab"
configure -e ''
start

# ---- curl ----
url=https://localhost:$((base + 1))/.well-known/est
by() { curl -sS --cacert "$dir/ca/pki/root.pem" --resolve "localhost:$((base + 1)):127.0.0.1" "$@"; } # the ticket's service has the URL's name
negotiate() { by --negotiate -u : "$@"; }
show() { by -H "Authorization: Negotiate $1" "${@:2}"; } # a token
to() { echo --data-binary "@$dir/$2" -H Content-Type:application/pkcs10 "$url/$1"; }
token() { python3 "$(dirname "$0")/est_gss.py" "$@" || fail "no token"; }
head_has() { contains "$(tr -d '\r' <"$dir/head" | tr '[:upper:]' '[:lower:]')" "$1"; }
old_ticket() { ticket alice@$realm -l 10s; old=$(token HTTP@localhost); old_since=$SECONDS; }
request dev1 /CN=dev1
request any /CN=any
old_ticket # looked at in the end
# What is offered: Basic first, since small clients look at one field alone.
code 401 by $(to kerberos/simpleenroll dev1.b64)
check [ "$(tr -d '\r' <"$dir/head" | sed -n 's/^[Ww][Ww][Ww]-[Aa]uthenticate: \([A-Za-z]*\).*/\1/p' | tr '\n' ' ')" = "Basic Negotiate Bearer " ]
code 401 by $(to tickets/simpleenroll dev1.b64)
check [ "$(grep -ci '^www-authenticate: negotiate.$' "$dir/head")" = 1 ]
# No ticket.
KRB5CCNAME=FILE:$dir/nobody.cc
code 401 negotiate $(to kerberos/simpleenroll dev1.b64)
# A device's ticket is for its own subject alone.
ticket host/dev1.est.test
for version in --http1.1 --http2 --tls-max=1.2; do
    code 200 negotiate ${version/=/ } $(to kerberos/simpleenroll dev1.b64)
    head_has "www-authenticate: negotiate o" # by which curl knows the server
    check [ "$(wc -c <"$dir/head")" -lt 1000 ]
    taken dev1
done
check [ "$(openssl x509 -in "$dir/dev1.pem" -noout -subject -nameopt RFC2253)" = "subject=CN=dev1" ]
code 200 by --anyauth -u : $(to tickets/simpleenroll dev1.b64)
code 400 negotiate $(to kerberos/simpleenroll any.b64)
says "csr.subject: the principal may enrol for another subject alone"
head_has "www-authenticate: negotiate o"
audit=$(admin "$SEALMILL_URL/v1/audit?pageSize=1000")
contains "$audit" '"caller":"negotiate:dev1"'
contains "$audit" "principal=host/dev1.est.test@$realm"
# Other operations: a token is asked about twice for a key that is made here.
code 200 negotiate $(to kerberos/serverkeygen dev1.b64)
head_has "www-authenticate: negotiate o"
code 401 by "$url/tickets/csrattrs"
code 200 negotiate "$url/tickets/csrattrs"
code 200 negotiate "$url/tickets/cacerts"
# Approval: known by its principal when it comes again.
code 202 negotiate $(to asked/simpleenroll dev1.b64)
code 202 negotiate $(to asked/simpleenroll dev1.b64)
check [ "$("$SEALMILL" approval list --dir "$dir/ca" --state pending | grep -c negotiate:dev1)" = 1 ]
# A certificate counts more than a ticket; a label that takes none says so.
code 200 ra --resolve "localhost:$((base + 1)):127.0.0.1" --negotiate -u : $(to kerberos/simpleenroll any.b64)
code 401 negotiate $(to other/simpleenroll dev1.b64)
says "Negotiate is not taken here"
code 401 by -u "dev1:$(head -c 12 /dev/zero | base64)" $(to tickets/simpleenroll dev1.b64)
# Who may: alice by any label, bob by one, mallory by none, and a stranger's alice of another realm by none.
ticket alice
code 200 negotiate $(to kerberos/simpleenroll any.b64)
ticket bob
code 200 negotiate $(to tickets/simpleenroll any.b64)
code 401 negotiate $(to kerberos/simpleenroll any.b64)
says "bob@$realm may not enrol here"
ticket alice@$other_realm
check kvno -q "$service" # a good ticket, by the trust between the realms
code 401 negotiate $(to kerberos/simpleenroll any.b64)
says "alice@$other_realm is of a realm that is not taken here"

# ---- tokens that curl does not make ----
ticket alice
enrol() { code "$1" show "$2" "${@:3}" $(to tickets/simpleenroll any.b64); }
once=$(token HTTP@localhost)
enrol 200 "$once"
enrol 401 "$once" # again
enrol 200 "$(token HTTP@localhost --mech krb5)" # without SPNEGO around it
enrol 401 "$(token --offer)"
says "it needs more than one token, and one alone is taken"
hash=$(openssl s_client -connect 127.0.0.1:$((base + 1)) -servername localhost </dev/null 2>/dev/null | openssl x509 -outform DER | sha256sum | cut -d' ' -f1)
for version in 1.2 1.3; do
    enrol 200 "$(token HTTP@localhost --bind "$hash")" --tls-max $version
    enrol 401 "$(token HTTP@localhost --bind "${hash//[0-7]/9}")" --tls-max $version
    says "the token is bound to another connection"
done
bent=$(token HTTP@localhost)
enrol 401 "${bent:0:400}AAAA${bent:404}"
enrol 401 "$(head -c 300 /dev/urandom | base64 -w0)"
says "it is no token of Kerberos, or of SPNEGO with Kerberos"
enrol 401 "TlRMTVNTUAABAAAAl4II4gAAAAAAAAAAAAAAAAAAAAAKAO5CAAAADw==" # NTLM
enrol 401 "no base64!"
says "Negotiate has a token in base64"
code 401 by -H "Authorization: Negotiate" $(to tickets/simpleenroll any.b64)
enrol 401 "$(head -c 16384 /dev/zero | base64 -w0)"
says "it is no token of Kerberos" # as long as it may be
enrol 401 "$(head -c 16385 /dev/zero | base64 -w0)"
says "the token is longer than 16384 octets"
code 431 show "$(head -c 40000 /dev/zero | base64 -w0)" $(to tickets/simpleenroll any.b64)
# Many at a time, by the same credential of ours.
for i in $(seq 24); do negotiate -o /dev/null -w '%{http_code}\n' $(to tickets/simpleenroll any.b64) >"$dir/many.$i" & many[i]=$!; done
for i in "${!many[@]}"; do wait "${many[i]}" || fail "one of many"; done
check [ "$(cat "$dir"/many.* | sort | uniq -c | tr -s ' ')" = " 24 200" ]
# A key that comes into the keytab later needs no reload.
principals $realm "ktadd -k $dir/est.keytab $service"
kdestroy
ticket alice
code 200 negotiate $(to tickets/simpleenroll any.b64)
# A ticket that has expired, by more than the clocks may differ.
while [ $((SECONDS - old_since)) -lt 23 ]; do sleep 1; done
enrol 401 "$old"
contains "$(grep negotiate_refused "$dir/log" | tail -1)" "expired"
# After SIGHUP the realms are others.
configure -e "s/^    principals:/    realms: [$other_realm]\n&/"
kill -HUP $server
for _ in $(seq 100); do
    ticket alice@$other_realm
    if negotiate -f -o /dev/null $(to tickets/simpleenroll any.b64) 2>/dev/null; then break; fi
    sleep 0.1
done
code 200 negotiate $(to tickets/simpleenroll any.b64)
ticket alice
code 401 negotiate $(to tickets/simpleenroll any.b64)

# ---- locked ----
ticket mallory@$realm
code 401 negotiate $(to tickets/simpleenroll any.b64)
for _ in 1 2 3 4; do negotiate -o /dev/null $(to tickets/simpleenroll any.b64); done
code 429 negotiate $(to tickets/simpleenroll any.b64)
head_has "retry-after: 1"
ticket alice@$other_realm
code 200 negotiate $(to tickets/simpleenroll any.b64) # another principal is not
for _ in $(seq 50); do show AAAA -o /dev/null $(to tickets/simpleenroll any.b64); done
code 429 negotiate $(to tickets/simpleenroll any.b64) # nor garbage from one address without an end
code 200 by -u "$(otp dev1)" $(to kerberos/simpleenroll dev1.b64) # other ways are open
metrics=$(curl -fsS "http://127.0.0.1:$((base + 3))/metrics")
contains "$metrics" 'sealmill_negotiate_total{outcome="accepted"} '
contains "$metrics" 'sealmill_negotiate_total{outcome="refused"} '
# Tokens are in no log.
for secret in "$once" "$bent" "$old"; do
    if grep -qF "${secret:40:60}" "$dir/log"; then fail "a token is in the log"; fi
done
stop
echo "$checks checks"
