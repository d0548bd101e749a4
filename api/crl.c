/* SPDX-License-Identifier: Apache-2.0 */
/* When CRLs are made: the schedule and its thread. */
#include "api/crl.h"

#include "api/api_p.h"
#include "api/crl_p.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/metrics.h"
#include "sign/batch.h"

#include <stdio.h>
#include <time.h>

#define LOOK_EVERY_S 5
#define JITTER_PART 20 /* of the interval: 10,000 CAs' CRLs are not due at once */
/* Between tries of one that cannot be made: it is gathered whole before it fails. */
#define RETRY_S 60
#define FAILED_MAX 100000

static sm_metric overdue_metric;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void register_metrics(void)
{
    overdue_metric = sm_metric_register(SM_GAUGE, "sealmill_crl_overdue",
                                        "CRLs that are due and cannot be made", NULL);
}

/* ---- the schedule ---- */

struct turn {
    sm_crls *crls;
    const sm_world *world;
    struct crl_rules rules;
    int64_t now;
    size_t made;
    size_t overdue;
    struct sm_crl_facts *facts;
};

/* A copy of the database has no files of CRLs. */
static bool is_there(const sm_crls *crls, const struct sm_crl_name *name)
{
    char path[4096];
    return sm_ok(sm_crl_path(crls, name, path)) && sm_file_exists(path);
}

static bool is_due(const struct sm_crl_published *p, int64_t interval,
                   const struct sm_crl_scope *scope, int64_t now)
{
    int64_t place = (int64_t)((scope->ca_id + 31 * scope->partition) % 97);
    int64_t jitter = place * (interval / JITTER_PART) / 97;
    int64_t due = p->this_update + SM_CRL_BACKDATE_S + interval - jitter;
    return p->number == 0 || now >= due || p->this_update > now; /* a clock that was set back */
}

/* Of a CA whose key is not here: another one is to be loaded before this one ends. */
static bool is_ending(const struct sm_crl_published *p, int64_t interval, int64_t now)
{
    return p->number == 0 || now >= p->next_update - interval;
}

/* A number was taken, and what it was for did not come about, or did and was not noted: the file may be another than the
 * state says, and have the ETag of the one before. Read under the lock, or it is so of a CRL that is being made. */
static bool was_interrupted(const struct sm_crl_state *s)
{
    return s->last_number > s->full.number && s->last_number > s->delta.number;
}

/* ---- those that could not be made ---- */

#define FAILED_KEY_LEN 13

static sm_slice failed_key(const struct sm_crl_name *name, uint8_t room[FAILED_KEY_LEN])
{
    memcpy(room, &name->g->ca_id, 4);
    memcpy(room + 4, &name->g->number, 4);
    memcpy(room + 8, &name->partition, 4);
    room[12] = name->delta;
    return sm_slice_of(room, FAILED_KEY_LEN);
}

/* A clock that was set back does not make it rest for longer. */
static bool rests(const struct turn *t, const struct sm_crl_name *name)
{
    uint8_t room[FAILED_KEY_LEN];
    int64_t until = (int64_t)(uintptr_t)sm_map_get(t->crls->failed, failed_key(name, room));
    return until > t->now && until <= t->now + RETRY_S;
}

static void note_try(const struct turn *t, const struct sm_crl_name *name, bool good)
{
    uint8_t room[FAILED_KEY_LEN];
    sm_slice key = failed_key(name, room);
    if (good) {
        (void)sm_map_remove(t->crls->failed, key);
    } else { /* without memory it is tried again at once */
        (void)sm_ok(sm_map_put(t->crls->failed, key, (void *)(uintptr_t)(t->now + RETRY_S), NULL));
    }
}

static sm_err try_to_make(const struct turn *t, const struct sm_crl_name *name,
                          struct sm_crl_published *made)
{
    sm_diag diag = {.reason = ""};
    if (name->g->key == NULL || rests(t, name)) {
        return SM_ERR(UNAVAILABLE);
    }
    sm_err err = sm_crls_make(t->crls, name, made, &diag);
    note_try(t, name, sm_ok(err));
    if (!sm_ok(err)) {
        sm_log(SM_LOG_ERROR, "crl_not_made", SM_KS("ca", name->ca->name),
               SM_KU("partition", name->partition), SM_KE("error", err),
               SM_KS("reason", diag.reason), SM_KEND);
    }
    return err;
}

static void make_if_due(struct turn *t, const struct sm_crl_name *name,
                        const struct sm_crl_state *state)
{
    const struct sm_crl_scope scope = sm_crl_scope_of(name);
    struct sm_crl_published made;
    const struct sm_crl_published *p = name->delta ? &state->delta : &state->full;
    int64_t interval = name->delta ? t->rules.delta_s : t->rules.interval_s;
    bool due = name->g->key == NULL ? is_ending(p, interval, t->now)
                                    : was_interrupted(state) || is_due(p, interval, &scope, t->now);
    if (!due && is_there(t->crls, name)) {
        sm_crl_facts_add(t->facts, name, p, false);
        return;
    }
    sm_err err = try_to_make(t, name, &made);
    t->made += sm_ok(err) ? 1 : 0;
    t->overdue += sm_ok(err) ? 0 : 1;
    sm_crl_facts_add(t->facts, name, sm_ok(err) ? &made : p, !sm_ok(err));
}

static sm_err read_settled(sm_crls *crls, const struct sm_crl_name *name, struct sm_crl_state *out)
{
    (void)pthread_mutex_lock(&crls->lock);
    sm_err err = sm_crls_state(crls, name, out);
    if (sm_ok(err) && out->loading) {
        sm_crl_settle_loaded(crls, name, out);
    }
    (void)pthread_mutex_unlock(&crls->lock);
    return err;
}

static void look_at_scope(struct turn *t, struct sm_crl_name *name)
{
    struct sm_crl_state state;
    if (!sm_ok(read_settled(t->crls, name, &state))) {
        return;
    }
    name->delta = false;
    make_if_due(t, name, &state);
    /* One that was made by hand is served too. */
    if (t->rules.delta_s > 0 || (was_interrupted(&state) && state.delta.number > 0)) {
        name->delta = true;
        make_if_due(t, name, &state);
    }
    sm_crl_state_deinit(&state);
}

/* How many partitions it has; what they need is written down, had it not been when the world began. The state is read
 * under the lock that it is written under: a number that is taken in between would be taken back. */
static uint32_t count_partitions(struct turn *t, const struct sm_crl_name *name)
{
    struct sm_crl_state whole;
    uint32_t count = 0;
    (void)pthread_mutex_lock(&t->crls->lock);
    if (sm_ok(sm_crls_state(t->crls, name, &whole))) {
        sm_err err = sm_crl_keep_partitions(sm_api_store(t->crls->api), t->world, name->ca, name->g,
                                            &whole);
        count = sm_ok(err) ? whole.partitions : 0;
        sm_crl_state_deinit(&whole);
    }
    (void)pthread_mutex_unlock(&t->crls->lock);
    return count;
}

/* Of a CA that sealmill does not run: it owes a CRL once one was loaded. */
static void look_at_loaded(struct turn *t, const struct sm_crl_name *name)
{
    struct sm_crl_state state;
    if (!sm_ok(read_settled(t->crls, name, &state))) {
        return;
    }
    bool overdue = state.full.number > 0 && (is_ending(&state.full, t->rules.interval_s, t->now) ||
                                             !is_there(t->crls, name));
    t->overdue += overdue ? 1 : 0;
    sm_crl_facts_add(t->facts, name, &state.full, overdue);
    sm_crl_state_deinit(&state);
}

static void look_at_generation(struct turn *t, const struct sm_ca *ca,
                               const struct sm_ca_generation *g)
{
    struct sm_crl_name name = {.ca = ca, .g = g};
    if (g->cert.der.len == 0 || g->cert.not_after <= t->now) {
        return;
    }
    if (ca->record->foreign != NULL) {
        look_at_loaded(t, &name);
        return;
    }
    uint32_t partitions = count_partitions(t, &name);
    for (name.partition = 0; name.partition <= partitions; name.partition++) {
        look_at_scope(t, &name);
    }
}

size_t sm_crls_turn(sm_crls *crls)
{
    (void)pthread_once(&once, register_metrics);
    sm_world *world = sm_world_attach(crls->api);
    struct turn t = {.crls = crls,
                     .world = world,
                     .rules = sm_crl_rules_of(world->config),
                     .now = sm_clock_wall_s(),
                     .facts = sm_crl_facts_new()};
    for (size_t i = 0; i < world->ca_count && !t.rules.off; i++) {
        for (size_t j = 0; j < world->cas[i].generation_count; j++) {
            look_at_generation(&t, &world->cas[i], &world->cas[i].generations[j]);
        }
    }
    sm_metric_set(overdue_metric, (int64_t)t.overdue);
    sm_crl_facts_show(crls, t.facts);
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
    (void)pthread_mutex_init(&crls->facts_lock, NULL);
    (void)pthread_mutex_init(&crls->stop_lock, NULL);
    (void)pthread_cond_init(&crls->stop, NULL);
    int n = snprintf(crls->folder, sizeof(crls->folder), "%s", folder);
    sm_err err = n > 0 && (size_t)n < sizeof(crls->folder) ? sm_file_mkdirs(folder, 0755, diag)
                                                           : SM_ERR(TOO_LARGE);
    err = sm_ok(err) ? sm_map_new(FAILED_MAX, &crls->failed) : err;
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
    sm_crl_facts_show(crls, NULL);
    sm_map_free(&crls->failed);
    (void)pthread_mutex_destroy(&crls->facts_lock);
    (void)pthread_mutex_destroy(&crls->stop_lock);
    (void)pthread_mutex_destroy(&crls->lock);
    sm_free(crls);
}
