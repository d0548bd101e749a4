/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/support/support.h"

#include <string.h>

#include "base/mem.h"

static void mem__zero_sizes_give_memory(void **state)
{
    (void)state;
    void *a = sm_malloc(0);
    void *b = sm_calloc(0, 8);
    void *c = sm_realloc(NULL, 0);
    assert_non_null(a);
    assert_non_null(b);
    assert_non_null(c);
    c = sm_realloc(c, 0);
    assert_non_null(c);
    sm_free(a);
    sm_free(b);
    sm_free(c);
    sm_free(NULL);
}

static void mem__calloc_refuses_a_product_that_wraps(void **state)
{
    (void)state;
    volatile size_t half = SIZE_MAX / 2 + 2; /* volatile: the compiler would refuse to compile it */
    assert_null(sm_calloc(half, 2));
}

static void mem__fails_the_nth_time_only(void **state)
{
    (void)state;
    sm_mem_fail_at(3);
    void *a = sm_malloc(1);
    void *b = sm_calloc(1, 1);
    assert_false(sm_mem_has_failed());
    assert_null(sm_realloc(a, 100));
    assert_true(sm_mem_has_failed());
    char *d = sm_strdup("still works");
    assert_string_equal(d, "still works");
    sm_mem_fail_at(1);
    assert_false(sm_mem_has_failed());
    assert_null(sm_strdup("x"));
    sm_mem_fail_at(0);
    sm_free(a); /* a failed realloc leaves the old memory */
    sm_free(b);
    sm_free(d);
}

static void mem__wipes(void **state)
{
    (void)state;
    char secret[8] = "secret!";
    sm_wipe(secret, 6);
    assert_memory_equal(secret, "\0\0\0\0\0\0!", 8);
    sm_wipe(NULL, 0);
    sm_wipe(secret, 0);
    assert_int_equal(secret[6], '!');
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(mem__zero_sizes_give_memory),
        cmocka_unit_test(mem__calloc_refuses_a_product_that_wraps),
        cmocka_unit_test(mem__fails_the_nth_time_only),
        cmocka_unit_test(mem__wipes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
