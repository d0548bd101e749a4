/* SPDX-License-Identifier: Apache-2.0 */
#include "store/store.h"

#include "base/mem.h"
#include "store/store_p.h"

#include <stdio.h>

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

/* A database of another schema is refused; a new one is marked. */
static sm_err check_schema(sm_store *store, sm_diag *diag)
{
    sm_buf value = sm_buf_init(64);
    sm_err err = store->ops->get(store->backend, SM_FAMILY_META, SM_LIT("schema"), &value);
    uint64_t version = value.len == 8 ? sm_store_get_sequence(sm_buf_slice(&value)) : 0;
    sm_buf_deinit(&value);
    if (sm_err_is(err, SM_E_NOT_FOUND)) {
        uint8_t now[8];
        sm_store_put_sequence(now, SM_STORE_SCHEMA);
        struct sm_store_put put = {SM_PUT, SM_FAMILY_META, SM_LIT("schema"), sm_slice_of(now, sizeof(now))};
        store->ops->batch_put(store->backend, true, &put);
        err = store->ops->batch_write(store->backend, true);
        store->ops->batch_clear(store->backend, true);
        return err;
    }
    if (sm_ok(err) && version != SM_STORE_SCHEMA) {
        return sm_diag_set(diag, SM_ERR(UNSUPPORTED), "data_dir",
                           "%s has schema version %llu, this sealmill knows %d: use the version that wrote it",
                           store->config.dir, (unsigned long long)version, SM_STORE_SCHEMA);
    }
    return err;
}

static sm_err start_lanes(sm_store *store)
{
    SM_TRY(sm_store_commit_start(store));
    for (size_t i = 0; i < READ_LANES; i++) {
        char name[16];
        (void)snprintf(name, sizeof(name), "read-%zu", i % 100);
        SM_TRY(sm_worker_start(&store->readers[i], name, NULL, NULL));
    }
    return store->config.indexer == NULL ? SM_NO_ERR : sm_store_indexer_start(store);
}

sm_err sm_store_open(const struct sm_store_config *config, sm_store **out, sm_diag *diag)
{
    sm_store *store = sm_calloc(1, sizeof(*store));
    if (store == NULL) {
        return SM_ERR(NO_MEMORY);
    }
    store->config = *config;
    (void)pthread_mutex_init(&store->subscribers_lock, NULL);
    sm_err err = config->dir == NULL ? sm_store_memory_open(&store->ops, &store->backend)
                                     : sm_store_rocksdb_open(config, &store->ops, &store->backend, diag);
    if (!sm_ok(err)) {
        sm_free(store);
        return err;
    }
    err = check_schema(store, diag);
    if (!sm_ok(err)) {
        store->ops->close(store->backend);
        sm_free(store);
        return err;
    }
    /* A thread that cannot be started at start-up leaves nothing to clean: the program ends. */
    SM_TRY(start_lanes(store));
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
    sm_store_commit_stop(store);
    sm_store_indexer_stop(store);
    for (size_t i = 0; i < READ_LANES; i++) {
        sm_worker_stop(&store->readers[i]);
    }
    store->ops->close(store->backend);
    (void)pthread_mutex_destroy(&store->subscribers_lock);
    sm_free(store);
}

sm_err sm_store_submit_write(sm_store *store, sm_store_write *op)
{
    if (atomic_load(&store->closing)) {
        return SM_ERR(DRAINING);
    }
    if (atomic_fetch_add(&store->commit.waiting, 1) >= SM_STORE_QUEUE_MAX) {
        atomic_fetch_sub(&store->commit.waiting, 1);
        return SM_ERR(QUEUE_FULL);
    }
    sm_store_commit_submit(store, op);
    return SM_NO_ERR;
}

sm_err sm_store_try_get(sm_store *store, enum sm_store_family family, sm_slice key, sm_buf *out)
{
    return store->ops->try_get(store->backend, family, key, out);
}

sm_err sm_store_get_sync(sm_store *store, enum sm_store_family family, sm_slice key, sm_buf *out)
{
    return store->ops->get(store->backend, family, key, out);
}

/* A mailbox for one message: the caller sleeps until it is there. */
struct waiter {
    sm_mailbox box;
    pthread_mutex_t lock; /* covers `woken` */
    pthread_cond_t cond;
    bool woken;
};

static void wake_waiter(void *ctx)
{
    struct waiter *w = ctx;
    (void)pthread_mutex_lock(&w->lock);
    w->woken = true;
    (void)pthread_cond_signal(&w->cond);
    (void)pthread_mutex_unlock(&w->lock);
}

static void on_sync_done(sm_store_write *op)
{
    (void)op; /* the waiter only needs to wake */
}

sm_err sm_store_write_sync(sm_store *store, sm_store_write *op)
{
    struct waiter w = {.lock = PTHREAD_MUTEX_INITIALIZER, .cond = PTHREAD_COND_INITIALIZER};
    sm_mailbox_init(&w.box, wake_waiter, &w);
    op->home = &w.box;
    op->done = on_sync_done;
    SM_TRY(sm_store_submit_write(store, op));
    (void)pthread_mutex_lock(&w.lock);
    while (!w.woken) {
        (void)pthread_cond_wait(&w.cond, &w.lock);
    }
    (void)pthread_mutex_unlock(&w.lock);
    (void)sm_mailbox_drain(&w.box);
    return op->err;
}

sm_err sm_store_scan_sync(sm_store *store, enum sm_store_family family, sm_slice from, sm_slice to,
                          bool (*row)(void *ctx, sm_slice key, sm_slice value), void *ctx)
{
    return store->ops->scan(store->backend, family, from, to, false, row, ctx);
}

uint64_t sm_store_last_sequence(const sm_store *store)
{
    return atomic_load(&store->last_sequence);
}

static void on_advance(sm_msg *msg)
{
    sm_store_subscription *sub = SM_CONTAINER_OF(msg, sm_store_subscription, msg);
    atomic_store(&sub->posted, false);
    if (!sub->closing) {
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
    sub->closing = false;
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
    sub->closing = true;
    (void)pthread_mutex_unlock(&store->subscribers_lock);
}

sm_err sm_store_backup(sm_store *store, const char *dir, sm_diag *diag)
{
    return store->ops->backup(store->backend, dir, diag);
}

sm_err sm_store_rebuild_index(sm_store *store)
{
    SM_TRY(store->ops->clear(store->backend, SM_FAMILY_INDEX));
    atomic_store(&store->indexer.done_sequence, 0);
    sm_store_indexer_wake(store);
    return SM_NO_ERR;
}
