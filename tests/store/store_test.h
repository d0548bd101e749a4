/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the store's tests share: a home (a mailbox that its thread waits on), writes in one line, a
 * reversing index.
 *
 * Threads:   a home belongs to the thread that made it.
 * Limits:    WAIT_S seconds for anything to arrive; then the test fails.
 * Security:  none.
 * Standards: none.
 */
#pragma once

#include "tests/support/support.h"

#include "base/check.h"
#include "base/mem.h"
#include "store/store.h"

#include <pthread.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define WAIT_S 60

struct home {
    sm_mailbox box;
    pthread_mutex_t lock; /* covers `woken` */
    pthread_cond_t cond;
    bool woken;
};

static inline void home_wake(void *ctx)
{
    struct home *h = ctx;
    (void)pthread_mutex_lock(&h->lock);
    h->woken = true;
    (void)pthread_cond_signal(&h->cond);
    (void)pthread_mutex_unlock(&h->lock);
}

static inline void home_init(struct home *h)
{
    *h = (struct home){.lock = PTHREAD_MUTEX_INITIALIZER, .cond = PTHREAD_COND_INITIALIZER};
    sm_mailbox_init(&h->box, home_wake, h);
}

/* Runs messages until `*counter` has reached `n`. */
static inline void home_run(struct home *h, const size_t *counter, size_t n)
{
    struct timespec until;
    (void)clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += WAIT_S;
    (void)sm_mailbox_drain(&h->box);
    while (*counter < n) {
        int rc = 0;
        (void)pthread_mutex_lock(&h->lock);
        while (!h->woken && rc == 0) {
            rc = pthread_cond_timedwait(&h->cond, &h->lock, &until);
        }
        h->woken = false;
        (void)pthread_mutex_unlock(&h->lock);
        SM_CHECK(rc == 0); /* nothing came */
        (void)sm_mailbox_drain(&h->box);
    }
}

static inline struct sm_store_put put_of(enum sm_store_family family, sm_slice key, sm_slice value)
{
    return (struct sm_store_put){SM_PUT, family, key, value};
}

static inline sm_err put_now(sm_store *store, enum sm_store_family family, sm_slice key,
                             sm_slice value)
{
    struct sm_store_put put = put_of(family, key, value);
    sm_store_write op = {.puts = &put, .put_count = 1};
    return sm_store_write_sync(store, &op);
}

static inline sm_err delete_now(sm_store *store, enum sm_store_family family, sm_slice key)
{
    struct sm_store_put put = {SM_DELETE, family, key, SM_SLICE_NONE};
    sm_store_write op = {.puts = &put, .put_count = 1};
    return sm_store_write_sync(store, &op);
}

static inline sm_err log_now(sm_store *store, sm_slice record, uint64_t *sequence)
{
    sm_store_write op = {.log = &record, .log_count = 1};
    sm_err err = sm_store_write_sync(store, &op);
    if (sequence != NULL) {
        *sequence = op.first_sequence;
    }
    return err;
}

/* True when the family's value of `key` is `want`. */
static inline bool has_value(sm_store *store, enum sm_store_family family, sm_slice key,
                             sm_slice want)
{
    sm_buf got = sm_buf_init(1 << 20);
    sm_err err = sm_store_get_sync(store, family, key, &got);
    bool same = sm_ok(err) && sm_slice_equal(sm_buf_slice(&got), want);
    sm_buf_deinit(&got);
    return same;
}

static inline bool is_absent(sm_store *store, enum sm_store_family family, sm_slice key)
{
    sm_buf got = sm_buf_init(1 << 20);
    sm_err err = sm_store_get_sync(store, family, key, &got);
    sm_buf_deinit(&got);
    return sm_err_is(err, SM_E_NOT_FOUND);
}

static inline bool count_row(void *ctx, sm_slice key, sm_slice value)
{
    (void)key;
    (void)value;
    (*(size_t *)ctx)++;
    return true;
}

static inline size_t count_rows(sm_store *store, enum sm_store_family family)
{
    size_t n = 0;
    sm_err err = sm_store_scan_sync(store, family, SM_SLICE_NONE, SM_SLICE_NONE, count_row, &n);
    SM_CHECK(sm_ok(err));
    return n;
}
