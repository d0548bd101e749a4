/* SPDX-License-Identifier: Apache-2.0 */
/*
 * TLS tests: certificates in a folder of their own, servers that use them, and a client of plain
 * OpenSSL that talks to one of our connections over memory.
 *
 * Certificates: root, other-root, sub (under root); server (localhost, 127.0.0.1), a (a.example),
 * wild (*.wild.example), both with both.example; client (under sub), stranger (under other-root),
 * self, expired, wrong-use.
 *
 * Threads:   none.
 * Limits:    none.
 * Security:  test keys only.
 * Standards: none.
 */
#pragma once

#include "io/tls_p.h"
#include "tests/support/support.h"

extern char sm_tls_test_dir[256];

struct sm_tls_peer {
    SSL_CTX *ctx;
    SSL *ssl;
    SSL_SESSION *session; /* the last ticket */
};

/* Group set-up and tear-down: the folder and everything in it. */
int sm_tls_test_make_pki(void **state);
int sm_tls_test_remove_pki(void **state);

/* Paths of one of the certificates above. */
const char *sm_tls_test_pem(const char *name);
const char *sm_tls_test_key(const char *name);

/* A server with these certificates (up to four names, then NULL) and what `extra` says besides. */
sm_tls_server *sm_tls_test_server(const struct sm_tls_server_config *extra,
                                  const char *const *names);
sm_tls_server *sm_tls_test_plain_server(void);
sm_tls_server *sm_tls_test_asking_server(enum sm_tls_client_auth auth);
sm_tls_conn *sm_tls_test_open(sm_tls_server *server);

/* A client that trusts `root` and shows `cert` (NULL: none). */
struct sm_tls_peer *sm_tls_peer_new(const char *cert);
void sm_tls_peer_free(struct sm_tls_peer *p);

/* What the peer has to say goes to the connection, `step` octets at a time; and the other way. */
sm_err sm_tls_peer_to_server(struct sm_tls_peer *p, sm_tls_conn *conn, sm_buf *out, size_t step);
void sm_tls_peer_receive(struct sm_tls_peer *p, sm_buf *out);

/* Until both are up or the server fails: its error. The peer gets its alerts and tickets. */
sm_err sm_tls_peer_shake_steps(struct sm_tls_peer *p, sm_tls_conn *conn, size_t step);
sm_err sm_tls_peer_shake(struct sm_tls_peer *p, sm_tls_conn *conn);

/* Frees all three; each may be NULL. */
void sm_tls_test_end(struct sm_tls_peer *p, sm_tls_conn **conn, sm_tls_server **server);

/* A client that asks for `name` (NULL: none) gets the certificate of this CN. */
void sm_tls_test_check_sni(sm_tls_server *server, const char *name, const char *expected_cn);

/* The ticket of a first connection. */
SSL_SESSION *sm_tls_test_first_session(sm_tls_server *server, const char *cert, int version);
