/* SPDX-License-Identifier: Apache-2.0 */
#include "io/tls.h"

#include "base/mem.h"
#include "io/tls_p.h"

#include <arpa/inet.h>
#include <openssl/x509v3.h>

struct sm_tls_client {
    SSL_CTX *ctx;
    char *server_name;
    SSL_SESSION *session; /* the last one, when resuming */
    bool resume;
};

/* On the loop of the connection; a client belongs to one loop. */
static int on_session(SSL *ssl, SSL_SESSION *session)
{
    sm_tls_client *client = SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));
    SSL_SESSION_free(client->session);
    client->session = session;
    return 1; /* taken */
}

static sm_err load(SSL_CTX *ctx, const struct sm_tls_client_config *config, sm_diag *diag)
{
    char why[128];
    bool anchors = config->ca_file == NULL ? SSL_CTX_set_default_verify_paths(ctx) == 1
                                           : SSL_CTX_load_verify_file(ctx, config->ca_file) == 1;
    if (!anchors) {
        return sm_diag_set(diag, SM_ERR(INVALID), "ca-file", "%s: %s", config->ca_file == NULL ? "" : config->ca_file,
                           sm_tls_error_text(why, sizeof(why)));
    }
    if (config->certificate_file == NULL) {
        return SM_NO_ERR;
    }
    if (SSL_CTX_use_certificate_chain_file(ctx, config->certificate_file) != 1) {
        return sm_diag_set(diag, SM_ERR(INVALID), "cert", "%s: %s", config->certificate_file,
                           sm_tls_error_text(why, sizeof(why)));
    }
    if (config->key_file == NULL || SSL_CTX_use_PrivateKey_file(ctx, config->key_file, SSL_FILETYPE_PEM) != 1) {
        return sm_diag_set(diag, SM_ERR(INVALID), "key", "%s: %s", config->key_file == NULL ? "--key" : config->key_file,
                           sm_tls_error_text(why, sizeof(why)));
    }
    return SM_NO_ERR;
}

sm_err sm_tls_client_new(const struct sm_tls_client_config *config, sm_tls_client **out, sm_diag *diag)
{
    static const unsigned char alpn[] = "\x02h2";
    sm_tls_client *client = sm_calloc(1, sizeof(*client));
    if (client == NULL) {
        return SM_ERR(NO_MEMORY);
    }
    client->ctx = SSL_CTX_new(TLS_client_method());
    client->server_name = sm_strdup(config->server_name);
    client->resume = config->resume;
    sm_err err = client->ctx == NULL || client->server_name == NULL ||
                         !sm_tls_set_common(client->ctx, config->groups, TLS1_2_VERSION)
                     ? SM_ERR(NO_MEMORY)
                     : load(client->ctx, config, diag);
    if (!sm_ok(err)) {
        sm_tls_client_free(&client);
        return err;
    }
    SSL_CTX_set_verify(client->ctx, SSL_VERIFY_PEER, NULL);
    (void)SSL_CTX_set_alpn_protos(client->ctx, alpn, sizeof(alpn) - 1);
    (void)SSL_CTX_set_app_data(client->ctx, client);
    if (config->resume) {
        (void)SSL_CTX_set_session_cache_mode(client->ctx, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
        SSL_CTX_sess_set_new_cb(client->ctx, on_session);
    }
    *out = client;
    return SM_NO_ERR;
}

void sm_tls_client_free(sm_tls_client **out)
{
    sm_tls_client *client = *out;
    if (client == NULL) {
        return;
    }
    *out = NULL;
    SSL_SESSION_free(client->session);
    SSL_CTX_free(client->ctx);
    sm_free(client->server_name);
    sm_free(client);
}

static void keep(void *owner)
{
    (void)owner; /* the client outlives its connections */
}

sm_err sm_tls_client_open(sm_tls_client *client, sm_tls_conn **out)
{
    SSL *ssl = SSL_new(client->ctx);
    if (ssl == NULL) {
        return SM_ERR(NO_MEMORY);
    }
    uint8_t address[16];
    bool is_ip = inet_pton(AF_INET, client->server_name, address) == 1 ||
                 inet_pton(AF_INET6, client->server_name, address) == 1;
    bool good = is_ip ? X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), client->server_name) == 1
                      : SSL_set1_host(ssl, client->server_name) == 1 &&
                            SSL_set_tlsext_host_name(ssl, client->server_name) == 1;
    if (!good) {
        SSL_free(ssl);
        return SM_ERR(INVALID);
    }
    if (client->resume && client->session != NULL) {
        (void)SSL_set_session(ssl, client->session);
    }
    SSL_set_connect_state(ssl);
    return sm_tls_conn_wrap(ssl, true, keep, NULL, out);
}
