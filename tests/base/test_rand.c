/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/support/support.h"

#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/rand.h"
#include "base/thread.h"

static void rand__fills_exactly_what_was_asked(void **state)
{
    (void)state;
    for (size_t len = 0; len < 600; len += 37) {
        uint8_t bytes[700];
        memset(bytes, 0, sizeof(bytes));
        sm_rand_bytes(bytes, len);
        for (size_t i = len; i < sizeof(bytes); i++) {
            assert_int_equal(bytes[i], 0);
        }
    }
}

static void rand__never_hands_out_the_same_bytes_twice(void **state)
{
    (void)state;
    /* 64 bits each: two equal ones among 4096 would be a fault, not chance. */
    static uint64_t seen[4096];
    for (size_t i = 0; i < 4096; i++) {
        seen[i] = sm_rand_u64();
        for (size_t j = i < 200 ? 0 : i - 200; j < i; j++) {
            assert_true(seen[i] != seen[j]);
        }
    }
}

/* Not a test of the kernel's generator: of a buffer that is filled only in part. */
static void rand__every_bit_takes_both_values(void **state)
{
    (void)state;
    uint8_t ones[160] = {0};
    uint8_t zeros[160] = {0};
    for (int i = 0; i < 64; i++) {
        uint8_t bytes[160];
        sm_rand_bytes(bytes, i % 2 == 0 ? 160 : 20);
        for (size_t j = 0; j < (i % 2 == 0 ? 160U : 20U); j++) {
            ones[j] |= bytes[j];
            zeros[j] |= (uint8_t)~bytes[j];
        }
    }
    for (size_t j = 0; j < 160; j++) {
        assert_int_equal(ones[j] & zeros[j], 0xff);
    }
}

static void rand__a_forked_child_has_its_own(void **state)
{
    (void)state;
    int ends[2];
    uint64_t theirs = 0;
    (void)sm_rand_u64(); /* the pool is filled */
    assert_int_equal(pipe(ends), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        uint64_t mine = sm_rand_u64();
        _exit(write(ends[1], &mine, sizeof(mine)) == (ssize_t)sizeof(mine) ? 0 : 1);
    }
    int status = 1;
    assert_int_equal(read(ends[0], &theirs, sizeof(theirs)), sizeof(theirs));
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    /* The parent's next ones are what a shared pool would have given the child. */
    for (int i = 0; i < 100; i++) {
        assert_true(sm_rand_u64() != theirs);
    }
    (void)close(ends[0]);
    (void)close(ends[1]);
}

static void draw(void *ctx)
{
    *(uint64_t *)ctx = sm_rand_u64();
}

static void rand__threads_do_not_share_a_pool(void **state)
{
    (void)state;
    sm_thread threads[2];
    uint64_t drawn[2] = {0, 0};
    assert_sm_ok(sm_thread_start(&threads[0], "draw", draw, &drawn[0]));
    assert_sm_ok(sm_thread_start(&threads[1], "draw", draw, &drawn[1]));
    sm_thread_join(&threads[0]);
    sm_thread_join(&threads[1]);
    assert_true(drawn[0] != drawn[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rand__fills_exactly_what_was_asked),
        cmocka_unit_test(rand__never_hands_out_the_same_bytes_twice),
        cmocka_unit_test(rand__every_bit_takes_both_values),
        cmocka_unit_test(rand__a_forked_child_has_its_own),
        cmocka_unit_test(rand__threads_do_not_share_a_pool),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
