/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/support/support.h"

#include <string.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/metrics.h"
#include "base/thread.h"

static char text[1 << 20];

static const char *rendered(void)
{
    sm_buf out = sm_buf_init(sizeof(text) - 1);
    sm_metrics_render(&out);
    assert_sm_ok(sm_buf_err(&out));
    memcpy(text, out.ptr, out.len);
    text[out.len] = '\0';
    sm_buf_deinit(&out);
    return text;
}

static void assert_line(const char *page, const char *line)
{
    char needle[300];
    (void)snprintf(needle, sizeof(needle), "\n%s\n", line);
    if (strstr(page, needle) == NULL) {
        print_error("no line: %s\n", line);
    }
    assert_non_null(strstr(page, needle));
}

static void metrics__same_pair_gives_the_same_series(void **state)
{
    (void)state;
    sm_metric a = sm_metric_register(SM_COUNTER, "same_total", "h", "x=\"1\"");
    sm_metric b = sm_metric_register(SM_COUNTER, "same_total", "h", "x=\"1\"");
    sm_metric c = sm_metric_register(SM_COUNTER, "same_total", "h", "x=\"2\"");
    sm_metric d = sm_metric_register(SM_COUNTER, "same_total", "h", NULL);
    assert_int_equal(a.index, b.index);
    assert_int_not_equal(a.index, c.index);
    assert_int_not_equal(a.index, d.index);
    assert_int_not_equal(c.index, d.index);
}

static void metrics__groups_series_of_one_name_under_one_help(void **state)
{
    (void)state;
    sm_metric a = sm_metric_register(SM_COUNTER, "group_total", "Words.", "r=\"a\"");
    sm_metric other = sm_metric_register(SM_COUNTER, "between_total", "Other.", NULL);
    sm_metric b = sm_metric_register(SM_COUNTER, "group_total", "Words.", "r=\"b\"");
    sm_metric_add(a, 3);
    sm_metric_inc(b);
    sm_metric_inc(other);
    const char *page = rendered();
    assert_non_null(strstr(page, "# HELP group_total Words.\n# TYPE group_total counter\n"
                                 "group_total{r=\"a\"} 3\ngroup_total{r=\"b\"} 1\n"));
    assert_non_null(strstr(page, "# HELP between_total Other.\n# TYPE between_total counter\n"
                                 "between_total 1\n"));
}

static void metrics__gauges_are_set_or_relative(void **state)
{
    (void)state;
    sm_metric set = sm_metric_register(SM_GAUGE, "set_gauge", "h", NULL);
    sm_metric relative = sm_metric_register(SM_GAUGE, "relative_gauge", "h", NULL);
    sm_metric_set(set, 10);
    sm_metric_set(set, -7);
    sm_metric_add(relative, 5);
    sm_metric_sub(relative, 8);
    assert_int_equal(sm_metric_value(set), -7);
    assert_int_equal(sm_metric_value(relative), -3);
    const char *page = rendered();
    assert_line(page, "# TYPE set_gauge gauge");
    assert_line(page, "set_gauge -7");
    assert_line(page, "relative_gauge -3");
}

static void metrics__time_buckets_are_cumulative(void **state)
{
    (void)state;
    sm_metric m = sm_metric_register(SM_HISTOGRAM, "wait_seconds", "h", "stage=\"x\"");
    sm_metric_observe_ns(m, 0);
    sm_metric_observe_ns(m, 1000); /* on a bound: belongs to it */
    sm_metric_observe_ns(m, 1001);
    sm_metric_observe_ns(m, 10 * SM_NS_PER_S);
    sm_metric_observe_ns(m, 10 * SM_NS_PER_S + 1);
    assert_int_equal(sm_metric_value(m), 5);
    const char *page = rendered();
    assert_line(page, "# TYPE wait_seconds histogram");
    assert_line(page, "wait_seconds_bucket{stage=\"x\",le=\"1e-06\"} 2");
    assert_line(page, "wait_seconds_bucket{stage=\"x\",le=\"2.5e-06\"} 3");
    assert_line(page, "wait_seconds_bucket{stage=\"x\",le=\"5\"} 3");
    assert_line(page, "wait_seconds_bucket{stage=\"x\",le=\"10\"} 4");
    assert_line(page, "wait_seconds_bucket{stage=\"x\",le=\"+Inf\"} 5");
    assert_line(page, "wait_seconds_sum{stage=\"x\"} 20.000002002");
    assert_line(page, "wait_seconds_count{stage=\"x\"} 5");
}

static void metrics__count_buckets_are_powers_of_two(void **state)
{
    (void)state;
    sm_metric m = sm_metric_register(SM_HISTOGRAM, "batch_size", "h", NULL);
    sm_metric_observe_count(m, 1);
    sm_metric_observe_count(m, 2);
    sm_metric_observe_count(m, 3);
    sm_metric_observe_count(m, 4096);
    sm_metric_observe_count(m, 4097);
    const char *page = rendered();
    assert_line(page, "batch_size_bucket{le=\"1\"} 1");
    assert_line(page, "batch_size_bucket{le=\"2\"} 2");
    assert_line(page, "batch_size_bucket{le=\"4\"} 3");
    assert_line(page, "batch_size_bucket{le=\"4096\"} 4");
    assert_line(page, "batch_size_bucket{le=\"+Inf\"} 5");
    assert_line(page, "batch_size_sum 8199");
    assert_line(page, "batch_size_count 5");
}

static void metrics__sink_swallows(void **state)
{
    (void)state;
    sm_metric sink = {0};
    sm_metric_inc(sink);
    sm_metric_set(sink, 5);
    sm_metric_sub(sink, 1);
    sm_metric_observe_ns(sink, 5);
    sm_metric_observe_count(sink, 5);
    assert_int_equal(sm_metric_value(sink), 0);
}

#define ROUNDS 2000

static sm_metric shared_counter;
static sm_metric shared_histogram;

static void count_many(void *ctx)
{
    (void)ctx;
    for (int i = 0; i < ROUNDS; i++) {
        sm_metric_inc(shared_counter);
        sm_metric_observe_ns(shared_histogram, 500);
    }
}

/* More threads over time than shards, and more at once than shards: nothing is lost. */
static void metrics__counts_of_ended_threads_stay(void **state)
{
    (void)state;
    static sm_thread threads[SM_METRIC_SHARDS + 8];
    shared_counter = sm_metric_register(SM_COUNTER, "threads_total", "h", NULL);
    shared_histogram = sm_metric_register(SM_HISTOGRAM, "threads_seconds", "h", NULL);
    size_t started = 0;
    for (int round = 0; round < 2; round++) {
        for (size_t i = 0; i < SM_ARRAY_LEN(threads); i++) {
            assert_sm_ok(sm_thread_start(&threads[i], "count", count_many, NULL));
            started++;
        }
        (void)rendered(); /* while they count */
        for (size_t i = 0; i < SM_ARRAY_LEN(threads); i++) {
            sm_thread_join(&threads[i]);
        }
    }
    assert_int_equal(sm_metric_value(shared_counter), started * ROUNDS);
    assert_int_equal(sm_metric_value(shared_histogram), started * ROUNDS);
}

/* Last: it fills the registry. */
static void metrics__full_registry_gives_the_sink(void **state)
{
    (void)state;
    static char names[SM_METRICS_MAX + 1][24];
    bool full = false;
    sm_log_configure(SM_LOG_ERROR, SM_LOG_KEY_VALUE, -1);
    for (size_t i = 0; i <= SM_METRICS_MAX; i++) {
        (void)snprintf(names[i], sizeof(names[i]), "fill_%zu_seconds", i);
        /* Histograms first run out of cells, then counters of series. */
        full = sm_metric_register(i < 300 ? SM_HISTOGRAM : SM_COUNTER, names[i], "h", NULL).index ==
               0;
    }
    assert_true(full);
    sm_metric known = sm_metric_register(SM_COUNTER, "threads_total", "h", NULL);
    assert_int_equal(known.index, shared_counter.index);
    assert_non_null(rendered());
    sm_log_configure(SM_LOG_INFO, SM_LOG_KEY_VALUE, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(metrics__same_pair_gives_the_same_series),
        cmocka_unit_test(metrics__groups_series_of_one_name_under_one_help),
        cmocka_unit_test(metrics__gauges_are_set_or_relative),
        cmocka_unit_test(metrics__time_buckets_are_cumulative),
        cmocka_unit_test(metrics__count_buckets_are_powers_of_two),
        cmocka_unit_test(metrics__sink_swallows),
        cmocka_unit_test(metrics__counts_of_ended_threads_stay),
        cmocka_unit_test(metrics__full_registry_gives_the_sink),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
