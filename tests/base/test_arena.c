/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/support/support.h"

#include "base/arena.h"
#include "base/mem.h"

static void arena__aligns_for_any_type(void **state)
{
    (void)state;
    sm_arena arena;
    sm_arena_init(&arena, 1 << 20);
    for (size_t size = 0; size < 300; size++) {
        void *p = sm_arena_alloc(&arena, size);
        assert_non_null(p);
        assert_int_equal((uintptr_t)p % _Alignof(max_align_t), 0);
        memset(p, 0xa5, size);
    }
    sm_arena_deinit(&arena);
}

static void arena__objects_do_not_overlap(void **state)
{
    (void)state;
    sm_arena arena;
    uint8_t *objects[500];
    sm_arena_init(&arena, 4 << 20);
    for (size_t i = 0; i < 500; i++) {
        objects[i] = sm_arena_alloc(&arena, i + 1);
        assert_non_null(objects[i]);
        memset(objects[i], (int)(i & 0xff), i + 1);
    }
    for (size_t i = 0; i < 500; i++) {
        for (size_t j = 0; j <= i; j++) {
            assert_int_equal(objects[i][j], i & 0xff);
        }
    }
    sm_arena_deinit(&arena);
}

static void arena__stops_at_its_cap(void **state)
{
    (void)state;
    sm_arena arena;
    sm_arena_init(&arena, 10000);
    size_t total = 0;
    while (sm_arena_alloc(&arena, 160) != NULL) {
        total += 160;
    }
    assert_true(total <= 10000);
    assert_true(total > 9000);
    assert_true(arena.used <= 10000);
    assert_null(sm_arena_alloc(&arena, 10000));
    sm_arena_reset(&arena);
    assert_non_null(sm_arena_alloc(&arena, 160));
    sm_arena_deinit(&arena);
}

static void arena__gives_one_object_as_large_as_the_cap(void **state)
{
    (void)state;
    sm_arena arena;
    sm_arena_init(&arena, 65536);
    uint8_t *p = sm_arena_alloc(&arena, 65536);
    assert_non_null(p);
    p[65535] = 1;
    assert_null(sm_arena_alloc(&arena, 1));
    sm_arena_deinit(&arena);
    assert_null(sm_arena_alloc(&arena, 65537));
    sm_arena_deinit(&arena);
}

static void arena__refuses_sizes_that_would_wrap(void **state)
{
    (void)state;
    sm_arena arena;
    sm_arena_init(&arena, SIZE_MAX);
    for (size_t less = 0; less < 40; less++) {
        assert_null(sm_arena_alloc(&arena, SIZE_MAX - less));
    }
    assert_null(sm_arena_strdup(&arena, (sm_slice){(const uint8_t *)"x", SIZE_MAX}));
    assert_int_equal(arena.used, 0);
    sm_arena_deinit(&arena);
}

static void arena__reset_keeps_the_first_block_alone(void **state)
{
    (void)state;
    sm_arena arena;
    sm_arena_init(&arena, 1 << 20);
    sm_arena_reset(&arena); /* empty: nothing to do */
    void *first = sm_arena_alloc(&arena, 8);
    size_t kept = arena.used;
    assert_non_null(sm_arena_alloc(&arena, 100000));
    sm_arena_reset(&arena);
    assert_int_equal(arena.used, kept);
    sm_mem_fail_at(1); /* proves that no new memory is asked for */
    assert_ptr_equal(sm_arena_alloc(&arena, 8), first);
    sm_mem_fail_at(0);
    sm_arena_deinit(&arena);
}

static void arena__zalloc_clears_used_memory(void **state)
{
    (void)state;
    sm_arena arena;
    sm_arena_init(&arena, 1 << 20);
    memset(sm_arena_alloc(&arena, 64), 0xff, 64);
    sm_arena_reset(&arena);
    const uint8_t *p = sm_arena_zalloc(&arena, 64);
    for (size_t i = 0; i < 64; i++) {
        assert_int_equal(p[i], 0);
    }
    sm_arena_deinit(&arena);
}

static void arena__copies_bytes_and_text(void **state)
{
    (void)state;
    sm_arena arena;
    sm_slice out;
    sm_arena_init(&arena, 1 << 20);
    assert_sm_ok(sm_arena_copy(&arena, SM_LIT("a\0b"), &out));
    assert_true(sm_slice_equal(out, SM_LIT("a\0b")));
    assert_sm_ok(sm_arena_copy(&arena, SM_SLICE_NONE, &out));
    assert_int_equal(out.len, 0);
    assert_memory_equal(sm_arena_strdup(&arena, SM_LIT("a\0b")), "a\0b", 4);
    assert_string_equal(sm_arena_strdup(&arena, SM_SLICE_NONE), "");
    assert_string_equal(sm_arena_printf(&arena, "%s-%d", "x", 7), "x-7");
    char *wide = sm_arena_printf(&arena, "%10000d", 7);
    assert_int_equal(strlen(wide), 10000);
    sm_arena_deinit(&arena);
}

static void arena__out_parameter_is_untouched_on_failure(void **state)
{
    (void)state;
    sm_arena arena;
    sm_slice out = SM_LIT("before");
    sm_arena_init(&arena, 16);
    assert_sm_err(sm_arena_copy(&arena, SM_LIT("more than sixteen"), &out), NO_MEMORY);
    assert_true(sm_slice_equal(out, SM_LIT("before")));
    assert_null(sm_arena_printf(&arena, "%s", "more than sixteen"));
    sm_arena_deinit(&arena);
}

static void arena__survives_every_allocation_failure(void **state)
{
    (void)state;
    for (size_t n = 1;; n++) {
        sm_arena arena;
        size_t got = 0;
        sm_arena_init(&arena, 1 << 20);
        sm_mem_fail_at(n);
        for (size_t i = 0; i < 100; i++) {
            uint8_t *p = sm_arena_zalloc(&arena, 1000);
            got += p != NULL;
        }
        int failed = sm_mem_has_failed();
        sm_mem_fail_at(0);
        sm_arena_deinit(&arena);
        if (!failed) {
            assert_int_equal(got, 100);
            assert_true(n > 3);
            return;
        }
        assert_true(got < 100);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(arena__aligns_for_any_type),
        cmocka_unit_test(arena__objects_do_not_overlap),
        cmocka_unit_test(arena__stops_at_its_cap),
        cmocka_unit_test(arena__gives_one_object_as_large_as_the_cap),
        cmocka_unit_test(arena__refuses_sizes_that_would_wrap),
        cmocka_unit_test(arena__reset_keeps_the_first_block_alone),
        cmocka_unit_test(arena__zalloc_clears_used_memory),
        cmocka_unit_test(arena__copies_bytes_and_text),
        cmocka_unit_test(arena__out_parameter_is_untouched_on_failure),
        cmocka_unit_test(arena__survives_every_allocation_failure),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
