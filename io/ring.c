/* SPDX-License-Identifier: Apache-2.0 */
/* The kernel's side of a loop: what it can do, and its buffers. */
#include "base/mem.h"
#include "io/ring_p.h"

#include <errno.h>
#include <sched.h>
#include <stdlib.h>

#define BUFFER_GROUP 0
#define MEMORY_PAGE 4096

/* Completions wait in the kernel when there is no room for them, a time-out comes with the wait
 * itself, and sockets are polled by the kernel: all older than buffer rings. */
#define NEEDED_FEATURES (IORING_FEAT_NODROP | IORING_FEAT_EXT_ARG | IORING_FEAT_FAST_POLL)

/* Newer kernels save work: completions are run by the loop itself, and when it asks for them. */
static int open_ring(sm_loop *loop, unsigned without)
{
    static const unsigned flags[] = {
        IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN, /* 6.1 */
        IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_COOP_TASKRUN |
            IORING_SETUP_TASKRUN_FLAG,                         /* 6.0 */
        IORING_SETUP_COOP_TASKRUN | IORING_SETUP_TASKRUN_FLAG, /* 5.19 */
        0,
    };
    int rc = -ENOSYS;
    for (size_t i = (without & RING_WITHOUT_DEFER) != 0 ? 2 : 0; i < SM_ARRAY_LEN(flags); i++) {
        struct io_uring_params params = {.flags = flags[i] | IORING_SETUP_CQSIZE,
                                         .cq_entries = SM_LOOP_RING_ENTRIES * 4};
        rc = io_uring_queue_init_params(SM_LOOP_RING_ENTRIES, &loop->ring, &params);
        if (rc == 0) {
            loop->features.single_issuer = (flags[i] & IORING_SETUP_SINGLE_ISSUER) != 0;
            loop->features.defer_taskrun = (flags[i] & IORING_SETUP_DEFER_TASKRUN) != 0;
            return 0;
        }
        if (rc != -EINVAL) {
            break; /* not a flag that it does not know */
        }
    }
    return rc;
}

static sm_err refuse(int rc, sm_diag *diag)
{
    const char *why =
        rc == -ENOSYS ? "this kernel has no io_uring (Linux 5.19 or newer is needed)"
        : rc == -EPERM || rc == -EACCES
            ? "io_uring is forbidden here: see the sysctl kernel.io_uring_disabled, or the "
              "container's seccomp profile"
        : rc == -ENOMEM ? "io_uring cannot be set up: locked memory is short (ulimit -l)"
        : rc == -EMFILE || rc == -ENFILE
            ? "io_uring cannot be set up: no file descriptor is left (ulimit -n)"
            : "this kernel's io_uring is too old (Linux 5.19 or newer is needed)";
    return sm_diag_set(diag, SM_ERR(UNAVAILABLE), "io_uring", "%s", why);
}

static struct io_uring_buf_ring *make_buffer_ring(sm_loop *loop)
{
    void *memory = NULL;
    if (posix_memalign(&memory, MEMORY_PAGE, RING_BUFFERS * sizeof(struct io_uring_buf)) != 0) {
        return NULL;
    }
    struct io_uring_buf_reg reg = {
        .ring_addr = (uintptr_t)memory, .ring_entries = RING_BUFFERS, .bgid = BUFFER_GROUP};
    if (io_uring_register_buf_ring(&loop->ring, &reg, 0) != 0) {
        free(memory);
        return NULL;
    }
    struct io_uring_buf_ring *ring = memory;
    io_uring_buf_ring_init(ring);
    for (unsigned i = 0; i < RING_BUFFERS; i++) {
        io_uring_buf_ring_add(ring, loop->buffers + (size_t)i * RING_BUFFER_SIZE, RING_BUFFER_SIZE,
                              (unsigned short)i, io_uring_buf_ring_mask(RING_BUFFERS), (int)i);
    }
    io_uring_buf_ring_advance(ring, (int)RING_BUFFERS);
    return ring;
}

/* Without buffer rings one buffer serves every connection, read after the kernel says "readable".
 */
static bool init_buffers(sm_loop *loop, unsigned without)
{
    if ((without & RING_WITHOUT_BUFFERS) == 0) {
        loop->buffers = sm_malloc((size_t)RING_BUFFERS * RING_BUFFER_SIZE);
        loop->buffer_ring = loop->buffers == NULL ? NULL : make_buffer_ring(loop);
        if (loop->buffer_ring != NULL) {
            loop->features.provided_buffers = true;
            return true;
        }
        sm_free(loop->buffers);
    }
    loop->buffers = sm_malloc(RING_BUFFER_SIZE);
    return loop->buffers != NULL;
}

static void probe(sm_loop *loop, unsigned without)
{
    bool multishot = (without & RING_WITHOUT_MULTISHOT) == 0;
    /* Buffer rings and multishot accept came together (5.19), multishot receive with the single
     * issuer (6.0). A kernel that has one without the other says EINVAL to the first operation;
     * that switches the feature off (on_accepted, on_received). */
    loop->features.multishot_accept = multishot && loop->features.provided_buffers;
    loop->features.multishot_recv = multishot && loop->features.provided_buffers &&
                                    loop->features.single_issuer;
    struct io_uring_probe *known = io_uring_get_probe_ring(&loop->ring);
    if (known != NULL) {
        loop->features.msg_ring = io_uring_opcode_supported(known, IORING_OP_MSG_RING) != 0;
        io_uring_free_probe(known);
    }
}

sm_err sm_ring_init(sm_loop *loop, unsigned without, sm_diag *diag)
{
    int rc = open_ring(loop, without);
    if (rc != 0) {
        return refuse(rc, diag);
    }
    if ((loop->ring.features & NEEDED_FEATURES) != NEEDED_FEATURES) {
        io_uring_queue_exit(&loop->ring);
        return refuse(-EINVAL, diag);
    }
    if (!init_buffers(loop, without)) {
        io_uring_queue_exit(&loop->ring);
        return SM_ERR(NO_MEMORY);
    }
    probe(loop, without);
    (void)io_uring_register_ring_fd(&loop->ring); /* 5.18: one look-up less in each call */
    return SM_NO_ERR;
}

void sm_ring_deinit(sm_loop *loop)
{
    io_uring_queue_exit(&loop->ring);
    free(loop->buffer_ring);
    sm_free(loop->buffers);
    while (loop->spare_count > 0) {
        sm_buf_deinit(&loop->spare[--loop->spare_count]);
    }
}

struct io_uring_sqe *sm_loop_sqe(sm_loop *loop)
{
    struct io_uring_sqe *sqe = io_uring_get_sqe(&loop->ring);
    while (sqe == NULL) {
        if (io_uring_submit(&loop->ring) <= 0) {
            (void)sched_yield(); /* the kernel is short of memory for a moment */
        }
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
    io_uring_buf_ring_add(loop->buffer_ring, loop->buffers + (size_t)id * RING_BUFFER_SIZE,
                          RING_BUFFER_SIZE, (unsigned short)id,
                          io_uring_buf_ring_mask(RING_BUFFERS), 0);
    io_uring_buf_ring_advance(loop->buffer_ring, 1);
}

sm_buf sm_loop_take_spare(sm_loop *loop, size_t cap)
{
    if (loop->spare_count == 0) {
        return sm_buf_init(cap);
    }
    sm_buf buf = loop->spare[--loop->spare_count];
    buf.cap = cap;
    return buf;
}

void sm_loop_give_spare(sm_loop *loop, sm_buf *buf)
{
    size_t cap = buf->cap;
    if (buf->room == 0 || buf->room > RING_SPARE_ROOM || loop->spare_count == RING_SPARE_MAX) {
        sm_buf_deinit(buf);
        return;
    }
    sm_buf_reset(buf);
    loop->spare[loop->spare_count++] = *buf;
    *buf = sm_buf_init(cap);
}
