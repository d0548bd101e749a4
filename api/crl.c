/* SPDX-License-Identifier: Apache-2.0 */
#include "api/crl.h"

#include "api/api_p.h"
#include "api/crl_partition.h"
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
#define DURATION_MIN_S 60
#define LOOK_EVERY_S 5
#define BACKDATE_S 300 /* clocks of relying parties lag */
#define FILE_NAME_MAX 128
#define PARTITION_ENDING 6 /* octets of ".p0042" */
#define JITTER_PART 20     /* of the interval: 10,000 CAs' CRLs are not due at once */

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

static struct sm_crl_scope scope_of(const struct sm_crl_name *n)
{
    return (struct sm_crl_scope){n->g->ca_id, n->g->number, n->partition};
}

const char *sm_crl_file(const struct sm_crl_name *n, sm_arena *arena)
{
    const char *delta = n->delta ? ".delta" : "";
    return n->partition == 0
               ? sm_arena_printf(arena, "%s.%u%s.crl", n->ca->name, n->g->number, delta)
               : sm_arena_printf(arena, "%s.%u.p%04u%s.crl", n->ca->name, n->g->number,
                                 n->partition, delta);
}

static sm_err path_of(const sm_crls *crls, const struct sm_crl_name *n, char out[4096])
{
    char names[FILE_NAME_MAX];
    sm_arena arena;
    sm_arena_init(&arena, 4096);
    const char *file = sm_crl_file(n, &arena);
    int len = file == NULL ? -1 : snprintf(names, sizeof(names), "%s", file);
    sm_arena_deinit(&arena);
    if (len < 0 || (size_t)len >= sizeof(names)) {
        return SM_ERR(NO_MEMORY);
    }
    len = snprintf(out, 4096, "%s/%s", crls->folder, names);
    return len > 0 && len < 4096 ? SM_NO_ERR : SM_ERR(TOO_LARGE);
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

/* Takes ".pPPPP" from the end of a stem; 0: it has none. */
static uint32_t take_partition(sm_slice *stem)
{
    uint64_t number;
    if (stem->len <= PARTITION_ENDING || stem->ptr[stem->len - PARTITION_ENDING] != '.' ||
        stem->ptr[stem->len - PARTITION_ENDING + 1] != 'p' ||
        !sm_ok(sm_decimal_parse(sm_slice_from(*stem, stem->len - 4), &number)) ||
        number == 0 || number > SM_CRL_PARTITIONS_MAX) {
        return 0;
    }
    *stem = sm_slice_first(*stem, stem->len - PARTITION_ENDING);
    return (uint32_t)number;
}

/* NAME, the current generation's; or NAME.N. */
static bool find_generation(const sm_world *world, sm_slice stem, struct sm_crl_name *out)
{
    size_t dot = stem.len;
    uint64_t number;
    out->ca = find_ca(world, stem);
    if (out->ca != NULL) {
        out->g = sm_ca_current(out->ca);
        return out->g != NULL;
    }
    while (dot > 0 && stem.ptr[dot - 1] != '.') {
        dot--;
    }
    if (dot == 0 || !sm_ok(sm_decimal_parse(sm_slice_from(stem, dot), &number)) ||
        number > UINT32_MAX) {
        return false;
    }
    out->ca = find_ca(world, sm_slice_first(stem, dot - 1));
    out->g = out->ca == NULL ? NULL : sm_ca_generation(out->ca, (uint32_t)number);
    return out->g != NULL;
}

sm_err sm_crls_state(sm_crls *crls, const struct sm_crl_name *name, struct sm_crl_state *out)
{
    const struct sm_crl_scope scope = scope_of(name);
    return sm_crl_state_read(sm_api_store(crls->api), &scope, out);
}

sm_err sm_crls_find(sm_crls *crls, const sm_world *world, sm_slice file, char path[4096],
                    struct sm_crl_published *out)
{
    struct sm_crl_state state;
    struct sm_crl_name name = {.partition = 0};
    if (!sm_slice_ends_with(file, SM_LIT(".crl"))) {
        return SM_ERR(NOT_FOUND);
    }
    sm_slice stem = sm_slice_first(file, file.len - 4);
    name.delta = sm_slice_ends_with(stem, SM_LIT(".delta"));
    stem = name.delta ? sm_slice_first(stem, stem.len - 6) : stem;
    name.partition = take_partition(&stem);
    if (!find_generation(world, stem, &name)) {
        return SM_ERR(NOT_FOUND);
    }
    SM_TRY(sm_crls_state(crls, &name, &state));
    *out = name.delta ? state.delta : state.full;
    sm_crl_state_deinit(&state);
    return out->number == 0 ? SM_ERR(NOT_FOUND) : path_of(crls, &name, path);
}

/* ---- partitions ---- */

/* The places that certificates of this CA name, or will. True: there is a new one. */
static bool gather_bases(const sm_world *world, const struct sm_ca *ca, struct sm_crl_state *whole)
{
    bool more = false;
    for (size_t i = 0; i < world->profile_count; i++) {
        const Sealmill__V1__Profile *m = world->profiles[i].message;
        for (size_t j = 0; j < m->n_crl_urls; j++) {
            sm_slice base;
            if (sm_crl_url_base(m->crl_urls[j], ca->name, &base) &&
                sm_world_issues(ca, &world->profiles[i])) {
                more = sm_crl_state_add_base(whole, base) || more;
            }
        }
    }
    return more;
}

/* What the certificates of a generation need for as long as they live is written down before any CRL of it is made:
 * the configuration may say less later. */
static sm_err keep_partitions(sm_crls *crls, const sm_world *world, const struct sm_ca *ca,
                              const struct sm_ca_generation *g, struct sm_crl_state *whole)
{
    const struct sm_crl_scope scope = {g->ca_id, g->number, 0};
    if (g != sm_ca_current(ca) || world->crl_partitions == 0) {
        return SM_NO_ERR;
    }
    bool more = gather_bases(world, ca, whole);
    if (whole->base_count == 0 || (!more && whole->partitions >= world->crl_partitions)) {
        return SM_NO_ERR;
    }
    if (whole->partitions < world->crl_partitions) {
        whole->partitions = world->crl_partitions;
    }
    return sm_crl_state_write(sm_api_store(crls->api), &scope, whole);
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

static void fill_times(struct sm_crl_order *o, const struct rules *r,
                       const struct sm_ca_generation *g)
{
    int64_t now = sm_clock_wall_s();
    /* A delta CRL is good until the next but one. */
    int64_t lasts = o->is_delta ? 2 * (r->delta_s > 0 ? r->delta_s : r->interval_s) : r->validity_s;
    o->this_update = now - BACKDATE_S;
    o->next_update = now + lasts;
    if (o->next_update > g->cert.not_after) {
        o->next_update = g->cert.not_after;
    }
}

/* Where certificates say that the partition's CRL is, and where its delta CRL is. */
static sm_err fill_urls(struct sm_crl_order *o, const struct sm_crl_name *name,
                        const struct sm_crl_state *whole, const struct rules *r, sm_arena *arena)
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

static sm_err make_of(sm_crls *crls, const struct sm_crl_name *name, const struct rules *r,
                      const struct sm_crl_state *whole, struct sm_crl_state *state, sm_arena *arena,
                      sm_diag *diag)
{
    char path[4096];
    SM_TRY(check_makable(name, whole, state, diag));
    SM_TRY(path_of(crls, name, path));
    struct sm_crl_order order = {
        .store = sm_api_store(crls->api),
        .scope = scope_of(name),
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
    struct rules r = rules_of(world->config);
    struct sm_crl_name complete = {.ca = name->ca, .g = name->g};
    struct sm_crl_state whole = {.last_number = 0};
    struct sm_crl_state state = {.last_number = 0};
    sm_arena arena;
    sm_arena_init(&arena, 1U << 20);
    sm_err err = sm_crls_state(crls, &complete, &whole);
    err = sm_ok(err) ? keep_partitions(crls, world, name->ca, name->g, &whole) : err;
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

/* ---- the schedule ---- */

struct turn {
    sm_crls *crls;
    const sm_world *world;
    struct rules rules;
    int64_t now;
    size_t made;
    size_t overdue;
};

/* A copy of the database has no files of CRLs. */
static bool is_there(const sm_crls *crls, const struct sm_crl_name *name)
{
    char path[4096];
    return sm_ok(path_of(crls, name, path)) && sm_file_exists(path);
}

static bool is_due(const struct sm_crl_published *p, int64_t interval,
                   const struct sm_crl_scope *scope, int64_t now)
{
    int64_t place = (int64_t)((scope->ca_id + 31 * scope->partition) % 97);
    int64_t jitter = place * (interval / JITTER_PART) / 97;
    int64_t due = p->this_update + BACKDATE_S + interval - jitter;
    return p->number == 0 || now >= due || p->this_update > now; /* a clock that was set back */
}

static void make_if_due(struct turn *t, struct sm_crl_name *name, const struct sm_crl_state *state)
{
    const struct sm_crl_scope scope = scope_of(name);
    struct sm_crl_published made;
    sm_diag diag = {.reason = ""};
    if (!is_due(name->delta ? &state->delta : &state->full,
                name->delta ? t->rules.delta_s : t->rules.interval_s, &scope, t->now) &&
        is_there(t->crls, name)) {
        return;
    }
    sm_err err = name->g->key == NULL ? SM_ERR(UNAVAILABLE)
                                      : sm_crls_make(t->crls, name, &made, &diag);
    t->made += sm_ok(err) ? 1 : 0;
    t->overdue += sm_ok(err) ? 0 : 1;
    if (!sm_ok(err) && name->g->key != NULL) {
        sm_log(SM_LOG_ERROR, "crl_not_made", SM_KS("ca", name->ca->name),
               SM_KU("partition", name->partition), SM_KE("error", err),
               SM_KS("reason", diag.reason), SM_KEND);
    }
}

static void look_at_scope(struct turn *t, struct sm_crl_name *name)
{
    struct sm_crl_state state;
    if (!sm_ok(sm_crls_state(t->crls, name, &state))) {
        return;
    }
    name->delta = false;
    make_if_due(t, name, &state);
    if (t->rules.delta_s > 0) {
        name->delta = true;
        make_if_due(t, name, &state);
    }
    sm_crl_state_deinit(&state);
}

/* How many partitions it has; what they need is written down first. */
static uint32_t count_partitions(struct turn *t, const struct sm_crl_name *name)
{
    struct sm_crl_state whole;
    if (!sm_ok(sm_crls_state(t->crls, name, &whole))) {
        return 0;
    }
    (void)pthread_mutex_lock(&t->crls->lock);
    sm_err err = keep_partitions(t->crls, t->world, name->ca, name->g, &whole);
    (void)pthread_mutex_unlock(&t->crls->lock);
    uint32_t count = sm_ok(err) ? whole.partitions : 0;
    sm_crl_state_deinit(&whole);
    return count;
}

static void look_at_generation(struct turn *t, const struct sm_ca *ca,
                               const struct sm_ca_generation *g)
{
    bool foreign = ca->record->foreign != NULL; /* sealmill does not run it */
    if (foreign || g->cert.der.len == 0 || g->cert.not_after <= t->now) {
        return;
    }
    struct sm_crl_name name = {.ca = ca, .g = g};
    uint32_t partitions = count_partitions(t, &name);
    for (name.partition = 0; name.partition <= partitions; name.partition++) {
        look_at_scope(t, &name);
    }
}

size_t sm_crls_turn(sm_crls *crls)
{
    (void)pthread_once(&once, register_metrics);
    sm_world *world = sm_world_attach(crls->api);
    struct turn t = {
        .crls = crls, .world = world, .rules = rules_of(world->config), .now = sm_clock_wall_s()};
    for (size_t i = 0; i < world->ca_count && !t.rules.off; i++) {
        for (size_t j = 0; j < world->cas[i].generation_count; j++) {
            look_at_generation(&t, &world->cas[i], &world->cas[i].generations[j]);
        }
    }
    sm_metric_set(metrics.overdue, (int64_t)t.overdue);
    sm_world_detach(&world);
    return t.made;
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
