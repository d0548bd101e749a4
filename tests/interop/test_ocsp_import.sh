#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A CA of `openssl ca` that sealmill answers OCSP for: its certificates, its index.txt, its CRLs, its own answers; asked by openssl ocsp.
. "$(dirname "$0")/dev.sh"
start
sm() { "$SEALMILL" "$@" --dir "$dir/ca"; }
refused() { # what is said, then the command
    local said=$1
    shift
    if "$@" >"$dir/said" 2>&1; then fail "it worked: $*"; fi
    contains "$(cat "$dir/said")" "$said"
}

# ---- the other CA ----
make_ca() { # folder, name
    local d=$dir/$1
    mkdir -p "$d/newcerts"
    : >"$d/index.txt"
    echo 01 >"$d/serial"
    echo 01 >"$d/crlnumber"
    cat >"$d/cnf" <<END
[ca]
default_ca = one
[one]
dir = $d
database = $d/index.txt
new_certs_dir = $d/newcerts
serial = $d/serial
crlnumber = $d/crlnumber
certificate = $d/ca.pem
private_key = $d/ca.key
default_md = sha256
default_days = 30
default_crl_days = 7
policy = any
unique_subject = no
crl_extensions = crl
[any]
commonName = supplied
[crl]
authorityKeyIdentifier = keyid
[responder]
extendedKeyUsage = OCSPSigning
noCheck = ignored
[plain]
basicConstraints = CA:FALSE
[ca_ext]
basicConstraints = critical,CA:TRUE
keyUsage = critical,keyCertSign,cRLSign
subjectKeyIdentifier = hash
END
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 365 -subj "/CN=$2" -keyout "$d/ca.key" -out "$d/ca.pem" \
        -config <(printf '[req]\ndistinguished_name=dn\nx509_extensions=ext\n[dn]\n[ext]\nbasicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign,cRLSign\nsubjectKeyIdentifier=hash\n') 2>/dev/null
}
their() { openssl ca -config "$dir/$1/cnf" -batch "${@:2}" 2>/dev/null; }
leaf() { # folder, name
    openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "/CN=$2" -keyout "$dir/$2.key" -out "$dir/$2.csr" 2>/dev/null
    their "$1" -in "$dir/$2.csr" -extensions plain -out "$dir/$2.pem" -notext
}
ask() { # folder, name, more of openssl ocsp's options
    openssl ocsp "${@:3}" -issuer "$dir/$1/ca.pem" -cert "$dir/$2.pem" -url "$SEALMILL_OCSP_URL" -CAfile "$dir/$1/ca.pem" 2>&1 || true
}
says() { # what, folder, name, options
    contains "$(ask "${@:2}")" "$3.pem: $1"
    contains "$(ask "${@:2}" -no_nonce)" "$3.pem: $1" # a kept answer
    contains "$(ask "${@:2}" -no_nonce)" "Response verify OK"
}

make_ca old "Old CA"
for name in one two three four five; do leaf old "$name"; done
their old -revoke "$dir/two.pem" -crl_reason keyCompromise
their old -revoke "$dir/three.pem" -crl_reason certificateHold

# ---- a responder with a key of ours and a certificate of that CA's ----
contains "$(sm ocsp create old --cert-file "$dir/old/ca.pem")" "responder only"
refused "CA old has this name and key" sm ocsp create again --cert-file "$dir/old/ca.pem"
refused "it is not a CA certificate" sm ocsp create leaf --cert-file "$dir/one.pem"
contains "$(ask old one)" "trylater"
check sm ocsp csr old >"$dir/responder.csr"
their old -in "$dir/responder.csr" -extensions plain -out "$dir/wrong.pem" -notext
refused "has no OCSPSigning" sm ocsp certificate old --cert-file "$dir/wrong.pem"
refused "for another key" sm ocsp certificate old --cert-file "$dir/one.pem"
their old -in "$dir/responder.csr" -extensions responder -out "$dir/responder.pem" -notext
check sm ocsp certificate old --cert-file "$dir/responder.pem" >/dev/null
refused "old is not run here" sm ca rollover old
refused "the key of old is not at hand" sm issue --ca old --profile device --csr "$dir/one.csr" --cert "$SEALMILL_ADMIN_CERT" --key "$SEALMILL_ADMIN_KEY"
says unknown old one
says unknown old one -sha256

# ---- certificates, then the index, then CRLs ----
check sm ocsp import --ca old --certs "$dir/old/newcerts" >"$dir/out"
contains "$(cat "$dir/out")" "7 entries: 7 new"
says good old one
says good old two
contains "$(sm ocsp import --ca old --certs "$dir/one.pem")" "1 entries: 0 new, 0 changed, 1 as before"
refused "the CA is not its issuer" sm ocsp import --ca old --certs "$dir/ca/pki/server.pem"
refused "it holds no certificate" sm ocsp import --ca old --certs "$dir/one.csr"

check sm ocsp import --ca old --index "$dir/old/index.txt" >"$dir/out"
contains "$(cat "$dir/out")" "7 entries: 0 new, 2 changed"
says good old one
says revoked old two
says revoked old two -sha256
contains "$(ask old two)" "Reason: keyCompromise"
says revoked old three
contains "$(ask old three)" "Reason: certificateHold"
contains "$(sm status "$dir/two.pem" || true)" "revoked  old"
printf 'V\tnever\t\t01\tunknown\t/CN=x\nX\n' >"$dir/bad.txt"
refused "bad.txt:1: the second field is not a time of expiry" sm ocsp import --ca old --index "$dir/bad.txt"
contains "$(cat "$dir/said")" "bad.txt:2: six fields between tabs are wanted"

their old -gencrl -out "$dir/1.crl"
contains "$(sm ocsp import --ca old --crl "$dir/1.crl")" "2 entries: 0 new, 0 changed, 2 as before"
their old -revoke "$dir/four.pem" -crl_reason superseded
sed -i '/CN=three/{s/^R/V/; s/\t[0-9]*Z,certificateHold\t/\t\t/}' "$dir/old/index.txt" # off hold
their old -gencrl -out "$dir/2.crl"
contains "$(sm ocsp import --ca old --crl "$dir/2.crl")" "2 entries: 0 new, 2 changed, 1 as before, 0 stay revoked, 1 off hold"
says good old three
says revoked old four
contains "$(sm ocsp import --ca old --crl "$dir/2.crl")" "2 entries: 0 new, 0 changed, 2 as before"
refused "its number goes back" sm ocsp import --ca old --crl "$dir/1.crl"
says good old three
make_ca other "Old CA"
their other -gencrl -out "$dir/forged.crl"
refused "the CA's key has not signed it" sm ocsp import --ca old --crl "$dir/forged.crl"

# What is revoked stays so, whatever a list says; a serial number in no source is unknown.
sed '/CN=two/{s/^R/V/; s/\t[0-9]*Z,keyCompromise\t/\t\t/}' "$dir/old/index.txt" >"$dir/lie.txt"
contains "$(sm ocsp import --ca old --index "$dir/lie.txt")" "1 stay revoked"
says revoked old two
leaf old six
says unknown old six
check sm ocsp import --ca old --certs "$dir/six.pem" >/dev/null
says good old six

# Over a restart.
stop
start
says revoked old two
says good old six

# ---- only a CRL is known: the rest is good ----
make_ca few "Few CA"
leaf few seven
leaf few eight
their few -revoke "$dir/eight.pem" -crl_reason affiliationChanged
their few -gencrl -out "$dir/few.crl"
check sm ocsp create few --cert-file "$dir/few/ca.pem" --unknown good >/dev/null
sm ocsp csr few >"$dir/few.csr"
their few -in "$dir/few.csr" -extensions responder -out "$dir/few-responder.pem" -notext
check sm ocsp certificate few --cert-file "$dir/few-responder.pem" >/dev/null
says good few eight
says good few eight -sha256
check sm ocsp import --ca few --crl "$dir/few.crl" >/dev/null
says revoked few eight # at once, though good was in memory
says revoked few eight -sha256
says good few seven

# ---- offline: whole answers ----
make_ca vault "Vault CA"
leaf vault nine
leaf vault ten
their vault -revoke "$dir/ten.pem" -crl_reason CACompromise
openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "/CN=Vault responder" -keyout "$dir/vr.key" -out "$dir/vr.csr" 2>/dev/null
their vault -in "$dir/vr.csr" -extensions responder -out "$dir/vr.pem" -notext
answers() { # into folder, signer, its key, days
    mkdir -p "$dir/$1"
    for name in nine ten; do
        for hash in sha1 sha256; do
            openssl ocsp -index "$dir/vault/index.txt" -CA "$dir/vault/ca.pem" -rsigner "$2" -rkey "$3" -issuer "$dir/vault/ca.pem" "-$hash" \
                -cert "$dir/$name.pem" -no_nonce -ndays "$4" -respout "$dir/$1/$name-$hash.der" >/dev/null 2>&1
        done
    done
}
check sm ocsp create vault --cert-file "$dir/vault/ca.pem" --offline >/dev/null
contains "$(ask vault nine)" "unauthorized"
refused "is offline" sm ocsp import --ca vault --index "$dir/vault/index.txt"
refused "is no CA for which we have a responder's key alone" sm ocsp csr vault
answers first "$dir/vr.pem" "$dir/vr.key" 7
check sm ocsp load "$dir/first" --ca vault >"$dir/out"
contains "$(cat "$dir/out")" "4 loaded, 0 not newer than what is there, 0 refused"
contains "$(sm ocsp load "$dir/first" --ca vault)" "0 loaded, 4 not newer"
says good vault nine
says revoked vault ten
says revoked vault ten -sha256 -no_nonce
contains "$(sm status "$dir/ten.pem" || true)" "revoked  vault"
sleep 1.1
their vault -revoke "$dir/nine.pem"
answers second "$dir/vault/ca.pem" "$dir/vault/ca.key" 7 # signed by the CA itself
contains "$(sm ocsp load "$dir/second" --ca vault)" "4 loaded"
says revoked vault nine
contains "$(sm ocsp load "$dir/first" --ca vault)" "0 loaded, 4 not newer"
says revoked vault nine
make_ca strange "Strange CA"
check sm ocsp create strange --cert-file "$dir/strange/ca.pem" --offline >/dev/null
refused "its CertID is not of this CA" sm ocsp load "$dir/first/nine-sha1.der" --ca strange
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "/CN=Mallory" -keyout "$dir/m.key" -out "$dir/m.pem" -days 3 2>/dev/null
answers third "$dir/m.pem" "$dir/m.key" 7
refused "the CA has not issued it" sm ocsp load "$dir/third" --ca vault
refused "it is not an OCSPResponse in DER" sm ocsp load "$dir/nine.pem" --ca vault
refused "is not an offline CA" sm ocsp load "$dir/first" --ca old
says revoked vault ten

# Who may.
openssl_token=$(sm token create --name reader --role reader)
printf '%s\n' "$openssl_token" >"$dir/token"
refused "admin" "$SEALMILL" ocsp import --server "$SEALMILL_API" --ca-file "$SEALMILL_CA_FILE" --token-file "$dir/token" --ca old --index "$dir/old/index.txt"
contains "$(sm audit --limit 1000)" "status.import"
stop
echo "$checks checks passed"
