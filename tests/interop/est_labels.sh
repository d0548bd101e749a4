# SPDX-License-Identifier: Apache-2.0
# Sourced by the tests of enrolment labels: a dev instance with labels of its own, requests, and what is asked of EST.
. "$(dirname "$0")/dev.sh"
tls=(curl -sS --cacert "$dir/ca/pki/root.pem")
as() { curl -sS --cacert "$dir/ca/pki/root.pem" --cert "$dir/$1.pem" --key "$dir/$1.key" "${@:2}"; }
code() { local want=$1 got; shift; got=$("$@" -o "$dir/body" -D "$dir/head" -w '%{http_code}') || fail "$*"; [ "$got" = "$want" ] || fail "$got, not $want: $* : $(head -c 300 "$dir/body")"; checks=$((checks + 1)); }
says() { contains "$(cat "$dir/body")" "$1"; } # the last answer
taken() { base64 -d "$dir/body" | openssl pkcs7 -inform DER -print_certs -out "$dir/$1.pem"; } # its certificate
post() { echo --data-binary "@$dir/$2" -H Content-Type:application/pkcs10 "$SEALMILL_EST_URL/$1"; } # label and operation, a file
request() { # name, subject, then what openssl req takes besides: a key, and its request in base64
    openssl req -new -newkey "${newkey:-ec}" -pkeyopt "${keyopt:-ec_paramgen_curve:P-256}" -nodes -keyout "$dir/$1.key" -subj "$2" "${@:3}" \
        -outform DER 2>"$dir/req.log" | base64 -w0 >"$dir/$1.b64"
    [ -s "$dir/$1.b64" ] || fail "openssl req: $(cat "$dir/req.log")"
}
otp() { "$SEALMILL" otp create "$@" --dir "$dir/ca"; } # an entity and options; prints entity:password
# The first start makes the configuration; labels come behind its own one, and a profile, if one is said, before its own.
start_with_labels() { # labels [profile]
    start
    stop
    python3 - "$dir/ca/sealmill.yaml" <<PY
import sys
path = sys.argv[1]
text = open(path).read()
mark = "      authentication: [certificate, otp]\n"
assert mark in text
text = text.replace(mark, mark + """$1""", 1)
open(path, "w").write(text.replace("\\nprofiles:\\n", "\\nprofiles:\\n" + """${2:+$2
}""", 1))
PY
    start
}
