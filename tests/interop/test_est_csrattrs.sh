#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# csrattrs: what a label and its profile ask for, in the forms of RFC 7030 and RFC 9908, read with openssl asn1parse and by a reader of DER of our own in
# Python; a request that does as it is told is taken; 204 and named OIDs.
. "$(dirname "$0")/est_labels.sh"
start_with_labels '
    - name: told
      ca: issuing
      profile: device
      authentication: [certificate]
      requests:
        key_types: [ec-p384]
        sans: [dns]
        channel_binding: checked
    - name: rsa
      ca: issuing
      profile: device
      authentication: [certificate]
      requests: {key_types: [rsa-3072]}
    - name: edwards
      ca: issuing
      profile: device
      authentication: [certificate]
      requests: {key_types: [ed25519], sans: [dns]}
    - name: named
      ca: issuing
      profile: device
      authentication: [certificate]
      attributes: [1.2.840.113549.1.9.7, 1.3.6.1.1.1.1.22]
    - name: silent
      ca: issuing
      profile: device
      authentication: [certificate]
      no_attributes: true
    - name: off
      ca: issuing
      profile: device
      authentication: [certificate]
      operations: [simpleenroll]
'
cat >"$dir/read.py" <<'PY'
"""CsrAttrs as nested lists: OIDs as text, numbers, octets as hex, (tag, ...) for what is tagged."""
import base64, sys

def oid(b):
    out, n = [b[0] // 40, b[0] % 40], 0
    for x in b[1:]:
        n = n << 7 | x & 127
        if not x & 128:
            out.append(n)
            n = 0
    return ".".join(map(str, out))

def read(b):
    items = []
    while b:
        tag, n, at = b[0], b[1], 2
        if n & 128:
            at = 2 + (n & 127)
            n = int.from_bytes(b[2:at], "big")
        body, b = b[at:at + n], b[at + n:]
        assert len(body) == n
        if tag == 6: items.append(oid(body))
        elif tag == 2: items.append(int.from_bytes(body, "big"))
        elif tag == 1: items.append(body == b"\xff")
        elif tag == 4: items.append(body.hex())
        elif tag in (0x30, 0x31): items.append(read(body))
        else: items.append((tag, read(body)))
    return items

der = base64.b64decode(open(sys.argv[1]).read())
got = read(der)[0]
LINKING = "1.2.840.113549.1.9.16.2.58"
CHALLENGE, EC, P384, RSA, ED = "1.2.840.113549.1.9.7", "1.2.840.10045.2.1", "1.3.132.0.34", "1.2.840.113549.1.1.1", "1.3.101.112"
EXTREQ, TEMPLATE, EXTTEMPLATE = "1.2.840.113549.1.9.14", "1.2.840.113549.1.9.16.2.61", "1.2.840.113549.1.9.16.2.62"
KU, EKU, SAN = ["2.5.29.15", True, "03020780"], "2.5.29.37", ["2.5.29.17"]
extensions = [e for item in got if item[0] == EXTREQ for e in item[1][0]]
assert [e[0] for e in extensions] == ["2.5.29.15", EKU] and extensions[0] == KU, extensions
if sys.argv[2] == "told":
    assert got[:3] == [CHALLENGE, LINKING, [EC, [P384]]], got
    name, [[version, key, attributes]] = got[4]
    assert name == TEMPLATE and version == 0 and key == (0xA0, [[EC, P384]]), got[4]
    assert attributes == (0xA1, [[EXTTEMPLATE, [extensions + [SAN]]]]), attributes
elif sys.argv[2] == "rsa":
    assert got[0] == [RSA, [3072]] and len(got) == 2, got
else:
    assert got[0] == ED and got[2][1][0][1] == (0xA0, [[ED]]), got
PY
ask() { # label, what
    code 200 "${tls[@]}" "$SEALMILL_EST_URL/$1/csrattrs"
    contains "$(tr -d '\r' <"$dir/head" | tr '[:upper:]' '[:lower:]')" "content-type: application/csrattrs"
    check python3 "$dir/read.py" "$dir/body" "$1"
    check openssl asn1parse -inform DER -in <(base64 -d "$dir/body") -noout
}
ask told
ask rsa
ask edwards
code 204 "${tls[@]}" "$SEALMILL_EST_URL/silent/csrattrs"
[ ! -s "$dir/body" ] || fail "204 with a body"
code 404 "${tls[@]}" "$SEALMILL_EST_URL/off/csrattrs"
code 404 "${tls[@]}" "$SEALMILL_EST_URL/none/csrattrs"
code 200 "${tls[@]}" "$SEALMILL_EST_URL/named/csrattrs"
contains "$(openssl asn1parse -inform DER -in <(base64 -d "$dir/body"))" "challengePassword"
[ "$(openssl asn1parse -inform DER -in <(base64 -d "$dir/body") | grep -c OBJECT)" = 2 ] || fail "not the named ones alone"
# In lines for most, in one line for strongSwan; DER where the label says so is the answers' test.
check [ "$("${tls[@]}" "$SEALMILL_EST_URL/told/csrattrs" | awk '{ print length($0) }' | sort -n | tail -1)" -le 64 ]
check [ "$("${tls[@]}" -H 'User-Agent:' -H 'Accept:' "$SEALMILL_EST_URL/told/csrattrs" | wc -l)" = 0 ]

# Who does as he is told is issued his certificate.
keyopt=ec_paramgen_curve:P-384 request obedient /CN=obedient -addext keyUsage=critical,digitalSignature -addext extendedKeyUsage=clientAuth,serverAuth \
    -addext subjectAltName=DNS:obedient.example.net
code 200 ra $(post told/simpleenroll obedient.b64)
taken obedient
contains "$(openssl x509 -in "$dir/obedient.pem" -noout -text)" "DNS:obedient.example.net"
contains "$(openssl x509 -in "$dir/obedient.pem" -noout -text)" "384 bit"
stop
echo "$checks checks"
