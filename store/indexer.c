/* SPDX-License-Identifier: Apache-2.0 */
/* The indexer follows the log. Its rows and its cursor go into one family, without the write-ahead
 * log: what a crash takes back it takes back together, and the next start goes on from the cursor
 * that is left. */
#include "store/store_p.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/metrics.h"

#include <errno.h>
#include <time.h>

#define RUN_RECORDS 1024     /* log records in one index batch */
#define RUN_BYTES (1U << 20) /* stops collecting there; one record more may stand behind it */
#define RETRY_S 1

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

/* ---- one run: some records of the log become one batch ---- */

struct record {
    uint64_t sequence;
    size_t at;
    size_t len;
};

/* The indexer's memory, reused from run to run. */
struct run {
    sm_store *store;
    sm_buf bytes;
    struct record records[RUN_RECORDS];
    size_t count;
    sm_err err; /* of an emitted row */
};

static bool collect(void *ctx, sm_slice key, sm_slice value)
{
    struct run *run = ctx;
    size_t at = run->bytes.len;
    sm_buf_put(&run->bytes, value);
    if (!sm_ok(sm_buf_err(&run->bytes))) {
        return false;
    }
    run->records[run->count++] = (struct record){sm_store_get_sequence(key), at, value.len};
    return run->count < RUN_RECORDS && run->bytes.len < RUN_BYTES;
}

static void emit(void *emitter, enum sm_store_put_kind kind, sm_slice key, sm_slice value)
{
    struct run *run = emitter;
    if (key.len == 0 || key.ptr[0] == 0) {
        run->err = SM_ERR(INVALID); /* the cursor's place */
        return;
    }
    struct sm_store_put put = {kind, SM_FAMILY_INDEX, key, value};
    run->store->ops->batch_put(run->store->backend, STORE_LANE_INDEX, &put);
}

static sm_err index_records(struct run *run)
{
    sm_store *store = run->store;
    for (size_t i = 0; i < run->count; i++) {
        const struct record *r = &run->records[i];
        SM_TRY(store->config.indexer(store->config.indexer_ctx, store, r->sequence,
                                     sm_slice_of(run->bytes.ptr + r->at, r->len), emit, run));
        SM_TRY(run->err);
    }
    uint8_t cursor[8];
    sm_store_put_sequence(cursor, run->records[run->count - 1].sequence);
    struct sm_store_put put = {SM_PUT, SM_FAMILY_INDEX, INDEX_CURSOR_KEY,
                               sm_slice_of(cursor, sizeof(cursor))};
    store->ops->batch_put(store->backend, STORE_LANE_INDEX, &put);
    return store->ops->batch_write(store->backend, STORE_LANE_INDEX);
}

static void set_lag(sm_store *store)
{
    uint64_t done = atomic_load(&store->indexer.done_sequence);
    sm_metric_set(metrics.lag, (int64_t)(atomic_load(&store->last_sequence) - done));
}

/* Records behind the cursor, as many as fit one run. `*done`: the last of them. */
static sm_err advance(struct run *run, uint64_t *done)
{
    sm_store *store = run->store;
    uint8_t from[8];
    sm_store_put_sequence(from, *done + 1);
    const struct store_range range = {sm_slice_of(from, sizeof(from)), SM_SLICE_NONE, false};
    run->count = 0;
    run->err = SM_NO_ERR;
    sm_buf_reset(&run->bytes);
    SM_TRY(store->ops->scan(store->backend, SM_FAMILY_LOG, &range, collect, run));
    SM_TRY(sm_buf_err(&run->bytes));
    if (run->count == 0) {
        return SM_ERR(CORRUPT); /* the log ends before its last sequence */
    }
    sm_err err = index_records(run);
    store->ops->batch_clear(store->backend, STORE_LANE_INDEX);
    if (sm_ok(err)) {
        *done = run->records[run->count - 1].sequence;
    }
    return err;
}

static sm_err read_cursor(sm_store *store, uint64_t *out)
{
    sm_buf cursor = sm_buf_init(64);
    sm_err err = store->ops->get(store->backend, SM_FAMILY_INDEX, INDEX_CURSOR_KEY, &cursor);
    *out = sm_ok(err) && cursor.len == 8 ? sm_store_get_sequence(sm_buf_slice(&cursor)) : 0;
    sm_buf_deinit(&cursor);
    return sm_err_is(err, SM_E_NOT_FOUND) ? SM_NO_ERR : err;
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
    bool behind = atomic_load(&ix->done_sequence) < op->target;
    if (behind && ix->stopping) {
        sm_store_scan_fail(store, op, SM_ERR(DRAINING));
    } else if (behind) {
        sm_list_push_back(&ix->scans, &op->node);
        (void)pthread_cond_signal(&ix->wake);
    }
    (void)pthread_mutex_unlock(&ix->lock);
    return behind;
}

/* ---- the thread; the lock is held but for the work itself ---- */

static void pause_after_failure(struct indexer *ix)
{
    struct timespec until;
    (void)clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += RETRY_S;
    int rc = 0;
    while (!ix->stopping && rc != ETIMEDOUT) {
        rc = pthread_cond_timedwait(&ix->wake, &ix->lock, &until);
    }
}

static void on_failure(sm_store *store, sm_err err)
{
    sm_metric_inc(metrics.failed);
    sm_log(SM_LOG_ERROR, "store_index_failed", SM_KE("error", err),
           SM_KU("behind", atomic_load(&store->indexer.done_sequence)), SM_KEND);
    release_scans(store, SM_ERR(UNAVAILABLE));
    pause_after_failure(&store->indexer);
}

static sm_err do_work(struct run *run, enum index_state state, uint64_t *done)
{
    sm_store *store = run->store;
    if (state == INDEX_FOLLOWS) {
        return advance(run, done);
    }
    *done = 0;
    store->ops->batch_clear(store->backend, STORE_LANE_INDEX);
    return state == INDEX_REBUILD ? store->ops->clear_index(store->backend)
                                  : read_cursor(store, done);
}

static void work(struct run *run)
{
    sm_store *store = run->store;
    struct indexer *ix = &store->indexer;
    enum index_state before = ix->state;
    uint64_t done = atomic_load(&ix->done_sequence);
    ix->state = INDEX_FOLLOWS; /* what is asked for from here on is seen below */
    (void)pthread_mutex_unlock(&ix->lock);
    sm_err err = do_work(run, before, &done);
    (void)pthread_mutex_lock(&ix->lock);
    if (!sm_ok(err)) {
        /* What of it is in the index is not known: the cursor is. */
        enum index_state again = before == INDEX_REBUILD ? INDEX_REBUILD : INDEX_RELOAD;
        ix->state = again > ix->state ? again : ix->state;
    } else if (ix->state == INDEX_FOLLOWS) {
        atomic_store(&ix->done_sequence, done);
    }
    set_lag(store);
    if (sm_ok(err)) {
        release_scans(store, SM_NO_ERR);
    } else {
        on_failure(store, err);
    }
}

static void indexer_main(void *ctx)
{
    struct run *run = ctx;
    sm_store *store = run->store;
    struct indexer *ix = &store->indexer;
    sm_thread_lower_priority(); /* it may lag; issuance may not */
    (void)pthread_mutex_lock(&ix->lock);
    while (!ix->stopping) {
        if (ix->state != INDEX_FOLLOWS ||
            atomic_load(&ix->done_sequence) < atomic_load(&store->last_sequence)) {
            work(run);
        } else {
            (void)pthread_cond_wait(&ix->wake, &ix->lock);
        }
    }
    release_scans(store, SM_ERR(DRAINING));
    (void)pthread_mutex_unlock(&ix->lock);
    sm_buf_deinit(&run->bytes);
    sm_free(run);
}

void sm_store_indexer_wake(sm_store *store)
{
    struct indexer *ix = &store->indexer;
    if (ix->started) {
        (void)pthread_mutex_lock(&ix->lock);
        (void)pthread_cond_signal(&ix->wake);
        (void)pthread_mutex_unlock(&ix->lock);
    }
}

/* Nothing counts as indexed from here on, until the indexer knows better. */
static void ask(struct indexer *ix, enum index_state state)
{
    (void)pthread_mutex_lock(&ix->lock);
    ix->state = state > ix->state ? state : ix->state;
    atomic_store(&ix->done_sequence, 0);
    (void)pthread_cond_signal(&ix->wake);
    (void)pthread_mutex_unlock(&ix->lock);
}

sm_err sm_store_rebuild_index(sm_store *store)
{
    if (!store->indexer.started) {
        return SM_ERR(PRECONDITION);
    }
    ask(&store->indexer, INDEX_REBUILD);
    return SM_NO_ERR;
}

void sm_store_indexer_reload(sm_store *store)
{
    if (store->indexer.started) {
        ask(&store->indexer, INDEX_RELOAD);
    }
}

/* ---- life ---- */

static sm_err start_thread(sm_store *store)
{
    struct indexer *ix = &store->indexer;
    struct run *run = sm_calloc(1, sizeof(*run));
    if (run == NULL) {
        return SM_ERR(NO_MEMORY);
    }
    run->store = store;
    run->bytes = sm_buf_init(RUN_BYTES + SM_STORE_COMMIT_BYTES);
    sm_list_init(&ix->scans);
    pthread_condattr_t monotonic;
    (void)pthread_condattr_init(&monotonic);
    (void)pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    (void)pthread_mutex_init(&ix->lock, NULL);
    (void)pthread_cond_init(&ix->wake, &monotonic);
    (void)pthread_condattr_destroy(&monotonic);
    sm_err err = sm_thread_start(&ix->thread, "indexer", indexer_main, run);
    ix->started = sm_ok(err);
    if (!ix->started) {
        sm_free(run);
    }
    return err;
}

sm_err sm_store_indexer_start(sm_store *store)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    (void)pthread_once(&once, register_metrics);
    uint64_t cursor;
    SM_TRY(read_cursor(store, &cursor));
    uint64_t last = atomic_load(&store->last_sequence);
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
}
