/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rates by key (a caller, a subject) in a bounded table: the generic cell rate algorithm for each.
 *
 * Keys are hashed under a random key of the process. Where a set of places is full, the one that is nearest to
 * being unused makes room: a client that floods with new keys gains nothing for any of them. Nothing of it is
 * kept over a restart.
 *
 * Threads:   any.
 * Limits:    SM_RATE_PLACES keys at a time.
 * Security:  see above.
 * Standards: none.
 */
#pragma once

#include "base/err.h"
#include "base/slice.h"

#include <pthread.h>

#define SM_RATE_PLACES 65536 /* 1 MiB */
#define SM_RATE_WAYS 8

/* `count` within `period_ns`, all of which may come at once. `count` 0: no limit. */
struct sm_rate_rule {
    uint32_t count;
    uint64_t period_ns;
};

/* "100/s", "60/m", "10/h", "5/d"; "": no limit. Errors: MALFORMED. */
SM_FALLIBLE sm_rate_rule_parse(sm_slice text, struct sm_rate_rule *out);

struct sm_rate_place {
    uint64_t key;
    uint64_t due_ns;
};

typedef struct sm_rate_table {
    pthread_mutex_t lock; /* covers places */
    struct sm_rate_place *places;
} sm_rate_table;

/* False without memory. */
bool sm_rate_table_init(sm_rate_table *t);
void sm_rate_table_deinit(sm_rate_table *t);
/* Takes one of the key's. False: over the rate, nothing was taken, and `*wait_ns` says when there is one. */
bool sm_rate_table_take(sm_rate_table *t, sm_slice key, const struct sm_rate_rule *rule,
                        uint64_t now_ns, uint64_t *wait_ns);
