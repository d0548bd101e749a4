/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A blocking gRPC client for the commands.
 *
 * Threads:   main.
 * Limits:    answers of CLIENT_ANSWER_MAX octets.
 * Security:  verifies the server against --ca-file (a dev instance: its root).
 * Standards: gRPC over HTTP/2.
 */
#pragma once

#include "base/arena.h"
#include "base/check.h"
#include "io/http_client.h"
#include "tools/cli.h"

#include <protobuf-c/protobuf-c.h>

#define CLIENT_ANSWER_MAX (64U << 20)

/* The options that every client command takes. */
#define CLIENT_OPTIONS                                                                   \
    {"dir", "DIR", "A dev instance: addresses and identity come from it"},               \
        {"server", "ADDRESS", "Such as 127.0.0.1:9000"},                                 \
        {"ca-file", "FILE", "PEM with the CAs that the server's certificate chains to"}, \
        {"cert", "FILE", "Client certificate, PEM"}, {"key", "FILE", "Its key, PEM"},    \
        {"token-file", "FILE", "Bearer token instead of a client certificate"},          \
    {                                                                                    \
        "json", NULL, "Print JSON"                                                       \
    }

struct client_target {
    char server[128];
    char ca_file[4096];
    char cert[4096];
    char key[4096];
    char token[256];
};

/* From the options; `admin`: the dev instance's admin identity instead of ra. Exits 2 when
 * something is missing. */
void client_target_from(const struct cli_args *args, bool admin, struct client_target *out);
/* Makes the TLS client. */
SM_FALLIBLE client_open_tls(const struct client_target *target, sm_tls_client **out, sm_diag *diag);

/* One unary call: connects, calls, closes. The answer lives in `arena`. */
SM_FALLIBLE client_call(const struct client_target *target, const char *path,
                        const ProtobufCMessage *request, const ProtobufCMessageDescriptor *type,
                        sm_arena *arena, ProtobufCMessage **out, sm_diag *diag);

/* Prints a message as JSON on standard output. Errors: NO_MEMORY, TOO_LARGE. */
SM_FALLIBLE client_print_json(const ProtobufCMessage *message);

/* The error of a call that ended with `err` and no status; `answered`: there were headers. */
sm_err client_no_status(const struct client_target *target, bool answered, sm_err err,
                        sm_diag *diag);
/* The error of a connection that did not come about. */
sm_err client_no_connection(const struct client_target *target, sm_err err, const sm_diag *why,
                            sm_diag *diag);

/* The error that grpc-status and grpc-message say. */
sm_err client_status(const sm_http_header *trailers, size_t count, sm_diag *diag);
