/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Threads are created here and nowhere else.
 *
 * sm_worker is a named thread with a mailbox of its own: it sleeps on a futex until a message is
 * posted, then drains. It is the shape of every helper thread: the store's commit lane, the
 * slow-key pool, one per PKCS#11 session.
 *
 * Threads:   start and stop from one controlling thread; post from any.
 * Limits:    none here.
 * Security:  all signals are blocked in the new thread; the main thread handles them.
 * Standards: none.
 */
#pragma once

#include "base/err.h"
#include "base/mailbox.h"

#include <pthread.h>

typedef struct sm_thread {
    pthread_t id;
    void (*main)(void *ctx);
    void *ctx;
    char name[16]; /* as top shows it: at most 15 characters */
} sm_thread;

/* Starts `main(ctx)` on a thread named `name`. `thread` is pinned until joined. Errors: OS. */
SM_FALLIBLE sm_thread_start(sm_thread *thread, const char *name, void (*main)(void *), void *ctx);

/* Waits for its end. */
void sm_thread_join(sm_thread *thread);
/* Nobody will wait for its end, nor can end it: `thread` is pinned until `main` is about to return, and may be freed
 * by it. For calls into foreign code that do not come back. */
void sm_thread_leave(sm_thread *thread);

/* Gives the calling thread low scheduling priority (nice 10), for work that may lag. Best effort.
 */
void sm_thread_lower_priority(void);

/* Makes the calling thread one that runs as soon as it can and briefly: it waits for a device, and passes on what
 * comes. A worker is none of these until it says so: see sm_worker. Best effort. */
void sm_thread_run_promptly(void);
/* CPUs this process may run on, at least 1. */
unsigned sm_thread_cpu_count(void);

typedef struct sm_worker {
    sm_mailbox box;
    sm_thread thread;
    _Atomic uint32_t futex; /* awake, posted or asleep: see thread.c */
    _Atomic bool stopping;
    /* After each drain, on the worker's thread; may be NULL. For work that follows a batch of
     * messages. */
    void (*on_drained)(void *ctx);
    void *ctx;
} sm_worker;

/* Starts the worker's thread. Errors: OS. `worker` is pinned until sm_worker_stop returns. */
SM_FALLIBLE sm_worker_start(sm_worker *worker, const char *name, void (*on_drained)(void *),
                            void *ctx);

static inline void sm_worker_post(sm_worker *worker, sm_msg *msg)
{
    sm_mailbox_post(&worker->box, msg);
}

/* Runs what was posted before, then ends and joins the thread. */
void sm_worker_stop(sm_worker *worker);
