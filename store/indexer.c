/* SPDX-License-Identifier: Apache-2.0 */
/* The indexer follows the log. Its rows and its cursor go into one family, without the write-ahead log: what a crash takes back, it takes
 * back together, and the next start goes on from the cursor that is left. */
#include "store/store_p.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/metrics.h"

#include <time.h>

#define INDEX_BATCH 256
#define RETRY_NS SM_NS_PER_S

static struct {
    sm_metric lag;
    sm_metric failed;
} metrics;

struct record {
    uint64_t sequence;
    size_t at;
    size_t len;
};

struct run {
    sm_store *store;
    sm_buf bytes;
    struct record records[INDEX_BATCH];
    size_t count;
};

static bool collect(void *ctx, sm_slice key, sm_slice value)
{
    struct run *run = ctx;
    run->records[run->count] = (struct record){sm_store_get_sequence(key), run->bytes.len, value.len};
    sm_buf_put(&run->bytes, value);
    return sm_ok(sm_buf_err(&run->bytes)) && ++run->count < INDEX_BATCH;
}

static void emit(void *emitter, enum sm_store_put_kind kind, sm_slice key, sm_slice value)
{
    sm_store *store = emitter;
    struct sm_store_put put = {kind, SM_FAMILY_INDEX, key, value};
    store->ops->batch_put(store->backend, false, &put);
}

static sm_err index_records(sm_store *store, struct run *run)
{
    for (size_t i = 0; i < run->count; i++) {
        sm_slice record = sm_slice_of(run->bytes.ptr + run->records[i].at, run->records[i].len);
        SM_TRY(store->config.indexer(store->config.indexer_ctx, store, run->records[i].sequence, record, emit, store));
    }
    uint8_t cursor[8];
    sm_store_put_sequence(cursor, run->records[run->count - 1].sequence);
    struct sm_store_put put = {SM_PUT, SM_FAMILY_INDEX, INDEX_CURSOR_KEY, sm_slice_of(cursor, sizeof(cursor))};
    store->ops->batch_put(store->backend, false, &put);
    return store->ops->batch_write(store->backend, false);
}

/* One batch of records behind the cursor. `*more` when there may be others. */
static sm_err advance(sm_store *store, bool *more)
{
    struct run *run = sm_calloc(1, sizeof(*run));
    if (run == NULL) {
        return SM_ERR(NO_MEMORY);
    }
    run->store = store;
    run->bytes = sm_buf_init(SM_STORE_COMMIT_BYTES);
    uint64_t done = atomic_load(&store->indexer.done_sequence);
    uint8_t from[8];
    sm_store_put_sequence(from, done + 1);
    sm_err err = store->ops->scan(store->backend, SM_FAMILY_LOG, sm_slice_of(from, sizeof(from)), SM_SLICE_NONE, false,
                                  collect, run);
    if (sm_ok(err) && run->count > 0) {
        err = index_records(store, run);
        store->ops->batch_clear(store->backend, false);
    }
    if (sm_ok(err) && run->count > 0) {
        atomic_store(&store->indexer.done_sequence, run->records[run->count - 1].sequence);
    }
    *more = run->count > 0;
    sm_buf_deinit(&run->bytes);
    sm_free(run);
    return err;
}

/* Scans whose target has been reached go on to a reader. */
static void release_scans(sm_store *store)
{
    uint64_t done = atomic_load(&store->indexer.done_sequence);
    SM_LIST_FOR_SAFE(node, tmp, &store->indexer.scans)
    {
        sm_store_scan *op = SM_CONTAINER_OF(node, sm_store_scan, node);
        if (op->target <= done || atomic_load(&store->indexer.stopping)) {
            sm_list_remove(node);
            sm_store_scan_submit(store, op);
        }
    }
}

static void on_drained(void *ctx)
{
    sm_store *store = ctx;
    bool more = true;
    if (!store->indexer.lowered) {
        sm_thread_lower_priority(); /* it may lag; issuance may not */
        store->indexer.lowered = true;
    }
    while (more && !atomic_load(&store->indexer.stopping)) {
        sm_err err = advance(store, &more);
        uint64_t last = atomic_load(&store->last_sequence);
        sm_metric_set(metrics.lag, (int64_t)(last - atomic_load(&store->indexer.done_sequence)));
        if (!sm_ok(err)) {
            sm_metric_inc(metrics.failed);
            sm_log(SM_LOG_ERROR, "store_index_failed", SM_KE("error", err),
                   SM_KU("behind", atomic_load(&store->indexer.done_sequence)), SM_KEND);
            struct timespec pause = {.tv_sec = RETRY_NS / SM_NS_PER_S};
            (void)nanosleep(&pause, NULL);
            more = true;
        }
        release_scans(store);
        (void)sm_mailbox_drain(&store->indexer.worker.box);
    }
    release_scans(store);
}

static void on_wake(sm_msg *msg)
{
    sm_store *store = SM_CONTAINER_OF(msg, sm_store, indexer.wake);
    atomic_store(&store->indexer.waking, false);
}

void sm_store_indexer_wake(sm_store *store)
{
    if (store->has_indexer && !atomic_exchange(&store->indexer.waking, true)) {
        store->indexer.wake.run = on_wake;
        sm_worker_post(&store->indexer.worker, &store->indexer.wake);
    }
}

static void on_park(sm_msg *msg)
{
    sm_store_scan *op = SM_CONTAINER_OF(msg, sm_store_scan, msg);
    sm_list_push_back(&op->store->indexer.scans, &op->node);
}

void sm_store_indexer_park(sm_store *store, sm_store_scan *op)
{
    op->msg.run = on_park;
    sm_worker_post(&store->indexer.worker, &op->msg);
}

sm_err sm_store_indexer_start(sm_store *store)
{
    metrics.lag = sm_metric_register(SM_GAUGE, "sealmill_store_index_lag", "Log records that are not yet indexed", NULL);
    metrics.failed = sm_metric_register(SM_COUNTER, "sealmill_store_index_failed", "Failed runs of the indexer", NULL);
    sm_buf cursor = sm_buf_init(64);
    sm_err err = store->ops->get(store->backend, SM_FAMILY_INDEX, INDEX_CURSOR_KEY, &cursor);
    uint64_t done = sm_ok(err) && cursor.len == 8 ? sm_store_get_sequence(sm_buf_slice(&cursor)) : 0;
    sm_buf_deinit(&cursor);
    if (!sm_ok(err) && !sm_err_is(err, SM_E_NOT_FOUND)) {
        return err;
    }
    atomic_store(&store->indexer.done_sequence, done);
    sm_list_init(&store->indexer.scans);
    SM_TRY(sm_worker_start(&store->indexer.worker, "indexer", on_drained, store));
    store->has_indexer = true;
    sm_store_indexer_wake(store);
    return SM_NO_ERR;
}

void sm_store_indexer_stop(sm_store *store)
{
    if (store->has_indexer) {
        atomic_store(&store->indexer.stopping, true);
        sm_worker_stop(&store->indexer.worker);
        store->has_indexer = false;
    }
}
