/* SPDX-License-Identifier: Apache-2.0 */
#include "base/metrics.h"

#include "base/check.h"
#include "base/clock.h"
#include "base/log.h"

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

static const uint64_t time_bounds_ns[] = {
    1000,      2500,      5000,       10000,      25000,      50000,       100000,   250000,
    500000,    1000000,   2500000,    5000000,    10000000,   25000000,    50000000, 100000000,
    250000000, 500000000, 1000000000, 2500000000, 5000000000, 10000000000,
};
static const char *const time_labels[] = {
    "1e-06",  "2.5e-06", "5e-06",  "1e-05", "2.5e-05", "5e-05", "0.0001", "0.00025",
    "0.0005", "0.001",   "0.0025", "0.005", "0.01",    "0.025", "0.05",   "0.1",
    "0.25",   "0.5",     "1",      "2.5",   "5",       "10",
};
#define TIME_BOUNDS SM_ARRAY_LEN(time_bounds_ns)
#define COUNT_BOUNDS 13 /* 1, 2, 4 ... 4096 */

/* A histogram's cells: one for each bucket, the last for what lies above every bound, then the sum.
 * Others have one cell. */
#define BUCKETS (TIME_BOUNDS + 1)
#define HISTOGRAM_CELLS (BUCKETS + 1)
#define CELLS_MAX (SM_METRICS_MAX * 8) /* room for some 150 histograms beside the rest */

_Static_assert(SM_ARRAY_LEN(time_labels) == TIME_BOUNDS, "each bound has its label");
_Static_assert(COUNT_BOUNDS + 1 <= BUCKETS, "both shapes fit");

struct series {
    enum sm_metric_kind kind;
    bool counts;   /* a histogram of counts, not of time */
    uint32_t cell; /* its first in each shard */
    const char *name;
    const char *help;
    const char *labels;
};

/* Static: a page of it costs memory only once a thread has counted in it, and counting cannot fail.
 */
struct shard {
    _Alignas(64) _Atomic uint64_t cells[CELLS_MAX];
};

/* Written under the lock; a series is read without it by who was given its index. */
static struct series all[SM_METRICS_MAX];
static uint32_t series_count = 1; /* 0 is the sink */
static uint32_t cell_count = HISTOGRAM_CELLS;
static pthread_mutex_t registry_lock = PTHREAD_MUTEX_INITIALIZER; /* covers the three above */

static struct shard
    shared_shard; /* of threads that got none of their own, and of gauges that are set */
static struct shard shards[SM_METRIC_SHARDS];
static _Atomic uint64_t free_shards = ~UINT64_C(0); /* a bit for each */
static _Atomic uint64_t used_shards;                /* ever taken: only these are summed */
static _Thread_local struct shard *own;
static pthread_key_t thread_end;
static pthread_once_t thread_end_once = PTHREAD_ONCE_INIT;

_Static_assert(SM_METRIC_SHARDS == 64, "one bit of a word for each shard");

static uint32_t find_series(const char *name, const char *labels)
{
    for (uint32_t i = 1; i < series_count; i++) {
        bool same_labels = labels == NULL
                               ? all[i].labels == NULL
                               : all[i].labels != NULL && strcmp(labels, all[i].labels) == 0;
        if (same_labels && strcmp(name, all[i].name) == 0) {
            return i;
        }
    }
    return 0;
}

sm_metric sm_metric_register(enum sm_metric_kind kind, const char *name, const char *help,
                             const char *labels)
{
    uint32_t cells = kind == SM_HISTOGRAM ? HISTOGRAM_CELLS : 1;
    (void)pthread_mutex_lock(&registry_lock);
    uint32_t index = find_series(name, labels);
    if (index == 0 && series_count < SM_METRICS_MAX && cell_count + cells <= CELLS_MAX) {
        size_t len = strlen(name);
        index = series_count;
        all[index] = (struct series){
            .kind = kind,
            .counts = len > 5 && strcmp(name + len - 5, "_size") == 0,
            .name = name,
            .help = help,
            .labels = labels,
            .cell = cell_count,
        };
        cell_count += cells;
        series_count++;
    }
    (void)pthread_mutex_unlock(&registry_lock);
    if (index == 0) {
        sm_log(SM_LOG_ERROR, "metrics_full", SM_KS("name", name), SM_KEND);
    }
    return (sm_metric){index};
}

/* A thread ends: its shard keeps its counts and goes to the next thread that counts. */
static void release_shard(void *shard)
{
    own = NULL;
    uint64_t bit = UINT64_C(1) << (uint32_t)((struct shard *)shard - shards);
    atomic_fetch_or_explicit(&free_shards, bit, memory_order_release);
}

static void watch_thread_ends(void)
{
    SM_CHECK(pthread_key_create(&thread_end, release_shard) == 0);
}

static struct shard *claim_shard(void)
{
    (void)pthread_once(&thread_end_once, watch_thread_ends);
    uint64_t seen = atomic_load_explicit(&free_shards, memory_order_relaxed);
    uint64_t rest;
    do {
        if (seen == 0) {
            return &shared_shard;
        }
        rest = seen & (seen - 1);
        /* Acquire: the former owner's plain adds come first. */
    } while (!atomic_compare_exchange_weak_explicit(&free_shards, &seen, rest, memory_order_acquire,
                                                    memory_order_relaxed));
    struct shard *s = &shards[__builtin_ctzll(seen)];
    atomic_fetch_or_explicit(&used_shards, seen & ~rest, memory_order_relaxed);
    /* Without it the shard is merely never given back. */
    (void)pthread_setspecific(thread_end, s);
    return s;
}

static void bump(uint32_t cell, uint64_t n)
{
    struct shard *s = own;
    if (s == NULL) {
        s = own = claim_shard();
    }
    if (s == &shared_shard) {
        atomic_fetch_add_explicit(&s->cells[cell], n, memory_order_relaxed);
        return;
    }
    /* The only writer: no locked instruction is needed. */
    uint64_t v = atomic_load_explicit(&s->cells[cell], memory_order_relaxed);
    atomic_store_explicit(&s->cells[cell], v + n, memory_order_relaxed);
}

static uint64_t sum(uint32_t cell)
{
    uint64_t total = atomic_load_explicit(&shared_shard.cells[cell], memory_order_relaxed);
    uint64_t used = atomic_load_explicit(&used_shards, memory_order_relaxed);
    for (; used != 0; used &= used - 1) {
        struct shard *s = &shards[__builtin_ctzll(used)];
        total += atomic_load_explicit(&s->cells[cell], memory_order_relaxed);
    }
    return total;
}

void sm_metric_add(sm_metric m, uint64_t n)
{
    bump(all[m.index].cell, n);
}

void sm_metric_sub(sm_metric m, uint64_t n)
{
    /* Wraps on purpose: the sum over all shards is right modulo 2^64. */
    bump(all[m.index].cell, 0 - n);
}

void sm_metric_set(sm_metric m, int64_t value)
{
    /* A set gauge lives in the shared shard alone. */
    atomic_store_explicit(&shared_shard.cells[all[m.index].cell], (uint64_t)value,
                          memory_order_relaxed);
}

void sm_metric_observe_ns(sm_metric m, uint64_t ns)
{
    if (m.index == 0) {
        return;
    }
    uint32_t i = 0;
    while (i < TIME_BOUNDS && ns > time_bounds_ns[i]) {
        i++;
    }
    bump(all[m.index].cell + i, 1);
    bump(all[m.index].cell + BUCKETS, ns);
}

void sm_metric_observe_count(sm_metric m, uint64_t n)
{
    if (m.index == 0) {
        return;
    }
    uint32_t i = 0;
    while (i < COUNT_BOUNDS && n > (UINT64_C(1) << i)) {
        i++;
    }
    bump(all[m.index].cell + i, 1);
    bump(all[m.index].cell + BUCKETS, n);
}

int64_t sm_metric_value(sm_metric m)
{
    if (m.index == 0) {
        return 0;
    }
    if (all[m.index].kind != SM_HISTOGRAM) {
        return (int64_t)sum(all[m.index].cell);
    }
    uint64_t total = 0;
    for (uint32_t i = 0; i < BUCKETS; i++) {
        total += sum(all[m.index].cell + i);
    }
    return (int64_t)total;
}

static void render_histogram(sm_buf *out, const struct series *s)
{
    size_t bounds = s->counts ? COUNT_BOUNDS : TIME_BOUNDS;
    const char *labels = s->labels == NULL ? "" : s->labels;
    const char *comma = s->labels == NULL ? "" : ",";
    uint64_t total = 0;
    for (uint32_t i = 0; i < bounds; i++) {
        total += sum(s->cell + i);
        sm_buf_printf(out, "%s_bucket{%s%sle=\"", s->name, labels, comma);
        if (s->counts) {
            sm_buf_put_decimal(out, UINT64_C(1) << i);
        } else {
            sm_buf_put_str(out, time_labels[i]);
        }
        sm_buf_printf(out, "\"} %llu\n", (unsigned long long)total);
    }
    total += sum(s->cell + (uint32_t)bounds);
    uint64_t observed = sum(s->cell + BUCKETS);
    sm_buf_printf(out, "%s_bucket{%s%sle=\"+Inf\"} %llu\n", s->name, labels, comma,
                  (unsigned long long)total);
    const char *open = s->labels == NULL ? "" : "{";
    const char *close = s->labels == NULL ? "" : "}";
    if (s->counts) {
        sm_buf_printf(out, "%s_sum%s%s%s %llu\n", s->name, open, labels, close,
                      (unsigned long long)observed);
    } else {
        sm_buf_printf(out, "%s_sum%s%s%s %llu.%09llu\n", s->name, open, labels, close,
                      (unsigned long long)(observed / SM_NS_PER_S),
                      (unsigned long long)(observed % SM_NS_PER_S));
    }
    sm_buf_printf(out, "%s_count%s%s%s %llu\n", s->name, open, labels, close,
                  (unsigned long long)total);
}

static void render_series(sm_buf *out, const struct series *s)
{
    if (s->kind == SM_HISTOGRAM) {
        render_histogram(out, s);
        return;
    }
    sm_buf_put_str(out, s->name);
    if (s->labels != NULL) {
        sm_buf_printf(out, "{%s}", s->labels);
    }
    if (s->kind == SM_GAUGE) {
        sm_buf_printf(out, " %lld\n", (long long)sum(s->cell));
    } else {
        sm_buf_printf(out, " %llu\n", (unsigned long long)sum(s->cell));
    }
}

void sm_metrics_render(sm_buf *out)
{
    static const char *const kinds[] = {"counter", "gauge", "histogram"};
    bool done[SM_METRICS_MAX] = {false};
    (void)pthread_mutex_lock(&registry_lock);
    for (uint32_t i = 1; i < series_count; i++) {
        if (done[i]) {
            continue;
        }
        sm_buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n", all[i].name, all[i].help, all[i].name,
                      kinds[all[i].kind]);
        for (uint32_t j = i; j < series_count; j++) {
            if (!done[j] && strcmp(all[i].name, all[j].name) == 0) {
                render_series(out, &all[j]);
                done[j] = true;
            }
        }
    }
    (void)pthread_mutex_unlock(&registry_lock);
}
