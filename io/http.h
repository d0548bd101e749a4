/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The request interface: one exchange, whether it came by HTTP/1.0, HTTP/1.1 or HTTP/2.
 *
 * A server calls its handler's on_request when the header section is complete. The handler sets
 * its stream callbacks (sm_http_accept) and answers whenever it likes: at once, later, in
 * pieces. The exchange lives until on_close has run AND the last sm_http_hold was released; so a
 * handler with a job in flight holds it.
 *
 * Flow control: a body octet handed to on_body counts against the peer's window until
 * sm_http_consume. Output is queued up to SM_HTTP_OUT_HIGH octets, and SM_HTTP_CONNECTION_HIGH in
 * all exchanges of a connection (less when a loop has much of it); past it sm_http_write still takes the bytes but says false, and
 * on_writable comes when the queue has fallen under SM_HTTP_OUT_LOW. A handler that goes on all the
 * same has its stream broken off at the hard limits. An answer of which the peer takes nothing for
 * write_timeout_ms is broken off too.
 *
 * Threads:   the connection's loop alone.
 * Limits:    struct sm_http_limits.
 * Security:  header names and values are checked (RFC 9110 5) before a handler sees them; a
 *            connection that floods is closed with ENHANCE_YOUR_CALM and counted by reason.
 * Standards: RFC 9110, RFC 9112 (HTTP/1.1), RFC 9113 (HTTP/2), RFC 7541 (HPACK).
 */
#pragma once

#include "base/arena.h"
#include "base/diag.h"
#include "base/err.h"
#include "base/slice.h"
#include "io/loop.h"
#include "io/tls.h"

#include <netinet/in.h>
#include <sys/socket.h>

typedef struct sm_http_exchange sm_http_exchange;

#define SM_HTTP_OUT_HIGH (256U * 1024U)
#define SM_HTTP_OUT_LOW (64U * 1024U)
#define SM_HTTP_CONNECTION_HIGH (2U << 20) /* eight streams that all are at their mark */
/* From this many in all connections of a loop on, the marks are the small ones: many clients that
 * take nothing then cost each of the others some speed, and nobody memory. */
#define SM_HTTP_LOOP_HIGH (64U << 20)
#define SM_HTTP_SMALL_OUT_HIGH (16U * 1024U)
#define SM_HTTP_SMALL_CONNECTION_HIGH (64U * 1024U)
/* Hard: whoever has so much waiting may add nothing. */
#define SM_HTTP_OUT_MAX (8U << 20)
#define SM_HTTP_CONNECTION_MAX (32U << 20)
#define SM_HTTP_REPLY_MAX (32U << 20) /* one answer; a page of 1,000 certificates is 4 MiB */
#define SM_HTTP_HEADERS_MAX 100       /* fields in one section */
#define SM_HTTP_ARENA_CAP (1U << 22)  /* a request's arena, besides its body */

typedef struct sm_http_header {
    /* Lower case in requests; sent in lower case by HTTP/2, in canonical case by HTTP/1.1. */
    sm_slice name;
    sm_slice value;
} sm_http_header;

#define SM_HEADER(n, v) ((sm_http_header){SM_LIT(n), (v)})

enum sm_http_version { SM_HTTP_1_0, SM_HTTP_1_1, SM_HTTP_2 };

/* Stream callbacks; each may be NULL but on_close. None is called before sm_http_accept, or
 * after on_close. */
struct sm_http_stream_ops {
    /* Body octets, borrowed until return. Call sm_http_consume when they are dealt with (now or
     * later). */
    void (*on_body)(void *ctx, sm_http_exchange *x, sm_slice bytes);
    /* The request is complete; trailers are readable by sm_http_trailer. */
    void (*on_end)(void *ctx, sm_http_exchange *x);
    void (*on_writable)(void *ctx, sm_http_exchange *x);
    /* Last, exactly once. `err` is none after a complete exchange; CLOSED, CANCELLED (the peer
     * reset the stream), TIMED_OUT or DRAINING otherwise. No answer can be sent any more. */
    void (*on_close)(void *ctx, sm_http_exchange *x, sm_err err);
};

struct sm_http_handler {
    /* The header section is complete. Must call sm_http_accept, or answer with sm_http_reply at
     * once. */
    void (*on_request)(void *ctx, sm_http_exchange *x);
    void *ctx;
};

/* Takes the exchange over with these callbacks. */
void sm_http_accept(sm_http_exchange *x, const struct sm_http_stream_ops *ops, void *ctx);

/* ---- the request; slices are borrowed until the exchange's end ---- */
enum sm_http_version sm_http_get_version(const sm_http_exchange *x);
sm_slice sm_http_method(const sm_http_exchange *x);
sm_slice sm_http_scheme(const sm_http_exchange *x);
sm_slice sm_http_authority(const sm_http_exchange *x);
/* As sent, without the query; never normalised ("//" stays). */
sm_slice sm_http_path(const sm_http_exchange *x);
/* Behind '?'; empty when there is none. */
sm_slice sm_http_query(const sm_http_exchange *x);
/* First field of that (lower-case) name; ptr NULL when absent. */
sm_slice sm_http_header_get(const sm_http_exchange *x, sm_slice name);
size_t sm_http_header_count(const sm_http_exchange *x);
sm_http_header sm_http_header_at(const sm_http_exchange *x, size_t at);
sm_slice sm_http_trailer(const sm_http_exchange *x, sm_slice name);
/* Content-Length, or -1. */
int64_t sm_http_content_length(const sm_http_exchange *x);
const struct sm_tls_info *sm_http_tls(const sm_http_exchange *x);
/* What a handler keeps with a connection, from one request to the next. */
struct sm_http_note {
    void *value;
    /* At the connection's end, on its loop; after every exchange that is not held. */
    void (*free)(void *value);
};
/* The connection's note: the handler's to change; NULL when the connection is gone. */
struct sm_http_note *sm_http_connection_note(sm_http_exchange *x);
/* RFC 8446 7.5 / RFC 5705. Errors: PRECONDITION without TLS, CRYPTO. */
SM_FALLIBLE sm_http_export_keying_material(const sm_http_exchange *x, sm_slice label,
                                           sm_slice context, uint8_t *out, size_t out_len);
/* RFC 5929 tls-unique of a TLS 1.2 connection: the first Finished. Errors: PRECONDITION. */
SM_FALLIBLE sm_http_tls_unique(const sm_http_exchange *x, uint8_t *out, size_t room, size_t *len);
#define SM_HTTP_BINDING_MAX \
    36 /* tls-exporter has 32 octets; tls-unique 12, and 36 in what TLS 1.2 followed */
/* The connection's channel binding: tls-unique in TLS 1.2, tls-exporter in TLS 1.3 (RFC 9266: label
 * EXPORTER-Channel-Binding, an empty context, 32 octets). `out` has room for SM_HTTP_BINDING_MAX. Errors: PRECONDITION
 * (no TLS, or a session resumed without the extended master secret, whose Finished binds nothing), CRYPTO. */
SM_FALLIBLE sm_http_channel_binding(const sm_http_exchange *x, uint8_t *out, size_t *len);
/* The certificate that this connection's client was shown, its chain and its key. Errors: PRECONDITION (no TLS, or the
 * connection is gone), TOO_LARGE, NO_MEMORY. Given. */
SM_FALLIBLE sm_http_tls_pair(const sm_http_exchange *x, struct sm_tls_pair *out);
#define SM_HTTP_END_POINT_MAX 64 /* SHA-512 */
/* RFC 5929 tls-server-end-point: the hash of the certificate that the server shows on this connection. `out` has room for
 * SM_HTTP_END_POINT_MAX. Errors: PRECONDITION (no TLS, or a certificate whose signature has no one hash, such as
 * Ed25519's), CRYPTO. */
SM_FALLIBLE sm_http_server_end_point(const sm_http_exchange *x, uint8_t *out, size_t *len);
/* The peer's address as text, "192.0.2.1:4711" or "[2001:db8::1]:4711" or "unix". Static to the
 * connection. */
sm_slice sm_http_peer(const sm_http_exchange *x);
const struct sockaddr_storage *sm_http_peer_address(const sm_http_exchange *x);
/* The name of the listener it came by. */
sm_slice sm_http_listener(const sm_http_exchange *x);
/* Freed after the exchange's end. */
sm_arena *sm_http_arena(sm_http_exchange *x);
sm_loop *sm_http_loop(const sm_http_exchange *x);
/* 16 lower-case hex digits, made for this exchange, or taken from a well-formed x-request-id
 * ([A-Za-z0-9._-]{1,64}). */
sm_slice sm_http_correlation_id(const sm_http_exchange *x);

/* Gives `n` octets of on_body back to the peer's window. */
void sm_http_consume(sm_http_exchange *x, size_t n);
/* The most body octets this exchange takes (default: the limits'). Over it: 413, or for HTTP/2
 * the same and the stream is ended. */
void sm_http_limit_body(sm_http_exchange *x, uint64_t max);
/* The request is one that ends: request_timeout_ms holds even where HTTP/2 tells no length (a stream
 * may stay open as long as it likes). */
void sm_http_expect_end(sm_http_exchange *x);
/* Closes the exchange with TIMED_OUT when it is not complete `ms` from now; 0 takes the deadline
 * away. A handler that wants to say more keeps a timer of its own. */
void sm_http_set_deadline(sm_http_exchange *x, uint64_t ms);

/* ---- the answer; header slices and bodies are copied ---- */
/* Before the answer: it has secrets. Its copies are wiped where they are ours: in the exchange and in what is gathered for
 * TLS. With HTTP/2 there is one more in nghttp2's frame buffer, until the next frame or the connection's end. */
void sm_http_mark_secret(sm_http_exchange *x);
/* A whole answer in one call. `content-length` is added; for HEAD the body is left out. No
 * effect after the exchange closed. */
void sm_http_reply(sm_http_exchange *x, unsigned status, const sm_http_header *headers,
                   size_t count, sm_slice body);
/* Starts a streamed answer. */
void sm_http_start(sm_http_exchange *x, unsigned status, const sm_http_header *headers,
                   size_t count);
/* Queues body octets. False: over the high mark, wait for on_writable. */
bool sm_http_write(sm_http_exchange *x, sm_slice bytes);
/* Whether a write now would find room. False: on_writable comes. */
bool sm_http_has_room(sm_http_exchange *x);
/* Ends it, with trailers (HTTP/1.1: only when chunked and the client said TE: trailers, else
 * dropped). */
void sm_http_finish(sm_http_exchange *x, const sm_http_header *trailers, size_t count);
/* gRPC's trailers-only answer and the like: headers that end the stream. */
void sm_http_reply_headers_only(sm_http_exchange *x, unsigned status, const sm_http_header *headers,
                                size_t count);
/* Breaks it off: HTTP/2 RST_STREAM with this error code, HTTP/1.1 closes the connection.
 * on_close follows (not inside this call). */
void sm_http_abort(sm_http_exchange *x, uint32_t h2_error);
/* Octets queued and not yet handed to the connection. */
size_t sm_http_queued(const sm_http_exchange *x);
/* False after on_close: nothing can be sent. */
bool sm_http_is_open(const sm_http_exchange *x);

/* Keeps the exchange's memory (arena too) past on_close. */
void sm_http_hold(sm_http_exchange *x);
void sm_http_release(sm_http_exchange *x);

/* Calls `fn` when the exchange's memory ends (closed, and every hold released): what lies in its
 * arena may free what it owns. */
void sm_http_on_free(sm_http_exchange *x, void (*fn)(void *ctx), void *ctx);

/* ---- collecting a whole body ---- */
/* Accepts the exchange and calls `done` once: with the whole body (borrowed from the exchange's
 * arena or buffer until its end) when err is none, else with why. After 413 or a closed exchange
 * nothing is to be answered (`done` gets TOO_LARGE or the close's error). on_close of the
 * exchange is not passed on after `done` has run with none unless `on_close` is given. */
void sm_http_collect(sm_http_exchange *x, uint64_t max,
                     void (*done)(void *ctx, sm_http_exchange *x, sm_slice body, sm_err err),
                     void (*on_close)(void *ctx, sm_http_exchange *x, sm_err err), void *ctx);

/* The same for a handler that streams its answer. */
void sm_http_collect_stream(sm_http_exchange *x, uint64_t max,
                            void (*done)(void *ctx, sm_http_exchange *x, sm_slice body, sm_err err),
                            void (*on_close)(void *ctx, sm_http_exchange *x, sm_err err),
                            void (*on_writable)(void *ctx, sm_http_exchange *x), void *ctx);

/* ---- limits ---- */
struct sm_http_limits {
    uint32_t connections; /* in all loops of a listener; further ones are closed at accept */
    uint32_t connections_per_address; /* IPv6: per /64 */
    uint32_t streams;                 /* SETTINGS_MAX_CONCURRENT_STREAMS */
    uint32_t header_bytes; /* one header section, names + values + 32 each (RFC 9113 6.5.2) */
    uint64_t body_bytes;
    uint32_t handshake_timeout_ms; /* TLS, and the first request's header section */
    uint32_t idle_timeout_ms;      /* no request under way */
    uint32_t request_timeout_ms;   /* header section and body; not the handler's time */
    uint32_t write_timeout_ms;     /* a peer that takes nothing for so long, or of one answer */
    uint32_t drain_timeout_ms;     /* after GOAWAY */
    /* Octets a second of a body in either direction, averaged over request_timeout; 0: none. */
    uint32_t minimum_rate;
    uint32_t stream_window; /* HTTP/2 receive window of a stream */
    uint32_t connection_window;
};

/* Defaults, each with its reason in limits.c. */
void sm_http_limits_default(struct sm_http_limits *limits);

/* ---- servers ---- */
typedef struct sm_listener sm_listener;       /* sockets of one address, shared by all loops */
typedef struct sm_http_server sm_http_server; /* one listener on one loop */

struct sm_listener_config {
    const char *name;
    const char *address; /* "127.0.0.1:9000", "[::1]:0" */
    int inherited_fd;    /* a listening socket given by systemd, or -1 */
    sm_tls_server *tls;  /* NULL: cleartext (HTTP/1 and HTTP/2 by prior knowledge) */
    struct sm_http_limits limits;
    unsigned loops; /* how many sockets with SO_REUSEPORT to open */
};

/* Binds and listens. Errors: OS with "address already in use" and the port in diag; INVALID.
 * Given. Main thread. */
SM_FALLIBLE sm_listener_new(const struct sm_listener_config *config, sm_listener **out,
                            sm_diag *diag);
/* The port that was bound (for ":0"). */
uint16_t sm_listener_port(const sm_listener *listener);
void sm_listener_free(sm_listener **listener);

/* Begins accepting on this loop, with socket number `index` of the listener. Handler is copied.
 * Errors: NO_MEMORY, OS. Given. */
SM_FALLIBLE sm_http_server_start(sm_loop *loop, sm_listener *listener, unsigned index,
                                 struct sm_http_handler handler, sm_http_server **out);
/* Stops accepting, sends GOAWAY / Connection: close, lets exchanges end within drain_timeout;
 * `done` runs once when the last connection is gone. */
void sm_http_server_drain(sm_http_server *server, void (*done)(void *ctx), void *ctx);
/* Closes what is left at once and frees. */
void sm_http_server_free(sm_http_server **server);
