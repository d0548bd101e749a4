/* SPDX-License-Identifier: Apache-2.0 */
/* A request's channel binding against its connection's: by rule, attribute and length. */
#include "api/channel_binding.h"
#include "base/check.h"
#include "tests/support/support.h"

#include <string.h>

#define UNIQUE "abcdefghijkl" /* 12 octets, as tls-unique has */
#define UNIQUE_TEXT "YWJjZGVmZ2hpamts"
#define EXPORTER "abcdefghijklmnopqrstuvwxyz012345"
#define EXPORTER_TEXT "YWJjZGVmZ2hpamtsbW5vcHFyc3R1dnd4eXowMTIzNDU="

static sm_diag diag;

static sm_slice text_of(const char *s)
{
    return s == NULL ? SM_SLICE_NONE : sm_slice_str(s);
}

static bool takes(enum sm_binding_rule rule, const char *linking, const char *challenge,
                  const char *binding)
{
    const struct sm_binding_claim claim = {text_of(linking), text_of(challenge), text_of(binding)};
    sm_diag_clear(&diag);
    sm_err err = sm_binding_check(rule, &claim, &diag);
    assert_true(sm_ok(err) || sm_err_is(err, SM_E_POLICY));
    return sm_ok(err);
}

static void binding__right_ones(void **state)
{
    (void)state;
    for (int i = SM_BINDING_CHECKED; i <= SM_BINDING_REQUIRED; i++) {
        enum sm_binding_rule rule = (enum sm_binding_rule)i;
        assert_true(takes(rule, NULL, UNIQUE_TEXT, UNIQUE));
        assert_true(takes(rule, UNIQUE_TEXT, NULL, UNIQUE));
        assert_true(takes(rule, NULL, EXPORTER_TEXT, EXPORTER));
        assert_true(takes(rule, EXPORTER_TEXT, "a password", EXPORTER));
    }
}

static void binding__wrong_ones(void **state)
{
    (void)state;
    for (int i = SM_BINDING_CHECKED; i <= SM_BINDING_REQUIRED; i++) {
        enum sm_binding_rule rule = (enum sm_binding_rule)i;
        assert_false(takes(rule, NULL, "YWJjZGVmZ2hpamtt", UNIQUE));
        assert_string_equal(diag.field, "csr.attributes.challenge_password");
        assert_false(takes(rule, "YWJjZGVmZ2hpamtt", NULL, UNIQUE));
        assert_string_equal(diag.field, "csr.attributes.est_identity_linking");
        assert_false(takes(rule, "short", NULL, UNIQUE)); /* whatever its length */
        assert_false(takes(rule, "", NULL, UNIQUE));
        /* The right one in the other place does not help. */
        assert_false(takes(rule, EXPORTER, UNIQUE_TEXT, UNIQUE));
    }
}

static void binding__a_password_of_another_length(void **state)
{
    (void)state;
    assert_true(takes(SM_BINDING_CHECKED, NULL, "a password", UNIQUE));
    assert_true(takes(SM_BINDING_CHECKED, NULL, UNIQUE_TEXT "\n", UNIQUE));
    assert_true(takes(SM_BINDING_CHECKED, NULL, UNIQUE_TEXT, EXPORTER)); /* not TLS 1.3's */
    assert_false(takes(SM_BINDING_REQUIRED, NULL, "a password", UNIQUE));
    assert_false(takes(SM_BINDING_REQUIRED, NULL, UNIQUE_TEXT "\n", UNIQUE));
}

static void binding__none(void **state)
{
    (void)state;
    assert_true(takes(SM_BINDING_CHECKED, NULL, NULL, UNIQUE));
    assert_false(takes(SM_BINDING_REQUIRED, NULL, NULL, UNIQUE));
    assert_non_null(strstr(diag.reason, "channel binding"));
}

static void binding__a_connection_without_one(void **state)
{
    (void)state;
    assert_true(takes(SM_BINDING_CHECKED, NULL, "a password", NULL));
    assert_false(takes(SM_BINDING_CHECKED, NULL, UNIQUE_TEXT, NULL));
    assert_false(takes(SM_BINDING_CHECKED, NULL, EXPORTER_TEXT, NULL));
    assert_false(takes(SM_BINDING_CHECKED, "", NULL, NULL));
    assert_false(takes(SM_BINDING_REQUIRED, NULL, "", NULL));
}

static void binding__off(void **state)
{
    (void)state;
    assert_true(takes(SM_BINDING_OFF, "wrong", "YWJjZGVmZ2hpamtt", UNIQUE));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(binding__right_ones),
        cmocka_unit_test(binding__wrong_ones),
        cmocka_unit_test(binding__a_password_of_another_length),
        cmocka_unit_test(binding__none),
        cmocka_unit_test(binding__a_connection_without_one),
        cmocka_unit_test(binding__off),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
