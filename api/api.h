/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The service: CAs, profiles, callers, the issuance pipeline, the inventory. Every protocol goes
 * through it.
 *
 * sm_api is shared by all threads; sm_api_loop is one loop's part of it (its batcher). What
 * changes seldom (CAs, profiles, callers) is a `sm_world`: an immutable snapshot that requests
 * attach to and that administration replaces as a whole.
 *
 * Threads:   sm_api_new/free: main. Administration and inventory reads run on service threads
 *            (they wait for the disk and for keys); issuance runs on the loops.
 * Limits:    SM_API_PENDING_MAX requests under way in a loop.
 * Security:  no right, no profile, no proof of possession: refused, and counted by reason.
 * Standards: RFC 5280.
 */
#pragma once

#include "base/diag.h"
#include "base/err.h"
#include "base/mailbox.h"
#include "base/thread.h"
#include "gen/sealmill/v1/caller.pb-c.h"
#include "gen/sealmill/v1/config.pb-c.h"
#include "sign/batch.h"
#include "sign/key.h"
#include "store/store.h"

#define SM_API_PENDING_MAX \
    4096 /* default of limits.pending_requests: at 30,000/s that much waits 0.14 s */

typedef struct sm_api sm_api;
typedef struct sm_api_loop sm_api_loop;
typedef struct sm_world sm_world;

struct sm_api_config {
    const Sealmill__Config__V1__Config *config; /* borrowed for life */
    sm_store *store;
    sm_keystore *keystore;
    unsigned service_threads; /* 0: 2 */
};

/* Loads CAs, profiles, tokens from the store. Errors: those of loading; diag says which. Given. */
SM_FALLIBLE sm_api_new(const struct sm_api_config *config, sm_api **out, sm_diag *diag);
void sm_api_free(sm_api **api);
/* Begins to make CRLs, in `folder`, on a thread of its own. Errors: DISK, OS, NO_MEMORY. */
SM_FALLIBLE sm_api_start_crls(sm_api *api, const char *folder, sm_diag *diag);
/* It makes no more: before the store closes. */
void sm_api_stop_crls(sm_api *api);
/* Reads the configuration's parts again (profiles, client certificates). `config` is borrowed
 * for life, the old one until no request uses it. */
SM_FALLIBLE sm_api_reload(sm_api *api, const Sealmill__Config__V1__Config *config, sm_diag *diag);

/* Loads keys that were missing, where a token has come (back) since. Blocks; quick when there is
 * nothing to do. Main thread. */
void sm_api_retry_keys(sm_api *api);

sm_store *sm_api_store(sm_api *api);
/* Grows with every revocation, hold and release that became durable, before it is answered. Any
 * thread. */
uint64_t sm_api_state_changes(sm_api *api);
void sm_api_count_state_change(sm_api *api);
/* The tokens' state; NULL: there are none. */
sm_tokens *sm_api_tokens(sm_api *api);

/* The world's current snapshot; detach it after use. Any thread. */
sm_world *sm_world_attach(sm_api *api);
void sm_world_detach(sm_world **world);

struct sm_api_loop_config {
    sm_mailbox *home;
    sm_sign_pool *pool;
    void (*schedule)(void *ctx); /* asks for sm_api_loop_run at the turn's end */
    void *ctx;
};

SM_FALLIBLE sm_api_loop_new(sm_api *api, const struct sm_api_loop_config *config,
                            sm_api_loop **out);
void sm_api_loop_free(sm_api_loop **loop);
/* The signing batch. */
void sm_api_loop_run(sm_api_loop *loop);
/* No issuance under way, no call on a service thread, no signature waiting. */
bool sm_api_loop_is_idle(const sm_api_loop *loop);
sm_api *sm_api_of(sm_api_loop *loop);
sm_mailbox *sm_api_loop_home(sm_api_loop *loop);
sm_batcher *sm_api_loop_batcher(sm_api_loop *loop);

/* Runs `work` on a service thread, then `done` on the loop. Embedded in the request, pinned
 * until done. */
typedef struct sm_errand {
    sm_msg msg;
    sm_mailbox *home;
    void (*work)(struct sm_errand *errand);
    void (*done)(struct sm_errand *errand);
} sm_errand;

void sm_errand_run(sm_api *api, sm_mailbox *home, sm_errand *errand);
/* The same for work that takes seconds: one after the other, so that it keeps nothing else waiting. */
void sm_errand_run_slow(sm_api *api, sm_mailbox *home, sm_errand *errand);
