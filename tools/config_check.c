/* SPDX-License-Identifier: Apache-2.0 */
/* What is wrong with a configuration that the reader took. */
#include "tools/config.h"

#include "api/denied.h"
#include "api/profile.h"
#include "api/world.h"
#include "base/clock.h"
#include "base/text.h"
#include "io/address.h"
#include "sign/name.h"
#include "tools/serve.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

struct check {
    const Sealmill__Config__V1__Config *config;
    bool files; /* look at them */
    sm_arena arena;
    sm_diag *diag;
};

static bool given(const char *s)
{
    return s != NULL && s[0] != '\0';
}

/* A path in the configuration: "listeners[1].address". */
struct place {
    char text[SM_DIAG_FIELD_MAX];
};

__attribute__((format(printf, 1, 2))) static struct place at(const char *fmt, ...)
{
    struct place place;
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(place.text, sizeof(place.text), fmt, args);
    va_end(args);
    return place;
}

/* What an inner check said, with the path in front of its field. */
static sm_err pass_on(struct check *c, sm_err err, struct place place, const sm_diag *inner)
{
    char field[SM_DIAG_FIELD_MAX + SM_DIAG_FIELD_MAX];
    (void)snprintf(field, sizeof(field), "%s%s%s", place.text, inner->field[0] == '\0' ? "" : ".",
                   inner->field);
    return sm_diag_set(c->diag, err, field, "%s",
                       inner->reason[0] == '\0' ? sm_err_words(err) : inner->reason);
}

/* ---- files ---- */

static sm_err check_file(struct check *c, const char *path, struct place place)
{
    FILE *file = c->files && given(path) ? fopen(path, "re") : NULL;
    if (c->files && given(path) && file == NULL) {
        return sm_diag_set(c->diag, errno == ENOENT ? SM_ERR(NOT_FOUND) : SM_ERR(OS), place.text,
                           "%s: %s", path, strerror(errno));
    }
    if (file != NULL) {
        (void)fclose(file);
    }
    return SM_NO_ERR;
}

/* A private key, a PIN, a passphrase: its group may read it (a service's account under another
 * owner's file is usual), others may not. systemd's credentials are private as they come. */
static sm_err check_secret_file(struct check *c, const char *path, struct place place)
{
    struct stat st;
    SM_TRY(check_file(c, path, place));
    if (c->files && given(path) && stat(path, &st) == 0 &&
        (st.st_mode & (S_IRWXO | S_IWGRP)) != 0) {
        return sm_diag_set(c->diag, SM_ERR(INVALID), place.text,
                           "others may read or change %s: chmod 600 it", path);
    }
    return SM_NO_ERR;
}

/* ---- listeners ---- */

static sm_err check_tls(struct check *c, const Sealmill__Config__V1__Tls *tls, size_t i)
{
    struct config_tls meant;
    sm_tls_server *server;
    sm_diag inner = {.reason = ""};
    sm_err err = config_tls(tls, &meant, &inner);
    if (!sm_ok(err)) {
        return pass_on(c, err, at("listeners[%zu]", i), &inner);
    }
    if (!c->files) {
        return SM_NO_ERR;
    }
    for (size_t j = 0; j < tls->n_certificates; j++) {
        SM_TRY(check_file(c, tls->certificates[j]->certificate_file,
                          at("listeners[%zu].tls.certificates[%zu].certificate_file", i, j)));
        SM_TRY(check_secret_file(c, tls->certificates[j]->key_file,
                                 at("listeners[%zu].tls.certificates[%zu].key_file", i, j)));
    }
    SM_TRY(check_file(c, tls->client_ca_file, at("listeners[%zu].tls.client_ca_file", i)));
    err = sm_tls_server_new(&meant.config, &server, &inner);
    if (!sm_ok(err)) {
        return pass_on(c, err, at("listeners[%zu]", i), &inner);
    }
    sm_tls_server_free(&server);
    return SM_NO_ERR;
}

static bool has_port(const struct sockaddr_storage *address)
{
    /* sin_port and sin6_port are at the same place. */
    struct sockaddr_in in;
    memcpy(&in, address, sizeof(in));
    return in.sin_port != 0;
}

static sm_err check_address(struct check *c, size_t i)
{
    const Sealmill__Config__V1__Listener *l = c->config->listeners[i];
    struct sockaddr_storage mine;
    struct sockaddr_storage other;
    socklen_t len;
    struct place place = at("listeners[%zu].address", i);
    if (given(l->systemd_socket)) {
        return SM_NO_ERR;
    }
    if (!given(l->address)) {
        return sm_diag_set(c->diag, SM_ERR(INVALID), place.text,
                           "the listener \"%.40s\" needs an address such as 127.0.0.1:9000",
                           l->name);
    }
    if (!sm_ok(sm_address_parse(l->address, &mine, &len))) {
        return sm_diag_set(c->diag, SM_ERR(INVALID), place.text,
                           "\"%.60s\" is not an address such as 127.0.0.1:9000 or [::]:9000",
                           l->address);
    }
    for (size_t j = 0; has_port(&mine) && j < i; j++) {
        const Sealmill__Config__V1__Listener *before = c->config->listeners[j];
        if (!given(before->systemd_socket) &&
            sm_ok(sm_address_parse(before->address, &other, &len)) &&
            memcmp(&mine, &other, len) == 0) {
            return sm_diag_set(c->diag, SM_ERR(INVALID), place.text,
                               "%.60s is listeners[%zu]'s already", l->address, j);
        }
    }
    return SM_NO_ERR;
}

static sm_err check_listener(struct check *c, size_t i)
{
    const Sealmill__Config__V1__Listener *l = c->config->listeners[i];
    unsigned services;
    sm_diag inner = {.reason = ""};
    for (size_t j = 0; given(l->name) && j < i; j++) {
        if (strcmp(c->config->listeners[j]->name, l->name) == 0) {
            return sm_diag_set(c->diag, SM_ERR(INVALID), at("listeners[%zu].name", i).text,
                               "\"%.40s\" is the name of listeners[%zu] already", l->name, j);
        }
    }
    SM_TRY(check_address(c, i));
    sm_err err = config_services(l, &services, &inner);
    if (!sm_ok(err)) {
        return pass_on(c, err, at("listeners[%zu]", i), &inner);
    }
    if (l->tls == NULL && !l->plaintext) {
        return sm_diag_set(
            c->diag, SM_ERR(INVALID), at("listeners[%zu]", i).text,
            "the listener \"%.40s\" has no tls section: say plaintext: true if that is meant",
            l->name);
    }
    if (l->tls != NULL && l->plaintext) {
        return sm_diag_set(c->diag, SM_ERR(INVALID), at("listeners[%zu].plaintext", i).text,
                           "a listener has a tls section or plaintext: true, not both");
    }
    return l->tls == NULL ? SM_NO_ERR : check_tls(c, l->tls, i);
}

static sm_err check_listeners(struct check *c)
{
    if (c->config->n_listeners > SERVE_LISTENERS_MAX) {
        return sm_diag_set(c->diag, SM_ERR(TOO_LARGE), "listeners", "more than %d listeners",
                           SERVE_LISTENERS_MAX);
    }
    for (size_t i = 0; i < c->config->n_listeners; i++) {
        SM_TRY(check_listener(c, i));
    }
    return SM_NO_ERR;
}

/* ---- profiles and keys ---- */

/* Names stand in paths of the API, in logs and in grants. */
static bool name_is_good(const char *name)
{
    for (const char *s = name; *s != '\0'; s++) {
        bool word = (*s >= 'a' && *s <= 'z') || (*s >= 'A' && *s <= 'Z') ||
                    (*s >= '0' && *s <= '9') || *s == '-' || *s == '_' || *s == '.';
        if (!word) {
            return false;
        }
    }
    return name[0] != '\0' && name[0] != '.' && strlen(name) <= 63;
}

static sm_err check_name(struct check *c, const char *name, struct place place)
{
    return name_is_good(name)
               ? SM_NO_ERR
               : sm_diag_set(c->diag, SM_ERR(INVALID), place.text,
                             "a name of 1 to 63 letters, digits, '-', '_' and '.' is wanted");
}

static sm_err check_profile(struct check *c, size_t i)
{
    struct sm_profile compiled;
    Sealmill__V1__Profile *profile = c->config->profiles[i];
    sm_diag inner = {.reason = ""};
    struct place name = at("profiles[%zu].name", i);
    SM_TRY(check_name(c, profile->name, name));
    for (size_t j = 0; j < i; j++) {
        if (strcmp(c->config->profiles[j]->name, profile->name) == 0) {
            return sm_diag_set(c->diag, SM_ERR(INVALID), name.text,
                               "\"%s\" is the name of profiles[%zu] already", profile->name, j);
        }
    }
    sm_err err = sm_profile_compile(profile, &c->arena, &compiled, &inner);
    if (!sm_ok(err)) {
        return pass_on(c, err, at("profiles[%zu]", i), &inner);
    }
    sm_profile_deinit(&compiled);
    return SM_NO_ERR;
}

static sm_err check_profiles(struct check *c)
{
    if (c->config->n_profiles > SM_PROFILES_MAX) {
        return sm_diag_set(c->diag, SM_ERR(TOO_LARGE), "profiles", "more than %d profiles",
                           SM_PROFILES_MAX);
    }
    for (size_t i = 0; i < c->config->n_profiles; i++) {
        SM_TRY(check_profile(c, i));
    }
    return SM_NO_ERR;
}

static sm_err check_signing_keys(struct check *c)
{
    for (size_t i = 0; i < c->config->n_signing_keys; i++) {
        const Sealmill__V1__SigningKey *key = c->config->signing_keys[i];
        struct place name = at("signing_keys[%zu].name", i);
        SM_TRY(check_name(c, key->name, name));
        if (strncmp(key->key_uri, "file:", 5) != 0 && strncmp(key->key_uri, "pkcs11:", 7) != 0) {
            return sm_diag_set(c->diag, SM_ERR(INVALID), at("signing_keys[%zu].key_uri", i).text,
                               "file:NAME or a pkcs11: URI is wanted");
        }
        for (size_t j = 0; j < i; j++) {
            if (strcmp(c->config->signing_keys[j]->name, key->name) == 0) {
                return sm_diag_set(c->diag, SM_ERR(INVALID), name.text,
                                   "\"%s\" is the name of signing_keys[%zu] already", key->name, j);
            }
        }
    }
    return SM_NO_ERR;
}

/* ---- callers ---- */

/* A rule is compared with what the server makes of a certificate's subject: the same text is wanted,
 * to the space. */
static sm_err check_subject(struct check *c, const char *subject, struct place place)
{
    struct sm_name name;
    struct sm_name reverse = {.count = 0};
    sm_err err = sm_name_from_text(sm_slice_str(subject), &c->arena, &name, NULL);
    if (!sm_ok(err)) {
        return sm_diag_set(c->diag, err, place.text,
                           "\"%.60s\" is not a subject such as CN=factory-ra,O=Acme", subject);
    }
    for (size_t i = 0; i < name.count; i++) {
        size_t from = name.count - 1 - i;
        reverse.at[i] = name.at[from];
        reverse.at[i].with_previous = i > 0 && name.at[from + 1].with_previous;
    }
    reverse.count = name.count;
    sm_buf der = sm_buf_init(8192);
    sm_buf text = sm_buf_init(8192);
    sm_name_write(&der, &reverse);
    err = sm_buf_err(&der);
    err = sm_ok(err) ? sm_name_to_text(sm_buf_slice(&der), &text) : err;
    if (sm_ok(err) && !sm_slice_equal(sm_buf_slice(&text), sm_slice_str(subject))) {
        err = sm_diag_set(c->diag, SM_ERR(INVALID), place.text,
                          "no certificate's subject is written so: write \"%.*s\"",
                          (int)(text.len < 160 ? text.len : 160), (const char *)text.ptr);
    }
    sm_buf_deinit(&der);
    sm_buf_deinit(&text);
    return err;
}

static bool is_sha256(const char *text)
{
    return strlen(text) == 64 && strspn(text, "0123456789abcdefABCDEF") == 64;
}

static sm_err check_caller(struct check *c, size_t i)
{
    const Sealmill__Config__V1__ClientCertificate *rule = c->config->client_certificates[i];
    if (!given(rule->subject) && !given(rule->san) && !given(rule->sha256)) {
        return sm_diag_set(c->diag, SM_ERR(INVALID), at("client_certificates[%zu]", i).text,
                           "the rule matches nothing: it needs a subject, a san or a sha256");
    }
    if (given(rule->sha256) && !is_sha256(rule->sha256)) {
        return sm_diag_set(c->diag, SM_ERR(INVALID), at("client_certificates[%zu].sha256", i).text,
                           "64 hex digits are wanted: openssl x509 -outform DER | sha256sum");
    }
    if (given(rule->subject)) {
        SM_TRY(check_subject(c, rule->subject, at("client_certificates[%zu].subject", i)));
    }
    for (size_t j = 0; j < rule->n_grants; j++) {
        if (rule->grants[j]->role == SEALMILL__V1__ROLE__ROLE_UNSPECIFIED) {
            return sm_diag_set(c->diag, SM_ERR(INVALID),
                               at("client_certificates[%zu].grants[%zu].role", i, j).text,
                               "one of admin, operator, ra, auditor, reader is wanted");
        }
    }
    return SM_NO_ERR;
}

/* ---- the rest ---- */

static sm_err check_word(struct check *c, const char *text, const char *field,
                         const char *const *words, const char *list)
{
    for (size_t i = 0; given(text); i++) {
        if (words[i] == NULL) {
            return sm_diag_set(c->diag, SM_ERR(INVALID), field, "\"%.40s\" is not one of %s", text,
                               list);
        }
        if (strcmp(words[i], text) == 0) {
            break;
        }
    }
    return SM_NO_ERR;
}

static sm_err check_log(struct check *c)
{
    static const char *const levels[] = {"debug", "info", "warn", "error", NULL};
    static const char *const formats[] = {"key-value", "json", NULL};
    const Sealmill__Config__V1__Log *log = c->config->log;
    if (log == NULL) {
        return SM_NO_ERR;
    }
    SM_TRY(check_word(c, log->level, "log.level", levels, "debug, info, warn, error"));
    return check_word(c, log->format, "log.format", formats, "key-value, json");
}

static sm_err check_duration(struct check *c, const char *text, const char *field)
{
    int64_t s;
    if (given(text) && (!sm_ok(sm_duration_parse(sm_slice_str(text), &s)) || s <= 0)) {
        return sm_diag_set(c->diag, SM_ERR(INVALID), field,
                           "\"%.40s\" is not a duration such as 5m, 12h or 30d", text);
    }
    return SM_NO_ERR;
}

static sm_err check_ocsp(struct check *c)
{
    const Sealmill__Config__V1__Ocsp *ocsp = c->config->ocsp;
    if (ocsp == NULL) {
        return SM_NO_ERR;
    }
    SM_TRY(check_duration(c, ocsp->validity, "ocsp.validity"));
    if (strcmp(ocsp->backdate, "0s") != 0) {
        SM_TRY(check_duration(c, ocsp->backdate, "ocsp.backdate"));
    }
    return check_duration(c, ocsp->responder_validity, "ocsp.responder_validity");
}

static sm_err check_keys(struct check *c)
{
    const Sealmill__Config__V1__KeyStore *keys = c->config->keys;
    if (keys == NULL || !given(keys->dir)) {
        return sm_diag_set(c->diag, SM_ERR(INVALID), "keys.dir",
                           "it is needed: the folder of the encrypted keys");
    }
    int sources = given(keys->passphrase_file) + given(keys->passphrase_env) +
                  given(keys->passphrase_credential);
    if (sources != 1) {
        return sm_diag_set(c->diag, SM_ERR(INVALID), "keys",
                           "exactly one of passphrase_file, passphrase_env and "
                           "passphrase_credential must be set");
    }
    return check_secret_file(c, keys->passphrase_file, at("keys.passphrase_file"));
}

static sm_err check_tokens(struct check *c)
{
    struct sm_token_config tokens[SM_TOKENS_MAX];
    SM_TRY(config_tokens(c->config, tokens, c->diag));
    for (size_t i = 0; i < c->config->n_pkcs11; i++) {
        const Sealmill__Config__V1__Pkcs11Token *t = c->config->pkcs11[i];
        if (strncmp(t->uri, "pkcs11:", 7) != 0) {
            return sm_diag_set(c->diag, SM_ERR(INVALID), at("pkcs11[%zu].uri", i).text,
                               "it is needed: which token, and its module, such as "
                               "pkcs11:token=ca?module-path=/usr/lib/...");
        }
        if (t->sessions > SM_TOKEN_SESSIONS_MAX) {
            return sm_diag_set(c->diag, SM_ERR(INVALID), at("pkcs11[%zu].sessions", i).text,
                               "at most %d", SM_TOKEN_SESSIONS_MAX);
        }
        SM_TRY(check_secret_file(c, t->pin_file, at("pkcs11[%zu].pin_file", i)));
    }
    return SM_NO_ERR;
}

static sm_err check_denied(struct check *c)
{
    struct sm_denied_keys keys = {.hashes = NULL};
    if (!c->files || !given(c->config->denied_keys_file)) {
        return SM_NO_ERR;
    }
    SM_TRY(check_file(c, c->config->denied_keys_file, at("denied_keys_file")));
    sm_err err = sm_denied_keys_read(&keys, c->config->denied_keys_file, c->diag);
    sm_denied_keys_deinit(&keys);
    return err;
}

static sm_err check_all(struct check *c)
{
    struct sm_http_limits limits;
    if (!given(c->config->data_dir)) {
        return sm_diag_set(c->diag, SM_ERR(INVALID), "data_dir",
                           "it is needed: the folder of the database");
    }
    SM_TRY(check_keys(c));
    if (c->config->threads > SERVE_LOOPS_MAX) {
        return sm_diag_set(c->diag, SM_ERR(INVALID), "threads", "at most %d", SERVE_LOOPS_MAX);
    }
    SM_TRY(check_log(c));
    SM_TRY(check_listeners(c));
    SM_TRY(check_profiles(c));
    for (size_t i = 0; i < c->config->n_client_certificates; i++) {
        SM_TRY(check_caller(c, i));
    }
    SM_TRY(check_signing_keys(c));
    SM_TRY(config_limits(c->config, &limits, c->diag));
    SM_TRY(check_ocsp(c));
    SM_TRY(check_tokens(c));
    return check_denied(c);
}

sm_err config_check(const Sealmill__Config__V1__Config *config, enum config_files files,
                    sm_diag *diag)
{
    struct check c = {.config = config, .files = files == CONFIG_FILES_HERE, .diag = diag};
    sm_arena_init(&c.arena, 64U << 20);
    sm_err err = check_all(&c);
    sm_arena_deinit(&c.arena);
    return err;
}
