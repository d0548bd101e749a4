/* SPDX-License-Identifier: Apache-2.0 */
#include "io/tls.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/mem.h"
#include "io/tls_p.h"

#include <openssl/evp.h>
#include <stdatomic.h>

#define CA_FILE_MAX (16U << 20)

/* One generation of contexts. A connection keeps the set that it began under. */
struct tls_set {
    _Atomic uint32_t refs;
    size_t count;
    tls_names *names;
    SSL_CTX *contexts[SM_TLS_CERTIFICATES_MAX];
    struct tls_staple staples[SM_TLS_CERTIFICATES_MAX]; /* of each context's certificate */
};

struct sm_tls_server {
    struct sm_tls_server_config config; /* strings owned */
    struct sm_tls_files files[SM_TLS_CERTIFICATES_MAX];
    struct tls_tickets tickets;
    pthread_mutex_t lock; /* covers `set` */
    struct tls_set *set;
};

/* ---- choosing ---- */

static int on_alpn(SSL *ssl, const unsigned char **out, unsigned char *out_len,
                   const unsigned char *in, unsigned in_len, void *arg)
{
    static const unsigned char all[] = "\x02h2\x08http/1.1\x08http/1.0"; /* RFC 7301 6 */
    const sm_tls_server *s = arg;
    (void)ssl;
    const unsigned skipped = s->config.no_http2 ? 3 : 0;
    const unsigned char *mine = all + skipped;
    unsigned mine_len = (unsigned)sizeof(all) - 1 - skipped;
    union {
        unsigned char **out;
        const unsigned char **in;
    } to = {.in = out};
    if (SSL_select_next_proto(to.out, out_len, mine, mine_len, in, in_len) !=
        OPENSSL_NPN_NEGOTIATED) {
        return SSL_TLSEXT_ERR_ALERT_FATAL; /* RFC 7301 3.2: no_application_protocol */
    }
    return SSL_TLSEXT_ERR_OK;
}

static int on_server_name(SSL *ssl, int *alert, void *arg)
{
    (void)alert;
    (void)arg;
    const struct tls_set *set = SSL_get_app_data(ssl);
    const char *name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
    int at = name == NULL ? -1 : sm_tls_names_find(set->names, sm_slice_str(name));
    if (at < 0) {
        return SSL_TLSEXT_ERR_NOACK; /* the first certificate is the default */
    }
    (void)SSL_set_SSL_CTX(ssl, set->contexts[at]);
    return SSL_TLSEXT_ERR_OK;
}

/* SM_TLS_CLIENT_UNVERIFIED: the handler decides; no chain is built, and none counts as verified. */
static int accept_any(X509_STORE_CTX *store, void *arg)
{
    (void)arg;
    X509_STORE_CTX_set_error(store, X509_V_ERR_CERT_UNTRUSTED);
    return 1;
}

/* ---- making contexts ---- */

static sm_err set_client_ca(SSL_CTX *ctx, const char *path, sm_diag *diag)
{
    char why[128];
    SM_TRY(sm_tls_load_anchors(ctx, path, "tls.client_ca_file", diag));
    STACK_OF(X509_NAME) *names = SSL_load_client_CA_file(path);
    if (names == NULL) {
        return sm_diag_set(diag, SM_ERR(MALFORMED), "tls.client_ca_file", "%s: %s", path,
                           sm_tls_error_text(why, sizeof(why)));
    }
    SSL_CTX_set_client_CA_list(ctx, names);
    return SM_NO_ERR;
}

static sm_err set_client_auth(SSL_CTX *ctx, const struct sm_tls_server_config *config,
                              sm_diag *diag)
{
    switch (config->client_auth) {
    case SM_TLS_CLIENT_NONE:
        SSL_CTX_set_verify(ctx, SSL_VERIFY_NONE, NULL);
        return SM_NO_ERR;
    case SM_TLS_CLIENT_UNVERIFIED:
        SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);
        SSL_CTX_set_cert_verify_callback(ctx, accept_any, NULL);
        return SM_NO_ERR;
    case SM_TLS_CLIENT_OPTIONAL:
        SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);
        break;
    case SM_TLS_CLIENT_REQUIRED:
        SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
        break;
    }
    if (config->client_ca_file == NULL) {
        return sm_diag_set(diag, SM_ERR(INVALID), "tls.client_ca_file",
                           "client certificates are asked for, but no CA is named for them");
    }
    return set_client_ca(ctx, config->client_ca_file, diag);
}

/* A ticket is good only where the same clients are welcome: its context is the digest of what
 * decides that. So a reload with another client CA ends the sessions that the old one let in. */
static sm_err set_session_context(SSL_CTX *ctx, const struct sm_tls_server_config *config,
                                  sm_diag *diag)
{
    uint8_t digest[EVP_MAX_MD_SIZE];
    unsigned len = 0;
    sm_buf text = sm_buf_init(CA_FILE_MAX);
    sm_buf_put_byte(&text, (uint8_t)config->client_auth);
    sm_err err = config->client_ca_file == NULL ? SM_NO_ERR
                                                : sm_file_read(config->client_ca_file, &text, diag);
    if (sm_ok(err) && (EVP_Digest(text.ptr, text.len, digest, &len, EVP_sha256(), NULL) != 1 ||
                       SSL_CTX_set_session_id_context(ctx, digest, len) != 1)) {
        err = SM_ERR(CRYPTO);
    }
    sm_buf_deinit(&text);
    return err;
}

static sm_err configure_context(sm_tls_server *s, SSL_CTX *ctx, const struct sm_tls_files *files,
                                sm_diag *diag)
{
    char why[128];
    const struct sm_tls_server_config *config = &s->config;
    int minimum = config->minimum_version == 0 ? TLS1_2_VERSION : config->minimum_version;
    if (!sm_tls_set_common(ctx, config->groups, minimum)) {
        return sm_diag_set(diag, SM_ERR(INVALID), "tls.groups", "%s: %s",
                           config->groups == NULL ? SM_TLS_GROUPS_DEFAULT : config->groups,
                           sm_tls_error_text(why, sizeof(why)));
    }
    SM_TRY(sm_tls_load_pair(ctx, files, "tls.certificate_file", "tls.key_file", diag));
    SM_TRY(set_client_auth(ctx, config, diag));
    SM_TRY(set_session_context(ctx, config, diag));
    (void)SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF); /* nothing is kept here */
    (void)SSL_CTX_set_num_tickets(ctx, config->no_resumption ? 0 : 1);
    if (config->no_resumption) {
        (void)SSL_CTX_set_options(ctx, SSL_OP_NO_TICKET);
    }
    sm_tls_tickets_use(&s->tickets, ctx);
    (void)SSL_CTX_set_tlsext_servername_callback(ctx, on_server_name);
    SSL_CTX_set_alpn_select_cb(ctx, on_alpn, s);
    return SM_NO_ERR;
}

static void set_detach(void *ctx)
{
    struct tls_set *set = ctx;
    if (set == NULL || atomic_fetch_sub(&set->refs, 1) != 1) {
        return;
    }
    for (size_t i = 0; i < set->count; i++) {
        SSL_CTX_free(set->contexts[i]);
        sm_tls_staple_deinit(&set->staples[i]);
    }
    sm_tls_names_free(&set->names);
    sm_free(set);
}

static sm_err add_context(sm_tls_server *s, struct tls_set *set, sm_diag *diag)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
    if (ctx == NULL) {
        return SM_ERR(NO_MEMORY);
    }
    size_t at = set->count;
    set->contexts[set->count++] = ctx;
    sm_tls_staple_init(&set->staples[at], ctx);
    SM_TRY(configure_context(s, ctx, &s->files[at], diag));
    return sm_tls_names_add(set->names, SSL_CTX_get0_certificate(ctx), at);
}

static sm_err make_set(sm_tls_server *s, struct tls_set **out, sm_diag *diag)
{
    struct tls_set *set = sm_calloc(1, sizeof(*set));
    if (set == NULL) {
        return SM_ERR(NO_MEMORY);
    }
    atomic_init(&set->refs, 1);
    sm_err err = sm_tls_names_new(&set->names);
    while (sm_ok(err) && set->count < s->config.certificate_count) {
        err = add_context(s, set, diag);
    }
    if (!sm_ok(err)) {
        set_detach(set);
        return err;
    }
    *out = set;
    return SM_NO_ERR;
}

/* ---- public ---- */

/* False without memory. */
static bool copy(const char *from, const char **to)
{
    *to = from == NULL ? NULL : sm_strdup(from);
    return (*to == NULL) == (from == NULL);
}

static void free_text(const char *s)
{
    union {
        const char *in;
        char *out;
    } text = {s};
    sm_free(text.out);
}

static sm_err copy_config(sm_tls_server *s, const struct sm_tls_server_config *config)
{
    s->config = *config;
    s->config.certificates = s->files;
    bool good = copy(config->client_ca_file, &s->config.client_ca_file);
    good = copy(config->groups, &s->config.groups) && good;
    for (size_t i = 0; i < config->certificate_count; i++) {
        good = copy(config->certificates[i].certificate_file, &s->files[i].certificate_file) &&
               copy(config->certificates[i].key_file, &s->files[i].key_file) && good;
    }
    return good ? SM_NO_ERR : SM_ERR(NO_MEMORY);
}

sm_err sm_tls_server_new(const struct sm_tls_server_config *config, sm_tls_server **out,
                         sm_diag *diag)
{
    if (config->certificate_count == 0 || config->certificate_count > SM_TLS_CERTIFICATES_MAX) {
        return sm_diag_set(diag, SM_ERR(INVALID), "tls.certificates",
                           "1 to %d certificates are wanted", SM_TLS_CERTIFICATES_MAX);
    }
    sm_tls_server *s = sm_calloc(1, sizeof(*s));
    if (s == NULL) {
        return SM_ERR(NO_MEMORY);
    }
    (void)pthread_mutex_init(&s->lock, NULL);
    sm_tls_tickets_init(&s->tickets, sm_clock_mono_ns());
    sm_err err = copy_config(s, config);
    if (sm_ok(err)) {
        err = make_set(s, &s->set, diag);
    }
    if (!sm_ok(err)) {
        sm_tls_server_free(&s);
        return err;
    }
    *out = s;
    return SM_NO_ERR;
}

sm_err sm_tls_server_reload(sm_tls_server *s, sm_diag *diag)
{
    struct tls_set *fresh;
    SM_TRY(make_set(s, &fresh, diag));
    (void)pthread_mutex_lock(&s->lock);
    struct tls_set *old = s->set;
    s->set = fresh;
    (void)pthread_mutex_unlock(&s->lock);
    set_detach(old);
    return SM_NO_ERR;
}

void sm_tls_server_free(sm_tls_server **out)
{
    sm_tls_server *s = *out;
    if (s == NULL) {
        return;
    }
    *out = NULL;
    set_detach(s->set);
    free_text(s->config.client_ca_file);
    free_text(s->config.groups);
    for (size_t i = 0; i < SM_TLS_CERTIFICATES_MAX; i++) {
        free_text(s->files[i].certificate_file);
        free_text(s->files[i].key_file);
    }
    sm_tls_tickets_deinit(&s->tickets);
    (void)pthread_mutex_destroy(&s->lock);
    sm_free(s);
}

static struct tls_set *set_attach(sm_tls_server *s)
{
    (void)pthread_mutex_lock(&s->lock);
    struct tls_set *set = s->set;
    atomic_fetch_add(&set->refs, 1);
    (void)pthread_mutex_unlock(&s->lock);
    return set;
}

size_t sm_tls_server_certificate_count(const sm_tls_server *s)
{
    return s->config.certificate_count;
}

sm_err sm_tls_server_leaf(sm_tls_server *s, size_t at, sm_buf *out)
{
    struct tls_set *set = set_attach(s);
    sm_err err = sm_tls_staple_leaf(set->contexts[at], out);
    set_detach(set);
    return err;
}

sm_err sm_tls_server_staple(sm_tls_server *s, size_t at, sm_slice leaf, sm_slice response)
{
    struct tls_set *set = set_attach(s);
    sm_buf now = sm_buf_init(leaf.len + 1);
    sm_err err = sm_tls_staple_leaf(set->contexts[at], &now);
    if (!sm_ok(err) || !sm_slice_equal(sm_buf_slice(&now), leaf)) {
        err = SM_ERR(NOT_FOUND);
    }
    err = sm_ok(err) ? sm_tls_staple_set(&set->staples[at], response) : err;
    sm_buf_deinit(&now);
    set_detach(set);
    return err;
}

sm_err sm_tls_server_open(sm_tls_server *s, sm_tls_conn **out)
{
    struct tls_set *set = set_attach(s);
    SSL *ssl = SSL_new(set->contexts[0]);
    if (ssl == NULL) {
        set_detach(set);
        return SM_ERR(NO_MEMORY);
    }
    SSL_set_accept_state(ssl);
    (void)SSL_set_app_data(ssl, set);
    return sm_tls_conn_wrap(ssl, false, set_detach, set, out);
}
