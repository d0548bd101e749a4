/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/support/support.h"

#include "base/check.h"
#include "base/text.h"

static void hex__round_trips_every_octet(void **state)
{
    (void)state;
    uint8_t all[256];
    char text[513];
    for (size_t i = 0; i < sizeof(all); i++) {
        all[i] = (uint8_t)i;
    }
    sm_buf hex = sm_buf_init(512);
    sm_buf back = sm_buf_init(256);
    sm_hex_encode(&hex, sm_slice_of(all, sizeof(all)));
    assert_sm_ok(sm_buf_err(&hex));
    assert_memory_equal(sm_hex_format(sm_slice_of(all, sizeof(all)), text), hex.ptr, 512);
    assert_int_equal(text[512], '\0');
    assert_sm_ok(sm_hex_decode(&back, sm_buf_slice(&hex), false));
    assert_true(sm_slice_equal(sm_buf_slice(&back), sm_slice_of(all, sizeof(all))));
    sm_buf_deinit(&hex);
    sm_buf_deinit(&back);
}

static void hex__reads_either_case_and_colons_if_allowed(void **state)
{
    (void)state;
    sm_buf out = sm_buf_init(16);
    assert_sm_ok(sm_hex_decode(&out, SM_LIT("aB:Cd:01"), true));
    assert_sm_ok(sm_hex_decode(&out, SM_LIT("aBCd01"), true));
    assert_true(sm_slice_equal(sm_buf_slice(&out), SM_LIT("\xab\xcd\x01\xab\xcd\x01")));
    sm_buf_deinit(&out);
}

static void hex__refuses_and_leaves_the_buffer_alone(void **state)
{
    (void)state;
    static const char *const bad[] = {"a",    "abc", "0g",  "g0",     " 00", "00 ",
                                      "0x00", ":aa", "aa:", "aa::bb", "a:a", "aa:b"};
    sm_buf out = sm_buf_init(16);
    sm_buf_put(&out, SM_LIT("kept"));
    for (size_t i = 0; i < SM_ARRAY_LEN(bad); i++) {
        assert_sm_err(sm_hex_decode(&out, sm_slice_str(bad[i]), true), MALFORMED);
        assert_true(sm_slice_equal(sm_buf_slice(&out), SM_LIT("kept")));
    }
    assert_sm_err(sm_hex_decode(&out, SM_LIT("aa:bb"), false), MALFORMED);
    assert_sm_ok(sm_hex_decode(&out, SM_SLICE_NONE, false));
    sm_buf_deinit(&out);
}

static void hex__reports_the_buffers_own_error(void **state)
{
    (void)state;
    sm_buf out = sm_buf_init(2);
    assert_sm_err(sm_hex_decode(&out, SM_LIT("aabbcc"), false), TOO_LARGE);
    assert_int_equal(out.len, 0);
    sm_buf_deinit(&out);
}

static void percent__decodes(void **state)
{
    (void)state;
    sm_buf out = sm_buf_init(64);
    assert_sm_ok(sm_percent_decode(&out, SM_LIT("a%2Fb%2f%00+%25%41")));
    assert_true(sm_slice_equal(sm_buf_slice(&out), SM_LIT("a/b/\0+%A")));
    sm_buf_deinit(&out);
}

static void percent__refuses_broken_escapes(void **state)
{
    (void)state;
    static const char *const bad[] = {"%", "%a", "a%", "abc%2", "%g0", "%0g", "%%41", "%-1"};
    sm_buf out = sm_buf_init(64);
    for (size_t i = 0; i < SM_ARRAY_LEN(bad); i++) {
        assert_sm_err(sm_percent_decode(&out, sm_slice_str(bad[i])), MALFORMED);
        assert_int_equal(out.len, 0);
    }
    sm_buf_deinit(&out);
}

static void percent__encodes_what_a_trailer_may_not_hold(void **state)
{
    (void)state;
    sm_buf out = sm_buf_init(64);
    sm_percent_encode(&out, SM_LIT("a b~%\n\x7f\xc3\xa9\0"));
    assert_true(sm_slice_equal(sm_buf_slice(&out), SM_LIT("a b~%25%0A%7F%C3%A9%00")));
    sm_buf_deinit(&out);
}

static void decimal__reads_digits_only(void **state)
{
    (void)state;
    uint64_t v = 99;
    assert_sm_ok(sm_decimal_parse(SM_LIT("0"), &v));
    assert_int_equal(v, 0);
    assert_sm_ok(sm_decimal_parse(SM_LIT("18446744073709551615"), &v));
    assert_true(v == UINT64_MAX);
    static const char *const bad[] = {"", "-1", "+1", " 1", "1 ", "1.0", "0x1", "1e3", "\xb2"};
    for (size_t i = 0; i < SM_ARRAY_LEN(bad); i++) {
        assert_sm_err(sm_decimal_parse(sm_slice_str(bad[i]), &v), MALFORMED);
    }
    assert_sm_err(sm_decimal_parse(SM_LIT("18446744073709551616"), &v), OUT_OF_RANGE);
    assert_sm_err(sm_decimal_parse(SM_LIT("99999999999999999999999"), &v), OUT_OF_RANGE);
    assert_true(v == UINT64_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hex__round_trips_every_octet),
        cmocka_unit_test(hex__reads_either_case_and_colons_if_allowed),
        cmocka_unit_test(hex__refuses_and_leaves_the_buffer_alone),
        cmocka_unit_test(hex__reports_the_buffers_own_error),
        cmocka_unit_test(percent__decodes),
        cmocka_unit_test(percent__refuses_broken_escapes),
        cmocka_unit_test(percent__encodes_what_a_trailer_may_not_hold),
        cmocka_unit_test(decimal__reads_digits_only),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
