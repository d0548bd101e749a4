#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# What people meet at the command line: nothing is lost for a wrong --out, and what goes wrong is said in words that help.
. "$(dirname "$0")/dev.sh"
start
csr dev ec -pkeyopt ec_paramgen_curve:P-256
sm() { "$SEALMILL" "$@" --dir "$dir/ca"; }
issue() { sm issue --profile device --csr "$dir/dev.csr" "$@"; }
count() { sm list --limit 1000 | wc -l; }
refused() { # what is said, then the command
    local said=$1
    shift
    if "$@" >"$dir/said" 2>&1; then fail "it worked: $*"; fi
    contains "$(cat "$dir/said")" "$said"
}

# Help and completion.
check [ "$("$SEALMILL" help ca create)" = "$("$SEALMILL" ca create --help)" ]
check [ "$("$SEALMILL" help issue)" = "$("$SEALMILL" issue --help)" ]
contains "$("$SEALMILL" --help)" "completion         Print a completion script for bash, zsh or fish"
refused '"ca" is not the whole command: ca create, ca csr' "$SEALMILL" ca
refused 'there is no command "help isue"' "$SEALMILL" help "help isue"
refused "bash, zsh and fish" "$SEALMILL" completion csh
completes() { # what is wanted among the offers, then the words so far
    COMP_WORDS=(sealmill "${@:2}") COMP_CWORD=$(($# - 1)) COMPREPLY=()
    _sealmill || true
    contains " ${COMPREPLY[*]} " " $1 "
}
eval "$("$SEALMILL" completion bash)"
completes issue is
completes ca ""
completes rollover ca r
completes --key-uri ca create --k
completes --csr issue --dir x --c
COMP_WORDS=(sealmill issue --csr x) COMP_CWORD=3 COMPREPLY=()
_sealmill || true
check [ ${#COMPREPLY[@]} = 0 ] # file names, by `complete -o default`
for shell in zsh fish; do
    "$SEALMILL" completion $shell >"$dir/completion.$shell"
    if command -v $shell >/dev/null; then check $shell -n "$dir/completion.$shell"; else echo "not checked: $shell is not installed"; fi
done

# --out that cannot be written: nothing is issued. One that breaks later: the certificate goes to standard output.
check issue --out "$dir/dev.pem" >/dev/null
serial=$(openssl x509 -in "$dir/dev.pem" -noout -serial | cut -d= -f2 | tr A-F a-f)
before=$(count)
refused "cannot create $dir/none/x.pem" issue --out "$dir/none/x.pem"
refused "Is a directory" issue --out "$dir"
refused "cannot create $dir/none/x.pem" sm renew "$serial" --out "$dir/none/x.pem"
check [ "$(count)" = "$before" ]
check [ -z "$(ls "$dir" | grep tmp)" ]
(trap '' XFSZ; ulimit -f 0; exec "$SEALMILL" issue --dir "$dir/ca" --profile device --csr "$dir/dev.csr" --out "$dir/full.pem" 2>&1) | cat >"$dir/said" || true
contains "$(cat "$dir/said")" "the certificate is issued, it went to standard output"
check openssl x509 -in "$dir/said" -noout
check [ ! -e "$dir/full.pem" ]
check [ -z "$(ls "$dir" | grep tmp)" ]
check [ "$(count)" = $((before + 1)) ]

# Filters by time, and a revocation's invalidity date.
check [ "$(sm list --profile device --expires-before 30d | wc -l)" = 0 ]
check [ "$(sm list --profile device --expires-after 30d --expires-before 100d | wc -l)" = 2 ]
check [ "$(sm list --profile device --expires-after 2099-01-01 | wc -l)" = 0 ]
refused "30d (from now)" sm list --profile device --expires-after soon
contains "$(sm revoke "$serial" --reason key-compromise --invalidity-date 2026-01-02T03:04:05Z --json)" '"invalidityDate": "2026-01-02T03:04:05Z"'
refused "state: one of valid, revoked, on-hold, expired is wanted" sm list --state foo
refused "reason: one of key-compromise, ca-compromise" sm revoke "$serial" --reason foo

# Whom a client trusts, and whom a server trusts.
far=(--server "$SEALMILL_API")
refused "--ca-file" "$SEALMILL" whoami "${far[@]}" --cert "$SEALMILL_CERT" --key "$SEALMILL_KEY"
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=stranger -keyout "$dir/stranger.key" -out "$dir/stranger.pem" 2>/dev/null
refused "may not accept the client certificate $dir/stranger.pem" \
    "$SEALMILL" whoami "${far[@]}" --ca-file "$SEALMILL_CA_FILE" --cert "$dir/stranger.pem" --key "$dir/stranger.key"
: >"$dir/token"
refused "$dir/token holds no token" "$SEALMILL" whoami "${far[@]}" --ca-file "$SEALMILL_CA_FILE" --token-file "$dir/token"
refused 'dns name "\xc3\xa4.de"' issue --san dns:ä.de
refused "it is over before the certificate is there" issue --validity 1s

# load says why.
refused "there is no profile none" sm load --profile none --count 2 --csrs 2 --connections 1 --json
contains "$(cat "$dir/said")" '"errors":2'

# A second start on the same folder: the addresses are those of the file.
stop
sed -i "s/address: 127.0.0.1:$((base + 2))/address: 0.0.0.0:$((base + 4))/" "$dir/ca/sealmill.yaml"
: >"$dir/log"
base=$((base + 5)) # what is asked for; readiness is waited for at the old place
"$SEALMILL" dev --dir "$dir/ca" --port-base "$base" >>"$dir/log" 2>&1 &
server=$!
base=$((base - 5))
for _ in $(seq 300); do ! grep -q 'Ctrl-C' "$dir/log" || break; sleep 0.1; done
contains "$(cat "$dir/log")" "--port-base counts at the first start alone: $dir/ca/sealmill.yaml says the addresses"
contains "$(cat "$dir/log")" "https://127.0.0.1:$base
"
contains "$(cat "$dir/log")" "http://127.0.0.1:$((base + 4))/ocsp"
. "$dir/ca/env"
check [ "$SEALMILL_OCSP_URL" = "http://127.0.0.1:$((base + 4))/ocsp" ]
check sm whoami >/dev/null
stop

# A wrong passphrase, or keys that others may read: no start, one reason.
cp "$dir/ca/keys/passphrase" "$dir/passphrase"
printf 'wrong\n' >"$dir/ca/keys/passphrase"
refused "was encrypted with, and no other key file opens" timeout 60 "$SEALMILL" dev --dir "$dir/ca"
if grep -q event=ready "$dir/said"; then fail "it was ready without a key"; fi
cp "$dir/passphrase" "$dir/ca/keys/passphrase"
chmod 644 "$dir"/ca/keys/*.key
refused ".key: chmod 600 it, and no other key file opens" timeout 60 "$SEALMILL" dev --dir "$dir/ca"
chmod 600 "$dir"/ca/keys/*.key
start
stop
echo "$checks checks passed"
