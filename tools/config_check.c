/* SPDX-License-Identifier: Apache-2.0 */
/* What is wrong with a configuration that the reader took. */
#include "tools/config_check_p.h"

#include "api/crl.h"
#include "api/denied.h"
#include "api/label.h"
#include "api/ocsp_responder.h"
#include "api/profile.h"
#include "api/record.h"
#include "api/world.h"
#include "base/clock.h"
#include "base/text.h"
#include "sign/name.h"
#include "sign/password.h"
#include "tools/serve.h"

#include <string.h>

/* ---- profiles and keys ---- */

static sm_err check_name(struct check *c, const char *name, struct place place)
{
    return sm_record_name_is_good(name)
               ? SM_NO_ERR
               : sm_diag_set(c->diag, SM_ERR(INVALID), place.text,
                             "a name of 1 to 63 letters, digits, '-', '_' and '.' is wanted");
}

static sm_err check_profile(struct check *c, size_t i)
{
    struct sm_profile compiled;
    Sealmill__V1__Profile *profile = c->config->profiles[i];
    sm_diag inner = {.reason = ""};
    struct place name = config_at("profiles[%zu].name", i);
    SM_TRY(check_name(c, profile->name, name));
    for (size_t j = 0; j < i; j++) {
        if (strcmp(c->config->profiles[j]->name, profile->name) == 0) {
            return sm_diag_set(c->diag, SM_ERR(INVALID), name.text,
                               "\"%s\" is the name of profiles[%zu] already", profile->name, j);
        }
    }
    sm_err err = sm_profile_compile(profile, &c->arena, &compiled, &inner);
    if (!sm_ok(err)) {
        return config_pass_on(c, err, config_at("profiles[%zu]", i), &inner);
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
        struct place name = config_at("signing_keys[%zu].name", i);
        SM_TRY(check_name(c, key->name, name));
        if (strncmp(key->key_uri, "file:", 5) != 0 && strncmp(key->key_uri, "pkcs11:", 7) != 0) {
            return sm_diag_set(c->diag, SM_ERR(INVALID),
                               config_at("signing_keys[%zu].key_uri", i).text,
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
    if (!config_given(rule->subject) && !config_given(rule->san) && !config_given(rule->sha256)) {
        return sm_diag_set(c->diag, SM_ERR(INVALID), config_at("client_certificates[%zu]", i).text,
                           "the rule matches nothing: it needs a subject, a san or a sha256");
    }
    if (config_given(rule->sha256) && !is_sha256(rule->sha256)) {
        return sm_diag_set(c->diag, SM_ERR(INVALID),
                           config_at("client_certificates[%zu].sha256", i).text,
                           "64 hex digits are wanted: openssl x509 -outform DER | sha256sum");
    }
    if (config_given(rule->subject)) {
        SM_TRY(check_subject(c, rule->subject, config_at("client_certificates[%zu].subject", i)));
    }
    for (size_t j = 0; j < rule->n_grants; j++) {
        if (rule->grants[j]->role == SEALMILL__V1__ROLE__ROLE_UNSPECIFIED) {
            return sm_diag_set(c->diag, SM_ERR(INVALID),
                               config_at("client_certificates[%zu].grants[%zu].role", i, j).text,
                               "one of admin, operator, ra, auditor, reader is wanted");
        }
    }
    return SM_NO_ERR;
}

/* ---- the rest ---- */

static sm_err check_word(struct check *c, const char *text, const char *field,
                         const char *const *words, const char *list)
{
    for (size_t i = 0; config_given(text); i++) {
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

static sm_err check_ocsp(struct check *c)
{
    const Sealmill__Config__V1__Ocsp *ocsp = c->config->ocsp;
    if (ocsp == NULL) {
        return SM_NO_ERR;
    }
    return sm_ocsp_config_check(ocsp, c->diag);
}

static sm_err check_keys(struct check *c)
{
    const Sealmill__Config__V1__KeyStore *keys = c->config->keys;
    if (keys == NULL || !config_given(keys->dir)) {
        return sm_diag_set(c->diag, SM_ERR(INVALID), "keys.dir",
                           "it is needed: the folder of the encrypted keys");
    }
    int sources = config_given(keys->passphrase_file) + config_given(keys->passphrase_env) +
                  config_given(keys->passphrase_credential);
    if (sources != 1) {
        return sm_diag_set(c->diag, SM_ERR(INVALID), "keys",
                           "exactly one of passphrase_file, passphrase_env and "
                           "passphrase_credential must be set");
    }
    return config_check_secret_file(c, keys->passphrase_file, config_at("keys.passphrase_file"));
}

static sm_err check_tokens(struct check *c)
{
    struct sm_token_config tokens[SM_TOKENS_MAX];
    SM_TRY(config_tokens(c->config, tokens, c->diag));
    for (size_t i = 0; i < c->config->n_pkcs11; i++) {
        const Sealmill__Config__V1__Pkcs11Token *t = c->config->pkcs11[i];
        if (strncmp(t->uri, "pkcs11:", 7) != 0) {
            return sm_diag_set(c->diag, SM_ERR(INVALID), config_at("pkcs11[%zu].uri", i).text,
                               "it is needed: which token, and its module, such as "
                               "pkcs11:token=ca?module-path=/usr/lib/...");
        }
        if (t->sessions > SM_TOKEN_SESSIONS_MAX) {
            return sm_diag_set(c->diag, SM_ERR(INVALID), config_at("pkcs11[%zu].sessions", i).text,
                               "at most %d", SM_TOKEN_SESSIONS_MAX);
        }
        SM_TRY(config_check_secret_file(c, t->pin_file, config_at("pkcs11[%zu].pin_file", i)));
    }
    return SM_NO_ERR;
}

static sm_err check_denied(struct check *c)
{
    struct sm_denied_keys keys = {.hashes = NULL};
    if (!c->files || !config_given(c->config->denied_keys_file)) {
        return SM_NO_ERR;
    }
    SM_TRY(config_check_file(c, c->config->denied_keys_file, config_at("denied_keys_file")));
    sm_err err = sm_denied_keys_read(&keys, c->config->denied_keys_file, c->diag);
    sm_denied_keys_deinit(&keys);
    return err;
}

/* By making them, which reads trust anchors. */
static sm_err check_enrolment(struct check *c)
{
    sm_world world = {.config = c->config};
    const Sealmill__Config__V1__Enrolment *e = c->config->enrolment;
    for (size_t i = 0; e != NULL && i < e->n_users; i++) {
        if (!sm_password_hash_is_good(sm_slice_str(e->users[i]->password_hash))) {
            return sm_diag_set(c->diag, SM_ERR(INVALID),
                               config_at("enrolment.users[%zu].password_hash", i).text,
                               "it is no argon2id hash: sealmill hash-password makes one");
        }
    }
    if (!c->files) {
        return SM_NO_ERR;
    }
    if (e != NULL && e->negotiate != NULL) {
        SM_TRY(config_check_secret_file(c, e->negotiate->keytab_file,
                                        config_at("enrolment.negotiate.keytab_file")));
    }
    sm_arena_init(&world.arena, 64U << 20);
    sm_err err = sm_labels_make(NULL, &world, c->diag);
    sm_labels_free(&world);
    sm_arena_deinit(&world.arena);
    return err;
}

static sm_err check_all(struct check *c)
{
    struct sm_http_limits limits;
    if (!config_given(c->config->data_dir)) {
        return sm_diag_set(c->diag, SM_ERR(INVALID), "data_dir",
                           "it is needed: the folder of the database");
    }
    SM_TRY(check_keys(c));
    if (c->config->threads > SERVE_LOOPS_MAX) {
        return sm_diag_set(c->diag, SM_ERR(INVALID), "threads", "at most %d", SERVE_LOOPS_MAX);
    }
    SM_TRY(check_log(c));
    SM_TRY(config_check_listeners(c));
    SM_TRY(check_profiles(c));
    for (size_t i = 0; i < c->config->n_client_certificates; i++) {
        SM_TRY(check_caller(c, i));
    }
    SM_TRY(check_signing_keys(c));
    SM_TRY(config_limits(c->config, &limits, c->diag));
    SM_TRY(check_ocsp(c));
    SM_TRY(sm_crl_config_check(c->config->crl, c->diag));
    SM_TRY(check_tokens(c));
    SM_TRY(check_enrolment(c));
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
