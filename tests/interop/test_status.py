#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""StatusService by Debian's python3-grpcio, its answers read by python3-cryptography and openssl; and `sealmill status`."""
import os
import subprocess
import sys
import tempfile
import time
import urllib.request

try:
    import grpc
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.x509 import ocsp
except ImportError as error:
    print("skipped: %s" % error)
    sys.exit(77)

root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
folder = tempfile.mkdtemp(prefix="sealmill-status.")
base = 28000 + os.getpid() * 10 % 1000  # below the ports that the kernel gives to clients
stubs = os.path.join(folder, "stubs")
os.mkdir(stubs)
subprocess.run(["protoc", "-I" + os.path.join(root, "proto"), "--python_out=" + stubs, "sealmill/v1/common.proto",
                "sealmill/v1/certificate.proto", "sealmill/v1/status.proto"], check=True)
sys.path.insert(0, stubs)
from sealmill.v1 import status_pb2 as st  # noqa: E402

checks = 0
program = os.environ["SEALMILL"]


def check(condition, what):
    global checks
    checks += 1
    if not condition:
        raise SystemExit("FAILED: " + what)


def run(*words, code=0):
    done = subprocess.run(words, capture_output=True, text=True)
    if done.returncode != code:
        raise SystemExit("FAILED: %s: %d\n%s%s" % (words, done.returncode, done.stdout, done.stderr))
    return done.stdout


def sealmill(*words, code=0):
    return run(program, *words, "--dir", folder + "/ca", code=code)


def issue(name):
    run("openssl", "req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", folder + "/key",
        "-subj", "/CN=" + name, "-out", folder + "/csr")
    sealmill("issue", "--profile", "device", "--csr", folder + "/csr", "--out", "%s/%s.pem" % (folder, name))
    with open("%s/%s.pem" % (folder, name), "rb") as file:
        return x509.load_pem_x509_certificate(file.read())


log = open(os.path.join(folder, "log"), "w")
server = subprocess.Popen([program, "dev", "--dir", os.path.join(folder, "ca"), "--port-base", str(base)], stdout=log, stderr=log)
try:
    for _ in range(300):
        try:
            urllib.request.urlopen("http://127.0.0.1:%d/readyz" % (base + 3))
            break
        except OSError:
            time.sleep(0.1)
    pki = os.path.join(folder, "ca", "pki")
    read = lambda name: open(os.path.join(pki, name), "rb").read()  # noqa: E731
    credentials = grpc.ssl_channel_credentials(read("root.pem"), read("ra.key"), read("ra.pem"))
    channel = grpc.secure_channel("127.0.0.1:%d" % base, credentials)
    issuer = x509.load_pem_x509_certificate(read("issuing.pem"))
    good, bad = issue("good"), issue("bad")
    sealmill("revoke", "%x" % bad.serial_number, "--reason", "key-compromise")

    unary = channel.unary_unary("/sealmill.v1.StatusService/Check", request_serializer=lambda m: m.SerializeToString(),
                                response_deserializer=st.CheckStatusResponse.FromString)
    for cert, status, theirs in ((good, st.CERTIFICATE_STATUS_GOOD, ocsp.OCSPCertStatus.GOOD),
                                 (bad, st.CERTIFICATE_STATUS_REVOKED, ocsp.OCSPCertStatus.REVOKED)):
        answer = unary(st.CheckStatusRequest(certificate=cert.public_bytes(serialization.Encoding.DER)))
        response = ocsp.load_der_ocsp_response(answer.response)
        check(answer.status == status and response.certificate_status == theirs, "the status in and around the response")
        check(response.serial_number == cert.serial_number, "the certificate that was meant")
        check(answer.next_update.seconds == response.next_update.timestamp() or
              answer.next_update.ToDatetime() == response.next_update, "nextUpdate")
    request = ocsp.OCSPRequestBuilder().add_certificate(bad, issuer, hashes.SHA256()).build()
    answer = unary(st.CheckStatusRequest(request=request.public_bytes(serialization.Encoding.DER)))
    check(answer.status == st.CERTIFICATE_STATUS_REVOKED and answer.ca == "issuing", "a whole request")
    check(isinstance(ocsp.load_der_ocsp_response(answer.response).hash_algorithm, hashes.SHA256), "the hash that was asked with")

    stream = channel.stream_stream("/sealmill.v1.StatusService/CheckStream", request_serializer=lambda m: m.SerializeToString(),
                                   response_deserializer=st.CheckStatusStreamResponse.FromString)
    count = 3000
    questions = (st.CheckStatusStreamRequest(id=i, request=st.CheckStatusRequest(serial="%x" % (bad if i % 3 else good).serial_number))
                 for i in range(count))
    said = {}
    for item in stream(questions):
        check(item.id not in said, "each question once")
        said[item.id] = item.response.status
    check(len(said) == count and all(s == (st.CERTIFICATE_STATUS_REVOKED if i % 3 else st.CERTIFICATE_STATUS_GOOD) for i, s in said.items()),
          "every question of the stream")

    # the command
    text = sealmill("status", folder + "/good.pem", "%x" % good.serial_number, "--out", folder + "/none", code=2)
    text = sealmill("status", folder + "/good.pem", "%x" % good.serial_number)
    check(text.count(" good ") == 2 and text.count("issuing") == 2, "two good ones: " + text)
    text = sealmill("status", folder + "/bad.pem", "--sha256", "--out", folder + "/bad.ocsp", code=1)
    check("revoked" in text and "key-compromise" in text, "a revoked one: " + text)
    text = run("openssl", "ocsp", "-respin", folder + "/bad.ocsp", "-issuer", pki + "/issuing.pem", "-sha256", "-cert", folder + "/bad.pem",
               "-CAfile", pki + "/root.pem")
    check("revoked" in text, "what --out wrote: " + text)
    check('"CERTIFICATE_STATUS_UNKNOWN"' in sealmill("status", "4242", "--ca", "issuing", "--json", code=1), "JSON")
    sealmill("status", "4242", code=1)
    sealmill("status", folder + "/log", code=1)
    sealmill("status", code=2)
    server.terminate()
    check(server.wait(timeout=40) == 0, "a clean end")
finally:
    server.kill()
    server.wait()
    log.close()
    output = open(os.path.join(folder, "log")).read()
    if "ERROR: " in output or "runtime error" in output:
        print(output[-4000:])
        raise SystemExit("FAILED: the server's sanitizers complain")
    subprocess.run(["rm", "-rf", folder])
print("%d checks passed" % checks)
