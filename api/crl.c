/* SPDX-License-Identifier: Apache-2.0 */
#include "api/crl.h"

#include "api/api_p.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/metrics.h"
#include "base/text.h"
#include "base/thread.h"
#include "ocsp-cache/crl_build.h"
#include "sign/batch.h"

#include <stdio.h>
#include <time.h>

#define VALIDITY_DEFAULT_S (INT64_C(7) * 86400)
#define INTERVAL_DEFAULT_S (INT64_C(1) * 86400)
#define LOOK_EVERY_S 5
#define BACKDATE_S 300 /* clocks of relying parties lag */
#define JITTER_PART 20 /* of the interval: 10,000 CAs' CRLs are not due at once */

struct sm_crls {
    sm_api *api;
    char folder[3000];
    pthread_mutex_t lock; /* one CRL at a time */
    sm_thread thread;
    bool started;
    pthread_mutex_t stop_lock; /* covers stopping */
    pthread_cond_t stop;
    bool stopping;
};

struct rules {
    int64_t validity_s;
    int64_t interval_s;
    int64_t delta_s; /* 0: no delta CRLs */
    bool off;
    const char *base_url;
};

static struct {
    sm_metric made;
    sm_metric failed;
    sm_metric overdue;
} metrics;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void register_metrics(void)
{
    metrics.made = sm_metric_register(SM_COUNTER, "sealmill_crl_made_total", "CRLs made", NULL);
    metrics.failed = sm_metric_register(SM_COUNTER, "sealmill_crl_failures_total",
                                        "CRLs that could not be made", NULL);
    metrics.overdue = sm_metric_register(SM_GAUGE, "sealmill_crl_overdue",
                                         "CRLs that are due and cannot be made", NULL);
}

static int64_t duration(const char *text, int64_t fallback)
{
    int64_t s;
    return text != NULL && text[0] != '\0' && sm_ok(sm_duration_parse(sm_slice_str(text), &s))
               ? s
               : fallback;
}

static struct rules rules_of(const Sealmill__Config__V1__Config *config)
{
    const Sealmill__Config__V1__CrlRules *c = config->crl;
    if (c == NULL) {
        return (struct rules){VALIDITY_DEFAULT_S, INTERVAL_DEFAULT_S, 0, false, ""};
    }
    return (struct rules){duration(c->validity, VALIDITY_DEFAULT_S),
                          duration(c->interval, INTERVAL_DEFAULT_S), duration(c->delta_interval, 0),
                          c->off, c->base_url};
}

/* ---- names ---- */

static sm_err path_of(const sm_crls *crls, const char *ca, uint32_t generation, bool delta,
                      char out[4096])
{
    int n = snprintf(out, 4096, "%s/%s.%u%s.crl", crls->folder, ca, generation,
                     delta ? ".delta" : "");
    return n > 0 && n < 4096 ? SM_NO_ERR : SM_ERR(TOO_LARGE);
}

static const struct sm_ca *find_ca(const sm_world *world, sm_slice name)
{
    char z[64];
    if (name.len == 0 || name.len >= sizeof(z) || sm_slice_find(name, 0) < name.len) {
        return NULL;
    }
    memcpy(z, name.ptr, name.len);
    z[name.len] = '\0';
    return sm_world_ca(world, z);
}

static const struct sm_ca_generation *find_generation(const sm_world *world, sm_slice stem)
{
    const struct sm_ca *ca = find_ca(world, stem);
    size_t dot = stem.len;
    uint64_t number;
    if (ca != NULL) {
        return sm_ca_current(ca);
    }
    while (dot > 0 && stem.ptr[dot - 1] != '.') {
        dot--;
    }
    if (dot == 0 || !sm_ok(sm_decimal_parse(sm_slice_from(stem, dot), &number)) ||
        number > UINT32_MAX) {
        return NULL;
    }
    ca = find_ca(world, sm_slice_first(stem, dot - 1));
    return ca == NULL ? NULL : sm_ca_generation(ca, (uint32_t)number);
}

sm_err sm_crls_find(sm_crls *crls, const sm_world *world, sm_slice file, char path[4096],
                    struct sm_crl_published *out)
{
    struct sm_crl_state state;
    if (!sm_slice_ends_with(file, SM_LIT(".crl"))) {
        return SM_ERR(NOT_FOUND);
    }
    sm_slice stem = sm_slice_first(file, file.len - 4);
    bool delta = sm_slice_ends_with(stem, SM_LIT(".delta"));
    const struct sm_ca_generation *g = find_generation(
        world, delta ? sm_slice_first(stem, stem.len - 6) : stem);
    if (g == NULL) {
        return SM_ERR(NOT_FOUND);
    }
    SM_TRY(sm_crl_state_read(sm_api_store(crls->api), g->ca_id, g->number, &state));
    *out = delta ? state.delta : state.full;
    return out->number == 0
               ? SM_ERR(NOT_FOUND)
               : path_of(crls, sm_world_ca_by_id(world, g->ca_id)->name, g->number, delta, path);
}

/* ---- making ---- */

static sm_err check_makable(const struct sm_ca_generation *g, const struct sm_crl_state *state,
                            bool delta, sm_diag *diag)
{
    if (g->cert.der.len == 0) {
        return sm_diag_set(diag, SM_ERR(PRECONDITION), "ca", "it has no certificate yet");
    }
    if (g->key == NULL) {
        return sm_diag_set(diag, SM_ERR(UNAVAILABLE), "ca", "its key is not at hand");
    }
    if (delta && state->full.number == 0) {
        return sm_diag_set(diag, SM_ERR(PRECONDITION), "ca",
                           "a delta CRL needs a full one to begin from");
    }
    return SM_NO_ERR;
}

static void fill_times(struct sm_crl_order *o, const struct rules *r,
                       const struct sm_ca_generation *g, bool delta)
{
    int64_t now = sm_clock_wall_s();
    /* A delta CRL is good until the next but one. */
    int64_t lasts = delta ? 2 * (r->delta_s > 0 ? r->delta_s : r->interval_s) : r->validity_s;
    o->this_update = now - BACKDATE_S;
    o->next_update = now + lasts;
    if (o->next_update > g->cert.not_after) {
        o->next_update = g->cert.not_after;
    }
}

static sm_err make_locked(sm_crls *crls, const char *ca, const struct sm_ca_generation *g,
                          bool delta, const struct rules *r, struct sm_crl_state *state,
                          sm_diag *diag)
{
    sm_store *store = sm_api_store(crls->api);
    char path[4096];
    char url[1024];
    struct sm_crl_built built;
    SM_TRY(sm_crl_state_read(store, g->ca_id, g->number, state));
    SM_TRY(check_makable(g, state, delta, diag));
    SM_TRY(path_of(crls, ca, g->number, delta, path));
    (void)snprintf(url, sizeof(url), "%.800s/%s.%u.delta.crl", r->base_url, ca, g->number);
    struct sm_crl_order order = {
        .store = store,
        .ca_id = g->ca_id,
        .generation = g->number,
        .issuer = g->cert.subject,
        .authority_key_id = g->cert.subject_key_id,
        .key = g->key,
        .number = ++state->last_number,
        .is_delta = delta,
        .base_number = state->full.number,
        .base_time = state->full.this_update,
        .settled_at = state->full.this_update,
        .freshest_url = r->delta_s > 0 && r->base_url[0] != '\0' ? sm_slice_str(url)
                                                                 : SM_SLICE_NONE,
        .path = path,
    };
    fill_times(&order, r, g, delta);
    SM_TRY(sm_crl_state_write(store, g->ca_id, g->number, state)); /* the number is taken */
    SM_TRY(sm_crl_build(&order, &built, diag));
    *(delta ? &state->delta : &state->full) = (struct sm_crl_published){
        order.number, order.this_update, order.next_update, built.entries, built.bytes};
    SM_TRY(sm_crl_state_write(store, g->ca_id, g->number, state));
    return delta ? SM_NO_ERR : sm_crl_entries_forget(store, g->ca_id, g->number, order.settled_at);
}

sm_err sm_crls_make(sm_crls *crls, const char *ca, const struct sm_ca_generation *g, bool delta,
                    struct sm_crl_state *out, sm_diag *diag)
{
    (void)pthread_once(&once, register_metrics);
    sm_world *world = sm_world_attach(crls->api);
    struct rules r = rules_of(world->config);
    uint64_t start = sm_clock_mono_ns();
    (void)pthread_mutex_lock(&crls->lock);
    sm_err err = make_locked(crls, ca, g, delta, &r, out, diag);
    (void)pthread_mutex_unlock(&crls->lock);
    sm_world_detach(&world);
    sm_metric_inc(sm_ok(err) ? metrics.made : metrics.failed);
    if (sm_ok(err)) {
        const struct sm_crl_published *p = delta ? &out->delta : &out->full;
        sm_log(SM_LOG_INFO, "crl_made", SM_KS("ca", ca), SM_KU("generation", g->number),
               SM_KS("kind", delta ? "delta" : "full"), SM_KU("number", p->number),
               SM_KU("entries", p->entries),
               SM_KU("ms", (sm_clock_mono_ns() - start) / SM_NS_PER_MS), SM_KEND);
    }
    return err;
}

/* ---- the schedule ---- */

/* A copy of the database has no files of CRLs. */
static bool is_there(const sm_crls *crls, const char *ca, uint32_t generation, bool delta)
{
    char path[4096];
    return sm_ok(path_of(crls, ca, generation, delta, path)) && sm_file_exists(path);
}

static bool is_due(const struct sm_crl_published *p, int64_t interval, uint32_t ca_id, int64_t now)
{
    int64_t jitter = (int64_t)(ca_id % 97) * (interval / JITTER_PART) / 97;
    int64_t due = p->this_update + BACKDATE_S + interval - jitter;
    return p->number == 0 || now >= due || p->this_update > now; /* a clock that was set back */
}

static size_t make_if_due(sm_crls *crls, const struct sm_ca *ca, const struct sm_ca_generation *g,
                          const struct rules *r, size_t *overdue)
{
    struct sm_crl_state state;
    int64_t now = sm_clock_wall_s();
    size_t made = 0;
    bool foreign = ca->record->foreign != NULL; /* sealmill does not run it */
    if (foreign || g->cert.der.len == 0 || g->cert.not_after <= now ||
        !sm_ok(sm_crl_state_read(sm_api_store(crls->api), g->ca_id, g->number, &state))) {
        return 0;
    }
    for (int delta = 0; delta <= (r->delta_s > 0 ? 1 : 0); delta++) {
        sm_diag diag = {.reason = ""};
        if (!is_due(delta != 0 ? &state.delta : &state.full,
                    delta != 0 ? r->delta_s : r->interval_s, g->ca_id, now) &&
            is_there(crls, ca->name, g->number, delta != 0)) {
            continue;
        }
        sm_err err = g->key == NULL ? SM_ERR(UNAVAILABLE)
                                    : sm_crls_make(crls, ca->name, g, delta != 0, &state, &diag);
        made += sm_ok(err) ? 1 : 0;
        *overdue += sm_ok(err) ? 0 : 1;
        if (!sm_ok(err) && g->key != NULL) {
            sm_log(SM_LOG_ERROR, "crl_not_made", SM_KS("ca", ca->name), SM_KE("error", err),
                   SM_KS("reason", diag.reason), SM_KEND);
        }
    }
    return made;
}

size_t sm_crls_turn(sm_crls *crls)
{
    (void)pthread_once(&once, register_metrics);
    sm_world *world = sm_world_attach(crls->api);
    struct rules r = rules_of(world->config);
    size_t made = 0;
    size_t overdue = 0;
    for (size_t i = 0; i < world->ca_count && !r.off; i++) {
        for (size_t j = 0; j < world->cas[i].generation_count; j++) {
            made += make_if_due(crls, &world->cas[i], &world->cas[i].generations[j], &r, &overdue);
        }
    }
    sm_metric_set(metrics.overdue, (int64_t)overdue);
    sm_world_detach(&world);
    return made;
}

/* ---- the thread ---- */

static bool wait_for_next(sm_crls *crls)
{
    struct timespec until;
    (void)clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += LOOK_EVERY_S;
    (void)pthread_mutex_lock(&crls->stop_lock);
    if (!crls->stopping) {
        (void)pthread_cond_timedwait(&crls->stop, &crls->stop_lock, &until);
    }
    bool go_on = !crls->stopping;
    (void)pthread_mutex_unlock(&crls->stop_lock);
    return go_on;
}

static void run(void *ctx)
{
    sm_crls *crls = ctx;
    sm_thread_lower_priority();
    do {
        (void)sm_crls_turn(crls);
    } while (wait_for_next(crls));
    sm_sign_thread_deinit();
}

sm_err sm_crls_new(sm_api *api, const char *folder, sm_crls **out, sm_diag *diag)
{
    sm_crls *crls = sm_calloc(1, sizeof(*crls));
    if (crls == NULL) {
        return SM_ERR(NO_MEMORY);
    }
    crls->api = api;
    (void)pthread_mutex_init(&crls->lock, NULL);
    (void)pthread_mutex_init(&crls->stop_lock, NULL);
    (void)pthread_cond_init(&crls->stop, NULL);
    int n = snprintf(crls->folder, sizeof(crls->folder), "%s", folder);
    sm_err err = n > 0 && (size_t)n < sizeof(crls->folder) ? sm_file_mkdirs(folder, 0755, diag)
                                                           : SM_ERR(TOO_LARGE);
    if (!sm_ok(err)) {
        sm_crls_free(&crls);
        return err;
    }
    *out = crls;
    return SM_NO_ERR;
}

sm_err sm_crls_start(sm_crls *crls)
{
    SM_TRY(sm_thread_start(&crls->thread, "crl", run, crls));
    crls->started = true;
    return SM_NO_ERR;
}

void sm_crls_free(sm_crls **out)
{
    sm_crls *crls = *out;
    *out = NULL;
    if (crls == NULL) {
        return;
    }
    (void)pthread_mutex_lock(&crls->stop_lock);
    crls->stopping = true;
    (void)pthread_cond_signal(&crls->stop);
    (void)pthread_mutex_unlock(&crls->stop_lock);
    if (crls->started) {
        sm_thread_join(&crls->thread);
    }
    (void)pthread_cond_destroy(&crls->stop);
    (void)pthread_mutex_destroy(&crls->stop_lock);
    (void)pthread_mutex_destroy(&crls->lock);
    sm_free(crls);
}
