#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A certificate of each kind that a profile can say: good for its purpose and no other with OpenSSL and GnuTLS, read strictly, and held against
# what RFC 5280 says must be.
. "$(dirname "$0")/dev.sh"
. "$(dirname "$0")/kinds.sh"
start
make_kinds
cd "$dir/kinds"
cat ca-sub.pem ca-mid.pem >"$dir/between.pem"
fits() { # purpose, certificate
    contains "$(openssl verify -x509_strict -check_ss_sig -purpose "$1" -CAfile ca-root.pem -untrusted "$dir/between.pem" "$2.pem" 2>&1)" "$2.pem: OK"
}
unfit() {
    if openssl verify -x509_strict -purpose "$1" -CAfile ca-root.pem -untrusted "$dir/between.pem" "$2.pem" >"$dir/out" 2>&1; then fail "$2 is good for $1"; fi
    checks=$((checks + 1))
}
fits sslserver server; unfit sslclient server; unfit smimesign server
fits sslclient client; unfit sslserver client
fits sslclient nameless
fits sslclient addresses
fits smimesign email; unfit sslclient email
fits timestampsign time; unfit sslserver time
fits ocsphelper ocsp; fits ocsphelper responder; unfit sslserver responder
fits sslserver rsa; fits sslclient rsa
fits crlsign ca-leaf; unfit sslserver ca-leaf
for name in client nameless addresses email ocsp; do unfit crlsign $name; done
fits any code; unfit sslserver code
contains "$(openssl verify -x509_strict -verify_hostname dev1.example.com -CAfile ca-root.pem -untrusted "$dir/between.pem" server.pem 2>&1)" OK
contains "$(openssl verify -x509_strict -verify_ip 2001:db8::1 -CAfile ca-root.pem -untrusted "$dir/between.pem" addresses.pem 2>&1)" OK
for pem in *.pem; do
    openssl x509 -in "$pem" -noout -text >"$dir/text"
    if grep -iE 'invalid|unsupported|error|<parse' "$dir/text"; then fail "openssl x509 -text of $pem"; fi
    checks=$((checks + 1))
done

if command -v certtool >/dev/null; then
    for name in server client nameless addresses email code time ocsp responder; do
        cat $name.pem ca-sub.pem ca-root.pem >"$dir/chain.pem"
        contains "$(certtool --verify-chain --infile "$dir/chain.pem" 2>&1)" "Chain verification output: Verified"
    done
    for name in rsa ca-leaf; do
        cat $name.pem ca-mid.pem ca-root.pem >"$dir/chain.pem"
        contains "$(certtool --verify-chain --infile "$dir/chain.pem" 2>&1)" "Chain verification output: Verified"
    done
    contains "$(certtool --verify --verify-purpose 1.3.6.1.5.5.7.3.1 --verify-hostname dev1.example.com --load-ca-certificate ca-root.pem \
        --infile <(cat server.pem ca-sub.pem) 2>&1)" "Verified."
    if certtool --verify --verify-purpose 1.3.6.1.5.5.7.3.2 --load-ca-certificate ca-root.pem --infile <(cat server.pem ca-sub.pem) >"$dir/out" 2>&1; then
        fail "GnuTLS takes a server for a client"
    fi
else
    echo "not read: GnuTLS's certtool is not installed"
fi

/usr/bin/python3 - ./*.pem <<'PY' || fail "RFC 5280"
import sys
from cryptography import x509
from cryptography.x509.oid import ExtensionOID as E, NameOID as N
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

def check(good, what):
    if not good:
        sys.exit("%s: %s" % (path, what))

for path in sys.argv[1:]:
    c = x509.load_pem_x509_certificate(open(path, "rb").read())
    e = {x.oid: x for x in c.extensions}  # a second extension of one kind is an error to the library (4.2)
    basic = e.get(E.BASIC_CONSTRAINTS)
    ca = basic is not None and basic.value.ca
    usage = e.get(E.KEY_USAGE)
    check(c.version == x509.Version.v3, "version (4.1.2.1)")
    check(c.serial_number > 0 and len(c.serial_number.to_bytes(40, "big").lstrip(b"\0")) <= 20, "serial (4.1.2.2)")
    check(c.serial_number.bit_length() > 64, "64 random bits")
    check(len(list(c.issuer)) > 0 and c.not_valid_before < c.not_valid_after, "issuer, validity (4.1.2.4, 4.1.2.5)")
    check(all(a._type.name == "PrintableString" for n in (c.subject, c.issuer) for a in n if a.oid == N.COUNTRY_NAME), "countryName (A.1)")
    check(E.AUTHORITY_KEY_IDENTIFIER in e and not e[E.AUTHORITY_KEY_IDENTIFIER].critical and
          e[E.AUTHORITY_KEY_IDENTIFIER].value.key_identifier is not None or c.subject == c.issuer, "AKI (4.2.1.1)")
    check(E.SUBJECT_KEY_IDENTIFIER in e and not e[E.SUBJECT_KEY_IDENTIFIER].critical, "SKI (4.2.1.2)")
    check(usage is not None and usage.critical, "key usage (4.2.1.3)")
    check(not usage.value.key_cert_sign or ca, "keyCertSign without cA (4.2.1.3, 4.2.1.9)")
    check(not ca or (basic.critical and len(list(c.subject)) > 0 and usage.value.key_cert_sign), "a CA's (4.2.1.9, 4.1.2.6)")
    check(basic is None or basic.value.path_length is None or ca, "pathLen (4.2.1.9)")
    san = e.get(E.SUBJECT_ALTERNATIVE_NAME)
    check(len(list(c.subject)) > 0 or (san is not None and san.critical), "empty subject (4.1.2.6)")
    check(san is None or not san.critical or len(list(c.subject)) == 0, "SAN critical (4.2.1.6)")
    check(san is None or len(list(san.value)) > 0, "empty SAN (4.2.1.6)")
    check(E.NAME_CONSTRAINTS not in e or (ca and e[E.NAME_CONSTRAINTS].critical), "name constraints (4.2.1.10)")
    for oid in (E.AUTHORITY_INFORMATION_ACCESS, E.CRL_DISTRIBUTION_POINTS, E.CERTIFICATE_POLICIES):
        check(oid not in e or not e[oid].critical, "critical: %s" % oid)
    if E.CERTIFICATE_POLICIES in e:
        oids = [p.policy_identifier for p in e[E.CERTIFICATE_POLICIES].value]
        check(len(oids) == len(set(oids)), "a policy twice (4.2.1.4)")
    spki = c.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    check(spki in c.public_bytes(Encoding.DER), "the key is written in DER")
PY
checks=$((checks + 1))
stop
echo "$checks checks passed"
