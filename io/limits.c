/* SPDX-License-Identifier: Apache-2.0 */
#include "io/http.h"

void sm_http_limits_default(struct sm_http_limits *limits)
{
    *limits = (struct sm_http_limits){
        .connections = 20000,            /* 10,000 devices twice over */
        .connections_per_address = 1000, /* a fleet behind one NAT; one host that misbehaves */
        .streams = 256,                  /* a gRPC client's usual ceiling is 100 */
        .header_bytes = 32768,         /* a client certificate in a header fits; a bomb does not */
        .body_bytes = 8U << 20,        /* twice a gRPC message */
        .handshake_timeout_ms = 10000, /* slow links, slow device CPUs */
        .idle_timeout_ms = 300000,     /* gRPC clients keep connections open between calls */
        .request_timeout_ms = 30000,   /* header section and body */
        .write_timeout_ms = 30000,     /* a peer that reads nothing */
        .drain_timeout_ms = 20000,     /* under systemd's 90 s */
        .minimum_rate = 0,
        .stream_window = 256U << 10,   /* 16 full TLS records */
        .connection_window = 4U << 20, /* several streams at full speed */
    };
}
