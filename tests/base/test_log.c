/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/support/support.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/thread.h"

#define CAPTURE (1 << 20)

static int ends[2];
static char captured[CAPTURE];

static int setup(void **state)
{
    (void)state;
    assert_int_equal(pipe2(ends, O_NONBLOCK | O_CLOEXEC), 0);
    (void)fcntl(ends[1], F_SETPIPE_SZ, CAPTURE);
    sm_log_configure(SM_LOG_INFO, SM_LOG_KEY_VALUE, ends[1]);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    sm_log_configure(SM_LOG_INFO, SM_LOG_KEY_VALUE, 2);
    return close(ends[0]) + close(ends[1]);
}

/* What was logged since the last call, as text. */
static const char *logged(void)
{
    size_t len = 0;
    ssize_t n;
    while ((n = read(ends[0], captured + len, sizeof(captured) - 1 - len)) > 0) {
        len += (size_t)n;
    }
    captured[len] = '\0';
    return captured;
}

/* The line behind its time stamp, whose form is checked. */
static const char *after_time(const char *line, const char *open, const char *close)
{
    static const char shape[] = "dddd-dd-ddTdd:dd:dd.dddZ";
    assert_memory_equal(line, open, strlen(open));
    line += strlen(open);
    for (size_t i = 0; shape[i] != '\0'; i++) {
        if (shape[i] == 'd') {
            assert_in_range(line[i], '0', '9');
        } else {
            assert_int_equal(line[i], shape[i]);
        }
    }
    line += strlen(shape);
    assert_memory_equal(line, close, strlen(close));
    return line + strlen(close);
}

static void log__writes_time_level_event_then_fields(void **state)
{
    (void)state;
    sm_log(SM_LOG_INFO, "listener_started", SM_KS("address", "[::1]"), SM_KU("port", 9000),
           SM_KI("delta", -5), SM_KE("err", SM_ERR(NOT_FOUND)), SM_KB("raw", SM_LIT("ab")),
           SM_KEND);
    assert_string_equal(after_time(logged(), "ts=", ""),
                        " level=info event=listener_started address=[::1] port=9000 delta=-5 "
                        "err=not_found raw=ab\n");
}

static void log__quotes_only_when_needed(void **state)
{
    (void)state;
    sm_log(SM_LOG_INFO, "e", SM_KS("a", ""), SM_KS("b", "x y"), SM_KS("c", "k=v"), SM_KS("d", NULL),
           SM_KS("e", "a\"b\\c"), SM_KS("f", "plain:/-_.,"), SM_KEND);
    assert_string_equal(after_time(logged(), "ts=", ""),
                        " level=info event=e a=\"\" b=\"x y\" c=\"k=v\" d=\"\" "
                        "e=\"a\\\"b\\\\c\" f=plain:/-_.,\n");
}

static void log__outside_bytes_cannot_forge_lines_or_steer_terminals(void **state)
{
    (void)state;
    sm_log(SM_LOG_INFO, "e", SM_KB("v", SM_LIT("a\nts=1 event=forged\r\x1b[2J\0\x7f\xc3\xa9\x9b")),
           SM_KEND);
    assert_string_equal(after_time(logged(), "ts=", ""),
                        " level=info event=e v=\"a\\u000ats=1 event=forged\\u000d\\u001b[2J"
                        "\\u0000\\u007f\\u00c3\\u00a9\\u009b\"\n");
}

static void log__json_quotes_strings_and_not_numbers(void **state)
{
    (void)state;
    sm_log_configure(SM_LOG_INFO, SM_LOG_JSON, ends[1]);
    sm_log(SM_LOG_ERROR, "json_event", SM_KS("s", "a \"b\"\n"), SM_KU("n", UINT64_MAX),
           SM_KI("i", INT64_MIN), SM_KEND);
    assert_string_equal(
        after_time(logged(), "{\"ts\":\"", "\""),
        ",\"level\":\"error\",\"event\":\"json_event\",\"s\":\"a \\\"b\\\"\\u000a\","
        "\"n\":18446744073709551615,\"i\":-9223372036854775808}\n");
}

static void log__leaves_out_what_is_below_its_level(void **state)
{
    (void)state;
    sm_log(SM_LOG_DEBUG, "hidden", SM_KEND);
    assert_string_equal(logged(), "");
    sm_log_configure(SM_LOG_DEBUG, SM_LOG_KEY_VALUE, ends[1]);
    assert_true(sm_log_enabled(SM_LOG_DEBUG));
    sm_log_configure(SM_LOG_ERROR, SM_LOG_KEY_VALUE, ends[1]);
    assert_false(sm_log_enabled(SM_LOG_WARN));
}

/* Every length of value, in both forms: one line, whole, ended as it must be. */
static void log__long_values_are_cut_and_lines_stay_whole(void **state)
{
    (void)state;
    char value[3000];
    for (int json = 0; json < 2; json++) {
        sm_log_configure(SM_LOG_INFO, json ? SM_LOG_JSON : SM_LOG_KEY_VALUE, ends[1]);
        for (size_t len = 0; len < sizeof(value); len += 13) {
            for (int i = 0; i < 2; i++) {
                memset(value, i == 0 ? 'x' : '\n', len);
                sm_slice v = sm_slice_of(value, len);
                sm_log(SM_LOG_INFO, "e", SM_KB("first", v), SM_KB("second", v), SM_KB("third", v),
                       SM_KU("last", 1), SM_KEND);
                const char *line = logged();
                size_t got = strlen(line);
                assert_in_range(got, 10, SM_LOG_LINE_MAX);
                assert_ptr_equal(strchr(line, '\n'), line + got - 1);
                if (json) {
                    assert_int_equal(line[got - 2], '}');
                    size_t quotes = 0;
                    for (const char *at = line; *at != '\0'; at++) {
                        quotes += *at == '"';
                    }
                    assert_int_equal(quotes % 2, 0);
                }
                bool all = strstr(line, json ? "\"last\":1" : " last=1") != NULL;
                bool cut = strstr(line, json ? ",\"cut\":1}" : " cut=1\n") != NULL;
                assert_true(all != cut);
            }
        }
    }
}

static void log__a_cut_value_says_so(void **state)
{
    (void)state;
    char value[SM_LOG_VALUE_MAX + 100];
    memset(value, 'x', sizeof(value));
    sm_log(SM_LOG_INFO, "e", SM_KB("v", sm_slice_of(value, sizeof(value))), SM_KU("n", 1), SM_KEND);
    assert_non_null(strstr(logged(), "xxx... n=1\n"));
    memset(value, '\n', sizeof(value));
    sm_log(SM_LOG_INFO, "e", SM_KB("v", sm_slice_of(value, sizeof(value))), SM_KU("n", 1), SM_KEND);
    const char *from = strstr(logged(), " v=");
    const char *to = strstr(captured, "\\u000a...\" n=1\n");
    assert_non_null(from);
    assert_non_null(to);
    assert_in_range(to + strlen("\\u000a...\"") - (from + 3), SM_LOG_VALUE_MAX - 8,
                    SM_LOG_VALUE_MAX);
}

static size_t count_of(const char *text, const char *needle)
{
    size_t n = 0;
    for (const char *at = text; (at = strstr(at, needle)) != NULL; at++) {
        n++;
    }
    return n;
}

/* Waits for the second to change, so that a burst lies within one. */
static void wait_for_new_second(void)
{
    uint64_t second = sm_clock_mono_ns() / SM_NS_PER_S;
    while (sm_clock_mono_ns() / SM_NS_PER_S == second) {
        (void)usleep(1000);
    }
}

static void log__warnings_are_limited_by_event_and_the_rest_counted(void **state)
{
    (void)state;
    wait_for_new_second();
    for (int i = 0; i < SM_LOG_BURST + 30; i++) {
        sm_log(SM_LOG_WARN, "flood", SM_KEND);
    }
    for (int i = 0; i < SM_LOG_BURST; i++) {
        sm_log(SM_LOG_WARN, "other", SM_KEND); /* a budget of its own */
        sm_log(SM_LOG_INFO, "flood", SM_KEND); /* not limited */
    }
    const char *text = logged();
    assert_int_equal(count_of(text, "level=warn event=flood"), SM_LOG_BURST);
    assert_int_equal(count_of(text, "level=warn event=other"), SM_LOG_BURST);
    assert_int_equal(count_of(text, "level=info event=flood"), SM_LOG_BURST);
    wait_for_new_second();
    sm_log(SM_LOG_WARN, "flood", SM_KEND);
    sm_log(SM_LOG_WARN, "flood", SM_KEND);
    text = logged();
    assert_int_equal(count_of(text, "event=flood missed=30\n"), 1);
    assert_int_equal(count_of(text, "event=flood\n"), 1);
}

static void log__more_events_than_slots_still_log(void **state)
{
    (void)state;
    char name[32];
    for (int i = 0; i < 400; i++) {
        (void)snprintf(name, sizeof(name), "event_%d", i);
        sm_log(SM_LOG_WARN, name, SM_KEND);
    }
    assert_true(count_of(logged(), "\n") > 250);
}

static void write_many(void *ctx)
{
    for (int i = 0; i < 500; i++) {
        sm_log(SM_LOG_INFO, "threads", SM_KS("who", ctx), SM_KEND);
    }
}

static void log__lines_of_threads_never_mix(void **state)
{
    (void)state;
    static char who[2][200];
    sm_thread threads[2];
    for (size_t i = 0; i < 2; i++) {
        memset(who[i], i == 0 ? 'a' : 'b', sizeof(who[i]) - 1);
        assert_sm_ok(sm_thread_start(&threads[i], "log", write_many, who[i]));
    }
    sm_thread_join(&threads[0]);
    sm_thread_join(&threads[1]);
    sm_slice rest = sm_slice_str(logged());
    size_t lines = 0;
    while (rest.len > 0) {
        sm_slice line = sm_slice_split(&rest, '\n');
        sm_slice value = sm_slice_from(line, sm_slice_search(line, SM_LIT("who=")) + 4);
        assert_int_equal(value.len, sizeof(who[0]) - 1);
        assert_true(sm_slice_equal(value, sm_slice_str(who[value.ptr[0] == 'a' ? 0 : 1])));
        lines++;
    }
    assert_int_equal(lines, 1000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(log__writes_time_level_event_then_fields, setup, teardown),
        cmocka_unit_test_setup_teardown(log__quotes_only_when_needed, setup, teardown),
        cmocka_unit_test_setup_teardown(log__outside_bytes_cannot_forge_lines_or_steer_terminals,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(log__json_quotes_strings_and_not_numbers, setup, teardown),
        cmocka_unit_test_setup_teardown(log__leaves_out_what_is_below_its_level, setup, teardown),
        cmocka_unit_test_setup_teardown(log__long_values_are_cut_and_lines_stay_whole, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(log__a_cut_value_says_so, setup, teardown),
        cmocka_unit_test_setup_teardown(log__warnings_are_limited_by_event_and_the_rest_counted,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(log__more_events_than_slots_still_log, setup, teardown),
        cmocka_unit_test_setup_teardown(log__lines_of_threads_never_mix, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
