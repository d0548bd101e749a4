/* SPDX-License-Identifier: Apache-2.0 */
#include "base/metrics.h"

#include "base/check.h"
#include "base/log.h"
#include "base/mem.h"

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#define BUCKETS 22 /* bounds of a histogram; the last counts what is above them all */

static const uint64_t time_bounds_ns[] = {
    1000,      2500,      5000,      10000,      25000,      50000,      100000,
    250000,    500000,    1000000,   2500000,    5000000,    10000000,   25000000,
    50000000,  100000000, 250000000, 500000000,  1000000000, 2500000000, 5000000000,
};
static const char *const time_labels[] = {
    "1e-06", "2.5e-06", "5e-06", "1e-05", "2.5e-05", "5e-05", "0.0001", "0.00025",
    "0.0005", "0.001", "0.0025", "0.005", "0.01", "0.025", "0.05", "0.1",
    "0.25", "0.5", "1", "2.5", "5",
};
#define TIME_BOUNDS SM_ARRAY_LEN(time_bounds_ns)
#define COUNT_BOUNDS 13 /* 1, 2, 4 ... 4096 */

_Static_assert(TIME_BOUNDS + 1 <= BUCKETS, "a histogram's buckets must hold every bound");

struct series {
    enum sm_metric_kind kind;
    bool counts; /* a histogram of counts, not of time */
    const char *name;
    const char *help;
    const char *labels;
    uint32_t cell; /* first cell in each shard */
};

/* A histogram's cells: BUCKETS counts, then the sum. A counter or gauge has one. */
#define HISTOGRAM_CELLS (BUCKETS + 1)
#define CELLS_MAX (SM_METRICS_MAX * 6)

struct shard {
    _Atomic uint64_t cells[CELLS_MAX];
};

static struct series all[SM_METRICS_MAX];
static uint32_t series_count = 1; /* 0 is the sink */
static uint32_t cell_count = HISTOGRAM_CELLS;
static pthread_mutex_t registry_lock = PTHREAD_MUTEX_INITIALIZER; /* covers the three above */

static struct shard shared_shard; /* of threads that got none of their own; atomic adds */
static _Atomic(struct shard *) shards[SM_METRIC_SHARDS];
static _Atomic uint32_t shard_count;
static _Thread_local struct shard *own;

static uint32_t find_series(const char *name, const char *labels)
{
    for (uint32_t i = 1; i < series_count; i++) {
        bool same_labels = labels == NULL ? all[i].labels == NULL
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

static struct shard *claim_shard(void)
{
    uint32_t n = atomic_fetch_add(&shard_count, 1);
    struct shard *s = n < SM_METRIC_SHARDS ? sm_calloc(1, sizeof(*s)) : NULL;
    if (s == NULL) {
        return &shared_shard;
    }
    atomic_store_explicit(&shards[n], s, memory_order_release);
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
    uint64_t v = atomic_load_explicit(&s->cells[cell], memory_order_relaxed);
    atomic_store_explicit(&s->cells[cell], v + n, memory_order_relaxed);
}

static uint64_t sum(uint32_t cell)
{
    uint64_t total = atomic_load_explicit(&shared_shard.cells[cell], memory_order_relaxed);
    for (size_t i = 0; i < SM_METRIC_SHARDS; i++) {
        struct shard *s = atomic_load_explicit(&shards[i], memory_order_acquire);
        if (s != NULL) {
            total += atomic_load_explicit(&s->cells[cell], memory_order_relaxed);
        }
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
    atomic_store_explicit(&shared_shard.cells[all[m.index].cell], (uint64_t)value, memory_order_relaxed);
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
        sm_buf_printf(out, "%s_sum%s%s%s %.9f\n", s->name, open, labels, close, (double)observed / 1e9);
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
