/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/support/support.h"

#include "base/clock.h"
#include "base/rate_table.h"

static sm_rate_table table;
static const uint64_t start = 1000 * SM_NS_PER_S;

static int set_up(void **state)
{
    (void)state;
    return sm_rate_table_init(&table) ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    sm_rate_table_deinit(&table);
    return 0;
}

static bool take(const char *key, const struct sm_rate_rule *rule, uint64_t at)
{
    uint64_t wait;
    return sm_rate_table_take(&table, sm_slice_str(key), rule, at, &wait);
}

static void rate_table__reads_rules(void **state)
{
    (void)state;
    struct sm_rate_rule r;
    assert_sm_ok(sm_rate_rule_parse(SM_LIT("10/h"), &r));
    assert_int_equal(r.count, 10);
    assert_int_equal(r.period_ns, 3600 * SM_NS_PER_S);
    assert_sm_ok(sm_rate_rule_parse(SM_LIT(""), &r));
    assert_int_equal(r.count, 0);
    static const char *const bad[] = {"10",   "/s",   "10/",    "10/w",        "0/s",
                                      "-1/s", "1 /s", "10/s/s", "9999999999/s"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_sm_err(sm_rate_rule_parse(sm_slice_str(bad[i]), &r), MALFORMED);
    }
}

static void rate_table__gives_each_key_its_own(void **state)
{
    (void)state;
    const struct sm_rate_rule rule = {3, SM_NS_PER_S};
    for (int i = 0; i < 3; i++) {
        assert_true(take("a", &rule, start));
    }
    assert_false(take("a", &rule, start));
    assert_true(take("b", &rule, start));
    /* a third of a second later there is one more, and no second */
    assert_true(take("a", &rule, start + SM_NS_PER_S / 3 + 1));
    assert_false(take("a", &rule, start + SM_NS_PER_S / 3 + 1));
    /* and after a pause as many as at first */
    for (int i = 0; i < 3; i++) {
        assert_true(take("a", &rule, start + 10 * SM_NS_PER_S));
    }
    assert_false(take("a", &rule, start + 10 * SM_NS_PER_S));
}

static void rate_table__says_when_there_is_one(void **state)
{
    (void)state;
    const struct sm_rate_rule rule = {1, 60 * SM_NS_PER_S};
    uint64_t wait = 0;
    assert_true(take("w", &rule, start));
    assert_false(sm_rate_table_take(&table, SM_LIT("w"), &rule, start + SM_NS_PER_S, &wait));
    assert_int_equal(wait, 59 * SM_NS_PER_S);
    assert_true(take("w", &rule, start + SM_NS_PER_S + wait));
}

static void rate_table__without_a_rule_takes_all(void **state)
{
    (void)state;
    const struct sm_rate_rule none = {0, 0};
    for (int i = 0; i < 1000; i++) {
        assert_true(take("n", &none, start));
    }
}

/* More keys than places: none is refused for another's sake. */
static void rate_table__many_keys_are_taken(void **state)
{
    (void)state;
    const struct sm_rate_rule rule = {1, SM_NS_PER_S};
    char key[24];
    for (unsigned i = 0; i < 2 * SM_RATE_PLACES; i++) {
        (void)snprintf(key, sizeof(key), "key-%u", i);
        assert_true(take(key, &rule, start + i));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rate_table__reads_rules),
        cmocka_unit_test(rate_table__gives_each_key_its_own),
        cmocka_unit_test(rate_table__says_when_there_is_one),
        cmocka_unit_test(rate_table__without_a_rule_takes_all),
        cmocka_unit_test(rate_table__many_keys_are_taken),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
