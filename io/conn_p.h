/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside io: a TCP connection with or without TLS, and its session. Servers and clients share it.
 *
 * Threads:   the loop's.
 * Limits:    CONN_FLUSH_MAX octets are produced before one send is complete.
 * Security:  see tls.h.
 * Standards: none.
 */
#pragma once

#include "io/ring_p.h"
#include "io/session.h"
#include "io/tls_p.h"

#define CONN_FLUSH_MAX (256U * 1024U)

typedef struct sm_conn sm_conn;

/* Who owns connections: a server or a client. */
struct conn_owner_ops {
    /* TLS is up (or there is none): makes the session. `first` are the first octets of a cleartext server connection. */
    sm_err (*open_session)(sm_conn *conn, sm_slice alpn, sm_slice first, sm_session **out);
    /* Everything has ended; frees its own part. The connection is freed right after. */
    void (*on_closed)(sm_conn *conn, sm_err err);
};

struct sm_conn {
    sm_session_host host;
    sm_list node; /* of the owner's list */
    const struct conn_owner_ops *ops;
    void *owner;
    int fd;
    sm_op recv_op;
    sm_op send_op;
    sm_op cancel_op;
    sm_task flush;
    sm_tls_conn *tls;
    sm_session *session;
    sm_buf out;    /* being sent, or to be sent */
    size_t sent;   /* of `out` */
    uint8_t *recv_buffer; /* without provided buffers */
    sm_buf first;  /* cleartext servers: octets before the protocol is known */
    char peer_text[64];
    uint64_t born_ns;
    uint64_t active_ns; /* last octets from the peer */
    uint64_t send_ns;   /* when the send in flight began */
    sm_err why;         /* of closing */
    bool recv_armed;
    bool sending;
    bool cancelling;
    bool paused;
    bool closing;  /* ends when `out` has left */
    bool aborted;  /* ends at once */
    bool eof;
    bool multishot;
};

/* Takes over the socket. `tls` NULL: cleartext. Errors: NO_MEMORY (the socket is then closed). */
SM_FALLIBLE sm_conn_new(sm_loop *loop, int fd, sm_tls_conn *tls, const struct sm_http_limits *limits,
                        const struct conn_owner_ops *ops, void *owner, sm_conn **out);
/* Begins reading (and the TLS handshake of a client). */
void sm_conn_start(sm_conn *conn);
/* Ends: at once, or when what was produced has left. */
void sm_conn_close(sm_conn *conn, sm_err why);
void sm_conn_finish(sm_conn *conn);
/* The coarse clock: handshake, idle and write time-outs. */
void sm_conn_tick(sm_conn *conn, uint64_t now_ns);
void sm_conn_set_peer(sm_conn *conn, const struct sockaddr_storage *address);
/* Opens the session of a connection whose protocol is known. */
void sm_conn_open_session(sm_conn *conn, sm_slice first);
