#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Many CAs in one server, each with a key and a responder of its own: after a start any of them issues and answers, they are listed page
# by page, and one that is rolled over or disabled leaves the others as they were. SM_MANY_CAS says how many.
. "$(dirname "$0")/dev.sh"
count=${SM_MANY_CAS:-240}
start
sed -i 's/cas: \[issuing\]/cas: ["*"]/' "$dir/ca/sealmill.yaml"
kill -HUP "$server"

name() { printf 'c%05d' "$1"; }
for i in $(seq 0 $((count - 1))); do
    printf 'url = "%s/v1/cas"\nsilent\nshow-error\ncacert = "%s"\ncert = "%s"\nkey = "%s"\noutput = "%s/made"\nwrite-out = "%%{http_code}\\n"\ndata = "%s"\nnext\n' \
        "$SEALMILL_URL" "$SEALMILL_CA_FILE" "$SEALMILL_ADMIN_CERT" "$SEALMILL_ADMIN_KEY" "$dir" \
        "{\\\"name\\\":\\\"$(name "$i")\\\",\\\"parent\\\":\\\"root\\\",\\\"subject\\\":{\\\"attributes\\\":[{\\\"type\\\":\\\"CN\\\",\\\"value\\\":\\\"$(name "$i")\\\"}]}}"
done | sed '$d' >"$dir/make" # the last "next"
made=$(curl --config "$dir/make" | grep -c '^200$')
[ "$made" = "$count" ] || fail "$made of $count CAs were made: $(cat "$dir/made")"
stop
start

csr dev ec -pkeyopt ec_paramgen_curve:P-256
issue_and_ask() { # a CA
    check "$SEALMILL" issue --dir "$dir/ca" --ca "$1" --profile device --csr "$dir/dev.csr" --out "$dir/dev.pem" >/dev/null
    check "$SEALMILL" ca show "$1" --dir "$dir/ca" --pem >"$dir/issuer.pem"
    contains "$(openssl verify -CAfile "$dir/ca/pki/root.pem" -untrusted "$dir/issuer.pem" "$dir/dev.pem")" ": OK"
    contains "$(openssl ocsp -issuer "$dir/issuer.pem" -cert "$dir/dev.pem" -url "$SEALMILL_PUBLIC_URL/ocsp" \
        -CAfile "$dir/ca/pki/root.pem" -verify_other "$dir/issuer.pem" 2>&1)" "dev.pem: good"
}
for i in 0 $((count / 2)) $((count - 1)); do issue_and_ask "$(name "$i")"; done

# Which of them is meant must be said.
if "$SEALMILL" issue --dir "$dir/ca" --profile device --csr "$dir/dev.csr" --out "$dir/none.pem" 2>"$dir/said"; then fail "a CA was chosen"; fi
contains "$(cat "$dir/said")" "several CAs issue this profile"

# Pages of the API, and the command that asks for all of them.
[ "$("$SEALMILL" ca list --dir "$dir/ca" | grep -c '^c[0-9]')" = "$count" ] || fail "ca list does not have them all"
token=
listed=0
pages=0
while :; do
    page=$(ra "$SEALMILL_URL/v1/cas?pageSize=100&pageToken=$token")
    listed=$((listed + $(grep -o '"name":"c[0-9]*"' <<<"$page" | wc -l)))
    pages=$((pages + 1))
    token=$(sed -n 's/.*"nextPageToken":"\([^"]*\)".*/\1/p' <<<"$page")
    [ -n "$token" ] || break
done
[ "$listed" = "$count" ] || fail "$listed of $count CAs are on the pages"
[ "$pages" -gt $((count / 100)) ] || fail "only $pages pages"
contains "$(ra "$SEALMILL_URL/v1/cas?pageSize=1001")" page_size

# One changes, its neighbours do not.
check "$SEALMILL" ca rollover "$(name 1)" --dir "$dir/ca" >/dev/null
issue_and_ask "$(name 1)"
check "$SEALMILL" ca disable "$(name 2)" --dir "$dir/ca" >/dev/null
if "$SEALMILL" issue --dir "$dir/ca" --ca "$(name 2)" --profile device --csr "$dir/dev.csr" --out "$dir/none.pem" 2>"$dir/said"; then fail "a disabled CA issues"; fi
issue_and_ask "$(name 3)"
stop
echo "$checks checks passed"
