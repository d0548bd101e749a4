/* SPDX-License-Identifier: Apache-2.0 */
#include "io/loop.h"

#include "base/clock.h"
#include "base/mem.h"
#include "base/rand.h"
#include "io/ring_p.h"
#include "tests/support/support.h"

static sm_loop *loop;

static int set_up(void **state)
{
    (void)state;
    return sm_ok(sm_loop_new(&loop, NULL)) ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    sm_loop_free(&loop);
    return 0;
}

struct counted {
    sm_timer timer;
    unsigned fired;
    unsigned again; /* how often it starts itself */
    uint64_t fired_ns;
};

static void on_fire(sm_timer *timer)
{
    struct counted *c = SM_CONTAINER_OF(timer, struct counted, timer);
    c->fired++;
    c->fired_ns = sm_clock_mono_ns();
    if (c->again > 0) {
        c->again--;
        assert_sm_ok(sm_timer_start(loop, timer, 0));
    }
}

static struct counted counted(void)
{
    struct counted c = {.fired = 0};
    sm_timer_init(&c.timer, on_fire);
    return c;
}

static void turn_for(uint64_t ms)
{
    uint64_t until = sm_clock_mono_ns() + ms * SM_NS_PER_MS;
    while (sm_clock_mono_ns() < until) {
        sm_loop_turn(loop, 1);
    }
}

static void timer__fires_once_and_not_early(void **state)
{
    (void)state;
    struct counted c = counted();
    uint64_t before = sm_clock_mono_ns();
    assert_sm_ok(sm_timer_start(loop, &c.timer, 15));
    while (c.fired == 0) {
        sm_loop_turn(loop, 5000);
    }
    assert_true(c.fired_ns - before >= 15 * SM_NS_PER_MS);
    assert_true(c.fired_ns - before < 5 * SM_NS_PER_S);
    turn_for(20);
    assert_int_equal(c.fired, 1);
    assert_int_equal(c.timer.heap_at, 0);
}

static void timer__stopped_never_fires(void **state)
{
    (void)state;
    struct counted c = counted();
    sm_timer_stop(loop, &c.timer); /* never started: no effect */
    assert_sm_ok(sm_timer_start(loop, &c.timer, 1));
    sm_timer_stop(loop, &c.timer);
    sm_timer_stop(loop, &c.timer);
    turn_for(10);
    assert_int_equal(c.fired, 0);
}

static void timer__starting_again_moves_it(void **state)
{
    (void)state;
    struct counted c = counted();
    assert_sm_ok(sm_timer_start(loop, &c.timer, 1));
    assert_sm_ok(sm_timer_start(loop, &c.timer, 60000));
    turn_for(10);
    assert_int_equal(c.fired, 0);
    assert_int_equal(loop->heap_count, 1);
    assert_sm_ok(sm_timer_start(loop, &c.timer, 0));
    turn_for(5);
    assert_int_equal(c.fired, 1);
    assert_int_equal(loop->heap_count, 0);
}

static void timer__may_start_itself_again(void **state)
{
    (void)state;
    struct counted c = counted();
    c.again = 3;
    assert_sm_ok(sm_timer_start(loop, &c.timer, 0));
    turn_for(10);
    assert_int_equal(c.fired, 4);
}

static void timer__a_delay_that_would_overflow_never_comes(void **state)
{
    (void)state;
    struct counted c = counted();
    assert_sm_ok(sm_timer_start(loop, &c.timer, UINT64_MAX));
    assert_true(c.timer.due_ns > sm_clock_mono_ns());
    turn_for(3);
    assert_int_equal(c.fired, 0);
    sm_timer_stop(loop, &c.timer);
}

static uint64_t last_due;

static void on_ordered(sm_timer *timer)
{
    struct counted *c = SM_CONTAINER_OF(timer, struct counted, timer);
    assert_true(timer->due_ns >= last_due);
    last_due = timer->due_ns;
    c->fired++;
}

#define MANY 2000

/* A random mix of starts, moves and stops: what is left fires in order of its time, all of it. */
static void timer__many_fire_in_order(void **state)
{
    (void)state;
    struct counted *all = sm_calloc(MANY, sizeof(*all));
    assert_non_null(all);
    last_due = 0;
    for (unsigned i = 0; i < MANY; i++) {
        sm_timer_init(&all[i].timer, on_ordered);
        assert_sm_ok(sm_timer_start(loop, &all[i].timer, sm_rand_u64() % 20));
    }
    for (unsigned i = 0; i < MANY; i += 3) {
        sm_timer_stop(loop, &all[i].timer);
    }
    for (unsigned i = 0; i < MANY; i += 5) {
        assert_sm_ok(sm_timer_start(loop, &all[i].timer, sm_rand_u64() % 20));
    }
    turn_for(60);
    for (unsigned i = 0; i < MANY; i++) {
        bool stopped = i % 3 == 0 && i % 5 != 0;
        assert_int_equal(all[i].fired, stopped ? 0 : 1);
    }
    assert_int_equal(loop->heap_count, 0);
    sm_free(all);
}

static struct counted victim;

static void on_stop_other(sm_timer *timer)
{
    (void)timer;
    sm_timer_stop(loop, &victim.timer);
}

static void timer__one_may_stop_another_that_is_due(void **state)
{
    (void)state;
    victim = counted();
    struct counted c = counted();
    c.timer.on_fire = on_stop_other;
    assert_sm_ok(sm_timer_start(loop, &c.timer, 0));
    assert_sm_ok(sm_timer_start(loop, &victim.timer, 0));
    victim.timer.due_ns = c.timer.due_ns + 1;
    turn_for(5);
    assert_int_equal(victim.fired, 0);
}

static void timer__without_memory_is_not_started(void **state)
{
    (void)state;
    struct counted all[17];
    for (size_t i = 0; i < 17; i++) {
        all[i] = counted();
        sm_mem_fail_at(i == 16 ? 1 : 0); /* the heap grows at the 17th */
        sm_err err = sm_timer_start(loop, &all[i].timer, 60000);
        sm_mem_fail_at(0);
        if (i == 16) {
            assert_sm_err(err, NO_MEMORY);
            assert_int_equal(all[i].timer.heap_at, 0);
        } else {
            assert_sm_ok(err);
        }
    }
    for (size_t i = 0; i < 17; i++) {
        sm_timer_stop(loop, &all[i].timer);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(timer__fires_once_and_not_early, set_up, tear_down),
        cmocka_unit_test_setup_teardown(timer__stopped_never_fires, set_up, tear_down),
        cmocka_unit_test_setup_teardown(timer__starting_again_moves_it, set_up, tear_down),
        cmocka_unit_test_setup_teardown(timer__may_start_itself_again, set_up, tear_down),
        cmocka_unit_test_setup_teardown(timer__a_delay_that_would_overflow_never_comes, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(timer__many_fire_in_order, set_up, tear_down),
        cmocka_unit_test_setup_teardown(timer__one_may_stop_another_that_is_due, set_up, tear_down),
        cmocka_unit_test_setup_teardown(timer__without_memory_is_not_started, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
