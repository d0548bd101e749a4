/* SPDX-License-Identifier: Apache-2.0 */
#include "api/indexer.h"

#include <pthread.h>

/* A scan that waits for the index, with a mailbox that wakes this thread. */
struct waiter {
    sm_mailbox box;
    pthread_mutex_t lock; /* covers `woken` */
    pthread_cond_t cond;
    bool woken;
    bool done;
};

static void wake(void *ctx)
{
    struct waiter *w = ctx;
    (void)pthread_mutex_lock(&w->lock);
    w->woken = true;
    (void)pthread_cond_signal(&w->cond);
    (void)pthread_mutex_unlock(&w->lock);
}

struct waiting_scan {
    sm_store_scan scan;
    struct waiter *waiter;
};

static void on_done(sm_store_scan *scan)
{
    SM_CONTAINER_OF(scan, struct waiting_scan, scan)->waiter->done = true;
}

sm_err sm_index_wait(sm_store *store)
{
    struct waiter w = {.lock = PTHREAD_MUTEX_INITIALIZER, .cond = PTHREAD_COND_INITIALIZER};
    struct sm_store_row row;
    sm_mailbox_init(&w.box, wake, &w);
    struct waiting_scan s = {
        .scan = {.home = &w.box,
                 .family = SM_FAMILY_INDEX,
                 .max_rows = 1,
                 .wait_index = true,
                 .done = on_done,
                 .bytes = sm_buf_init(4096),
                 .rows = &row},
        .waiter = &w,
    };
    SM_TRY(sm_store_submit_scan(store, &s.scan));
    while (!w.done) {
        (void)pthread_mutex_lock(&w.lock);
        while (!w.woken) {
            (void)pthread_cond_wait(&w.cond, &w.lock);
        }
        w.woken = false;
        (void)pthread_mutex_unlock(&w.lock);
        (void)sm_mailbox_drain(&w.box);
    }
    sm_buf_deinit(&s.scan.bytes);
    return s.scan.err;
}
