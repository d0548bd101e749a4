#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""EST's answers as small clients meet them, octet by octet: few header fields, a short head, names in canonical case, and head and
body in one TLS record where they fit. TLS 1.2, since there a record's type is in the clear.

est_raw.py HOST PORT CA-FILE CERT KEY, and on standard input: STATUS METHOD PATH [CREDENTIALS] [FILE] a line ("-" for none)"""
import base64, re, socket, ssl, sys

FIELDS_MAX = 16
HEAD_MAX = 1000
RECORD_MAX = 16384
APPLICATION_DATA = 23


class Peer:
    """A TLS 1.2 client over memory, which sees the records that come."""

    def __init__(self, host, port, ca, cert=None, key=None):
        context = ssl.create_default_context(cafile=ca)
        context.check_hostname = False
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        if cert:
            context.load_cert_chain(cert, key)
        self.socket = socket.create_connection((host, port))
        self.inside, self.outside = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self.inside, self.outside)
        self.waiting = b""
        self.step(self.tls.do_handshake)

    def record(self):
        """The next whole record's octets, or None at the end."""
        while len(self.waiting) < 5 or len(self.waiting) < 5 + int.from_bytes(self.waiting[3:5], "big"):
            part = self.socket.recv(65536)
            if not part:
                return None
            self.waiting += part
        end = 5 + int.from_bytes(self.waiting[3:5], "big")
        record, self.waiting = self.waiting[:end], self.waiting[end:]
        return record

    def step(self, what):
        while True:
            try:
                result = what()
                self.socket.sendall(self.outside.read())
                return result
            except ssl.SSLWantReadError:
                self.socket.sendall(self.outside.read())
                self.inside.write(self.record())

    def ask(self, request):
        """The plain text of each application data record that answers."""
        self.step(lambda: self.tls.write(request))
        records = []
        while record := self.record():
            self.inside.write(record)
            if record[0] != APPLICATION_DATA:
                break
            records.append(self.tls.read(RECORD_MAX))
        self.socket.close()
        return records


def request(method, path, credentials, body):
    lines = [f"{method} /.well-known/est/{path} HTTP/1.1", "Host: est.example", "Connection: close"]
    if credentials != "-":
        lines.append("Authorization: Basic " + base64.b64encode(credentials.encode()).decode())
    if body is not None:
        lines += ["Content-Type: application/pkcs10", f"Content-Length: {len(body)}"]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + (body or b"")


def check(records, status):
    answer = b"".join(records)
    head, _, body = answer.partition(b"\r\n\r\n")
    first, *fields = head.decode().split("\r\n")
    assert first.split(" ")[:2] == ["HTTP/1.1", status], first + " " + body[:200].decode()
    names = [f.split(":")[0] for f in fields]
    assert len(names) <= FIELDS_MAX, names
    assert len(head) + 4 <= HEAD_MAX, len(head)
    assert all(re.fullmatch(r"[A-Z][a-z0-9]*(-[A-Z][a-z0-9]*)*", n) for n in names), names
    values = dict(f.split(": ", 1) for f in fields)
    assert int(values.get("Content-Length", 0)) == len(body), values
    assert len(answer) > RECORD_MAX or len(records) == 1, [len(r) for r in records]
    return values


def main():
    host, port, ca, cert, key = sys.argv[1:6]
    count = 0
    for line in sys.stdin:
        status, method, path, credentials, name = (line.split() + ["-", "-"])[:5]
        body = None if name == "-" else open(name, "rb").read()
        own = (cert, key) if credentials == "ra" else ()
        peer = Peer(host, int(port), ca, *own)
        values = check(peer.ask(request(method, path, "-" if own else credentials, body)), status)
        assert status not in ("202", "429", "503") or int(values["Retry-After"]) > 0, values
        count += 1
    print(count, "answers")


if __name__ == "__main__":
    main()
