/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A rate limit without a lock: the generic cell rate algorithm, whose whole state is one time.
 *
 * Threads:   any.
 * Limits:    up to 1,000,000,000 a second.
 * Security:  none.
 * Standards: none.
 */
#pragma once

#include "base/clock.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

typedef struct sm_rate {
    _Atomic uint64_t due_ns; /* when the bucket will be empty again; 0 at first */
} sm_rate;

/* Takes one of `per_second`, of which a whole second's worth may come at once. False: over the
 * rate, nothing was taken. */
static inline bool sm_rate_take(sm_rate *rate, uint32_t per_second, uint64_t now_ns)
{
    uint64_t step = SM_NS_PER_S / per_second;
    uint64_t due = atomic_load_explicit(&rate->due_ns, memory_order_relaxed);
    for (;;) {
        uint64_t from = due > now_ns ? due : now_ns;
        if (from + step > now_ns + SM_NS_PER_S) {
            return false;
        }
        if (atomic_compare_exchange_weak_explicit(&rate->due_ns, &due, from + step,
                                                  memory_order_relaxed, memory_order_relaxed)) {
            return true;
        }
    }
}
