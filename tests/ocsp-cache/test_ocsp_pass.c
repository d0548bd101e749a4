/* SPDX-License-Identifier: Apache-2.0 */
/* The schedule of signing anew, without a store. */
#include "ocsp-cache/ocsp_pass.h"
#include "tests/support/support.h"

#include <string.h>

#define NOW INT64_C(1800000000)
#define VALIDITY INT64_C(36000)
#define LENGTH (VALIDITY * SM_OCSP_PASS_SHARE / 100)

/* A pass that is over, with so many rows. */
static struct sm_ocsp_pass one_pass(size_t rows)
{
    struct sm_ocsp_pass p;
    sm_ocsp_pass_init(&p, VALIDITY, NOW);
    sm_ocsp_pass_begin(&p, NOW);
    sm_ocsp_pass_advance(&p, rows, SM_LIT("o"), true);
    return p;
}

static void pass__the_first_one_counts_at_once(void **state)
{
    (void)state;
    struct sm_ocsp_pass p;
    sm_ocsp_pass_init(&p, VALIDITY, NOW);
    assert_int_equal(sm_ocsp_pass_due(&p), NOW);
    assert_int_equal(sm_ocsp_pass_step(&p, false), SM_OCSP_STEP_MAX);
    sm_ocsp_pass_advance(&p, 1000, SM_LIT("o"), false);
    assert_int_equal(sm_ocsp_pass_due(&p), NOW);
    sm_ocsp_pass_advance(&p, 1000, SM_LIT("o"), true);
    assert_int_equal(sm_ocsp_pass_due(&p), NOW + LENGTH);
}

static void pass__is_spread_evenly(void **state)
{
    (void)state;
    const size_t rows = 1000000;
    struct sm_ocsp_pass p = one_pass(rows);
    sm_ocsp_pass_begin(&p, NOW + LENGTH);
    int64_t last = NOW + LENGTH;
    for (size_t seen = 0; seen < rows;) {
        int64_t due = sm_ocsp_pass_due(&p);
        size_t step = sm_ocsp_pass_step(&p, false);
        int64_t even = NOW + LENGTH + (int64_t)((double)LENGTH * (double)seen / (double)rows);
        assert_true(due >= even - 1 && due <= even + 1);
        assert_true(due - last <= SM_OCSP_STEP_S + 1);
        assert_true(step >= SM_OCSP_STEP_MIN && step <= SM_OCSP_STEP_MAX);
        last = due;
        step = step < rows - seen ? step : rows - seen;
        seen += step;
        sm_ocsp_pass_advance(&p, step, SM_LIT("o"), seen == rows);
    }
    assert_int_equal(sm_ocsp_pass_due(&p), NOW + 2 * LENGTH);
}

static void pass__an_answer_never_waits_for_two(void **state)
{
    (void)state;
    /* Whatever its age when a pass comes by: it is signed anew, or lasts until the next one and longer. */
    for (int64_t age = 0; age < VALIDITY; age += 10) {
        struct sm_ocsp_said said = {.produced_at = NOW - age, .next_update = NOW - age + VALIDITY};
        int64_t left = said.next_update - NOW;
        if (!sm_ocsp_pass_wants(&said, VALIDITY, NOW)) {
            assert_true(left >= LENGTH + VALIDITY * SM_OCSP_PASS_SLACK / 100);
        }
        if (age >= LENGTH) { /* signed by the pass before */
            assert_true(sm_ocsp_pass_wants(&said, VALIDITY, NOW));
        }
    }
}

static void pass__wants_answers_of_another_clock_or_validity(void **state)
{
    (void)state;
    const struct sm_ocsp_said future = {.produced_at = NOW + 3600,
                                        .next_update = NOW + 3600 + VALIDITY};
    const struct sm_ocsp_said longer = {.produced_at = NOW - 10, .next_update = NOW + 3 * VALIDITY};
    const struct sm_ocsp_said fine = {.produced_at = NOW - 10, .next_update = NOW - 10 + VALIDITY};
    assert_true(sm_ocsp_pass_wants(&future, VALIDITY, NOW));
    assert_true(sm_ocsp_pass_wants(&longer, VALIDITY, NOW));
    assert_false(sm_ocsp_pass_wants(&fine, VALIDITY, NOW));
}

static void pass__lag_is_what_it_is_late(void **state)
{
    (void)state;
    struct sm_ocsp_pass p = one_pass(1000);
    assert_int_equal(sm_ocsp_pass_lag(&p, NOW + LENGTH / 2), 0);
    assert_int_equal(sm_ocsp_pass_lag(&p, NOW + LENGTH + 77), 77);
    sm_ocsp_pass_begin(&p, NOW + LENGTH + 77);
    assert_int_equal(sm_ocsp_pass_lag(&p, NOW + LENGTH + 77), 77);
    sm_ocsp_pass_advance(&p, 500, SM_LIT("o"), false);
    assert_int_equal(sm_ocsp_pass_lag(&p, NOW + LENGTH + LENGTH / 2 + 5), 5);
    assert_int_equal(sm_ocsp_pass_lag(&p, NOW + LENGTH), 0); /* it has caught up and more */
    /* More rows than expected: no lag, and the rest at once. */
    sm_ocsp_pass_advance(&p, 600, SM_LIT("o"), false);
    assert_int_equal(sm_ocsp_pass_lag(&p, NOW + LENGTH + LENGTH / 2), 0);
    assert_true(sm_ocsp_pass_due(&p) <= NOW + LENGTH);
}

static void pass__catches_up_once_after_a_long_time(void **state)
{
    (void)state;
    struct sm_ocsp_pass p = one_pass(1000);
    int64_t now = NOW + 100 * VALIDITY;
    int passes = 0;
    while (sm_ocsp_pass_due(&p) <= now) {
        sm_ocsp_pass_begin(&p, now);
        sm_ocsp_pass_advance(&p, 1000, SM_LIT("o"), true);
        passes++;
    }
    assert_in_range(passes, 1, 2);
    assert_true(sm_ocsp_pass_due(&p) <= now + LENGTH);
}

static void pass__follows_a_clock_that_is_set_back(void **state)
{
    (void)state;
    struct sm_ocsp_pass p = one_pass(1000);
    sm_ocsp_pass_begin(&p, NOW + LENGTH);
    sm_ocsp_pass_advance(&p, 500, SM_LIT("o"), false);
    int64_t now = NOW - 5 * 3600;
    sm_ocsp_pass_follow(&p, VALIDITY, now);
    assert_int_equal(sm_ocsp_pass_due(&p), now);
    assert_int_equal(sm_ocsp_pass_lag(&p, now), 0);
    p = one_pass(1000);
    sm_ocsp_pass_follow(&p, VALIDITY, now);
    assert_true(sm_ocsp_pass_due(&p) <= now + LENGTH);
}

static void pass__follows_a_validity_that_is_changed(void **state)
{
    (void)state;
    struct sm_ocsp_pass p = one_pass(1000);
    sm_ocsp_pass_follow(&p, VALIDITY / 10, NOW + 100);
    assert_int_equal(p.length_s, LENGTH / 10);
    assert_true(sm_ocsp_pass_due(&p) <= NOW + 100 + LENGTH / 10);
    sm_ocsp_pass_follow(&p, VALIDITY, NOW + 100);
    assert_int_equal(p.length_s, LENGTH);
    assert_true(sm_ocsp_pass_due(&p) <= NOW + 100 + LENGTH);
}

static void pass__its_row_says_the_same(void **state)
{
    (void)state;
    sm_arena arena;
    sm_slice packed;
    struct sm_ocsp_pass p = one_pass(123);
    struct sm_ocsp_pass q;
    p.filled = true;
    sm_arena_init(&arena, 65536);
    assert_sm_ok(sm_ocsp_pass_pack(&p, &arena, &packed));
    assert_sm_ok(sm_ocsp_pass_unpack(packed, &q));
    assert_int_equal(q.started_at, p.started_at);
    assert_int_equal(q.length_s, p.length_s);
    assert_int_equal(q.seen, 123);
    assert_true(q.done && q.filled);
    assert_int_equal(q.cursor_len, 1);
    assert_int_equal(q.cursor[0], 'o');
    for (size_t i = 0; i < packed.len; i++) { /* a torn one is none, or harmless */
        struct sm_ocsp_pass torn = {.length_s = 1};
        (void)sm_ok(sm_ocsp_pass_unpack(sm_slice_of(packed.ptr, i), &torn));
        assert_true(torn.length_s > 0 && torn.cursor_len <= sizeof(torn.cursor));
    }
    assert_sm_err(sm_ocsp_pass_unpack(SM_LIT("\x08\x02"), &q), CORRUPT);
    sm_arena_deinit(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pass__the_first_one_counts_at_once),
        cmocka_unit_test(pass__is_spread_evenly),
        cmocka_unit_test(pass__an_answer_never_waits_for_two),
        cmocka_unit_test(pass__wants_answers_of_another_clock_or_validity),
        cmocka_unit_test(pass__lag_is_what_it_is_late),
        cmocka_unit_test(pass__catches_up_once_after_a_long_time),
        cmocka_unit_test(pass__follows_a_clock_that_is_set_back),
        cmocka_unit_test(pass__follows_a_validity_that_is_changed),
        cmocka_unit_test(pass__its_row_says_the_same),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
