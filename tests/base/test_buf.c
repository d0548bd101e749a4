/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/support/support.h"

#include "base/buf.h"
#include "base/mem.h"

static void assert_holds(const sm_buf *buf, sm_slice want)
{
    assert_sm_ok(sm_buf_err(buf));
    assert_int_equal(buf->len, want.len);
    assert_true(sm_slice_equal(sm_buf_slice(buf), want));
}

static void buf__appends_in_network_order(void **state)
{
    (void)state;
    sm_buf buf = sm_buf_init(64);
    sm_buf_put_byte(&buf, 0xff);
    sm_buf_put_u16be(&buf, 0x0102);
    sm_buf_put_u32be(&buf, 0x03040506);
    sm_buf_put_u64be(&buf, 0x0708090a0b0c0d0eULL);
    sm_buf_put(&buf, SM_SLICE_NONE);
    sm_buf_put_str(&buf, "x");
    assert_holds(&buf, SM_LIT("\xff\1\2\3\4\5\6\7\x08\x09\x0a\x0b\x0c\x0d\x0ex"));
    sm_buf_deinit(&buf);
}

static void buf__writes_decimals_at_both_ends(void **state)
{
    (void)state;
    sm_buf buf = sm_buf_init(64);
    sm_buf_put_decimal(&buf, 0);
    sm_buf_put_byte(&buf, ' ');
    sm_buf_put_decimal(&buf, UINT64_MAX);
    assert_holds(&buf, SM_LIT("0 18446744073709551615"));
    sm_buf_deinit(&buf);
}

static void buf__takes_exactly_its_cap(void **state)
{
    (void)state;
    sm_buf buf = sm_buf_init(4);
    sm_buf_put(&buf, SM_LIT("abcd"));
    assert_holds(&buf, SM_LIT("abcd"));
    sm_buf_put(&buf, SM_SLICE_NONE);
    assert_sm_ok(sm_buf_err(&buf));
    sm_buf_put_byte(&buf, 'e');
    assert_sm_err(sm_buf_err(&buf), TOO_LARGE);
    assert_int_equal(buf.len, 4);
    sm_buf_deinit(&buf);
}

static void buf__printf_fills_the_cap_exactly(void **state)
{
    (void)state;
    for (size_t cap = 1; cap < 600; cap += 7) {
        sm_buf buf = sm_buf_init(cap);
        sm_buf_printf(&buf, "%*d", (int)cap, 7);
        assert_sm_ok(sm_buf_err(&buf));
        assert_int_equal(buf.len, cap);
        assert_int_equal(buf.ptr[cap - 1], '7');
        sm_buf_printf(&buf, "%s", "");
        assert_sm_ok(sm_buf_err(&buf));
        sm_buf_printf(&buf, "!");
        assert_sm_err(sm_buf_err(&buf), TOO_LARGE);
        assert_int_equal(buf.len, cap);
        sm_buf_deinit(&buf);
    }
}

static void buf__printf_that_does_not_fit_leaves_no_trace(void **state)
{
    (void)state;
    sm_buf buf = sm_buf_init(5);
    sm_buf_printf(&buf, "%s", "abc");
    sm_buf_printf(&buf, "%s", "def");
    assert_sm_err(sm_buf_err(&buf), TOO_LARGE);
    assert_true(sm_slice_equal(sm_buf_slice(&buf), SM_LIT("abc")));
    sm_buf_deinit(&buf);
}

static void buf__error_sticks_until_reset(void **state)
{
    (void)state;
    sm_buf buf = sm_buf_init(2);
    sm_buf_put(&buf, SM_LIT("abc"));
    assert_sm_err(sm_buf_err(&buf), TOO_LARGE);
    sm_buf_put_byte(&buf, 'a'); /* would fit */
    sm_buf_printf(&buf, "a");
    assert_null(sm_buf_reserve(&buf, 0));
    assert_int_equal(buf.len, 0);
    sm_buf_reset(&buf);
    sm_buf_put(&buf, SM_LIT("ab"));
    assert_holds(&buf, SM_LIT("ab"));
    sm_buf_deinit(&buf);
}

static void buf__refuses_sizes_that_would_wrap(void **state)
{
    (void)state;
    sm_buf buf = sm_buf_init(SIZE_MAX);
    sm_buf_put_byte(&buf, 'a');
    assert_null(sm_buf_reserve(&buf, SIZE_MAX));
    assert_sm_err(sm_buf_err(&buf), TOO_LARGE);
    sm_buf_reset(&buf);
    sm_buf_put_byte(&buf, 'a');
    assert_null(sm_buf_reserve(&buf, SIZE_MAX - 1));
    assert_sm_err(sm_buf_err(&buf), TOO_LARGE);
    sm_buf_deinit(&buf);
}

static void buf__zero_cap_holds_nothing(void **state)
{
    (void)state;
    sm_buf buf = sm_buf_init(0);
    sm_buf_put(&buf, SM_SLICE_NONE);
    sm_buf_printf(&buf, "%s", "");
    assert_non_null(sm_buf_reserve(&buf, 0));
    assert_sm_ok(sm_buf_err(&buf));
    sm_buf_put_byte(&buf, 1);
    assert_sm_err(sm_buf_err(&buf), TOO_LARGE);
    sm_buf_deinit(&buf);
}

static void buf__keeps_its_bytes_while_it_grows(void **state)
{
    (void)state;
    for (int secret = 0; secret < 2; secret++) {
        sm_buf buf = secret ? sm_buf_init_secret(1 << 20) : sm_buf_init(1 << 20);
        for (uint32_t i = 0; i < 50000; i++) {
            sm_buf_put_u32be(&buf, i);
        }
        assert_sm_ok(sm_buf_err(&buf));
        assert_int_equal(buf.len, 200000);
        for (uint32_t i = 0; i < 50000; i++) {
            const uint8_t *p = buf.ptr + (size_t)4 * i;
            uint32_t v = (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
            assert_int_equal(v, i);
        }
        sm_buf_deinit(&buf);
    }
}

static void buf__secrets_are_wiped_where_they_stood(void **state)
{
    (void)state;
    sm_buf buf = sm_buf_init_secret(64);
    sm_buf_put(&buf, SM_LIT("passphrase"));
    const uint8_t *at = buf.ptr;
    sm_buf_consume(&buf, 4);
    assert_memory_equal(at, "phrase\0\0\0\0", 10);
    sm_buf_truncate(&buf, 2);
    assert_memory_equal(at, "ph\0\0\0\0\0\0\0\0", 10);
    sm_buf_reset(&buf);
    assert_memory_equal(at, "\0\0\0\0\0\0\0\0\0\0", 10);
    sm_buf_deinit(&buf);
}

static void buf__consumes_and_truncates(void **state)
{
    (void)state;
    sm_buf buf = sm_buf_init(64);
    sm_buf_consume(&buf, 0);
    sm_buf_truncate(&buf, 0);
    sm_buf_put(&buf, SM_LIT("abcdef"));
    sm_buf_consume(&buf, 2);
    assert_holds(&buf, SM_LIT("cdef"));
    sm_buf_truncate(&buf, 3);
    assert_holds(&buf, SM_LIT("cde"));
    sm_buf_consume(&buf, 3);
    assert_holds(&buf, SM_SLICE_NONE);
    sm_buf_deinit(&buf);
}

static void buf__take_gives_the_memory_away(void **state)
{
    (void)state;
    sm_buf buf = sm_buf_init(64);
    sm_buf_put(&buf, SM_LIT("abc"));
    uint8_t *mine = buf.ptr;
    sm_slice taken = sm_buf_take(&buf);
    assert_ptr_equal(taken.ptr, mine);
    assert_int_equal(taken.len, 3);
    assert_null(buf.ptr);
    sm_buf_put(&buf, SM_LIT("d"));
    assert_holds(&buf, SM_LIT("d"));
    sm_free(mine);
    sm_buf_deinit(&buf);
}

static void buf__survives_every_allocation_failure(void **state)
{
    (void)state;
    for (size_t n = 1;; n++) {
        sm_buf buf = sm_buf_init(100000);
        sm_mem_fail_at(n);
        for (int i = 0; i < 1000; i++) {
            sm_buf_printf(&buf, "%d,", i);
            sm_buf_put(&buf, SM_LIT("0123456789"));
        }
        int failed = sm_mem_has_failed();
        sm_mem_fail_at(0);
        if (!failed) {
            assert_sm_ok(sm_buf_err(&buf));
            sm_buf_deinit(&buf);
            assert_true(n > 5);
            return;
        }
        assert_sm_err(sm_buf_err(&buf), NO_MEMORY);
        assert_true(buf.len <= buf.room);
        sm_buf_deinit(&buf);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(buf__appends_in_network_order),
        cmocka_unit_test(buf__writes_decimals_at_both_ends),
        cmocka_unit_test(buf__takes_exactly_its_cap),
        cmocka_unit_test(buf__printf_fills_the_cap_exactly),
        cmocka_unit_test(buf__printf_that_does_not_fit_leaves_no_trace),
        cmocka_unit_test(buf__error_sticks_until_reset),
        cmocka_unit_test(buf__refuses_sizes_that_would_wrap),
        cmocka_unit_test(buf__zero_cap_holds_nothing),
        cmocka_unit_test(buf__keeps_its_bytes_while_it_grows),
        cmocka_unit_test(buf__secrets_are_wiped_where_they_stood),
        cmocka_unit_test(buf__consumes_and_truncates),
        cmocka_unit_test(buf__take_gives_the_memory_away),
        cmocka_unit_test(buf__survives_every_allocation_failure),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
