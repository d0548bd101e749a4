/* SPDX-License-Identifier: Apache-2.0 */
#include "io/tls_p.h"

#include "base/mem.h"
#include "base/metrics.h"

#include <openssl/err.h>
#include <pthread.h>
#include <stdio.h>

struct sm_tls_conn {
    SSL *ssl;
    sm_slice in;  /* not yet read by OpenSSL */
    sm_buf *out;  /* where records go, within a call */
    bool client;
    bool up;
    void (*detach)(void *owner);
    void *owner;
    struct sm_tls_info info;
    sm_slice *chain;
};

/* ---- the BIO: reads from `in`, writes to `out`, copies nothing twice ---- */

static int bio_read(BIO *bio, char *to, size_t room, size_t *len)
{
    sm_tls_conn *conn = BIO_get_data(bio);
    sm_slice part = sm_slice_first(conn->in, room);
    BIO_clear_retry_flags(bio);
    if (part.len == 0) {
        BIO_set_retry_read(bio);
        return 0;
    }
    memcpy(to, part.ptr, part.len);
    conn->in = sm_slice_from(conn->in, part.len);
    *len = part.len;
    return 1;
}

static int bio_write(BIO *bio, const char *from, size_t size, size_t *len)
{
    sm_tls_conn *conn = BIO_get_data(bio);
    if (conn->out == NULL) {
        BIO_set_retry_write(bio);
        return 0;
    }
    sm_buf_put(conn->out, sm_slice_of(from, size));
    *len = size;
    return sm_ok(sm_buf_err(conn->out));
}

static long bio_ctrl(BIO *bio, int command, long number, void *ptr)
{
    (void)bio;
    (void)number;
    (void)ptr;
    return command == BIO_CTRL_FLUSH ? 1 : 0;
}

static BIO_METHOD *method;
static pthread_once_t method_once = PTHREAD_ONCE_INIT;
static sm_metric handshakes[2];

static void make_method(void)
{
    method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "sealmill");
    (void)BIO_meth_set_read_ex(method, bio_read);
    (void)BIO_meth_set_write_ex(method, bio_write);
    (void)BIO_meth_set_ctrl(method, bio_ctrl);
    handshakes[0] = sm_metric_register(SM_COUNTER, "sealmill_tls_handshakes_total", "TLS handshakes", "result=\"failed\"");
    handshakes[1] = sm_metric_register(SM_COUNTER, "sealmill_tls_handshakes_total", "TLS handshakes", "result=\"ok\"");
}

sm_err sm_tls_conn_wrap(SSL *ssl, bool client, void (*detach)(void *owner), void *owner, sm_tls_conn **out)
{
    (void)pthread_once(&method_once, make_method);
    sm_tls_conn *conn = sm_calloc(1, sizeof(*conn));
    BIO *bio = method == NULL ? NULL : BIO_new(method);
    if (conn == NULL || bio == NULL) {
        sm_free(conn);
        BIO_free(bio);
        SSL_free(ssl);
        detach(owner);
        return SM_ERR(NO_MEMORY);
    }
    conn->ssl = ssl;
    conn->client = client;
    conn->detach = detach;
    conn->owner = owner;
    conn->info.used = true;
    BIO_set_data(bio, conn);
    BIO_set_init(bio, 1);
    SSL_set_bio(ssl, bio, bio);
    *out = conn;
    return SM_NO_ERR;
}

void sm_tls_conn_free(sm_tls_conn **out)
{
    sm_tls_conn *conn = *out;
    if (conn == NULL) {
        return;
    }
    *out = NULL;
    SSL_free(conn->ssl);
    for (size_t i = 0; i < conn->info.peer_chain_count; i++) {
        union {
            const uint8_t *in;
            void *out;
        } der = {conn->chain[i].ptr};
        OPENSSL_free(der.out);
    }
    sm_free(conn->chain);
    conn->detach(conn->owner);
    sm_free(conn);
}

void sm_tls_conn_feed(sm_tls_conn *conn, sm_slice bytes)
{
    conn->in = bytes;
}

bool sm_tls_conn_is_up(const sm_tls_conn *conn)
{
    return conn->up;
}

bool sm_tls_conn_is_client(const sm_tls_conn *conn)
{
    return conn->client;
}

const struct sm_tls_info *sm_tls_conn_info(const sm_tls_conn *conn)
{
    return &conn->info;
}

bool sm_tls_conn_peer_closed(const sm_tls_conn *conn)
{
    return (SSL_get_shutdown(conn->ssl) & SSL_RECEIVED_SHUTDOWN) != 0;
}

sm_slice sm_tls_conn_alpn(const sm_tls_conn *conn)
{
    const unsigned char *name = NULL;
    unsigned len = 0;
    SSL_get0_alpn_selected(conn->ssl, &name, &len);
    return sm_slice_of(name, len);
}

static bool add_certificate(sm_tls_conn *conn, const X509 *cert)
{
    unsigned char *der = NULL;
    int len = i2d_X509(cert, &der);
    if (len <= 0) {
        return false;
    }
    conn->chain[conn->info.peer_chain_count++] = sm_slice_of(der, (size_t)len);
    return true;
}

/* The peer's leaf, then what came with it. On the server's side OpenSSL leaves the leaf out of its list. */
static void fill_peer(sm_tls_conn *conn)
{
    X509 *leaf = SSL_get0_peer_certificate(conn->ssl);
    if (leaf == NULL) {
        return;
    }
    STACK_OF(X509) *others = SSL_get_peer_cert_chain(conn->ssl);
    int count = others == NULL ? 0 : sk_X509_num(others);
    conn->chain = sm_calloc((size_t)count + 1, sizeof(*conn->chain));
    bool good = conn->chain != NULL && add_certificate(conn, leaf);
    for (int i = conn->client ? 1 : 0; good && i < count; i++) {
        good = add_certificate(conn, sk_X509_value(others, i));
    }
    if (good) {
        conn->info.peer_certificate = conn->chain[0];
        conn->info.peer_chain = conn->chain;
        conn->info.peer_verified = SSL_get_verify_result(conn->ssl) == X509_V_OK;
    }
}

static void fill_info(sm_tls_conn *conn)
{
    conn->info.resumed = SSL_session_reused(conn->ssl) != 0;
    conn->info.version = SSL_version(conn->ssl);
    conn->info.cipher = SSL_get_cipher_name(conn->ssl);
    conn->info.group = SSL_get0_group_name(conn->ssl);
    conn->info.server_name = sm_slice_str(SSL_get_servername(conn->ssl, TLSEXT_NAMETYPE_host_name));
    fill_peer(conn);
}

sm_err sm_tls_conn_handshake(sm_tls_conn *conn, sm_buf *out)
{
    ERR_clear_error();
    conn->out = out;
    int rc = SSL_do_handshake(conn->ssl);
    conn->out = NULL;
    if (rc == 1) {
        conn->up = true;
        fill_info(conn);
        sm_metric_inc(handshakes[1]);
        return SM_NO_ERR;
    }
    int why = SSL_get_error(conn->ssl, rc);
    if (why == SSL_ERROR_WANT_READ || why == SSL_ERROR_WANT_WRITE) {
        return SM_NO_ERR;
    }
    sm_metric_inc(handshakes[0]);
    return SM_ERR(CLOSED);
}

sm_err sm_tls_conn_read(sm_tls_conn *conn, uint8_t *to, size_t room, size_t *len, sm_buf *out)
{
    ERR_clear_error();
    conn->out = out; /* a key update, or an alert */
    int rc = SSL_read_ex(conn->ssl, to, room, len);
    conn->out = NULL;
    if (rc == 1) {
        return SM_NO_ERR;
    }
    *len = 0;
    int why = SSL_get_error(conn->ssl, rc);
    bool fine = why == SSL_ERROR_WANT_READ || why == SSL_ERROR_WANT_WRITE || why == SSL_ERROR_ZERO_RETURN;
    return fine ? SM_NO_ERR : SM_ERR(CLOSED);
}

sm_err sm_tls_conn_write(sm_tls_conn *conn, sm_slice plain, sm_buf *out)
{
    size_t written = 0;
    ERR_clear_error();
    conn->out = out;
    int rc = SSL_write_ex(conn->ssl, plain.ptr, plain.len, &written);
    conn->out = NULL;
    return rc == 1 && written == plain.len ? SM_NO_ERR : SM_ERR(CLOSED);
}

void sm_tls_conn_shutdown(sm_tls_conn *conn, sm_buf *out)
{
    ERR_clear_error();
    conn->out = out;
    (void)SSL_shutdown(conn->ssl);
    conn->out = NULL;
}

sm_err sm_tls_conn_export(sm_tls_conn *conn, sm_slice label, sm_slice context, uint8_t *out, size_t out_len)
{
    int rc = SSL_export_keying_material(conn->ssl, out, out_len, (const char *)label.ptr, label.len, context.ptr,
                                        context.len, 1);
    return rc == 1 ? SM_NO_ERR : SM_ERR(CRYPTO);
}

/* RFC 5929 3.1: the first Finished of the handshake; the server's when it was resumed. */
sm_err sm_tls_conn_unique(sm_tls_conn *conn, uint8_t *out, size_t room, size_t *len)
{
    if (conn->info.version != TLS1_2_VERSION) {
        return SM_ERR(PRECONDITION);
    }
    bool mine = conn->client != conn->info.resumed;
    *len = mine ? SSL_get_finished(conn->ssl, out, room) : SSL_get_peer_finished(conn->ssl, out, room);
    return *len > 0 && *len <= room ? SM_NO_ERR : SM_ERR(PRECONDITION);
}

bool sm_tls_set_common(SSL_CTX *ctx, const char *groups, int minimum_version)
{
    /* TLS 1.2 with forward secrecy and an AEAD alone (RFC 9325 4.2). */
    static const char ciphers[] = "ECDHE+AESGCM:ECDHE+CHACHA20";
    (void)SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS);
    (void)SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_IGNORE_UNEXPECTED_EOF);
    return SSL_CTX_set_min_proto_version(ctx, minimum_version) && SSL_CTX_set_cipher_list(ctx, ciphers) &&
           SSL_CTX_set1_groups_list(ctx, groups == NULL ? SM_TLS_GROUPS_DEFAULT : groups);
}

const char *sm_tls_error_text(char *out, size_t size)
{
    unsigned long code = ERR_peek_last_error();
    const char *reason = code == 0 ? NULL : ERR_reason_error_string(code);
    (void)snprintf(out, size, "%s", reason == NULL ? "unknown reason" : reason);
    ERR_clear_error();
    return out;
}
