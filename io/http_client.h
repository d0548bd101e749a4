/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An HTTP/2 client connection on a loop: many requests in flight over one connection. For
 * sealmill's own commands and its load generator.
 *
 * Threads:   the loop's.
 * Limits:    the server's SETTINGS_MAX_CONCURRENT_STREAMS; further requests wait in a queue.
 * Security:  TLS verifies the server's chain and name.
 * Standards: RFC 9113.
 */
#pragma once

#include "io/http.h"

typedef struct sm_http_client sm_http_client;
typedef struct sm_http_call sm_http_call;

struct sm_http_client_ops {
    /* Connected, or failed (then on_closed follows). */
    void (*on_connected)(void *ctx, sm_err err, const sm_diag *diag);
    /* The connection is gone; every call was closed before. Last. */
    void (*on_closed)(void *ctx, sm_err err);
};

/* Begins connecting to `address` ("127.0.0.1:9000"). `tls` NULL: cleartext with prior knowledge.
 * Errors: INVALID, OS, NO_MEMORY. Given. */
SM_FALLIBLE sm_http_client_connect(sm_loop *loop, const char *address, sm_tls_client *tls,
                                   const struct sm_http_client_ops *ops, void *ctx,
                                   sm_http_client **out, sm_diag *diag);
/* Sends GOAWAY, closes. on_closed follows. */
void sm_http_client_close(sm_http_client *client);
/* After on_closed. */
void sm_http_client_free(sm_http_client **client);

struct sm_http_call_ops {
    void (*on_headers)(void *ctx, sm_http_call *call, unsigned status,
                       const sm_http_header *headers, size_t count);
    /* Borrowed until return; counted as consumed on return. */
    void (*on_body)(void *ctx, sm_http_call *call, sm_slice bytes);
    void (*on_trailers)(void *ctx, sm_http_call *call, const sm_http_header *trailers,
                        size_t count);
    /* Last, exactly once; the call is freed after it. */
    void (*on_close)(void *ctx, sm_http_call *call, sm_err err);
};

/* Starts a request. `headers` without pseudo-headers; copied. Without `end` the body follows by
 * sm_http_call_write. Errors: CLOSED, NO_MEMORY. */
SM_FALLIBLE sm_http_call_start(sm_http_client *client, sm_slice method, sm_slice path,
                               const sm_http_header *headers, size_t count, sm_slice body, bool end,
                               const struct sm_http_call_ops *ops, void *ctx, sm_http_call **out);
/* Queues more body; false: over SM_HTTP_OUT_HIGH. */
bool sm_http_call_write(sm_http_call *call, sm_slice bytes);
void sm_http_call_end(sm_http_call *call);
void sm_http_call_cancel(sm_http_call *call);
