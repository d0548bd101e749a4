#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Enrols over one connection with its channel binding in the request: TLS 1.2 by the ssl module (tls-unique), TLS 1.3 by openssl
s_client (tls-exporter). Prints the status code and the answer's body. What it writes into the request can be made wrong on purpose.

est_bound.py HOST PORT CA-FILE KEY SUBJECT NAME:PASSWORD LABEL --tls 1.2|1.3 --in challenge|linking|none [--resume] [--wrong]
             [--save FILE]"""
import argparse, base64, os, socket, ssl, subprocess, sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import est_csr


def message(a, binding):
    """The HTTP request, with the binding in it."""
    text = base64.b64encode(binding if not a.wrong else bytes(len(binding))).decode()
    attributes = est_csr.attributes_of(**({} if a.place == "none" else {a.place: text}))
    body = base64.b64encode(est_csr.request(a.key, a.subject, attributes))
    if a.save:
        with open(a.save, "wb") as f:
            f.write(body)
    head = (f"POST /.well-known/est/{a.label}/simpleenroll HTTP/1.1\r\nHost: {a.host}\r\n"
            f"Authorization: Basic {base64.b64encode(a.credentials.encode()).decode()}\r\n"
            f"Content-Type: application/pkcs10\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n")
    return head.encode() + body


def show(answer):
    head, _, body = answer.partition(b"\r\n\r\n")
    print(head.split(b" ")[1].decode(), body.decode().strip())


def read_all(read):
    answer = b""
    while part := read(65536):
        answer += part
    return answer


def by_ssl(a):
    context = ssl.create_default_context(cafile=a.ca)
    context.check_hostname = False
    context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_2
    session = None
    if a.resume:
        with context.wrap_socket(socket.create_connection((a.host, a.port))) as first:
            session = first.session
    with context.wrap_socket(socket.create_connection((a.host, a.port)), session=session) as s:
        assert s.version() == "TLSv1.2" and s.session_reused == a.resume, (s.version(), s.session_reused)
        s.sendall(message(a, s.get_channel_binding("tls-unique")))
        show(read_all(s.recv))


def by_s_client(a):
    command = ["openssl", "s_client", "-connect", f"{a.host}:{a.port}", "-CAfile", a.ca, "-tls1_3", "-ign_eof",
               "-keymatexport", "EXPORTER-Channel-Binding", "-keymatexportlen", "32"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as p:
        while line := p.stdout.readline():
            if b"Keying material: " in line:
                p.stdin.write(message(a, bytes.fromhex(line.split(b": ")[1].strip().decode())))
                p.stdin.flush()
                break
        rest = read_all(p.stdout.read1)
        p.stdin.close()
    show(rest[rest.index(b"HTTP/1.1 "):].split(b"closed\n")[0])


def main():
    p = argparse.ArgumentParser()
    for word in ("host", "port", "ca", "key", "subject", "credentials", "label"):
        p.add_argument(word, type=int if word == "port" else str)
    p.add_argument("--tls", choices=("1.2", "1.3"), required=True)
    p.add_argument("--in", dest="place", choices=("challenge", "linking", "none"), required=True)
    p.add_argument("--resume", action="store_true")
    p.add_argument("--wrong", action="store_true")
    p.add_argument("--save")
    a = p.parse_args()
    (by_ssl if a.tls == "1.2" else by_s_client)(a)


if __name__ == "__main__":
    main()
