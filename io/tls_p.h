/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside io: one TLS connection over memory.
 *
 * Threads:   the loop's.
 * Limits:    none.
 * Security:  see tls.h.
 * Standards: see tls.h.
 */
#pragma once

#include "base/buf.h"
#include "io/tls.h"

#include <openssl/ssl.h>

typedef struct sm_tls_conn sm_tls_conn;

/* Errors: NO_MEMORY. Given. */
SM_FALLIBLE sm_tls_server_open(sm_tls_server *server, sm_tls_conn **out);
SM_FALLIBLE sm_tls_client_open(sm_tls_client *client, sm_tls_conn **out);
void sm_tls_conn_free(sm_tls_conn **conn);

/* Octets from the peer, borrowed until everything was read or the next feed. */
void sm_tls_conn_feed(sm_tls_conn *conn, sm_slice bytes);
/* Goes on with the handshake; what it wants to send is appended to `out`. Errors: CLOSED (an alert is in `out`). */
SM_FALLIBLE sm_tls_conn_handshake(sm_tls_conn *conn, sm_buf *out);
bool sm_tls_conn_is_up(const sm_tls_conn *conn);
bool sm_tls_conn_is_client(const sm_tls_conn *conn);
/* Plain octets; 0: none for now. */
SM_FALLIBLE sm_tls_conn_read(sm_tls_conn *conn, uint8_t *to, size_t room, size_t *len, sm_buf *out);
SM_FALLIBLE sm_tls_conn_write(sm_tls_conn *conn, sm_slice plain, sm_buf *out);
void sm_tls_conn_shutdown(sm_tls_conn *conn, sm_buf *out);
bool sm_tls_conn_peer_closed(const sm_tls_conn *conn);
sm_slice sm_tls_conn_alpn(const sm_tls_conn *conn);
const struct sm_tls_info *sm_tls_conn_info(const sm_tls_conn *conn);
SM_FALLIBLE sm_tls_conn_export(sm_tls_conn *conn, sm_slice label, sm_slice context, uint8_t *out, size_t out_len);
SM_FALLIBLE sm_tls_conn_unique(sm_tls_conn *conn, uint8_t *out, size_t room, size_t *len);

/* ---- between the three files ---- */
/* Wraps an SSL (taken). `detach` is called with `owner` at the end. */
SM_FALLIBLE sm_tls_conn_wrap(SSL *ssl, bool client, void (*detach)(void *owner), void *owner, sm_tls_conn **out);
/* Settings that servers and clients share. */
bool sm_tls_set_common(SSL_CTX *ctx, const char *groups, int minimum_version);
/* OpenSSL's last words, for a diag. */
const char *sm_tls_error_text(char *out, size_t size);
