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
    if (config->ca_file != NULL) {
        SM_TRY(sm_tls_load_anchors(ctx, config->ca_file, "ca-file", diag));
    } else if (SSL_CTX_set_default_verify_paths(ctx) != 1) {
        return sm_diag_set(diag, SM_ERR(NOT_FOUND), "ca-file",
                           "this system has no trust anchors of its own: name a file");
    }
    if (config->certificate_file == NULL && config->key_file == NULL) {
        return SM_NO_ERR;
    }
    const struct sm_tls_files files = {config->certificate_file, config->key_file};
    return sm_tls_load_pair(ctx, &files, "cert", "key", diag);
}

static sm_err configure(sm_tls_client *client, const struct sm_tls_client_config *config,
                        sm_diag *diag)
{
    static const unsigned char alpn[] = "\x02h2";
    char why[128];
    SSL_CTX *ctx = client->ctx;
    if (!sm_tls_set_common(ctx, config->groups, TLS1_2_VERSION)) {
        return sm_diag_set(diag, SM_ERR(INVALID), "groups", "%s: %s",
                           config->groups == NULL ? SM_TLS_GROUPS_DEFAULT : config->groups,
                           sm_tls_error_text(why, sizeof(why)));
    }
    SM_TRY(load(ctx, config, diag));
    SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);
    (void)SSL_CTX_set_app_data(ctx, client);
    if (config->resume) {
        (void)SSL_CTX_set_session_cache_mode(ctx,
                                             SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
        SSL_CTX_sess_set_new_cb(ctx, on_session);
    }
    return SSL_CTX_set_alpn_protos(ctx, alpn, sizeof(alpn) - 1) == 0 ? SM_NO_ERR
                                                                     : SM_ERR(NO_MEMORY);
}

sm_err sm_tls_client_new(const struct sm_tls_client_config *config, sm_tls_client **out,
                         sm_diag *diag)
{
    sm_tls_client *client = sm_calloc(1, sizeof(*client));
    if (client == NULL) {
        return SM_ERR(NO_MEMORY);
    }
    client->ctx = SSL_CTX_new(TLS_client_method());
    client->server_name = sm_strdup(config->server_name);
    client->resume = config->resume;
    sm_err err = client->ctx == NULL || client->server_name == NULL
                     ? SM_ERR(NO_MEMORY)
                     : configure(client, config, diag);
    if (!sm_ok(err)) {
        sm_tls_client_free(&client);
        return err;
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

/* RFC 6066 3: no IP address in the server name extension. */
static bool set_name(SSL *ssl, const char *name)
{
    uint8_t address[16];
    if (inet_pton(AF_INET, name, address) == 1 || inet_pton(AF_INET6, name, address) == 1) {
        return X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), name) == 1;
    }
    /* SSL_set_tlsext_host_name without its macro's cast, which drops const. */
    union {
        const char *in;
        void *out;
    } host = {name};
    return SSL_set1_host(ssl, name) == 1 &&
           SSL_ctrl(ssl, SSL_CTRL_SET_TLSEXT_HOSTNAME, TLSEXT_NAMETYPE_host_name, host.out) == 1;
}

sm_err sm_tls_client_open(sm_tls_client *client, sm_tls_conn **out)
{
    SSL *ssl = SSL_new(client->ctx);
    if (ssl == NULL) {
        return SM_ERR(NO_MEMORY);
    }
    SSL_set_connect_state(ssl);
    if (!set_name(ssl, client->server_name)) {
        SSL_free(ssl);
        return SM_ERR(INVALID);
    }
    if (client->resume && client->session != NULL) {
        (void)SSL_set_session(ssl, client->session);
    }
    return sm_tls_conn_wrap(ssl, true, keep, NULL, out);
}
