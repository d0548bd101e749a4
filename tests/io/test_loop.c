/* SPDX-License-Identifier: Apache-2.0 */
#include "io/loop.h"

#include "base/clock.h"
#include "base/mem.h"
#include "base/metrics.h"
#include "base/thread.h"
#include "io/ring_p.h"
#include "tests/support/support.h"

#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static sm_loop *new_loop(unsigned without)
{
    sm_loop *loop = NULL;
    sm_diag diag = {.reason = ""};
    sm_err err = sm_loop_new_without(without, &loop, &diag);
    if (!sm_ok(err)) {
        print_error("%s\n", diag.reason);
    }
    assert_sm_ok(err);
    return loop;
}

/* ---- tasks ---- */

static char trace[64];

struct traced {
    sm_task task;
    sm_loop *loop;
    char letter;
    struct traced *next; /* scheduled by this one */
    enum sm_phase next_phase;
};

static void run_traced(sm_task *task)
{
    struct traced *t = SM_CONTAINER_OF(task, struct traced, task);
    size_t at = strlen(trace);
    trace[at] = t->letter;
    trace[at + 1] = 0;
    if (t->next != NULL) {
        sm_task_schedule(t->loop, &t->next->task, t->next_phase);
    }
}

static struct traced traced(sm_loop *loop, char letter)
{
    struct traced t = {.loop = loop, .letter = letter};
    return t;
}

static void loop__runs_work_before_flush(void **state)
{
    (void)state;
    sm_loop *loop = new_loop(0);
    struct traced a = traced(loop, 'f');
    struct traced b = traced(loop, 'w');
    sm_task_init(&a.task, run_traced);
    sm_task_init(&b.task, run_traced);
    trace[0] = 0;
    sm_task_schedule(loop, &a.task, SM_PHASE_FLUSH);
    sm_task_schedule(loop, &b.task, SM_PHASE_WORK);
    sm_task_schedule(loop, &b.task, SM_PHASE_WORK); /* once is enough */
    sm_loop_turn(loop, 1000);
    assert_string_equal(trace, "wf");
    sm_loop_turn(loop, 0);
    assert_string_equal(trace, "wf");
    sm_loop_free(&loop);
}

static void loop__runs_flush_of_the_same_turn_and_rearmed_work_in_the_next(void **state)
{
    (void)state;
    sm_loop *loop = new_loop(0);
    struct traced work = traced(loop, 'w');
    struct traced flush = traced(loop, 'f');
    sm_task_init(&work.task, run_traced);
    sm_task_init(&flush.task, run_traced);
    work.next = &flush;
    work.next_phase = SM_PHASE_FLUSH;
    flush.next = &flush;
    flush.next_phase = SM_PHASE_FLUSH;
    trace[0] = 0;
    sm_task_schedule(loop, &work.task, SM_PHASE_WORK);
    uint64_t before = sm_clock_mono_ns();
    sm_loop_turn(loop, 0);
    assert_string_equal(trace, "wf");
    sm_loop_turn(loop, 10000); /* must not sleep: a task waits */
    assert_string_equal(trace, "wff");
    assert_true(sm_clock_mono_ns() - before < 5 * SM_NS_PER_S);
    sm_task_cancel(&flush.task);
    sm_loop_free(&loop);
}

static void loop__a_cancelled_task_does_not_run(void **state)
{
    (void)state;
    sm_loop *loop = new_loop(0);
    struct traced a = traced(loop, 'a');
    sm_task_init(&a.task, run_traced);
    trace[0] = 0;
    sm_task_schedule(loop, &a.task, SM_PHASE_WORK);
    sm_task_cancel(&a.task);
    sm_task_cancel(&a.task);
    sm_loop_turn(loop, 0);
    assert_string_equal(trace, "");
    sm_loop_free(&loop);
}

/* ---- waiting and waking ---- */

static void loop__waits_no_longer_than_asked(void **state)
{
    (void)state;
    sm_loop *loop = new_loop(0);
    sm_loop_turn(loop, 0);
    uint64_t before = sm_clock_mono_ns();
    sm_loop_turn(loop, 20);
    uint64_t took = sm_clock_mono_ns() - before;
    assert_true(took >= 10 * SM_NS_PER_MS && took < 5 * SM_NS_PER_S);
    sm_loop_free(&loop);
}

struct posted {
    sm_msg msg;
    _Atomic int *count;
    sm_loop *stop;
};

static void run_posted(sm_msg *msg)
{
    struct posted *p = SM_CONTAINER_OF(msg, struct posted, msg);
    if (atomic_fetch_add(p->count, 1) == 0 && p->stop != NULL) {
        sm_loop_stop(p->stop);
    }
}

static void post_later(void *ctx)
{
    struct posted *p = ctx;
    (void)usleep(20000);
    sm_mailbox_post(sm_loop_mailbox(p->stop), &p->msg);
}

static void loop__a_post_from_a_thread_wakes_it(void **state)
{
    (void)state;
    sm_loop *loop = new_loop(0);
    _Atomic int count = 0;
    struct posted p = {.msg.run = run_posted, .count = &count, .stop = loop};
    sm_thread thread;
    assert_sm_ok(sm_thread_start(&thread, "poster", post_later, &p));
    sm_loop_run(loop); /* hangs for ever when the post wakes nobody */
    assert_int_equal(atomic_load(&count), 1);
    sm_thread_join(&thread);
    sm_loop_free(&loop);
}

static void stop_later(void *ctx)
{
    (void)usleep(20000);
    sm_loop_stop(ctx);
}

static void loop__stop_from_a_thread_ends_run(void **state)
{
    (void)state;
    sm_loop *loop = new_loop(0);
    sm_thread thread;
    assert_sm_ok(sm_thread_start(&thread, "stopper", stop_later, loop));
    sm_loop_run(loop);
    sm_thread_join(&thread);
    sm_loop_free(&loop);
}

#define PINGS 20000

struct pingpong {
    sm_msg msg;
    sm_loop *here;
    sm_loop *there;
    struct pingpong *back;
    unsigned left;
};

static void run_ping(sm_msg *msg)
{
    struct pingpong *p = SM_CONTAINER_OF(msg, struct pingpong, msg);
    if (p->left == 0) {
        sm_loop_stop(p->here);
        return;
    }
    p->left--;
    sm_mailbox_post(sm_loop_mailbox(p->there), &p->back->msg);
}

struct pong_thread {
    sm_thread thread;
    struct pingpong *half;
    _Atomic bool ready;
    _Atomic bool may_free;
};

static void pong_main(void *ctx)
{
    struct pong_thread *t = ctx;
    t->half->here = new_loop(0);
    atomic_store(&t->ready, true);
    sm_loop_run(t->half->here);
    while (!atomic_load(&t->may_free)) {
        (void)usleep(100); /* the other half may still be inside its last post */
    }
    sm_loop_free(&t->half->here);
}

/* Each post finds the other loop asleep or about to sleep: a lost wake-up would hang here. */
static void loop__no_wake_up_is_lost_between_two_loops(void **state)
{
    (void)state;
    struct pingpong a = {.msg.run = run_ping, .left = PINGS};
    struct pingpong b = {.msg.run = run_ping, .left = PINGS};
    struct pong_thread t = {.half = &b};
    a.here = new_loop(0);
    a.back = &b;
    b.back = &a;
    b.there = a.here;
    assert_sm_ok(sm_thread_start(&t.thread, "pong", pong_main, &t));
    while (!atomic_load(&t.ready)) {
        (void)usleep(100);
    }
    a.there = b.here;
    sm_mailbox_post(sm_loop_mailbox(a.here), &a.msg);
    sm_loop_run(a.here);
    assert_int_equal(a.left, 0);
    sm_loop_stop(b.here);
    atomic_store(&t.may_free, true);
    sm_thread_join(&t.thread);
    sm_loop_free(&a.here);
}

#define POSTERS 3
#define POSTS 20000

struct poster {
    sm_thread thread;
    sm_loop *loop;
    struct posted *posts;
    _Atomic int *count;
};

static void poster_main(void *ctx)
{
    struct poster *p = ctx;
    for (int i = 0; i < POSTS; i++) {
        p->posts[i] = (struct posted){.msg.run = run_posted, .count = p->count};
        sm_mailbox_post(sm_loop_mailbox(p->loop), &p->posts[i].msg);
    }
}

static void loop__takes_every_message_of_many_threads(void **state)
{
    (void)state;
    sm_loop *loop = new_loop(0);
    _Atomic int count = 0;
    struct poster posters[POSTERS];
    for (int i = 0; i < POSTERS; i++) {
        posters[i] = (struct poster){
            .loop = loop, .count = &count, .posts = sm_calloc(POSTS, sizeof(struct posted))};
        assert_non_null(posters[i].posts);
        assert_sm_ok(sm_thread_start(&posters[i].thread, "poster", poster_main, &posters[i]));
    }
    while (atomic_load(&count) < POSTERS * POSTS) {
        sm_loop_turn(loop, 10000);
    }
    for (int i = 0; i < POSTERS; i++) {
        sm_thread_join(&posters[i].thread);
        sm_free(posters[i].posts);
    }
    assert_int_equal(atomic_load(&count), POSTERS * POSTS);
    sm_loop_free(&loop);
}

/* ---- the ring ---- */

struct nop {
    sm_op op;
    int32_t res;
    unsigned *done;
};

static void on_nop(sm_op *op, int32_t res, uint32_t flags)
{
    struct nop *n = SM_CONTAINER_OF(op, struct nop, op);
    (void)flags;
    n->res = res;
    (*n->done)++;
}

#define NOPS (SM_LOOP_RING_ENTRIES * 6)

static void loop__takes_more_submissions_than_its_ring_holds(void **state)
{
    sm_loop *loop = new_loop((unsigned)(uintptr_t)*state);
    struct nop *nops = sm_calloc(NOPS, sizeof(*nops));
    unsigned done = 0;
    assert_non_null(nops);
    for (unsigned i = 0; i < NOPS; i++) {
        nops[i] = (struct nop){.op.on_complete = on_nop, .res = -1, .done = &done};
        struct io_uring_sqe *sqe = sm_loop_sqe(loop);
        io_uring_prep_nop(sqe);
        sm_loop_set_op(sqe, &nops[i].op);
    }
    for (int i = 0; i < 1000 && done < NOPS; i++) {
        sm_loop_turn(loop, 100);
    }
    assert_int_equal(done, NOPS);
    for (unsigned i = 0; i < NOPS; i++) {
        assert_int_equal(nops[i].res, 0);
    }
    sm_free(nops);
    sm_loop_free(&loop);
}

static void loop__says_which_features_it_uses(void **state)
{
    (void)state;
    sm_loop *loop = new_loop(RING_WITHOUT_BUFFERS);
    assert_false(sm_loop_get_features(loop)->provided_buffers);
    assert_false(sm_loop_get_features(loop)->multishot_recv);
    assert_false(sm_loop_get_features(loop)->multishot_accept);
    sm_loop_free(&loop);
    loop = new_loop(RING_WITHOUT_DEFER | RING_WITHOUT_MULTISHOT);
    assert_false(sm_loop_get_features(loop)->single_issuer);
    assert_false(sm_loop_get_features(loop)->defer_taskrun);
    assert_false(sm_loop_get_features(loop)->multishot_accept);
    sm_loop_free(&loop);
}

static void loop__spare_buffers_come_back_empty(void **state)
{
    (void)state;
    sm_loop *loop = new_loop(0);
    sm_buf buf = sm_loop_take_spare(loop, 1000);
    sm_buf_put_str(&buf, "left over");
    const uint8_t *memory = buf.ptr;
    sm_loop_give_spare(loop, &buf);
    assert_null(buf.ptr);
    sm_buf again = sm_loop_take_spare(loop, 64);
    assert_int_equal(again.len, 0);
    assert_ptr_equal(again.ptr, memory);
    sm_buf_deinit(&again);
    sm_loop_free(&loop);
}

static void loop__counts_its_turns(void **state)
{
    (void)state;
    sm_loop *loop = new_loop(0);
    sm_metric turns = sm_metric_register(SM_COUNTER, "sealmill_loop_turns_total", "", NULL);
    int64_t before = sm_metric_value(turns);
    sm_loop_turn(loop, 0);
    sm_loop_turn(loop, 0);
    assert_int_equal(sm_metric_value(turns), before + 2);
    sm_loop_free(&loop);
}

/* ---- refusals ---- */

static bool forbid_io_uring(uint32_t error)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_io_uring_setup, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | error),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    const struct sock_fprog program = {.len = (unsigned short)SM_ARRAY_LEN(code), .filter = code};
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
           prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0) == 0;
}

/* In a child: 0 as expected, 1 not, 77 when this machine cannot forbid. */
static int try_forbidden(uint32_t error, const char *word)
{
    sm_loop *loop = NULL;
    sm_diag diag = {.reason = ""};
    if (!forbid_io_uring(error)) {
        return 77;
    }
    sm_err err = sm_loop_new(&loop, &diag);
    return sm_err_is(err, SM_E_UNAVAILABLE) && loop == NULL && strstr(diag.reason, word) != NULL
               ? 0
               : 1;
}

static void check_forbidden(uint32_t error, const char *word)
{
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        _exit(try_forbidden(error, word));
    }
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    if (WEXITSTATUS(status) == 77) {
        print_message("skipped: seccomp is not to be had here\n");
        skip();
    }
    assert_int_equal(WEXITSTATUS(status), 0);
}

static void loop__refuses_with_a_reason_where_io_uring_is_missing(void **state)
{
    (void)state;
    check_forbidden(38 /* ENOSYS */, "no io_uring");
}

static void loop__refuses_with_a_reason_where_io_uring_is_forbidden(void **state)
{
    (void)state;
    check_forbidden(1 /* EPERM */, "forbidden");
}

static void loop__refuses_without_file_descriptors(void **state)
{
    (void)state;
    struct rlimit before;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    struct rlimit none = {.rlim_cur = 0, .rlim_max = before.rlim_max};
    sm_loop *loop = NULL;
    sm_diag diag = {.reason = ""};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    sm_err err = sm_loop_new(&loop, &diag);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    assert_false(sm_ok(err));
    assert_non_null(strstr(diag.reason, "descriptor"));
}

static void loop__survives_every_allocation_failure(void **state)
{
    (void)state;
    for (size_t n = 1; n < 50; n++) {
        sm_loop *loop = NULL;
        sm_mem_fail_at(n);
        sm_err err = sm_loop_new(&loop, NULL);
        bool failed = sm_mem_has_failed() != 0;
        sm_mem_fail_at(0);
        if (!failed) {
            assert_sm_ok(err);
            sm_loop_free(&loop);
            return;
        }
        /* Without memory for buffers it goes on with one; without that it says so. */
        assert_true(sm_ok(err) || sm_err_is(err, SM_E_NO_MEMORY) || sm_err_is(err, SM_E_OS));
        sm_loop_free(&loop);
    }
    fail_msg("it never stops allocating");
}

int main(void)
{
    void *nothing = NULL;
    void *without = (void *)(uintptr_t)(RING_WITHOUT_DEFER | RING_WITHOUT_BUFFERS);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(loop__runs_work_before_flush),
        cmocka_unit_test(loop__runs_flush_of_the_same_turn_and_rearmed_work_in_the_next),
        cmocka_unit_test(loop__a_cancelled_task_does_not_run),
        cmocka_unit_test(loop__waits_no_longer_than_asked),
        cmocka_unit_test(loop__a_post_from_a_thread_wakes_it),
        cmocka_unit_test(loop__stop_from_a_thread_ends_run),
        cmocka_unit_test(loop__no_wake_up_is_lost_between_two_loops),
        cmocka_unit_test(loop__takes_every_message_of_many_threads),
        cmocka_unit_test_prestate(loop__takes_more_submissions_than_its_ring_holds, nothing),
        cmocka_unit_test_prestate(loop__takes_more_submissions_than_its_ring_holds, without),
        cmocka_unit_test(loop__says_which_features_it_uses),
        cmocka_unit_test(loop__spare_buffers_come_back_empty),
        cmocka_unit_test(loop__counts_its_turns),
        cmocka_unit_test(loop__refuses_with_a_reason_where_io_uring_is_missing),
        cmocka_unit_test(loop__refuses_with_a_reason_where_io_uring_is_forbidden),
        cmocka_unit_test(loop__refuses_without_file_descriptors),
        cmocka_unit_test(loop__survives_every_allocation_failure),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
