/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/support/tls_peer.h"

#include "base/check.h"
#include "base/mem.h"
#include "tests/support/pki.h"

#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <string.h>

char sm_tls_test_dir[256];

int sm_tls_test_make_pki(void **state)
{
    (void)state;
    const struct sm_pki_spec specs[] = {
        {.name = "root", .ca = true},
        {.name = "other-root", .ca = true},
        {.name = "sub", .issuer = "root", .ca = true},
        {.name = "server", .issuer = "root", .sans = "DNS:localhost,IP:127.0.0.1"},
        {.name = "a", .issuer = "root", .sans = "DNS:a.example,DNS:both.example"},
        {.name = "wild", .issuer = "root", .sans = "DNS:*.wild.example,DNS:both.example"},
        {.name = "client", .issuer = "sub", .eku = "clientAuth"},
        {.name = "stranger", .issuer = "other-root", .eku = "clientAuth"},
        {.name = "self"},
        {.name = "expired", .issuer = "root", .eku = "clientAuth", .valid_for_s = 60},
        {.name = "wrong-use", .issuer = "root", .eku = "serverAuth"},
    };
    if (sm_test_dir(sm_tls_test_dir, sizeof(sm_tls_test_dir)) == NULL) {
        return -1;
    }
    for (size_t i = 0; i < SM_ARRAY_LEN(specs); i++) {
        if (!sm_pki_make(sm_tls_test_dir, &specs[i])) {
            return -1;
        }
    }
    return 0;
}

int sm_tls_test_remove_pki(void **state)
{
    (void)state;
    sm_test_remove_dir(sm_tls_test_dir);
    return 0;
}

const char *sm_tls_test_pem(const char *name)
{
    return sm_pki_path(sm_tls_test_dir, name, ".pem");
}

const char *sm_tls_test_key(const char *name)
{
    return sm_pki_path(sm_tls_test_dir, name, ".key");
}

/* ---- servers ---- */

sm_tls_server *sm_tls_test_server(const struct sm_tls_server_config *extra,
                                  const char *const *names)
{
    struct sm_tls_files files[4];
    struct sm_tls_server_config config = *extra;
    config.certificates = files;
    for (config.certificate_count = 0; names[config.certificate_count] != NULL;
         config.certificate_count++) {
        const char *name = names[config.certificate_count];
        files[config.certificate_count] = (struct sm_tls_files){sm_tls_test_pem(name),
                                                                sm_tls_test_key(name)};
    }
    sm_tls_server *server = NULL;
    sm_diag diag = {.reason = ""};
    sm_err err = sm_tls_server_new(&config, &server, &diag);
    if (!sm_ok(err)) {
        print_error("%s: %s\n", diag.field, diag.reason);
    }
    assert_sm_ok(err);
    return server;
}

sm_tls_server *sm_tls_test_plain_server(void)
{
    static const char *const names[] = {"server", NULL};
    return sm_tls_test_server(&(struct sm_tls_server_config){.minimum_version = 0}, names);
}

sm_tls_server *sm_tls_test_asking_server(enum sm_tls_client_auth auth)
{
    static const char *const names[] = {"server", NULL};
    bool ca = auth == SM_TLS_CLIENT_OPTIONAL || auth == SM_TLS_CLIENT_REQUIRED;
    return sm_tls_test_server(
        &(struct sm_tls_server_config){.client_auth = auth,
                                       .client_ca_file = ca ? sm_tls_test_pem("root") : NULL},
        names);
}

/* ---- a client of plain OpenSSL ---- */

static int on_session(SSL *ssl, SSL_SESSION *session)
{
    struct sm_tls_peer *p = SSL_get_app_data(ssl);
    SSL_SESSION_free(p->session);
    p->session = session;
    return 1;
}

/* `cert` NULL: without one. */
struct sm_tls_peer *sm_tls_peer_new(const char *cert)
{
    struct sm_tls_peer *p = sm_calloc(1, sizeof(*p));
    assert_non_null(p);
    p->ctx = SSL_CTX_new(TLS_client_method());
    assert_non_null(p->ctx);
    assert_int_equal(SSL_CTX_load_verify_file(p->ctx, sm_tls_test_pem("root")), 1);
    SSL_CTX_set_verify(p->ctx, SSL_VERIFY_PEER, NULL);
    SSL_CTX_set_session_cache_mode(p->ctx, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    SSL_CTX_sess_set_new_cb(p->ctx, on_session);
    if (cert != NULL) {
        assert_int_equal(SSL_CTX_use_certificate_chain_file(p->ctx, sm_tls_test_pem(cert)), 1);
        assert_int_equal(
            SSL_CTX_use_PrivateKey_file(p->ctx, sm_tls_test_key(cert), SSL_FILETYPE_PEM), 1);
    }
    p->ssl = SSL_new(p->ctx);
    assert_non_null(p->ssl);
    SSL_set_bio(p->ssl, BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
    SSL_set_app_data(p->ssl, p);
    SSL_set_connect_state(p->ssl);
    return p;
}

void sm_tls_peer_free(struct sm_tls_peer *p)
{
    SSL_set_shutdown(p->ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN); /* keeps the session */
    SSL_free(p->ssl);
    SSL_CTX_free(p->ctx);
    SSL_SESSION_free(p->session);
    sm_free(p);
}

/* ---- octets between the two ---- */

/* What the peer has to say goes to the connection, `step` octets at a time. */
sm_err sm_tls_peer_to_server(struct sm_tls_peer *p, sm_tls_conn *conn, sm_buf *out, size_t step)
{
    char octets[4096];
    int n;
    while ((n = BIO_read(SSL_get_wbio(p->ssl), octets, (int)step)) > 0) {
        sm_tls_conn_feed(conn, sm_slice_of(octets, (size_t)n));
        if (!sm_tls_conn_is_up(conn)) {
            SM_TRY(sm_tls_conn_handshake(conn, out));
        }
        uint8_t plain[1024];
        size_t len = 1;
        while (sm_tls_conn_is_up(conn) && len > 0) {
            SM_TRY(sm_tls_conn_read(conn, plain, sizeof(plain), &len, out));
        }
    }
    return SM_NO_ERR;
}

void sm_tls_peer_receive(struct sm_tls_peer *p, sm_buf *out)
{
    if (out->len > 0) {
        assert_int_equal(BIO_write(SSL_get_rbio(p->ssl), out->ptr, (int)out->len), (int)out->len);
        sm_buf_reset(out);
    }
}

/* Until both are up, or one of them fails. The peer's alerts are delivered. */
sm_err sm_tls_peer_shake_steps(struct sm_tls_peer *p, sm_tls_conn *conn, size_t step)
{
    sm_buf out = sm_buf_init(1U << 20);
    sm_err err = SM_NO_ERR;
    char byte;
    for (int i = 0; i < 20 && sm_ok(err); i++) {
        ERR_clear_error();
        (void)SSL_do_handshake(p->ssl);
        err = sm_tls_peer_to_server(p, conn, &out, step);
        sm_tls_peer_receive(p, &out);
        if (SSL_is_init_finished(p->ssl)) {
            (void)SSL_read(p->ssl, &byte, 1); /* tickets, and what the server thinks of us */
        }
    }
    sm_buf_deinit(&out);
    return err;
}

sm_err sm_tls_peer_shake(struct sm_tls_peer *p, sm_tls_conn *conn)
{
    return sm_tls_peer_shake_steps(p, conn, 4096);
}

sm_tls_conn *sm_tls_test_open(sm_tls_server *server)
{
    sm_tls_conn *conn = NULL;
    assert_sm_ok(sm_tls_server_open(server, &conn));
    return conn;
}

void sm_tls_test_end(struct sm_tls_peer *p, sm_tls_conn **conn, sm_tls_server **server)
{
    if (p != NULL) {
        sm_tls_peer_free(p);
    }
    sm_tls_conn_free(conn);
    sm_tls_server_free(server);
}

void sm_tls_test_check_sni(sm_tls_server *server, const char *name, const char *expected_cn)
{
    char cn[64] = "";
    sm_tls_conn *conn = sm_tls_test_open(server);
    struct sm_tls_peer *p = sm_tls_peer_new(NULL);
    if (name != NULL) {
        assert_int_equal(SSL_set_tlsext_host_name(p->ssl, name), 1);
    }
    assert_sm_ok(sm_tls_peer_shake(p, conn));
    X509 *cert = SSL_get0_peer_certificate(p->ssl);
    assert_true(
        X509_NAME_get_text_by_NID(X509_get_subject_name(cert), NID_commonName, cn, sizeof(cn)) > 0);
    assert_string_equal(cn, expected_cn);
    if (name == NULL) {
        assert_int_equal(sm_tls_conn_info(conn)->server_name.len, 0);
    }
    sm_tls_test_end(p, &conn, &(sm_tls_server *){NULL});
}

/* A first connection; its ticket. */
SSL_SESSION *sm_tls_test_first_session(sm_tls_server *server, const char *cert, int version)
{
    sm_tls_conn *conn = sm_tls_test_open(server);
    struct sm_tls_peer *p = sm_tls_peer_new(cert);
    assert_int_equal(SSL_set_max_proto_version(p->ssl, version), 1);
    assert_sm_ok(sm_tls_peer_shake(p, conn));
    assert_false(sm_tls_conn_info(conn)->resumed);
    SSL_SESSION *session = p->session;
    p->session = NULL;
    sm_tls_test_end(p, &conn, &(sm_tls_server *){NULL});
    return session;
}
