/* SPDX-License-Identifier: Apache-2.0 */
#include "io/loop.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/metrics.h"
#include "io/ring_p.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define BUFFER_GROUP 0
#define SCRATCH_MAX (1U << 20)
#define COMPLETIONS_PER_TURN 512U /* bounds a turn: timers and tasks must come round */

static sm_metric turns_metric;

/* Newer kernels save work: completions are run by the loop itself when it asks for them. */
static int init_ring(sm_loop *loop)
{
    static const unsigned flags[] = {
        IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_CQSIZE,
        IORING_SETUP_COOP_TASKRUN | IORING_SETUP_CQSIZE,
        IORING_SETUP_CQSIZE,
    };
    int rc = -ENOSYS;
    for (size_t i = 0; i < SM_ARRAY_LEN(flags); i++) {
        struct io_uring_params params = {.flags = flags[i], .cq_entries = SM_LOOP_RING_ENTRIES * 4};
        rc = io_uring_queue_init_params(SM_LOOP_RING_ENTRIES, &loop->ring, &params);
        if (rc == 0) {
            loop->features.single_issuer = i == 0;
            loop->features.defer_taskrun = i == 0;
            return 0;
        }
    }
    return rc;
}

static void init_buffers(sm_loop *loop)
{
    size_t ring_size = RING_BUFFERS * sizeof(struct io_uring_buf);
    void *ring = NULL;
    if (posix_memalign(&ring, 4096, ring_size) != 0) {
        return;
    }
    loop->buffers = sm_malloc((size_t)RING_BUFFERS * RING_BUFFER_SIZE);
    struct io_uring_buf_reg reg = {.ring_addr = (uintptr_t)ring, .ring_entries = RING_BUFFERS, .bgid = BUFFER_GROUP};
    if (loop->buffers == NULL || io_uring_register_buf_ring(&loop->ring, &reg, 0) != 0) {
        free(ring);
        sm_free(loop->buffers);
        loop->buffers = NULL;
        return;
    }
    loop->buffer_ring = ring;
    io_uring_buf_ring_init(loop->buffer_ring);
    for (unsigned i = 0; i < RING_BUFFERS; i++) {
        io_uring_buf_ring_add(loop->buffer_ring, loop->buffers + (size_t)i * RING_BUFFER_SIZE, RING_BUFFER_SIZE,
                              (unsigned short)i, io_uring_buf_ring_mask(RING_BUFFERS), (int)i);
    }
    io_uring_buf_ring_advance(loop->buffer_ring, (int)RING_BUFFERS);
    loop->features.provided_buffers = true;
    /* Multishot accept came with 5.19, as buffer rings did; multishot receive with 6.0, as SINGLE_ISSUER did. */
    loop->features.multishot_accept = true;
    loop->features.multishot_recv = loop->features.single_issuer;
}

struct io_uring_sqe *sm_loop_sqe(sm_loop *loop)
{
    struct io_uring_sqe *sqe = io_uring_get_sqe(&loop->ring);
    while (sqe == NULL) {
        (void)io_uring_submit(&loop->ring);
        sqe = io_uring_get_sqe(&loop->ring);
    }
    return sqe;
}

void sm_loop_set_op(struct io_uring_sqe *sqe, sm_op *op)
{
    io_uring_sqe_set_data(sqe, op);
}

sm_slice sm_loop_buffer(sm_loop *loop, uint32_t flags, int32_t len)
{
    size_t id = flags >> IORING_CQE_BUFFER_SHIFT;
    return sm_slice_of(loop->buffers + id * RING_BUFFER_SIZE, (size_t)len);
}

void sm_loop_buffer_return(sm_loop *loop, uint32_t flags)
{
    unsigned id = flags >> IORING_CQE_BUFFER_SHIFT;
    io_uring_buf_ring_add(loop->buffer_ring, loop->buffers + (size_t)id * RING_BUFFER_SIZE, RING_BUFFER_SIZE,
                          (unsigned short)id, io_uring_buf_ring_mask(RING_BUFFERS), 0);
    io_uring_buf_ring_advance(loop->buffer_ring, 1);
}

/* ---- waking ---- */

static void wake(void *ctx)
{
    sm_loop *loop = ctx;
    if (atomic_load(&loop->asleep)) {
        uint64_t one = 1;
        ssize_t n = write(loop->event_fd, &one, sizeof(one));
        (void)n; /* the counter cannot be full: the loop reads it before it sleeps again */
    }
}

static void arm_event(sm_loop *loop)
{
    struct io_uring_sqe *sqe = sm_loop_sqe(loop);
    io_uring_prep_read(sqe, loop->event_fd, &loop->event_value, sizeof(loop->event_value), 0);
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

static sm_err refuse(int rc, sm_diag *diag)
{
    const char *why = rc == -ENOSYS  ? "this kernel has no io_uring (5.19 or newer is needed)"
                      : rc == -EPERM ? "io_uring is forbidden here: see the sysctl kernel.io_uring_disabled, or the "
                                       "container's seccomp profile"
                                     : "io_uring cannot be set up (RLIMIT_MEMLOCK?)";
    return sm_diag_set(diag, SM_ERR(UNAVAILABLE), "io_uring", "%s", why);
}

sm_err sm_loop_new(sm_loop **out, sm_diag *diag)
{
    sm_loop *loop = sm_calloc(1, sizeof(*loop));
    if (loop == NULL) {
        return SM_ERR(NO_MEMORY);
    }
    loop->event_fd = eventfd(0, EFD_CLOEXEC);
    int rc = loop->event_fd < 0 ? -errno : init_ring(loop);
    if (rc != 0) {
        if (loop->event_fd >= 0) {
            (void)close(loop->event_fd);
        }
        sm_free(loop);
        return refuse(rc, diag);
    }
    init_buffers(loop);
    loop->scratch = sm_buf_init(SCRATCH_MAX);
    loop->now_ns = sm_clock_mono_ns();
    loop->event_op.on_complete = on_event;
    sm_list_init(&loop->tasks[0]);
    sm_list_init(&loop->tasks[1]);
    sm_mailbox_init(&loop->mailbox, wake, loop);
    turns_metric = sm_metric_register(SM_COUNTER, "sealmill_loop_turns_total", "Turns of the event loops", NULL);
    arm_event(loop);
    *out = loop;
    return SM_NO_ERR;
}

void sm_loop_free(sm_loop **out)
{
    sm_loop *loop = *out;
    if (loop == NULL) {
        return;
    }
    *out = NULL;
    io_uring_queue_exit(&loop->ring);
    free(loop->buffer_ring);
    sm_free(loop->buffers);
    sm_free(loop->heap);
    sm_buf_deinit(&loop->scratch);
    (void)close(loop->event_fd);
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
    return &loop->mailbox;
}

/* ---- one turn ---- */

static bool has_work(const sm_loop *loop)
{
    return !sm_list_empty(&loop->tasks[0]) || !sm_list_empty(&loop->tasks[1]) ||
           !sm_mailbox_is_empty(&loop->mailbox) || atomic_load(&loop->stopping);
}

static void wait_for_completions(sm_loop *loop, uint64_t wait_ns)
{
    atomic_store(&loop->asleep, true);
    if (wait_ns == 0 || has_work(loop)) {
        atomic_store(&loop->asleep, false);
        (void)io_uring_submit_and_get_events(&loop->ring);
        return;
    }
    struct __kernel_timespec ts = {.tv_sec = (int64_t)(wait_ns / SM_NS_PER_S), .tv_nsec = (int64_t)(wait_ns % SM_NS_PER_S)};
    struct io_uring_cqe *cqe;
    (void)io_uring_submit_and_wait_timeout(&loop->ring, &cqe, 1, wait_ns == UINT64_MAX ? NULL : &ts, NULL);
    atomic_store(&loop->asleep, false);
}

static void handle_completions(sm_loop *loop)
{
    struct io_uring_cqe *cqe;
    unsigned head;
    unsigned count = 0;
    io_uring_for_each_cqe(&loop->ring, head, cqe)
    {
        sm_op *op = io_uring_cqe_get_data(cqe);
        if (op != NULL) {
            op->on_complete(op, cqe->res, cqe->flags);
        }
        if (++count == COMPLETIONS_PER_TURN) {
            break;
        }
    }
    io_uring_cq_advance(&loop->ring, count);
}

static void run_tasks(sm_loop *loop, enum sm_phase phase)
{
    sm_list now;
    sm_list_init(&now);
    sm_list_splice_back(&now, &loop->tasks[phase]);
    sm_list *node;
    while ((node = sm_list_pop_front(&now)) != NULL) {
        sm_task *task = SM_CONTAINER_OF(node, sm_task, node);
        task->run(task);
    }
}

static void turn(sm_loop *loop, uint64_t wait_ns)
{
    uint64_t timers = sm_timers_wait_ns(loop);
    wait_for_completions(loop, timers < wait_ns ? timers : wait_ns);
    loop->now_ns = sm_clock_mono_ns();
    handle_completions(loop);
    sm_timers_run(loop);
    (void)sm_mailbox_drain(&loop->mailbox);
    run_tasks(loop, SM_PHASE_WORK);
    run_tasks(loop, SM_PHASE_FLUSH);
    sm_metric_inc(turns_metric);
}

void sm_loop_turn(sm_loop *loop, uint32_t wait_ms)
{
    turn(loop, wait_ms * SM_NS_PER_MS);
}

void sm_loop_run(sm_loop *loop)
{
    while (!atomic_load(&loop->stopping)) {
        turn(loop, UINT64_MAX);
    }
}

void sm_loop_stop(sm_loop *loop)
{
    atomic_store(&loop->stopping, true);
    wake(loop);
}

/* ---- tasks ---- */

void sm_task_init(sm_task *task, void (*run)(sm_task *task))
{
    sm_list_init(&task->node);
    task->run = run;
}

void sm_task_schedule(sm_loop *loop, sm_task *task, enum sm_phase phase)
{
    if (sm_list_empty(&task->node)) {
        sm_list_push_back(&loop->tasks[phase], &task->node);
    }
}

void sm_task_cancel(sm_task *task)
{
    sm_list_remove(&task->node);
}
