/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/support/support.h"

#include <string.h>

#include "base/diag.h"

static void err__every_code_has_its_name_words_and_category(void **state)
{
    (void)state;
#define X(code, number, category, text)                                                \
    assert_string_equal(sm_err_words(SM_ERR(code)), text);                             \
    assert_int_equal(sm_err_category(SM_ERR(code)), category);                         \
    assert_int_equal(strcasecmp(sm_err_name(SM_ERR(code)), #code), 0);                 \
    assert_int_equal(strspn(sm_err_name(SM_ERR(code)), "abcdefghijklmnopqrstuvwxyz_"), \
                     strlen(#code));
    SM_ERR_LIST(X)
#undef X
    assert_string_equal(sm_err_name(SM_NO_ERR), "ok");
    assert_string_equal(sm_err_name((sm_err){0xdead00}), "unknown");
    assert_string_equal(sm_err_words((sm_err){0xdead00}), "unknown error");
}

static void err__numbers_are_used_once(void **state)
{
    (void)state;
    static const uint32_t numbers[] = {
#define X(code, number, category, text) number,
        SM_ERR_LIST(X)
#undef X
    };
    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
        for (size_t j = 0; j < i; j++) {
            assert_int_not_equal(numbers[i], numbers[j]);
        }
    }
}

static SM_FALLIBLE answer(sm_err err)
{
    return err;
}

static SM_FALLIBLE try_twice(sm_err first, sm_err second)
{
    SM_TRY(answer(first));
    SM_TRY(answer(second));
    return SM_NO_ERR;
}

static void err__try_returns_the_first_failure(void **state)
{
    (void)state;
    assert_sm_ok(try_twice(SM_NO_ERR, SM_NO_ERR));
    assert_sm_err(try_twice(SM_ERR(POLICY), SM_ERR(OS)), POLICY);
    assert_sm_err(try_twice(SM_NO_ERR, SM_ERR(OS)), OS);
    assert_true(sm_err_is(SM_ERR(OS), SM_E_OS));
}

static void diag__innermost_reason_wins(void **state)
{
    (void)state;
    sm_diag d = {0};
    assert_sm_err(sm_diag_set(&d, SM_ERR(POLICY), "csr", "first %d", 1), POLICY);
    assert_sm_err(sm_diag_set(&d, SM_ERR(INVALID), "other", "second"), INVALID);
    assert_string_equal(d.field, "csr");
    assert_string_equal(d.reason, "first 1");
    sm_diag_clear(&d);
    assert_sm_err(sm_diag_set(&d, SM_ERR(INVALID), NULL, "second"), INVALID);
    assert_string_equal(d.field, "");
    assert_string_equal(d.reason, "second");
}

static void diag__may_be_absent(void **state)
{
    (void)state;
    assert_sm_err(sm_diag_set(NULL, SM_ERR(POLICY), "csr", "x"), POLICY);
    sm_diag_clear(NULL);
}

static void diag__cuts_and_keeps_printable_ascii_only(void **state)
{
    (void)state;
    sm_diag d = {0};
    char field[200];
    memset(field, 'f', sizeof(field) - 1);
    field[sizeof(field) - 1] = '\0';
    assert_sm_err(sm_diag_set(&d, SM_ERR(POLICY), field, "a\nb\x1b[2J\xff %0500d", 1), POLICY);
    assert_int_equal(strlen(d.field), SM_DIAG_FIELD_MAX - 1);
    assert_int_equal(strlen(d.reason), SM_DIAG_REASON_MAX - 1);
    assert_memory_equal(d.reason, "a?b?[2J? 0", 10);
}

static void diag__escapes_outside_bytes(void **state)
{
    (void)state;
    char out[32];
    assert_string_equal(sm_diag_escape(SM_LIT("plain text"), out, sizeof(out)), "plain text");
    assert_string_equal(sm_diag_escape(SM_LIT("a\0\n\\\x7f\xff"), out, sizeof(out)),
                        "a\\x00\\x0a\\x5c\\x7f\\xff");
    assert_string_equal(sm_diag_escape(SM_SLICE_NONE, out, sizeof(out)), "");
}

static void diag__escape_cuts_only_what_does_not_fit(void **state)
{
    (void)state;
    char out[16];
    assert_string_equal(sm_diag_escape(SM_LIT("1234567"), out, 8), "1234567");
    assert_string_equal(sm_diag_escape(SM_LIT("12345678"), out, 8), "1234...");
    assert_string_equal(sm_diag_escape(SM_LIT("123\n"), out, 8), "123\\x0a");
    assert_string_equal(sm_diag_escape(SM_LIT("1234\n"), out, 8), "1234...");
    assert_string_equal(sm_diag_escape(SM_LIT("1\n345"), out, 8), "1...");
}

static void diag__escape_never_writes_past_its_room(void **state)
{
    (void)state;
    for (size_t size = 0; size < 20; size++) {
        for (size_t len = 0; len < 12; len++) {
            char out[24];
            memset(out, 0x55, sizeof(out));
            const char *text = sm_diag_escape(sm_slice_of("a\nb\nc\nd\ne\nf\n", len), out, size);
            assert_true(size == 0 || strlen(text) < size);
            for (size_t i = size; i < sizeof(out); i++) {
                assert_int_equal(out[i], 0x55);
            }
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(err__every_code_has_its_name_words_and_category),
        cmocka_unit_test(err__numbers_are_used_once),
        cmocka_unit_test(err__try_returns_the_first_failure),
        cmocka_unit_test(diag__innermost_reason_wins),
        cmocka_unit_test(diag__may_be_absent),
        cmocka_unit_test(diag__cuts_and_keeps_printable_ascii_only),
        cmocka_unit_test(diag__escapes_outside_bytes),
        cmocka_unit_test(diag__escape_cuts_only_what_does_not_fit),
        cmocka_unit_test(diag__escape_never_writes_past_its_room),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
