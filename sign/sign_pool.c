/* SPDX-License-Identifier: Apache-2.0 */
#include "sign/sign_pool.h"

#include "base/mem.h"
#include "base/thread.h"
#include "sign/backend.h"
#include "sign/backend_openssl_p.h"
#include "sign/batch_p.h"

#include <stdio.h>

struct pool_worker {
    sm_worker worker;
    _Atomic uint32_t waiting;
};

struct sm_sign_pool {
    unsigned count;
    struct pool_worker workers[];
};

sm_err sm_sign_pool_new(unsigned threads, sm_sign_pool **out)
{
    unsigned count = threads == 0 ? 1 : threads;
    count = count > SM_SIGN_POOL_MAX ? SM_SIGN_POOL_MAX : count;
    sm_sign_pool *pool = sm_calloc(1, sizeof(*pool) + count * sizeof(struct pool_worker));
    if (pool == NULL) {
        return SM_ERR(NO_MEMORY);
    }
    for (; pool->count < count; pool->count++) {
        char name[16];
        (void)snprintf(name, sizeof(name), "sign-%u", pool->count % 1000U);
        struct pool_worker *w = &pool->workers[pool->count];
        sm_err err = sm_worker_start(&w->worker, name, NULL, NULL);
        if (!sm_ok(err)) {
            sm_sign_pool_free(&pool);
            return err;
        }
    }
    *out = pool;
    return SM_NO_ERR;
}

static void forget(sm_msg *msg)
{
    (void)msg;
    sm_backend_openssl_forget();
}

void sm_sign_pool_free(sm_sign_pool **pool)
{
    if (*pool == NULL) {
        return;
    }
    for (unsigned i = 0; i < (*pool)->count; i++) {
        sm_msg last = {.run = forget};
        sm_worker_post(&(*pool)->workers[i].worker, &last);
        sm_worker_stop(&(*pool)->workers[i].worker);
    }
    sm_free(*pool);
    *pool = NULL;
}

/* On the worker's thread. */
static void run_job(sm_msg *msg)
{
    sm_crypt_job *job = SM_CONTAINER_OF(msg, sm_crypt_job, msg);
    _Atomic uint32_t *waiting = job->waiting;
    if (!job->cancelled) {
        sm_backend_choose(job->op, job->alg, 1)->run(&job, 1);
    }
    atomic_fetch_sub(waiting, 1);
    sm_batcher_return(job);
}

void sm_sign_pool_submit(sm_sign_pool *pool, sm_crypt_job *job)
{
    struct pool_worker *best = &pool->workers[0];
    for (unsigned i = 1; i < pool->count; i++) {
        if (atomic_load(&pool->workers[i].waiting) < atomic_load(&best->waiting)) {
            best = &pool->workers[i];
        }
    }
    atomic_fetch_add(&best->waiting, 1);
    job->waiting = &best->waiting;
    job->msg.run = run_job;
    sm_worker_post(&best->worker, &job->msg);
}
