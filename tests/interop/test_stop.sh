#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# SIGTERM ends a server at once when it has nothing to drain: no connection, no listener at all.
. "$(dirname "$0")/dev.sh"

ends_within() { # seconds; the server's own status is the result
    kill -TERM "$server"
    for _ in $(seq $(($1 * 10))); do
        kill -0 "$server" 2>/dev/null || { wait "$server"; code=$?; server=; return "$code"; }
        sleep 0.1
    done
    fail "the server did not end in $1 s"
}

start
check ends_within 10

# Its listeners may all be taken out (the keys serve a backup, say).
cat >"$dir/bare.yaml" <<YAML
data_dir: $dir/bare
keys:
  dir: $dir/keys
  passphrase_file: $dir/ca/keys/passphrase
profiles:
  - name: device
YAML
mkdir -p "$dir/keys"
"$SEALMILL" serve --config "$dir/bare.yaml" >"$dir/log" 2>&1 &
server=$!
for _ in $(seq 100); do
    ! grep -q event=ready "$dir/log" || break
    kill -0 "$server" 2>/dev/null || break
    sleep 0.1
done
if kill -0 "$server" 2>/dev/null; then
    check ends_within 10
    contains "$(cat "$dir/log")" event=stopped
else
    server=
    contains "$(cat "$dir/log")" listeners # refused, in a sentence that says why
fi
echo "$checks checks"
