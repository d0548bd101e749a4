#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# EST by people's passwords and by bearer tokens: who may, for one CA and for a group of them; names that do not exist are locked as others are. When a client
# is to come again: a CA that does not issue now, a rate that is used up.
. "$(dirname "$0")/est_labels.sh"
hash=$("$SEALMILL" hash-password <<<"correct horse battery") # as the configuration has it
start_with_labels "
    - {name: people, ca: issuing, profile: device, authentication: [user], authenticate_reads: true}
    - {name: bearer, ca: issuing, profile: device, authentication: [token]}
    - {name: later, ca: later, profile: device}
    - {name: nothing, ca: issuing, profile: nothing}
    - {name: pool, ca_group: pool, profile: device, authentication: [token]}
  groups:
    - {name: pool, members: [{ca: issuing}, {ca: second}]}
  users:
    - {name: alice, password_hash: '$hash'}
"
sm() { "$SEALMILL" "$@" --dir "$dir/ca"; }
sed -i 's/cas: \[issuing\]/cas: [issuing, second, later]/; s/profiles: \[device\]/profiles: [device, nothing]/' "$dir/ca/sealmill.yaml"
check sm ca create second --parent root --subject "O=Acme,CN=Second" --pem >/dev/null
kill -HUP "$server"
for _ in $(seq 50); do ! grep -q event=reloaded "$dir/log" || break; sleep 0.1; done
request dev /CN=dev

# A password of a person's: enough for what is read, too.
code 401 "${tls[@]}" "$SEALMILL_EST_URL/people/cacerts"
code 200 "${tls[@]}" -u "alice:correct horse battery" "$SEALMILL_EST_URL/people/cacerts"
code 200 "${tls[@]}" -u "alice:correct horse battery" $(post people/simpleenroll dev.b64)
# Guessing locks a name, whether there is one, and wherever it is tried.
for name in alice nobody; do
    for _ in 1 2 3; do code 401 "${tls[@]}" -u "$name:guess" $(post people/simpleenroll dev.b64); done
    for _ in 1 2; do code 401 "${tls[@]}" -u "$name:guess" "$SEALMILL_EST_URL/people/csrattrs"; done
    code 429 "${tls[@]}" -u "$name:guess" $(post people/simpleenroll dev.b64)
    code 429 "${tls[@]}" -u "$name:guess" "$SEALMILL_EST_URL/people/csrattrs"
done

# A bearer token with the right for each CA that may issue.
sm token create --name both --role ra --ca issuing --ca second --profile device >"$dir/both"
sm token create --name first --role ra --ca issuing --profile device >"$dir/first"
bearer() { echo -H "@$dir/$1.header"; }
for name in both first; do echo "Authorization: Bearer $(cat "$dir/$name")" >"$dir/$name.header"; done
for label in bearer pool; do
    code 200 "${tls[@]}" $(bearer both) $(post $label/simpleenroll dev.b64)
done
code 200 "${tls[@]}" $(bearer first) $(post bearer/simpleenroll dev.b64)
code 401 "${tls[@]}" $(bearer first) $(post pool/simpleenroll dev.b64)
says "CA second"

# What is no fault of the client's is a 503, and it comes again.
retry_after() { tr -d '\r' <"$dir/head" | sed -n 's/^[Rr]etry-[Aa]fter: //p'; }
code 200 ra $(post simpleenroll dev.b64)
check sm ca disable issuing >/dev/null
for operation in simpleenroll serverkeygen later/simpleenroll nothing/simpleenroll nothing/serverkeygen; do
    code 503 ra $(post $operation dev.b64)
    check [ "$(retry_after)" -gt 0 ]
done
says "there is no profile nothing"
check sm ca enable issuing >/dev/null
code 200 ra $(post simpleenroll dev.b64)
# The rate of certificates: when there is room again.
sed -i 's,^limits:$,&\n  issue_per_caller: 1/h,' "$dir/ca/sealmill.yaml"
kill -HUP "$server"
for _ in $(seq 50); do [ "$(grep -c event=reloaded "$dir/log")" -lt 2 ] || break; sleep 0.1; done
code 200 ra $(post simpleenroll dev.b64)
code 429 ra $(post simpleenroll dev.b64)
check [ "$(retry_after)" -gt 3000 ]
stop
echo "$checks checks passed"
