/* SPDX-License-Identifier: Apache-2.0 */
/* Calls that may not come back, made on a thread of their own for somebody who waits only so long. */
#include "base/clock.h"
#include "sign/p11_pool_p.h"

#include <time.h>

static void run(void *ctx)
{
    struct p11_attempt *a = ctx;
    sm_tokens *set = a->set;
    a->run(a);
    sm_sign_thread_deinit();
    (void)pthread_mutex_lock(&set->lock);
    a->done = true;
    bool late = a->left;
    (void)pthread_cond_broadcast(&set->came);
    (void)pthread_mutex_unlock(&set->lock);
    if (!late) {
        return; /* it is the waiting one's again */
    }
    a->late(a);
    (void)pthread_mutex_lock(&set->lock);
    set->attempts--; /* the last that is done with the set */
    (void)pthread_mutex_unlock(&set->lock);
}

sm_err sm_p11_attempt_start(struct p11_attempt *a)
{
    (void)pthread_mutex_lock(&a->set->lock);
    a->set->attempts++;
    (void)pthread_mutex_unlock(&a->set->lock);
    sm_err err = sm_thread_start(&a->thread, "token-call", run, a);
    if (!sm_ok(err)) {
        (void)pthread_mutex_lock(&a->set->lock);
        a->set->attempts--;
        (void)pthread_mutex_unlock(&a->set->lock);
    }
    return err;
}

bool sm_p11_attempt_wait(struct p11_attempt *a, uint64_t until_ns)
{
    sm_tokens *set = a->set;
    const struct timespec until = {.tv_sec = (time_t)(until_ns / SM_NS_PER_S),
                                   .tv_nsec = (long)(until_ns % SM_NS_PER_S)};
    int rc = 0;
    (void)pthread_mutex_lock(&set->lock);
    while (!a->done && rc == 0) {
        rc = pthread_cond_timedwait(&set->came, &set->lock, &until);
    }
    bool done = a->done;
    a->left = !done;
    set->attempts -= done;
    if (!done) {
        sm_thread_leave(&a->thread);
    }
    (void)pthread_mutex_unlock(&set->lock);
    if (done) {
        sm_thread_join(&a->thread);
    }
    return done;
}
