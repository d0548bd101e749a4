/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Lock-out of who guesses: failures by a key (an account and where it is tried from) in a bounded table.
 *
 * Keys are hashed under a random key of the process, so that nobody can choose whose place he takes; where a set of
 * places is full, the one that failed least lately is forgotten. Nothing of it is kept over a restart: who guesses cannot
 * cause one, and a write to the disk for each wrong password is what a flood of them would want.
 *
 * Threads:   any.
 * Limits:    SM_LOCKOUT_PLACES keys.
 * Security:  keys that do not exist are locked as those that do.
 * Standards: none.
 */
#pragma once

#include "base/slice.h"

#include <pthread.h>

#define SM_LOCKOUT_PLACES \
    65536 /* 2 MiB; a storm of guesses from more addresses than that is the network's to stop */
#define SM_LOCKOUT_WAYS 8

struct sm_lockout_rules {
    unsigned failures; /* so many within window_s lock for lock_s */
    unsigned window_s;
    unsigned lock_s;
};

struct sm_lockout_place {
    uint64_t key;
    uint64_t since_ns; /* of the first failure of its window */
    uint64_t until_ns; /* locked until; 0: not */
    unsigned failures;
};

typedef struct sm_lockout {
    pthread_mutex_t lock; /* covers places */
    struct sm_lockout_place *places;
} sm_lockout;

/* False without memory. */
bool sm_lockout_init(sm_lockout *l);
void sm_lockout_deinit(sm_lockout *l);
/* Seconds that the key is locked for yet; 0: it is not. */
unsigned sm_lockout_left_s(sm_lockout *l, sm_slice key, uint64_t now_ns);
/* A failure; one that locks begins the lock, and true is said. */
bool sm_lockout_fail(sm_lockout *l, sm_slice key, const struct sm_lockout_rules *rules,
                     uint64_t now_ns);
/* A success: the failures of before are forgotten. */
void sm_lockout_forget(sm_lockout *l, sm_slice key);
