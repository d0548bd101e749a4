#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# What EST's answers look like on the wire: see est_raw.py. One of each status code.
. "$(dirname "$0")/est_labels.sh"
start_with_labels '
    - name: asked
      ca: issuing
      profile: device
      authentication: [certificate, otp, token]
      include_chain: true
      approval: {queue: 1}
    - name: silent
      ca: issuing
      profile: device
      authentication: [certificate]
      no_attributes: true
'
request one /CN=one
request two /CN=two
echo nonsense >"$dir/none"
head -c 200000 /dev/zero >"$dir/large"
for _ in 1 2 3 4 5; do "${tls[@]}" -o /dev/null -u locked:guess $(post simpleenroll one.b64); done
cat >"$dir/cases" <<LIST
200 GET cacerts
200 GET csrattrs
204 GET silent/csrattrs
200 POST simpleenroll ra $dir/one.b64
200 POST simpleenroll $(otp one) $dir/one.b64
202 POST asked/simpleenroll ra $dir/one.b64
503 POST asked/simpleenroll ra $dir/two.b64
400 POST simpleenroll ra $dir/none
401 POST asked/simpleenroll - $dir/one.b64
401 POST simpleenroll one:guess $dir/one.b64
403 POST simplereenroll - $dir/one.b64
404 GET none/cacerts
404 GET nothing
405 DELETE cacerts
413 POST simpleenroll ra $dir/large
429 POST simpleenroll locked:guess $dir/one.b64
501 POST fullcmc - $dir/one.b64
LIST
check [ "$(python3 "$(dirname "$0")/est_raw.py" 127.0.0.1 $((base + 1)) "$SEALMILL_CA_FILE" "$SEALMILL_CERT" "$SEALMILL_KEY" <"$dir/cases")" = "17 answers" ]
stop
echo "$checks checks"
