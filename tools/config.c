/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/config.h"

#include "api/profile.h"
#include "base/clock.h"
#include "base/file.h"
#include "proto/message.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool given(const char *s)
{
    return s != NULL && s[0] != '\0';
}

/* Paths are relative to the file. */
static sm_err make_absolute(char **path, const char *folder, sm_arena *arena)
{
    if (!given(*path) || (*path)[0] == '/') {
        return SM_NO_ERR;
    }
    *path = sm_arena_printf(arena, "%s/%s", folder, *path);
    return *path == NULL ? SM_ERR(NO_MEMORY) : SM_NO_ERR;
}

static sm_err fix_listener(Sealmill__Config__V1__Listener *l, const char *folder, sm_arena *arena,
                           sm_diag *diag)
{
    if (!given(l->address) && !given(l->systemd_socket)) {
        return sm_diag_set(diag, SM_ERR(INVALID), "listeners",
                           "the listener \"%.40s\" needs an address", l->name);
    }
    if (l->tls == NULL && !l->plaintext) {
        return sm_diag_set(
            diag, SM_ERR(INVALID), "listeners",
            "the listener \"%.40s\" has no tls section: say plaintext: true if that is meant",
            l->name);
    }
    if (l->n_services == 0) {
        return sm_diag_set(diag, SM_ERR(INVALID), "listeners",
                           "the listener \"%.40s\" serves nothing: name its services", l->name);
    }
    if (l->tls == NULL) {
        return SM_NO_ERR;
    }
    SM_TRY(make_absolute(&l->tls->client_ca_file, folder, arena));
    for (size_t i = 0; i < l->tls->n_certificates; i++) {
        SM_TRY(make_absolute(&l->tls->certificates[i]->certificate_file, folder, arena));
        SM_TRY(make_absolute(&l->tls->certificates[i]->key_file, folder, arena));
    }
    return SM_NO_ERR;
}

static sm_err check(Sealmill__Config__V1__Config *c, const char *folder, sm_arena *arena,
                    sm_diag *diag)
{
    if (!given(c->data_dir)) {
        return sm_diag_set(diag, SM_ERR(INVALID), "data_dir",
                           "it is needed: the folder of the database");
    }
    if (c->keys == NULL || !given(c->keys->dir)) {
        return sm_diag_set(diag, SM_ERR(INVALID), "keys.dir",
                           "it is needed: the folder of the encrypted keys");
    }
    SM_TRY(make_absolute(&c->data_dir, folder, arena));
    SM_TRY(make_absolute(&c->keys->dir, folder, arena));
    SM_TRY(make_absolute(&c->keys->passphrase_file, folder, arena));
    SM_TRY(make_absolute(&c->denied_keys_file, folder, arena));
    SM_TRY(make_absolute(&c->backup_dir, folder, arena));
    for (size_t i = 0; i < c->n_listeners; i++) {
        SM_TRY(fix_listener(c->listeners[i], folder, arena, diag));
    }
    for (size_t i = 0; i < c->n_profiles; i++) {
        struct sm_profile compiled;
        SM_TRY(sm_profile_compile(c->profiles[i], arena, &compiled, diag));
        sm_profile_deinit(&compiled);
    }
    for (size_t i = 0; i < c->n_pkcs11; i++) {
        SM_TRY(make_absolute(&c->pkcs11[i]->pin_file, folder, arena));
    }
    struct sm_token_config tokens[SM_TOKENS_MAX];
    SM_TRY(config_tokens(c, tokens, diag));
    struct sm_http_limits limits;
    return config_limits(c, &limits, diag);
}

sm_err config_load(const char *path, sm_arena *arena, Sealmill__Config__V1__Config **out,
                   sm_diag *diag)
{
    char real[PATH_MAX];
    ProtobufCMessage *m;
    sm_buf text = sm_buf_init(CONFIG_MAX);
    sm_err err = sm_file_read(path, &text, diag);
    if (sm_ok(err)) {
        sm_diag inner = {.reason = ""};
        err = sm_message_from_yaml(&sealmill__config__v1__config__descriptor, sm_buf_slice(&text),
                                   arena, &m, &inner);
        if (!sm_ok(err)) {
            err = sm_diag_set(diag, err, path, "%s%s%s", inner.reason,
                              inner.field[0] == '\0' ? "" : " at ", inner.field);
        }
    }
    sm_buf_deinit(&text);
    SM_TRY(err);
    if (realpath(path, real) == NULL) {
        return SM_ERR(OS);
    }
    char *slash = strrchr(real, '/');
    *slash = '\0';
    *out = (Sealmill__Config__V1__Config *)(void *)m;
    return check(*out, real, arena, diag);
}

static sm_err set_ms(const char *text, const char *field, uint32_t *out, sm_diag *diag)
{
    int64_t s;
    if (!given(text)) {
        return SM_NO_ERR;
    }
    if (!sm_ok(sm_duration_parse(sm_slice_str(text), &s)) || s > 86400) {
        return sm_diag_set(diag, SM_ERR(INVALID), field,
                           "\"%.40s\" is not a duration of at most a day, such as 30s", text);
    }
    *out = (uint32_t)(s * 1000);
    return SM_NO_ERR;
}

sm_err config_limits(const Sealmill__Config__V1__Config *config, struct sm_http_limits *out,
                     sm_diag *diag)
{
    const Sealmill__Config__V1__Limits *l = config->limits;
    sm_http_limits_default(out);
    if (l == NULL) {
        return SM_NO_ERR;
    }
    out->connections = l->connections == 0 ? out->connections : l->connections;
    out->connections_per_address = l->connections_per_address == 0 ? out->connections_per_address
                                                                   : l->connections_per_address;
    out->streams = l->streams_per_connection == 0 ? out->streams : l->streams_per_connection;
    out->header_bytes = l->header_bytes == 0 ? out->header_bytes : l->header_bytes;
    out->body_bytes = l->body_bytes == 0 ? out->body_bytes : l->body_bytes;
    SM_TRY(set_ms(l->idle_timeout, "limits.idle_timeout", &out->idle_timeout_ms, diag));
    SM_TRY(set_ms(l->request_timeout, "limits.request_timeout", &out->request_timeout_ms, diag));
    SM_TRY(
        set_ms(l->handshake_timeout, "limits.handshake_timeout", &out->handshake_timeout_ms, diag));
    return set_ms(l->drain_timeout, "limits.drain_timeout", &out->drain_timeout_ms, diag);
}

static const char *or_null(const char *s)
{
    return given(s) ? s : NULL;
}

sm_err config_tokens(const Sealmill__Config__V1__Config *config, struct sm_token_config *out,
                     sm_diag *diag)
{
    if (config->n_pkcs11 > SM_TOKENS_MAX) {
        return sm_diag_set(diag, SM_ERR(TOO_LARGE), "pkcs11", "more than %d tokens", SM_TOKENS_MAX);
    }
    for (size_t i = 0; i < config->n_pkcs11; i++) {
        const Sealmill__Config__V1__Pkcs11Token *t = config->pkcs11[i];
        if (!given(t->uri)) {
            return sm_diag_set(diag, SM_ERR(INVALID), "pkcs11.uri",
                               "it is needed: which token, and its module");
        }
        out[i] = (struct sm_token_config){
            .uri = t->uri,
            .pin_file = or_null(t->pin_file),
            .pin_env = or_null(t->pin_env),
            .pin_credential = or_null(t->pin_credential),
            .sessions = t->sessions,
            .queue = t->queue,
            .one_thread = t->one_thread,
            .allow_extractable = t->allow_extractable,
        };
        SM_TRY(set_ms(t->timeout, "pkcs11.timeout", &out[i].timeout_ms, diag));
        SM_TRY(set_ms(t->call_timeout, "pkcs11.call_timeout", &out[i].call_timeout_ms, diag));
    }
    return SM_NO_ERR;
}
