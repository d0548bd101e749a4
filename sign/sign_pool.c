/* SPDX-License-Identifier: Apache-2.0 */
#include "sign/sign_pool.h"

#include "base/clock.h"
#include "base/mem.h"
#include "base/thread.h"
#include "sign/backend.h"
#include "sign/batch_metrics.h"
#include "sign/lane.h"

#include <stdio.h>

struct pool_worker {
    sm_worker worker;
    sm_msg wake; /* posted only while the worker is idle, so once at a time */
    sm_sign_pool *pool;
    bool idle;
    struct sm_batch_metrics metrics;
};

struct sm_sign_pool {
    pthread_mutex_t lock; /* covers `lanes`, `idle` and each worker's `idle` */
    struct sm_lanes lanes;
    unsigned idle;
    unsigned count;
    struct pool_worker workers[];
};

/* Cancelled jobs are taken out (they complete too); the rest is one batch. */
static void run_batch(struct pool_worker *w, sm_crypt_job **jobs, size_t count)
{
    sm_crypt_job *live[SM_BACKEND_LANES];
    size_t n = 0;
    for (size_t i = 0; i < count; i++) {
        if (atomic_load_explicit(&jobs[i]->cancelled, memory_order_relaxed)) {
            jobs[i]->err = SM_ERR(CANCELLED);
        } else {
            live[n++] = jobs[i];
        }
    }
    if (n > 0) {
        uint64_t start = sm_clock_mono_ns();
        const struct sm_backend *backend = sm_backend_run(live, n);
        sm_batch_metrics_ran(&w->metrics, live, n, backend, start, sm_clock_mono_ns());
    }
}

/* A batch that leaves work for the workers that have none: half a batch done twice at once is done
 * sooner. */
static size_t share(const sm_sign_pool *pool, const struct sm_lane *lane)
{
    size_t each = (lane->jobs.waiting + pool->idle) / (pool->idle + 1);
    size_t most = sm_backend_batch(lane->op, lane->type);
    return each < most ? each : most;
}

/* On the worker's thread: runs batches until there are none. */
static void work(sm_msg *msg)
{
    struct pool_worker *w = SM_CONTAINER_OF(msg, struct pool_worker, wake);
    sm_sign_pool *pool = w->pool;
    struct sm_lane *lane;
    (void)pthread_mutex_lock(&pool->lock);
    while ((lane = sm_lanes_pick(&pool->lanes)) != NULL) {
        sm_crypt_job *jobs[SM_BACKEND_LANES];
        size_t count = sm_lane_take(&pool->lanes, lane, jobs, share(pool, lane));
        (void)pthread_mutex_unlock(&pool->lock);
        uint64_t start = sm_clock_mono_ns();
        run_batch(w, jobs, count);
        uint64_t ns = sm_clock_mono_ns() - start;
        for (size_t i = 0; i < count; i++) {
            sm_batcher_return(jobs[i]);
        }
        (void)pthread_mutex_lock(&pool->lock);
        sm_lane_charge(&pool->lanes, lane, ns, count);
    }
    w->idle = true;
    pool->idle++;
    (void)pthread_mutex_unlock(&pool->lock);
}

/* Marks an idle worker as busy; NULL when there is none. Under the lock. */
static struct pool_worker *rouse(sm_sign_pool *pool)
{
    for (unsigned i = 0; pool->idle > 0 && i < pool->count; i++) {
        struct pool_worker *w = &pool->workers[i];
        if (w->idle) {
            w->idle = false;
            pool->idle--;
            return w;
        }
    }
    return NULL;
}

void sm_sign_pool_submit(sm_sign_pool *pool, sm_crypt_job *job)
{
    (void)pthread_mutex_lock(&pool->lock);
    sm_lanes_push(&pool->lanes, job);
    struct pool_worker *w = rouse(pool);
    (void)pthread_mutex_unlock(&pool->lock);
    if (w != NULL) {
        sm_worker_post(&w->worker, &w->wake);
    }
}

static sm_err start_worker(sm_sign_pool *pool, struct pool_worker *w)
{
    char name[16];
    (void)snprintf(name, sizeof(name), "sign-%u", pool->count % 1000U);
    w->pool = pool;
    w->wake.run = work;
    w->idle = true;
    sm_batch_metrics_init(&w->metrics);
    return sm_worker_start(&w->worker, name, NULL, NULL);
}

sm_err sm_sign_pool_new(unsigned threads, sm_sign_pool **out)
{
    unsigned count = threads == 0 ? 1 : threads;
    count = count > SM_SIGN_POOL_MAX ? SM_SIGN_POOL_MAX : count;
    sm_sign_pool *pool = sm_calloc(1, sizeof(*pool) + count * sizeof(struct pool_worker));
    if (pool == NULL) {
        return SM_ERR(NO_MEMORY);
    }
    (void)pthread_mutex_init(&pool->lock, NULL);
    sm_lanes_init(&pool->lanes);
    for (; pool->count < count; pool->count++) {
        sm_err err = start_worker(pool, &pool->workers[pool->count]);
        if (!sm_ok(err)) {
            sm_sign_pool_free(&pool);
            return err;
        }
    }
    pool->idle = count;
    *out = pool;
    return SM_NO_ERR;
}

static void forget(sm_msg *msg)
{
    (void)msg;
    sm_sign_thread_deinit();
}

void sm_sign_pool_free(sm_sign_pool **pool)
{
    if (*pool == NULL) {
        return;
    }
    SM_CHECK((*pool)->lanes.waiting == 0);
    for (unsigned i = 0; i < (*pool)->count; i++) {
        sm_msg last = {.run = forget};
        sm_worker_post(&(*pool)->workers[i].worker, &last);
        sm_worker_stop(&(*pool)->workers[i].worker);
    }
    (void)pthread_mutex_destroy(&(*pool)->lock);
    sm_free(*pool);
    *pool = NULL;
}
