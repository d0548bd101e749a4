/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside io: the ring as the other files of this folder use it.
 *
 * Threads:   the loop's.
 * Limits:    RING_BUFFERS provided buffers of RING_BUFFER_SIZE octets in each loop.
 * Security:  none.
 * Standards: none.
 */
#pragma once

#include "base/buf.h"
#include "io/loop.h"

#include <liburing.h>

#define RING_BUFFERS 256U       /* power of two */
#define RING_BUFFER_SIZE 16384U /* one TLS record */

/* An operation in flight; its address is the completion's user data. */
typedef struct sm_op {
    void (*on_complete)(struct sm_op *op, int32_t res, uint32_t flags);
} sm_op;

struct sm_loop {
    struct io_uring ring;
    struct sm_loop_features features;
    struct io_uring_buf_ring *buffer_ring; /* NULL: the kernel has none */
    uint8_t *buffers;
    uint64_t now_ns;
    sm_mailbox mailbox;
    _Atomic bool asleep; /* a poster must write to the eventfd */
    _Atomic bool stopping;
    int event_fd;
    sm_op event_op;
    uint64_t event_value;
    sm_list tasks[2];
    sm_timer **heap;
    uint32_t heap_count;
    uint32_t heap_room;
    sm_buf scratch; /* for whoever runs on the loop, within one call */
};

/* A free submission entry; submits what waits when the queue is full. Never NULL. */
struct io_uring_sqe *sm_loop_sqe(sm_loop *loop);
void sm_loop_set_op(struct io_uring_sqe *sqe, sm_op *op);

/* The octets of a completed receive with a provided buffer, and giving the buffer back. */
sm_slice sm_loop_buffer(sm_loop *loop, uint32_t flags, int32_t len);
void sm_loop_buffer_return(sm_loop *loop, uint32_t flags);

/* Timers whose time has come. */
void sm_timers_run(sm_loop *loop);
/* Nanoseconds to the next one; UINT64_MAX: none. */
uint64_t sm_timers_wait_ns(const sm_loop *loop);
