/* SPDX-License-Identifier: Apache-2.0 */
#include "io/loop.h"

#include "base/clock.h"
#include "base/mem.h"
#include "io/exchange_p.h"
#include "io/metrics_p.h"
#include "io/ring_p.h"

#include <errno.h>

#define SCRATCH_MAX (1U << 20)
#define COMPLETIONS_PER_TURN 512U /* bounds a turn: timers and tasks must come round */
#define COMPLETION_BATCH 64U

/* ---- waking ---- */

static void arm_event(sm_loop *loop)
{
    struct io_uring_sqe *sqe = sm_loop_sqe(loop);
    io_uring_prep_read(sqe, loop->waker->event_fd, &loop->event_value, sizeof(loop->event_value),
                       0);
    sm_loop_set_op(sqe, &loop->event_op);
}

static void on_event(sm_op *op, int32_t res, uint32_t flags)
{
    sm_loop *loop = SM_CONTAINER_OF(op, sm_loop, event_op);
    (void)flags;
    if (res != -ECANCELED) {
        arm_event(loop);
    }
}

/* ---- life ---- */

sm_err sm_loop_new_without(unsigned without, sm_loop **out, sm_diag *diag)
{
    sm_loop *loop = sm_calloc(1, sizeof(*loop));
    if (loop == NULL) {
        return SM_ERR(NO_MEMORY);
    }
    loop->waker = sm_waker_take();
    sm_err err = loop->waker == NULL ? sm_diag_set(diag, SM_ERR(OS), "eventfd",
                                                   "no memory, or no file descriptor is left")
                                     : sm_ring_init(loop, without, diag);
    if (!sm_ok(err)) {
        if (loop->waker != NULL) {
            sm_waker_give(loop->waker);
        }
        sm_free(loop);
        return err;
    }
    sm_io_metrics_init();
    loop->scratch = sm_buf_init(SCRATCH_MAX);
    loop->now_ns = sm_clock_mono_ns();
    loop->event_op.on_complete = on_event;
    sm_list_init(&loop->tasks[SM_PHASE_WORK]);
    sm_list_init(&loop->tasks[SM_PHASE_FLUSH]);
    arm_event(loop);
    *out = loop;
    return SM_NO_ERR;
}

sm_err sm_loop_new(sm_loop **out, sm_diag *diag)
{
    return sm_loop_new_without(0, out, diag);
}

void sm_loop_free(sm_loop **out)
{
    sm_loop *loop = *out;
    if (loop == NULL) {
        return;
    }
    *out = NULL;
    sm_exchange_pool_drain();
    sm_ring_deinit(loop);
    sm_free(loop->heap);
    sm_buf_deinit(&loop->scratch);
    sm_waker_give(loop->waker);
    sm_free(loop);
}

const struct sm_loop_features *sm_loop_get_features(const sm_loop *loop)
{
    return &loop->features;
}

uint64_t sm_loop_now_ns(const sm_loop *loop)
{
    return loop->now_ns;
}

sm_mailbox *sm_loop_mailbox(sm_loop *loop)
{
    return &loop->waker->mailbox;
}

/* ---- one turn ---- */

static bool has_work(const sm_loop *loop)
{
    return !sm_list_empty(&loop->tasks[SM_PHASE_WORK]) ||
           !sm_list_empty(&loop->tasks[SM_PHASE_FLUSH]);
}

/* Submits what the last turn prepared and takes what has completed. */
static void poll_completions(sm_loop *loop)
{
    (void)io_uring_submit_and_get_events(&loop->ring);
}

/* The same, and sleeps until there is something: one system call. */
static void wait_for_completions(sm_loop *loop, uint64_t wait_ns, bool until_stopped)
{
    atomic_store(&loop->waker->asleep, true);
    if (sm_mailbox_is_empty(&loop->waker->mailbox) &&
        !(until_stopped && atomic_load(&loop->waker->stopping))) {
        struct __kernel_timespec ts = {.tv_sec = (int64_t)(wait_ns / SM_NS_PER_S),
                                       .tv_nsec = (int64_t)(wait_ns % SM_NS_PER_S)};
        struct io_uring_cqe *cqe;
        /* An error (EINTR, ETIME, a kernel short of memory) is the next turn's to try again. */
        (void)io_uring_submit_and_wait_timeout(&loop->ring, &cqe, 1,
                                               wait_ns == UINT64_MAX ? NULL : &ts, NULL);
        atomic_store(&loop->waker->asleep, false);
        return;
    }
    atomic_store(&loop->waker->asleep, false);
    poll_completions(loop);
}

/* A batch is copied before it runs: its places in the ring are free again whatever the callbacks
 * do. */
static unsigned handle_batch(sm_loop *loop)
{
    struct {
        sm_op *op;
        int32_t res;
        uint32_t flags;
    } batch[COMPLETION_BATCH];
    struct io_uring_cqe *cqes[COMPLETION_BATCH];
    unsigned count = io_uring_peek_batch_cqe(&loop->ring, cqes, COMPLETION_BATCH);
    for (unsigned i = 0; i < count; i++) {
        batch[i].op = io_uring_cqe_get_data(cqes[i]);
        batch[i].res = cqes[i]->res;
        batch[i].flags = cqes[i]->flags;
    }
    io_uring_cq_advance(&loop->ring, count);
    for (unsigned i = 0; i < count; i++) {
        if (batch[i].op != NULL) {
            batch[i].op->on_complete(batch[i].op, batch[i].res, batch[i].flags);
        }
    }
    return count;
}

static void handle_completions(sm_loop *loop)
{
    unsigned total = 0;
    unsigned count;
    do {
        count = handle_batch(loop);
        total += count;
    } while (count == COMPLETION_BATCH && total < COMPLETIONS_PER_TURN);
}

static void turn(sm_loop *loop, uint64_t wait_ns, bool until_stopped)
{
    uint64_t timers_ns = sm_timers_wait_ns(loop);
    uint64_t sleep_ns = timers_ns < wait_ns ? timers_ns : wait_ns;
    if (sleep_ns == 0 || has_work(loop)) {
        poll_completions(loop);
    } else {
        wait_for_completions(loop, sleep_ns, until_stopped);
    }
    loop->now_ns = sm_clock_mono_ns();
    handle_completions(loop);
    sm_timers_run(loop);
    (void)sm_mailbox_drain(&loop->waker->mailbox);
    sm_tasks_run(loop, SM_PHASE_WORK);
    sm_tasks_run(loop, SM_PHASE_FLUSH);
    sm_metric_inc(sm_io_metrics.turns);
    sm_metric_observe_ns(sm_io_metrics.turn_time, sm_clock_mono_ns() - loop->now_ns);
}

void sm_loop_turn(sm_loop *loop, uint32_t wait_ms)
{
    turn(loop, wait_ms * SM_NS_PER_MS, false);
}

void sm_loop_run(sm_loop *loop)
{
    while (!atomic_load(&loop->waker->stopping)) {
        turn(loop, UINT64_MAX, true);
    }
}

void sm_loop_stop(sm_loop *loop)
{
    struct loop_waker *waker = loop->waker; /* the loop may go once it is told */
    atomic_store(&waker->stopping, true);
    sm_waker_wake(waker);
}
