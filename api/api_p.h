/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside api: the shared state.
 *
 * Threads:   see each field.
 * Limits:    api.h.
 * Security:  none.
 * Standards: none.
 */
#pragma once

#include "api/api.h"
#include "api/crl.h"
#include "api/doubt.h"
#include "api/world.h"
#include "base/lockout.h"
#include "base/rate_table.h"
#include "ocsp-cache/ocsp_refresh.h"

#include <pthread.h>

#define SERVICE_THREADS_MAX 16
#define SM_CLOCK_BACK_MAX_MS \
    (5 * 60 * 1000) /* a clock that far behind the last issuance is not trusted */

struct sm_api {
    struct sm_api_config config;
    pthread_mutex_t world_lock; /* covers `world` and its replacement */
    sm_world *world;
    pthread_mutex_t admin_lock;     /* one change of the world at a time; covers `keys`, `rates` */
    sm_map *keys;                   /* URI -> sm_key: a key is decrypted once */
    sm_map *rates;                  /* signing key's name -> sm_rate */
    _Atomic uint64_t state_changes; /* revocations, holds and releases that became durable */
    sm_ocsp_cache *ocsp_cache;
    sm_ocsp_refresh *ocsp_refresh; /* NULL: not started */
    sm_doubts *doubts;             /* changes of status that failed */
    sm_crls *crls;                 /* NULL: none are made */
    sm_rate_table issue_rates;     /* of callers and subjects */
    sm_lockout lockout;            /* of who guesses passwords */
    pthread_mutex_t
        approval_lock; /* one step of those that wait for a person: its look and its write */
    sm_rate refusals;  /* audit records of refused calls */
    sm_worker services[SERVICE_THREADS_MAX];
    unsigned service_count;
    sm_map *
        health; /* CA's name -> struct sm_ca_health, for as long as the api lives; under admin_lock */
    sm_worker slow; /* what takes seconds: keys made for others */
    bool slow_started;
    _Atomic uint32_t next_service;
    uint64_t tokens_epoch; /* main's: when missing keys were looked for last */
    /* Wall time of the last issuance, or of the last record before the start: nothing is issued by a
     * clock far behind it. */
    _Atomic int64_t last_issue_ms;
};

struct sm_api_loop {
    sm_api *api;
    struct sm_api_loop_config config;
    sm_batcher *batcher;
    size_t pending;       /* issuances under way */
    size_t ocsp_pending;  /* queries whose answers are being signed */
    size_t ocsp_keeping;  /* answers on their way to the store */
    sm_rate ocsp_unknown; /* answers about serial numbers of nobody */
    size_t errands; /* calls on service threads or waiting for the store, which look at the loop */
};

/* Rebuilds the world from the store and puts it in place. Call with admin_lock held. */
SM_FALLIBLE sm_api_refresh(sm_api *api, sm_diag *diag);
/* Writes one change of META and puts the world in place that it makes. That world is built first:
 * nothing is stored that could not be loaded again. Tokens that are long dead go with it. Blocks;
 * call with admin_lock held. Errors: those of the build and of the write; after the latter's
 * `change->uncertain` says whether the record may be there all the same. */
SM_FALLIBLE sm_api_commit(sm_api *api, struct sm_change *change, sm_arena *arena, sm_diag *diag);
/* A key by its URI, from the cache or the key store. Call with admin_lock held. Shared. */
SM_FALLIBLE sm_api_load_key(sm_api *api, const char *uri, sm_key **out, sm_diag *diag);
/* Forgets a key and removes its file: one that no record names (any more). Whoever uses it still
 * keeps it. Call with admin_lock held. */
void sm_api_drop_key(sm_api *api, const char *uri);
/* A signing key's rate limit by the key's name. Call with admin_lock held; lives as long as the
 * api. Errors: NO_MEMORY. */
SM_FALLIBLE sm_api_rate(sm_api *api, const char *name, sm_rate **out);
/* What is known of a CA's health in groups; the api's, for as long as it lives. Under admin_lock. Errors: NO_MEMORY, EXHAUSTED. */
struct sm_ca_health;
SM_FALLIBLE sm_api_ca_health(sm_api *api, const char *ca, struct sm_ca_health **out);
