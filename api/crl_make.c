/* SPDX-License-Identifier: Apache-2.0 */
/* One CRL made: the rules, the order and its publication. */
#include "api/api_p.h"
#include "api/crl_p.h"
#include "api/crl_partition.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/metrics.h"
#include "base/text.h"
#include "ocsp-cache/crl_build.h"

#define VALIDITY_DEFAULT_S (INT64_C(7) * 86400)
#define INTERVAL_DEFAULT_S (INT64_C(1) * 86400)
#define DURATION_MIN_S 60

static struct {
    sm_metric made;
    sm_metric failed;
} metrics;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void register_metrics(void)
{
    metrics.made = sm_metric_register(SM_COUNTER, "sealmill_crl_made_total", "CRLs made", NULL);
    metrics.failed = sm_metric_register(SM_COUNTER, "sealmill_crl_failures_total",
                                        "CRLs that could not be made", NULL);
}

/* ---- rules ---- */

static int64_t duration(const char *text, int64_t fallback)
{
    int64_t s;
    return text != NULL && text[0] != '\0' && sm_ok(sm_duration_parse(sm_slice_str(text), &s))
               ? s
               : fallback;
}

static sm_err check_duration(const char *text, const char *field, sm_diag *diag)
{
    int64_t s;
    if (text[0] == '\0' ||
        (sm_ok(sm_duration_parse(sm_slice_str(text), &s)) && s >= DURATION_MIN_S)) {
        return SM_NO_ERR;
    }
    return sm_diag_set(diag, SM_ERR(INVALID), field,
                       "\"%.40s\" is not a duration such as 1h, 1d or 7d, of a minute at least",
                       text);
}

sm_err sm_crl_config_check(const Sealmill__Config__V1__CrlRules *c, sm_diag *diag)
{
    if (c == NULL) {
        return SM_NO_ERR;
    }
    SM_TRY(check_duration(c->validity, "crl.validity", diag));
    SM_TRY(check_duration(c->interval, "crl.interval", diag));
    SM_TRY(check_duration(c->delta_interval, "crl.delta_interval", diag));
    if (duration(c->interval, INTERVAL_DEFAULT_S) > duration(c->validity, VALIDITY_DEFAULT_S)) {
        return sm_diag_set(diag, SM_ERR(INVALID), "crl.interval",
                           "a CRL would end (crl.validity) before the next one is made");
    }
    return c->partitions <= SM_CRL_PARTITIONS_MAX
               ? SM_NO_ERR
               : sm_diag_set(diag, SM_ERR(OUT_OF_RANGE), "crl.partitions", "at most %d",
                             SM_CRL_PARTITIONS_MAX);
}

struct crl_rules sm_crl_rules_of(const Sealmill__Config__V1__Config *config)
{
    const Sealmill__Config__V1__CrlRules *c = config->crl;
    if (c == NULL) {
        return (struct crl_rules){VALIDITY_DEFAULT_S, INTERVAL_DEFAULT_S, 0, false, ""};
    }
    return (struct crl_rules){duration(c->validity, VALIDITY_DEFAULT_S),
                              duration(c->interval, INTERVAL_DEFAULT_S),
                              duration(c->delta_interval, 0), c->off, c->base_url};
}

/* ---- making ---- */

static sm_err check_makable(const struct sm_crl_name *name, const struct sm_crl_state *whole,
                            const struct sm_crl_state *state, sm_diag *diag)
{
    if (name->g->cert.der.len == 0) {
        return sm_diag_set(diag, SM_ERR(PRECONDITION), "ca", "it has no certificate yet");
    }
    if (name->partition > whole->partitions) {
        return sm_diag_set(diag, SM_ERR(NOT_FOUND), "partition", "it has %u partitions",
                           whole->partitions);
    }
    if (name->g->key == NULL) {
        return sm_diag_set(diag, SM_ERR(UNAVAILABLE), "ca", "its key is not at hand");
    }
    if (name->delta && state->full.number == 0) {
        return sm_diag_set(diag, SM_ERR(PRECONDITION), "ca",
                           "a delta CRL needs a full one to begin from");
    }
    return SM_NO_ERR;
}

static void fill_times(struct sm_crl_order *o, const struct crl_rules *r,
                       const struct sm_ca_generation *g)
{
    int64_t now = sm_clock_wall_s();
    /* A delta CRL is good until the next but one. */
    int64_t lasts = o->is_delta ? 2 * (r->delta_s > 0 ? r->delta_s : r->interval_s) : r->validity_s;
    o->this_update = now - SM_CRL_BACKDATE_S;
    o->next_update = now + lasts;
    if (o->next_update > g->cert.not_after) {
        o->next_update = g->cert.not_after;
    }
}

/* Where certificates say that the partition's CRL is, and where its delta CRL is. */
static sm_err fill_urls(struct sm_crl_order *o, const struct sm_crl_name *name,
                        const struct sm_crl_state *whole, const struct crl_rules *r,
                        sm_arena *arena)
{
    struct sm_crl_name full = *name;
    struct sm_crl_name delta = *name;
    full.delta = false;
    delta.delta = true;
    const char *file = sm_crl_file(&full, arena);
    const char *delta_file = sm_crl_file(&delta, arena);
    sm_slice *urls = sm_arena_alloc(arena, SM_CRL_BASES_MAX * sizeof(*urls));
    if (file == NULL || delta_file == NULL || urls == NULL) {
        return SM_ERR(NO_MEMORY);
    }
    for (size_t i = 0; name->partition > 0 && i < whole->base_count; i++) {
        const char *url = sm_arena_printf(arena, "%s%s", whole->bases[i], file);
        if (url == NULL) {
            return SM_ERR(NO_MEMORY);
        }
        urls[o->own_url_count++] = sm_slice_str(url);
    }
    o->own_urls = urls;
    if (r->delta_s > 0 && r->base_url[0] != '\0') {
        const char *url = sm_arena_printf(arena, "%s/%s", r->base_url, delta_file);
        o->freshest_url = url == NULL ? SM_SLICE_NONE : sm_slice_str(url);
        return url == NULL ? SM_ERR(NO_MEMORY) : SM_NO_ERR;
    }
    return SM_NO_ERR;
}

/* The number is taken, durably, before anything is made of it. */
static sm_err publish(sm_crls *crls, const struct sm_crl_name *name, struct sm_crl_order *order,
                      struct sm_crl_state *state, sm_diag *diag)
{
    sm_store *store = sm_api_store(crls->api);
    struct sm_crl_built built;
    order->number = ++state->last_number;
    SM_TRY(sm_crl_state_write(store, &order->scope, state));
    SM_TRY(sm_crl_build(order, &built, diag));
    *(name->delta ? &state->delta : &state->full) = (struct sm_crl_published){
        order->number, order->this_update, order->next_update, built.entries, built.bytes};
    SM_TRY(sm_crl_state_write(store, &order->scope, state));
    return name->delta ? SM_NO_ERR : sm_crl_entries_forget(store, &order->scope, order->settled_at);
}

static sm_err make_of(sm_crls *crls, const struct sm_crl_name *name, const struct crl_rules *r,
                      const struct sm_crl_state *whole, struct sm_crl_state *state, sm_arena *arena,
                      sm_diag *diag)
{
    char path[4096];
    SM_TRY(check_makable(name, whole, state, diag));
    SM_TRY(sm_crl_path(crls, name, path));
    struct sm_crl_order order = {
        .store = sm_api_store(crls->api),
        .scope = sm_crl_scope_of(name),
        .issuer = name->g->cert.subject,
        .authority_key_id = name->g->cert.subject_key_id,
        .key = name->g->key,
        .is_delta = name->delta,
        .base_number = state->full.number,
        .base_time = state->full.this_update,
        .settled_at = state->full.this_update,
        .path = path,
    };
    SM_TRY(fill_urls(&order, name, whole, r, arena));
    fill_times(&order, r, name->g);
    return publish(crls, name, &order, state, diag);
}

static sm_err make_locked(sm_crls *crls, const sm_world *world, const struct sm_crl_name *name,
                          struct sm_crl_published *out, sm_diag *diag)
{
    struct crl_rules r = sm_crl_rules_of(world->config);
    struct sm_crl_name complete = {.ca = name->ca, .g = name->g};
    struct sm_crl_state whole = {.last_number = 0};
    struct sm_crl_state state = {.last_number = 0};
    sm_arena arena;
    sm_arena_init(&arena, 1U << 20);
    sm_err err = sm_crls_state(crls, &complete, &whole);
    err = sm_ok(err)
              ? sm_crl_keep_partitions(sm_api_store(crls->api), world, name->ca, name->g, &whole)
              : err;
    err = sm_ok(err) && name->partition > 0 ? sm_crls_state(crls, name, &state) : err;
    struct sm_crl_state *own = name->partition > 0 ? &state : &whole;
    err = sm_ok(err) ? make_of(crls, name, &r, &whole, own, &arena, diag) : err;
    if (sm_ok(err)) {
        *out = name->delta ? own->delta : own->full;
    }
    sm_crl_state_deinit(&whole);
    sm_crl_state_deinit(&state);
    sm_arena_deinit(&arena);
    return err;
}

sm_err sm_crls_make(sm_crls *crls, const struct sm_crl_name *name, struct sm_crl_published *out,
                    sm_diag *diag)
{
    (void)pthread_once(&once, register_metrics);
    sm_world *world = sm_world_attach(crls->api);
    uint64_t start = sm_clock_mono_ns();
    (void)pthread_mutex_lock(&crls->lock);
    sm_err err = make_locked(crls, world, name, out, diag);
    (void)pthread_mutex_unlock(&crls->lock);
    sm_world_detach(&world);
    sm_metric_inc(sm_ok(err) ? metrics.made : metrics.failed);
    if (sm_ok(err)) {
        sm_log(SM_LOG_INFO, "crl_made", SM_KS("ca", name->ca->name),
               SM_KU("generation", name->g->number), SM_KU("partition", name->partition),
               SM_KS("kind", name->delta ? "delta" : "full"), SM_KU("number", out->number),
               SM_KU("entries", out->entries),
               SM_KU("ms", (sm_clock_mono_ns() - start) / SM_NS_PER_MS), SM_KEND);
    }
    return err;
}
