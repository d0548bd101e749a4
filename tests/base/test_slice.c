/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/support/support.h"

#include "base/slice.h"

static void slice__empty_ones_are_equal_whatever_they_point_at(void **state)
{
    (void)state;
    assert_true(sm_slice_equal(SM_SLICE_NONE, sm_slice_of("x", 0)));
    assert_true(sm_slice_equal_secret(SM_SLICE_NONE, SM_LIT("")));
    assert_true(sm_slice_equal_nocase(SM_LIT(""), SM_SLICE_NONE));
    assert_int_equal(sm_slice_compare(SM_SLICE_NONE, SM_LIT("")), 0);
    assert_int_equal(sm_slice_str(NULL).len, 0);
}

static void slice__compares_octets_not_characters(void **state)
{
    (void)state;
    assert_true(sm_slice_compare(SM_LIT("a"), SM_LIT("b")) < 0);
    assert_true(sm_slice_compare(SM_LIT("a"), SM_LIT("aa")) < 0);
    assert_true(sm_slice_compare(SM_LIT("aa"), SM_LIT("a")) > 0);
    assert_true(sm_slice_compare(SM_LIT("\xff"), SM_LIT("\x01")) > 0);
    assert_true(sm_slice_compare(SM_LIT("a\0b"), SM_LIT("a\0c")) < 0);
    assert_false(sm_slice_equal(SM_LIT("a\0b"), SM_LIT("a\0c")));
    assert_false(sm_slice_equal_secret(SM_LIT("a\0b"), SM_LIT("a\0c")));
    assert_false(sm_slice_equal_secret(SM_LIT("a"), SM_LIT("ab")));
    assert_true(sm_slice_equal_secret(SM_LIT("secret"), SM_LIT("secret")));
}

static void slice__ignores_case_of_ascii_letters_alone(void **state)
{
    (void)state;
    assert_true(sm_slice_equal_nocase(SM_LIT("Content-TYPE"), SM_LIT("content-type")));
    /* Each pair differs in the bit that tells cases apart, and is no letter. */
    assert_false(sm_slice_equal_nocase(SM_LIT("@"), SM_LIT("`")));
    assert_false(sm_slice_equal_nocase(SM_LIT("["), SM_LIT("{")));
    assert_false(sm_slice_equal_nocase(SM_LIT("\xc4"), SM_LIT("\xe4")));
    assert_false(sm_slice_equal_nocase(SM_LIT("a"), SM_LIT("ab")));
}

static void slice__knows_prefix_and_suffix(void **state)
{
    (void)state;
    assert_true(sm_slice_starts_with(SM_LIT("Bearer x"), SM_LIT("Bearer ")));
    assert_true(sm_slice_starts_with(SM_LIT("x"), SM_SLICE_NONE));
    assert_false(sm_slice_starts_with(SM_LIT("Bear"), SM_LIT("Bearer")));
    assert_true(sm_slice_ends_with(SM_LIT("a.pem"), SM_LIT(".pem")));
    assert_true(sm_slice_ends_with(SM_SLICE_NONE, SM_SLICE_NONE));
    assert_false(sm_slice_ends_with(SM_LIT("pem"), SM_LIT(".pem")));
}

static void slice__finds_or_gives_the_length(void **state)
{
    (void)state;
    sm_slice s = SM_LIT("a\0bcbc");
    assert_int_equal(sm_slice_find(s, 'b'), 2);
    assert_int_equal(sm_slice_find(s, 0), 1);
    assert_int_equal(sm_slice_find(s, 'z'), s.len);
    assert_int_equal(sm_slice_find(SM_SLICE_NONE, 'a'), 0);
    assert_int_equal(sm_slice_search(s, SM_LIT("cb")), 3);
    assert_int_equal(sm_slice_search(s, SM_LIT("\0b")), 1);
    assert_int_equal(sm_slice_search(s, SM_LIT("bcbcb")), s.len);
    assert_int_equal(sm_slice_search(s, SM_SLICE_NONE), 0);
    assert_int_equal(sm_slice_search(SM_SLICE_NONE, SM_LIT("a")), 0);
}

static void slice__clamps_cuts(void **state)
{
    (void)state;
    sm_slice s = SM_LIT("abc");
    assert_true(sm_slice_equal(sm_slice_from(s, 1), SM_LIT("bc")));
    assert_int_equal(sm_slice_from(s, SIZE_MAX).len, 0);
    assert_int_equal(sm_slice_first(s, SIZE_MAX).len, 3);
    assert_null(sm_slice_from(SM_SLICE_NONE, 5).ptr);
}

static void slice__trims_ascii_space_only(void **state)
{
    (void)state;
    assert_true(sm_slice_equal(sm_slice_trim(SM_LIT(" \t\r\n\v\fa b\r\n")), SM_LIT("a b")));
    assert_int_equal(sm_slice_trim(SM_LIT("   ")).len, 0);
    assert_int_equal(sm_slice_trim(SM_SLICE_NONE).len, 0);
    assert_true(sm_slice_equal(sm_slice_trim(SM_LIT("\xa0x\0")), SM_LIT("\xa0x\0")));
}

static void slice__splits_into_every_part(void **state)
{
    (void)state;
    sm_slice rest = SM_LIT("a,,b,");
    assert_true(sm_slice_equal(sm_slice_split(&rest, ','), SM_LIT("a")));
    assert_int_equal(sm_slice_split(&rest, ',').len, 0);
    assert_true(sm_slice_equal(sm_slice_split(&rest, ','), SM_LIT("b")));
    /* What follows the last comma is a part too: an empty one. */
    assert_non_null(rest.ptr);
    assert_int_equal(sm_slice_split(&rest, ',').len, 0);
    assert_null(rest.ptr);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(slice__empty_ones_are_equal_whatever_they_point_at),
        cmocka_unit_test(slice__compares_octets_not_characters),
        cmocka_unit_test(slice__ignores_case_of_ascii_letters_alone),
        cmocka_unit_test(slice__knows_prefix_and_suffix),
        cmocka_unit_test(slice__finds_or_gives_the_length),
        cmocka_unit_test(slice__clamps_cuts),
        cmocka_unit_test(slice__trims_ascii_space_only),
        cmocka_unit_test(slice__splits_into_every_part),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
