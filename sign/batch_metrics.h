/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What /metrics says of batches. Series are registered when they are first used, so that the page
 * lists what this server does.
 *
 * Threads:   each owner (a batcher, a worker of the pool) has one of its own; the series are shared.
 * Limits:    none.
 * Security:  none.
 * Standards: none.
 */
#pragma once

#include "base/metrics.h"
#include "sign/backend.h"
#include "sign/lane.h"

struct sm_batch_metrics {
    sm_metric size[SM_OPS][SM_KEY_TYPE_COUNT];
    sm_metric jobs[SM_OPS][SM_SIG_ALG_COUNT][SM_BACKEND_COUNT];
    sm_metric failed[SM_OPS][SM_SIG_ALG_COUNT];
    sm_metric run[SM_OPS];
    sm_metric wait[SM_OPS];
    sm_metric waiting;
};

void sm_batch_metrics_init(struct sm_batch_metrics *m);
/* After a batch: `start_ns` and `end_ns` of the monotonic clock. */
void sm_batch_metrics_ran(struct sm_batch_metrics *m, sm_crypt_job *const *jobs, size_t count,
                          const struct sm_backend *backend, uint64_t start_ns, uint64_t end_ns);
