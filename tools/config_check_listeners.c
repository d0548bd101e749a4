/* SPDX-License-Identifier: Apache-2.0 */
/* What is wrong with the listeners of a configuration, and with the files that it names. */
#include "tools/config_check_p.h"

#include "io/address.h"
#include "tools/serve.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

__attribute__((format(printf, 1, 2))) struct place config_at(const char *fmt, ...)
{
    struct place place;
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(place.text, sizeof(place.text), fmt, args);
    va_end(args);
    return place;
}

/* What an inner check said, with the path in front of its field. */
sm_err config_pass_on(struct check *c, sm_err err, struct place place, const sm_diag *inner)
{
    char field[SM_DIAG_FIELD_MAX + SM_DIAG_FIELD_MAX];
    (void)snprintf(field, sizeof(field), "%s%s%s", place.text, inner->field[0] == '\0' ? "" : ".",
                   inner->field);
    return sm_diag_set(c->diag, err, field, "%s",
                       inner->reason[0] == '\0' ? sm_err_words(err) : inner->reason);
}

/* ---- files ---- */

sm_err config_check_file(struct check *c, const char *path, struct place place)
{
    FILE *file = c->files && config_given(path) ? fopen(path, "re") : NULL;
    if (c->files && config_given(path) && file == NULL) {
        return sm_diag_set(c->diag, errno == ENOENT ? SM_ERR(NOT_FOUND) : SM_ERR(OS), place.text,
                           "%s: %s", path, strerror(errno));
    }
    if (file != NULL) {
        (void)fclose(file);
    }
    return SM_NO_ERR;
}

sm_err config_check_secret_file(struct check *c, const char *path, struct place place)
{
    struct stat st;
    SM_TRY(config_check_file(c, path, place));
    if (c->files && config_given(path) && stat(path, &st) == 0 &&
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
        return config_pass_on(c, err, config_at("listeners[%zu]", i), &inner);
    }
    if (!c->files) {
        return SM_NO_ERR;
    }
    for (size_t j = 0; j < tls->n_certificates; j++) {
        SM_TRY(config_check_file(
            c, tls->certificates[j]->certificate_file,
            config_at("listeners[%zu].tls.certificates[%zu].certificate_file", i, j)));
        SM_TRY(config_check_secret_file(
            c, tls->certificates[j]->key_file,
            config_at("listeners[%zu].tls.certificates[%zu].key_file", i, j)));
    }
    SM_TRY(config_check_file(c, tls->client_ca_file,
                             config_at("listeners[%zu].tls.client_ca_file", i)));
    err = sm_tls_server_new(&meant.config, &server, &inner);
    if (!sm_ok(err)) {
        return config_pass_on(c, err, config_at("listeners[%zu]", i), &inner);
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
    struct place place = config_at("listeners[%zu].address", i);
    if (config_given(l->systemd_socket)) {
        return SM_NO_ERR;
    }
    if (!config_given(l->address)) {
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
        if (!config_given(before->systemd_socket) &&
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
    for (size_t j = 0; config_given(l->name) && j < i; j++) {
        if (strcmp(c->config->listeners[j]->name, l->name) == 0) {
            return sm_diag_set(c->diag, SM_ERR(INVALID), config_at("listeners[%zu].name", i).text,
                               "\"%.40s\" is the name of listeners[%zu] already", l->name, j);
        }
    }
    SM_TRY(check_address(c, i));
    sm_err err = config_services(l, &services, &inner);
    if (!sm_ok(err)) {
        return config_pass_on(c, err, config_at("listeners[%zu]", i), &inner);
    }
    if (l->tls == NULL && !l->plaintext) {
        return sm_diag_set(
            c->diag, SM_ERR(INVALID), config_at("listeners[%zu]", i).text,
            "the listener \"%.40s\" has no tls section: say plaintext: true if that is meant",
            l->name);
    }
    if (l->tls != NULL && l->plaintext) {
        return sm_diag_set(c->diag, SM_ERR(INVALID), config_at("listeners[%zu].plaintext", i).text,
                           "a listener has a tls section or plaintext: true, not both");
    }
    return l->tls == NULL ? SM_NO_ERR : check_tls(c, l->tls, i);
}

sm_err config_check_listeners(struct check *c)
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
