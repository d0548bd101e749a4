#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Debian's python3-grpcio against the real server: unary, streams, health, reflection, deadlines, gzip, errors."""
import json
import os
import queue
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request

try:
    import grpc
except ImportError:
    print("skipped: python3-grpcio is not installed")
    sys.exit(77)

root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
folder = tempfile.mkdtemp(prefix="sealmill-python.")
base = 30000 + os.getpid() * 10 % 2000  # below the ports that the kernel gives to clients
stubs = os.path.join(folder, "stubs")
os.mkdir(stubs)
protos = [os.path.join(d, f) for d, _, files in os.walk(os.path.join(root, "proto")) for f in files if f.endswith(".proto")]
subprocess.run(["protoc", "-I" + os.path.join(root, "proto"), "--python_out=" + stubs] + protos, check=True)
# The stubs' "grpc" and "google" folders would hide the installed packages: their __path__ is extended instead.
import google
import google.protobuf
google.__path__.append(os.path.join(stubs, "google"))
grpc.__path__.append(os.path.join(stubs, "grpc"))
sys.path.insert(0, stubs)
from sealmill.v1 import certificate_pb2 as cert, ca_pb2 as ca
from grpc.health.v1 import health_pb2 as health
from grpc.reflection.v1alpha import reflection_pb2 as reflection
from google.rpc import status_pb2, error_details_pb2

checks = 0


def check(condition, what):
    global checks
    checks += 1
    if not condition:
        raise SystemExit("FAILED: " + what)


program = os.environ["SEALMILL"]
log = open(os.path.join(folder, "log"), "w")
server = subprocess.Popen([program, "dev", "--dir", os.path.join(folder, "ca"), "--port-base", str(base)],
                          stdout=log, stderr=log)
try:
    for _ in range(300):
        try:
            urllib.request.urlopen("http://127.0.0.1:%d/readyz" % (base + 3))
            break
        except OSError:
            time.sleep(0.1)
    pki = os.path.join(folder, "ca", "pki")
    read = lambda name: open(os.path.join(pki, name), "rb").read()
    credentials = grpc.ssl_channel_credentials(read("root.pem"), read("ra.key"), read("ra.pem"))
    channel = grpc.secure_channel("127.0.0.1:%d" % base, credentials)

    def unary(path, response, **options):
        return channel.unary_unary(path, request_serializer=lambda m: m.SerializeToString(),
                                   response_deserializer=response.FromString, **options)

    subprocess.run(["openssl", "req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout",
                    os.path.join(folder, "k"), "-subj", "/CN=python", "-outform", "DER", "-out", os.path.join(folder, "csr")],
                   check=True, stderr=subprocess.DEVNULL)
    csr = open(os.path.join(folder, "csr"), "rb").read()
    issue = unary("/sealmill.v1.CertificateService/Issue", cert.IssueResponse)
    answer, call = issue.with_call(cert.IssueRequest(profile="device", csr=csr))
    check(answer.certificate[:1] == b"\x30" and len(answer.chain) == 1, "a certificate and its chain")
    check(call.code() == grpc.StatusCode.OK, "the status")

    # gzip both ways
    answer = issue(cert.IssueRequest(profile="device", csr=csr, metadata={"note": "x" * 1000}), compression=grpc.Compression.Gzip)
    check(answer.serial != "", "a compressed request")

    # rich errors
    try:
        issue(cert.IssueRequest(profile="device", csr=b"rubbish"))
        check(False, "a bad CSR must fail")
    except grpc.RpcError as error:
        check(error.code() == grpc.StatusCode.INVALID_ARGUMENT, "the code of a bad CSR")
        check("csr" in error.details(), "the field is named")
        details = dict(error.trailing_metadata())["grpc-status-details-bin"]
        status = status_pb2.Status.FromString(details)
        bad = error_details_pb2.BadRequest()
        check(any(d.type_url.endswith("google.rpc.BadRequest") and bad.ParseFromString(d.value) is not None for d in status.details),
              "BadRequest among the details")
        check(bad.field_violations[0].field == "csr", "the violated field")

    def fails(code, path, request, **options):
        try:
            unary(path, cert.IssueResponse)(request, **options)
        except grpc.RpcError as error:
            check(error.code() == code, "%s: %s, not %s" % (path, code, error.code()))
            return error.details()
        raise SystemExit("FAILED: %s must say %s" % (path, code))

    check("admin" in fails(grpc.StatusCode.PERMISSION_DENIED, "/sealmill.v1.CaService/Create", ca.CreateCaRequest(name="x")),
          "a denied call names the role")
    fails(grpc.StatusCode.UNIMPLEMENTED, "/sealmill.v1.CertificateService/Nothing", cert.IssueRequest())
    fails(grpc.StatusCode.NOT_FOUND, "/sealmill.v1.CertificateService/Get", cert.GetCertificateRequest(serial="4242"))
    fails(grpc.StatusCode.RESOURCE_EXHAUSTED, "/sealmill.v1.CertificateService/Issue", cert.IssueRequest(csr=b"x" * (5 << 20)))

    # thousands in flight on one stream, answers matched by id
    count = 2000
    stream = channel.stream_stream("/sealmill.v1.CertificateService/IssueStream", request_serializer=lambda m: m.SerializeToString(),
                                   response_deserializer=cert.IssueStreamResponse.FromString)
    requests = (cert.IssueStreamRequest(id=i, request=cert.IssueRequest(profile="device", csr=csr if i % 10 else b"bad"))
                for i in range(count))
    good, bad, ids = 0, 0, set()
    for item in stream(requests):
        ids.add(item.id)
        good += item.HasField("response")
        bad += item.HasField("error") and item.error.code == 3
    check(len(ids) == count and good == count - count // 10 and bad == count // 10, "every request of the stream is answered once")

    # a server stream, cancelled by its deadline
    admin = grpc.secure_channel("127.0.0.1:%d" % base, grpc.ssl_channel_credentials(read("root.pem"), read("admin.key"), read("admin.pem")))
    watch = admin.unary_stream("/sealmill.v1.CertificateService/Watch", request_serializer=lambda m: m.SerializeToString(),
                               response_deserializer=cert.InventoryEvent.FromString)
    events = []
    try:
        for event in watch(cert.WatchRequest(cursor=0), timeout=5):
            events.append(event.cursor)
    except grpc.RpcError as error:
        check(error.code() == grpc.StatusCode.DEADLINE_EXCEEDED, "the deadline of a stream")
    check(len(events) >= count - count // 10 and events == sorted(set(events)), "events in order, each once")

    # a stream ends when its caller is no longer who it was when the stream began; what comes in between is answered
    def command(*words):
        return subprocess.run([program, *words, "--dir", folder + "/ca"], check=True, capture_output=True, text=True).stdout

    def ends(code, stub, begin, message, **options):
        feed = queue.Queue()
        answers = stub(iter(feed.get, None), **options)
        feed.put(message)
        check(next(answers).HasField("response"), "a stream's first answer")
        begin()
        feed.put(message)
        try:
            next(answers)
            check(False, "a stream goes on without its caller")
        except grpc.RpcError as error:
            check(error.code() == code, "%s, not %s" % (code, error.code()))
        feed.put(None)

    one = cert.IssueStreamRequest(id=1, request=cert.IssueRequest(profile="device", csr=csr))
    secret = command("token", "create", "--name", "ci", "--role", "ra", "--ca", "issuing", "--profile", "device").strip()
    token = json.loads(command("token", "list"))["tokens"][0]["id"]
    plain = grpc.secure_channel("127.0.0.1:%d" % base, grpc.ssl_channel_credentials(read("root.pem")))
    by_token = plain.stream_stream("/sealmill.v1.CertificateService/IssueStream", request_serializer=lambda m: m.SerializeToString(),
                                   response_deserializer=cert.IssueStreamResponse.FromString)
    ends(grpc.StatusCode.UNAUTHENTICATED, by_token, lambda: command("token", "revoke", token), one,
         metadata=[("authorization", "Bearer " + secret)])
    serial = subprocess.run(["openssl", "x509", "-in", folder + "/ca/pki/ra.pem", "-noout", "-serial"], check=True, capture_output=True,
                            text=True).stdout.strip().split("=")[1]
    hold = ["--cert", folder + "/ca/pki/admin.pem", "--key", folder + "/ca/pki/admin.key"]
    ends(grpc.StatusCode.UNAUTHENTICATED, stream, lambda: command("revoke", serial, "--reason", "certificate-hold", *hold), one)
    command("release", serial, *hold)

    # what is refused inside a stream is audited
    item = next(stream(iter([cert.IssueStreamRequest(id=1, request=cert.IssueRequest(ca="root", profile="device", csr=csr))])))
    check(item.error.code == grpc.StatusCode.PERMISSION_DENIED.value[0], "a CA without a right: %s" % item.error)
    refused, after = [], 0
    deadline = time.monotonic() + 20
    while not refused and time.monotonic() < deadline:  # the record is written behind the answer
        for record in json.loads(command("audit", "--after", str(after), "--limit", "1000")).get("records", []):
            after = int(record["sequence"])
            if record["action"].endswith("/IssueStream"):
                refused.append(record)
    check(refused and refused[-1]["outcome"] == "forbidden", "a refusal inside a stream in the audit: %s" % refused)

    # health, and reflection without files
    check(unary("/grpc.health.v1.Health/Check", health.HealthCheckResponse)(health.HealthCheckRequest()).status == 1, "serving")
    fails(grpc.StatusCode.NOT_FOUND, "/grpc.health.v1.Health/Check", health.HealthCheckRequest(service="none"))
    watching = channel.unary_stream("/grpc.health.v1.Health/Watch", request_serializer=lambda m: m.SerializeToString(),
                                    response_deserializer=health.HealthCheckResponse.FromString)(health.HealthCheckRequest())
    check(next(iter(watching)).status == 1, "the first state of a watch")
    watching.cancel()
    for version in ("v1", "v1alpha"):
        ask = channel.stream_stream("/grpc.reflection.%s.ServerReflection/ServerReflectionInfo" % version,
                                    request_serializer=lambda m: m.SerializeToString(),
                                    response_deserializer=reflection.ServerReflectionResponse.FromString)
        answers = list(ask(iter([reflection.ServerReflectionRequest(list_services="*"),
                                 reflection.ServerReflectionRequest(file_containing_symbol="sealmill.v1.CertificateService"),
                                 reflection.ServerReflectionRequest(file_containing_symbol="no.Such")])))
        services = [s.name for s in answers[0].list_services_response.service]
        check("sealmill.v1.CaService" in services, "services are listed")
        check(len(answers[1].file_descriptor_response.file_descriptor_proto) >= 2, "a file and what it imports")
        check(answers[2].error_response.error_code == 5, "an unknown symbol")

    # SIGTERM drains: a call that is under way is answered
    results = []
    worker = threading.Thread(target=lambda: results.append(issue(cert.IssueRequest(profile="device", csr=csr)).serial))
    worker.start()
    worker.join()
    server.terminate()
    check(server.wait(timeout=40) == 0, "a clean end")
    check(len(results) == 1, "the last answer")
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
