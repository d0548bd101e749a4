/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What /metrics says of each signing key: calls of Sign by what became of them.
 *
 * Threads:   any.
 * Limits:    SM_SIGNING_SERIES_KEYS keys have series of their own, those that are seen first; all
 *            others share the key "*".
 * Security:  labels are names of keys that exist, never what a caller asks for.
 * Standards: none.
 */
#pragma once

#include "base/err.h"
#include "base/metrics.h"

#define SM_SIGNING_SERIES_KEYS 32 /* with three series each a fifth of all */

struct sm_signing_metrics {
    sm_metric ok;
    sm_metric refused; /* by the key's policy: who, how, how often */
    sm_metric failed;  /* a request that is wrong, or trouble of ours */
};

/* Of the key with this name, now and whenever there is one of that name again. */
void sm_signing_metrics_of(const char *key, struct sm_signing_metrics *out);
void sm_signing_metrics_count(const struct sm_signing_metrics *m, sm_err err);
