/* SPDX-License-Identifier: Apache-2.0 */
/* The forms that do not complete by message: reads from memory, and those that block their caller.
 */
#include "store/store_p.h"

sm_err sm_store_try_get(sm_store *store, enum sm_store_family family, sm_slice key, sm_buf *out)
{
    return store->ops->try_get(store->backend, family, key, out);
}

sm_err sm_store_get_sync(sm_store *store, enum sm_store_family family, sm_slice key, sm_buf *out)
{
    return store->ops->get(store->backend, family, key, out);
}

sm_err sm_store_scan_sync(sm_store *store, enum sm_store_family family, sm_slice from, sm_slice to,
                          bool (*row)(void *ctx, sm_slice key, sm_slice value), void *ctx)
{
    struct store_range range = sm_store_visible(family, (struct store_range){from, to, false});
    return store->ops->scan(store->backend, family, &range, row, ctx);
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
    (void)pthread_mutex_unlock(&w->lock); /* the waiter may end from here on */
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
    (void)pthread_cond_destroy(&w.cond);
    (void)pthread_mutex_destroy(&w.lock);
    return op->err;
}

sm_err sm_store_write_table(sm_store *store, sm_store_write *op)
{
    if (store->ops->table_make == NULL) {
        return SM_ERR(UNSUPPORTED);
    }
    SM_TRY(store->ops->table_make(store->backend, op->puts, op->put_count, &op->table));
    sm_err err = sm_store_write_sync(store, op);
    store->ops->table_free(store->backend, op->table);
    op->table = NULL;
    return err;
}
