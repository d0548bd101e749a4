/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The seam inside io: a connection (sockets, TLS, timers) on one side, a protocol session
 * (HTTP/1, HTTP/2) without any I/O on the other.
 *
 * The connection feeds plain octets to `receive` and asks `produce` for octets to send; the
 * session tells its host when it has something to send. Sessions are therefore tested with bytes
 * alone.
 *
 * Threads:   the connection's loop.
 * Limits:    struct sm_http_limits of the host.
 * Security:  `receive` is where outside bytes arrive; both sessions are fuzzed.
 * Standards: none.
 */
#pragma once

#include "base/buf.h"
#include "io/http.h"

typedef struct sm_session sm_session;

/* What a session needs from its connection; embedded in the connection, outlives the session. */
typedef struct sm_session_host {
    sm_loop *loop; /* NULL in byte tests: deadlines are then driven by on_tick */
    const struct sm_http_limits *limits;
    struct sm_http_handler handler; /* servers */
    const struct sm_tls_info *tls;
    sm_slice peer; /* text */
    struct sockaddr_storage peer_address;
    sm_slice listener;
    /* There is output, or the wish to close: the connection will call `produce` later (never
     * from inside this call). */
    void (*want_output)(struct sm_session_host *host);
    /* Stop (or go on) reading: the session has input enough. What was read already still comes.
     * NULL: not possible. */
    void (*pause_reading)(struct sm_session_host *host, bool pause);
    /* Exported keying material, or NULL without TLS. */
    sm_err (*export_keys)(struct sm_session_host *host, sm_slice label, sm_slice context,
                          uint8_t *out, size_t out_len);
    sm_err (*tls_unique)(struct sm_session_host *host, uint8_t *out, size_t room, size_t *len);
    sm_err (*tls_pair)(struct sm_session_host *host, struct sm_tls_pair *out);
    sm_err (*server_end_point)(struct sm_session_host *host, uint8_t *out, size_t *len);
    struct sm_http_note note; /* the handler's; freed with the connection */
    size_t queued;            /* octets of answers that wait in its exchanges */
    bool room_wanted;         /* an exchange waits until `queued` has fallen */
    bool secret; /* an answer with secrets went out, or will: what is gathered for TLS is wiped */
} sm_session_host;

struct sm_session_ops {
    /* Octets from the peer, borrowed until return. An error means: send what `produce` still
     * gives, then close. */
    sm_err (*receive)(sm_session *s, sm_slice bytes);
    /* The peer closed its side. */
    void (*on_eof)(sm_session *s);
    /* Appends up to about `max` octets to `out`. Returns true when more waits. */
    bool (*produce)(sm_session *s, sm_buf *out, size_t max);
    /* Nothing more to send or receive: close now. */
    bool (*is_done)(const sm_session *s);
    /* Exchanges under way: the idle timer applies only at 0. */
    size_t (*active)(const sm_session *s);
    /* About once a second while the connection lives: enforces request deadlines and minimum
     * rates. `now_ns` monotonic. */
    void (*on_tick)(sm_session *s, uint64_t now_ns);
    /* Graceful end: GOAWAY / Connection: close. */
    void (*drain)(sm_session *s);
    /* Closes every exchange with `err` (their on_close runs) and frees the session. Exchanges
     * that are held live on without it. */
    void (*free)(sm_session *s, sm_err err);
};

struct sm_session {
    const struct sm_session_ops *ops;
    sm_session_host *host;
};

/* Errors: NO_MEMORY. Given: freed by ops->free. */
SM_FALLIBLE sm_h1_server_new(sm_session_host *host, sm_session **out);
SM_FALLIBLE sm_h2_server_new(sm_session_host *host, sm_session **out);

/* The 24 octets with which an HTTP/2 client begins (RFC 9113 3.4). */
#define SM_H2_PREFACE SM_LIT("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
