#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# ChangeSubjectName in re-enrolment (RFC 7030 4.2.2, RFC 6402 2.8): honoured where the label has it so, and refused elsewhere.
. "$(dirname "$0")/est_labels.sh"
start_with_labels '
    - name: renaming
      ca: issuing
      profile: device
      requests:
        change_subject_name: true
        subject: "CN=[a-z]+,O=Acme"
'
made() { python3 "$(dirname "$0")/est_csr.py" "$dir/next.key" "${@:2}" >"$dir/$1"; }
subject() { openssl x509 -in "$dir/$1.pem" -noout -subject -nameopt RFC2253; }
request old /O=Acme/CN=old -addext subjectAltName=DNS:old.example.net
code 200 ra $(post renaming/simpleenroll old.b64)
taken old
openssl ecparam -genkey -name prime256v1 -noout -out "$dir/next.key"

# Both names, with subjectAlt tagged as the erratum has it and untagged as the RFC printed it.
for form in "" --untagged; do
    made both O=Acme,CN=old --san old.example.net --change-subject O=Acme,CN=new --change-san new.example.net $form
    code 200 as old $(post renaming/simplereenroll both)
    taken new
    contains "$(subject new)" "CN=new,O=Acme"
    contains "$(openssl x509 -in "$dir/new.pem" -noout -ext subjectAltName)" "DNS:new.example.net"
    check [ "$(openssl x509 -in "$dir/new.pem" -noout -ext subjectAltName | grep -c old)" = 0 ]
done
# One of them; the other one stays.
made one O=Acme,CN=old --san old.example.net --change-subject O=Acme,CN=new
code 200 as old $(post renaming/simplereenroll one)
taken new
contains "$(subject new)" "CN=new,O=Acme"
contains "$(openssl x509 -in "$dir/new.pem" -noout -ext subjectAltName)" "DNS:old.example.net"
made one O=Acme,CN=old --san old.example.net --change-san new.example.net
code 200 as old $(post renaming/simplereenroll one)
taken new
contains "$(subject new)" "CN=old,O=Acme"
# The new one renews by its own names.
cp "$dir/next.key" "$dir/new.key"
made again O=Acme,CN=old --san new.example.net
code 200 as new $(post renaming/simplereenroll again)

# Its own names are the old certificate's; the new ones keep the label's rules.
made other O=Acme,CN=other --san old.example.net --change-subject O=Acme,CN=new
code 400 as old $(post renaming/simplereenroll other)
says "a renewal keeps the subject"
made bare O=Acme,CN=old --change-subject O=Acme,CN=new
code 400 as old $(post renaming/simplereenroll bare)
says "a renewal keeps the SANs"
made bad O=Acme,CN=old --san old.example.net --change-subject O=Acme,CN=NEW
code 400 as old $(post renaming/simplereenroll bad)
says "csr.subject: CN=NEW,O=Acme does not match"
# Twice, empty, and where it has no place.
made twice O=Acme,CN=old --san old.example.net --change-subject O=Acme,CN=new --twice
code 400 as old $(post renaming/simplereenroll twice)
says "csr.attributes.change_subject_name: the attribute comes twice"
made label O=Acme,CN=old --san old.example.net --change-subject O=Acme,CN=new
code 400 as old $(post simplereenroll label)
says "this label does not let names be changed"
code 400 ra $(post renaming/simpleenroll label)
says "it is for re-enrolment alone"
stop
echo "$checks checks"
