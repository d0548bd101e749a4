/* SPDX-License-Identifier: Apache-2.0 */
/* The commit lane: whatever waits becomes one batch, one fsync. While the disk works, the next batch gathers. */
#include "store/store_p.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/map.h"
#include "base/metrics.h"

#define RECOVER_EVERY_NS SM_NS_PER_S

static struct {
    sm_metric commits;
    sm_metric writes;
    sm_metric failed;
    sm_metric size;
    sm_metric time;
    sm_metric waiting;
} metrics;

static void register_metrics(void)
{
    metrics.commits = sm_metric_register(SM_COUNTER, "sealmill_store_commits_total", "Batches written and fsynced", NULL);
    metrics.writes = sm_metric_register(SM_COUNTER, "sealmill_store_writes_total", "Write operations committed", NULL);
    metrics.failed =
        sm_metric_register(SM_COUNTER, "sealmill_store_commits_failed_total", "Batches that the disk refused", NULL);
    metrics.size = sm_metric_register(SM_HISTOGRAM, "sealmill_store_commit_size", "Write operations in one commit", NULL);
    metrics.time = sm_metric_register(SM_HISTOGRAM, "sealmill_store_commit_seconds", "Time of one commit with its fsync", NULL);
    metrics.waiting = sm_metric_register(SM_GAUGE, "sealmill_store_writes_waiting", "Write operations that wait for a commit", NULL);
}

/* Writes of this batch that later conditions of the same batch must see: family octet and key -> the put. Only META and STATE are ever asked
 * about by conditions that can meet in a batch. */
struct overlay {
    sm_map *map;
    sm_buf key;
};

static sm_slice overlay_key(struct overlay *o, enum sm_store_family family, sm_slice key)
{
    sm_buf_reset(&o->key);
    sm_buf_put_byte(&o->key, (uint8_t)family);
    sm_buf_put(&o->key, key);
    return sm_buf_slice(&o->key);
}

static sm_err overlay_add(struct overlay *o, const sm_store_write *op)
{
    for (size_t i = 0; i < op->put_count; i++) {
        union {
            const struct sm_store_put *in;
            void *out;
        } put = {&op->puts[i]};
        if (put.in->family == SM_FAMILY_META || put.in->family == SM_FAMILY_STATE) {
            SM_TRY(sm_map_put(o->map, overlay_key(o, put.in->family, put.in->key), put.out, NULL));
        }
    }
    return SM_NO_ERR;
}

/* The value that the condition would see: `*found` false when absent. */
static sm_err current_value(sm_store *store, struct overlay *o, const struct sm_store_cond *cond, sm_buf *scratch,
                            bool *found, sm_slice *value)
{
    const struct sm_store_put *put = sm_map_get(o->map, overlay_key(o, cond->family, cond->key));
    if (put != NULL) {
        *found = put->kind == SM_PUT;
        *value = put->value;
        return SM_NO_ERR;
    }
    sm_buf_reset(scratch);
    sm_err err = store->ops->get(store->backend, cond->family, cond->key, scratch);
    *found = sm_ok(err);
    *value = sm_buf_slice(scratch);
    return sm_err_is(err, SM_E_NOT_FOUND) ? SM_NO_ERR : err;
}

static sm_err check_conds(sm_store *store, struct overlay *o, sm_store_write *op)
{
    sm_buf scratch = sm_buf_init(SM_STORE_COMMIT_BYTES);
    sm_err err = SM_NO_ERR;
    for (size_t i = 0; i < op->cond_count && sm_ok(err); i++) {
        const struct sm_store_cond *cond = &op->conds[i];
        bool found = false;
        sm_slice value = SM_SLICE_NONE;
        op->failed_cond = i;
        err = current_value(store, o, cond, &scratch, &found, &value);
        if (sm_ok(err) && cond->kind == SM_COND_ABSENT && found) {
            err = SM_ERR(EXISTS);
        }
        if (sm_ok(err) && cond->kind == SM_COND_EQUALS && (!found || !sm_slice_equal(value, cond->value))) {
            err = SM_ERR(CONFLICT);
        }
    }
    sm_buf_deinit(&scratch);
    return err;
}

static void add_to_batch(sm_store *store, sm_store_write *op)
{
    for (size_t i = 0; i < op->put_count; i++) {
        store->ops->batch_put(store->backend, true, &op->puts[i]);
    }
    op->first_sequence = store->commit.next_sequence;
    for (size_t i = 0; i < op->log_count; i++) {
        uint8_t key[8];
        sm_store_put_sequence(key, store->commit.next_sequence++);
        struct sm_store_put put = {SM_PUT, SM_FAMILY_LOG, sm_slice_of(key, sizeof(key)), op->log[i]};
        store->ops->batch_put(store->backend, true, &put);
    }
}

static size_t bytes_of(const sm_store_write *op)
{
    size_t n = 0;
    for (size_t i = 0; i < op->put_count; i++) {
        n += op->puts[i].key.len + op->puts[i].value.len;
    }
    return n;
}

static void complete(sm_msg *msg)
{
    sm_store_write *op = SM_CONTAINER_OF(msg, sm_store_write, msg);
    op->done(op);
}

static void finish(sm_store *store, sm_store_write *op, sm_err err)
{
    op->err = err;
    op->msg.run = complete;
    atomic_fetch_sub(&store->commit.waiting, 1);
    sm_metric_sub(metrics.waiting, 1);
    sm_mailbox_post(op->home, &op->msg);
}

/* Takes operations into one batch; those whose conditions fail go to `*refused` (and stay alive as long as the overlay, which may point to
 * them). Returns the list of those in the batch. */
static sm_store_write *gather(sm_store *store, struct overlay *o, sm_store_write **refused, size_t *count)
{
    struct commit_lane *lane = &store->commit;
    sm_store_write *first = NULL;
    sm_store_write **tail = &first;
    size_t bytes = 0;
    *count = 0;
    *refused = NULL;
    while (lane->first != NULL && *count < SM_STORE_COMMIT_MAX && bytes < SM_STORE_COMMIT_BYTES) {
        sm_store_write *op = lane->first;
        lane->first = op->next;
        op->next = NULL;
        sm_err err = check_conds(store, o, op);
        if (sm_ok(err)) {
            err = overlay_add(o, op);
        }
        if (!sm_ok(err)) {
            op->err = err;
            op->next = *refused;
            *refused = op;
            continue;
        }
        add_to_batch(store, op);
        bytes += bytes_of(op);
        *tail = op;
        tail = &op->next;
        (*count)++;
    }
    return first;
}

static sm_err write_batch(sm_store *store, size_t count)
{
    uint64_t start = sm_clock_mono_ns();
    sm_err err = store->ops->batch_write(store->backend, true);
    sm_metric_observe_ns(metrics.time, sm_clock_mono_ns() - start);
    sm_metric_observe_count(metrics.size, count);
    if (!sm_ok(err)) {
        sm_metric_inc(metrics.failed);
        sm_log(SM_LOG_ERROR, "store_commit_failed", SM_KE("error", err), SM_KU("writes", count), SM_KEND);
        store->commit.failed = true;
        return err;
    }
    sm_metric_inc(metrics.commits);
    sm_metric_add(metrics.writes, count);
    return SM_NO_ERR;
}

static void commit_some(sm_store *store, struct overlay *o)
{
    uint64_t sequence_before = store->commit.next_sequence;
    size_t count;
    sm_store_write *refused;
    sm_store_write *ops = gather(store, o, &refused, &count);
    sm_err err = ops == NULL ? SM_NO_ERR : write_batch(store, count);
    store->ops->batch_clear(store->backend, true);
    if (!sm_ok(err)) {
        store->commit.next_sequence = sequence_before;
    } else if (store->commit.next_sequence != sequence_before) {
        sm_store_advance(store, store->commit.next_sequence - 1);
    }
    while (ops != NULL) {
        sm_store_write *next = ops->next;
        finish(store, ops, err);
        ops = next;
    }
    while (refused != NULL) {
        sm_store_write *next = refused->next;
        finish(store, refused, refused->err);
        refused = next;
    }
}

/* After a failed write nothing is tried more than once a second: waiting operations fail at once instead of piling up. */
static sm_err recover(sm_store *store)
{
    struct commit_lane *lane = &store->commit;
    uint64_t now = sm_clock_mono_ns();
    if (!lane->failed) {
        return SM_NO_ERR;
    }
    if (now < lane->retry_ns) {
        return SM_ERR(DISK);
    }
    lane->retry_ns = now + RECOVER_EVERY_NS;
    SM_TRY(store->ops->recover(store->backend));
    lane->failed = false;
    sm_log(SM_LOG_WARN, "store_recovered", SM_KEND);
    return SM_NO_ERR;
}

static void on_drained(void *ctx)
{
    sm_store *store = ctx;
    struct commit_lane *lane = &store->commit;
    while (lane->first != NULL) {
        struct overlay o = {.key = sm_buf_init(SM_STORE_COMMIT_BYTES)};
        sm_err err = recover(store);
        if (sm_ok(err)) {
            err = sm_map_new(SIZE_MAX, &o.map);
        }
        if (sm_ok(err)) {
            commit_some(store, &o);
        } else {
            sm_store_write *op = lane->first;
            lane->first = op->next;
            finish(store, op, err);
        }
        sm_map_free(&o.map);
        sm_buf_deinit(&o.key);
        (void)sm_mailbox_drain(&lane->worker.box); /* what came meanwhile joins the next batch */
    }
}

static void take(sm_msg *msg)
{
    sm_store_write *op = SM_CONTAINER_OF(msg, sm_store_write, msg);
    struct commit_lane *lane = &op->store->commit;
    op->next = NULL;
    if (lane->first == NULL) {
        lane->first = op;
    } else {
        lane->last->next = op;
    }
    lane->last = op;
}

void sm_store_commit_submit(sm_store *store, sm_store_write *op)
{
    op->store = store;
    op->msg.run = take;
    sm_metric_add(metrics.waiting, 1);
    sm_worker_post(&store->commit.worker, &op->msg);
}

static bool last_key(void *ctx, sm_slice key, sm_slice value)
{
    (void)value;
    *(uint64_t *)ctx = sm_store_get_sequence(key);
    return false;
}

sm_err sm_store_commit_start(sm_store *store)
{
    register_metrics();
    uint64_t last = 0;
    SM_TRY(store->ops->scan(store->backend, SM_FAMILY_LOG, SM_SLICE_NONE, SM_SLICE_NONE, true, last_key, &last));
    atomic_store(&store->last_sequence, last);
    store->commit.next_sequence = last + 1;
    return sm_worker_start(&store->commit.worker, "commit", on_drained, store);
}

void sm_store_commit_stop(sm_store *store)
{
    sm_worker_stop(&store->commit.worker);
}
