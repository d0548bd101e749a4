/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside io: the HTTP/2 client session, without I/O.
 *
 * Threads:   the connection's loop.
 * Limits:    http_client.h.
 * Security:  see http_client.h.
 * Standards: RFC 9113.
 */
#pragma once

#include "io/http_client.h"
#include "io/session.h"

/* `tls` decides the :scheme; `authority` is copied. Errors: NO_MEMORY. */
SM_FALLIBLE sm_h2_client_new(sm_session_host *host, bool tls, sm_slice authority, sm_session **out);

SM_FALLIBLE sm_h2_client_start(sm_session *s, sm_slice method, sm_slice path,
                               const sm_http_header *headers, size_t count, sm_slice body, bool end,
                               const struct sm_http_call_ops *ops, void *ctx, sm_http_call **out);
