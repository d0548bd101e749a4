/* SPDX-License-Identifier: Apache-2.0 */
/* What the listeners of a configuration mean, for those who check it and for the server alike. */
#include "tools/config.h"

#include "base/check.h"

#include <string.h>

sm_err config_services(const Sealmill__Config__V1__Listener *l, unsigned *out, sm_diag *diag)
{
    static const struct {
        const char *name;
        unsigned bit;
    } known[] = {{"api", CONFIG_SERVICE_API},
                 {"public", CONFIG_SERVICE_PUBLIC},
                 {"operations", CONFIG_SERVICE_OPERATIONS},
                 {"est", CONFIG_SERVICE_EST}};
    unsigned bits = 0;
    for (size_t i = 0; i < l->n_services; i++) {
        unsigned bit = 0;
        for (size_t j = 0; j < SM_ARRAY_LEN(known); j++) {
            bit |= strcmp(known[j].name, l->services[i]) == 0 ? known[j].bit : 0;
        }
        if (bit == 0) {
            return sm_diag_set(diag, SM_ERR(INVALID), "services",
                               "\"%.40s\" is not one of api, public, operations, est",
                               l->services[i]);
        }
        bits |= bit;
    }
    *out = bits;
    return bits != 0
               ? SM_NO_ERR
               : sm_diag_set(diag, SM_ERR(INVALID), "services",
                             "the listener serves nothing: name api, public, operations or est");
}

/* The place of `text` in a list; `count` when it is not there. "" is the first. */
static size_t index_of(const char *text, const char *const *names, size_t count)
{
    size_t i = 0;
    while (text[0] != '\0' && i < count && strcmp(text, names[i]) != 0) {
        i++;
    }
    return i;
}

static const char *or_null(const char *s)
{
    return s[0] == '\0' ? NULL : s;
}

static sm_err fill_files(const Sealmill__Config__V1__Tls *tls, struct sm_tls_files *files,
                         sm_diag *diag)
{
    if (tls->n_certificates == 0 || tls->n_certificates > SM_TLS_CERTIFICATES_MAX) {
        return sm_diag_set(diag, SM_ERR(INVALID), "tls.certificates",
                           "1 to %d certificates are wanted", SM_TLS_CERTIFICATES_MAX);
    }
    for (size_t i = 0; i < tls->n_certificates; i++) {
        const Sealmill__Config__V1__TlsCertificate *c = tls->certificates[i];
        if (c->certificate_file[0] == '\0' || c->key_file[0] == '\0') {
            return sm_diag_set(diag, SM_ERR(INVALID), "tls.certificates",
                               "each has a certificate_file and a key_file");
        }
        files[i] = (struct sm_tls_files){c->certificate_file, c->key_file};
    }
    return SM_NO_ERR;
}

sm_err config_tls(const Sealmill__Config__V1__Tls *tls, struct config_tls *out, sm_diag *diag)
{
    static const char *const ways[] = {"none", "optional", "required", "any"};
    static const char *const versions[] = {"1.2", "1.3"};
    size_t way = index_of(tls->client_certificates, ways, SM_ARRAY_LEN(ways));
    size_t version = index_of(tls->minimum_version, versions, SM_ARRAY_LEN(versions));
    SM_TRY(fill_files(tls, out->files, diag));
    if (way == SM_ARRAY_LEN(ways)) {
        return sm_diag_set(diag, SM_ERR(INVALID), "tls.client_certificates",
                           "\"%.40s\" is not one of none, optional, required, any",
                           tls->client_certificates);
    }
    if (version == SM_ARRAY_LEN(versions)) {
        return sm_diag_set(diag, SM_ERR(INVALID), "tls.minimum_version",
                           "\"%.40s\" is not one of \"1.2\", \"1.3\"", tls->minimum_version);
    }
    bool verifies = way == SM_TLS_CLIENT_OPTIONAL || way == SM_TLS_CLIENT_REQUIRED;
    if (verifies && tls->client_ca_file[0] == '\0') {
        return sm_diag_set(diag, SM_ERR(INVALID), "tls.client_ca_file",
                           "it is needed to verify client certificates");
    }
    out->config = (struct sm_tls_server_config){
        .certificates = out->files,
        .certificate_count = tls->n_certificates,
        .client_auth = (enum sm_tls_client_auth)way,
        .client_ca_file = or_null(tls->client_ca_file),
        .groups = or_null(tls->groups),
        .minimum_version = version == 1 ? 0x0304 : 0x0303,
        .no_resumption = tls->no_session_resumption,
    };
    return SM_NO_ERR;
}
