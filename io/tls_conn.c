/* SPDX-License-Identifier: Apache-2.0 */
#include "base/check.h"
#include "base/mem.h"
#include "io/metrics_p.h"
#include "io/tls_p.h"

#include <openssl/err.h>
#include <pthread.h>

/* ---- the BIO: reads from `in`, writes to `out`, and copies nothing in between ---- */

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
    BIO_clear_retry_flags(bio);
    if (conn->out == NULL) {
        BIO_set_retry_write(bio);
        return 0;
    }
    sm_buf_put(conn->out, sm_slice_of(from, size));
    if (!sm_ok(sm_buf_err(conn->out))) {
        return 0;
    }
    *len = size;
    return 1;
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

static void make_method(void)
{
    method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "sealmill");
    if (method != NULL) {
        (void)BIO_meth_set_read_ex(method, bio_read);
        (void)BIO_meth_set_write_ex(method, bio_write);
        (void)BIO_meth_set_ctrl(method, bio_ctrl);
    }
}

/* ---- life ---- */

sm_err sm_tls_conn_wrap(SSL *ssl, bool client, void (*detach)(void *owner), void *owner,
                        sm_tls_conn **out)
{
    (void)pthread_once(&method_once, make_method);
    sm_io_metrics_init();
    sm_tls_conn *conn = sm_calloc(1, sizeof(*conn));
    BIO *bio = method == NULL ? NULL : BIO_new(method);
    if (conn == NULL || bio == NULL) {
        sm_free(conn);
        (void)BIO_free(bio);
        SSL_free(ssl);
        detach(owner);
        return SM_ERR(NO_MEMORY);
    }
    conn->ssl = ssl;
    conn->client = client;
    conn->detach = detach;
    conn->owner = owner;
    conn->why = "";
    conn->info.used = true;
    conn->info.group = "";
    conn->info.cipher = "";
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
    if (conn->up) {
        /* A TCP connection that just ends does not spoil its session; fatal alerts did already. */
        SSL_set_shutdown(conn->ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
    }
    SSL_free(conn->ssl);
    sm_tls_info_free(conn);
    conn->detach(conn->owner);
    sm_free(conn);
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

const char *sm_tls_conn_why(const sm_tls_conn *conn)
{
    return conn->why;
}

bool sm_tls_conn_peer_closed(const sm_tls_conn *conn)
{
    return (SSL_get_shutdown(conn->ssl) & SSL_RECEIVED_SHUTDOWN) != 0;
}

/* ---- octets ---- */

void sm_tls_conn_feed(sm_tls_conn *conn, sm_slice bytes)
{
    conn->in = bytes;
}

/* Alerts by which a peer says that it does not accept our certificate (RFC 8446 6.2). */
static bool is_about_credentials(unsigned long code)
{
    static const int reasons[] = {SSL_R_TLSV13_ALERT_CERTIFICATE_REQUIRED,
                                  SSL_R_SSLV3_ALERT_BAD_CERTIFICATE,
                                  SSL_R_SSLV3_ALERT_UNSUPPORTED_CERTIFICATE,
                                  SSL_R_SSLV3_ALERT_CERTIFICATE_REVOKED,
                                  SSL_R_SSLV3_ALERT_CERTIFICATE_EXPIRED,
                                  SSL_R_SSLV3_ALERT_CERTIFICATE_UNKNOWN,
                                  SSL_R_TLSV1_ALERT_UNKNOWN_CA,
                                  SSL_R_TLSV1_ALERT_ACCESS_DENIED};
    for (size_t i = 0; i < SM_ARRAY_LEN(reasons); i++) {
        if (ERR_GET_LIB(code) == ERR_LIB_SSL && ERR_GET_REASON(code) == reasons[i]) {
            return true;
        }
    }
    return false;
}

/* Keeps why, and says which error it is. */
static sm_err fail(sm_tls_conn *conn)
{
    long verdict = SSL_get_verify_result(conn->ssl);
    unsigned long code = ERR_peek_error();
    bool refused_peer = ERR_GET_LIB(code) == ERR_LIB_SSL &&
                        ERR_GET_REASON(code) == SSL_R_CERTIFICATE_VERIFY_FAILED;
    bool none = ERR_GET_LIB(code) == ERR_LIB_SSL &&
                ERR_GET_REASON(code) == SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE;
    const char *reason = ERR_reason_error_string(code);
    conn->why = refused_peer     ? X509_verify_cert_error_string(verdict)
                : reason != NULL ? reason
                                 : "the peer broke off";
    bool credentials = refused_peer || none || is_about_credentials(code);
    ERR_clear_error();
    return credentials ? SM_ERR(UNAUTHENTICATED) : SM_ERR(CLOSED);
}

sm_err sm_tls_conn_handshake(sm_tls_conn *conn, sm_buf *out)
{
    ERR_clear_error();
    conn->out = out;
    int rc = SSL_do_handshake(conn->ssl);
    conn->out = NULL;
    if (rc == 1) {
        SM_TRY(sm_tls_info_fill(conn));
        conn->up = true;
        sm_io_metrics_handshake(!conn->client, conn->info.version, conn->info.group,
                                conn->info.resumed);
        return SM_NO_ERR;
    }
    int why = SSL_get_error(conn->ssl, rc);
    if (why == SSL_ERROR_WANT_READ || why == SSL_ERROR_WANT_WRITE) {
        return SM_NO_ERR;
    }
    sm_io_metrics_handshake_failed(!conn->client);
    return fail(conn);
}

sm_err sm_tls_conn_read(sm_tls_conn *conn, uint8_t *to, size_t room, size_t *len, sm_buf *out)
{
    *len = 0;
    if (conn->in.len == 0 && SSL_pending(conn->ssl) == 0) {
        return SM_NO_ERR;
    }
    ERR_clear_error();
    conn->out = out; /* a key update, or an alert */
    int rc = SSL_read_ex(conn->ssl, to, room, len);
    conn->out = NULL;
    if (rc == 1) {
        return SM_NO_ERR;
    }
    *len = 0;
    int why = SSL_get_error(conn->ssl, rc);
    bool fine = why == SSL_ERROR_WANT_READ || why == SSL_ERROR_WANT_WRITE ||
                why == SSL_ERROR_ZERO_RETURN;
    return fine ? SM_NO_ERR : fail(conn);
}

sm_err sm_tls_conn_write(sm_tls_conn *conn, sm_slice plain, sm_buf *out)
{
    size_t written = 0;
    ERR_clear_error();
    conn->out = out;
    int rc = SSL_write_ex(conn->ssl, plain.ptr, plain.len, &written);
    conn->out = NULL;
    if (rc == 1 && written == plain.len) {
        return SM_NO_ERR;
    }
    return sm_ok(sm_buf_err(out)) ? fail(conn) : sm_buf_err(out);
}

void sm_tls_conn_shutdown(sm_tls_conn *conn, sm_buf *out)
{
    if (conn->up) {
        ERR_clear_error();
        conn->out = out;
        (void)SSL_shutdown(conn->ssl);
        conn->out = NULL;
        ERR_clear_error();
    }
}
