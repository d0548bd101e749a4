/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside io: the ring as the other files of this folder use it.
 *
 * Threads:   the loop's.
 * Limits:    RING_BUFFERS provided buffers of RING_BUFFER_SIZE octets in each loop; RING_SPARE_MAX
 *            output buffers are kept for the next connection that has something to send.
 * Security:  none.
 * Standards: none.
 */
#pragma once

#include "base/buf.h"
#include "io/loop.h"

#include <liburing.h>

#define RING_BUFFERS 128U       /* power of two */
#define RING_BUFFER_SIZE 16384U /* one TLS record */
#define RING_SPARE_MAX 64U
#define RING_SPARE_ROOM 65536U /* larger ones are freed */

/* An operation in flight; its address is the completion's user data. */
typedef struct sm_op {
    void (*on_complete)(struct sm_op *op, int32_t res, uint32_t flags);
} sm_op;

/* What other threads touch; outlives its loop (waker.c). */
struct loop_waker {
    sm_mailbox mailbox;
    _Atomic bool asleep; /* a poster must write to the eventfd */
    _Atomic bool stopping;
    int event_fd;
    struct loop_waker *next; /* of the spare ones */
};

struct sm_loop {
    struct io_uring ring;
    struct sm_loop_features features;
    struct io_uring_buf_ring *buffer_ring; /* NULL: the kernel has none */
    uint8_t *buffers;                      /* of the ring, or one alone */
    uint64_t now_ns;
    sm_list tasks[2];
    sm_timer **heap;
    uint32_t heap_count;
    uint32_t heap_room;
    sm_buf scratch; /* for whoever runs on the loop, within one call */
    sm_buf spare[RING_SPARE_MAX];
    uint32_t spare_count;
    sm_op event_op;
    uint64_t event_value;
    struct loop_waker *waker;
    size_t queued; /* octets of answers that wait in its connections */
};

/* For tests of the slower paths: as sm_loop_new on a kernel that lacks these. */
enum ring_without {
    RING_WITHOUT_DEFER = 1,     /* deferred task work, and the single issuer */
    RING_WITHOUT_MULTISHOT = 2, /* multishot accept and receive */
    RING_WITHOUT_BUFFERS = 4,   /* provided buffer rings */
};
SM_FALLIBLE sm_loop_new_without(unsigned without, sm_loop **out, sm_diag *diag);

/* ---- ring.c ---- */
/* Sets up ring, features and buffers. Errors: as sm_loop_new. */
SM_FALLIBLE sm_ring_init(sm_loop *loop, unsigned without, sm_diag *diag);
void sm_ring_deinit(sm_loop *loop);

/* A free submission entry; submits what waits when the queue is full. Never NULL. */
struct io_uring_sqe *sm_loop_sqe(sm_loop *loop);
void sm_loop_set_op(struct io_uring_sqe *sqe, sm_op *op);

/* The octets of a completed receive with a provided buffer, and giving the buffer back. */
sm_slice sm_loop_buffer(sm_loop *loop, uint32_t flags, int32_t len);
void sm_loop_buffer_return(sm_loop *loop, uint32_t flags);

/* An empty output buffer that may grow to `cap`, with memory if some is spare; and giving it back,
 * so that an idle connection keeps none and a busy one allocates none. */
sm_buf sm_loop_take_spare(sm_loop *loop, size_t cap);
void sm_loop_give_spare(sm_loop *loop, sm_buf *buf);

/* ---- waker.c ---- */
/* NULL without memory or descriptors. */
struct loop_waker *sm_waker_take(void);
void sm_waker_give(struct loop_waker *w);
void sm_waker_wake(void *waker);

/* ---- task.c ---- */
void sm_tasks_run(sm_loop *loop, enum sm_phase phase);

/* ---- timer.c ---- */
/* Timers whose time has come. */
void sm_timers_run(sm_loop *loop);
/* Nanoseconds to the next one; UINT64_MAX: none. */
uint64_t sm_timers_wait_ns(const sm_loop *loop);
