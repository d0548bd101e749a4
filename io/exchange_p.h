/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside io: the exchange, between a handler and a session.
 *
 * Threads:   the connection's loop.
 * Limits:    http.h.
 * Security:  none.
 * Standards: none.
 */
#pragma once

#include "io/session.h"

/* What a session does for its exchanges. */
struct exchange_transport {
    /* The answer's head is ready in x->status, x->response; `x->out`, `x->finished` and
     * `x->out_trailers` may be filled already. */
    void (*start)(sm_http_exchange *x);
    /* More in x->out, or finished. */
    void (*resume)(sm_http_exchange *x);
    void (*abort)(sm_http_exchange *x, uint32_t h2_error);
    void (*consume)(sm_http_exchange *x, size_t n);
};

struct sm_http_exchange {
    sm_list node;        /* in its session's list */
    sm_session *session; /* NULL after on_close */
    const struct exchange_transport *transport;
    uint32_t holds;
    enum sm_http_version version;
    sm_arena arena;
    /* request */
    sm_slice method;
    sm_slice scheme;
    sm_slice authority;
    sm_slice path;
    sm_slice query;
    sm_http_header *headers;
    size_t header_count;
    size_t header_room;
    sm_http_header *trailers;
    size_t trailer_count;
    size_t trailer_room;
    size_t header_octets;
    int64_t content_length;
    sm_slice correlation_id;
    /* connection facts that outlive the session */
    sm_loop *loop;
    const struct sm_tls_info *tls;
    sm_slice peer;
    struct sockaddr_storage peer_address;
    sm_slice listener;
    /* handler */
    const struct sm_http_stream_ops *ops;
    void *ctx;
    uint64_t body_max;
    uint64_t body_seen;
    uint64_t deadline_ns;
    uint64_t started_ns;
    uint64_t moved_ns; /* the peer took something of the answer, or it began to wait */
    /* answer */
    unsigned status;
    sm_http_header *response;
    size_t response_count;
    sm_buf body; /* of sm_http_collect */
    sm_buf out;
    size_t out_at; /* octets of `out` already taken */
    sm_http_header *out_trailers;
    size_t out_trailer_count;
    bool in_ended; /* the request is complete */
    bool started;  /* the answer's head was given */
    bool finished; /* the answer is complete in `out` */
    bool headers_only;
    bool closed;
    bool refused;   /* answered by the session itself; its body is thrown away */
    bool over_high; /* sm_http_write said false */
    bool ends;      /* the request is no stream */
    bool head;      /* HEAD: no body leaves */
    void (*on_free)(void *ctx);
    void *on_free_ctx;
    /* session's own */
    int32_t stream_id;
    size_t unconsumed; /* HTTP/2: body octets that the handler has not given back */
    void *user;
};

/* A clean exchange for this session; NULL without memory. */
sm_http_exchange *sm_exchange_new(sm_session *s, const struct exchange_transport *transport);
/* Ends it: on_close with `err`, then freed unless held. */
void sm_exchange_close(sm_http_exchange *x, sm_err err);
/* Copies a field into the arena. Errors: TOO_LARGE over the limits, NO_MEMORY. */
SM_FALLIBLE sm_exchange_add_header(sm_http_exchange *x, sm_slice name, sm_slice value,
                                   bool trailer);
/* Splits the target into path and query. */
void sm_exchange_set_target(sm_http_exchange *x, sm_slice target);
/* The header section is complete: checks it and calls the handler. */
void sm_exchange_begin(sm_http_exchange *x);
/* Body octets for the handler; false: over the body limit, 413 was answered. */
bool sm_exchange_body(sm_http_exchange *x, sm_slice bytes);
void sm_exchange_end(sm_http_exchange *x);
/* Up to `max` octets of the answer's body. */
sm_slice sm_exchange_take_out(sm_http_exchange *x, size_t max);
/* After taking: on_writable when the queue has fallen. */
void sm_exchange_drained(sm_http_exchange *x);
/* The same for all of a connection's exchanges, in which the others left no room. */
void sm_exchange_drained_all(sm_session_host *host, sm_list *exchanges);
/* Forgets what was not sent. */
void sm_exchange_drop_out(sm_http_exchange *x);
/* Deadlines and rates; true when it must be closed with TIMED_OUT. */
bool sm_exchange_is_late(const sm_http_exchange *x, const struct sm_http_limits *limits,
                         uint64_t now_ns);
/* Frees this thread's spare exchanges. */
void sm_exchange_pool_drain(void);
/* An answer by the session itself: a status and a line of text; what still comes of the request
 * is thrown away. */
void sm_exchange_refuse(sm_http_exchange *x, unsigned status, const char *text);
