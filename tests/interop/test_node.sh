#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# @grpc/grpc-js against the real server. Its packages are pinned in node/package-lock.json and installed in a folder that goes away.
for tool in node npm; do
    command -v $tool >/dev/null || { echo "skipped: $tool is not installed"; exit 77; }
done
. "$(dirname "$0")/dev.sh"
here=$(cd "$(dirname "$0")" && pwd)
mkdir "$dir/node"
cp "$here"/node/package*.json "$here"/node/client.js "$dir/node/"
if ! (cd "$dir/node" && timeout 60 npm ci --ignore-scripts --no-audit --no-fund --fetch-retries=0 --fetch-timeout=20000) >"$dir/npm" 2>&1; then
    echo "skipped: npm cannot fetch its packages: $(grep -m1 -i 'npm err' "$dir/npm" || echo 'no answer in time')"
    exit 77
fi
start
csr node ec -pkeyopt ec_paramgen_curve:P-256
openssl req -in "$dir/node.csr" -outform DER -out "$dir/node.der"
PROTO=$here/../../proto PKI=$dir/ca/pki API=127.0.0.1:$base CSR=$dir/node.der timeout 60 node "$dir/node/client.js" || fail "the Node.js client"
stop
