/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/serve.h"

#include "api/ca.h"
#include "api/crl_adopt.h"
#include "api/doubt.h"
#include "api/grpc_server.h"
#include "api/health.h"
#include "api/indexer.h"
#include "api/json_server.h"
#include "api/method.h"
#include "api/ocsp_schedule.h"
#include "api/public_server.h"
#include "api/staple.h"
#include "base/log.h"
#include "base/thread.h"
#include "base/version.h"
#include "est-adapter/est.h"
#include "proto/grpc.h"
#include "tools/cli.h"
#include "tools/config.h"
#include "tools/systemd.h"

#include <openssl/crypto.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

struct server;

/* One listener as one loop serves it. */
struct endpoint {
    struct loop_slot *slot;
    unsigned services;
    sm_http_server *http;
};

struct loop_slot {
    struct server *server;
    unsigned index;
    sm_thread thread;
    sm_loop *loop;
    sm_api_loop *api;
    sm_staples *staples; /* of the first loop */
    sm_task run;
    struct endpoint endpoints[SERVE_LISTENERS_MAX];
    size_t open; /* endpoints not yet drained */
    sm_msg drain;
    sm_err err;
    sm_diag diag;
    _Atomic int state; /* 0: starting, 1: up, 2: failed */
};

struct listening {
    sm_listener *listener;
    sm_tls_server *tls;
    unsigned services;
};

#define TICK_S 2 /* tokens that have come back */
#define RESPONDER_CHECK_TICKS (3600 / TICK_S)
#define RESPONDERS_AT_ONCE 16

struct server {
    size_t responders_at;   /* where a round of renewals goes on; 0: none is under way */
    uint64_t responders_of; /* the world's number when the last round began */
    sm_arena arena;
    Sealmill__Config__V1__Config *config;
    sm_keystore *keystore;
    sm_store *store;
    sm_api *api;
    sm_sign_pool *pool;
    struct listening listeners[SERVE_LISTENERS_MAX];
    size_t listener_count;
    struct loop_slot loops[SERVE_LOOPS_MAX];
    unsigned loop_count;
    uint32_t message_max;
    uint64_t body_max;
};

/* ---- requests ---- */

static void on_request(void *ctx, sm_http_exchange *x)
{
    struct endpoint *e = ctx;
    struct server *s = e->slot->server;
    if ((e->services & CONFIG_SERVICE_API) != 0 && sm_grpc_is_request(x)) {
        sm_grpc_serve(e->slot->api, x, s->message_max);
        return;
    }
    if ((e->services & CONFIG_SERVICE_PUBLIC) != 0 && sm_public_serve(e->slot->api, x)) {
        return;
    }
    if ((e->services & CONFIG_SERVICE_OPERATIONS) != 0 && sm_operations_serve(e->slot->api, x)) {
        return;
    }
    if ((e->services & CONFIG_SERVICE_EST) != 0 && sm_est_serve(e->slot->api, x)) {
        return;
    }
    if ((e->services & CONFIG_SERVICE_API) != 0) {
        sm_json_serve(e->slot->api, x, s->body_max);
        return;
    }
    const sm_http_header headers[] = {SM_HEADER("content-type", SM_LIT("text/plain"))};
    sm_http_reply(x, 404, headers, 1, SM_LIT("there is nothing at this path\n"));
}

/* ---- a loop's thread ---- */

static void schedule(void *ctx)
{
    struct loop_slot *slot = ctx;
    sm_task_schedule(slot->loop, &slot->run, SM_PHASE_WORK);
}

static void run_batch(sm_task *task)
{
    sm_api_loop_run(SM_CONTAINER_OF(task, struct loop_slot, run)->api);
}

static void on_drained(void *ctx)
{
    struct loop_slot *slot = ctx;
    if (--slot->open == 0) {
        sm_loop_stop(slot->loop);
    }
}

static void drain(sm_msg *msg)
{
    struct loop_slot *slot = SM_CONTAINER_OF(msg, struct loop_slot, drain);
    slot->open = slot->server->listener_count;
    for (size_t i = 0; i < slot->server->listener_count; i++) {
        sm_http_server_drain(slot->endpoints[i].http, on_drained, slot);
    }
    if (slot->server->listener_count == 0) {
        sm_loop_stop(slot->loop); /* nobody else would */
    }
}

/* One loop sees to the certificates of all. */
static sm_err start_stapling(struct loop_slot *slot)
{
    struct server *s = slot->server;
    sm_tls_server *servers[SERVE_LISTENERS_MAX];
    size_t count = 0;
    for (size_t i = 0; i < s->listener_count; i++) {
        if (s->listeners[i].tls != NULL) {
            servers[count++] = s->listeners[i].tls;
        }
    }
    return sm_staples_new(slot->loop, slot->api, servers, count, &slot->staples);
}

static sm_err start_loop(struct loop_slot *slot)
{
    struct server *s = slot->server;
    SM_TRY(sm_loop_new(&slot->loop, &slot->diag));
    sm_task_init(&slot->run, run_batch);
    const struct sm_api_loop_config config = {sm_loop_mailbox(slot->loop), s->pool, schedule, slot};
    SM_TRY(sm_api_loop_new(s->api, &config, &slot->api));
    for (size_t i = 0; i < s->listener_count; i++) {
        struct endpoint *e = &slot->endpoints[i];
        e->slot = slot;
        e->services = s->listeners[i].services;
        const struct sm_http_handler handler = {on_request, e};
        SM_TRY(sm_http_server_start(slot->loop, s->listeners[i].listener, slot->index, handler,
                                    &e->http));
    }
    return slot->index == 0 ? start_stapling(slot) : SM_NO_ERR;
}

#define SETTLE_TURNS 5000 /* of 1 ms: for store writes and slow keys that are still under way */

static bool is_settled(const struct loop_slot *slot)
{
    return sm_api_loop_is_idle(slot->api) && sm_staples_is_idle(slot->staples);
}

static void loop_main(void *ctx)
{
    struct loop_slot *slot = ctx;
    slot->err = start_loop(slot);
    atomic_store(&slot->state, sm_ok(slot->err) ? 1 : 2);
    if (!sm_ok(slot->err)) {
        return;
    }
    sm_loop_run(slot->loop);
    for (size_t i = 0; i < slot->server->listener_count; i++) {
        sm_http_server_free(&slot->endpoints[i].http);
    }
    sm_staples_stop(slot->staples);
    for (int i = 0; i < SETTLE_TURNS && !is_settled(slot); i++) {
        sm_loop_turn(slot->loop, 1);
    }
    if (sm_staples_is_idle(slot->staples)) {
        sm_staples_free(&slot->staples);
    }
    sm_api_loop_free(&slot->api);
    sm_loop_free(&slot->loop);
    sm_sign_thread_deinit();
}

/* ---- building ---- */

static const char *or_null(const char *s)
{
    return s[0] == '\0' ? NULL : s;
}

static sm_err open_tls(const Sealmill__Config__V1__Tls *tls, sm_tls_server **out, sm_diag *diag)
{
    struct config_tls meant;
    SM_TRY(config_tls(tls, &meant, diag));
    return sm_tls_server_new(&meant.config, out, diag);
}

static sm_err open_listener(struct server *s, const Sealmill__Config__V1__Listener *l,
                            sm_diag *diag)
{
    if (s->listener_count == SERVE_LISTENERS_MAX) {
        return sm_diag_set(diag, SM_ERR(TOO_LARGE), "listeners", "more than %d",
                           SERVE_LISTENERS_MAX);
    }
    struct listening *out = &s->listeners[s->listener_count];
    SM_TRY(config_services(l, &out->services, diag));
    struct sm_listener_config config = {
        .name = l->name, .address = l->address, .inherited_fd = -1, .loops = s->loop_count};
    SM_TRY(config_limits(s->config, &config.limits, diag));
    if (l->systemd_socket[0] != '\0') {
        config.inherited_fd = systemd_socket(l->systemd_socket);
        if (config.inherited_fd < 0) {
            return sm_diag_set(diag, SM_ERR(NOT_FOUND), "listeners.systemd_socket",
                               "systemd passed no socket named %.60s", l->systemd_socket);
        }
    }
    if (l->tls != NULL) {
        SM_TRY(open_tls(l->tls, &out->tls, diag));
        config.tls = out->tls;
    }
    sm_err err = sm_listener_new(&config, &out->listener, diag);
    if (!sm_ok(err)) {
        sm_tls_server_free(&out->tls);
        return err;
    }
    s->listener_count++;
    return SM_NO_ERR;
}

/* Once all of the start has worked: a start that fails says one sentence and no more. */
static void log_listeners(const struct server *s)
{
    for (size_t i = 0; i < s->listener_count; i++) {
        const Sealmill__Config__V1__Listener *l = s->config->listeners[i];
        sm_log(SM_LOG_INFO, "listening", SM_KS("listener", l->name), SM_KS("address", l->address),
               SM_KU("port", sm_listener_port(s->listeners[i].listener)),
               SM_KS("tls", l->tls == NULL ? "no" : "yes"), SM_KEND);
    }
}

static void configure_log(const Sealmill__Config__V1__Config *c)
{
    enum sm_log_level level = SM_LOG_INFO;
    enum sm_log_format format = SM_LOG_KEY_VALUE;
    if (c->log != NULL) {
        level = strcmp(c->log->level, "debug") == 0   ? SM_LOG_DEBUG
                : strcmp(c->log->level, "warn") == 0  ? SM_LOG_WARN
                : strcmp(c->log->level, "error") == 0 ? SM_LOG_ERROR
                                                      : SM_LOG_INFO;
        format = strcmp(c->log->format, "json") == 0 ? SM_LOG_JSON : SM_LOG_KEY_VALUE;
    }
    sm_log_configure(level, format, 2);
}

static sm_err open_core(struct server *s, sm_diag *diag)
{
    const Sealmill__Config__V1__Config *c = s->config;
    struct sm_token_config tokens[SM_TOKENS_MAX];
    SM_TRY(config_tokens(c, tokens, diag));
    sm_sign_set_multi_buffer(c->crypto == NULL || !c->crypto->no_multi_buffer);
    const struct sm_keystore_config keys = {
        .dir = c->keys->dir,
        .passphrase_file = or_null(c->keys->passphrase_file),
        .passphrase_env = or_null(c->keys->passphrase_env),
        .passphrase_credential = or_null(c->keys->passphrase_credential),
        .tokens = tokens,
        .token_count = c->n_pkcs11,
    };
    const struct sm_store_config store = {
        .dir = c->data_dir,
        .block_cache_mib = c->store == NULL ? 0 : c->store->block_cache_mib,
        .write_buffer_mib = c->store == NULL ? 0 : c->store->write_buffer_mib,
        .create = true,
        .indexer = sm_api_index,
        .indexer_version = SM_INDEX_RULES,
    };
    SM_TRY(sm_methods_init());
    SM_TRY(sm_sign_init(diag));
    SM_TRY(sm_keystore_open(&keys, &s->keystore, diag));
    SM_TRY(sm_store_open(&store, &s->store, diag));
    const struct sm_api_config api = {.config = c, .store = s->store, .keystore = s->keystore};
    SM_TRY(sm_api_new(&api, &s->api, diag));
    return sm_sign_pool_new(s->loop_count, &s->pool);
}

/* Some CAs' at a time; the round goes on with the next tick. */
static sm_err renew_responders(struct server *s, sm_diag *diag)
{
    sm_arena arena;
    if (s->responders_at == 0) {
        s->responders_of = sm_ca_world_number(s->api);
    }
    sm_arena_init(&arena, 32U << 20);
    const struct sm_admin admin = {s->api, &arena, "sealmill", SM_SLICE_NONE, diag};
    sm_err err = sm_ca_renew_responders(&admin, RESPONDERS_AT_ONCE, &s->responders_at);
    sm_arena_deinit(&arena);
    return err;
}

static sm_err start_loops(struct server *s, sm_diag *diag)
{
    for (unsigned i = 0; i < s->loop_count; i++) {
        struct loop_slot *slot = &s->loops[i];
        char name[16];
        slot->server = s;
        slot->index = i;
        (void)snprintf(name, sizeof(name), "loop-%u", i % 1000U);
        SM_TRY(sm_thread_start(&slot->thread, name, loop_main, slot));
        while (atomic_load(&slot->state) == 0) {
            const struct timespec pause = {.tv_nsec = 200000};
            (void)nanosleep(&pause, NULL);
        }
        if (atomic_load(&slot->state) == 2) {
            return sm_diag_set(diag, slot->err, slot->diag.field, "%s", slot->diag.reason);
        }
    }
    return SM_NO_ERR;
}

/* ---- reload ---- */

static void reload(struct server *s, const char *path)
{
    sm_diag diag = {.reason = ""};
    Sealmill__Config__V1__Config *fresh;
    sm_err err = SM_NO_ERR;
    for (size_t i = 0; i < s->listener_count && sm_ok(err); i++) {
        err = s->listeners[i].tls == NULL ? SM_NO_ERR
                                          : sm_tls_server_reload(s->listeners[i].tls, &diag);
    }
    if (sm_ok(err)) {
        err = config_load(path, CONFIG_FILES_HERE, &s->arena, &fresh,
                          &diag); /* the old one stays in memory: requests may still use it */
    }
    if (sm_ok(err)) {
        configure_log(fresh);
        err = sm_api_reload(s->api, fresh, &diag);
    }
    if (sm_ok(err)) {
        s->config = fresh;
        sm_log(SM_LOG_INFO, "reloaded", SM_KS("config", path), SM_KEND);
    } else {
        sm_log(SM_LOG_ERROR, "reload_failed", SM_KE("error", err), SM_KS("field", diag.field),
               SM_KS("reason", diag.reason), SM_KEND);
    }
}

/* ---- running ---- */

static void tick(struct server *s, unsigned ticks)
{
    sm_diag diag = {.reason = ""};
    sm_api_retry_keys(s->api);
    sm_doubts_settle(s->api);
    bool hour = ticks % RESPONDER_CHECK_TICKS == 0;
    /* After a change too: a new CA, or further keys that responders are to have. */
    bool due = hour || s->responders_at > 0 || s->responders_of != sm_ca_world_number(s->api);
    if (hour) {
        sm_ca_look_at_foreign(s->api);
    }
    sm_err err = due ? renew_responders(s, &diag) : SM_NO_ERR;
    if (!sm_ok(err)) {
        sm_log(SM_LOG_ERROR, "responder_renewal_failed", SM_KE("error", err),
               SM_KS("reason", diag.reason), SM_KEND);
    }
}

static void wait_for_end(struct server *s, const char *path, const sigset_t *signals)
{
    unsigned ticks = 0;
    for (;;) {
        const struct timespec pause = {.tv_sec = TICK_S};
        int signal = sigtimedwait(signals, NULL, &pause);
        if (signal == SIGTERM || signal == SIGINT) {
            return;
        }
        if (signal == SIGHUP) {
            systemd_notify("RELOADING=1");
            reload(s, path);
            systemd_notify("READY=1");
        } else {
            tick(s, ++ticks);
        }
    }
}

static void stop(struct server *s)
{
    for (unsigned i = 0; i < s->loop_count; i++) {
        if (atomic_load(&s->loops[i].state) == 1) {
            s->loops[i].drain.run = drain;
            sm_mailbox_post(sm_loop_mailbox(s->loops[i].loop), &s->loops[i].drain);
        }
    }
    for (unsigned i = 0; i < s->loop_count; i++) {
        if (atomic_load(&s->loops[i].state) != 0) {
            sm_thread_join(&s->loops[i].thread);
        }
    }
}

static void free_all(struct server *s)
{
    for (size_t i = 0; i < s->listener_count; i++) {
        sm_listener_free(&s->listeners[i].listener);
        sm_tls_server_free(&s->listeners[i].tls);
    }
    if (s->api != NULL) {
        sm_api_stop_crls(s->api);
    }
    sm_ocsp_schedule_stop(s->api);
    sm_sign_pool_free(&s->pool);
    sm_api_free(&s->api);
    sm_store_close(&s->store);
    sm_keystore_close(&s->keystore);
    sm_arena_deinit(&s->arena);
}

/* Beside the database, which they belong to. */
static sm_err start_crls(struct server *s, sm_diag *diag)
{
    const char *folder = sm_arena_printf(&s->arena, "%s/crl", s->config->data_dir);
    return folder == NULL ? SM_ERR(NO_MEMORY) : sm_api_start_crls(s->api, folder, diag);
}

static sm_err start(struct server *s, const char *path, sm_diag *diag)
{
    sm_arena_init(&s->arena, 64U << 20);
    SM_TRY(config_load(path, CONFIG_FILES_HERE, &s->arena, &s->config, diag));
    configure_log(s->config);
    unsigned wanted = s->config->threads == 0 ? sm_thread_cpu_count() : s->config->threads;
    s->loop_count = wanted > SERVE_LOOPS_MAX ? SERVE_LOOPS_MAX : wanted;
    const Sealmill__Config__V1__Limits *l = s->config->limits;
    s->message_max = l == NULL || l->message_bytes == 0 ? SM_GRPC_MESSAGE_DEFAULT
                                                        : l->message_bytes;
    s->body_max = s->message_max;
    for (size_t i = 0; i < s->config->n_listeners; i++) {
        SM_TRY(open_listener(
            s, s->config->listeners[i],
            diag)); /* first: a port that is taken is found before anything is opened */
    }
    SM_TRY(open_core(s, diag));
    SM_TRY(renew_responders(s, diag));
    sm_ca_look_at_foreign(s->api);
    SM_TRY(sm_crl_adopt(s->store));
    SM_TRY(start_crls(s, diag));
    SM_TRY(sm_ocsp_schedule_start(s->api, s->pool));
    return start_loops(s, diag); /* the last: they look at what the others have made */
}

static sigset_t own_signals(void)
{
    sigset_t signals;
    (void)sigemptyset(&signals);
    (void)sigaddset(&signals, SIGTERM);
    (void)sigaddset(&signals, SIGINT);
    (void)sigaddset(&signals, SIGHUP);
    return signals;
}

void serve_take_signals(void)
{
    sigset_t signals = own_signals();
    (void)pthread_sigmask(SIG_BLOCK, &signals, NULL);
    (void)signal(SIGPIPE, SIG_IGN);
}

int serve_run(const char *config_path, void (*on_ready)(void *ctx), void *ctx)
{
    static struct server s;
    sm_diag diag = {.reason = ""};
    sigset_t signals = own_signals();
    serve_take_signals();
    sm_err err = start(&s, config_path, &diag);
    if (sm_ok(err)) {
        log_listeners(&s);
        sm_health_set(true);
        sm_log(SM_LOG_INFO, "ready", SM_KS("version", SM_VERSION), SM_KU("loops", s.loop_count),
               SM_KEND);
        systemd_notify("READY=1");
        if (on_ready != NULL) {
            on_ready(ctx);
        }
        wait_for_end(&s, config_path, &signals);
        systemd_notify("STOPPING=1");
        sm_health_set(false);
        sm_log(SM_LOG_INFO, "draining", SM_KEND);
    }
    stop(&s);
    free_all(&s);
    if (!sm_ok(err)) { /* it never ran: there is no end to tell of before the reason */
        return cli_fail(err, &diag);
    }
    sm_log(SM_LOG_INFO, "stopped", SM_KEND);
    return 0;
}
