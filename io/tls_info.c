/* SPDX-License-Identifier: Apache-2.0 */
/* What a handler may know of a TLS connection. */
#include "base/mem.h"
#include "io/tls_p.h"

#include <ctype.h>

static const char *or_empty(const char *text)
{
    return text == NULL ? "" : text;
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

/* The peer's leaf, then what came with it. A server's list leaves the leaf out; a resumed session
 * has kept the leaf alone. */
static sm_err fill_peer(sm_tls_conn *conn)
{
    const X509 *leaf = SSL_get0_peer_certificate(conn->ssl);
    if (leaf == NULL) {
        return SM_NO_ERR;
    }
    STACK_OF(X509) *others = SSL_get_peer_cert_chain(conn->ssl);
    int count = others == NULL ? 0 : sk_X509_num(others);
    conn->chain = sm_calloc((size_t)count + 1, sizeof(*conn->chain));
    bool good = conn->chain != NULL && add_certificate(conn, leaf);
    for (int i = conn->client ? 1 : 0; good && i < count; i++) {
        good = add_certificate(conn, sk_X509_value(others, i));
    }
    if (!good) {
        return SM_ERR(NO_MEMORY);
    }
    conn->info.peer_certificate = conn->chain[0];
    conn->info.peer_chain = conn->chain;
    conn->info.peer_verified = SSL_get_verify_result(conn->ssl) == X509_V_OK;
    return SM_NO_ERR;
}

/* OpenSSL keeps the peer's key share until the connection ends, and an ML-KEM-768 key takes 6 KB:
 * a quarter of what an idle connection costs. Nothing reads it after the handshake, so the key is
 * emptied; the group's name is kept elsewhere. */
static void drop_key_share(sm_tls_conn *conn)
{
    EVP_PKEY *share = NULL;
    if (SSL_get_peer_tmp_key(conn->ssl, &share) == 1) {
        (void)EVP_PKEY_set_type(share, EVP_PKEY_EC);
        EVP_PKEY_free(share);
    }
}

sm_err sm_tls_info_fill(sm_tls_conn *conn)
{
    struct sm_tls_info *info = &conn->info;
    info->resumed = SSL_session_reused(conn->ssl) != 0;
    info->version = SSL_version(conn->ssl);
    info->cipher = or_empty(SSL_get_cipher_name(conn->ssl));
    info->group = or_empty(SSL_get0_group_name(conn->ssl));
    drop_key_share(conn);
    const char *name = SSL_get_servername(conn->ssl, TLSEXT_NAMETYPE_host_name);
    if (name != NULL) {
        conn->server_name = sm_strdup(name);
        if (conn->server_name == NULL) {
            return SM_ERR(NO_MEMORY);
        }
        for (char *c = conn->server_name; *c != 0; c++) {
            *c = (char)tolower((unsigned char)*c);
        }
        info->server_name = sm_slice_str(conn->server_name);
    }
    return fill_peer(conn);
}

void sm_tls_info_free(sm_tls_conn *conn)
{
    for (size_t i = 0; i < conn->info.peer_chain_count; i++) {
        union {
            const uint8_t *in;
            void *out;
        } der = {conn->chain[i].ptr};
        OPENSSL_free(der.out);
    }
    sm_free(conn->chain);
    sm_free(conn->server_name);
}

sm_slice sm_tls_conn_alpn(const sm_tls_conn *conn)
{
    const unsigned char *name = NULL;
    unsigned len = 0;
    SSL_get0_alpn_selected(conn->ssl, &name, &len);
    return sm_slice_of(name, len);
}

sm_err sm_tls_conn_export(sm_tls_conn *conn, sm_slice label, sm_slice context, uint8_t *out,
                          size_t out_len)
{
    if (!conn->up) {
        return SM_ERR(PRECONDITION);
    }
    /* With TLS 1.2 an empty context is not the same as none (RFC 5705 4). */
    int rc = SSL_export_keying_material(conn->ssl, out, out_len, (const char *)label.ptr, label.len,
                                        context.ptr, context.len, context.ptr != NULL ? 1 : 0);
    return rc == 1 ? SM_NO_ERR : SM_ERR(CRYPTO);
}

/* RFC 5929 3.1: the first Finished of the handshake; the server's when it was resumed. */
sm_err sm_tls_conn_unique(sm_tls_conn *conn, uint8_t *out, size_t room, size_t *len)
{
    if (!conn->up || conn->info.version != TLS1_2_VERSION) {
        return SM_ERR(PRECONDITION);
    }
    /* A resumed session without the extended master secret may be shared by two connections
     * (RFC 7627 1): its Finished binds nothing. */
    if (conn->info.resumed && SSL_get_extms_support(conn->ssl) != 1) {
        return SM_ERR(PRECONDITION);
    }
    bool mine = conn->client != conn->info.resumed;
    size_t n = mine ? SSL_get_finished(conn->ssl, out, room)
                    : SSL_get_peer_finished(conn->ssl, out, room);
    if (n == 0 || n > room) {
        return SM_ERR(PRECONDITION);
    }
    *len = n;
    return SM_NO_ERR;
}

/* RFC 5929 4.1: the certificate's hash by its own signature's digest, where that is not MD5 or SHA-1. */
sm_err sm_tls_conn_end_point(sm_tls_conn *conn, uint8_t *out, size_t *len)
{
    int nid = NID_undef;
    unsigned n = 0;
    X509 *cert = conn->up && !conn->client ? SSL_get_certificate(conn->ssl) : NULL;
    if (cert == NULL || X509_get_signature_info(cert, &nid, NULL, NULL, NULL) != 1 ||
        nid == NID_undef) {
        return SM_ERR(PRECONDITION);
    }
    bool weak = nid == NID_md5 || nid == NID_sha1;
    const EVP_MD *digest = weak ? EVP_sha256() : EVP_get_digestbynid(nid);
    if (digest == NULL || X509_digest(cert, digest, out, &n) != 1) {
        return SM_ERR(CRYPTO);
    }
    *len = n;
    return SM_NO_ERR;
}

/* ---- the server's own certificate ---- */

#define PAIR_MAX (64U << 10) /* octets of a certificate and its chain */

static void put_certificate(const X509 *cert, sm_buf *out)
{
    unsigned char *der = NULL;
    int len = i2d_X509(cert, &der);
    sm_buf_put(out, sm_slice_of(der, len > 0 ? (size_t)len : 0));
    OPENSSL_free(der);
}

sm_err sm_tls_conn_pair(sm_tls_conn *conn, struct sm_tls_pair *out)
{
    X509 *leaf = SSL_get_certificate(conn->ssl); /* the one that SNI chose */
    EVP_PKEY *key = SSL_get_privatekey(conn->ssl);
    STACK_OF(X509) *chain = NULL;
    sm_buf certificates = sm_buf_init(PAIR_MAX);
    if (conn->client || leaf == NULL || key == NULL ||
        SSL_get0_chain_certs(conn->ssl, &chain) != 1) {
        return SM_ERR(PRECONDITION);
    }
    put_certificate(leaf, &certificates);
    for (int i = 0; i < sk_X509_num(chain); i++) {
        put_certificate(sk_X509_value(chain, i), &certificates);
    }
    if (!sm_ok(sm_buf_err(&certificates)) || EVP_PKEY_up_ref(key) != 1) {
        sm_err err = sm_ok(sm_buf_err(&certificates)) ? SM_ERR(CRYPTO) : sm_buf_err(&certificates);
        sm_buf_deinit(&certificates);
        return err;
    }
    *out = (struct sm_tls_pair){.key = key, .certificates = certificates};
    return SM_NO_ERR;
}

void sm_tls_pair_deinit(struct sm_tls_pair *pair)
{
    EVP_PKEY_free(pair->key);
    pair->key = NULL;
    sm_buf_deinit(&pair->certificates);
}
