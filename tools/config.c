/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/config.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/rate_table.h"
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

static sm_err fix_listener(Sealmill__Config__V1__Listener *l, const char *folder, sm_arena *arena)
{
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

static sm_err fix_paths(Sealmill__Config__V1__Config *c, const char *folder, sm_arena *arena)
{
    SM_TRY(make_absolute(&c->data_dir, folder, arena));
    if (c->keys != NULL) {
        SM_TRY(make_absolute(&c->keys->dir, folder, arena));
        SM_TRY(make_absolute(&c->keys->passphrase_file, folder, arena));
    }
    SM_TRY(make_absolute(&c->denied_keys_file, folder, arena));
    SM_TRY(make_absolute(&c->backup_dir, folder, arena));
    for (size_t i = 0; i < c->n_listeners; i++) {
        SM_TRY(fix_listener(c->listeners[i], folder, arena));
    }
    for (size_t i = 0; i < c->n_pkcs11; i++) {
        SM_TRY(make_absolute(&c->pkcs11[i]->pin_file, folder, arena));
    }
    for (size_t i = 0; c->enrolment != NULL && i < c->enrolment->n_labels; i++) {
        SM_TRY(make_absolute(&c->enrolment->labels[i]->trust_anchors_file, folder, arena));
    }
    if (c->enrolment != NULL && c->enrolment->negotiate != NULL) {
        SM_TRY(make_absolute(&c->enrolment->negotiate->keytab_file, folder, arena));
    }
    return SM_NO_ERR;
}

/* "line 3: log.level: what is wrong", whether the reader found it or the check. */
static sm_err say_where(sm_err err, const char *path, sm_slice text, const sm_diag *inner,
                        sm_arena *arena, sm_diag *diag)
{
    const char *what = inner->reason[0] == '\0' ? sm_err_words(err) : inner->reason;
    const char *colon = inner->field[0] == '\0' ? "" : ": ";
    unsigned long line = 0;
    int used = 0;
    if (sscanf(what, "line %9lu: %n", &line, &used) == 1 && used > 0) {
        what += used;
    } else {
        line = sm_yaml_line(text, inner->field, arena);
    }
    return line == 0
               ? sm_diag_set(diag, err, path, "%s%s%s", inner->field, colon, what)
               : sm_diag_set(diag, err, path, "line %lu: %s%s%s", line, inner->field, colon, what);
}

static sm_err read_and_check(const char *path, sm_slice text, enum config_files files,
                             sm_arena *arena, Sealmill__Config__V1__Config **out, sm_diag *diag)
{
    char folder[PATH_MAX];
    ProtobufCMessage *m;
    SM_TRY(sm_message_from_yaml(&sealmill__config__v1__config__descriptor, text, arena, &m, diag));
    *out = (Sealmill__Config__V1__Config *)(void *)m;
    if (realpath(path, folder) == NULL) {
        return SM_ERR(OS);
    }
    *strrchr(folder, '/') = '\0';
    SM_TRY(fix_paths(*out, folder, arena));
    return config_check(*out, files, diag);
}

sm_err config_load(const char *path, enum config_files files, sm_arena *arena,
                   Sealmill__Config__V1__Config **out, sm_diag *diag)
{
    sm_diag inner = {.reason = ""};
    sm_buf text = sm_buf_init(CONFIG_MAX);
    sm_err err = sm_file_read(path, &text, diag);
    if (sm_ok(err)) {
        err = read_and_check(path, sm_buf_slice(&text), files, arena, out, &inner);
        err = sm_ok(err) ? err : say_where(err, path, sm_buf_slice(&text), &inner, arena, diag);
    }
    sm_buf_deinit(&text);
    return err;
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

static sm_err check_rate(const char *text, const char *field, sm_diag *diag)
{
    struct sm_rate_rule rule;
    return sm_ok(sm_rate_rule_parse(sm_slice_str(text), &rule))
               ? SM_NO_ERR
               : sm_diag_set(diag, SM_ERR(INVALID), field,
                             "\"%.40s\" is not a rate such as 100/s, 60/m, 10/h or 5/d", text);
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
    SM_TRY(check_rate(l->issue_per_caller, "limits.issue_per_caller", diag));
    SM_TRY(check_rate(l->issue_per_subject, "limits.issue_per_subject", diag));
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
        char timeout[SM_DIAG_FIELD_MAX];
        char call_timeout[SM_DIAG_FIELD_MAX];
        (void)snprintf(timeout, sizeof(timeout), "pkcs11[%zu].timeout", i);
        (void)snprintf(call_timeout, sizeof(call_timeout), "pkcs11[%zu].call_timeout", i);
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
        SM_TRY(set_ms(t->timeout, timeout, &out[i].timeout_ms, diag));
        SM_TRY(set_ms(t->call_timeout, call_timeout, &out[i].call_timeout_ms, diag));
    }
    return SM_NO_ERR;
}
