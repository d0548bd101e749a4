/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/support/support.h"

#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/list.h"

struct item {
    int value;
    sm_list node;
};

static int value_of(const sm_list *node)
{
    const struct item *item = SM_CONTAINER_OF(node, struct item, node);
    return item->value;
}

/* The values in order as one decimal number, and both directions agree. */
static int digits(sm_list *head)
{
    int forward = 0;
    SM_LIST_FOR(it, head)
    {
        assert_ptr_equal(it->next->prev, it);
        forward = forward * 10 + value_of(it);
    }
    return forward;
}

static void list__keeps_order(void **state)
{
    (void)state;
    sm_list head;
    struct item items[4] = {{.value = 1}, {.value = 2}, {.value = 3}, {.value = 4}};
    sm_list_init(&head);
    assert_true(sm_list_empty(&head));
    assert_null(sm_list_pop_front(&head));
    sm_list_push_back(&head, &items[1].node);
    sm_list_push_back(&head, &items[3].node);
    sm_list_push_front(&head, &items[0].node);
    sm_list_insert_before(&items[3].node, &items[2].node);
    assert_int_equal(digits(&head), 1234);
    assert_int_equal(value_of(sm_list_pop_front(&head)), 1);
    assert_int_equal(digits(&head), 234);
}

static void list__second_removal_does_nothing(void **state)
{
    (void)state;
    sm_list head;
    struct item items[2] = {{.value = 1}, {.value = 2}};
    sm_list_init(&head);
    sm_list_push_back(&head, &items[0].node);
    sm_list_push_back(&head, &items[1].node);
    sm_list_remove(&items[0].node);
    sm_list_remove(&items[0].node);
    assert_int_equal(digits(&head), 2);
}

static void list__splices(void **state)
{
    (void)state;
    sm_list a;
    sm_list b;
    struct item items[4] = {{.value = 1}, {.value = 2}, {.value = 3}, {.value = 4}};
    sm_list_init(&a);
    sm_list_init(&b);
    sm_list_splice_back(&a, &b);
    assert_true(sm_list_empty(&a));
    sm_list_push_back(&b, &items[0].node);
    sm_list_push_back(&b, &items[1].node);
    sm_list_splice_back(&a, &b);
    assert_true(sm_list_empty(&b));
    sm_list_push_back(&b, &items[2].node);
    sm_list_push_back(&b, &items[3].node);
    sm_list_splice_back(&a, &b);
    assert_int_equal(digits(&a), 1234);
}

static void list__safe_walk_may_remove(void **state)
{
    (void)state;
    sm_list head;
    struct item items[4] = {{.value = 1}, {.value = 2}, {.value = 3}, {.value = 4}};
    sm_list_init(&head);
    for (size_t i = 0; i < SM_ARRAY_LEN(items); i++) {
        sm_list_push_back(&head, &items[i].node);
    }
    SM_LIST_FOR_SAFE(it, tmp, &head)
    {
        if (value_of(it) % 2 == 0) {
            sm_list_remove(it);
        }
    }
    assert_int_equal(digits(&head), 13);
}

static void check__aborts_when_it_does_not_hold(void **state)
{
    (void)state;
    volatile int one = 1;
    SM_CHECK(one == 1);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        (void)signal(SIGABRT, SIG_DFL);
        (void)close(2);
        SM_CHECK(one == 2);
        _exit(0);
    }
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status) || (WIFEXITED(status) && WEXITSTATUS(status) != 0));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(list__keeps_order),
        cmocka_unit_test(list__second_removal_does_nothing),
        cmocka_unit_test(list__splices),
        cmocka_unit_test(list__safe_walk_may_remove),
        cmocka_unit_test(check__aborts_when_it_does_not_hold),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
