/* SPDX-License-Identifier: Apache-2.0 */
#include "sign/lane.h"

#include "base/clock.h"
#include "sign/backend.h"

/* A lane that cannot fill a batch waits this much longer than one that can: jobs that are under way
 * in other lanes may still fill it, at no cost when nothing else is waiting. */
#define PARTIAL_HANDICAP_NS (500 * SM_NS_PER_US)

void sm_lanes_init(struct sm_lanes *lanes)
{
    *lanes = (struct sm_lanes){0};
    for (unsigned op = 0; op < SM_OPS; op++) {
        for (unsigned type = 0; type < SM_KEY_TYPE_COUNT; type++) {
            struct sm_lane *lane = &lanes->at[op][type];
            lane->op = (enum sm_crypt_op)op;
            lane->type = (enum sm_key_type)type;
            sm_fair_init(&lane->jobs);
        }
    }
}

static uint32_t live_bit(const struct sm_lane *lane)
{
    _Static_assert(SM_OPS * SM_KEY_TYPE_COUNT <= 32, "a bit for each lane");
    return UINT32_C(1) << ((unsigned)lane->op * SM_KEY_TYPE_COUNT + (unsigned)lane->type);
}

void sm_lanes_push(struct sm_lanes *lanes, sm_crypt_job *job)
{
    struct sm_lane *lane = &lanes->at[job->op][job->type];
    sm_fair_push(&lane->jobs, job);
    if (lane->jobs.waiting == 1 && lane->used_ns < lanes->now_ns) {
        lane->used_ns = lanes->now_ns; /* time that it did not use is not saved up */
    }
    lanes->live |= live_bit(lane);
    lanes->waiting++;
}

void sm_lanes_begin_turn(struct sm_lanes *lanes)
{
    lanes->full = 0;
}

void sm_lane_hold_rest(struct sm_lanes *lanes, const struct sm_lane *lane)
{
    lanes->full |= live_bit(lane);
}

struct sm_lane *sm_lanes_pick(struct sm_lanes *lanes)
{
    struct sm_lane *best = NULL;
    uint64_t best_ns = 0;
    for (uint32_t live = lanes->live; live != 0; live &= live - 1) {
        unsigned i = (unsigned)__builtin_ctz(live);
        struct sm_lane *lane = &lanes->at[i / SM_KEY_TYPE_COUNT][i % SM_KEY_TYPE_COUNT];
        if ((lanes->full & live_bit(lane)) != 0 && lane->jobs.waiting < SM_BACKEND_LANES) {
            continue;
        }
        uint64_t ns = lane->used_ns +
                      (lane->jobs.waiting < SM_BACKEND_LANES ? PARTIAL_HANDICAP_NS : 0);
        if (best == NULL || ns < best_ns) {
            best = lane;
            best_ns = ns;
        }
    }
    return best;
}

size_t sm_lane_take(struct sm_lanes *lanes, struct sm_lane *lane, sm_crypt_job **jobs, size_t max)
{
    size_t count = 0;
    while (count < max && (jobs[count] = sm_fair_pop(&lane->jobs)) != NULL) {
        count++;
    }
    lanes->waiting -= count;
    if (lane->jobs.waiting == 0) {
        lanes->live &= ~live_bit(lane);
    }
    return count;
}

void sm_lane_charge(struct sm_lanes *lanes, struct sm_lane *lane, uint64_t ns, size_t count)
{
    if (lane->used_ns > lanes->now_ns) {
        lanes->now_ns = lane->used_ns;
    }
    lane->used_ns += ns;
    uint64_t each = ns / count;
    lane->job_ns = lane->job_ns == 0 ? each : (3 * lane->job_ns + each) / 4;
}
