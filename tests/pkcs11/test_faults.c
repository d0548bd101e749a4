/* SPDX-License-Identifier: Apache-2.0 */
/* The faulty module's control file. */
#include "tests/support/support.h"

#include "tests/pkcs11/faults.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

static unsigned parse(const char *text, struct sm_faults *out)
{
    char copy[512];
    (void)snprintf(copy, sizeof(copy), "%s", text);
    return sm_faults_parse(copy, out);
}

static void faults__reads_every_kind_of_line(void **state)
{
    (void)state;
    struct sm_faults f;
    assert_int_equal(parse("# comment\n\n"
                           "C_Sign CKR_SESSION_HANDLE_INVALID 3\n"
                           "  C_Sign@alpha\tdelay 500\n"
                           "* CKR_DEVICE_REMOVED\n"
                           "C_SignInit hang\n"
                           "C_SignInit hang CKR_DEVICE_ERROR 1\n"
                           "C_Login late CKR_GENERAL_ERROR 2\n"
                           "C_SignFinal long\n"
                           "C_OpenSession 0x80000001\n"
                           "removed@beta",
                           &f),
                     0);
    assert_int_equal(f.n, 9);
    assert_int_equal(f.at[0].action, SM_FAULT_ANSWER);
    assert_int_equal(f.at[0].fn, FN_C_Sign);
    assert_int_equal(f.at[0].rv, CKR_SESSION_HANDLE_INVALID);
    assert_int_equal(f.at[0].left, 3);
    assert_string_equal(f.at[0].token, "");
    assert_int_equal(f.at[1].action, SM_FAULT_DELAY);
    assert_int_equal(f.at[1].ms, 500);
    assert_string_equal(f.at[1].token, "alpha");
    assert_true(f.at[1].left == ULONG_MAX);
    assert_int_equal(f.at[2].fn, SM_WRAP_FN_COUNT);
    assert_int_equal(f.at[3].action, SM_FAULT_HANG);
    assert_int_equal(f.at[3].rv, CKR_OK);
    assert_int_equal(f.at[4].rv, CKR_DEVICE_ERROR);
    assert_int_equal(f.at[4].left, 1);
    assert_int_equal(f.at[5].action, SM_FAULT_LATE);
    assert_int_equal(f.at[5].left, 2);
    assert_int_equal(f.at[6].action, SM_FAULT_LONG);
    assert_int_equal(f.at[7].rv, 0x80000001);
    assert_int_equal(f.at[8].action, SM_FAULT_REMOVED);
    assert_string_equal(f.at[8].token, "beta");
}

static void faults__clear_forgets_what_stands_above(void **state)
{
    (void)state;
    struct sm_faults f;
    assert_int_equal(parse("serial\ncounts\nC_Sign hang\nclear\nC_Login CKR_PIN_LOCKED\n", &f), 0);
    assert_int_equal(f.n, 1);
    assert_int_equal(f.at[0].fn, FN_C_Login);
    assert_int_equal(f.serial, SM_FAULT_PARALLEL);
    assert_false(f.counts);
    assert_int_equal(parse("serial count\ncounts", &f), 0);
    assert_int_equal(f.serial, SM_FAULT_SERIAL_COUNT);
    assert_true(f.counts);
    assert_int_equal(parse("", &f), 0);
    assert_int_equal(f.n, 0);
}

static void faults__names_the_first_line_that_means_nothing(void **state)
{
    (void)state;
    static const char *const wrong[] = {
        "C_Sing CKR_DEVICE_ERROR",
        "C_Sign",
        "C_Sign CKR_OK",
        "C_Sign 0x0",
        "C_Sign CKR_NO_SUCH_THING",
        "C_Sign CKR_DEVICE_ERROR x",
        "C_Sign CKR_DEVICE_ERROR -1",
        "C_Sign CKR_DEVICE_ERROR 99999999999999999999999",
        "C_Sign CKR_DEVICE_ERROR 1 1",
        "C_Sign delay",
        "C_Sign late",
        "C_Sign late 3",
        "C_Sign hang CKR_OK",
        "C_Login corrupt",
        "* short",
        "C_Sign@ hang",
        "C_Sign@a-label-of-more-than-thirty-two-octets hang",
        "removed 1",
        "removed@",
        "serial twice",
        "serial count 1",
        "clear all",
        "@alpha hang",
    };
    for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++) {
        char text[256];
        struct sm_faults f = {.n = 77};
        (void)snprintf(text, sizeof(text), "clear\n%s\nC_Sign hang\n", wrong[i]);
        if (parse(text, &f) != 2) {
            print_error("taken: %s\n", wrong[i]);
        }
        assert_int_equal(parse(text, &f), 2);
        assert_int_equal(f.n, 77);
    }
}

static void faults__has_room_for_so_many(void **state)
{
    (void)state;
    static char text[SM_FAULTS_TEXT];
    struct sm_faults f;
    for (unsigned i = 0; i < SM_FAULTS_MAX; i++) {
        (void)strcat(text, "C_Sign hang 1\n");
    }
    char *copy = strdup(text);
    assert_non_null(copy);
    assert_int_equal(sm_faults_parse(copy, &f), 0);
    assert_int_equal(f.n, SM_FAULTS_MAX);
    free(copy);
    (void)strcat(text, "C_Sign hang 1\n");
    assert_int_equal(sm_faults_parse(text, &f), SM_FAULTS_MAX + 1);
}

static void faults__knows_every_function_by_name(void **state)
{
    (void)state;
    for (unsigned fn = 0; fn < SM_WRAP_FN_COUNT; fn++) {
        assert_int_equal(sm_wrap_find(sm_wrap_name((enum sm_wrap_fn)fn)), fn);
    }
    assert_int_equal(SM_WRAP_FN_COUNT, 67); /* 68 less C_GetFunctionList */
    assert_int_equal(sm_wrap_find("C_"), SM_WRAP_FN_COUNT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(faults__reads_every_kind_of_line),
        cmocka_unit_test(faults__clear_forgets_what_stands_above),
        cmocka_unit_test(faults__names_the_first_line_that_means_nothing),
        cmocka_unit_test(faults__has_room_for_so_many),
        cmocka_unit_test(faults__knows_every_function_by_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
