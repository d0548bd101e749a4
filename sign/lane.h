/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where jobs wait: a lane for each operation and type of key, in it a queue for each (group of)
 * callers.
 *
 * Lanes share the processor by the time that they use, not by the number of their jobs: RSA cannot
 * hold up P-256 by being slow. In a lane the callers take turns, so that one caller's thousand jobs
 * do not stand before another's one.
 *
 * Threads:   one owner at a time.
 * Limits:    the owner's.
 * Security:  none.
 * Standards: none.
 */
#pragma once

#include "sign/fair.h"

#define SM_OPS 2

struct sm_lane {
    struct sm_fair jobs;
    uint64_t used_ns; /* processor time, on a scale that all lanes share */
    uint64_t job_ns;  /* what one job costs, lately */
    enum sm_crypt_op op;
    enum sm_key_type type;
};

struct sm_lanes {
    struct sm_lane at[SM_OPS][SM_KEY_TYPE_COUNT];
    uint32_t live; /* bit op * SM_KEY_TYPE_COUNT + type: the lane has jobs */
    uint32_t full; /* the same: a full batch of it went in this turn (sm_lane_hold_rest) */
    size_t waiting;
    uint64_t now_ns; /* used_ns of the lane that ran last: where a lane that was empty comes in */
};

void sm_lanes_init(struct sm_lanes *lanes);
void sm_lanes_push(struct sm_lanes *lanes, sm_crypt_job *job);
/* For owners that run in turns. A full batch of the lane goes: what it leaves over, less than another one, waits for the
 * turn after this. */
void sm_lane_hold_rest(struct sm_lanes *lanes, const struct sm_lane *lane);
/* A turn begins: nothing is held back. */
void sm_lanes_begin_turn(struct sm_lanes *lanes);
/* The lane that should run next; NULL when all are empty, or held back. */
struct sm_lane *sm_lanes_pick(struct sm_lanes *lanes);
/* Takes up to `max` jobs, one from each caller's queue in turn. */
size_t sm_lane_take(struct sm_lanes *lanes, struct sm_lane *lane, sm_crypt_job **jobs, size_t max);
/* Counts the time of a batch. */
void sm_lane_charge(struct sm_lanes *lanes, struct sm_lane *lane, uint64_t ns, size_t count);
