/* SPDX-License-Identifier: Apache-2.0 */
#include "base/thread.h"

#include <linux/futex.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

static void *thread_main(void *arg)
{
    sm_thread *thread = arg;
    (void)pthread_setname_np(pthread_self(), thread->name);
    thread->main(thread->ctx);
    return NULL;
}

sm_err sm_thread_start(sm_thread *thread, const char *name, void (*main_fn)(void *), void *ctx)
{
    thread->main = main_fn;
    thread->ctx = ctx;
    (void)snprintf(thread->name, sizeof(thread->name), "%s", name);
    sigset_t all;
    sigset_t before;
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    int rc = pthread_create(&thread->id, NULL, thread_main, thread);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    return rc == 0 ? SM_NO_ERR : SM_ERR(OS);
}

void sm_thread_join(sm_thread *thread)
{
    SM_CHECK(pthread_join(thread->id, NULL) == 0);
}

void sm_thread_leave(sm_thread *thread)
{
    SM_CHECK(pthread_detach(thread->id) == 0);
}

void sm_thread_lower_priority(void)
{
    /* Linux: the nice value belongs to the thread. Failing is harmless. */
    (void)setpriority(PRIO_PROCESS, (id_t)syscall(SYS_gettid), 10);
}

/* struct sched_attr of <linux/sched/types.h>, whose sched_param is glibc's too. */
struct slice_attr {
    uint32_t size;
    uint32_t policy;
    uint64_t flags;
    int32_t nice;
    uint32_t priority;
    uint64_t runtime_ns; /* a short slice is an early deadline (Linux 6.12 and later) */
    uint64_t deadline_ns;
    uint64_t period_ns;
};
#define PROMPT_SLICE_NS 100000 /* the shortest that Linux takes */

void sm_thread_run_promptly(void)
{
    const struct sched_param param = {.sched_priority = 0};
    struct slice_attr attr = {
        .size = sizeof(attr), .policy = SCHED_OTHER, .runtime_ns = PROMPT_SLICE_NS};
    if (syscall(SYS_sched_setattr, 0, &attr, 0) != 0) {
        (void)sched_setscheduler(0, SCHED_OTHER, &param);
    }
}

unsigned sm_thread_cpu_count(void)
{
    cpu_set_t set;
    /* A machine of more than 1024 CPUs does not fit the set: count what is online. */
    long n = sched_getaffinity(0, sizeof(set), &set) == 0 ? CPU_COUNT(&set)
                                                          : sysconf(_SC_NPROCESSORS_ONLN);
    return n < 1 ? 1U : (unsigned)n;
}

static void futex(_Atomic uint32_t *word, int op, uint32_t value)
{
    (void)syscall(SYS_futex, word, op | FUTEX_PRIVATE_FLAG, value, NULL, NULL, 0);
}

/* The futex's states. Only a worker that sleeps costs its poster a system call. */
#define WORKER_AWAKE 0U
#define WORKER_POSTED 1U /* awake or about to be: it will look into the box again */
#define WORKER_ASLEEP 2U

static void worker_wake(void *ctx)
{
    sm_worker *worker = ctx;
    if (atomic_exchange(&worker->futex, WORKER_POSTED) == WORKER_ASLEEP) {
        futex(&worker->futex, FUTEX_WAKE, 1);
    }
}

static void worker_wait(sm_worker *worker)
{
    while (atomic_exchange(&worker->futex, WORKER_AWAKE) != WORKER_POSTED) {
        uint32_t awake = WORKER_AWAKE;
        if (atomic_compare_exchange_strong(&worker->futex, &awake, WORKER_ASLEEP)) {
            futex(&worker->futex, FUTEX_WAIT, WORKER_ASLEEP);
        }
    }
}

/* A batch thread does not preempt who woke it: where a loop and its helpers share a core, the
 * loop finishes its turn, and a whole turn's work waits for the helper instead of one message. */
static void become_batch(void)
{
    const struct sched_param param = {.sched_priority = 0};
    (void)sched_setscheduler(0, SCHED_BATCH, &param);
}

static void worker_main(void *ctx)
{
    sm_worker *worker = ctx;
    become_batch();
    for (;;) {
        worker_wait(worker);
        bool last = atomic_load(&worker->stopping);
        (void)sm_mailbox_drain(&worker->box);
        if (worker->on_drained != NULL) {
            worker->on_drained(worker->ctx);
        }
        if (last && sm_mailbox_is_empty(&worker->box)) {
            return;
        }
        if (last) {
            worker_wake(worker); /* a message posted another: look once more */
        }
    }
}

sm_err sm_worker_start(sm_worker *worker, const char *name, void (*on_drained)(void *), void *ctx)
{
    sm_mailbox_init(&worker->box, worker_wake, worker);
    atomic_init(&worker->futex, WORKER_AWAKE);
    atomic_init(&worker->stopping, false);
    worker->on_drained = on_drained;
    worker->ctx = ctx;
    return sm_thread_start(&worker->thread, name, worker_main, worker);
}

void sm_worker_stop(sm_worker *worker)
{
    atomic_store(&worker->stopping, true);
    worker_wake(worker);
    sm_thread_join(&worker->thread);
}
