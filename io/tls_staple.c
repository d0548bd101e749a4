/* SPDX-License-Identifier: Apache-2.0 */
/* The OCSPResponse that goes with a certificate to clients that ask for its status. */
#include "base/mem.h"
#include "base/metrics.h"
#include "io/tls_p.h"

static sm_metric stapled;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void register_metrics(void)
{
    stapled = sm_metric_register(SM_COUNTER, "sealmill_tls_stapled_total",
                                 "TLS handshakes that got an OCSP response with the certificate",
                                 NULL);
}

/* OpenSSL frees what it is given. */
static unsigned char *copy(struct tls_staple *s, size_t *len)
{
    (void)pthread_mutex_lock(&s->lock);
    unsigned char *out = s->octets.len == 0 ? NULL : OPENSSL_memdup(s->octets.ptr, s->octets.len);
    *len = s->octets.len;
    (void)pthread_mutex_unlock(&s->lock);
    return out;
}

/* Called in handshakes of clients that sent status_request. */
static int on_status(SSL *ssl, void *arg)
{
    size_t len;
    unsigned char *octets = copy(arg, &len);
    if (octets == NULL) {
        return SSL_TLSEXT_ERR_NOACK;
    }
    if (SSL_set_tlsext_status_ocsp_resp(ssl, octets, (long)len) != 1) {
        OPENSSL_free(octets);
        return SSL_TLSEXT_ERR_NOACK;
    }
    sm_metric_inc(stapled);
    return SSL_TLSEXT_ERR_OK;
}

void sm_tls_staple_init(struct tls_staple *s, SSL_CTX *ctx)
{
    (void)pthread_once(&once, register_metrics);
    (void)pthread_mutex_init(&s->lock, NULL);
    s->octets = sm_buf_init(SM_TLS_STAPLE_MAX);
    (void)SSL_CTX_set_tlsext_status_cb(ctx, on_status);
    (void)SSL_CTX_set_tlsext_status_arg(ctx, s);
}

void sm_tls_staple_deinit(struct tls_staple *s)
{
    sm_buf_deinit(&s->octets);
    (void)pthread_mutex_destroy(&s->lock);
}

sm_err sm_tls_staple_set(struct tls_staple *s, sm_slice octets)
{
    sm_buf fresh = sm_buf_init(SM_TLS_STAPLE_MAX);
    sm_buf_put(&fresh, octets);
    sm_err err = sm_buf_err(&fresh);
    if (sm_ok(err)) {
        (void)pthread_mutex_lock(&s->lock);
        sm_buf old = s->octets;
        s->octets = fresh;
        (void)pthread_mutex_unlock(&s->lock);
        fresh = old;
    }
    sm_buf_deinit(&fresh);
    return err;
}

sm_err sm_tls_staple_leaf(SSL_CTX *ctx, sm_buf *out)
{
    unsigned char *der = NULL;
    int len = i2d_X509(SSL_CTX_get0_certificate(ctx), &der);
    if (len <= 0) {
        return SM_ERR(NO_MEMORY);
    }
    sm_buf_put(out, sm_slice_of(der, (size_t)len));
    OPENSSL_free(der);
    return sm_buf_err(out);
}
