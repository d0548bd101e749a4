# SPDX-License-Identifier: Apache-2.0
# Sourced behind dev.sh: make_kinds writes $dir/kinds/NAME.pem, one certificate of each kind that a profile can say, and those of the CAs and
# responders above them, under a root with the attributes that public CAs have.
kind() { # name, CA, the profile as JSON, further members of the request
    local csr
    contains "$(admin -X PUT "$SEALMILL_URL/v1/profiles/kind-$1" --data "$3")" "\"name\":\"kind-$1\""
    csr=$(base64 -w0 "$dir/kind.csr")
    admin "$SEALMILL_URL/v1/certificates" -d "{\"ca\":\"$2\",\"profile\":\"kind-$1\",\"csr\":\"$csr\"${4:+,$4}}" >"$dir/answer"
    sed -n 's/.*"certificate":"\([^"]*\)".*/\1/p' "$dir/answer" | base64 -d | openssl x509 -inform DER -out "$dir/kinds/$1.pem" || fail "$1: $(cat "$dir/answer")"
}

make_kinds() {
    local name='"subject":{"source":"SOURCE_TEMPLATE","template":"C=DE,ST=Bremen,L=Bremen,O=Acme,CN={metadata.cn}"}' short='"validity":{"default":"90d","maximum":"90d"}'
    local pointers='"ocspUrls":["http://ocsp.example.com/"],"caIssuerUrls":["http://ca.example.com/ca.cer"],"crlUrls":["http://ca.example.com/ca.crl"]'
    local policy='"policies":[{"oid":"2.23.140.1.2.2"}]'
    mkdir "$dir/kinds"
    openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "$dir/kind.key" -subj "/C=DE/O=Acme/CN=dev1.example.com" \
        -addext "subjectAltName=DNS:dev1.example.com,DNS:dev1a.example.com" -out "$dir/kind.csr" 2>/dev/null
    check "$SEALMILL" ca create kinds-root --dir "$dir/ca" --root --subject "C=DE,O=Acme,CN=Acme kinds root" --key-type p384 --pem >"$dir/kinds/ca-root.pem"
    check "$SEALMILL" ca create kinds-sub --dir "$dir/ca" --parent kinds-root --subject "C=DE,O=Acme,CN=Acme kinds issuing" --key-type p256 --path-length 0 --pem \
        >"$dir/kinds/ca-sub.pem"
    check "$SEALMILL" ca create kinds-mid --dir "$dir/ca" --parent kinds-root --subject "C=DE,O=Acme,CN=Acme kinds middle" --key-type rsa-2048 --path-length 1 --pem \
        >"$dir/kinds/ca-mid.pem"
    kind server kinds-sub "{$name,\"sans\":{\"copy\":true},$short,\"keyUsage\":[\"digitalSignature\"],\"extendedKeyUsage\":[\"serverAuth\"],$pointers,$policy}" '"metadata":{"cn":"dev1.example.com"}'
    kind client kinds-sub "{$name,$short,\"keyUsage\":[\"digitalSignature\"],\"extendedKeyUsage\":[\"clientAuth\"],$pointers}" '"metadata":{"cn":"device 1"}'
    kind nameless kinds-sub "{\"subject\":{\"source\":\"SOURCE_EMPTY\"},\"sans\":{\"copy\":true},$short,\"keyUsage\":[\"digitalSignature\"],\"extendedKeyUsage\":[\"clientAuth\"]}"
    kind addresses kinds-sub "{$name,\"sans\":{\"templates\":[\"dns:a.example.com\",\"ip:192.0.2.1\",\"ip:2001:db8::1\",\"uri:https://example.com/a\"]},$short,\"keyUsage\":[\"digitalSignature\"],\"extendedKeyUsage\":[\"clientAuth\"],\"basicConstraints\":{\"present\":true}}" \
        '"metadata":{"cn":"a"}'
    kind email kinds-sub "{$name,\"sans\":{\"templates\":[\"email:a@example.com\"]},$short,\"keyUsage\":[\"digitalSignature\",\"nonRepudiation\"],\"extendedKeyUsage\":[\"emailProtection\"],$pointers}" '"metadata":{"cn":"a@example.com"}'
    kind code kinds-sub "{$name,$short,\"keyUsage\":[\"digitalSignature\"],\"extendedKeyUsage\":[\"codeSigning\"],\"extendedKeyUsageCritical\":true,$pointers}" '"metadata":{"cn":"Acme releases"}'
    kind time kinds-sub "{$name,$short,\"keyUsage\":[\"digitalSignature\"],\"extendedKeyUsage\":[\"timeStamping\"],\"extendedKeyUsageCritical\":true}" '"metadata":{"cn":"Acme time"}'
    kind ocsp kinds-sub "{$name,$short,\"keyUsage\":[\"digitalSignature\"],\"extendedKeyUsage\":[\"OCSPSigning\"],\"ocspNoCheck\":true}" '"metadata":{"cn":"Acme status"}'
    kind rsa kinds-mid "{$name,\"sans\":{\"copy\":true},$short,\"keyUsage\":[\"digitalSignature\"],\"extendedKeyUsage\":[\"serverAuth\",\"clientAuth\"],$pointers,$policy}" '"metadata":{"cn":"dev1.example.com"}'
    kind ca-leaf kinds-mid "{$name,$short,\"keyUsage\":[\"keyCertSign\",\"cRLSign\"],\"basicConstraints\":{\"ca\":true,\"pathLengthSet\":true,\"pathLength\":0},\"nameConstraints\":{\"permitted\":[{\"dns\":\"example.com\"}],\"excluded\":[{\"ip\":\"0.0.0.0/0\"}]},$pointers,$policy}" \
        '"metadata":{"cn":"Acme devices"}'
    # The delegated responder's, as it comes with an answer.
    openssl ocsp -issuer "$dir/kinds/ca-sub.pem" -cert "$dir/kinds/server.pem" -url "$SEALMILL_OCSP_URL" -CAfile "$dir/kinds/ca-root.pem" -resp_text 2>/dev/null |
        sed -n '/BEGIN CERT/,/END CERT/p' >"$dir/kinds/responder.pem"
    check grep -q BEGIN "$dir/kinds/responder.pem"
}
