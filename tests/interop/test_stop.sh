#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# SIGTERM reaches the main thread alone, and ends a server at once when it has nothing to drain: no connection, no listener at all.
. "$(dirname "$0")/dev.sh"

ends_within() { # seconds; the server's own status is the result
    kill -TERM "$server"
    for _ in $(seq $(($1 * 10))); do
        kill -0 "$server" 2>/dev/null || { wait "$server"; code=$?; server=; return "$code"; }
        sleep 0.1
    done
    fail "the server did not end in $1 s"
}

# Signals are the main thread's to wait for: one that any other thread would take ends the program where it stands,
# a database's threads among them, which a library makes.
leaves_signals() { # thread: SIGHUP, SIGINT and SIGTERM are 0x4003
    local mask
    mask=$(sed -n 's/^SigBlk:[[:space:]]*//p' "$1/status")
    (((16#$mask & 16#4003) == 16#4003))
}

start
for thread in /proc/"$server"/task/*; do
    [ "${thread##*/}" = "$server" ] || check leaves_signals "$thread"
done
[ "$checks" -gt 5 ] || fail "only $checks threads were looked at"
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
