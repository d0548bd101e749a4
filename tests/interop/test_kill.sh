#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# kill -9 under load, twenty times: every certificate that was answered is in the inventory afterwards, and no serial came twice.
. "$(dirname "$0")/dev.sh"
rounds=20
: >"$dir/all"
for round in $(seq $rounds); do
    start
    : >"$dir/serials"
    "$SEALMILL" load --dir "$dir/ca" --seconds 20 --csrs 200 --connections 4 --in-flight 32 --serials "$dir/serials" >/dev/null 2>&1 &
    load=$!
    sleep "0.$((RANDOM % 6 + 3))"
    kill -9 "$server"
    wait "$server" 2>/dev/null || true
    server=
    wait "$load" 2>/dev/null || true
    cat "$dir/serials" >>"$dir/all"
done
answered=$(wc -l <"$dir/all")
[ "$answered" -gt "$rounds" ] || fail "only $answered certificates were answered: the load did not run"
check [ -z "$(sort "$dir/all" | uniq -d)" ]
start
"$SEALMILL" list --dir "$dir/ca" --limit 1000000 | cut -d' ' -f1 | sort >"$dir/inventory"
missing=$(sort "$dir/all" | comm -23 - "$dir/inventory" | wc -l)
check [ "$missing" = 0 ]
stop
check "$SEALMILL" db check --data-dir "$dir/ca/db" >/dev/null
echo "$answered certificates were answered in $rounds rounds, none is missing"
