#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# CRLs partitioned by issuing distribution point, with openssl and python3-cryptography: certificates name their own, what was issued before and after a
# change of their number stays where it is, full, delta and complete CRLs, kill -9 while they are published.
. "$(dirname "$0")/dev.sh"
start
crl=$SEALMILL_PUBLIC_URL/crl
config=$dir/ca/sealmill.yaml
csr dev ec -pkeyopt ec_paramgen_curve:P-256
issue() { check "$SEALMILL" issue --dir "$dir/ca" --profile device --csr "$dir/dev.csr" --out "$dir/$1.pem" >/dev/null; }
serial() { openssl x509 -in "$dir/$1.pem" -noout -serial | cut -d= -f2; }
point() { openssl x509 -in "$dir/$1.pem" -noout -ext crlDistributionPoints | sed -n 's/.*URI://p'; } # a certificate's URL
revoke() { check "$SEALMILL" revoke "$(serial "$1")" --dir "$dir/ca" "${@:2}" >/dev/null; }
partition() { point "$1" | sed -n 's/.*\.p0*\([1-9][0-9]*\)\.crl$/\1/p'; }
reload() { kill -HUP "$server"; for _ in $(seq 100); do [ "$(grep -c event=reloaded "$dir/log")" -lt "$1" ] || return 0; sleep 0.1; done; fail "no reload"; }
published() { # a URL: waits until it is there
    for _ in $(seq 150); do [ "$(curl -s -o /dev/null -w '%{http_code}' "$1")" != 200 ] || return 0; sleep 0.1; done
    fail "$1 is not published"
}
fetch() { # a URL: verified, as text in $dir/text, as PEM in $dir/crl.pem
    published "$1"
    curl -sS --fail "$1" -o "$dir/crl.der"
    contains "$(openssl crl -inform DER -in "$dir/crl.der" -CAfile "$dir/ca/pki/issuing.pem" -noout 2>&1)" "verify OK"
    openssl crl -inform DER -in "$dir/crl.der" -text -noout >"$dir/text"
    openssl crl -inform DER -in "$dir/crl.der" -out "$dir/crl.pem"
}
# As a relying party does it: the CRL from the certificate's own URL.
verify() { fetch "$(point "$1")"; openssl verify -crl_check -extended_crl -CAfile "$SEALMILL_CA_FILE" -untrusted "$dir/ca/pki/issuing.pem" -CRLfile "$dir/crl.pem" "$dir/$1.pem" 2>&1 || true; }

issue old
contains "$(point old)" "/crl/issuing.1.crl"
printf 'crl: {partitions: 4, delta_interval: 1h, base_url: "%s"}\n' "$crl" >>"$config"
check "$SEALMILL" config check --config "$config" >/dev/null
reload 1
for i in $(seq 24); do issue "c$i"; done
used=$(for i in $(seq 24); do partition "c$i"; done | sort -n | uniq)
[ "$(wc -l <<<"$used")" -gt 2 ] || fail "24 certificates are in partitions $used"
[ "$(tail -1 <<<"$used")" -le 4 ] && [ "$(head -1 <<<"$used")" -ge 1 ] || fail "partitions $used"

# Each says what it is of, and only that; it is good and revoked by its own.
contains "$(verify c1)" "c1.pem: OK"
contains "$(tr -d '\n' <"$dir/text")" "X509v3 Issuing Distribution Point: critical"
contains "$(cat "$dir/text")" "URI:$(point c1)"
contains "$(cat "$dir/text")" "No Revoked Certificates."
revoke c1 --reason key-compromise
revoke old --reason superseded
make() { "$SEALMILL" crl make issuing --dir "$dir/ca" "$@" >"$dir/made"; }
check make --partition "$(partition c1)"
contains "$(cat "$dir/made")" " 1 entries"
contains "$(verify c1)" "certificate revoked"
check make
contains "$(cat "$dir/made")" " 2 entries"
contains "$(verify old)" "certificate revoked"
contains "$(cat "$dir/text")" "$(serial c1)" # the complete CRL is complete
[ "$(grep -c 'Issuing Distribution Point' "$dir/text")" = 0 ] || fail "the complete CRL says that it is of a part"
other=
for i in $(seq 2 24); do [ "$(partition "c$i")" = "$(partition c1)" ] || other=c$i; done
contains "$(verify "$other")" "$other.pem: OK"
[ "$(grep -c "$(serial c1)" "$dir/text")" = 0 ] || fail "a partition has another's certificate"
# Another partition's CRL is none for it (RFC 5280 6.3.3).
contains "$(openssl verify -crl_check -extended_crl -CAfile "$SEALMILL_CA_FILE" -untrusted "$dir/ca/pki/issuing.pem" -CRLfile "$dir/crl.pem" "$dir/c1.pem" 2>&1 || true)" "different CRL scope"
fetch "$(point c1)"
/usr/bin/python3 - "$dir" "$(point c1)" <<'PY' || fail "python3-cryptography"
import sys
from cryptography import x509
dir, url = sys.argv[1:]
crl = x509.load_der_x509_crl(open(dir + "/crl.der", "rb").read())
idp = crl.extensions.get_extension_for_class(x509.IssuingDistributionPoint)
assert idp.critical and [n.value for n in idp.value.full_name] == [url], idp
assert not idp.value.only_contains_ca_certs and not idp.value.indirect_crl
c1 = x509.load_pem_x509_certificate(open(dir + "/c1.pem", "rb").read())
assert crl.get_revoked_certificate_by_serial_number(c1.serial_number) is not None and len(crl) == 1
fresh = crl.extensions.get_extension_for_class(x509.FreshestCRL).value
assert fresh[0].full_name[0].value == url.replace(".crl", ".delta.crl"), fresh
PY
checks=$((checks + 1))

# Fetched by its number; another partition's in its place has a good signature, and is refused.
check "$SEALMILL" crl fetch issuing --partition "$(partition c1)" --dir "$dir/ca" --out "$dir/fetched.crl"
check cmp "$dir/fetched.crl" "$dir/crl.der"
if [ "$(partition c1)" = 1 ]; then second=2; else second=1; fi
name=$(find "$dir/ca" -name "issuing.1.p000$second.crl")
want=$(openssl crl -inform DER -in "$dir/crl.der" -noout -crlnumber | sed 's/.*=\(0x\)\?//')
for _ in 1 2 3; do # of the same number, so that only the partition is another
    [ "$(openssl crl -inform DER -in "$name" -noout -crlnumber | sed 's/.*=\(0x\)\?//')" != "$want" ] || break
    check make --partition "$second"
done
cp "$name" "$dir/kept.crl"
cp "$dir/crl.der" "$name"
if "$SEALMILL" crl fetch issuing --partition "$second" --dir "$dir/ca" --out "$dir/wrong.crl" 2>"$dir/said"; then fail "another partition's CRL"; fi
contains "$(cat "$dir/said")" "issuingDistributionPoint is not the partition's"
cp "$dir/kept.crl" "$name"
check "$SEALMILL" crl fetch issuing --partition "$second" --dir "$dir/ca" --out "$dir/wrong.crl"

# Hold and release by a delta CRL of the partition.
revoke "$other" --reason certificate-hold
check make --partition "$(partition "$other")"
check "$SEALMILL" release "$(serial "$other")" --dir "$dir/ca" >/dev/null
check make --partition "$(partition "$other")" --delta
fetch "$(point "$other" | sed 's/\.crl$/.delta.crl/')"
contains "$(cat "$dir/text")" "Remove From CRL"
contains "$(cat "$dir/text")" "Delta CRL Indicator: critical"
contains "$(cat "$dir/text")" "URI:$(point "$other")"

# Fewer partitions, then none, then more: whoever has a certificate finds its CRL where the certificate says.
sed -i 's/partitions: 4/partitions: 2/' "$config"
reload 2
for i in $(seq 12); do issue "d$i"; [ "$(partition "d$i")" -le 2 ] || fail "d$i is in partition $(partition "d$i") of 2"; done
revoke c2
check make --partition "$(partition c2)"
contains "$(verify c2)" "certificate revoked"
[ "$("$SEALMILL" crl list --dir "$dir/ca" | grep -c '^issuing\.1\.p000[1-4]\.crl')" = 4 ] || fail "not every partition is listed"
sed -i 's/partitions: 2, //' "$config"
reload 3
issue plain
contains "$(point plain)" "/crl/issuing.1.crl"
revoke c3
stop
rm -rf "$dir/ca"/db/crl "$dir/ca"/data/crl 2>/dev/null || true # they are made again
start
check make --partition "$(partition c3)"
contains "$(verify c3)" "certificate revoked"
for i in 1 2 3 4; do published "$crl/issuing.1.p000$i.crl"; done
if "$SEALMILL" crl make issuing --dir "$dir/ca" --partition 5 2>"$dir/said"; then fail "a partition that never was"; fi
contains "$(cat "$dir/said")" "4 partitions"
for name in issuing.1.p0005.crl issuing.1.p0000.crl issuing.1.p001.crl issuing.p00001.crl; do
    [ "$(curl -s -o /dev/null -w '%{http_code}' "$crl/$name")" = 404 ] || fail "$name is there"
done
sed 's/delta_interval: 1h/partitions: 5000/' "$config" >"$config.wrong"
contains "$("$SEALMILL" config check --config "$config.wrong" 2>&1 || true)" "crl.partitions"

# After a rollover each generation has its own.
sed -i 's/delta_interval: 1h/partitions: 3, delta_interval: 1h/' "$config"
kill -HUP "$server"
check "$SEALMILL" ca rollover issuing --dir "$dir/ca" >/dev/null
sleep 1
issue next
contains "$(point next)" "/crl/issuing.2.p000"
revoke c4
check make --generation 1 --partition "$(partition c4)"
contains "$(verify c4)" "certificate revoked"

# kill -9 while CRLs are made: what is published is whole, and its number only grows.
number() { openssl crl -inform DER -in "$dir/crl.der" -noout -crlnumber | sed 's/.*=\(0x\)\?//'; }
fetch "$(point c4)"
last=$((16#$(number)))
for round in 1 2 3 4 5; do
    for _ in 1 2 3; do make --generation 1 --partition "$(partition c4)" 2>/dev/null || true; done &
    sleep 0.0$((round * 17))
    kill -9 "$server"
    wait "$server" 2>/dev/null || true
    wait
    server=
    start
    fetch "$(point c4)"
    contains "$(cat "$dir/text")" "$(serial c4)"
    [ $((16#$(number))) -ge "$last" ] || fail "the number went back from $last"
    last=$((16#$(number)))
done
stop
echo "$checks checks passed"
