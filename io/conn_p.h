/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside io: a TCP connection with or without TLS, and its session. Servers and clients share it.
 *
 * It is OPEN; then ENDING, while what the session still says leaves; then LINGERING, our side
 * closed and the peer's octets thrown away, so that a peer that is still sending reads our last
 * words before its send fails (RFC 9112 9.6); then DEAD, until the kernel has given every operation
 * back.
 *
 * Threads:   the loop's.
 * Limits:    CONN_FLUSH_MAX octets are produced before the send in flight is complete;
 *            CONN_OUT_MAX octets wait at most; CONN_LINGER_MS.
 * Security:  see tls.h.
 * Standards: none.
 */
#pragma once

#include "io/ring_p.h"
#include "io/session.h"
#include "io/tls_p.h"

#define CONN_FLUSH_MAX (256U * 1024U)
#define CONN_OUT_MAX (4U << 20) /* a flush, its TLS overhead, and a handler that overshoots */
#define CONN_LINGER_MS 2000U

typedef struct sm_conn sm_conn;

/* Who owns connections: a server or a client. */
struct conn_owner_ops {
    /* TLS is up (or there is none): makes the session. `first` are the first octets of a cleartext
     * server connection. */
    sm_err (*open_session)(sm_conn *conn, sm_slice alpn, sm_slice first, sm_session **out);
    /* Everything has ended; frees its own part. The connection is freed right after. */
    void (*on_closed)(sm_conn *conn, sm_err err);
};

enum conn_state { CONN_OPEN, CONN_ENDING, CONN_LINGERING, CONN_DEAD };

struct sm_conn {
    sm_session_host host;
    sm_list node; /* of the owner's list */
    const struct conn_owner_ops *ops;
    void *owner;
    int fd;
    enum conn_state state;
    sm_op recv_op;
    sm_op send_op;
    sm_op cancel_op; /* of recv_op */
    sm_task flush;
    sm_tls_conn *tls;
    sm_session *session;
    sm_buf out;         /* waits for the send in flight */
    sm_buf wire;        /* the send in flight */
    size_t sent;        /* of `wire` */
    sm_buf first;       /* cleartext servers: octets before the protocol is known */
    uint64_t born_ns;   /* or when lingering began */
    uint64_t active_ns; /* last octets from the peer, or last tick with an exchange under way */
    uint64_t send_ns;   /* when the send in flight began */
    sm_err why;         /* of ending */
    bool receiving;     /* recv_op is in flight */
    bool sending;
    bool cancelling;
    bool paused;   /* the session has input enough */
    bool heard;    /* anything from the peer */
    bool eof;      /* the peer's TCP side has ended */
    bool eof_told; /* the session knows */
    bool said_bye; /* close_notify */
    bool idle;     /* it is told to end for being idle */
    char peer_text[64];
};

/* Takes over the socket. `tls` NULL: cleartext. Errors: NO_MEMORY (the socket is then closed, `tls`
 * stays the caller's). */
SM_FALLIBLE sm_conn_new(sm_loop *loop, int fd, sm_tls_conn *tls,
                        const struct sm_http_limits *limits, const struct conn_owner_ops *ops,
                        void *owner, sm_conn **out);
/* Begins reading (and the TLS handshake of a client). */
void sm_conn_start(sm_conn *conn);
/* Ends: at once, or when what was produced has left. Never frees inside. */
void sm_conn_close(sm_conn *conn, sm_err why);
void sm_conn_finish(sm_conn *conn, sm_err why);
/* Asks its session to end (GOAWAY, Connection: close); without one it ends. */
void sm_conn_drain(sm_conn *conn);
/* The coarse clock, about once a second: handshake, idle and write time-outs. */
void sm_conn_tick(sm_conn *conn, uint64_t now_ns);
void sm_conn_set_peer(sm_conn *conn, const struct sockaddr_storage *address);
/* Opens the session of a connection whose protocol is known. */
void sm_conn_open_session(sm_conn *conn, sm_slice first);

/* ---- between the files ---- */
/* Frees a DEAD connection whose operations have all come back. */
void sm_conn_maybe_free(sm_conn *conn);
void sm_conn_schedule_flush(sm_conn *conn);

/* conn_in.c */
void sm_conn_receive_init(sm_conn *conn);
void sm_conn_arm_receive(sm_conn *conn);
void sm_conn_pause(sm_session_host *host, bool pause);

/* conn_out.c */
void sm_conn_send_init(sm_conn *conn);
