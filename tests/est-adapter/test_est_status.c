/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/support/support.h"

#include "est-adapter/est_status.h"

static void est_status__is_as_rfc_7030_has_it(void **state)
{
    (void)state;
    assert_int_equal(sm_est_status(SM_NO_ERR, false), 200);
    assert_int_equal(sm_est_status(SM_ERR(MALFORMED), false), 400);
    assert_int_equal(sm_est_status(SM_ERR(BAD_SIGNATURE), false), 400);
    assert_int_equal(sm_est_status(SM_ERR(POLICY), true), 400);
    assert_int_equal(sm_est_status(SM_ERR(UNAUTHENTICATED), true), 401);
    assert_int_equal(sm_est_status(SM_ERR(FORBIDDEN), true), 401);
    assert_int_equal(sm_est_status(SM_ERR(UNAUTHENTICATED), false), 403);
    assert_int_equal(sm_est_status(SM_ERR(NOT_FOUND), false), 404);
    assert_int_equal(sm_est_status(SM_ERR(TOO_LARGE), false), 413);
    assert_int_equal(sm_est_status(SM_ERR(RATE_LIMITED), false), 429);
    assert_int_equal(sm_est_status(SM_ERR(UNIMPLEMENTED), false), 501);
    assert_int_equal(sm_est_status(SM_ERR(PENDING), true), 202);
    assert_int_equal(sm_est_status(SM_ERR(QUEUE_FULL), false), 503);
    assert_int_equal(sm_est_status(SM_ERR(DISK), false), 503);
}

/* Never a 500 for what a client sent. */
static void est_status__is_500_for_faults_of_ours_alone(void **state)
{
    (void)state;
    static const uint32_t codes[] = {
#define X(name, number, category, words) SM_E_##name,
        SM_ERR_LIST(X)
#undef X
    };
    for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++) {
        sm_err err = {codes[i]};
        unsigned status = sm_est_status(err, false);
        assert_true(status >= 400 || sm_err_is(err, SM_E_PENDING));
        assert_true(status != 500 || sm_err_category(err) == SM_INTERNAL);
    }
}

static void est_status__says_when_to_come_back(void **state)
{
    (void)state;
    assert_true(sm_est_status_retries(503));
    assert_true(sm_est_status_retries(429));
    assert_true(sm_est_status_retries(202));
    assert_false(sm_est_status_retries(400));
    assert_false(sm_est_status_retries(401));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(est_status__is_as_rfc_7030_has_it),
        cmocka_unit_test(est_status__is_500_for_faults_of_ours_alone),
        cmocka_unit_test(est_status__says_when_to_come_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
