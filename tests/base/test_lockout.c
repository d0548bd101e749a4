/* SPDX-License-Identifier: Apache-2.0 */
/* Lock-out: how many failures in which time, for how long, and for whom. */
#include "base/clock.h"
#include "base/lockout.h"
#include "tests/support/support.h"

#include <stdio.h>

#define MINUTE (UINT64_C(60) * SM_NS_PER_S)

static const struct sm_lockout_rules rules = {5, 15 * 60, 30 * 60};
static sm_lockout lockout;

static int set_up(void **state)
{
    (void)state;
    return sm_lockout_init(&lockout) ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    sm_lockout_deinit(&lockout);
    return 0;
}

/* How many of these failures locked. */
static unsigned fail_times(sm_slice key, unsigned times, uint64_t now)
{
    unsigned locks = 0;
    for (unsigned i = 0; i < times; i++) {
        locks += sm_lockout_fail(&lockout, key, &rules, now) ? 1 : 0;
    }
    return locks;
}

static void lockout__begins_with_the_fifth(void **state)
{
    (void)state;
    sm_slice key = SM_LIT("a");
    assert_int_equal(fail_times(key, 4, MINUTE), 0);
    assert_int_equal(sm_lockout_left_s(&lockout, key, MINUTE), 0);
    assert_int_equal(fail_times(key, 1, 2 * MINUTE), 1);
    assert_int_equal(sm_lockout_left_s(&lockout, key, 2 * MINUTE), 30 * 60);
    assert_int_equal(sm_lockout_left_s(&lockout, SM_LIT("b"), 2 * MINUTE), 0);
}

static void lockout__ends_to_the_second(void **state)
{
    (void)state;
    sm_slice key = SM_LIT("a");
    assert_int_equal(fail_times(key, 5, MINUTE), 1);
    assert_int_equal(sm_lockout_left_s(&lockout, key, 31 * MINUTE - 1), 1);
    assert_int_equal(sm_lockout_left_s(&lockout, key, 31 * MINUTE), 0);
    /* Then it counts from the start again. */
    assert_int_equal(fail_times(key, 4, 31 * MINUTE), 0);
    assert_int_equal(fail_times(key, 1, 31 * MINUTE), 1);
}

static void lockout__counts_within_its_window(void **state)
{
    (void)state;
    sm_slice key = SM_LIT("a");
    assert_int_equal(fail_times(key, 4, MINUTE), 0);
    assert_int_equal(fail_times(key, 4, 17 * MINUTE), 0);
    assert_int_equal(fail_times(key, 1, 18 * MINUTE), 1);
}

static void lockout__forgets_failures_and_no_lock(void **state)
{
    (void)state;
    sm_slice key = SM_LIT("a");
    assert_int_equal(fail_times(key, 4, MINUTE), 0);
    sm_lockout_forget(&lockout, key);
    assert_int_equal(fail_times(key, 4, MINUTE), 0);
    assert_int_equal(fail_times(key, 1, MINUTE), 1);
    sm_lockout_forget(&lockout, key);
    assert_int_equal(sm_lockout_left_s(&lockout, key, MINUTE), 30 * 60);
}

/* More keys than places: what is locked stays so, since it ends later than any failure was. */
static void lockout__a_flood_unlocks_nobody(void **state)
{
    (void)state;
    sm_slice key = SM_LIT("locked");
    char other[32];
    assert_int_equal(fail_times(key, 5, MINUTE), 1);
    for (unsigned i = 0; i < 4 * SM_LOCKOUT_PLACES; i++) {
        (void)snprintf(other, sizeof(other), "flood %u", i);
        (void)sm_lockout_fail(&lockout, sm_slice_str(other), &rules, 2 * MINUTE);
    }
    assert_int_equal(sm_lockout_left_s(&lockout, key, 2 * MINUTE), 29 * 60);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(lockout__begins_with_the_fifth, set_up, tear_down),
        cmocka_unit_test_setup_teardown(lockout__ends_to_the_second, set_up, tear_down),
        cmocka_unit_test_setup_teardown(lockout__counts_within_its_window, set_up, tear_down),
        cmocka_unit_test_setup_teardown(lockout__forgets_failures_and_no_lock, set_up, tear_down),
        cmocka_unit_test_setup_teardown(lockout__a_flood_unlocks_nobody, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
