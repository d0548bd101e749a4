#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Issues over IssueStream until the server is gone. Writes each answered serial at once: to standard output, one a line.

Usage: stream_client.py PROTO_DIR STUBS_DIR PKI_DIR ADDRESS CSR_FILE IN_FLIGHT
"""
import os
import queue
import subprocess
import sys

import google
import google.protobuf
import grpc

protos, stubs, pki, address, csr_file, in_flight = sys.argv[1:]
if not os.path.isdir(stubs):
    os.mkdir(stubs)
    subprocess.run(["protoc", "-I" + protos, "--python_out=" + stubs, "sealmill/v1/common.proto", "sealmill/v1/certificate.proto"],
                   check=True)
sys.path.insert(0, stubs)
from sealmill.v1 import certificate_pb2 as cert


def read(name):
    with open(os.path.join(pki, name), "rb") as file:
        return file.read()


with open(csr_file, "rb") as file:
    csr = file.read()
channel = grpc.secure_channel(address, grpc.ssl_channel_credentials(read("root.pem"), read("ra.key"), read("ra.pem")))
turns = queue.Queue()  # one entry: one more request may be sent
for number in range(int(in_flight)):
    turns.put(number)


def requests():
    while True:
        yield cert.IssueStreamRequest(id=turns.get(), request=cert.IssueRequest(profile="device", csr=csr))


stream = channel.stream_stream("/sealmill.v1.CertificateService/IssueStream",
                               request_serializer=lambda m: m.SerializeToString(),
                               response_deserializer=cert.IssueStreamResponse.FromString)
try:
    for answer in stream(requests()):
        if not answer.HasField("response"):
            sys.exit("refused: " + answer.error.message)
        os.write(1, (answer.response.serial + "\n").encode())
        turns.put(answer.id)
except grpc.RpcError as error:
    if error.code() != grpc.StatusCode.UNAVAILABLE:
        sys.exit("%s: %s" % (error.code(), error.details()))
os._exit(0)  # the thread that feeds the stream waits for ever
