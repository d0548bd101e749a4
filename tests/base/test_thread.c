/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/support/support.h"

#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/thread.h"

struct seen {
    char name[32];
    sigset_t blocked;
    int nice;
};

static void look_around(void *ctx)
{
    struct seen *seen = ctx;
    (void)pthread_getname_np(pthread_self(), seen->name, sizeof(seen->name));
    (void)pthread_sigmask(SIG_SETMASK, NULL, &seen->blocked);
    sm_thread_lower_priority();
    seen->nice = getpriority(PRIO_PROCESS, (id_t)syscall(SYS_gettid));
}

static void thread__has_its_name_and_blocks_signals(void **state)
{
    (void)state;
    struct seen seen;
    sm_thread thread;
    sigset_t before;
    sigset_t after;
    (void)pthread_sigmask(SIG_SETMASK, NULL, &before);
    assert_sm_ok(sm_thread_start(&thread, "a-name-that-is-too-long", look_around, &seen));
    sm_thread_join(&thread);
    assert_string_equal(seen.name, "a-name-that-is-");
    assert_true(sigismember(&seen.blocked, SIGTERM));
    assert_true(sigismember(&seen.blocked, SIGHUP));
    (void)pthread_sigmask(SIG_SETMASK, NULL, &after);
    assert_int_equal(sigismember(&after, SIGTERM), sigismember(&before, SIGTERM));
}

static void thread__priority_is_its_own(void **state)
{
    (void)state;
    struct seen seen;
    sm_thread thread;
    int before = getpriority(PRIO_PROCESS, 0);
    assert_sm_ok(sm_thread_start(&thread, "low", look_around, &seen));
    sm_thread_join(&thread);
    assert_int_equal(getpriority(PRIO_PROCESS, 0), before);
    if (before < 10) {
        assert_int_equal(seen.nice, 10);
    }
}

static void thread__counts_at_least_one_cpu(void **state)
{
    (void)state;
    assert_in_range(sm_thread_cpu_count(), 1, 1U << 20);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(thread__has_its_name_and_blocks_signals),
        cmocka_unit_test(thread__priority_is_its_own),
        cmocka_unit_test(thread__counts_at_least_one_cpu),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
