/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Counters, gauges and histograms in Prometheus' text form.
 *
 * A metric is a static definition; its values live in per-thread shards (cache lines of their own),
 * so an increment is one relaxed add on memory no other thread writes; reading sums the shards.
 *
 * Threads:   add/observe/set from any; render from any.
 * Limits:    SM_METRICS_MAX series (a histogram takes 24 cells of 8 * SM_METRICS_MAX, the others
 * one), SM_METRIC_SHARDS threads at a time with a shard of their own (others share one, with atomic
 * adds). A thread that ends leaves its counts and frees its shard. Security:  label values are
 * chosen by us, never by a peer. Standards: Prometheus text exposition format 0.0.4.
 */
#pragma once

#include "base/buf.h"
#include "base/err.h"

#define SM_METRICS_MAX 512
#define SM_METRIC_SHARDS 64

enum sm_metric_kind { SM_COUNTER, SM_GAUGE, SM_HISTOGRAM };

/* A registered series; an opaque small index. The zero value is a sink that is not rendered. */
typedef struct sm_metric {
    uint32_t index;
} sm_metric;

/* Registers a series. `name`, `help` and `labels` (e.g. `reason="policy"`, or NULL) are static
 * strings, or live as long as the program. The same name with other labels groups under one HELP.
 * Registering the same pair again gives the same series. At the limit the sink is returned and an
 * error logged. Histograms have the fixed buckets below. Call at start or rarely: takes a lock. */
sm_metric sm_metric_register(enum sm_metric_kind kind, const char *name, const char *help,
                             const char *labels);

void sm_metric_add(sm_metric m, uint64_t n);
static inline void sm_metric_inc(sm_metric m)
{
    sm_metric_add(m, 1);
}
/* Gauges: a set value (last writer wins) or relative, not both on one gauge. */
void sm_metric_set(sm_metric m, int64_t value);
void sm_metric_sub(sm_metric m, uint64_t n);

/* Histogram of seconds, given in nanoseconds: buckets 1-2.5-5 from 1 us to 10 s. Its name does not
 * end in "_size". */
void sm_metric_observe_ns(sm_metric m, uint64_t ns);
/* Histogram of counts (a batch size): buckets 1, 2, 4 ... 4096. Register with SM_HISTOGRAM and a
 * name that ends in "_size". */
void sm_metric_observe_count(sm_metric m, uint64_t n);

/* The sum over all shards (for tests and the CLI). */
int64_t sm_metric_value(sm_metric m);

/* Appends all series. */
void sm_metrics_render(sm_buf *out);
