/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/support/api_server.h"

#include "api/api_p.h"
#include "api/ca.h"
#include "api/caller.h"
#include "api/grpc_server.h"
#include "api/health.h"
#include "api/indexer.h"
#include "api/json_server.h"
#include "api/method.h"
#include "api/public_server.h"
#include "api/record.h"
#include "base/check.h"
#include "base/rand.h"
#include "base/text.h"
#include "proto/grpc.h"
#include "proto/message.h"
#include "sign/csr.h"
#include "tests/support/io_server.h"
#include "tests/support/ossl.h"

#include <string.h>
#include <unistd.h>

/* ---- the loop ---- */

static void on_request(void *ctx, sm_http_exchange *x)
{
    struct sm_api_server *s = ctx;
    if (sm_public_serve(s->api_loop, x)) {
        return;
    }
    if (sm_grpc_is_request(x)) {
        sm_grpc_serve(s->api_loop, x, SM_GRPC_MESSAGE_DEFAULT);
    } else {
        sm_json_serve(s->api_loop, x, SM_GRPC_MESSAGE_DEFAULT);
    }
}

static void schedule(void *ctx)
{
    struct sm_api_server *s = ctx;
    sm_task_schedule(s->loop, &s->run, SM_PHASE_WORK);
}

static void run_batch(sm_task *task)
{
    sm_api_loop_run(SM_CONTAINER_OF(task, struct sm_api_server, run)->api_loop);
}

static void server_main(void *ctx)
{
    struct sm_api_server *s = ctx;
    assert_sm_ok(sm_loop_new(&s->loop, NULL));
    sm_task_init(&s->run, run_batch);
    const struct sm_api_loop_config config = {sm_loop_mailbox(s->loop), s->pool, schedule, s};
    assert_sm_ok(sm_api_loop_new(s->api, &config, &s->api_loop));
    const struct sm_http_handler handler = {on_request, s};
    assert_sm_ok(sm_http_server_start(s->loop, s->listener, 0, handler, &s->http));
    atomic_store(&s->ready, true);
    sm_loop_run(s->loop);
    sm_http_server_free(&s->http);
    for (int i = 0; i < 5000 && !sm_api_loop_is_idle(s->api_loop); i++) {
        sm_loop_turn(s->loop, 1);
    }
    sm_api_loop_free(&s->api_loop);
    sm_loop_free(&s->loop);
    sm_sign_thread_deinit();
}

/* ---- life ---- */

static void make_ca(struct sm_api_server *s, const char *name, const char *parent)
{
    sm_diag diag = {.reason = ""};
    const struct sm_admin admin = {s->api, &s->arena, "test", SM_SLICE_NONE, &diag};
    ProtobufCMessage *request;
    Sealmill__V1__Ca *ca;
    char *json = sm_arena_printf(&s->arena,
                                 "{\"name\":\"%s\",\"subject\":{\"attributes\":[{\"type\":\"CN\","
                                 "\"value\":\"%s\"}]},\"keyType\":\"ec-p256\",\"parent\":\"%s\","
                                 "\"selfSigned\":%s,\"validitySeconds\":\"315360000\"}",
                                 name, name, parent, parent[0] == '\0' ? "true" : "false");
    assert_sm_ok(sm_message_from_json(&sealmill__v1__create_ca_request__descriptor,
                                      sm_slice_str(json), &s->arena, &request, &diag));
    sm_err err = sm_ca_create(&admin, (const Sealmill__V1__CreateCaRequest *)(const void *)request,
                              &ca);
    if (!sm_ok(err)) {
        print_error("%s: %s: %s\n", name, diag.field, diag.reason);
    }
    assert_sm_ok(err);
}

static void open_core(struct sm_api_server *s)
{
    sm_diag diag = {.reason = ""};
    const struct sm_keystore_config keys = {.dir = s->dir, .allow_plain = true};
    const struct sm_store_config store = {.create = true, .indexer = sm_api_index};
    assert_sm_ok(sm_methods_init());
    assert_sm_ok(sm_sign_init(&diag));
    assert_sm_ok(sm_keystore_open(&keys, &s->keystore, &diag));
    assert_sm_ok(sm_store_open(&store, &s->store, &diag));
    const struct sm_api_config api = {
        .config = s->config, .store = s->store, .keystore = s->keystore};
    sm_err err = sm_api_new(&api, &s->api, &diag);
    if (!sm_ok(err)) {
        print_error("%s: %s\n", diag.field, diag.reason);
    }
    assert_sm_ok(err);
    assert_sm_ok(sm_sign_pool_new(1, &s->pool));
    sm_health_set(true);
}

void sm_api_server_start(struct sm_api_server *s, const char *yaml)
{
    struct sm_http_limits limits;
    sm_http_limits_default(&limits);
    sm_api_server_start_limited(s, yaml, &limits);
}

void sm_api_server_start_limited(struct sm_api_server *s, const char *yaml,
                                 const struct sm_http_limits *limits)
{
    sm_diag diag = {.reason = ""};
    ProtobufCMessage *config;
    *s = (struct sm_api_server){.port = 0};
    assert_non_null(sm_test_dir(s->dir, sizeof(s->dir)));
    sm_arena_init(&s->arena, 64U << 20);
    sm_err err = sm_message_from_yaml(&sealmill__config__v1__config__descriptor, sm_slice_str(yaml),
                                      &s->arena, &config, &diag);
    if (!sm_ok(err)) {
        print_error("%s: %s\n", diag.field, diag.reason);
    }
    assert_sm_ok(err);
    s->config = (Sealmill__Config__V1__Config *)(void *)config;
    open_core(s);
    make_ca(s, "root", "");
    make_ca(s, "issuing", "root");
    const struct sm_listener_config listener = {.name = "test",
                                                .address = "127.0.0.1:0",
                                                .inherited_fd = -1,
                                                .limits = *limits,
                                                .loops = 1};
    assert_sm_ok(sm_listener_new(&listener, &s->listener, &diag));
    s->port = sm_listener_port(s->listener);
    assert_sm_ok(sm_thread_start(&s->thread, "api", server_main, s));
    while (!atomic_load(&s->ready)) {
        (void)usleep(200);
    }
}

void sm_api_server_stop(struct sm_api_server *s)
{
    sm_loop_stop(s->loop);
    sm_thread_join(&s->thread);
    sm_listener_free(&s->listener);
    sm_sign_pool_free(&s->pool);
    sm_api_free(&s->api);
    sm_store_close(&s->store);
    sm_keystore_close(&s->keystore);
    sm_arena_deinit(&s->arena);
    sm_sign_thread_deinit();
    sm_test_keys_free();
    sm_test_remove_dir(s->dir);
}

/* ---- callers ---- */

const char *sm_api_server_token(struct sm_api_server *s, const char *name, const char *grants,
                                int64_t expires_at)
{
    ProtobufCMessage *m;
    Sealmill__Record__V1__TokenRecord record;
    sealmill__record__v1__token_record__init(&record);
    uint8_t hash[32];
    char *secret = sm_arena_alloc(&s->arena, SM_TOKEN_SECRET_SIZE);
    assert_non_null(secret);
    sm_token_make(secret);
    assert_sm_ok(sm_token_hash(sm_slice_str(secret), hash));
    char *json = sm_arena_printf(&s->arena, "{\"id\":\"%s\",\"name\":\"%s\",\"grants\":%s}",
                                 secret + 40, name, grants);
    assert_sm_ok(sm_message_from_json(&sealmill__v1__token__descriptor, sm_slice_str(json),
                                      &s->arena, &m, NULL));
    record.version = SM_RECORD_VERSION;
    record.token = (Sealmill__V1__Token *)(void *)m;
    record.token->expires_at = expires_at == 0 ? NULL : sm_timestamp(&s->arena, expires_at);
    record.secret_sha256 = (ProtobufCBinaryData){sizeof(hash), hash};
    struct sm_change change = {.key = SM_SLICE_NONE};
    const struct sm_audit audit = {.caller = "test", .action = "token.create", .outcome = "ok"};
    change.audit = &audit;
    assert_sm_ok(sm_record_key("token/", sm_slice_str(record.token->id), &s->arena, &change.key));
    assert_sm_ok(sm_record_pack(&record.base, &s->arena, &change.value));
    (void)pthread_mutex_lock(&s->api->admin_lock);
    assert_sm_ok(sm_change_write(s->store, &change, &s->arena));
    assert_sm_ok(sm_api_refresh(s->api, NULL));
    (void)pthread_mutex_unlock(&s->api->admin_lock);
    return secret;
}

/* ---- requests ---- */

static char answer_text[SM_API_ANSWER_MAX];

unsigned sm_api_server_ask(struct sm_api_server *s, const char *verb, const char *path,
                           const char *token, const char *body, const char **answer)
{
    sm_buf text = sm_buf_init(8U << 20);
    int fd = sm_io_connect(s->port);
    assert_true(fd >= 0);
    sm_buf_printf(&text, "%s %s HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n", verb, path);
    if (token != NULL) {
        sm_buf_printf(&text, "authorization: Bearer %s\r\n", token);
    }
    sm_buf_printf(&text, "content-length: %zu\r\n\r\n", body == NULL ? 0 : strlen(body));
    sm_buf_put_str(&text, body == NULL ? "" : body);
    sm_buf_put_byte(&text, 0);
    assert_sm_ok(sm_buf_err(&text));
    sm_io_send(fd, (const char *)text.ptr);
    sm_buf_deinit(&text);
    assert_true(sm_io_read_to_end(fd, answer_text, sizeof(answer_text)) > 0);
    const char *end = strstr(answer_text, "\r\n\r\n");
    assert_non_null(end);
    assert_int_equal(strncmp(answer_text, "HTTP/1.1 ", 9), 0);
    *answer = end + 4;
    return (unsigned)strtoul(answer_text + 9, NULL, 10);
}

json_t *sm_api_server_json(struct sm_api_server *s, const char *verb, const char *path,
                           const char *token, const char *body, unsigned *status)
{
    const char *answer;
    *status = sm_api_server_ask(s, verb, path, token, body, &answer);
    json_t *json = json_loads(answer, JSON_REJECT_DUPLICATES, NULL);
    if (json == NULL) {
        print_error("%s %s: %u, not JSON: %.400s\n", verb, path, *status, answer);
    }
    assert_non_null(json);
    return json;
}

const char *sm_api_error(const json_t *answer, const char *member)
{
    const char *text = json_string_value(json_object_get(json_object_get(answer, "error"), member));
    return text == NULL ? "" : text;
}

const char *sm_api_csr(const char *cn, const char *sans)
{
    static char texts[8][16384];
    static unsigned next;
    char *out = texts[next++ % SM_ARRAY_LEN(texts)];
    sm_test_keys_free();
    X509_REQ *req = sm_test_plain_request(SM_KEY_P256, cn, sans);
    sm_buf der = SM_TEST_DER(X509_REQ, req);
    sm_buf text = sm_buf_init(sizeof(texts[0]) - 1);
    sm_base64_encode(&text, sm_buf_slice(&der));
    assert_sm_ok(sm_buf_err(&text));
    memcpy(out, text.ptr, text.len);
    out[text.len] = '\0';
    sm_buf_deinit(&text);
    sm_buf_deinit(&der);
    X509_REQ_free(req);
    return out;
}
