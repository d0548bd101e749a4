/* SPDX-License-Identifier: Apache-2.0 */
#include "api/api.h"

#include "api/api_p.h"
#include "api/approval.h"
#include "api/ca_group.h"
#include "api/indexer.h"
#include "api/key_facts.h"
#include "api/record.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"

#include <stdio.h>

/* Keys in memory: SM_CAS_MAX CAs with three generations each, a responder's key beside each, and SM_SIGNING_KEYS_MAX.
 * A key takes about 3 KiB. */
#define RATES_MAX 4096 /* of signing keys that were, too */
#define KEYS_MAX (6 * SM_CAS_MAX + SM_SIGNING_KEYS_MAX)

sm_err sm_api_load_key(sm_api *api, const char *uri, sm_key **out, sm_diag *diag)
{
    sm_key *key = sm_map_get(api->keys, sm_slice_str(uri));
    if (key == NULL) {
        SM_TRY(sm_keystore_load(api->config.keystore, uri, &key, diag));
        sm_err err = sm_map_put(api->keys, sm_slice_str(uri), key, NULL);
        if (!sm_ok(err)) {
            sm_key_detach(&key);
            return err;
        }
        sm_key_facts_tell(key, uri);
    }
    *out = sm_key_attach(key);
    return SM_NO_ERR;
}

void sm_api_drop_key(sm_api *api, const char *uri)
{
    sm_key *cached = sm_map_remove(api->keys, sm_slice_str(uri));
    sm_key_detach(&cached);
    sm_keystore_discard(api->config.keystore, uri);
}

sm_err sm_api_rate(sm_api *api, const char *name, sm_rate **out)
{
    *out = sm_map_get(api->rates, sm_slice_str(name));
    if (*out != NULL) {
        return SM_NO_ERR;
    }
    sm_rate *fresh = sm_calloc(1, sizeof(*fresh));
    sm_err err = fresh == NULL ? SM_ERR(NO_MEMORY)
                               : sm_map_put(api->rates, sm_slice_str(name), fresh, NULL);
    if (!sm_ok(err)) {
        sm_free(fresh);
        return err;
    }
    *out = fresh;
    return SM_NO_ERR;
}

sm_err sm_api_ca_health(sm_api *api, const char *ca, struct sm_ca_health **out)
{
    *out = sm_map_get(api->health, sm_slice_str(ca));
    if (*out != NULL) {
        return SM_NO_ERR;
    }
    struct sm_ca_health *fresh = sm_calloc(1, sizeof(*fresh));
    sm_err err = fresh == NULL ? SM_ERR(NO_MEMORY)
                               : sm_map_put(api->health, sm_slice_str(ca), fresh, NULL);
    if (!sm_ok(err)) {
        sm_free(fresh);
        return err;
    }
    *out = fresh;
    return SM_NO_ERR;
}

static void put_in_place(sm_api *api, sm_world *fresh)
{
    sm_world_set_checks(fresh);
    (void)pthread_mutex_lock(&api->world_lock);
    sm_world *old = api->world;
    api->world = fresh;
    (void)pthread_mutex_unlock(&api->world_lock);
    sm_world_detach(&old);
}

sm_err sm_api_refresh(sm_api *api, sm_diag *diag)
{
    sm_world *fresh;
    SM_TRY(sm_world_build(api, NULL, &fresh, diag));
    sm_err err = sm_crls_promise(api->crls, api->config.store, fresh);
    if (!sm_ok(err)) {
        sm_world_detach(&fresh);
        return sm_diag_set(diag, err, "crl.partitions", "they cannot be written down");
    }
    put_in_place(api, fresh);
    return SM_NO_ERR;
}

sm_err sm_api_commit(sm_api *api, struct sm_change *change, sm_arena *arena, sm_diag *diag)
{
    sm_world *fresh;
    SM_TRY(sm_world_build(api, change, &fresh, diag));
    change->gone = fresh->dead;
    change->gone_count = fresh->dead_count;
    sm_err err = sm_crls_promise(api->crls, api->config.store, fresh);
    err = sm_ok(err) ? sm_change_write(api->config.store, change, arena) : err;
    change->gone = NULL;
    change->gone_count = 0;
    if (!sm_ok(err)) {
        sm_world_detach(&fresh);
        return err;
    }
    put_in_place(api, fresh);
    return SM_NO_ERR;
}

sm_world *sm_world_attach(sm_api *api)
{
    (void)pthread_mutex_lock(&api->world_lock);
    sm_world *world = api->world;
    atomic_fetch_add(&world->refs, 1);
    (void)pthread_mutex_unlock(&api->world_lock);
    return world;
}

static sm_err start_services(sm_api *api)
{
    unsigned count = api->config.service_threads == 0 ? 2 : api->config.service_threads;
    count = count > SERVICE_THREADS_MAX ? SERVICE_THREADS_MAX : count;
    for (; api->service_count < count; api->service_count++) {
        char name[16];
        (void)snprintf(name, sizeof(name), "service-%u", api->service_count % 100U);
        SM_TRY(sm_worker_start(&api->services[api->service_count], name, NULL, NULL));
    }
    SM_TRY(sm_worker_start(&api->slow, "slow", NULL, NULL));
    api->slow_started = true;
    return SM_NO_ERR;
}

/* The last time that was written down: from before the start too, since a clock that lost its
 * battery is wrong from the start on. */
static sm_err start_clock(sm_api *api)
{
    int64_t last;
    SM_TRY(sm_record_last_time_ms(api->config.store, &last));
    atomic_store(&api->last_issue_ms, last);
    if (sm_clock_wall_ms() + SM_CLOCK_BACK_MAX_MS < last) {
        sm_log(SM_LOG_ERROR, "clock_behind", SM_KI("last_record_ms", last),
               SM_KI("now_ms", sm_clock_wall_ms()), SM_KEND);
    }
    return SM_NO_ERR;
}

static size_t ocsp_memory(const Sealmill__Config__V1__Config *config)
{
    return config->ocsp == NULL ? 0 : (size_t)config->ocsp->memory_mib << 20;
}

sm_err sm_api_new(const struct sm_api_config *config, sm_api **out, sm_diag *diag)
{
    sm_api *api = sm_calloc(1, sizeof(*api));
    if (api == NULL) {
        return SM_ERR(NO_MEMORY);
    }
    api->config = *config;
    (void)pthread_mutex_init(&api->world_lock, NULL);
    (void)pthread_mutex_init(&api->admin_lock, NULL);
    (void)pthread_mutex_init(&api->approval_lock, NULL);
    sm_err err = sm_lockout_init(&api->lockout) ? SM_NO_ERR : SM_ERR(NO_MEMORY);
    err = sm_ok(err) && !sm_rate_table_init(&api->issue_rates) ? SM_ERR(NO_MEMORY) : err;
    err = sm_ok(err) ? sm_map_new(KEYS_MAX, &api->keys) : err;
    err = sm_ok(err) ? sm_map_new(RATES_MAX, &api->rates) : err;
    err = sm_ok(err) ? sm_map_new(SM_CAS_MAX, &api->health) : err;
    err = sm_ok(err) ? start_clock(api) : err;
    err = sm_ok(err) ? sm_approval_start(api) : err;
    err = sm_ok(err) ? sm_ocsp_cache_new(ocsp_memory(config->config), &api->ocsp_cache) : err;
    err = sm_ok(err) ? sm_doubts_new(&api->doubts) : err;
    if (sm_ok(err)) {
        (void)pthread_mutex_lock(&api->admin_lock);
        err = sm_api_refresh(api, diag);
        (void)pthread_mutex_unlock(&api->admin_lock);
    }
    if (sm_ok(err)) {
        err = start_services(api);
    }
    if (!sm_ok(err)) {
        sm_api_free(&api);
        return err;
    }
    *out = api;
    return SM_NO_ERR;
}

sm_err sm_api_start_crls(sm_api *api, const char *folder, sm_diag *diag)
{
    SM_TRY(sm_crls_new(api, folder, &api->crls, diag));
    return sm_crls_start(api->crls);
}

void sm_api_stop_crls(sm_api *api)
{
    sm_crls_free(&api->crls);
}

static void forget_signing(sm_msg *msg)
{
    (void)msg;
    sm_sign_thread_deinit();
}

void sm_api_free(sm_api **out)
{
    sm_api *api = *out;
    if (api == NULL) {
        return;
    }
    *out = NULL;
    sm_crls_free(&api->crls);
    sm_ocsp_refresh_free(&api->ocsp_refresh);
    for (unsigned i = 0; i < api->service_count; i++) {
        sm_msg last = {.run = forget_signing};
        sm_worker_post(&api->services[i], &last);
        sm_worker_stop(&api->services[i]);
    }
    if (api->slow_started) {
        sm_msg last = {.run = forget_signing};
        sm_worker_post(&api->slow, &last);
        sm_worker_stop(&api->slow);
    }
    sm_world_detach(&api->world);
    size_t at = 0;
    sm_slice uri;
    void *key;
    while (api->keys != NULL && sm_map_next(api->keys, &at, &uri, &key)) {
        sm_key *k = key;
        sm_key_detach(&k);
    }
    sm_ocsp_cache_free(&api->ocsp_cache);
    sm_doubts_free(&api->doubts);
    sm_map_free(&api->keys);
    at = 0;
    void *rate;
    while (api->rates != NULL && sm_map_next(api->rates, &at, &uri, &rate)) {
        sm_free(rate);
    }
    sm_map_free(&api->rates);
    at = 0;
    void *health;
    while (api->health != NULL && sm_map_next(api->health, &at, &uri, &health)) {
        sm_free(health);
    }
    sm_map_free(&api->health);
    sm_lockout_deinit(&api->lockout);
    sm_rate_table_deinit(&api->issue_rates);
    (void)pthread_mutex_destroy(&api->world_lock);
    (void)pthread_mutex_destroy(&api->admin_lock);
    (void)pthread_mutex_destroy(&api->approval_lock);
    sm_free(api);
}

sm_err sm_api_reload(sm_api *api, const Sealmill__Config__V1__Config *config, sm_diag *diag)
{
    (void)pthread_mutex_lock(&api->admin_lock);
    const Sealmill__Config__V1__Config *old = api->config.config;
    api->config.config = config;
    sm_err err = sm_api_refresh(api, diag);
    if (!sm_ok(err)) {
        api->config.config = old;
    }
    (void)pthread_mutex_unlock(&api->admin_lock);
    return err;
}

sm_tokens *sm_api_tokens(sm_api *api)
{
    return sm_keystore_tokens(api->config.keystore);
}

void sm_api_retry_keys(sm_api *api)
{
    sm_tokens *tokens = sm_api_tokens(api);
    uint64_t epoch = tokens == NULL ? 0 : sm_tokens_epoch(tokens);
    if (epoch == api->tokens_epoch) {
        return;
    }
    api->tokens_epoch = epoch;
    sm_world *world = sm_world_attach(api);
    bool missing = world->keys_missing;
    sm_world_detach(&world);
    if (!missing) {
        return;
    }
    sm_diag diag = {.reason = ""};
    (void)pthread_mutex_lock(&api->admin_lock);
    sm_err err = sm_api_refresh(api, &diag);
    (void)pthread_mutex_unlock(&api->admin_lock);
    if (!sm_ok(err)) {
        sm_log(SM_LOG_ERROR, "keys_not_loaded", SM_KE("error", err), SM_KS("reason", diag.reason),
               SM_KEND);
    }
}

sm_store *sm_api_store(sm_api *api)
{
    return api->config.store;
}

uint64_t sm_api_state_changes(sm_api *api)
{
    return atomic_load(&api->state_changes);
}

void sm_api_count_state_change(sm_api *api)
{
    atomic_fetch_add(&api->state_changes, 1);
}

/* ---- loops ---- */

sm_err sm_api_loop_new(sm_api *api, const struct sm_api_loop_config *config, sm_api_loop **out)
{
    sm_api_loop *loop = sm_calloc(1, sizeof(*loop));
    if (loop == NULL) {
        return SM_ERR(NO_MEMORY);
    }
    loop->api = api;
    loop->config = *config;
    const struct sm_batcher_config batcher = {config->home, config->pool, config->schedule,
                                              config->ctx};
    sm_err err = sm_batcher_new(&batcher, &loop->batcher);
    if (!sm_ok(err)) {
        sm_free(loop);
        return err;
    }
    *out = loop;
    return SM_NO_ERR;
}

void sm_api_loop_free(sm_api_loop **loop)
{
    if (*loop != NULL) {
        sm_batcher_free(&(*loop)->batcher);
        sm_free(*loop);
        *loop = NULL;
    }
}

void sm_api_loop_run(sm_api_loop *loop)
{
    (void)sm_batcher_run(loop->batcher);
}

bool sm_api_loop_is_idle(const sm_api_loop *loop)
{
    return loop->pending == 0 && loop->errands == 0 && loop->ocsp_pending == 0 &&
           loop->ocsp_keeping == 0 && sm_batcher_waiting(loop->batcher) == 0;
}

sm_api *sm_api_of(sm_api_loop *loop)
{
    return loop->api;
}

sm_mailbox *sm_api_loop_home(sm_api_loop *loop)
{
    return loop->config.home;
}

sm_batcher *sm_api_loop_batcher(sm_api_loop *loop)
{
    return loop->batcher;
}

/* ---- errands ---- */

static void errand_done(sm_msg *msg)
{
    sm_errand *errand = SM_CONTAINER_OF(msg, sm_errand, msg);
    errand->done(errand);
}

static void errand_work(sm_msg *msg)
{
    sm_errand *errand = SM_CONTAINER_OF(msg, sm_errand, msg);
    errand->work(errand);
    errand->msg.run = errand_done;
    sm_mailbox_post(errand->home, &errand->msg);
}

void sm_errand_run(sm_api *api, sm_mailbox *home, sm_errand *errand)
{
    errand->home = home;
    errand->msg.run = errand_work;
    unsigned at = atomic_fetch_add(&api->next_service, 1) % api->service_count;
    sm_worker_post(&api->services[at], &errand->msg);
}

void sm_errand_run_slow(sm_api *api, sm_mailbox *home, sm_errand *errand)
{
    errand->home = home;
    errand->msg.run = errand_work;
    sm_worker_post(&api->slow, &errand->msg);
}
