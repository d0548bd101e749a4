/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The event loop: one io_uring ring, one thread, nothing shared.
 *
 * One turn of the loop: wait for completions (or a timer, or the mailbox) - handle them - timers -
 * mailbox - tasks of SM_PHASE_WORK (the signing batch) - tasks of SM_PHASE_FLUSH (connections send
 * what the turn produced, in one submission). A task that re-arms itself during its phase runs in
 * the next turn, which then does not sleep.
 *
 * Threads:   everything from the loop's own thread, but sm_loop_mailbox/sm_mailbox_post and
 * sm_loop_stop: any. Limits:    SM_LOOP_RING_ENTRIES submissions a turn (more are submitted in
 * between). Security:  none. Standards: none.
 */
#pragma once

#include "base/diag.h"
#include "base/err.h"
#include "base/list.h"
#include "base/mailbox.h"

#define SM_LOOP_RING_ENTRIES 1024

typedef struct sm_loop sm_loop;

/* What the kernel offers, found once at start: a slower path replaces each missing feature. */
struct sm_loop_features {
    bool single_issuer;
    bool defer_taskrun;
    bool multishot_accept;
    bool multishot_recv;
    bool provided_buffers;
    bool msg_ring;
};

/* Makes a loop on the calling thread (a ring with a single issuer belongs to the thread that makes
 * it). Errors: UNAVAILABLE when the kernel has no io_uring or forbids it (diag says which and what
 * to do), NO_MEMORY, OS. Given. */
SM_FALLIBLE sm_loop_new(sm_loop **out, sm_diag *diag);
void sm_loop_free(sm_loop **loop);

/* Runs until sm_loop_stop. */
void sm_loop_run(sm_loop *loop);
/* One turn; waits at most `wait_ms` (0: only polls). For tests and for clients. */
void sm_loop_turn(sm_loop *loop, uint32_t wait_ms);
/* Any thread. The loop ends after its current turn. */
void sm_loop_stop(sm_loop *loop);

const struct sm_loop_features *sm_loop_get_features(const sm_loop *loop);

/* Monotonic time of this turn. */
uint64_t sm_loop_now_ns(const sm_loop *loop);

/* Where other threads post completions for this loop. */
sm_mailbox *sm_loop_mailbox(sm_loop *loop);

/* A timer, embedded in its user's struct, pinned while started. */
typedef struct sm_timer {
    uint64_t due_ns;
    uint32_t heap_at; /* position + 1; 0 when stopped */
    void (*on_fire)(struct sm_timer *timer);
} sm_timer;

void sm_timer_init(sm_timer *timer, void (*on_fire)(sm_timer *timer));
/* Fires once, `delay_ms` from now; starting again moves it. Errors: NO_MEMORY. */
SM_FALLIBLE sm_timer_start(sm_loop *loop, sm_timer *timer, uint64_t delay_ms);
/* No effect when it is not started. */
void sm_timer_stop(sm_loop *loop, sm_timer *timer);

enum sm_phase { SM_PHASE_WORK, SM_PHASE_FLUSH };

/* Work at the end of the turn, embedded in its user's struct, pinned while scheduled. */
typedef struct sm_task {
    sm_list node;
    void (*run)(struct sm_task *task);
} sm_task;

void sm_task_init(sm_task *task, void (*run)(sm_task *task));
/* Schedules; no effect when it is scheduled already. */
void sm_task_schedule(sm_loop *loop, sm_task *task, enum sm_phase phase);
void sm_task_cancel(sm_task *task);
