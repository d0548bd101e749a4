/* SPDX-License-Identifier: Apache-2.0 */
/* The indexer follows the log. Its rows and its cursor go into one family, without the write-ahead
 * log: what a crash takes back it takes back together, and the next start goes on from the cursor
 * that is left. */
#include "store/store_p.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/metrics.h"
#include "store/index_run_p.h"

#include <errno.h>
#include <time.h>

#define RETRY_NS SM_NS_PER_S
#define GATHER_NS (500 * SM_NS_PER_MS) /* what the index may be behind when nobody waits for it */

static struct {
    sm_metric lag;
    sm_metric failed;
} metrics;

static void register_metrics(void)
{
    metrics.lag = sm_metric_register(SM_GAUGE, "sealmill_store_index_lag",
                                     "Log records that are not yet indexed", NULL);
    metrics.failed = sm_metric_register(SM_COUNTER, "sealmill_store_index_failed",
                                        "Failed runs of the indexer", NULL);
}

/* ---- scans that wait ---- */

/* Under the lock: those that `err` or the index's progress concerns go on. */
static void release_scans(sm_store *store, sm_err err)
{
    uint64_t done = atomic_load(&store->indexer.done_sequence);
    SM_LIST_FOR_SAFE(node, tmp, &store->indexer.scans)
    {
        sm_store_scan *op = SM_CONTAINER_OF(node, sm_store_scan, node);
        if (op->target <= done) {
            sm_list_remove(node);
            sm_store_scan_go(store, op);
        } else if (!sm_ok(err)) {
            sm_list_remove(node);
            sm_store_scan_fail(store, op, err);
        }
    }
}

bool sm_store_indexer_park(sm_store *store, sm_store_scan *op)
{
    struct indexer *ix = &store->indexer;
    if (!ix->started || atomic_load(&ix->done_sequence) >= op->target) {
        return false;
    }
    (void)pthread_mutex_lock(&ix->lock);
    bool waits = atomic_load(&ix->done_sequence) < op->target;
    if (waits && ix->stopping) {
        sm_store_scan_fail(store, op, SM_ERR(DRAINING));
    } else if (waits) {
        sm_list_push_back(&ix->scans, &op->node);
        (void)pthread_cond_signal(&ix->wake);
    }
    (void)pthread_mutex_unlock(&ix->lock);
    return waits;
}

/* ---- the thread; the lock is held but for the work itself ---- */

static struct timespec time_in(uint64_t ns)
{
    uint64_t at = sm_clock_mono_ns() + ns;
    return (struct timespec){(time_t)(at / SM_NS_PER_S), (long)(at % SM_NS_PER_S)};
}

static void pause_after_failure(struct indexer *ix)
{
    struct timespec until = time_in(RETRY_NS);
    int rc = 0;
    while (!ix->stopping && rc != ETIMEDOUT) {
        rc = pthread_cond_timedwait(&ix->wake, &ix->lock, &until);
    }
}

/* Somebody waits for it, or there is enough for a full run. */
static bool must_go(const struct indexer *ix, uint64_t behind)
{
    return ix->stopping || ix->state != INDEX_FOLLOWS || !sm_list_empty(&ix->scans) ||
           behind >= INDEX_RUN_RECORDS;
}

static uint64_t behind(const sm_store *store)
{
    uint64_t done = atomic_load(&store->indexer.done_sequence);
    uint64_t last = atomic_load(&store->last_sequence);
    return last > done ? last - done : 0; /* the log is read before its last sequence is told */
}

/* Until the log has grown, and then a little longer: a row costs less in a larger run. `wake_at`
 * keeps commits from waking a thread that waits on purpose; they set the sequence first and look at
 * it then, here it is the other way round, so that one of the two sees the other. */
static void wait_for_work(sm_store *store)
{
    struct indexer *ix = &store->indexer;
    atomic_store(&ix->wake_at, atomic_load(&ix->done_sequence) + 1);
    while (!must_go(ix, behind(store)) && behind(store) == 0) {
        (void)pthread_cond_wait(&ix->wake, &ix->lock);
    }
    atomic_store(&ix->wake_at, atomic_load(&ix->done_sequence) + INDEX_RUN_RECORDS);
    struct timespec until = time_in(GATHER_NS);
    int rc = 0;
    while (!must_go(ix, behind(store)) && rc != ETIMEDOUT) {
        rc = pthread_cond_timedwait(&ix->wake, &ix->lock, &until);
    }
    atomic_store(&ix->wake_at, UINT64_MAX);
}

static void on_failure(sm_store *store, sm_err err)
{
    sm_metric_inc(metrics.failed);
    sm_log(SM_LOG_ERROR, "store_index_failed", SM_KE("error", err),
           SM_KU("behind", atomic_load(&store->indexer.done_sequence)), SM_KEND);
    release_scans(store, SM_ERR(UNAVAILABLE));
    pause_after_failure(&store->indexer);
}

static sm_err do_work(sm_store *store, enum index_state state, uint64_t *done)
{
    if (state == INDEX_FOLLOWS) {
        return sm_index_run_go(store->indexer.run, done, atomic_load(&store->last_sequence));
    }
    *done = 0;
    if (state == INDEX_REBUILD) {
        return store->ops->clear_index(store->backend);
    }
    SM_TRY(store->ops->recover(store->backend, STORE_LANE_INDEX));
    bool stale;
    return sm_index_run_cursor(store, done, &stale);
}

static void work(sm_store *store)
{
    struct indexer *ix = &store->indexer;
    enum index_state before = ix->state;
    uint64_t done = atomic_load(&ix->done_sequence);
    ix->state = INDEX_FOLLOWS; /* what is asked for from here on is seen below */
    (void)pthread_mutex_unlock(&ix->lock);
    sm_err err = do_work(store, before, &done);
    (void)pthread_mutex_lock(&ix->lock);
    if (!sm_ok(err)) {
        /* What of it is in the index is not known: the cursor is. */
        enum index_state again = before == INDEX_REBUILD ? INDEX_REBUILD : INDEX_RELOAD;
        ix->state = again > ix->state ? again : ix->state;
    } else if (ix->state == INDEX_FOLLOWS) {
        atomic_store(&ix->done_sequence, done);
    }
    sm_metric_set(metrics.lag, (int64_t)behind(store));
    if (sm_ok(err)) {
        release_scans(store, SM_NO_ERR);
    } else {
        on_failure(store, err);
    }
}

static void indexer_main(void *ctx)
{
    sm_store *store = ctx;
    struct indexer *ix = &store->indexer;
    sm_thread_lower_priority(); /* it may lag; issuance may not */
    (void)pthread_mutex_lock(&ix->lock);
    while (!ix->stopping) {
        wait_for_work(store);
        if (!ix->stopping) {
            work(store);
        }
    }
    release_scans(store, SM_ERR(DRAINING));
    (void)pthread_mutex_unlock(&ix->lock);
}

void sm_store_indexer_wake(sm_store *store)
{
    struct indexer *ix = &store->indexer;
    if (ix->started && atomic_load(&store->last_sequence) >= atomic_load(&ix->wake_at)) {
        (void)pthread_mutex_lock(&ix->lock);
        (void)pthread_cond_signal(&ix->wake);
        (void)pthread_mutex_unlock(&ix->lock);
    }
}

sm_err sm_store_rebuild_index(sm_store *store)
{
    struct indexer *ix = &store->indexer;
    if (!ix->started) {
        return SM_ERR(PRECONDITION);
    }
    (void)pthread_mutex_lock(&ix->lock);
    ix->state = INDEX_REBUILD;
    atomic_store(&ix->done_sequence, 0); /* nothing counts as indexed from here on */
    (void)pthread_cond_signal(&ix->wake);
    (void)pthread_mutex_unlock(&ix->lock);
    return SM_NO_ERR;
}

/* ---- life ---- */

static sm_err start_thread(sm_store *store)
{
    struct indexer *ix = &store->indexer;
    SM_TRY(sm_index_run_new(store, &ix->run));
    sm_list_init(&ix->scans);
    pthread_condattr_t monotonic;
    (void)pthread_condattr_init(&monotonic);
    (void)pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    (void)pthread_mutex_init(&ix->lock, NULL);
    (void)pthread_cond_init(&ix->wake, &monotonic);
    (void)pthread_condattr_destroy(&monotonic);
    sm_err err = sm_thread_start(&ix->thread, "indexer", indexer_main, store);
    ix->started = sm_ok(err);
    return err;
}

sm_err sm_store_indexer_start(sm_store *store)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    (void)pthread_once(&once, register_metrics);
    uint64_t cursor;
    bool stale;
    SM_TRY(sm_index_run_cursor(store, &cursor, &stale));
    uint64_t last = atomic_load(&store->last_sequence);
    if (stale) {
        store->indexer.state = INDEX_REBUILD;
    }
    if (cursor > last) {
        /* The index comes from another log than this one. */
        sm_log(SM_LOG_WARN, "store_index_ahead", SM_KU("cursor", cursor), SM_KU("log", last),
               SM_KEND);
        store->indexer.state = INDEX_REBUILD;
        cursor = 0;
    }
    atomic_store(&store->indexer.done_sequence, cursor);
    return store->config.indexer == NULL ? SM_NO_ERR : start_thread(store);
}

void sm_store_indexer_stop(sm_store *store)
{
    struct indexer *ix = &store->indexer;
    if (!ix->started) {
        return;
    }
    (void)pthread_mutex_lock(&ix->lock);
    ix->stopping = true;
    (void)pthread_cond_signal(&ix->wake);
    (void)pthread_mutex_unlock(&ix->lock);
    sm_thread_join(&ix->thread);
}

void sm_store_indexer_deinit(sm_store *store)
{
    struct indexer *ix = &store->indexer;
    if (ix->started) {
        (void)pthread_cond_destroy(&ix->wake);
        (void)pthread_mutex_destroy(&ix->lock);
    }
    sm_index_run_free(&ix->run);
}
