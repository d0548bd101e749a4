/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A lock that is nearly always shared: each thread takes a share on a cache line of its own, so
 * that readers on many loops do not slow each other down; who wants it alone takes all shares.
 *
 * Threads:   any. A thread that holds a share may take another (reads inside a scan's callback).
 * Limits:    GATE_SHARES cache lines; more threads than that share.
 * Security:  none.
 * Standards: none.
 */
#pragma once

#include <pthread.h>
#include <stdbool.h>

#define GATE_SHARES 16

struct gate_share {
    /* glibc's default kind prefers readers, which makes a second share by the same thread safe. */
    pthread_rwlock_t lock;
    char apart[128 -
               sizeof(pthread_rwlock_t)]; /* no two on one cache line, wherever the gate begins */
};

struct gate {
    struct gate_share shares[GATE_SHARES];
};

void sm_gate_init(struct gate *gate);
void sm_gate_deinit(struct gate *gate);

void sm_gate_enter(struct gate *gate);
/* False: somebody holds it alone. */
bool sm_gate_try_enter(struct gate *gate);
void sm_gate_leave(struct gate *gate);

/* Waits until all have left. */
void sm_gate_close(struct gate *gate);
void sm_gate_open(struct gate *gate);
