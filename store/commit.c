/* SPDX-License-Identifier: Apache-2.0 */
/* The commit lane: whatever waits becomes one batch, one fsync. While the disk works, the next
 * batch gathers: there is no timer. This lane is the only writer of every family but INDEX, so a
 * condition that held when it was checked holds when the batch is written. */
#include "store/store_p.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/metrics.h"

#define RECOVER_EVERY_NS SM_NS_PER_S

static struct {
    sm_metric commits;
    sm_metric writes;
    sm_metric refused;
    sm_metric failed;
    sm_metric size;
    sm_metric time;
    sm_metric waiting;
    sm_metric down;
} metrics;

static void register_metrics(void)
{
    metrics.commits = sm_metric_register(SM_COUNTER, "sealmill_store_commits_total",
                                         "Batches written and fsynced", NULL);
    metrics.writes = sm_metric_register(SM_COUNTER, "sealmill_store_writes_total",
                                        "Write operations committed", NULL);
    metrics.refused = sm_metric_register(SM_COUNTER, "sealmill_store_writes_refused_total",
                                         "Write operations whose conditions did not hold", NULL);
    metrics.failed = sm_metric_register(SM_COUNTER, "sealmill_store_commits_failed_total",
                                        "Batches that the disk refused", NULL);
    metrics.size = sm_metric_register(SM_HISTOGRAM, "sealmill_store_commit_size",
                                      "Write operations in one commit", NULL);
    metrics.time = sm_metric_register(SM_HISTOGRAM, "sealmill_store_commit_seconds",
                                      "Time of one commit with its fsync", NULL);
    metrics.waiting = sm_metric_register(SM_GAUGE, "sealmill_store_writes_waiting",
                                         "Write operations that wait for a commit", NULL);
    metrics.down = sm_metric_register(SM_GAUGE, "sealmill_store_down",
                                      "1 while the disk refuses writes", NULL);
}

/* ---- conditions ---- */

/* The value that the condition sees: `*found` false when the key is absent. */
static sm_err current_value(sm_store *store, const struct sm_store_cond *cond, bool *found,
                            sm_slice *value)
{
    struct commit_lane *lane = &store->commit;
    const struct sm_store_put *put = sm_overlay_find(&lane->overlay, cond->family, cond->key);
    if (put != NULL) {
        *found = put->kind == SM_PUT;
        *value = put->value;
        return SM_NO_ERR;
    }
    sm_buf_reset(&lane->scratch);
    sm_err err = store->ops->get(store->backend, cond->family, cond->key, &lane->scratch);
    *found = sm_ok(err);
    *value = sm_buf_slice(&lane->scratch);
    return sm_err_is(err, SM_E_NOT_FOUND) ? SM_NO_ERR : err;
}

static sm_err check_cond(sm_store *store, const struct sm_store_cond *cond)
{
    bool found;
    sm_slice value;
    SM_TRY(current_value(store, cond, &found, &value));
    if (cond->kind == SM_COND_ABSENT) {
        return found ? SM_ERR(EXISTS) : SM_NO_ERR;
    }
    return found && sm_slice_equal(value, cond->value) ? SM_NO_ERR : SM_ERR(CONFLICT);
}

/* Nobody else writes: a family that neither a batch before nor this one has touched is as it was. */
static bool is_unchanged(sm_store *store, const struct sm_store_unchanged *u, uint32_t touched)
{
    return u == NULL ||
           (sm_store_version(store, u->family) == u->version && (touched & 1U << u->family) == 0);
}

static sm_err check_conds(sm_store *store, sm_store_write *op)
{
    for (size_t i = 0; i < op->cond_count; i++) {
        op->failed_cond = i;
        SM_TRY(check_cond(store, &op->conds[i]));
    }
    return SM_NO_ERR;
}

/* ---- one batch ---- */

struct batch {
    sm_store_write *ops; /* taken, in order; refused ones among them, with their error set */
    sm_store_write **tail;
    size_t taken;
    size_t writes; /* not refused */
    size_t tables; /* taken in beside them */
    size_t bytes;
    uint32_t touched; /* bit n: there are puts of family n */
    bool overlaid;    /* the overlay holds the puts of all that is in the batch */
    bool full;
};

static size_t bytes_of(const sm_store_write *op)
{
    size_t n = 0;
    for (size_t i = 0; i < op->put_count; i++) {
        n += op->puts[i].key.len + op->puts[i].value.len;
    }
    for (size_t i = 0; i < op->log_count; i++) {
        n += sizeof(uint64_t) + op->log[i].len;
    }
    return n;
}

static sm_err overlay_op(sm_store *store, const sm_store_write *op)
{
    for (size_t i = 0; i < op->put_count; i++) {
        SM_TRY(sm_overlay_add(&store->commit.overlay, &op->puts[i]));
    }
    return SM_NO_ERR;
}

/* The overlay costs a hash for each put: it is built when the first condition of a batch asks. */
static sm_err overlay_batch(sm_store *store, struct batch *b)
{
    for (const sm_store_write *op = b->ops; op != NULL && !b->overlaid; op = op->next) {
        if (sm_ok(op->err)) {
            SM_TRY(overlay_op(store, op));
        }
    }
    b->overlaid = true;
    return SM_NO_ERR;
}

static void raise_versions(sm_store *store, uint32_t touched)
{
    for (int i = 0; i < SM_FAMILY_COUNT; i++) {
        if ((touched & 1U << i) != 0) {
            atomic_fetch_add(&store->commit.versions[i], 1);
        }
    }
}

/* Ahead of the batch that it is considered in: whatever that one holds of the same rows is as true, and
 * stands over it. */
static sm_err take_table(sm_store *store, sm_store_write *op)
{
    sm_err err = store->ops->table_take(store->backend, op->table);
    raise_versions(store, op->put_count == 0 ? 0 : 1U << op->puts[0].family);
    return err;
}

static void add_to_batch(sm_store *store, struct batch *b, sm_store_write *op)
{
    for (size_t i = 0; i < op->put_count; i++) {
        b->touched |= 1U << op->puts[i].family;
        store->ops->batch_put(store->backend, STORE_LANE_COMMIT, &op->puts[i]);
    }
    op->first_sequence = store->commit.next_sequence;
    for (size_t i = 0; i < op->log_count; i++) {
        uint8_t key[8];
        sm_store_put_sequence(key, store->commit.next_sequence++);
        struct sm_store_put put = {SM_PUT, SM_FAMILY_LOG, sm_slice_of(key, sizeof(key)),
                                   op->log[i]};
        store->ops->batch_put(store->backend, STORE_LANE_COMMIT, &put);
    }
}

/* Decides about one write; only then does it enter the batch. */
static sm_err consider(sm_store *store, struct batch *b, sm_store_write *op, size_t bytes)
{
    if (bytes > SM_STORE_COMMIT_BYTES) {
        return SM_ERR(TOO_LARGE);
    }
    if (!is_unchanged(store, op->unchanged, b->touched)) {
        op->failed_cond = SM_STORE_CHANGED;
        return SM_ERR(CONFLICT);
    }
    if (op->cond_count > 0) {
        SM_TRY(overlay_batch(store, b));
        SM_TRY(check_conds(store, op));
    }
    if (op->table != NULL) {
        SM_TRY(take_table(store, op));
        b->tables++;
        return SM_NO_ERR;
    }
    if (b->overlaid) {
        sm_err err = overlay_op(store, op);
        if (!sm_ok(err)) {
            b->full = true; /* half of its puts are overlaid: nothing more may look at them */
            return err;
        }
    }
    add_to_batch(store, b, op);
    b->bytes += bytes;
    b->writes++;
    return SM_NO_ERR;
}

static void gather(sm_store *store, struct batch *b)
{
    struct commit_lane *lane = &store->commit;
    b->tail = &b->ops;
    while (lane->first != NULL && b->taken < SM_STORE_COMMIT_MAX && !b->full) {
        sm_store_write *op = lane->first;
        size_t bytes = op->table != NULL ? 0 : bytes_of(op);
        if (b->writes > 0 && bytes > SM_STORE_COMMIT_BYTES - b->bytes) {
            break; /* it begins the next batch */
        }
        lane->first = op->next;
        op->next = NULL;
        op->err = consider(store, b, op, bytes);
        *b->tail = op;
        b->tail = &op->next;
        b->taken++;
    }
    sm_overlay_clear(&lane->overlay);
}

static sm_err write_batch(sm_store *store, size_t writes)
{
    uint64_t start = sm_clock_mono_ns();
    sm_err err = store->ops->batch_write(store->backend, STORE_LANE_COMMIT);
    sm_metric_observe_ns(metrics.time, sm_clock_mono_ns() - start);
    sm_metric_observe_count(metrics.size, writes);
    if (!sm_ok(err)) {
        sm_metric_inc(metrics.failed);
        sm_metric_set(metrics.down, 1);
        sm_log(SM_LOG_ERROR, "store_commit_failed", SM_KE("error", err), SM_KU("writes", writes),
               SM_KEND);
        store->commit.failed = true;
        return err;
    }
    sm_metric_inc(metrics.commits);
    sm_metric_add(metrics.writes, writes);
    return SM_NO_ERR;
}

static void complete(sm_msg *msg)
{
    sm_store_write *op = SM_CONTAINER_OF(msg, sm_store_write, msg);
    op->done(op);
}

static void finish(sm_store *store, sm_store_write *op)
{
    op->msg.run = complete;
    atomic_fetch_sub(&store->commit.waiting, 1);
    sm_mailbox_post(op->home, &op->msg);
}

/* After a failed batch its refused writes fail with it: what refused them may have been a part of
 * it. */
static void finish_all(sm_store *store, struct batch *b, sm_err err)
{
    sm_store_write *op = b->ops;
    while (op != NULL) {
        sm_store_write *next = op->next;
        if (!sm_ok(err)) {
            op->err = err;
        }
        finish(store, op);
        op = next;
    }
    sm_metric_sub(metrics.waiting, b->taken);
    sm_metric_add(metrics.refused, b->taken - b->writes - b->tables);
}

static void commit_some(sm_store *store)
{
    struct commit_lane *lane = &store->commit;
    uint64_t before = lane->next_sequence;
    struct batch b = {.ops = NULL};
    gather(store, &b);
    sm_err err = b.writes == 0 ? SM_NO_ERR : write_batch(store, b.writes);
    store->ops->batch_clear(store->backend, STORE_LANE_COMMIT);
    raise_versions(store, b.touched);
    if (!sm_ok(err)) {
        lane->next_sequence = before;
    } else if (lane->next_sequence != before) {
        sm_store_advance(store, lane->next_sequence - 1);
    }
    finish_all(store, &b, err);
}

/* ---- failure ---- */

/* A batch whose fsync failed may have reached the disk after all: its log records count. */
static sm_err resume(sm_store *store)
{
    struct commit_lane *lane = &store->commit;
    SM_TRY(store->ops->recover(store->backend, STORE_LANE_COMMIT));
    raise_versions(store, UINT32_MAX); /* what failed may be there now */
    uint64_t last;
    SM_TRY(sm_store_read_last(store, &last));
    lane->next_sequence = last + 1;
    if (last != atomic_load(&store->last_sequence)) {
        sm_store_advance(store, last);
    }
    return SM_NO_ERR;
}

/* After a failed write nothing is tried more than once a second: what waits fails at once instead
 * of piling up. */
static sm_err recover(sm_store *store)
{
    struct commit_lane *lane = &store->commit;
    if (!lane->failed) {
        return SM_NO_ERR;
    }
    uint64_t now = sm_clock_mono_ns();
    if (now < lane->retry_ns) {
        return SM_ERR(DISK);
    }
    lane->retry_ns = now + RECOVER_EVERY_NS;
    sm_err err = resume(store);
    if (!sm_ok(err)) {
        sm_log(SM_LOG_WARN, "store_still_down", SM_KE("error", err), SM_KEND);
        return err;
    }
    lane->failed = false;
    sm_metric_set(metrics.down, 0);
    sm_log(SM_LOG_WARN, "store_recovered", SM_KU("sequence", lane->next_sequence - 1), SM_KEND);
    return SM_NO_ERR;
}

static void fail_waiting(sm_store *store, sm_err err)
{
    struct commit_lane *lane = &store->commit;
    while (lane->first != NULL) {
        sm_store_write *op = lane->first;
        lane->first = op->next;
        op->err = err;
        finish(store, op);
        sm_metric_sub(metrics.waiting, 1);
    }
}

/* ---- the lane ---- */

static void on_drained(void *ctx)
{
    sm_store *store = ctx;
    struct commit_lane *lane = &store->commit;
    while (lane->first != NULL) {
        sm_err err = recover(store);
        if (sm_ok(err)) {
            commit_some(store);
        } else {
            fail_waiting(store, err);
        }
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

uint64_t sm_store_version(sm_store *store, enum sm_store_family family)
{
    return atomic_load(&store->commit.versions[family]);
}

sm_err sm_store_submit_write(sm_store *store, sm_store_write *op)
{
    SM_TRY(sm_store_admit(store, &store->commit.waiting));
    op->store = store;
    op->msg.run = take;
    sm_metric_add(metrics.waiting, 1);
    sm_worker_post(&store->commit.worker, &op->msg);
    return SM_NO_ERR;
}

static void on_probe(sm_msg *msg)
{
    sm_store *store = SM_CONTAINER_OF(msg, sm_store, commit.probe);
    atomic_store(&store->commit.probing, false);
    sm_err err = recover(store); /* says by itself what came of it */
    (void)err;
    atomic_fetch_sub(&store->commit.waiting, 1);
}

void sm_store_probe(sm_store *store)
{
    struct commit_lane *lane = &store->commit;
    if (sm_store_is_up(store) || atomic_exchange(&lane->probing, true)) {
        return;
    }
    if (!sm_ok(sm_store_admit(store, &lane->waiting))) {
        atomic_store(&lane->probing, false);
        return;
    }
    lane->probe.run = on_probe;
    sm_worker_post(&lane->worker, &lane->probe);
}

sm_err sm_store_commit_start(sm_store *store)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    (void)pthread_once(&once, register_metrics);
    struct commit_lane *lane = &store->commit;
    lane->scratch = sm_buf_init(SM_STORE_COMMIT_BYTES);
    lane->next_sequence = atomic_load(&store->last_sequence) + 1;
    SM_TRY(sm_worker_start(&lane->worker, "commit", on_drained, store));
    lane->started = true;
    return SM_NO_ERR;
}

void sm_store_commit_stop(sm_store *store)
{
    struct commit_lane *lane = &store->commit;
    if (lane->started) {
        sm_store_drain(&lane->waiting);
        sm_worker_stop(&lane->worker);
    }
    sm_overlay_deinit(&lane->overlay);
    sm_buf_deinit(&lane->scratch);
}
