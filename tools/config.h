/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The configuration file: YAML read into sealmill.config.v1.Config, with defaults filled in and
 * paths made absolute.
 *
 * Threads:   main.
 * Limits:    CONFIG_MAX octets.
 * Security:  holds no secret; private keys and PINs in files that others may read are refused.
 * Standards: none.
 */
#pragma once

#include "base/arena.h"
#include "base/diag.h"
#include "gen/sealmill/v1/config.pb-c.h"
#include "io/http.h"
#include "io/tls.h"
#include "sign/token.h"

#define CONFIG_MAX (4U << 20)

/* Whether the files that a configuration names are looked at: a configuration may be checked on
 * another machine than the one it is for. */
enum config_files { CONFIG_FILES_HERE, CONFIG_FILES_ELSEWHERE };

/* Reads and checks (config_check). Everything lives in `arena`. Errors: diag's field is the file,
 * its reason begins with "line N: " and the key's path where they are known. */
SM_FALLIBLE config_load(const char *path, enum config_files files, sm_arena *arena,
                        Sealmill__Config__V1__Config **out, sm_diag *diag);

/* All that can be known to be wrong before anything is opened, so that `config check` passes what
 * `serve` takes and nothing else. Paths must be absolute already. Errors: INVALID, TOO_LARGE, and
 * those of reading the files; diag's field is the key's path ("listeners[1].address"). */
SM_FALLIBLE config_check(const Sealmill__Config__V1__Config *config, enum config_files files,
                         sm_diag *diag);

/* The limits of the listeners. Errors: INVALID. */
SM_FALLIBLE config_limits(const Sealmill__Config__V1__Config *config, struct sm_http_limits *out,
                          sm_diag *diag);
/* The pkcs11 section; `out` has room for SM_TOKENS_MAX, strings are the configuration's. Errors:
 * INVALID, TOO_LARGE. */
SM_FALLIBLE config_tokens(const Sealmill__Config__V1__Config *config, struct sm_token_config *out,
                          sm_diag *diag);

enum config_service {
    CONFIG_SERVICE_API = 1,
    CONFIG_SERVICE_PUBLIC = 2,
    CONFIG_SERVICE_OPERATIONS = 4,
    CONFIG_SERVICE_EST = 8
};

/* A listener's services as bits. Errors: INVALID, with a field inside the listener. */
SM_FALLIBLE config_services(const Sealmill__Config__V1__Listener *listener, unsigned *out,
                            sm_diag *diag);

/* A listener's tls section; `config` points into `files`. */
struct config_tls {
    struct sm_tls_files files[SM_TLS_CERTIFICATES_MAX];
    struct sm_tls_server_config config;
};
/* Strings are the configuration's. Errors: INVALID, with a field inside the listener. */
SM_FALLIBLE config_tls(const Sealmill__Config__V1__Tls *tls, struct config_tls *out, sm_diag *diag);
