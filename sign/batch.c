/* SPDX-License-Identifier: Apache-2.0 */
#include "sign/batch.h"

#include "base/clock.h"
#include "base/mem.h"
#include "base/metrics.h"
#include "sign/backend.h"
#include "sign/batch_p.h"
#include "sign/sign_pool.h"

/* Callers are spread over this many queues in each lane; the queues take turns, so that one caller's thousand jobs do not stand
 * before another's one. */
#define CALLER_QUEUES 16

/* A turn of signing ends after this time even with jobs left: the loop has connections to serve. */
#define RUN_BUDGET_NS (3 * SM_NS_PER_MS)

struct lane {
    sm_list queues[CALLER_QUEUES];
    size_t waiting;
    unsigned turn;
};

#define OPS 2

struct sm_batcher {
    struct sm_batcher_config config;
    struct lane lanes[OPS][SM_SIG_ALG_COUNT];
    unsigned next_lane;
    size_t waiting;  /* in lanes */
    size_t in_pool;
    bool running;
};

static struct {
    sm_metric size[OPS];
    sm_metric jobs[OPS];
    sm_metric failed[OPS];
    sm_metric time[OPS];
    sm_metric waiting;
} metrics;

static void register_metrics(void)
{
    static const char *const labels[OPS] = {"op=\"verify\"", "op=\"sign\""};
    for (int i = 0; i < OPS; i++) {
        metrics.size[i] = sm_metric_register(SM_HISTOGRAM, "sealmill_batch_size",
                                             "Jobs in one batch of one operation and algorithm", labels[i]);
        metrics.jobs[i] = sm_metric_register(SM_COUNTER, "sealmill_crypto_jobs_total",
                                             "Signatures made and verified", labels[i]);
        metrics.failed[i] = sm_metric_register(SM_COUNTER, "sealmill_crypto_jobs_failed_total",
                                               "Jobs that ended with an error", labels[i]);
        metrics.time[i] = sm_metric_register(SM_HISTOGRAM, "sealmill_batch_seconds",
                                             "Time of one batch on the processor", labels[i]);
    }
    metrics.waiting = sm_metric_register(SM_GAUGE, "sealmill_crypto_jobs_waiting",
                                         "Jobs that wait in lanes or in the pool", NULL);
}

sm_err sm_batcher_new(const struct sm_batcher_config *config, sm_batcher **out)
{
    sm_batcher *b = sm_calloc(1, sizeof(*b));
    if (b == NULL) {
        return SM_ERR(NO_MEMORY);
    }
    b->config = *config;
    for (size_t op = 0; op < OPS; op++) {
        for (size_t alg = 0; alg < SM_SIG_ALG_COUNT; alg++) {
            for (size_t q = 0; q < CALLER_QUEUES; q++) {
                sm_list_init(&b->lanes[op][alg].queues[q]);
            }
        }
    }
    register_metrics();
    *out = b;
    return SM_NO_ERR;
}

void sm_batcher_free(sm_batcher **batcher)
{
    if (*batcher != NULL) {
        SM_CHECK((*batcher)->waiting == 0 && (*batcher)->in_pool == 0);
        sm_free(*batcher);
        *batcher = NULL;
    }
}

size_t sm_batcher_waiting(const sm_batcher *b)
{
    return b->waiting + b->in_pool;
}

static sm_err check_job(const sm_crypt_job *job)
{
    if (job->op == SM_CRYPT_VERIFY) {
        return sm_sig_alg_fits(job->alg, job->public_key->type) ? SM_NO_ERR : SM_ERR(UNSUPPORTED);
    }
    enum sm_key_type type = sm_key_get_type(job->key);
    if (!sm_sig_alg_fits(job->alg, type)) {
        return SM_ERR(UNSUPPORTED);
    }
    return job->out_room >= sm_sig_size_max(job->alg, type) ? SM_NO_ERR : SM_ERR(TOO_LARGE);
}

/* On the home loop, for jobs that come back from the pool. */
static void complete_from_pool(sm_msg *msg)
{
    sm_crypt_job *job = SM_CONTAINER_OF(msg, sm_crypt_job, msg);
    sm_batcher *b = job->batcher;
    b->in_pool--;
    sm_metric_sub(metrics.waiting, 1);
    sm_metric_inc(metrics.jobs[job->op]);
    if (job->cancelled) {
        job->err = SM_ERR(CANCELLED);
    }
    if (!sm_ok(job->err)) {
        sm_metric_inc(metrics.failed[job->op]);
    }
    job->done(job);
}

void sm_batcher_return(sm_crypt_job *job)
{
    job->msg.run = complete_from_pool;
    sm_mailbox_post(job->batcher->config.home, &job->msg);
}

sm_err sm_batcher_submit(sm_batcher *b, sm_crypt_job *job)
{
    SM_TRY(check_job(job));
    if (sm_batcher_waiting(b) >= SM_BATCH_QUEUE_MAX) {
        return SM_ERR(QUEUE_FULL);
    }
    job->batcher = b;
    job->cancelled = false;
    job->err = SM_NO_ERR;
    job->out_len = 0;
    sm_metric_add(metrics.waiting, 1);
    if (job->op == SM_CRYPT_SIGN && sm_key_is_slow(job->key)) {
        b->in_pool++;
        sm_sign_pool_submit(b->config.pool, job);
        return SM_NO_ERR;
    }
    struct lane *lane = &b->lanes[job->op][job->alg];
    sm_list_push_back(&lane->queues[job->caller % CALLER_QUEUES], &job->node);
    lane->waiting++;
    b->waiting++;
    if (!b->running) {
        b->config.schedule(b->config.ctx);
    }
    return SM_NO_ERR;
}

void sm_batcher_cancel(sm_batcher *b, sm_crypt_job *job)
{
    (void)b;
    job->cancelled = true;
}

/* Takes up to SM_BACKEND_LANES jobs, one from each caller's queue in turn. */
static size_t take_batch(sm_batcher *b, struct lane *lane, sm_crypt_job **jobs)
{
    size_t count = 0;
    while (count < SM_BACKEND_LANES && lane->waiting > 0) {
        sm_list *node = sm_list_pop_front(&lane->queues[lane->turn++ % CALLER_QUEUES]);
        if (node != NULL) {
            jobs[count++] = SM_CONTAINER_OF(node, sm_crypt_job, node);
            lane->waiting--;
            b->waiting--;
        }
    }
    return count;
}

static void run_batch(sm_crypt_job **jobs, size_t count)
{
    enum sm_crypt_op op = jobs[0]->op;
    uint64_t start = sm_clock_mono_ns();
    sm_crypt_job *live[SM_BACKEND_LANES];
    size_t live_count = 0;
    for (size_t i = 0; i < count; i++) {
        if (jobs[i]->cancelled) {
            jobs[i]->err = SM_ERR(CANCELLED);
        } else {
            live[live_count++] = jobs[i];
        }
    }
    if (live_count > 0) {
        sm_backend_choose(op, jobs[0]->alg, live_count)->run(live, live_count);
    }
    sm_metric_observe_ns(metrics.time[op], sm_clock_mono_ns() - start);
    sm_metric_observe_count(metrics.size[op], count);
    sm_metric_add(metrics.jobs[op], count);
    sm_metric_sub(metrics.waiting, count);
}

/* The next lane with jobs, in turn. */
static struct lane *next_lane(sm_batcher *b)
{
    struct lane *lanes = &b->lanes[0][0];
    for (unsigned i = 0; i < OPS * SM_SIG_ALG_COUNT; i++) {
        struct lane *lane = &lanes[b->next_lane++ % (OPS * SM_SIG_ALG_COUNT)];
        if (lane->waiting > 0) {
            return lane;
        }
    }
    return NULL;
}

bool sm_batcher_run(sm_batcher *b)
{
    uint64_t start = sm_clock_mono_ns();
    size_t ran = 0;
    b->running = true;
    struct lane *lane;
    while (ran < SM_BATCH_RUN_MAX && (lane = next_lane(b)) != NULL) {
        sm_crypt_job *jobs[SM_BACKEND_LANES];
        size_t count = take_batch(b, lane, jobs);
        run_batch(jobs, count);
        for (size_t i = 0; i < count; i++) {
            if (!sm_ok(jobs[i]->err)) {
                sm_metric_inc(metrics.failed[jobs[i]->op]);
            }
            jobs[i]->done(jobs[i]); /* may free the job, and may submit others */
        }
        ran += count;
        if (sm_clock_mono_ns() - start > RUN_BUDGET_NS) {
            break;
        }
    }
    b->running = false;
    if (b->waiting > 0) {
        b->config.schedule(b->config.ctx);
        return true;
    }
    return false;
}
