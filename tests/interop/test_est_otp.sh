#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Many one-time passwords of one name: each is found, however many there were; how many there may be.
. "$(dirname "$0")/dev.sh"
start
openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "$dir/a.key" -subj /CN=line -outform DER 2>/dev/null | base64 >"$dir/a.b64"
code() { # name:password: the status
    curl -sS --cacert "$SEALMILL_CA_FILE" -u "$1" -H 'Content-Type: application/pkcs10' --data-binary "@$dir/a.b64" "$SEALMILL_EST_URL/simpleenroll" -o "$dir/body" -w '%{http_code}'
}
create() { admin "$SEALMILL_URL/v1/otps" -d "$1"; }
names() { python3 -c 'import json, sys; print(json.dumps({"entityIds": [sys.argv[1]] * int(sys.argv[2]), "validitySeconds": int(sys.argv[3])}))' "$@"; }
passwords() { python3 -c 'import json, sys; [print(o["password"]) for o in json.load(sys.stdin)["otps"]]'; }
count() { admin "$SEALMILL_URL/v1/otps?entityId=$1&pageSize=1000" | grep -o '"id"' | wc -l; }

# Revoked ones hide none that is good.
create "$(names line 60 600)" >/dev/null
admin "$SEALMILL_URL/v1/otps?entityId=line&pageSize=1000" | python3 -c 'import json, sys; [print(o["id"]) for o in json.load(sys.stdin)["otps"]]' >"$dir/ids"
while read -r id; do admin -X DELETE "$SEALMILL_URL/v1/otps/$id" >/dev/null; done <"$dir/ids"
create "$(names line 64 600)" | passwords >"$dir/passwords"
check [ "$(wc -l <"$dir/passwords")" = 64 ]
while read -r password; do
    got=$(code "line:$password")
    check [ "$got" = 200 ]
done <"$dir/passwords"
# What could not be found is not made, alone or with others.
contains "$(create "$(names line 1 600)")" "may have 64"
contains "$(create '{"entityIds":["other","line"]}')" "may have 64"
contains "$(create "$(names many 65 600)")" "would have 65"
check [ "$(count many)" = 0 ]
check [ "$(count other)" = 0 ]

# Those that have expired go when there are new ones.
create "$(names short 64 1)" >/dev/null
check [ "$(count short)" = 64 ]
sleep 2
password=$(create "$(names short 1 600)" | passwords)
check [ "$(count short)" = 1 ]
check [ "$(code "short:$password")" = 200 ]

stop
echo "$checks checks passed"
