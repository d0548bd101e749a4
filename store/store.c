/* SPDX-License-Identifier: Apache-2.0 */
/* Opening, closing, and what belongs to no lane. */
#include "store/store.h"

#include "base/mem.h"
#include "base/metrics.h"
#include "store/store_p.h"

#include <time.h>

#define DRAIN_POLL_NS 1000000 /* closing looks once a millisecond whether the lanes are empty */

void sm_store_put_sequence(uint8_t out[8], uint64_t sequence)
{
    for (size_t i = 0; i < 8; i++) {
        out[i] = (uint8_t)(sequence >> (8 * (7 - i)));
    }
}

uint64_t sm_store_get_sequence(sm_slice key)
{
    uint64_t v = 0;
    for (size_t i = 0; i < key.len && i < 8; i++) {
        v = v << 8 | key.ptr[i];
    }
    return v;
}

struct store_range sm_store_visible(enum sm_store_family family, struct store_range range)
{
    if (family == SM_FAMILY_INDEX && sm_slice_compare(range.from, INDEX_FIRST_KEY) < 0) {
        range.from = INDEX_FIRST_KEY;
    }
    return range;
}

static bool note_last(void *ctx, sm_slice key, sm_slice value)
{
    (void)value;
    *(uint64_t *)ctx = sm_store_get_sequence(key);
    return false;
}

sm_err sm_store_read_last(sm_store *store, uint64_t *out)
{
    const struct store_range newest_first = {.reverse = true};
    *out = 0;
    return store->ops->scan(store->backend, SM_FAMILY_LOG, &newest_first, note_last, out);
}

/* ---- admission ---- */

static struct {
    sm_metric refused;
} metrics;

static void register_metrics(void)
{
    metrics.refused = sm_metric_register(SM_COUNTER, "sealmill_store_busy_total",
                                         "Operations refused because a queue was full or closing",
                                         NULL);
}

/* Counting in before looking at `closing` is what makes close safe: either close sees the count and
 * waits, or the operation sees `closing` and steps back. */
sm_err sm_store_admit(sm_store *store, _Atomic uint32_t *waiting)
{
    uint32_t before = atomic_fetch_add(waiting, 1);
    sm_err err = SM_NO_ERR;
    if (atomic_load(&store->closing)) {
        err = SM_ERR(DRAINING);
    } else if (before >= SM_STORE_QUEUE_MAX) {
        err = SM_ERR(QUEUE_FULL);
    }
    if (!sm_ok(err)) {
        atomic_fetch_sub(waiting, 1);
        sm_metric_inc(metrics.refused);
    }
    return err;
}

void sm_store_drain(_Atomic uint32_t *waiting)
{
    const struct timespec pause = {.tv_nsec = DRAIN_POLL_NS};
    while (atomic_load(waiting) != 0) {
        (void)nanosleep(&pause, NULL);
    }
}

/* ---- life ---- */

static void stop_lanes(sm_store *store)
{
    sm_store_commit_stop(store);
    sm_store_indexer_stop(store); /* before the readers: it gives back the scans that wait for it */
    sm_store_read_stop(store);
}

static sm_err start_lanes(sm_store *store)
{
    uint64_t last;
    SM_TRY(sm_store_read_last(store, &last));
    atomic_store(&store->last_sequence, last);
    SM_TRY(sm_store_read_start(store));
    SM_TRY(sm_store_indexer_start(store));
    return sm_store_commit_start(store);
}

static void free_store(sm_store *store)
{
    if (store->backend != NULL) {
        store->ops->close(store->backend);
    }
    sm_store_indexer_deinit(store);
    (void)pthread_mutex_destroy(&store->subscribers_lock);
    sm_free(store);
}

sm_err sm_store_open(const struct sm_store_config *config, sm_store **out, sm_diag *diag)
{
    sm_store *store = sm_calloc(1, sizeof(*store));
    if (store == NULL) {
        return SM_ERR(NO_MEMORY);
    }
    store->config = *config;
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    (void)pthread_once(&once, register_metrics);
    (void)pthread_mutex_init(&store->subscribers_lock, NULL);
    sm_err err = config->dir == NULL
                     ? sm_store_memory_open(&store->ops, &store->backend)
                     : sm_store_rocksdb_open(config, &store->ops, &store->backend, diag);
    if (sm_ok(err)) {
        err = sm_store_check_schema(store, diag);
    }
    if (sm_ok(err)) {
        err = start_lanes(store);
        if (!sm_ok(err)) {
            stop_lanes(store);
        }
    }
    if (!sm_ok(err)) {
        free_store(store);
        return err;
    }
    *out = store;
    return SM_NO_ERR;
}

void sm_store_close(sm_store **out)
{
    sm_store *store = *out;
    if (store == NULL) {
        return;
    }
    *out = NULL;
    atomic_store(&store->closing, true);
    stop_lanes(store);
    free_store(store);
}

/* ---- subscriptions ---- */

bool sm_store_is_up(const sm_store *store)
{
    return !atomic_load_explicit(&store->commit.failed, memory_order_relaxed);
}

uint64_t sm_store_last_sequence(const sm_store *store)
{
    return atomic_load(&store->last_sequence);
}

static void on_advance(sm_msg *msg)
{
    sm_store_subscription *sub = SM_CONTAINER_OF(msg, sm_store_subscription, msg);
    /* First: an advance from here on posts again, so that none is missed. */
    atomic_store(&sub->posted, false);
    if (!atomic_load(&sub->closing)) {
        sub->on_advance(sub);
    }
}

void sm_store_advance(sm_store *store, uint64_t sequence)
{
    atomic_store(&store->last_sequence, sequence);
    (void)pthread_mutex_lock(&store->subscribers_lock);
    for (sm_store_subscription *sub = store->subscribers; sub != NULL; sub = sub->next) {
        if (!atomic_exchange(&sub->posted, true)) {
            sub->msg.run = on_advance;
            sm_mailbox_post(sub->home, &sub->msg);
        }
    }
    (void)pthread_mutex_unlock(&store->subscribers_lock);
    sm_store_indexer_wake(store);
}

void sm_store_subscribe(sm_store *store, sm_store_subscription *sub)
{
    atomic_init(&sub->posted, false);
    atomic_init(&sub->closing, false);
    (void)pthread_mutex_lock(&store->subscribers_lock);
    sub->next = store->subscribers;
    store->subscribers = sub;
    (void)pthread_mutex_unlock(&store->subscribers_lock);
}

void sm_store_unsubscribe(sm_store *store, sm_store_subscription *sub)
{
    (void)pthread_mutex_lock(&store->subscribers_lock);
    sm_store_subscription **at = &store->subscribers;
    while (*at != NULL && *at != sub) {
        at = &(*at)->next;
    }
    if (*at != NULL) {
        *at = sub->next;
    }
    atomic_store(&sub->closing, true);
    (void)pthread_mutex_unlock(&store->subscribers_lock);
}
