/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A queue of jobs in which callers take turns, so that one caller's thousand jobs do not stand before another's one.
 *
 * Threads:   one owner at a time.
 * Limits:    the owner's.
 * Security:  none.
 * Standards: none.
 */
#pragma once

#include "sign/batch.h"

/* Callers are spread over this many queues by their number; more than these share a turn with
 * another. */
#define SM_FAIR_QUEUES 64

struct sm_fair {
    sm_list queues[SM_FAIR_QUEUES];
    uint64_t occupied; /* bit n: queue n has jobs */
    unsigned turn;
    size_t waiting;
};

void sm_fair_init(struct sm_fair *fair);
void sm_fair_push(struct sm_fair *fair, sm_crypt_job *job);
/* The next caller's oldest; NULL when it is empty. */
sm_crypt_job *sm_fair_pop(struct sm_fair *fair);
