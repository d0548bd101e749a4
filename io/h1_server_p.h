/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside io: the HTTP/1 server session's state.
 *
 * Threads:   the connection's loop.
 * Limits:    http.h.
 * Security:  a message that could be read in two ways is refused (RFC 9112 6.1, 11.2).
 * Standards: RFC 9112.
 */
#pragma once

#include "io/exchange_p.h"

#include <llhttp.h>

struct h1_server {
    sm_session base;
    llhttp_t parser;
    sm_list exchanges;
    sm_http_exchange *current; /* from its first octet until its answer has left */
    sm_buf input;              /* not yet parsed */
    sm_buf out;                /* heads and chunk frames that wait for produce */
    sm_buf field;
    sm_buf value;
    sm_buf target;
    size_t unconsumed;     /* body octets that the handler still holds */
    unsigned error_status; /* why the parser was stopped */
    bool in_value;
    bool in_trailers;
    bool request_done;
    bool keep_alive;
    bool chunked; /* the answer under way */
    bool paused;
    bool parsing;
    bool draining;
    bool eof;
    bool failed; /* nothing more is read */
    bool ended;  /* the last answer has left */
    bool closing;
};

extern const struct exchange_transport sm_h1_transport;

bool sm_h1_produce(sm_session *s, sm_buf *out, size_t max);
/* An answer without an exchange, before the connection ends. */
void sm_h1_bare_answer(struct h1_server *h, unsigned status);
/* Whether the client waits for 100 Continue (RFC 9110 10.1.1). */
bool sm_h1_expects_continue(const struct h1_server *h);
void sm_h1_put_continue(struct h1_server *h);
void sm_h1_continue_parsing(struct h1_server *h);
