#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""A token for HTTP Negotiate in base64, of the tickets in KRB5CCNAME: what curl cannot be told to send.

est_gss.py SERVICE [--mech krb5] [--bind HEX]    SERVICE as HTTP@localhost; HEX is tls-server-end-point
est_gss.py --offer                               SPNEGO that offers Kerberos and has no token of it yet
"""
import argparse
import base64
import ctypes
import ctypes.util

Word = ctypes.c_uint32


class Buffer(ctypes.Structure):
    _fields_ = [("length", ctypes.c_size_t), ("value", ctypes.c_char_p)]


class Answer(ctypes.Structure):
    _fields_ = [("length", ctypes.c_size_t), ("value", ctypes.c_void_p)]


class Oid(ctypes.Structure):
    _fields_ = [("length", Word), ("elements", ctypes.c_char_p)]


class Bindings(ctypes.Structure):
    _fields_ = [("initiator_type", Word), ("initiator", Buffer), ("acceptor_type", Word), ("acceptor", Buffer), ("data", Buffer)]


KRB5 = b"\x2a\x86\x48\x86\xf7\x12\x01\x02\x02"
SPNEGO = b"\x2b\x06\x01\x05\x05\x02"
HOSTBASED = b"\x2a\x86\x48\x86\xf7\x12\x01\x02\x01\x04"


def oid(octets):
    return Oid(len(octets), octets)


def make(service, mech, binding):
    gss = ctypes.CDLL(ctypes.util.find_library("gssapi_krb5") or "libgssapi_krb5.so.2")
    minor, name, context, answer = Word(), ctypes.c_void_p(), ctypes.c_void_p(), Answer()
    major = gss.gss_import_name(ctypes.byref(minor), ctypes.byref(Buffer(len(service), service)), ctypes.byref(oid(HOSTBASED)),
                                ctypes.byref(name))
    if major:
        raise SystemExit("gss_import_name: %x, %x" % (major, minor.value))
    data = b"tls-server-end-point:" + binding if binding else b""
    bindings = Bindings(0, Buffer(0, None), 0, Buffer(0, None), Buffer(len(data), data))
    major = gss.gss_init_sec_context(ctypes.byref(minor), None, ctypes.byref(context), name, ctypes.byref(oid(mech)), Word(2), Word(0),
                                     ctypes.byref(bindings) if binding else None, None, None, ctypes.byref(answer), None, None)
    if major & 0xffff0000:
        raise SystemExit("gss_init_sec_context: %x, %x" % (major & 0xffffffff, minor.value))
    return ctypes.string_at(answer.value, answer.length)


def der(tag, content):
    assert len(content) < 128
    return bytes([tag, len(content)]) + content


def offer():
    """RFC 4178 4.2.1: a NegTokenInit of mechTypes alone."""
    mechs = der(0xa0, der(0x30, der(6, KRB5)))
    return der(0x60, der(6, SPNEGO) + der(0xa0, der(0x30, mechs)))


args = argparse.ArgumentParser()
args.add_argument("service", nargs="?", type=str.encode)
args.add_argument("--mech", choices=["spnego", "krb5"], default="spnego")
args.add_argument("--bind", type=bytes.fromhex)
args.add_argument("--offer", action="store_true")
args = args.parse_args()
token = offer() if args.offer else make(args.service, KRB5 if args.mech == "krb5" else SPNEGO, args.bind)
print(base64.b64encode(token).decode())
