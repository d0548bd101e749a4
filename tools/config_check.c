/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/config_check.h"

#include "api/profile.h"
#include "api/world.h"
#include "base/check.h"
#include "base/clock.h"
#include "tools/config.h"
#include "tools/serve.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static bool given(const char *s)
{
    return s != NULL && s[0] != '\0';
}

/* Where in the file: "listeners[1].tls". */
struct place {
    char path[SM_DIAG_FIELD_MAX];
};

__attribute__((format(printf, 1, 2))) static struct place at(const char *fmt, ...)
{
    struct place p;
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(p.path, sizeof(p.path), fmt, args);
    va_end(args);
    return p;
}

/* One of the words, or nothing. */
static sm_err check_word(const char *value, const char *const *words, size_t count,
                         struct place place, sm_diag *diag)
{
    char list[120];
    size_t len = 0;
    for (size_t i = 0; i < count; i++) {
        if (!given(value) || strcmp(value, words[i]) == 0) {
            return SM_NO_ERR;
        }
        len += (size_t)snprintf(list + len, sizeof(list) - len, "%s%s", i == 0 ? "" : ", ",
                                words[i]);
    }
    return sm_diag_set(diag, SM_ERR(INVALID), place.path, "\"%.40s\" is not one of %s", value,
                       list);
}

static sm_err check_duration(const char *value, struct place place, sm_diag *diag)
{
    int64_t s;
    return !given(value) || sm_ok(sm_duration_parse(sm_slice_str(value), &s))
               ? SM_NO_ERR
               : sm_diag_set(diag, SM_ERR(INVALID), place.path,
                             "\"%.40s\" is not a duration such as 90d or 12h", value);
}

static sm_err check_count(size_t count, size_t max, const char *what, sm_diag *diag)
{
    return count <= max ? SM_NO_ERR
                        : sm_diag_set(diag, SM_ERR(TOO_LARGE), what,
                                      "%zu entries, at most %zu are taken", count, max);
}

/* ---- folders, log, times ---- */

static sm_err check_keys(const Sealmill__Config__V1__KeyStore *k, sm_diag *diag)
{
    if (k == NULL || !given(k->dir)) {
        return sm_diag_set(diag, SM_ERR(INVALID), "keys.dir",
                           "it is needed: the folder of the encrypted keys");
    }
    int sources = given(k->passphrase_credential) + given(k->passphrase_env) +
                  given(k->passphrase_file);
    return sources <= 1 ? SM_NO_ERR
                        : sm_diag_set(diag, SM_ERR(INVALID), "keys",
                                      "keep one of passphrase_credential, passphrase_env and "
                                      "passphrase_file");
}

static sm_err check_log(const Sealmill__Config__V1__Log *log, sm_diag *diag)
{
    static const char *const levels[] = {"debug", "info", "warn", "error"};
    static const char *const formats[] = {"key-value", "json"};
    if (log == NULL) {
        return SM_NO_ERR;
    }
    SM_TRY(check_word(log->level, levels, SM_ARRAY_LEN(levels), at("log.level"), diag));
    return check_word(log->format, formats, SM_ARRAY_LEN(formats), at("log.format"), diag);
}

static sm_err check_ocsp(const Sealmill__Config__V1__Ocsp *o, sm_diag *diag)
{
    if (o == NULL) {
        return SM_NO_ERR;
    }
    SM_TRY(check_duration(o->validity, at("ocsp.validity"), diag));
    SM_TRY(check_duration(o->backdate, at("ocsp.backdate"), diag));
    return check_duration(o->responder_validity, at("ocsp.responder_validity"), diag);
}

/* ---- listeners ---- */

static sm_err check_tls(const Sealmill__Config__V1__Tls *tls, size_t i, sm_diag *diag)
{
    static const char *const client[] = {"none", "optional", "required"};
    static const char *const versions[] = {"1.2", "1.3"};
    if (tls->n_certificates == 0) {
        return sm_diag_set(diag, SM_ERR(INVALID), at("listeners[%zu].tls.certificates", i).path,
                           "at least one is needed, with certificate_file and key_file");
    }
    SM_TRY(check_count(tls->n_certificates, SM_TLS_CERTIFICATES_MAX,
                       at("listeners[%zu].tls.certificates", i).path, diag));
    for (size_t j = 0; j < tls->n_certificates; j++) {
        if (!given(tls->certificates[j]->certificate_file) ||
            !given(tls->certificates[j]->key_file)) {
            return sm_diag_set(diag, SM_ERR(INVALID),
                               at("listeners[%zu].tls.certificates[%zu]", i, j).path,
                               "certificate_file and key_file are needed");
        }
    }
    SM_TRY(check_word(tls->client_certificates, client, SM_ARRAY_LEN(client),
                      at("listeners[%zu].tls.client_certificates", i), diag));
    bool asks = given(tls->client_certificates) && strcmp(tls->client_certificates, "none") != 0;
    if (asks && !given(tls->client_ca_file)) {
        return sm_diag_set(diag, SM_ERR(INVALID), at("listeners[%zu].tls.client_ca_file", i).path,
                           "it is needed to verify client certificates");
    }
    return check_word(tls->minimum_version, versions, SM_ARRAY_LEN(versions),
                      at("listeners[%zu].tls.minimum_version", i), diag);
}

static sm_err check_listener(const Sealmill__Config__V1__Listener *l, size_t i, sm_diag *diag)
{
    static const char *const services[] = {"api", "public", "operations"};
    const char *name = given(l->name) ? l->name : "without a name";
    if (!given(l->address) && !given(l->systemd_socket)) {
        return sm_diag_set(diag, SM_ERR(INVALID), at("listeners[%zu].address", i).path,
                           "the listener \"%.40s\" needs an address, such as 127.0.0.1:9000", name);
    }
    if (l->tls == NULL && !l->plaintext) {
        return sm_diag_set(
            diag, SM_ERR(INVALID), at("listeners[%zu].tls", i).path,
            "the listener \"%.40s\" has no tls section: say plaintext: true if that is meant",
            name);
    }
    if (l->n_services == 0) {
        return sm_diag_set(diag, SM_ERR(INVALID), at("listeners[%zu].services", i).path,
                           "the listener \"%.40s\" serves nothing: name some of api, public, "
                           "operations",
                           name);
    }
    for (size_t j = 0; j < l->n_services; j++) {
        const char *word = given(l->services[j]) ? l->services[j] : "(nothing)";
        SM_TRY(check_word(word, services, SM_ARRAY_LEN(services),
                          at("listeners[%zu].services[%zu]", i, j), diag));
    }
    return l->tls == NULL ? SM_NO_ERR : check_tls(l->tls, i, diag);
}

/* ---- callers and keys ---- */

static bool is_sha256(const char *hex)
{
    return strlen(hex) == 64 && strspn(hex, "0123456789abcdefABCDEF") == 64;
}

static sm_err check_client(const Sealmill__Config__V1__ClientCertificate *c, size_t i,
                           sm_diag *diag)
{
    if (!given(c->subject) && !given(c->san) && !given(c->sha256)) {
        return sm_diag_set(diag, SM_ERR(INVALID), at("client_certificates[%zu]", i).path,
                           "it matches no certificate: give subject, san or sha256");
    }
    if (given(c->sha256) && !is_sha256(c->sha256)) {
        return sm_diag_set(diag, SM_ERR(INVALID), at("client_certificates[%zu].sha256", i).path,
                           "64 hexadecimal digits are wanted, without colons");
    }
    for (size_t j = 0; j < c->n_grants; j++) {
        if (c->grants[j]->role == SEALMILL__V1__ROLE__ROLE_UNSPECIFIED) {
            return sm_diag_set(diag, SM_ERR(INVALID),
                               at("client_certificates[%zu].grants[%zu].role", i, j).path,
                               "one of admin, operator, ra, auditor, reader is wanted");
        }
    }
    return SM_NO_ERR;
}

static sm_err check_signing_key(const Sealmill__V1__SigningKey *k, size_t i, sm_diag *diag)
{
    if (!given(k->name)) {
        return sm_diag_set(diag, SM_ERR(INVALID), at("signing_keys[%zu].name", i).path,
                           "it is needed");
    }
    return given(k->key_uri)
               ? SM_NO_ERR
               : sm_diag_set(diag, SM_ERR(INVALID), at("signing_keys[%zu].key_uri", i).path,
                             "it is needed: file:NAME in the key folder, or a pkcs11: URI");
}

/* ---- profiles ---- */

static sm_err check_profiles(const Sealmill__Config__V1__Config *c, sm_arena *arena, sm_diag *diag)
{
    SM_TRY(check_count(c->n_profiles, SM_PROFILES_MAX, "profiles", diag));
    for (size_t i = 0; i < c->n_profiles; i++) {
        sm_diag inner = {.reason = ""};
        struct sm_profile compiled;
        sm_err err = sm_profile_compile(c->profiles[i], arena, &compiled, &inner);
        if (!sm_ok(err)) {
            return sm_diag_set(diag, err, at("profiles[%zu].%.40s", i, inner.field).path, "%s",
                               inner.reason);
        }
        sm_profile_deinit(&compiled);
        for (size_t j = 0; j < i; j++) {
            if (strcmp(c->profiles[j]->name, c->profiles[i]->name) == 0) {
                return sm_diag_set(diag, SM_ERR(INVALID), at("profiles[%zu].name", i).path,
                                   "there are two profiles \"%.40s\": rename one",
                                   c->profiles[i]->name);
            }
        }
    }
    return SM_NO_ERR;
}

sm_err config_check(const Sealmill__Config__V1__Config *c, sm_arena *arena, sm_diag *diag)
{
    struct sm_token_config tokens[SM_TOKENS_MAX];
    struct sm_http_limits limits;
    if (!given(c->data_dir)) {
        return sm_diag_set(diag, SM_ERR(INVALID), "data_dir",
                           "it is needed: the folder of the database");
    }
    if (c->threads > SERVE_LOOPS_MAX) {
        return sm_diag_set(diag, SM_ERR(INVALID), "threads", "at most %d", SERVE_LOOPS_MAX);
    }
    SM_TRY(check_keys(c->keys, diag));
    SM_TRY(check_log(c->log, diag));
    SM_TRY(check_ocsp(c->ocsp, diag));
    SM_TRY(check_count(c->n_listeners, SERVE_LISTENERS_MAX, "listeners", diag));
    for (size_t i = 0; i < c->n_listeners; i++) {
        SM_TRY(check_listener(c->listeners[i], i, diag));
    }
    SM_TRY(check_profiles(c, arena, diag));
    for (size_t i = 0; i < c->n_client_certificates; i++) {
        SM_TRY(check_client(c->client_certificates[i], i, diag));
    }
    for (size_t i = 0; i < c->n_signing_keys; i++) {
        SM_TRY(check_signing_key(c->signing_keys[i], i, diag));
    }
    SM_TRY(config_tokens(c, tokens, diag));
    return config_limits(c, &limits, diag);
}
