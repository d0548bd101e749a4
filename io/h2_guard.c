/* SPDX-License-Identifier: Apache-2.0 */
#include "io/h2_guard_p.h"

#include "base/clock.h"
#include "base/metrics.h"

#include <pthread.h>

/* Well above what clients do: a gRPC client pings a few times a second to measure its bandwidth,
 * cancels calls in bursts when its own user goes away, and sends a WINDOW_UPDATE for each 32 KiB
 * that it reads. */
static const struct {
    const char *label;
    uint32_t burst;
    uint32_t per_second;
} budgets[H2_BUCKET_COUNT] = {
    [H2_BUCKET_RESET] = {"reason=\"rapid_reset\"", 500, 100},
    [H2_BUCKET_SETTINGS] = {"reason=\"settings_flood\"", 50, 5},
    [H2_BUCKET_PING] = {"reason=\"ping_flood\"", 200, 50},
    [H2_BUCKET_PRIORITY] = {"reason=\"priority_flood\"", 1000, 200},
    [H2_BUCKET_WINDOW] = {"reason=\"window_update_flood\"", 50000, 50000},
    [H2_BUCKET_EMPTY] = {"reason=\"empty_frame_flood\"", 50, 5},
    [H2_BUCKET_UNKNOWN] = {"reason=\"unknown_frame_flood\"", 200, 50},
    [H2_BUCKET_INVALID] = {"reason=\"invalid_frame_flood\"", 100, 20},
};

static const char *const defence_labels[SM_H2_DEFENCE_COUNT] = {
    "reason=\"header_size\"",
    "reason=\"late_request\"",
    "reason=\"continuation_flood\"",
};

static sm_metric bucket_metrics[H2_BUCKET_COUNT];
static sm_metric defence_metrics[SM_H2_DEFENCE_COUNT];
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void register_metrics(void)
{
    static const char name[] = "sealmill_http2_defence_total";
    static const char help[] = "Connections or requests ended in defence, by reason";
    for (int i = 0; i < H2_BUCKET_COUNT; i++) {
        bucket_metrics[i] = sm_metric_register(SM_COUNTER, name, help, budgets[i].label);
    }
    for (int i = 0; i < SM_H2_DEFENCE_COUNT; i++) {
        defence_metrics[i] = sm_metric_register(SM_COUNTER, name, help, defence_labels[i]);
    }
}

void sm_h2_guard_init(struct h2_guard *g, uint64_t now_ns)
{
    (void)pthread_once(&once, register_metrics);
    g->filled_ns = now_ns;
    for (int i = 0; i < H2_BUCKET_COUNT; i++) {
        g->left[i] = budgets[i].burst;
    }
}

static void refill(struct h2_guard *g, uint64_t now_ns)
{
    uint64_t seconds = now_ns < g->filled_ns ? 0 : (now_ns - g->filled_ns) / SM_NS_PER_S;
    if (seconds == 0) {
        return;
    }
    g->filled_ns += seconds * SM_NS_PER_S;
    for (int i = 0; i < H2_BUCKET_COUNT; i++) {
        uint64_t left = g->left[i] + seconds * budgets[i].per_second;
        g->left[i] = left > budgets[i].burst ? budgets[i].burst : (uint32_t)left;
    }
}

static bool spend(struct h2_guard *g, enum h2_bucket bucket, uint64_t now_ns)
{
    if (g->left[bucket] == 0) {
        refill(g, now_ns);
    }
    if (g->left[bucket] == 0) {
        sm_metric_inc(bucket_metrics[bucket]);
        return false;
    }
    g->left[bucket]--;
    return true;
}

/* The bucket of a frame, or H2_BUCKET_COUNT for frames that carry something. */
static enum h2_bucket bucket_of(const nghttp2_frame_hd *hd)
{
    switch (hd->type) {
    case NGHTTP2_RST_STREAM:
        return H2_BUCKET_RESET;
    case NGHTTP2_SETTINGS:
        return H2_BUCKET_SETTINGS;
    case NGHTTP2_PING:
        return H2_BUCKET_PING;
    case NGHTTP2_PRIORITY:
        return H2_BUCKET_PRIORITY;
    case NGHTTP2_WINDOW_UPDATE:
        return H2_BUCKET_WINDOW;
    case NGHTTP2_DATA:
        return hd->length == 0 && (hd->flags & NGHTTP2_FLAG_END_STREAM) == 0 ? H2_BUCKET_EMPTY
                                                                             : H2_BUCKET_COUNT;
    case NGHTTP2_HEADERS:
        return hd->length == 0 && (hd->flags & NGHTTP2_FLAG_END_HEADERS) == 0 ? H2_BUCKET_EMPTY
                                                                              : H2_BUCKET_COUNT;
    default:
        return H2_BUCKET_UNKNOWN;
    }
}

bool sm_h2_guard_frame(struct h2_guard *g, const nghttp2_frame_hd *hd, uint64_t now_ns)
{
    enum h2_bucket bucket = bucket_of(hd);
    return bucket == H2_BUCKET_COUNT || spend(g, bucket, now_ns);
}

bool sm_h2_guard_invalid(struct h2_guard *g, uint64_t now_ns)
{
    return spend(g, H2_BUCKET_INVALID, now_ns);
}

void sm_h2_count_defence(enum sm_h2_defence reason)
{
    sm_metric_inc(defence_metrics[reason]);
}
