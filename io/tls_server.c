/* SPDX-License-Identifier: Apache-2.0 */
#include "io/tls.h"

#include "base/clock.h"
#include "base/mem.h"
#include "base/rand.h"
#include "io/tls_p.h"

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/x509v3.h>
#include <pthread.h>
#include <stdatomic.h>

/* One generation of contexts. A connection keeps the set that it began under. */
struct tls_set {
    _Atomic uint32_t refs;
    size_t count;
    SSL_CTX *contexts[SM_TLS_CERTIFICATES_MAX];
    X509 *leaves[SM_TLS_CERTIFICATES_MAX]; /* borrowed from the contexts */
    enum sm_tls_client_auth client_auth;
};

#define TICKET_KEY_LIFE_NS (24ULL * 3600 * SM_NS_PER_S)
#define TICKET_NAME 16

struct ticket_key {
    uint8_t name[TICKET_NAME];
    uint8_t aes[32];
    uint8_t mac[32];
};

struct sm_tls_server {
    struct sm_tls_server_config config; /* strings owned */
    struct sm_tls_files files[SM_TLS_CERTIFICATES_MAX];
    pthread_mutex_t lock; /* covers `set` and the ticket keys */
    struct tls_set *set;
    struct ticket_key tickets[2]; /* current, previous */
    uint64_t tickets_born_ns;
};

/* ---- session tickets (RFC 5077 4): keys shared by all contexts and loops, new every day, the last one still accepted ---- */

static void rotate_tickets(sm_tls_server *s)
{
    uint64_t now = sm_clock_mono_ns();
    if (s->tickets_born_ns == 0 || now - s->tickets_born_ns > TICKET_KEY_LIFE_NS) {
        s->tickets[1] = s->tickets[0];
        sm_rand_bytes(&s->tickets[0], sizeof(s->tickets[0]));
        s->tickets_born_ns = now;
    }
}

static bool init_ticket_ciphers(const struct ticket_key *key, unsigned char *iv, EVP_CIPHER_CTX *cipher,
                                EVP_MAC_CTX *mac, bool encrypt)
{
    char digest[] = "SHA256";
    union {
        const uint8_t *in;
        uint8_t *out;
    } mac_key = {key->mac};
    const OSSL_PARAM params[] = {
        OSSL_PARAM_construct_octet_string(OSSL_MAC_PARAM_KEY, mac_key.out, sizeof(key->mac)),
        OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0),
        OSSL_PARAM_construct_end(),
    };
    return EVP_CipherInit_ex(cipher, EVP_aes_256_cbc(), NULL, key->aes, iv, encrypt ? 1 : 0) &&
           EVP_MAC_CTX_set_params(mac, params);
}

static int on_ticket(SSL *ssl, unsigned char name[16], unsigned char *iv, EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *mac,
                     int encrypt)
{
    sm_tls_server *s = SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));
    struct ticket_key keys[2];
    (void)pthread_mutex_lock(&s->lock);
    rotate_tickets(s);
    memcpy(keys, s->tickets, sizeof(keys));
    (void)pthread_mutex_unlock(&s->lock);
    int result = 0;
    if (encrypt != 0) {
        memcpy(name, keys[0].name, TICKET_NAME);
        sm_rand_bytes(iv, 16);
        result = init_ticket_ciphers(&keys[0], iv, cipher, mac, true) ? 1 : -1;
    } else if (memcmp(name, keys[0].name, TICKET_NAME) == 0) {
        result = init_ticket_ciphers(&keys[0], iv, cipher, mac, false) ? 1 : -1;
    } else if (memcmp(name, keys[1].name, TICKET_NAME) == 0) {
        result = init_ticket_ciphers(&keys[1], iv, cipher, mac, false) ? 2 : -1; /* and renew it */
    }
    sm_wipe(keys, sizeof(keys));
    return result;
}

/* ---- choosing ---- */

static int on_alpn(SSL *ssl, const unsigned char **out, unsigned char *out_len, const unsigned char *in, unsigned in_len,
                   void *arg)
{
    static const unsigned char both[] = "\x02h2\x08http/1.1";
    sm_tls_server *s = arg;
    (void)ssl;
    const unsigned char *mine = s->config.no_http2 ? both + 3 : both;
    unsigned mine_len = s->config.no_http2 ? 9 : 12;
    union {
        unsigned char **out;
        const unsigned char **in;
    } to = {.in = out};
    if (SSL_select_next_proto(to.out, out_len, mine, mine_len, in, in_len) != OPENSSL_NPN_NEGOTIATED) {
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
    for (size_t i = 0; name != NULL && i < set->count; i++) {
        if (X509_check_host(set->leaves[i], name, 0, 0, NULL) == 1) {
            (void)SSL_set_SSL_CTX(ssl, set->contexts[i]);
            return SSL_TLSEXT_ERR_OK;
        }
    }
    return SSL_TLSEXT_ERR_OK; /* the first certificate is the default */
}

static int accept_any(int ok, X509_STORE_CTX *store)
{
    (void)ok;
    (void)store;
    return 1; /* SM_TLS_CLIENT_UNVERIFIED: the handler decides */
}

/* ---- making contexts ---- */

static sm_err set_client_auth(SSL_CTX *ctx, const struct sm_tls_server_config *config, sm_diag *diag)
{
    char why[128];
    int mode = config->client_auth == SM_TLS_CLIENT_NONE ? SSL_VERIFY_NONE : SSL_VERIFY_PEER;
    if (config->client_auth == SM_TLS_CLIENT_REQUIRED) {
        mode |= SSL_VERIFY_FAIL_IF_NO_PEER_CERT;
    }
    SSL_CTX_set_verify(ctx, mode, config->client_auth == SM_TLS_CLIENT_UNVERIFIED ? accept_any : NULL);
    if (mode == SSL_VERIFY_NONE || config->client_ca_file == NULL) {
        return SM_NO_ERR;
    }
    STACK_OF(X509_NAME) *names = SSL_load_client_CA_file(config->client_ca_file);
    if (names == NULL || !SSL_CTX_load_verify_file(ctx, config->client_ca_file)) {
        sk_X509_NAME_pop_free(names, X509_NAME_free);
        return sm_diag_set(diag, SM_ERR(INVALID), "tls.client_ca_file", "%s: %s", config->client_ca_file,
                           sm_tls_error_text(why, sizeof(why)));
    }
    SSL_CTX_set_client_CA_list(ctx, names);
    return SM_NO_ERR;
}

static sm_err load_files(SSL_CTX *ctx, const struct sm_tls_files *files, sm_diag *diag)
{
    char why[128];
    if (SSL_CTX_use_certificate_chain_file(ctx, files->certificate_file) != 1) {
        return sm_diag_set(diag, SM_ERR(INVALID), "tls.certificate_file", "%s: %s", files->certificate_file,
                           sm_tls_error_text(why, sizeof(why)));
    }
    if (SSL_CTX_use_PrivateKey_file(ctx, files->key_file, SSL_FILETYPE_PEM) != 1) {
        return sm_diag_set(diag, SM_ERR(INVALID), "tls.key_file", "%s: %s", files->key_file,
                           sm_tls_error_text(why, sizeof(why)));
    }
    return SM_NO_ERR;
}

static sm_err make_context(sm_tls_server *s, const struct sm_tls_files *files, SSL_CTX **out, sm_diag *diag)
{
    char why[128];
    static const unsigned char id[] = "sealmill";
    SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
    if (ctx == NULL) {
        return SM_ERR(NO_MEMORY);
    }
    sm_err err = SM_NO_ERR;
    int minimum = s->config.minimum_version == 0 ? TLS1_2_VERSION : s->config.minimum_version;
    if (!sm_tls_set_common(ctx, s->config.groups, minimum)) {
        err = sm_diag_set(diag, SM_ERR(INVALID), "tls.groups", "%s: %s", s->config.groups == NULL ? "" : s->config.groups,
                          sm_tls_error_text(why, sizeof(why)));
    }
    if (sm_ok(err)) {
        err = load_files(ctx, files, diag);
    }
    if (sm_ok(err)) {
        err = set_client_auth(ctx, &s->config, diag);
    }
    if (!sm_ok(err)) {
        SSL_CTX_free(ctx);
        return err;
    }
    (void)SSL_CTX_set_app_data(ctx, s);
    (void)SSL_CTX_set_session_id_context(ctx, id, sizeof(id) - 1);
    (void)SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF); /* tickets alone: nothing is kept here */
    (void)SSL_CTX_set_num_tickets(ctx, s->config.no_resumption ? 0 : 1);
    if (s->config.no_resumption) {
        (void)SSL_CTX_set_options(ctx, SSL_OP_NO_TICKET);
    }
    (void)SSL_CTX_set_tlsext_ticket_key_evp_cb(ctx, on_ticket);
    (void)SSL_CTX_set_tlsext_servername_callback(ctx, on_server_name);
    SSL_CTX_set_alpn_select_cb(ctx, on_alpn, s);
    *out = ctx;
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
    }
    sm_free(set);
}

static sm_err make_set(sm_tls_server *s, struct tls_set **out, sm_diag *diag)
{
    struct tls_set *set = sm_calloc(1, sizeof(*set));
    if (set == NULL) {
        return SM_ERR(NO_MEMORY);
    }
    atomic_init(&set->refs, 1);
    set->client_auth = s->config.client_auth;
    for (; set->count < s->config.certificate_count; set->count++) {
        sm_err err = make_context(s, &s->files[set->count], &set->contexts[set->count], diag);
        if (!sm_ok(err)) {
            set_detach(set);
            return err;
        }
        set->leaves[set->count] = SSL_CTX_get0_certificate(set->contexts[set->count]);
    }
    *out = set;
    return SM_NO_ERR;
}

/* ---- public ---- */

static const char *copy(const char *s)
{
    return s == NULL ? NULL : sm_strdup(s);
}

static void free_text(const char *s)
{
    union {
        const char *in;
        char *out;
    } text = {s};
    sm_free(text.out);
}

sm_err sm_tls_server_new(const struct sm_tls_server_config *config, sm_tls_server **out, sm_diag *diag)
{
    if (config->certificate_count == 0 || config->certificate_count > SM_TLS_CERTIFICATES_MAX) {
        return sm_diag_set(diag, SM_ERR(INVALID), "tls.certificates", "1 to %d certificates are wanted",
                           SM_TLS_CERTIFICATES_MAX);
    }
    sm_tls_server *s = sm_calloc(1, sizeof(*s));
    if (s == NULL) {
        return SM_ERR(NO_MEMORY);
    }
    s->config = *config;
    s->config.certificates = s->files;
    s->config.client_ca_file = copy(config->client_ca_file);
    s->config.groups = copy(config->groups);
    for (size_t i = 0; i < config->certificate_count; i++) {
        s->files[i].certificate_file = copy(config->certificates[i].certificate_file);
        s->files[i].key_file = copy(config->certificates[i].key_file);
    }
    (void)pthread_mutex_init(&s->lock, NULL);
    rotate_tickets(s);
    rotate_tickets(s);
    sm_err err = make_set(s, &s->set, diag);
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
    (void)pthread_mutex_destroy(&s->lock);
    sm_wipe(s->tickets, sizeof(s->tickets));
    sm_free(s);
}

sm_err sm_tls_server_open(sm_tls_server *s, sm_tls_conn **out)
{
    (void)pthread_mutex_lock(&s->lock);
    struct tls_set *set = s->set;
    atomic_fetch_add(&set->refs, 1);
    (void)pthread_mutex_unlock(&s->lock);
    SSL *ssl = SSL_new(set->contexts[0]);
    if (ssl == NULL) {
        set_detach(set);
        return SM_ERR(NO_MEMORY);
    }
    SSL_set_accept_state(ssl);
    (void)SSL_set_app_data(ssl, set);
    return sm_tls_conn_wrap(ssl, false, set_detach, set, out);
}
