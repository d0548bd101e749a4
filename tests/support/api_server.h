/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The whole API in the test's process: a store in memory, plain key files, one loop, one cleartext
 * listener; callers come with bearer tokens, requests as JSON or gRPC; OCSP and /ca/ are there too.
 *
 * Threads:   the test's, beside the server's own.
 * Limits:    one server at a time; SM_API_ANSWER_MAX octets of an answer.
 * Security:  test keys only.
 * Standards: none.
 */
#pragma once

#include "api/api.h"
#include "base/arena.h"
#include "base/thread.h"
#include "gen/sealmill/v1/ca.pb-c.h"
#include "io/http.h"
#include "tests/support/support.h"

#include <jansson.h>
#include <stdatomic.h>

#define SM_API_ANSWER_MAX (4U << 20)

struct sm_api_server {
    char dir[256];
    sm_arena arena;
    Sealmill__Config__V1__Config *config;
    sm_keystore *keystore;
    sm_store *store;
    sm_api *api;
    sm_sign_pool *pool;
    sm_listener *listener;
    sm_thread thread;
    sm_loop *loop;
    sm_api_loop *api_loop;
    sm_http_server *http;
    sm_task run;
    uint16_t port;
    _Atomic bool ready;
};

/* Starts it with this configuration (YAML; only what api reads), and CA "root" above "issuing". */
void sm_api_server_start(struct sm_api_server *s, const char *yaml);
/* The same with other limits of its connections. */
void sm_api_server_start_limited(struct sm_api_server *s, const char *yaml,
                                 const struct sm_http_limits *limits);
void sm_api_server_stop(struct sm_api_server *s);

/* A token's secret; `grants` as JSON of CreateTokenRequest's grants; ends at `expires_at` (0:
 * never). Freed at the server's end. */
const char *sm_api_server_token(struct sm_api_server *s, const char *name, const char *grants,
                                int64_t expires_at);

/* One request on a connection of its own. `token` and `body` may be NULL. Returns the HTTP status;
 * the answer's body is in *answer until the next call. */
unsigned sm_api_server_ask(struct sm_api_server *s, const char *verb, const char *path,
                           const char *token, const char *body, const char **answer);
/* The same with the answer read; it must be JSON. To be freed by json_decref. */
json_t *sm_api_server_json(struct sm_api_server *s, const char *verb, const char *path,
                           const char *token, const char *body, unsigned *status);
/* error.field, error.message, error.status of a refusal; "" where it has none. */
const char *sm_api_error(const json_t *answer, const char *member);

/* "AbC/..=": a P-256 request's DER in base64, each with a key of its own. Static, one of a few. */
const char *sm_api_csr(const char *cn, const char *sans);
