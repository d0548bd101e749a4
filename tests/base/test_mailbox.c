/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/support/support.h"

#include <sched.h>
#include <stdlib.h>

#include "base/mailbox.h"
#include "base/thread.h"

struct job {
    sm_msg msg;
    uint32_t producer;
    uint32_t number;
    sm_mailbox *again; /* posted there once more when it runs */
};

static uint32_t order[16];
static size_t ran;
static unsigned woken;

static void wake(void *ctx)
{
    (void)ctx;
    woken++;
}

static void run(sm_msg *msg)
{
    struct job *job = SM_CONTAINER_OF(msg, struct job, msg);
    sm_mailbox *again = job->again;
    order[ran++] = job->number;
    job->again = NULL;
    if (again != NULL) {
        sm_mailbox_post(again, &job->msg);
    }
}

static int setup(void **state)
{
    (void)state;
    ran = 0;
    woken = 0;
    return 0;
}

static void mailbox__runs_the_oldest_first_and_wakes_once(void **state)
{
    (void)state;
    sm_mailbox box;
    struct job jobs[3] = {{{0}, 0, 0, NULL}, {{0}, 0, 1, NULL}, {{0}, 0, 2, NULL}};
    sm_mailbox_init(&box, wake, NULL);
    assert_true(sm_mailbox_is_empty(&box));
    assert_int_equal(sm_mailbox_drain(&box), 0);
    for (size_t i = 0; i < 3; i++) {
        jobs[i].msg.run = run;
        sm_mailbox_post(&box, &jobs[i].msg);
    }
    assert_int_equal(woken, 1);
    assert_false(sm_mailbox_is_empty(&box));
    assert_int_equal(ran, 0); /* never inside post */
    assert_int_equal(sm_mailbox_drain(&box), 3);
    for (uint32_t i = 0; i < 3; i++) {
        assert_int_equal(order[i], i);
    }
    assert_true(sm_mailbox_is_empty(&box));
}

static void mailbox__what_is_posted_while_draining_waits(void **state)
{
    (void)state;
    sm_mailbox box;
    struct job job = {{NULL, run}, 0, 7, &box};
    sm_mailbox_init(&box, wake, NULL);
    sm_mailbox_post(&box, &job.msg);
    assert_int_equal(sm_mailbox_drain(&box), 1);
    assert_int_equal(ran, 1);
    assert_int_equal(woken, 2);
    assert_int_equal(sm_mailbox_drain(&box), 1);
    assert_int_equal(ran, 2);
    assert_int_equal(sm_mailbox_drain(&box), 0);
}

static void run_and_free(sm_msg *msg)
{
    ran++;
    free(SM_CONTAINER_OF(msg, struct job, msg));
}

static void mailbox__a_message_may_free_itself(void **state)
{
    (void)state;
    sm_mailbox box;
    sm_mailbox_init(&box, wake, NULL);
    for (size_t i = 0; i < 3; i++) {
        struct job *job = calloc(1, sizeof(*job));
        assert_non_null(job);
        job->msg.run = run_and_free;
        sm_mailbox_post(&box, &job->msg);
    }
    assert_int_equal(sm_mailbox_drain(&box), 3);
    assert_int_equal(ran, 3);
}

#define PRODUCERS 4
#define JOBS_EACH 20000

static struct job jobs_of[PRODUCERS][JOBS_EACH];
static uint32_t
    next_of[PRODUCERS]; /* touched by the worker's thread alone: no atomics, on purpose */
static size_t worker_ran;
static size_t worker_drains;
static bool out_of_order;
static sm_worker worker;

static void run_on_worker(sm_msg *msg)
{
    struct job *job = SM_CONTAINER_OF(msg, struct job, msg);
    out_of_order = out_of_order || job->number != next_of[job->producer]++;
    worker_ran++;
}

static void on_drained(void *ctx)
{
    (*(size_t *)ctx)++;
}

static void produce(void *ctx)
{
    struct job *jobs = ctx;
    uint32_t producer = (uint32_t)((struct job(*)[JOBS_EACH])ctx - jobs_of);
    for (uint32_t i = 0; i < JOBS_EACH; i++) {
        jobs[i] = (struct job){{NULL, run_on_worker}, producer, i, NULL};
        sm_worker_post(&worker, &jobs[i].msg);
        if (i % 64 == 0) {
            (void)sched_yield(); /* lets the worker fall asleep and be woken, again and again */
        }
    }
}

static void worker__runs_every_message_of_every_producer_once_in_order(void **state)
{
    (void)state;
    sm_thread producers[PRODUCERS];
    assert_sm_ok(sm_worker_start(&worker, "test-worker", on_drained, &worker_drains));
    for (size_t i = 0; i < PRODUCERS; i++) {
        assert_sm_ok(sm_thread_start(&producers[i], "producer", produce, jobs_of[i]));
    }
    for (size_t i = 0; i < PRODUCERS; i++) {
        sm_thread_join(&producers[i]);
    }
    sm_worker_stop(&worker);
    assert_int_equal(worker_ran, (size_t)PRODUCERS * JOBS_EACH);
    assert_false(out_of_order);
    assert_in_range(worker_drains, 1, worker_ran + 1);
}

static void worker__stop_runs_what_was_posted_before(void **state)
{
    (void)state;
    for (int round = 0; round < 200; round++) {
        static struct job jobs[10];
        worker_ran = 0;
        next_of[0] = 0;
        out_of_order = false;
        assert_sm_ok(sm_worker_start(&worker, "stopping", NULL, NULL));
        for (uint32_t i = 0; i < 10; i++) {
            jobs[i] = (struct job){{NULL, run_on_worker}, 0, i, NULL};
            sm_worker_post(&worker, &jobs[i].msg);
        }
        sm_worker_stop(&worker);
        assert_int_equal(worker_ran, 10);
        assert_false(out_of_order);
    }
}

static void run_chain(sm_msg *msg)
{
    struct job *job = SM_CONTAINER_OF(msg, struct job, msg);
    worker_ran++;
    if (job->number-- > 0) {
        sm_worker_post(&worker, msg);
    }
}

static void worker__stop_runs_what_its_messages_post(void **state)
{
    (void)state;
    struct job job = {{NULL, run_chain}, 0, 100, NULL};
    worker_ran = 0;
    assert_sm_ok(sm_worker_start(&worker, "chain", NULL, NULL));
    sm_worker_post(&worker, &job.msg);
    sm_worker_stop(&worker);
    assert_int_equal(worker_ran, 101);
}

static _Atomic uint32_t ponged;

static void run_pong(sm_msg *msg)
{
    (void)msg;
    atomic_fetch_add(&ponged, 1);
}

/* One message at a time to a worker that sleeps in between: each must wake it. */
static void worker__is_woken_from_sleep_each_time(void **state)
{
    (void)state;
    sm_msg msg = {NULL, run_pong};
    atomic_store(&ponged, 0);
    assert_sm_ok(sm_worker_start(&worker, "pong", NULL, NULL));
    for (uint32_t i = 0; i < 5000; i++) {
        sm_worker_post(&worker, &msg);
        while (atomic_load(&ponged) != i + 1) {
            (void)sched_yield();
        }
    }
    sm_worker_stop(&worker);
    assert_int_equal(atomic_load(&ponged), 5000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(mailbox__runs_the_oldest_first_and_wakes_once, setup),
        cmocka_unit_test_setup(mailbox__what_is_posted_while_draining_waits, setup),
        cmocka_unit_test_setup(mailbox__a_message_may_free_itself, setup),
        cmocka_unit_test(worker__runs_every_message_of_every_producer_once_in_order),
        cmocka_unit_test(worker__stop_runs_what_was_posted_before),
        cmocka_unit_test(worker__stop_runs_what_its_messages_post),
        cmocka_unit_test(worker__is_woken_from_sleep_each_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
