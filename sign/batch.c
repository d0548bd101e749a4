/* SPDX-License-Identifier: Apache-2.0 */
#include "sign/batch.h"

#include "base/clock.h"
#include "base/mem.h"
#include "sign/backend.h"
#include "sign/batch_metrics.h"
#include "sign/key_p.h"
#include "sign/lane.h"
#include "sign/p11_pool_p.h"
#include "sign/sign_pool.h"

/* Where jobs run one after the other, a batch is only as long as this, so that lanes change places.
 */
#define SERIAL_BATCH_NS (500 * SM_NS_PER_US)

struct sm_batcher {
    struct sm_batcher_config config;
    struct sm_lanes lanes;
    struct sm_batch_metrics metrics;
    size_t in_pool;
    bool running;
    uint64_t stamp_ns; /* when the last jobs came, for `stamp_left` more of them in this turn */
    unsigned stamp_left;
};

sm_err sm_batcher_new(const struct sm_batcher_config *config, sm_batcher **out)
{
    sm_batcher *b = sm_calloc(1, sizeof(*b));
    if (b == NULL) {
        return SM_ERR(NO_MEMORY);
    }
    b->config = *config;
    sm_lanes_init(&b->lanes);
    sm_batch_metrics_init(&b->metrics);
    *out = b;
    return SM_NO_ERR;
}

void sm_batcher_free(sm_batcher **batcher)
{
    if (*batcher != NULL) {
        SM_CHECK(sm_batcher_waiting(*batcher) == 0);
        sm_free(*batcher);
        *batcher = NULL;
    }
}

size_t sm_batcher_waiting(const sm_batcher *b)
{
    return b->lanes.waiting + b->in_pool;
}

static sm_err check_job(const sm_crypt_job *job, enum sm_key_type type)
{
    if (!sm_sig_alg_fits(job->alg, type)) {
        return SM_ERR(UNSUPPORTED);
    }
    if (job->is_digest) {
        enum sm_digest digest = sm_sig_alg_digest(job->alg);
        if (digest == SM_DIGEST_NONE) {
            return SM_ERR(UNSUPPORTED);
        }
        if (job->message.len != sm_digest_size(digest)) {
            return SM_ERR(INVALID);
        }
    }
    if (job->op == SM_CRYPT_SIGN && job->out_room < sm_sig_size_max(job->alg, type)) {
        return SM_ERR(TOO_LARGE);
    }
    return SM_NO_ERR;
}

static void complete(sm_batcher *b, sm_crypt_job *job);

/* On the home loop, for jobs that come back from the pool. */
static void complete_from_pool(sm_msg *msg)
{
    sm_crypt_job *job = SM_CONTAINER_OF(msg, sm_crypt_job, msg);
    job->batcher->in_pool--;
    sm_metric_sub(job->batcher->metrics.waiting, 1);
    complete(job->batcher, job);
}

void sm_batcher_return(sm_crypt_job *job)
{
    job->msg.run = complete_from_pool;
    sm_mailbox_post(job->batcher->config.home, &job->msg);
}

/* Whether tokens or the pool make it, and not this loop at the turn's end. */
static bool goes_elsewhere(const sm_batcher *b, const sm_crypt_job *job)
{
    return (job->op == SM_CRYPT_SIGN && job->key->token != NULL) ||
           (b->config.pool != NULL && sm_backend_is_slow(job->op, job->type));
}

/* The clock is asked for the first of a few jobs that come together: the turn's end is theirs. What
 * goes elsewhere has no such end, and tokens count its time-out from here. */
static uint64_t stamp(sm_batcher *b, const sm_crypt_job *job)
{
    if (goes_elsewhere(b, job)) {
        return sm_clock_mono_ns();
    }
    if (b->stamp_left == 0) {
        b->stamp_ns = sm_clock_mono_ns();
        b->stamp_left = SM_BACKEND_LANES;
    }
    b->stamp_left--;
    return b->stamp_ns;
}

/* To whoever makes it: tokens, the pool, or this loop at the turn's end. */
static sm_err start(sm_batcher *b, sm_crypt_job *job)
{
    if (job->op == SM_CRYPT_SIGN && job->key->token != NULL) {
        SM_TRY(sm_token_key_submit(job->key->token, job));
        b->in_pool++;
        return SM_NO_ERR;
    }
    if (goes_elsewhere(b, job)) {
        b->in_pool++;
        sm_sign_pool_submit(b->config.pool, job);
        return SM_NO_ERR;
    }
    sm_lanes_push(&b->lanes, job);
    if (!b->running) {
        b->config.schedule(b->config.ctx);
    }
    return SM_NO_ERR;
}

/* A token's signature is verified before it leaves: in a batch with all others, also those of
 * requests, since tokens give back as many at once as they have sessions. */
static void begin_check(sm_batcher *b, sm_crypt_job *job)
{
    job->op = SM_CRYPT_VERIFY;
    job->public_key = sm_key_public(job->key);
    job->signature = sm_slice_of(job->out, job->out_len);
    job->queued_ns = stamp(b, job);
    SM_CHECK(sm_ok(start(b, job))); /* verifications only wait, in a lane or with the workers */
    sm_metric_add(b->metrics.waiting, 1);
}

static void end_check(sm_batcher *b, sm_crypt_job *job)
{
    job->op = SM_CRYPT_SIGN;
    if (!sm_ok(job->err)) {
        sm_wipe(job->out, job->out_len);
    }
    if (sm_token_key_checked(job->key->token, job, job->err)) {
        job->done(job);
    } else {
        b->in_pool++;
        sm_metric_add(b->metrics.waiting, 1);
    }
}

static void complete(sm_batcher *b, sm_crypt_job *job)
{
    if (!job->checking) {
        job->done(job); /* may free the job, or submit it again */
    } else if (job->op == SM_CRYPT_SIGN) {
        begin_check(b, job);
    } else {
        end_check(b, job);
    }
}

sm_err sm_batcher_submit(sm_batcher *b, sm_crypt_job *job)
{
    enum sm_key_type type = job->op == SM_CRYPT_SIGN ? sm_key_get_type(job->key)
                                                     : job->public_key->type;
    SM_TRY(check_job(job, type));
    if (sm_batcher_waiting(b) >= SM_BATCH_QUEUE_MAX) {
        return SM_ERR(QUEUE_FULL);
    }
    job->batcher = b;
    job->type = type;
    job->submitted_ns = job->queued_ns = stamp(b, job);
    job->cancelled = false;
    job->err = SM_NO_ERR;
    job->out_len = 0;
    job->give_back = sm_batcher_return;
    job->checking = false;
    SM_TRY(start(b, job));
    sm_metric_add(b->metrics.waiting, 1);
    return SM_NO_ERR;
}

void sm_batcher_cancel(sm_batcher *b, sm_crypt_job *job)
{
    (void)b;
    atomic_store_explicit(&job->cancelled, true, memory_order_relaxed);
}

/* How many jobs one batch of the lane may hold. */
static size_t batch_max(const struct sm_lane *lane)
{
    size_t fast = sm_backend_batch(lane->op, lane->type);
    if (fast > 1 || lane->job_ns == 0) {
        return fast;
    }
    uint64_t fit = SERIAL_BATCH_NS / lane->job_ns;
    return fit < 1 ? 1 : fit < SM_BACKEND_LANES ? (size_t)fit : SM_BACKEND_LANES;
}

/* Runs what was not cancelled. Returns the time at its end. */
static uint64_t run_batch(sm_batcher *b, sm_crypt_job **jobs, size_t count, uint64_t now)
{
    sm_crypt_job *live[SM_BACKEND_LANES];
    size_t n = 0;
    for (size_t i = 0; i < count; i++) {
        if (jobs[i]->cancelled) {
            jobs[i]->err = SM_ERR(CANCELLED);
        } else {
            live[n++] = jobs[i];
        }
    }
    if (n > 0) {
        const struct sm_backend *backend = sm_backend_run(live, n);
        uint64_t end = sm_clock_mono_ns();
        sm_batch_metrics_ran(&b->metrics, live, n, backend, now, end);
        now = end;
    }
    sm_metric_sub(b->metrics.waiting, count);
    return now;
}

bool sm_batcher_run(sm_batcher *b)
{
    uint64_t begin = sm_clock_mono_ns();
    uint64_t now = begin;
    size_t ran = 0;
    struct sm_lane *lane;
    b->running = true;
    b->stamp_left = 0;
    sm_lanes_begin_turn(&b->lanes);
    while (ran < SM_BATCH_RUN_MAX && now - begin < SM_BATCH_RUN_NS &&
           (lane = sm_lanes_pick(&b->lanes)) != NULL) {
        sm_crypt_job *jobs[SM_BACKEND_LANES];
        size_t count = sm_lane_take(&b->lanes, lane, jobs, batch_max(lane));
        if (count == SM_BACKEND_LANES && sm_backend_batch(lane->op, lane->type) > 1) {
            sm_lane_hold_rest(&b->lanes, lane); /* it would cost as much as a full one */
        }
        uint64_t end = run_batch(b, jobs, count, now);
        sm_lane_charge(&b->lanes, lane, end - now, count);
        for (size_t i = 0; i < count; i++) {
            complete(b, jobs[i]);
        }
        ran += count;
        now = sm_clock_mono_ns();
    }
    b->running = false;
    b->stamp_left = 0;
    if (b->lanes.waiting > 0) {
        b->config.schedule(b->config.ctx);
        return true;
    }
    return false;
}
