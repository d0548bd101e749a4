/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/config.h"

#include "base/clock.h"
#include "base/file.h"
#include "proto/message.h"
#include "tools/config_check.h"

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

static sm_err fix_tls(Sealmill__Config__V1__Tls *tls, const char *folder, sm_arena *arena)
{
    SM_TRY(make_absolute(&tls->client_ca_file, folder, arena));
    for (size_t i = 0; i < tls->n_certificates; i++) {
        SM_TRY(make_absolute(&tls->certificates[i]->certificate_file, folder, arena));
        SM_TRY(make_absolute(&tls->certificates[i]->key_file, folder, arena));
    }
    return SM_NO_ERR;
}

static sm_err fix_paths(Sealmill__Config__V1__Config *c, const char *folder, sm_arena *arena)
{
    SM_TRY(make_absolute(&c->data_dir, folder, arena));
    SM_TRY(make_absolute(&c->keys->dir, folder, arena));
    SM_TRY(make_absolute(&c->keys->passphrase_file, folder, arena));
    SM_TRY(make_absolute(&c->denied_keys_file, folder, arena));
    SM_TRY(make_absolute(&c->backup_dir, folder, arena));
    for (size_t i = 0; i < c->n_listeners; i++) {
        if (c->listeners[i]->tls != NULL) {
            SM_TRY(fix_tls(c->listeners[i]->tls, folder, arena));
        }
    }
    for (size_t i = 0; i < c->n_pkcs11; i++) {
        SM_TRY(make_absolute(&c->pkcs11[i]->pin_file, folder, arena));
    }
    return SM_NO_ERR;
}

/* The text as a message whose values are checked; `found` says what is wrong, with its line. */
static sm_err read_text(sm_slice text, sm_arena *arena, Sealmill__Config__V1__Config **out,
                        sm_diag *found)
{
    ProtobufCMessage *m;
    sm_diag inner = {.reason = ""};
    SM_TRY(sm_message_from_yaml(&sealmill__config__v1__config__descriptor, text, arena, &m, found));
    *out = (Sealmill__Config__V1__Config *)(void *)m;
    sm_err err = config_check(*out, arena, &inner);
    if (!sm_ok(err)) {
        size_t line = sm_yaml_line(text, sm_slice_str(inner.field));
        return line == 0 ? sm_diag_set(found, err, inner.field, "%s", inner.reason)
                         : sm_diag_set(found, err, inner.field, "line %zu: %s", line, inner.reason);
    }
    return SM_NO_ERR;
}

sm_err config_load(const char *path, sm_arena *arena, Sealmill__Config__V1__Config **out,
                   sm_diag *diag)
{
    char real[PATH_MAX];
    Sealmill__Config__V1__Config *c;
    sm_diag found = {.reason = ""};
    sm_buf text = sm_buf_init(CONFIG_MAX);
    sm_err err = sm_file_read(path, &text, diag);
    if (sm_ok(err)) {
        err = read_text(sm_buf_slice(&text), arena, &c, &found);
        if (!sm_ok(err)) {
            err = sm_diag_set(diag, err, path, "%s%s%s", found.reason,
                              found.field[0] == '\0' ? "" : " at ", found.field);
        }
    }
    sm_buf_deinit(&text);
    SM_TRY(err);
    if (realpath(path, real) == NULL) {
        return SM_ERR(OS);
    }
    char *slash = strrchr(real, '/');
    *slash = '\0';
    SM_TRY(fix_paths(c, real, arena));
    *out = c;
    return SM_NO_ERR;
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
        char field[SM_DIAG_FIELD_MAX];
        if (!given(t->uri)) {
            (void)snprintf(field, sizeof(field), "pkcs11[%zu].uri", i);
            return sm_diag_set(diag, SM_ERR(INVALID), field,
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
        (void)snprintf(field, sizeof(field), "pkcs11[%zu].timeout", i);
        SM_TRY(set_ms(t->timeout, field, &out[i].timeout_ms, diag));
        (void)snprintf(field, sizeof(field), "pkcs11[%zu].call_timeout", i);
        SM_TRY(set_ms(t->call_timeout, field, &out[i].call_timeout_ms, diag));
    }
    return SM_NO_ERR;
}
