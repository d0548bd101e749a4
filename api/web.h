/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One HTTP request as adapters see it: they know no sockets and no TLS.
 *
 * Threads:   the loop's.
 * Limits:    SM_WEB_HEADERS_MAX header fields in an answer.
 * Security:  none.
 * Standards: RFC 9110.
 */
#pragma once

#include "base/arena.h"
#include "base/err.h"
#include "base/slice.h"

#define SM_WEB_HEADERS_MAX 16 /* EST clients with small buffers take no more */

/* An exchange of io/http.h. */
typedef struct sm_http_exchange sm_web;

struct sm_web_header {
    sm_slice name; /* lower case */
    sm_slice value;
};

sm_slice sm_web_method(const sm_web *w);
/* As sent, without the query. */
sm_slice sm_web_path(const sm_web *w);
/* ptr NULL when absent; `name` in lower case. */
sm_slice sm_web_header(const sm_web *w, sm_slice name);
/* Freed after the exchange's end. */
sm_arena *sm_web_arena(sm_web *w);
/* Collects the body; `done` gets it with none, or why it never came: then nothing is to be answered. */
void sm_web_collect(sm_web *w, uint64_t max,
                    void (*done)(void *ctx, sm_web *w, sm_slice body, sm_err err), void *ctx);
/* Takes a request without a body. */
void sm_web_accept(sm_web *w);
/* Before an answer that has secrets: see sm_http_mark_secret. */
void sm_web_mark_secret(sm_web *w);
/* A whole answer with Content-Length. Copied. */
void sm_web_reply(sm_web *w, unsigned status, const struct sm_web_header *headers, size_t count,
                  sm_slice body);
/* Breaks the exchange off: there is no memory to say more. */
void sm_web_abort(sm_web *w);
/* Keeps it past its end, for work that is under way. */
void sm_web_hold(sm_web *w);
void sm_web_release(sm_web *w);
