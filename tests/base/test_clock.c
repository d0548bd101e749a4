/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/support/support.h"

#include <time.h>

#include "base/check.h"
#include "base/clock.h"

#define FIRST_S INT64_C(-62135596800) /* 0001-01-01T00:00:00Z */
#define LAST_S INT64_C(253402300799)  /* 9999-12-31T23:59:59Z */

static void clock__monotonic_never_runs_backwards(void **state)
{
    (void)state;
    uint64_t last = sm_clock_mono_ns();
    for (int i = 0; i < 10000; i++) {
        uint64_t now = sm_clock_mono_ns();
        assert_true(now >= last);
        last = now;
    }
}

static void clock__wall_time_can_be_shifted(void **state)
{
    (void)state;
    int64_t before = sm_clock_wall_s();
    assert_in_range(before - (int64_t)time(NULL) + 2, 0, 4);
    sm_clock_set_offset_s(86400);
    int64_t shifted = sm_clock_wall_s();
    int64_t shifted_ms = sm_clock_wall_ms();
    sm_clock_set_offset_s(0);
    assert_in_range(shifted - before, 86400, 86402);
    assert_in_range(shifted_ms / 1000 - shifted, 0, 2);
}

/* libc's own calendar is the other opinion. */
static void clock__agrees_with_libc_over_all_years(void **state)
{
    (void)state;
    for (int64_t s = FIRST_S; s <= LAST_S; s += INT64_C(86400) * 13 + 7919) {
        struct sm_civil c;
        struct tm tm;
        time_t t = (time_t)s;
        int64_t back;
        sm_civil_from_unix(s, &c);
        assert_non_null(gmtime_r(&t, &tm));
        assert_int_equal(c.year, tm.tm_year + 1900);
        assert_int_equal(c.month, tm.tm_mon + 1);
        assert_int_equal(c.day, tm.tm_mday);
        assert_int_equal(c.hour, tm.tm_hour);
        assert_int_equal(c.minute, tm.tm_min);
        assert_int_equal(c.second, tm.tm_sec);
        assert_sm_ok(sm_civil_to_unix(&c, &back));
        assert_true(back == s);
    }
}

static void clock__refuses_dates_that_do_not_exist(void **state)
{
    (void)state;
    static const struct sm_civil bad[] = {
        {0, 1, 1, 0, 0, 0},     {10000, 1, 1, 0, 0, 0}, {2026, 0, 1, 0, 0, 0},
        {2026, 13, 1, 0, 0, 0}, {2026, 1, 0, 0, 0, 0},  {2026, 4, 31, 0, 0, 0},
        {2026, 2, 29, 0, 0, 0}, {1900, 2, 29, 0, 0, 0}, {2024, 2, 30, 0, 0, 0},
        {2026, 1, 1, 24, 0, 0}, {2026, 1, 1, 0, 60, 0}, {2026, 1, 1, 0, 0, 60},
        {2026, 1, 1, -1, 0, 0}, {2026, 1, 1, 0, -1, 0}, {2026, 1, 1, 0, 0, -1},
        {-5, 1, 1, 0, 0, 0},    {2026, -1, 1, 0, 0, 0},
    };
    static const struct sm_civil leap = {2000, 2, 29, 0, 0, 0};
    int64_t s = 42;
    for (size_t i = 0; i < SM_ARRAY_LEN(bad); i++) {
        assert_sm_err(sm_civil_to_unix(&bad[i], &s), OUT_OF_RANGE);
        assert_int_equal(s, 42);
    }
    assert_sm_ok(sm_civil_to_unix(&leap, &s));
    assert_int_equal(s, 951782400);
}

static void clock__formats_and_clamps(void **state)
{
    (void)state;
    char text[SM_RFC3339_SIZE];
    assert_string_equal(sm_clock_format(0, text), "1970-01-01T00:00:00Z");
    assert_string_equal(sm_clock_format(-1, text), "1969-12-31T23:59:59Z");
    assert_string_equal(sm_clock_format(LAST_S, text), "9999-12-31T23:59:59Z");
    assert_string_equal(sm_clock_format(INT64_MAX, text), "9999-12-31T23:59:59Z");
    assert_string_equal(sm_clock_format(FIRST_S, text), "0001-01-01T00:00:00Z");
    assert_string_equal(sm_clock_format(INT64_MIN, text), "0001-01-01T00:00:00Z");
}

static void clock__parses_the_examples_of_the_rfc(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t s;
    } good[] = {
        {"1985-04-12T23:20:50.52Z", 482196050},
        {"1996-12-19T16:39:57-08:00", 851042397},
        {"1937-01-01T12:00:27.87+00:20", -1041337173},
        {"1970-01-01t00:00:00z", 0},
        {"1970-01-01 00:00:00-00:00", 0},
        {"9999-12-31T23:59:59Z", LAST_S},
        {"0001-01-01T00:00:00Z", FIRST_S},
        {"0001-01-01T00:00:00-23:59", FIRST_S + 86340},
    };
    for (size_t i = 0; i < SM_ARRAY_LEN(good); i++) {
        int64_t s;
        assert_sm_ok(sm_clock_parse(sm_slice_str(good[i].text), &s));
        assert_true(s == good[i].s);
    }
}

static void clock__refuses_what_is_no_rfc_3339(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "",
        "2026",
        "2026-01-01",
        "2026-01-01T00:00:00",
        "2026-01-01T00:00:00Z ",
        " 2026-01-01T00:00:00Z",
        "2026-1-01T00:00:00Z",
        "2026--01-01T00:00:00Z",
        "-026-01-01T00:00:00Z",
        "2026-01-01T00:00:00.Z",
        "2026-01-01T00:00:00,5Z",
        "2026-01-01T00:00:00+0100",
        "2026-01-01T00:00:00+24:00",
        "2026-01-01T00:00:00+01:60",
        "2026-01-01T00:00:00+1:00",
        "2026-01-01X00:00:00Z",
        "2026-01-01T00:00Z",
        "2026/01/01T00:00:00Z",
        "20260101T000000Z",
        "2026-01-01T00:00:00UTC",
        "+2026-01-01T00:00:00Z",
        "2026-01-01T+1:00:00Z",
        "2026-01-01T00:00:00",
    };
    static const char *const out_of_range[] = {
        "2026-02-29T00:00:00Z",      "2016-12-31T23:59:60Z", "2026-13-01T00:00:00Z",
        "2026-01-01T24:00:00Z",      "0000-01-01T00:00:00Z", "0001-01-01T00:00:00+00:01",
        "9999-12-31T23:59:59-00:01",
    };
    int64_t s = 42;
    for (size_t i = 0; i < SM_ARRAY_LEN(bad); i++) {
        assert_sm_err(sm_clock_parse(sm_slice_str(bad[i]), &s), MALFORMED);
    }
    for (size_t i = 0; i < SM_ARRAY_LEN(out_of_range); i++) {
        assert_sm_err(sm_clock_parse(sm_slice_str(out_of_range[i]), &s), OUT_OF_RANGE);
    }
    assert_sm_err(sm_clock_parse(SM_LIT("2026-01-01\0"
                                        "00:00:00Z"),
                                 &s),
                  MALFORMED);
    assert_int_equal(s, 42);
}

static void clock__every_prefix_of_a_time_is_refused(void **state)
{
    (void)state;
    sm_slice whole = SM_LIT("2026-01-31T12:34:56.789+01:30");
    int64_t s;
    assert_sm_ok(sm_clock_parse(whole, &s));
    for (size_t len = 0; len < whole.len; len++) {
        assert_sm_err(sm_clock_parse(sm_slice_first(whole, len), &s), MALFORMED);
    }
}

static void duration__sums_units(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t s;
    } good[] = {
        {"0s", 0},
        {"90s", 90},
        {"15m", 900},
        {"12h", 43200},
        {"30d", 2592000},
        {"52w", 31449600},
        {"1y", 31536000},
        {"1d12h", 129600},
        {"1y2w3d4h5m6s", 31536000 + 1209600 + 259200 + 14400 + 306},
        {"007s", 7},
    };
    for (size_t i = 0; i < SM_ARRAY_LEN(good); i++) {
        int64_t s;
        assert_sm_ok(sm_duration_parse(sm_slice_str(good[i].text), &s));
        assert_true(s == good[i].s);
    }
}

static void duration__wants_a_unit_and_stays_in_range(void **state)
{
    (void)state;
    static const char *const bad[] = {"",   "5",   "s",    "5 s", "5S",  "-5s", "+5s",
                                      "5x", "5sm", "1.5h", "1d2", "5ms", " 5s", "5s "};
    int64_t s = 42;
    for (size_t i = 0; i < SM_ARRAY_LEN(bad); i++) {
        assert_sm_err(sm_duration_parse(sm_slice_str(bad[i]), &s), MALFORMED);
    }
    assert_sm_err(sm_duration_parse(SM_LIT("99999999999999999999999s"), &s), OUT_OF_RANGE);
    assert_sm_err(sm_duration_parse(SM_LIT("99999y"), &s), OUT_OF_RANGE);
    assert_sm_err(sm_duration_parse(SM_LIT("9000y9000y"), &s), OUT_OF_RANGE);
    assert_int_equal(s, 42);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(clock__monotonic_never_runs_backwards),
        cmocka_unit_test(clock__wall_time_can_be_shifted),
        cmocka_unit_test(clock__agrees_with_libc_over_all_years),
        cmocka_unit_test(clock__refuses_dates_that_do_not_exist),
        cmocka_unit_test(clock__formats_and_clamps),
        cmocka_unit_test(clock__parses_the_examples_of_the_rfc),
        cmocka_unit_test(clock__refuses_what_is_no_rfc_3339),
        cmocka_unit_test(clock__every_prefix_of_a_time_is_refused),
        cmocka_unit_test(duration__sums_units),
        cmocka_unit_test(duration__wants_a_unit_and_stays_in_range),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
