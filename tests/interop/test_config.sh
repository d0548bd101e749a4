#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# `config check` passes what `serve` takes, and what one refuses the other refuses in the same words.
. "$(dirname "$0")/dev.sh"
start
stop
cd "$dir/ca"
yaml=sealmill.yaml
cp $yaml good.yaml
check "$SEALMILL" config check --config $yaml >/dev/null
refused() { # what is to be said
    if "$SEALMILL" config check --config $yaml >"$dir/check" 2>&1; then fail "config check passed it"; fi
    if timeout 60 "$SEALMILL" serve --config $yaml >"$dir/serve" 2>&1; then fail "serve took it"; fi
    check cmp "$dir/check" "$dir/serve" # and no log line before the sentence
    contains "$(cat "$dir/check")" "$1"
    check [ "$(wc -l <"$dir/check")" = 1 ]
    cp good.yaml $yaml
}
change() { sed -i "$1" $yaml; ! cmp -s $yaml good.yaml || fail "nothing was changed: $1"; }

change 's/address: 127.0.0.1:[0-9]*/address: 1.2.3/'
refused 'line 9: listeners[0].address: "1.2.3" is not an address such as 127.0.0.1:9000'
change 's/services: \[api\]/services: [apix]/'
refused 'line 10: listeners[0].services: "apix" is not one of api, public, operations, est'
change 's,pki/server.pem,pki/none.pem,'
refused 'line 13: listeners[0].tls.certificates[0].certificate_file: '
change 's,pki/chain.pem,pki/none.pem,'
refused 'listeners[0].tls.client_ca_file: '
echo 'denied_keys_file: none' >>$yaml
refused "denied_keys_file: $dir/ca/none: No such file or directory"
sed -i 's/^ocsp:/ocsp:\n  responder_validity: 30x/' $yaml
refused 'ocsp.responder_validity: "30x" is not a duration'
echo 'log: {level: loud}' >>$yaml
refused 'log.level: "loud" is not one of debug, info, warn, error'
echo 'threads: 65' >>$yaml
refused 'threads: at most 64'
change 's/sha256: ".*"/sha256: zz/'
refused 'client_certificates[0].sha256: 64 hex digits are wanted'
echo '  - {name: device}' >>$yaml
refused 'profiles[1].name: "device" is the name of profiles[0] already'
chmod 644 pki/server.key
refused "others may read or change $dir/ca/pki/server.key: chmod 600 it"
chmod 600 pki/server.key
change "s/127.0.0.1:$((base + 2))\$/127.0.0.1:$base/"
refused "listeners[2].address: 127.0.0.1:$base is listeners[0]'s already"

# A port that another program has, the last listener's: one sentence too.
python3 -c "import socket, time
s = socket.socket(); s.bind(('127.0.0.1', $((base + 3)))); s.listen(); print(flush=True); time.sleep(60)" >"$dir/held" &
holder=$!
while [ ! -s "$dir/held" ]; do sleep 0.1; done
if timeout 60 "$SEALMILL" serve --config $yaml >"$dir/serve" 2>&1; then fail "a taken port was taken"; fi
kill $holder
contains "$(cat "$dir/serve")" "the address 127.0.0.1:$((base + 3)) is already in use by another program"
check [ "$(wc -l <"$dir/serve")" = 1 ]

# A reload refuses it too, and the old configuration goes on.
start
echo 'log: {level: loud}' >>$yaml
kill -HUP "$server"
sleep 0.5
contains "$(cat "$dir/log")" event=reload_failed
contains "$(ra "$SEALMILL_URL/v1/whoami")" '"method":"mtls"'
cp good.yaml $yaml
stop
echo "$checks checks passed"
