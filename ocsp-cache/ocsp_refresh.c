/* SPDX-License-Identifier: Apache-2.0 */
/* What is done next, and how long it rests then. */
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "ocsp-cache/ocsp_refresh_p.h"

#include <time.h>

#define TURN_NS SM_NS_PER_S  /* it looks at the clock that often, which may jump */
#define SCHEDULES_MAX 100000 /* CAs and their generations, far above what a world has */

/* ---- metrics ---- */

static void register_metrics(struct refresh_metrics *m)
{
    m->lag = sm_metric_register(SM_GAUGE, "sealmill_ocsp_refresh_lag_seconds",
                                "How late signing OCSP answers anew is", NULL);
    m->ahead = sm_metric_register(
        SM_GAUGE, "sealmill_ocsp_refresh_ahead_seconds",
        "Time to nextUpdate of the answer that is signed anew next, the least of all issuers",
        NULL);
    m->alarm = sm_metric_register(SM_GAUGE, "sealmill_ocsp_refresh_alarm",
                                  "1 while it is later than ocsp.refresh_alarm", NULL);
    m->unable = sm_metric_register(SM_GAUGE, "sealmill_ocsp_refresh_unable",
                                   "Generations of CAs whose responder cannot sign now", NULL);
    m->renewed = sm_metric_register(SM_COUNTER, "sealmill_ocsp_refreshed_total",
                                    "OCSP answers signed anew", NULL);
    m->removed = sm_metric_register(SM_COUNTER, "sealmill_ocsp_refresh_removed_total",
                                    "Stored OCSP answers removed since their certificates expired",
                                    NULL);
    m->filled = sm_metric_register(SM_COUNTER, "sealmill_ocsp_filled_total",
                                   "First OCSP answers signed that issuance had not", NULL);
    m->overtaken = sm_metric_register(SM_COUNTER, "sealmill_ocsp_refresh_overtaken_total",
                                      "OCSP answers not kept since the status changed meanwhile",
                                      NULL);
    m->failed = sm_metric_register(SM_COUNTER, "sealmill_ocsp_refresh_failures_total",
                                   "Steps that failed, and answers left since their state is "
                                   "unreadable",
                                   NULL);
    m->warmed = sm_metric_register(SM_COUNTER, "sealmill_ocsp_warmed_total",
                                   "OCSP answers brought into memory after the start", NULL);
}

/* ---- schedules ---- */

const struct sm_ocsp_signer *sm_ocsp_refresh_signer(const struct sm_ocsp_refresh_issuer *issuer,
                                                    int64_t now)
{
    bool can = issuer->signer_count > 0 && issuer->signers[0].key != NULL &&
               issuer->signers[0].not_after > now;
    return can ? &issuer->signers[0] : NULL;
}

bool sm_ocsp_refresh_knows(const struct sm_ocsp_refresh_issuer *issuer, uint32_t signer)
{
    for (size_t i = 0; i < issuer->signer_count; i++) {
        if (issuer->signers[i].id == signer) {
            return true;
        }
    }
    return false;
}

struct schedule *sm_ocsp_schedule_of(sm_ocsp_refresh *r, uint32_t ca_id, uint32_t generation)
{
    for (size_t i = 0; i < r->schedule_count; i++) {
        struct schedule *s = &r->schedules[i];
        if (s->ca_id == ca_id && s->generation == generation) {
            return s;
        }
    }
    return NULL;
}

static sm_slice schedule_key(const struct schedule *s, uint8_t room[SM_OCSP_PASS_KEY_LEN])
{
    sm_ocsp_pass_key(s->ca_id, s->generation, room);
    return sm_slice_of(room, SM_OCSP_PASS_KEY_LEN);
}

static sm_err load(sm_ocsp_refresh *r, struct schedule *s)
{
    uint8_t room[SM_OCSP_PASS_KEY_LEN];
    sm_buf value = sm_buf_init(SM_OCSP_ROW_MAX);
    sm_err err = sm_store_get_sync(r->config.store, SM_FAMILY_OCSP, schedule_key(s, room), &value);
    sm_err read = sm_ok(err) ? sm_ocsp_pass_unpack(sm_buf_slice(&value), &s->pass) : err;
    sm_buf_deinit(&value);
    if (!sm_ok(read)) { /* none, or none that we know: it begins anew */
        sm_ocsp_pass_init(&s->pass, s->issuer.validity_s, sm_clock_wall_s());
    }
    s->loaded = sm_ok(err) || sm_err_is(err, SM_E_NOT_FOUND);
    s->has_rows = s->pass.seen > 0 || s->pass.expected > 0;
    return s->loaded ? SM_NO_ERR : err;
}

void sm_ocsp_refresh_keep_place(sm_ocsp_refresh *r, struct schedule *s)
{
    uint8_t room[SM_OCSP_PASS_KEY_LEN];
    sm_arena arena;
    struct sm_store_put put = {SM_PUT, SM_FAMILY_OCSP, schedule_key(s, room), SM_SLICE_NONE};
    sm_arena_init(&arena, SM_OCSP_ROW_MAX);
    sm_store_write op = {.puts = &put, .put_count = 1};
    sm_err err = sm_ocsp_pass_pack(&s->pass, &arena, &put.value);
    err = sm_ok(err) ? sm_store_write_sync(r->config.store, &op) : err;
    sm_arena_deinit(&arena);
    if (!sm_ok(err)) { /* it is looked at once more after a restart: no harm */
        sm_log(SM_LOG_DEBUG, "ocsp_refresh_place_not_kept", SM_KE("error", err), SM_KEND);
    }
    s->kept_ns = sm_clock_mono_ns();
}

static size_t count_issuers(sm_ocsp_refresh *r, void *held)
{
    struct sm_ocsp_refresh_issuer issuer;
    size_t n = 0;
    while (n < SCHEDULES_MAX && r->config.issuer(held, n, &issuer)) {
        n++;
    }
    return n;
}

static sm_err index_old(const sm_ocsp_refresh *r, sm_map **out)
{
    SM_TRY(sm_map_new(SCHEDULES_MAX, out));
    for (size_t i = 0; i < r->schedule_count; i++) {
        uint8_t room[SM_OCSP_PASS_KEY_LEN];
        sm_err err = sm_map_put(*out, schedule_key(&r->schedules[i], room), &r->schedules[i], NULL);
        if (!sm_ok(err)) {
            sm_map_free(out);
            return err;
        }
    }
    return SM_NO_ERR;
}

/* The issuers have changed: those that stay keep their place. */
static sm_err follow_issuers(sm_ocsp_refresh *r, void *held)
{
    size_t n = count_issuers(r, held);
    struct schedule *fresh = sm_calloc(n + 1, sizeof(*fresh));
    sm_map *old = NULL;
    sm_err err = fresh == NULL ? SM_ERR(NO_MEMORY) : index_old(r, &old);
    if (!sm_ok(err)) {
        sm_free(fresh);
        return err;
    }
    for (size_t i = 0; i < n; i++) {
        struct sm_ocsp_refresh_issuer issuer;
        uint8_t room[SM_OCSP_PASS_KEY_LEN];
        (void)r->config.issuer(held, i, &issuer);
        fresh[i].ca_id = issuer.issuer->ca_id;
        fresh[i].generation = issuer.issuer->generation;
        const struct schedule *before = sm_map_get(old, schedule_key(&fresh[i], room));
        if (before != NULL) {
            fresh[i] = *before;
        }
        fresh[i].issuer = issuer;
    }
    sm_map_free(&old);
    sm_free(r->schedules);
    r->schedules = fresh;
    r->schedule_count = n;
    return SM_NO_ERR;
}

/* ---- what is next ---- */

static bool may_run(const struct schedule *s, int64_t now, uint64_t mono)
{
    return s->loaded && s->not_before_ns <= mono && sm_ocsp_refresh_signer(&s->issuer, now) != NULL;
}

/* The one that is due for longest; NULL: none. */
static struct schedule *choose(sm_ocsp_refresh *r, int64_t now)
{
    struct schedule *first = NULL;
    int64_t due = INT64_MAX;
    uint64_t mono = sm_clock_mono_ns();
    for (size_t i = 0; i < r->schedule_count; i++) {
        struct schedule *s = &r->schedules[i];
        if (!s->loaded && !sm_ok(load(r, s))) {
            continue;
        }
        sm_ocsp_pass_follow(&s->pass, s->issuer.validity_s, now);
        if (may_run(s, now, mono) && sm_ocsp_pass_due(&s->pass) < due) {
            due = sm_ocsp_pass_due(&s->pass);
            first = s;
        }
    }
    return due <= now ? first : NULL;
}

static int64_t alarm_after(const sm_ocsp_refresh *r, const struct schedule *s)
{
    return r->settings.alarm_s > 0 ? r->settings.alarm_s
                                   : s->issuer.validity_s / SM_OCSP_REFRESH_ALARM_PART;
}

/* ---- how late it is ---- */

struct lateness {
    int64_t lag_s;
    int64_t ahead_s;
    double part; /* of what is an alarm; from 1 on it is one */
    size_t unable;
};

static struct lateness measure(const sm_ocsp_refresh *r, int64_t now)
{
    struct lateness all = {.ahead_s = INT64_MAX};
    for (size_t i = 0; i < r->schedule_count; i++) {
        const struct schedule *s = &r->schedules[i];
        if (!s->loaded || !s->has_rows) {
            continue;
        }
        int64_t lag = sm_ocsp_pass_lag(&s->pass, now);
        double part = (double)lag / (double)(1 + alarm_after(r, s));
        int64_t ahead = s->next_update == 0 ? INT64_MAX : s->next_update - now;
        all.unable += sm_ocsp_refresh_signer(&s->issuer, now) == NULL;
        all.lag_s = lag > all.lag_s ? lag : all.lag_s;
        all.part = part > all.part ? part : all.part;
        all.ahead_s = ahead < all.ahead_s ? ahead : all.ahead_s;
    }
    return all;
}

static void tell(sm_ocsp_refresh *r, const struct lateness *l)
{
    bool alarm = l->part >= 1;
    if (alarm && !r->alarmed) {
        sm_log(
            SM_LOG_ERROR, "ocsp_refresh_late", SM_KI("lag_s", l->lag_s), SM_KU("unable", l->unable),
            SM_KS("so", "answers go stale soon, and are signed when they are asked for"), SM_KEND);
    } else if (!alarm && r->alarmed) {
        sm_log(SM_LOG_INFO, "ocsp_refresh_caught_up", SM_KI("lag_s", l->lag_s), SM_KEND);
    }
    r->alarmed = alarm;
    atomic_store(&r->lag_s, l->lag_s);
    atomic_store(&r->alarm, alarm);
    atomic_store(&r->unable, l->unable);
    sm_metric_set(r->metrics.lag, l->lag_s);
    sm_metric_set(r->metrics.ahead, l->ahead_s == INT64_MAX ? 0 : l->ahead_s);
    sm_metric_set(r->metrics.alarm, alarm);
    sm_metric_set(r->metrics.unable, (int64_t)l->unable);
}

/* ---- pace ---- */

static uint64_t processor_ns(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (uint64_t)t.tv_sec * SM_NS_PER_S + (uint64_t)t.tv_nsec;
}

static unsigned percent(unsigned configured, unsigned fallback)
{
    return configured == 0 ? fallback : configured > 100 ? 100 : configured;
}

/* Rises from the one share to the other as it comes halfway to an alarm. After a start memory comes first. */
static double share(const sm_ocsp_refresh *r, double part)
{
    double least = percent(r->settings.share, SM_OCSP_REFRESH_SHARE);
    double most = percent(r->settings.share_behind, SM_OCSP_REFRESH_SHARE_BEHIND);
    double behind = 2 * part > 1 || !r->warm.done ? 1 : 2 * part;
    return (most < least ? least : least + behind * (most - least)) / 100;
}

/* ---- a turn ---- */

static bool work(sm_ocsp_refresh *r, double part)
{
    int64_t now = sm_clock_wall_s();
    struct schedule *s = choose(r, now);
    r->warm_turn = !r->warm_turn;
    if (s != NULL && (r->warm.done || !r->warm_turn)) {
        sm_ocsp_refresh_step(r, s, part > 0.25);
        return true;
    }
    return (!r->warm.done && sm_ocsp_warm_step(r)) || s != NULL || sm_ocsp_fill_step(r);
}

bool sm_ocsp_refresh_turn(sm_ocsp_refresh *r, uint64_t *wait_ns)
{
    uint64_t before = processor_ns();
    uint64_t number = r->settings.number;
    bool busy = false;
    void *held = r->config.attach(r->config.ctx, &r->settings);
    if (!r->known || number != r->settings.number) {
        r->known = sm_ok(follow_issuers(r, held));
    }
    struct lateness late = measure(r, sm_clock_wall_s());
    if (r->known) {
        tell(r, &late);
        busy = work(r, late.part);
        late = measure(r, sm_clock_wall_s());
        tell(r, &late);
    }
    r->config.detach(held);
    double used = (double)(processor_ns() - before);
    double rest = used * (1 / share(r, late.part) - 1);
    *wait_ns = busy ? (uint64_t)rest : TURN_NS;
    return busy;
}

/* ---- life ---- */

static void wake(void *ctx)
{
    sm_ocsp_refresh *r = ctx;
    (void)pthread_mutex_lock(&r->lock);
    r->woken = true;
    (void)pthread_cond_signal(&r->cond);
    (void)pthread_mutex_unlock(&r->lock);
}

void sm_ocsp_refresh_wait_mail(sm_ocsp_refresh *r)
{
    (void)pthread_mutex_lock(&r->lock);
    while (!r->woken) {
        (void)pthread_cond_wait(&r->cond, &r->lock);
    }
    r->woken = false;
    (void)pthread_mutex_unlock(&r->lock);
    (void)sm_mailbox_drain(&r->box);
}

static void schedule_nothing(void *ctx)
{
    (void)ctx; /* whoever submits runs the batcher */
}

sm_err sm_ocsp_refresh_new(const struct sm_ocsp_refresh_config *config, sm_ocsp_refresh **out)
{
    sm_ocsp_refresh *r = sm_calloc(1, sizeof(*r));
    if (r == NULL) {
        return SM_ERR(NO_MEMORY);
    }
    r->config = *config;
    pthread_condattr_t attr;
    (void)pthread_condattr_init(&attr);
    (void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&r->cond, &attr);
    (void)pthread_condattr_destroy(&attr);
    (void)pthread_mutex_init(&r->lock, NULL);
    sm_mailbox_init(&r->box, wake, r);
    register_metrics(&r->metrics);
    const struct sm_batcher_config batcher = {&r->box, config->pool, schedule_nothing, NULL};
    sm_err err = sm_batcher_new(&batcher, &r->batcher);
    if (!sm_ok(err)) {
        sm_ocsp_refresh_free(&r);
        return err;
    }
    *out = r;
    return SM_NO_ERR;
}

void sm_ocsp_refresh_free(sm_ocsp_refresh **refresh)
{
    sm_ocsp_refresh *r = *refresh;
    *refresh = NULL;
    if (r == NULL) {
        return;
    }
    sm_ocsp_refresh_stop(r);
    sm_batcher_free(&r->batcher);
    sm_ocsp_fill_deinit(&r->fill);
    sm_free(r->schedules);
    (void)pthread_cond_destroy(&r->cond);
    (void)pthread_mutex_destroy(&r->lock);
    sm_free(r);
}

/* False: it is to end. */
static bool rest(sm_ocsp_refresh *r, uint64_t ns)
{
    struct timespec until;
    (void)clock_gettime(CLOCK_MONOTONIC, &until);
    ns += (uint64_t)until.tv_nsec;
    until.tv_sec += (time_t)(ns / SM_NS_PER_S);
    until.tv_nsec = (long)(ns % SM_NS_PER_S);
    int rc = 0;
    (void)pthread_mutex_lock(&r->lock);
    while (!r->stopping && rc == 0) {
        rc = pthread_cond_timedwait(&r->cond, &r->lock, &until);
    }
    bool go_on = !r->stopping;
    (void)pthread_mutex_unlock(&r->lock);
    return go_on;
}

static void refresh_main(void *ctx)
{
    sm_ocsp_refresh *r = ctx;
    uint64_t wait_ns = 0;
    sm_thread_lower_priority();
    do {
        (void)sm_ocsp_refresh_turn(r, &wait_ns);
    } while (rest(r, wait_ns));
    sm_sign_thread_deinit();
}

sm_err sm_ocsp_refresh_start(sm_ocsp_refresh *r)
{
    SM_TRY(sm_thread_start(&r->thread, "ocsp-refresh", refresh_main, r));
    r->started = true;
    return SM_NO_ERR;
}

void sm_ocsp_refresh_stop(sm_ocsp_refresh *r)
{
    if (!r->started) {
        return;
    }
    (void)pthread_mutex_lock(&r->lock);
    r->stopping = true;
    (void)pthread_cond_signal(&r->cond);
    (void)pthread_mutex_unlock(&r->lock);
    sm_thread_join(&r->thread);
    r->started = false;
}

void sm_ocsp_refresh_missing(sm_ocsp_refresh *r)
{
    atomic_store(&r->missing, true);
}

void sm_ocsp_refresh_status(sm_ocsp_refresh *r, struct sm_ocsp_refresh_status *out)
{
    out->lag_s = atomic_load(&r->lag_s);
    out->alarm = atomic_load(&r->alarm);
    out->unable = atomic_load(&r->unable);
}
