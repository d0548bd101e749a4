/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A blocking client of one bidirectional gRPC stream: messages go out, answers are handed to a function as they
 * come.
 *
 * Threads:   main.
 * Limits:    answers of CLIENT_STREAM_ANSWER_MAX octets each.
 * Security:  as client.h.
 * Standards: gRPC over HTTP/2.
 */
#pragma once

#include "tools/client.h"

#define CLIENT_STREAM_ANSWER_MAX (4U << 20)
#define CLIENT_STREAM_TIMEOUT_S 600 /* without any answer that is waited for */

struct client_stream_config {
    const struct client_target *target;
    const char *path;
    const ProtobufCMessageDescriptor *answer;
    void (*on_answer)(void *ctx, const ProtobufCMessage *answer); /* borrowed until return */
    void *ctx;
    sm_diag *diag;
};

typedef struct client_stream client_stream;

/* Connects and begins the call. Given. */
SM_FALLIBLE client_stream_open(const struct client_stream_config *config, client_stream **out);
/* Queues one message, whatever waits: the caller lets a few answers come in between. Errors: those that the server ended the stream with; CLOSED. */
SM_FALLIBLE client_stream_send(client_stream *s, const ProtobufCMessage *message);
/* Waits until so many answers have come since the beginning. Errors: the same; TIMED_OUT. */
SM_FALLIBLE client_stream_wait(client_stream *s, uint64_t answers);
/* Half-closes and waits for the end: the call's status. */
SM_FALLIBLE client_stream_finish(client_stream *s);
void client_stream_free(client_stream **s);
