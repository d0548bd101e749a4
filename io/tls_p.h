/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside io: one TLS connection over memory, and what its files share.
 *
 * Threads:   the loop's; tickets, names and contexts are shared by all loops.
 * Limits:    none.
 * Security:  see tls.h.
 * Standards: see tls.h.
 */
#pragma once

#include "base/buf.h"
#include "io/tls.h"

#include <openssl/ssl.h>
#include <pthread.h>

typedef struct sm_tls_conn sm_tls_conn;

/* Errors: NO_MEMORY. Given. */
SM_FALLIBLE sm_tls_server_open(sm_tls_server *server, sm_tls_conn **out);
SM_FALLIBLE sm_tls_client_open(sm_tls_client *client, sm_tls_conn **out);
void sm_tls_conn_free(sm_tls_conn **conn);

/* Octets from the peer, borrowed until everything was read or the next feed. */
void sm_tls_conn_feed(sm_tls_conn *conn, sm_slice bytes);
/* Goes on with the handshake; what it wants to send is appended to `out`. Errors: UNAUTHENTICATED
 * (the peer's certificate, or ours in its eyes), CLOSED; an alert may be in `out`. */
SM_FALLIBLE sm_tls_conn_handshake(sm_tls_conn *conn, sm_buf *out);
bool sm_tls_conn_is_up(const sm_tls_conn *conn);
bool sm_tls_conn_is_client(const sm_tls_conn *conn);
/* Plain octets; 0: none for now. Errors: as the handshake (TLS 1.3 servers judge the client's
 * certificate after it). */
SM_FALLIBLE sm_tls_conn_read(sm_tls_conn *conn, uint8_t *to, size_t room, size_t *len, sm_buf *out);
/* Errors: CLOSED, or the buffer's own. */
SM_FALLIBLE sm_tls_conn_write(sm_tls_conn *conn, sm_slice plain, sm_buf *out);
/* Says close_notify. */
void sm_tls_conn_shutdown(sm_tls_conn *conn, sm_buf *out);
bool sm_tls_conn_peer_closed(const sm_tls_conn *conn);
/* Why it failed, in OpenSSL's words. Static. */
const char *sm_tls_conn_why(const sm_tls_conn *conn);
sm_slice sm_tls_conn_alpn(const sm_tls_conn *conn);
const struct sm_tls_info *sm_tls_conn_info(const sm_tls_conn *conn);
/* Without context: `context.ptr` NULL (RFC 5705 4). Errors: PRECONDITION before the handshake's
 * end, CRYPTO. */
SM_FALLIBLE sm_tls_conn_export(sm_tls_conn *conn, sm_slice label, sm_slice context, uint8_t *out,
                               size_t out_len);
/* Errors: PRECONDITION. */
SM_FALLIBLE sm_tls_conn_unique(sm_tls_conn *conn, uint8_t *out, size_t room, size_t *len);
/* `out` has room for EVP_MAX_MD_SIZE. Errors: PRECONDITION, CRYPTO. */
SM_FALLIBLE sm_tls_conn_end_point(sm_tls_conn *conn, uint8_t *out, size_t *len);

/* Errors: PRECONDITION (it has none), TOO_LARGE, NO_MEMORY. Given. */
SM_FALLIBLE sm_tls_conn_pair(sm_tls_conn *conn, struct sm_tls_pair *out);

/* ---- between the files ---- */
struct sm_tls_conn {
    SSL *ssl;
    sm_slice in; /* not yet read by OpenSSL */
    sm_buf *out; /* where records go, within a call */
    bool client;
    bool up;
    void (*detach)(void *owner);
    void *owner;
    const char *why;
    struct sm_tls_info info;
    sm_slice *chain;
    char *server_name;
};

/* Wraps an SSL (taken). `detach` is called with `owner` at the end. */
SM_FALLIBLE sm_tls_conn_wrap(SSL *ssl, bool client, void (*detach)(void *owner), void *owner,
                             sm_tls_conn **out);
/* tls_info.c: what the handshake has agreed on. Errors: NO_MEMORY. */
SM_FALLIBLE sm_tls_info_fill(sm_tls_conn *conn);
void sm_tls_info_free(sm_tls_conn *conn);

/* tls_files.c. Settings that servers and clients share. */
bool sm_tls_set_common(SSL_CTX *ctx, const char *groups, int minimum_version);
/* OpenSSL's last words, for a diag. */
const char *sm_tls_error_text(char *out, size_t size);
/* Reads a certificate with its chain, and its key; `field` and `key_field` name them in a diag.
 * Errors: as sm_tls_server_new. */
SM_FALLIBLE sm_tls_load_pair(SSL_CTX *ctx, const struct sm_tls_files *files, const char *field,
                             const char *key_field, sm_diag *diag);
SM_FALLIBLE sm_tls_load_anchors(SSL_CTX *ctx, const char *path, const char *field, sm_diag *diag);

/* tls_tickets.c: session tickets (RFC 5077 4, RFC 8446 4.6.1). */
#define TLS_TICKET_LIFE_S (24ULL * 3600)
#define TLS_TICKET_NAME 16

struct tls_ticket_key {
    uint8_t name[TLS_TICKET_NAME];
    uint8_t aes[32];
    uint8_t mac[32];
};

struct tls_tickets {
    pthread_mutex_t lock;          /* covers what follows */
    struct tls_ticket_key keys[2]; /* the current one, the one before */
    uint64_t born_ns;              /* of the current one */
};

void sm_tls_tickets_init(struct tls_tickets *t, uint64_t now_ns);
void sm_tls_tickets_deinit(struct tls_tickets *t);
/* A new key every TLS_TICKET_LIFE_S; the one before is accepted for as long again. */
void sm_tls_tickets_rotate(struct tls_tickets *t, uint64_t now_ns);
/* Makes `ctx` use them; `t` must outlive it. */
void sm_tls_tickets_use(struct tls_tickets *t, SSL_CTX *ctx);

/* tls_names.c: which certificate serves which name (RFC 6066 3). */
typedef struct tls_names tls_names;
/* Errors: NO_MEMORY. Given. */
SM_FALLIBLE sm_tls_names_new(tls_names **out);
void sm_tls_names_free(tls_names **names);
/* The dNSNames of this certificate lead to number `at`, unless an earlier one has them. Errors:
 * NO_MEMORY, EXHAUSTED (too many names). */
SM_FALLIBLE sm_tls_names_add(tls_names *names, X509 *leaf, size_t at);
/* A number, or -1. `name` in any case. */
int sm_tls_names_find(const tls_names *names, sm_slice name);

/* ---- stapling ---- */
/* The OCSPResponse of one certificate. */
struct tls_staple {
    pthread_mutex_t lock; /* covers `octets` */
    sm_buf octets;        /* empty: none */
};
/* Pinned while the context lives, which calls it in handshakes. */
void sm_tls_staple_init(struct tls_staple *staple, SSL_CTX *ctx);
void sm_tls_staple_deinit(struct tls_staple *staple);
/* Errors: TOO_LARGE, NO_MEMORY. */
SM_FALLIBLE sm_tls_staple_set(struct tls_staple *staple, sm_slice octets);
/* Appends the DER of the context's certificate. Errors: NO_MEMORY, the buffer's own. */
SM_FALLIBLE sm_tls_staple_leaf(SSL_CTX *ctx, sm_buf *out);
