#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# zlint (https://github.com/zmap/zlint) finds no error in a certificate of any kind.
zlint=$(command -v zlint || true)
[ -n "$zlint" ] || { echo "skipped: zlint is not installed"; exit 77; }
. "$(dirname "$0")/dev.sh"
. "$(dirname "$0")/kinds.sh"
start
make_kinds
# The standards' rules. Those of the CA/Browser Forum are for public CAs: what they say of a server's certificate is shown.
known=$("$zlint" -list-lints-source)
sources=
for source in RFC3279 RFC5280 RFC5480 RFC5891 RFC6960 RFC6962 RFC8813 Community; do
    ! grep -qw "$source" <<<"$known" || sources+=${sources:+,}$source
done
check [ -n "$sources" ]
for pem in "$dir"/kinds/*.pem; do
    "$zlint" -includeSources "$sources" "$pem" >"$dir/lints" 2>"$dir/out" || fail "zlint does not read $pem: $(cat "$dir/out")"
    /usr/bin/python3 - "$dir/lints" "${pem##*/}" <<'PY' || fail "${pem##*/}"
import json, sys
lints = json.loads(open(sys.argv[1]).readline())
bad = {name: l for name, l in lints.items() if isinstance(l, dict) and l.get("result") in ("error", "fatal")}
for name, l in sorted(lints.items()):
    if isinstance(l, dict) and l.get("result") == "warn":
        print("%s: warning %s %s" % (sys.argv[2], name, l.get("details", "")))
if not any(isinstance(l, dict) and l.get("result") == "pass" for l in lints.values()):
    sys.exit("no lint ran: " + str(lints)[:300])
if bad:
    sys.exit("\n".join("%s: %s %s" % (sys.argv[2], name, l.get("details", "")) for name, l in sorted(bad.items())))
PY
    checks=$((checks + 1))
done
if grep -qw CABF_BR <<<"$known"; then
    "$zlint" -includeSources CABF_BR "$dir/kinds/server.pem" | tr ',' '\n' | grep -B1 -E '"(error|fatal)"' || true
fi
stop
echo "$checks checks passed"
