/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The configuration file: YAML read into sealmill.config.v1.Config, with defaults filled in and
 * paths made absolute.
 *
 * Threads:   main.
 * Limits:    CONFIG_MAX octets.
 * Security:  holds no secret.
 * Standards: none.
 */
#pragma once

#include "base/arena.h"
#include "base/diag.h"
#include "gen/sealmill/v1/config.pb-c.h"
#include "io/http.h"
#include "sign/token.h"

#define CONFIG_MAX (4U << 20)

/* Reads and checks. Everything lives in `arena`. Errors: with "line N: ..." in diag where a line
 * is to blame. */
SM_FALLIBLE config_load(const char *path, sm_arena *arena, Sealmill__Config__V1__Config **out,
                        sm_diag *diag);
/* The limits of the listeners. */
/* The pkcs11 section; `out` has room for SM_TOKENS_MAX, strings are the configuration's. Errors:
 * INVALID, TOO_LARGE. */
SM_FALLIBLE config_tokens(const Sealmill__Config__V1__Config *config, struct sm_token_config *out,
                          sm_diag *diag);

SM_FALLIBLE config_limits(const Sealmill__Config__V1__Config *config, struct sm_http_limits *out,
                          sm_diag *diag);
