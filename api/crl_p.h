/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside api's CRLs: the object that makes and publishes them.
 *
 * Threads:   `lock` covers every file and state that is being written; see crl.h.
 * Limits:    SM_CRL_FACTS_MAX.
 * Security:  none.
 * Standards: none.
 */
#pragma once

#include "api/crl.h"
#include "base/thread.h"

#define SM_CRL_BACKDATE_S 300 /* clocks of relying parties lag */
/* CRLs that metrics tell of one by one, those that end first: more series than that nobody looks at. */
#define SM_CRL_FACTS_MAX 1000

struct sm_crl_facts;

struct sm_crls {
    sm_api *api;
    sm_map
        *failed; /* turn's: CRLs that could not be made, and until when they rest, Unix seconds */
    char folder[3000];
    pthread_mutex_t lock; /* one CRL at a time */
    sm_thread thread;
    bool started;
    pthread_mutex_t facts_lock; /* covers facts */
    struct sm_crl_facts *facts; /* of the last turn; NULL: none yet */
    pthread_mutex_t stop_lock;  /* covers stopping */
    pthread_cond_t stop;
    bool stopping;
};

struct crl_rules {
    int64_t validity_s;
    int64_t interval_s;
    int64_t delta_s; /* 0: no delta CRLs */
    bool off;
    const char *base_url;
};

/* ---- crl_name.c ---- */
struct sm_crl_scope sm_crl_scope_of(const struct sm_crl_name *name);
/* Where its file is. Errors: NO_MEMORY, TOO_LARGE. */
SM_FALLIBLE sm_crl_path(const sm_crls *crls, const struct sm_crl_name *name, char out[4096]);

/* ---- crl_make.c ---- */
struct crl_rules sm_crl_rules_of(const Sealmill__Config__V1__Config *config);

/* ---- crl_promise.c ---- */
/* Under the lock. Writes down what certificates of the generation will rely on, where `whole` has less: the configuration
 * may say less later. Errors: those of sm_crl_state_write. */
SM_FALLIBLE sm_crl_keep_partitions(sm_store *store, const sm_world *world, const struct sm_ca *ca,
                                   const struct sm_ca_generation *g, struct sm_crl_state *whole);

/* ---- crl_load.c ---- */
/* Under the lock. After a load that was interrupted (state->loading): notes what the files are. Numbers that were taken here
 * stay so. */
void sm_crl_settle_loaded(sm_crls *crls, const struct sm_crl_name *name,
                          struct sm_crl_state *state);

/* ---- crl_metrics.c ---- */
/* NULL without memory: then there are none to tell. */
struct sm_crl_facts *sm_crl_facts_new(void);
void sm_crl_facts_add(struct sm_crl_facts *f, const struct sm_crl_name *name,
                      const struct sm_crl_published *published, bool overdue);
/* They are told from now on, instead of those before. Taken; may be NULL. */
void sm_crl_facts_show(sm_crls *crls, struct sm_crl_facts *f);
