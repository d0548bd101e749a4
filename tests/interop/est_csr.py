#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Requests with attributes that openssl req does not write: prints one in base64, signed by openssl with the key given.

est_csr.py KEY SUBJECT [--san DNS-NAME] [--change-subject SUBJECT] [--change-san DNS-NAME] [--untagged] [--twice]
           [--challenge TEXT] [--linking TEXT] [--decrypt-key HEX] [--asymmetric-decrypt-key HEX] [--capability OID ...]
A subject is written in the order of its DER: O=Acme,CN=dev7."""
import argparse, base64, subprocess, sys


def tlv(tag, *parts):
    body = b"".join(parts)
    n = len(body)
    length = bytes([n]) if n < 128 else bytes([0x80 | (n.bit_length() + 7) // 8]) + n.to_bytes((n.bit_length() + 7) // 8, "big")
    return bytes([tag]) + length + body


def oid(text):
    arcs = [int(a) for a in text.split(".")]
    out = bytes([arcs[0] * 40 + arcs[1]])
    for arc in arcs[2:]:
        group = [arc & 127]
        while arc > 127:
            arc >>= 7
            group.insert(0, 128 | arc & 127)
        out += bytes(group)
    return tlv(0x06, out)


def name(text):
    types = {"CN": "2.5.4.3", "O": "2.5.4.10", "OU": "2.5.4.11"}
    parts = [p.split("=", 1) for p in text.split(",") if p]
    return tlv(0x30, *[tlv(0x31, tlv(0x30, oid(types[t]), tlv(0x0C, v.encode()))) for t, v in parts])


def general_names(host):
    return tlv(0x82, host.encode())


def attribute(kind, value):
    return tlv(0x30, oid(kind), tlv(0x31, value))


def change(subject, host, untagged):
    parts = [name(subject)] if subject is not None else []
    if host is not None:
        parts.append(tlv(0x30 if untagged else 0xA1, general_names(host)))
    return attribute("1.3.6.1.5.5.7.7.36", tlv(0x30, *parts))


def request(key, subject, attributes):
    spki = subprocess.run(["openssl", "pkey", "-in", key, "-pubout", "-outform", "DER"], check=True, capture_output=True).stdout
    info = tlv(0x30, tlv(0x02, b"\0"), name(subject), spki, tlv(0xA0, *attributes))
    signature = subprocess.run(["openssl", "dgst", "-sha256", "-sign", key], input=info, check=True, capture_output=True).stdout
    return tlv(0x30, info, tlv(0x30, oid("1.2.840.10045.4.3.2")), tlv(0x03, b"\0", signature))


def attributes_of(san=None, change_subject=None, change_san=None, untagged=False, twice=False, challenge=None, linking=None, decrypt_key=None,
                  asymmetric_decrypt_key=None, capability=()):
    out = []
    if san is not None:
        extension = tlv(0x30, oid("2.5.29.17"), tlv(0x04, tlv(0x30, general_names(san))))
        out.append(attribute("1.2.840.113549.1.9.14", tlv(0x30, extension)))
    if change_subject is not None or change_san is not None:
        out += [change(change_subject, change_san, untagged)] * (2 if twice else 1)
    if challenge is not None:
        out.append(attribute("1.2.840.113549.1.9.7", tlv(0x0C, challenge.encode())))
    if linking is not None:
        out.append(attribute("1.2.840.113549.1.9.16.2.58", tlv(0x0C, linking.encode())))
    if decrypt_key is not None:
        out.append(attribute("1.2.840.113549.1.9.16.2.37", tlv(0x04, bytes.fromhex(decrypt_key))))
    if asymmetric_decrypt_key is not None:
        out.append(attribute("1.2.840.113549.1.9.16.2.54", tlv(0x04, bytes.fromhex(asymmetric_decrypt_key))))
    if capability:
        out.append(attribute("1.2.840.113549.1.9.15", tlv(0x30, *[tlv(0x30, oid(c)) for c in capability])))
    return out


def main():
    p = argparse.ArgumentParser()
    p.add_argument("key")
    p.add_argument("subject")
    for option in ("--san", "--change-subject", "--change-san", "--challenge", "--linking", "--decrypt-key",
                   "--asymmetric-decrypt-key"):
        p.add_argument(option)
    p.add_argument("--untagged", action="store_true")
    p.add_argument("--twice", action="store_true")
    p.add_argument("--capability", action="append", default=[])
    a = vars(p.parse_args())
    key, subject = a.pop("key"), a.pop("subject")
    sys.stdout.write(base64.b64encode(request(key, subject, attributes_of(**a))).decode())


if __name__ == "__main__":
    main()
