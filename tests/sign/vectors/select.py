#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Makes the files here from Wycheproof's testvectors_v1: select.py FROM [TO]. With TO everything goes there
(for SM_VECTORS); without it a selection comes here, of every kind of test, as many as a file has room for."""

import base64
import json
import os
import sys

ROOM = {  # octets: 400 KiB in all
    "ecdsa_secp256r1_sha256": 25000,
    "ecdsa_secp384r1_sha384": 25000,
    "ecdsa_secp521r1_sha512": 25000,
    "ed25519": 15000,
    "ed448": 12000,
    "mldsa_44_verify": 54000,
    "mldsa_65_verify": 75000,
    "mldsa_87_verify": 106000,
    "rsa_pss_2048_sha256_mgf1_32": 15000,
    "rsa_signature_2048_sha256": 17000,
    "rsa_signature_3072_sha256": 17000,
    "rsa_signature_4096_sha256": 17000,
}


def text(digits):
    return base64.b64encode(bytes.fromhex(digits)).decode() or "-"


def read(path):
    """All tests as (kind, key's line, test's line, number); X.509 signs with an empty context (RFC 9881 3)."""
    tests = []
    with open(path) as f:
        groups = json.load(f)["testGroups"]
    for group in groups:
        key = f"key {text(group['publicKeyDer'])}\n"
        for t in group["tests"]:
            if not t.get("ctx"):
                line = f"{t['tcId']} {t['result']} {text(t['msg'])} {text(t['sig'])}\n"
                tests.append(((t["result"], *sorted(t["flags"])), key, line, t["tcId"]))
    return tests


def select(tests, room):
    """Kinds take turns, a valid one first, then those that must fail; each gives what costs least and still fits."""
    kinds = {}
    for t in tests:
        kinds.setdefault(t[0], []).append(t)
    chosen, keys = [], set()

    def cost(t):
        return len(t[2]) + (0 if t[1] in keys else len(t[1])), t[3]

    turns = sorted(kinds.values(), key=lambda k: (k[0][0][0] == "valid", min(map(cost, k))))
    turns.insert(0, turns.pop(next(i for i, k in enumerate(turns) if k[0][0][0] == "valid")))
    while any(turns):
        for kind in filter(None, turns):
            t = min(kind, key=cost)
            if cost(t)[0] > room:
                kind.clear()
                continue
            room -= cost(t)[0]
            keys.add(t[1])
            chosen.append(t)
            kind.remove(t)
    return sorted(chosen, key=lambda t: t[3])


def write(path, name, tests):
    by_key = {}
    for _, key, line, _ in tests:
        by_key.setdefault(key, []).append(line)
    with open(path, "w") as f:
        f.write(f"# {name}_test.json of Wycheproof's testvectors_v1; see README.md\n")
        for key, lines in by_key.items():
            f.write(key + "".join(lines))


def main():
    here = os.path.dirname(os.path.abspath(__file__))
    whole = len(sys.argv) > 2
    for name, room in ROOM.items():
        tests = read(os.path.join(sys.argv[1], f"{name}_test.json"))
        out = sys.argv[2] if whole else here
        write(os.path.join(out, f"{name}.txt"), name, tests if whole else select(tests, room))


main()
