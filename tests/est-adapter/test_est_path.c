/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/support/support.h"

#include "est-adapter/est_path.h"

static void assert_parses(const char *path, enum sm_est_operation operation, const char *label)
{
    struct sm_est_path p;
    assert_true(sm_est_path_is_est(sm_slice_str(path)));
    assert_true(sm_est_path_parse(sm_slice_str(path), &p));
    assert_int_equal(p.operation, operation);
    assert_true(sm_slice_equal(p.label, sm_slice_str(label)));
}

static void est_path__finds_operation_and_label(void **state)
{
    (void)state;
    assert_parses("/.well-known/est/cacerts", SM_EST_CACERTS, "");
    assert_parses("/.well-known/est/simpleenroll", SM_EST_SIMPLEENROLL, "");
    assert_parses("/.well-known/est/simplereenroll", SM_EST_SIMPLEREENROLL, "");
    assert_parses("/.well-known/est/serverkeygen", SM_EST_SERVERKEYGEN, "");
    assert_parses("/.well-known/est/fullcmc", SM_EST_FULLCMC, "");
    assert_parses("/.well-known/est/line-7.a/csrattrs", SM_EST_CSRATTRS, "line-7.a");
}

/* As strongSwan's --label asks. */
static void est_path__takes_the_label_in_front(void **state)
{
    (void)state;
    assert_parses("/factory/.well-known/est/simpleenroll", SM_EST_SIMPLEENROLL, "factory");
}

static void est_path__refuses_what_is_none(void **state)
{
    (void)state;
    static const char *const none[] = {
        "/.well-known/est/",
        "/.well-known/est/cacerts/",
        "/.well-known/est/CACERTS",
        "/.well-known/est//cacerts",
        "/.well-known/est/a/b/cacerts",
        "/a/.well-known/est/b/cacerts",
        "/.well-known/est/%61/cacerts",
        "/.well-known/est/..",
        "/.well-known/est/.x/cacerts",
    };
    struct sm_est_path p;
    for (size_t i = 0; i < sizeof(none) / sizeof(none[0]); i++) {
        assert_false(sm_est_path_parse(sm_slice_str(none[i]), &p));
    }
}

static void est_path__leaves_other_paths_alone(void **state)
{
    (void)state;
    static const char *const others[] = {"",
                                         "/",
                                         "*",
                                         "/ocsp",
                                         "/.well-known/other/cacerts",
                                         "/a/b/.well-known/est/cacerts",
                                         "//.well-known/est/cacerts"};
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        assert_false(sm_est_path_is_est(sm_slice_str(others[i])));
    }
}

static void est_path__bounds_labels(void **state)
{
    (void)state;
    char path[200];
    struct sm_est_path p;
    char label[80];
    memset(label, 'x', sizeof(label));
    (void)snprintf(path, sizeof(path), "/.well-known/est/%.*s/cacerts", SM_EST_LABEL_MAX, label);
    assert_true(sm_est_path_parse(sm_slice_str(path), &p));
    (void)snprintf(path, sizeof(path), "/.well-known/est/%.*s/cacerts", SM_EST_LABEL_MAX + 1,
                   label);
    assert_false(sm_est_path_parse(sm_slice_str(path), &p));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(est_path__finds_operation_and_label),
        cmocka_unit_test(est_path__takes_the_label_in_front),
        cmocka_unit_test(est_path__refuses_what_is_none),
        cmocka_unit_test(est_path__leaves_other_paths_alone),
        cmocka_unit_test(est_path__bounds_labels),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
