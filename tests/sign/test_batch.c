/* SPDX-License-Identifier: Apache-2.0 */
/* The batcher's contract: exactly one completion, never inside submit, on the home thread; limits,
 * cancelling, fairness, the pool. */
#include "tests/sign/keys.h"

#include "base/clock.h"
#include "base/metrics.h"
#include "base/thread.h"
#include "sign/batch.h"
#include "sign/lane.h"

#include <stdlib.h>

/* A loop without a ring: a mailbox, and a flag for the turn's end. */
struct home {
    sm_mailbox box;
    pthread_mutex_t lock; /* covers woken */
    pthread_cond_t cond;
    bool woken;
    bool scheduled;
    sm_batcher *batcher;
    pthread_t thread;
};

static void wake(void *ctx)
{
    struct home *h = ctx;
    (void)pthread_mutex_lock(&h->lock);
    h->woken = true;
    (void)pthread_cond_signal(&h->cond);
    (void)pthread_mutex_unlock(&h->lock);
}

static void schedule(void *ctx)
{
    ((struct home *)ctx)->scheduled = true;
}

static void home_init(struct home *h, sm_sign_pool *pool)
{
    *h = (struct home){.thread = pthread_self()};
    (void)pthread_mutex_init(&h->lock, NULL);
    (void)pthread_cond_init(&h->cond, NULL);
    sm_mailbox_init(&h->box, wake, h);
    const struct sm_batcher_config config = {&h->box, pool, schedule, h};
    assert_sm_ok(sm_batcher_new(&config, &h->batcher));
}

static void home_deinit(struct home *h)
{
    sm_batcher_free(&h->batcher);
    assert_null(h->batcher);
    (void)pthread_cond_destroy(&h->cond);
    (void)pthread_mutex_destroy(&h->lock);
}

/* One turn: what the pool gave back, then a run if one was asked for. Waits when there is neither.
 */
static void turn(struct home *h)
{
    (void)pthread_mutex_lock(&h->lock);
    while (!h->woken && !h->scheduled) {
        (void)pthread_cond_wait(&h->cond, &h->lock);
    }
    h->woken = false;
    (void)pthread_mutex_unlock(&h->lock);
    (void)sm_mailbox_drain(&h->box);
    if (h->scheduled) {
        h->scheduled = false;
        bool more = sm_batcher_run(h->batcher);
        assert_int_equal(more, h->scheduled);
    }
}

static void finish(struct home *h)
{
    while (sm_batcher_waiting(h->batcher) > 0) {
        turn(h);
    }
}

struct item {
    sm_crypt_job job;
    struct home *home;
    unsigned done;
    unsigned *order; /* a counter that all items share */
    unsigned at;     /* which completion it was */
    uint8_t out[SM_SIGNATURE_MAX];
    void (*then)(struct item *item);
};

static bool submitting;

static void on_done(sm_crypt_job *job)
{
    struct item *item = SM_CONTAINER_OF(job, struct item, job);
    assert_false(submitting);
    assert_true(pthread_equal(pthread_self(), item->home->thread));
    item->done++;
    item->at = item->order == NULL ? 0 : (*item->order)++;
    if (item->then != NULL) {
        item->then(item);
    }
}

static const sm_slice message = SM_LIT("to be signed");

static void make_sign(struct item *item, struct home *h, enum sm_key_type type)
{
    *item = (struct item){.home = h};
    item->job = (sm_crypt_job){.op = SM_CRYPT_SIGN,
                               .alg = sm_sig_alg_for(type, SM_DIGEST_NONE, false),
                               .message = message,
                               .key = key_of(type),
                               .out = item->out,
                               .out_room = sizeof(item->out),
                               .done = on_done};
}

static sm_err submit(struct item *item)
{
    submitting = true;
    sm_err err = sm_batcher_submit(item->home->batcher, &item->job);
    submitting = false;
    return err;
}

static void check_signed(const struct item *item)
{
    assert_int_equal(item->done, 1);
    assert_sm_ok(item->job.err);
    assert_sm_ok(sm_verify_now(sm_key_public(item->job.key), item->job.alg, item->job.message,
                               sm_slice_of(item->out, item->job.out_len)));
}

static void batch__every_type_completes_once(void **state)
{
    (void)state;
    sm_sign_pool *pool;
    struct home h;
    assert_sm_ok(sm_sign_pool_new(2, &pool));
    home_init(&h, pool);
    enum { EACH = 11 };
    struct item *items = sm_calloc(SM_KEY_TYPE_COUNT * EACH, sizeof(*items));
    for (unsigned i = EACH; i < SM_KEY_TYPE_COUNT * EACH; i++) {
        make_sign(&items[i], &h, (enum sm_key_type)(i / EACH));
        assert_sm_ok(submit(&items[i]));
    }
    assert_int_equal(sm_batcher_waiting(h.batcher), (SM_KEY_TYPE_COUNT - 1) * EACH);
    finish(&h);
    for (unsigned i = EACH; i < SM_KEY_TYPE_COUNT * EACH; i++) {
        check_signed(&items[i]);
    }
    sm_free(items);
    home_deinit(&h);
    sm_sign_pool_free(&pool);
}

/* Turns a signed item into the verification of its signature. */
static void verify_it(struct item *item)
{
    sm_crypt_job *job = &item->job;
    item->then = NULL;
    item->job = (sm_crypt_job){.op = SM_CRYPT_VERIFY,
                               .alg = job->alg,
                               .message = job->message,
                               .public_key = sm_key_public(job->key),
                               .signature = sm_slice_of(item->out, job->out_len),
                               .done = on_done};
    assert_sm_ok(sm_batcher_submit(item->home->batcher, &item->job));
}

/* done may submit the same job again; it runs in the same call while the budget lasts. */
static void batch__done_may_submit(void **state)
{
    (void)state;
    struct home h;
    struct item items[SM_BACKEND_LANES];
    home_init(&h, NULL);
    for (size_t i = 0; i < SM_BACKEND_LANES; i++) {
        make_sign(&items[i], &h, SM_KEY_P256);
        items[i].then = verify_it;
        assert_sm_ok(submit(&items[i]));
    }
    assert_true(h.scheduled);
    while (sm_batcher_run(h.batcher)) { /* a slow machine spends the budget sooner */
    }
    for (size_t i = 0; i < SM_BACKEND_LANES; i++) {
        assert_int_equal(items[i].done, 2);
        assert_sm_ok(items[i].job.err);
    }
    home_deinit(&h);
}

/* What full batches leave over waits for the next run, where it may fill one; and no longer. */
static void batch__the_rest_of_full_batches_waits_for_one_run(void **state)
{
    (void)state;
    enum { FIRST = SM_BACKEND_LANES + 3, MORE = SM_BACKEND_LANES - 3 };
    struct home h;
    struct item items[FIRST + MORE];
    unsigned order = 0;
    if (sm_backend_batch(SM_CRYPT_SIGN, SM_KEY_P256) == 1) {
        print_message("SKIP: this processor has no multi-buffer crypto\n");
        skip();
    }
    home_init(&h, NULL);
    for (size_t i = 0; i < FIRST + MORE; i++) {
        make_sign(&items[i], &h, SM_KEY_P256);
        items[i].order = &order;
    }
    for (size_t round = 0; round < 2; round++) {
        size_t more = round == 0 ? MORE : 0;
        order = 0;
        for (size_t i = 0; i < FIRST; i++) {
            assert_sm_ok(submit(&items[i]));
        }
        assert_true(sm_batcher_run(h.batcher));
        assert_int_equal(order, SM_BACKEND_LANES);
        for (size_t i = 0; i < more; i++) {
            assert_sm_ok(submit(&items[FIRST + i]));
        }
        assert_false(sm_batcher_run(h.batcher));
        assert_int_equal(order, FIRST + more);
    }
    h.scheduled = false;
    home_deinit(&h);
}

static void batch__one_bad_signature_fails_alone(void **state)
{
    (void)state;
    struct home h;
    home_init(&h, NULL);
    for (enum sm_key_type type = SM_KEY_P256; type <= SM_KEY_RSA_2048; type++) {
        struct item items[SM_BACKEND_LANES];
        for (size_t i = 0; i < SM_BACKEND_LANES; i++) {
            make_sign(&items[i], &h, type);
            assert_sm_ok(submit(&items[i]));
        }
        finish(&h);
        items[5].out[20] ^= 1;
        for (size_t i = 0; i < SM_BACKEND_LANES; i++) {
            verify_it(&items[i]);
        }
        finish(&h);
        for (size_t i = 0; i < SM_BACKEND_LANES; i++) {
            if (i == 5) {
                assert_sm_err(items[i].job.err, BAD_SIGNATURE);
            } else {
                assert_sm_ok(items[i].job.err);
            }
        }
    }
    home_deinit(&h);
}

static void submit__refuses_what_does_not_fit(void **state)
{
    (void)state;
    struct home h;
    struct item item;
    home_init(&h, NULL);
    make_sign(&item, &h, SM_KEY_P256);
    item.job.alg = SM_SIG_RSA_SHA256;
    assert_sm_err(submit(&item), UNSUPPORTED);
    item.job.alg = SM_SIG_NONE;
    assert_sm_err(submit(&item), UNSUPPORTED);
    make_sign(&item, &h, SM_KEY_P256);
    item.job.out_room = 71;
    assert_sm_err(submit(&item), TOO_LARGE);
    make_sign(&item, &h, SM_KEY_P256);
    item.job.is_digest = true; /* twelve octets */
    assert_sm_err(submit(&item), INVALID);
    make_sign(&item, &h, SM_KEY_ED25519);
    item.job.is_digest = true;
    assert_sm_err(submit(&item), UNSUPPORTED);
    assert_int_equal(item.done, 0);
    assert_int_equal(sm_batcher_waiting(h.batcher), 0);
    assert_false(h.scheduled);
    home_deinit(&h);
}

static void submit__refuses_when_full(void **state)
{
    (void)state;
    struct home h;
    home_init(&h, NULL);
    struct item *items = sm_calloc(SM_BATCH_QUEUE_MAX + 1, sizeof(*items));
    for (size_t i = 0; i < SM_BATCH_QUEUE_MAX; i++) {
        make_sign(&items[i], &h, SM_KEY_P256);
        assert_sm_ok(submit(&items[i]));
    }
    make_sign(&items[SM_BATCH_QUEUE_MAX], &h, SM_KEY_P256);
    assert_sm_err(submit(&items[SM_BATCH_QUEUE_MAX]), QUEUE_FULL);
    for (size_t i = 0; i < SM_BATCH_QUEUE_MAX; i++) { /* so that the rest is quick */
        sm_batcher_cancel(h.batcher, &items[i].job);
    }
    finish(&h);
    assert_int_equal(items[SM_BATCH_QUEUE_MAX].done, 0);
    assert_sm_ok(submit(&items[SM_BATCH_QUEUE_MAX]));
    finish(&h);
    check_signed(&items[SM_BATCH_QUEUE_MAX]);
    sm_free(items);
    home_deinit(&h);
}

static void cancel__completes_without_running(void **state)
{
    (void)state;
    struct home h;
    struct item items[3];
    home_init(&h, NULL);
    for (size_t i = 0; i < 3; i++) {
        make_sign(&items[i], &h, SM_KEY_P256);
        assert_sm_ok(submit(&items[i]));
    }
    sm_batcher_cancel(h.batcher, &items[1].job);
    assert_int_equal(items[1].done, 0);
    finish(&h);
    check_signed(&items[0]);
    check_signed(&items[2]);
    assert_int_equal(items[1].done, 1);
    assert_sm_err(items[1].job.err, CANCELLED);
    assert_int_equal(items[1].job.out_len, 0);
    home_deinit(&h);
}

/* In the pool too, whenever the cancel comes: before, while or after the worker has it. */
static void cancel__in_the_pool(void **state)
{
    (void)state;
    enum { JOBS = 60 };
    sm_sign_pool *pool;
    struct home h;
    assert_sm_ok(sm_sign_pool_new(2, &pool));
    home_init(&h, pool);
    struct item *items = sm_calloc(JOBS, sizeof(*items));
    for (size_t i = 0; i < JOBS; i++) {
        make_sign(&items[i], &h, SM_KEY_ML_DSA_44);
        assert_sm_ok(submit(&items[i]));
        if (i % 3 == 0) {
            sm_batcher_cancel(h.batcher, &items[i / 2].job);
        }
    }
    finish(&h);
    for (size_t i = 0; i < JOBS; i++) {
        assert_int_equal(items[i].done, 1);
        if (!sm_err_is(items[i].job.err, SM_E_CANCELLED)) {
            check_signed(&items[i]);
        }
    }
    sm_free(items);
    home_deinit(&h);
    sm_sign_pool_free(&pool);
}

/* Its wait begins when it comes, however long ago the one before it came. */
static void pool__counts_each_wait_from_its_submit(void **state)
{
    (void)state;
    sm_sign_pool *pool;
    struct home h;
    struct item item;
    assert_sm_ok(sm_sign_pool_new(1, &pool));
    home_init(&h, pool);
    for (unsigned i = 0; i < 3; i++) {
        uint64_t before = sm_clock_mono_ns();
        make_sign(&item, &h, SM_KEY_ML_DSA_44);
        assert_sm_ok(submit(&item));
        assert_true(item.job.submitted_ns >= before);
        finish(&h);
        check_signed(&item);
    }
    home_deinit(&h);
    sm_sign_pool_free(&pool);
}

/* A lone job of another caller does not wait for a thousand of the first. */
static void fairness__between_callers(void **state)
{
    (void)state;
    enum { MANY = 1000 };
    struct home h;
    unsigned order = 0;
    home_init(&h, NULL);
    struct item *items = sm_calloc(MANY + 1, sizeof(*items));
    for (size_t i = 0; i <= MANY; i++) {
        make_sign(&items[i], &h, SM_KEY_P256);
        items[i].order = &order;
        items[i].job.caller = i == MANY ? 77 : 5;
        assert_sm_ok(submit(&items[i]));
    }
    finish(&h);
    assert_int_equal(order, MANY + 1);
    assert_true(items[MANY].at < 2 * SM_BACKEND_LANES);
    sm_free(items);
    home_deinit(&h);
}

/* Two hundred slow signatures, then as many fast ones: the place of the last fast one. */
static unsigned last_fast_of_both(void)
{
    enum { SLOW = 200, FAST = 200 };
    struct home h;
    unsigned order = 0;
    home_init(&h, NULL);
    struct item *items = sm_calloc(SLOW + FAST, sizeof(*items));
    for (size_t i = 0; i < SLOW + FAST; i++) {
        make_sign(&items[i], &h, i < SLOW ? SM_KEY_RSA_2048 : SM_KEY_P256);
        items[i].order = &order;
        assert_sm_ok(submit(&items[i]));
    }
    finish(&h);
    unsigned last_fast = 0;
    for (size_t i = SLOW; i < SLOW + FAST; i++) {
        last_fast = items[i].at > last_fast ? items[i].at : last_fast;
    }
    sm_free(items);
    home_deinit(&h);
    return last_fast;
}

/* A slow algorithm with a long queue does not hold up a fast one: both get half of the time. In order it would always be the
 * 400th; time that another process took counts as the lane's, so that a busy machine may need another try. */
static void fairness__between_lanes(void **state)
{
    (void)state;
    unsigned last_fast = 400;
    for (int tries = 0; tries < 3 && last_fast >= 300; tries++) {
        last_fast = last_fast_of_both();
    }
    assert_true(last_fast < 300);
}

static void run__stops_at_its_budget(void **state)
{
    (void)state;
    enum { JOBS = 2000 };
    struct home h;
    unsigned order = 0;
    home_init(&h, NULL);
    struct item *items = sm_calloc(JOBS, sizeof(*items));
    for (size_t i = 0; i < JOBS; i++) {
        make_sign(&items[i], &h, SM_KEY_P256);
        items[i].order = &order;
        assert_sm_ok(submit(&items[i]));
    }
    h.scheduled = false;
    assert_true(sm_batcher_run(h.batcher));
    assert_true(h.scheduled);
    assert_in_range(order, 1, SM_BATCH_RUN_MAX + SM_BACKEND_LANES);
    finish(&h);
    assert_int_equal(order, JOBS);
    sm_free(items);
    home_deinit(&h);
}

/* Several loops, one pool, jobs of all costs: each completes once on its own loop. */
struct loop {
    sm_thread thread;
    sm_sign_pool *pool;
    unsigned completed;
};

enum { LOOP_JOBS = 96 };

static void loop_main(void *ctx)
{
    static const enum sm_key_type types[] = {SM_KEY_P256,     SM_KEY_ML_DSA_44, SM_KEY_P384,
                                             SM_KEY_RSA_3072, SM_KEY_ED25519,   SM_KEY_RSA_2048};
    struct loop *loop = ctx;
    struct home h;
    home_init(&h, loop->pool);
    struct item *items = sm_calloc(LOOP_JOBS, sizeof(*items));
    for (size_t i = 0; i < LOOP_JOBS; i++) {
        make_sign(&items[i], &h, types[i % SM_ARRAY_LEN(types)]);
        items[i].job.caller = (uint32_t)(i % 7);
        assert_sm_ok(sm_batcher_submit(h.batcher, &items[i].job));
        if (i % 10 == 9) {
            turn(&h);
        }
    }
    finish(&h);
    for (size_t i = 0; i < LOOP_JOBS; i++) {
        check_signed(&items[i]);
        loop->completed++;
    }
    sm_free(items);
    home_deinit(&h);
    sm_sign_thread_deinit();
}

static void pool__serves_many_loops(void **state)
{
    (void)state;
    sm_sign_pool *pool;
    struct loop loops[4];
    for (enum sm_key_type type = SM_KEY_P256; type < SM_KEY_TYPE_COUNT; type++) {
        (void)key_of(type); /* before threads share them */
    }
    assert_sm_ok(sm_sign_pool_new(3, &pool));
    for (size_t i = 0; i < 4; i++) {
        loops[i] = (struct loop){.pool = pool};
        assert_sm_ok(sm_thread_start(&loops[i].thread, "loop", loop_main, &loops[i]));
    }
    for (size_t i = 0; i < 4; i++) {
        sm_thread_join(&loops[i].thread);
        assert_int_equal(loops[i].completed, LOOP_JOBS);
    }
    sm_sign_pool_free(&pool);
    assert_null(pool);
}

static void pool__free_accepts_null(void **state)
{
    (void)state;
    sm_sign_pool *pool = NULL;
    sm_batcher *batcher = NULL;
    sm_sign_pool_free(&pool);
    sm_batcher_free(&batcher);
}

static void new__survives_no_memory(void **state)
{
    (void)state;
    sm_sign_pool *pool = NULL;
    sm_batcher *batcher = NULL;
    const struct sm_batcher_config config = {NULL, NULL, schedule, NULL};
    sm_mem_fail_at(1);
    assert_sm_err(sm_batcher_new(&config, &batcher), NO_MEMORY);
    sm_mem_fail_at(1);
    assert_sm_err(sm_sign_pool_new(2, &pool), NO_MEMORY);
    sm_mem_fail_at(0);
    assert_null(batcher);
    assert_null(pool);
}

static void lanes__give_a_sleeper_no_credit(void **state)
{
    (void)state;
    struct sm_lanes *lanes = sm_malloc(sizeof(*lanes));
    sm_crypt_job jobs[32] = {{.op = SM_CRYPT_SIGN, .type = SM_KEY_P256}};
    sm_crypt_job *taken[SM_BACKEND_LANES];
    sm_lanes_init(lanes);
    assert_null(sm_lanes_pick(lanes));
    for (size_t i = 0; i < 32; i++) {
        jobs[i].op = SM_CRYPT_SIGN;
        jobs[i].type = i < 24 ? SM_KEY_P256 : SM_KEY_P384;
    }
    /* P-256 works alone for a second; then P-384 comes with a full batch: it goes next, but not for
     * a second. */
    for (size_t i = 0; i < 24; i++) {
        sm_lanes_push(lanes, &jobs[i]);
    }
    struct sm_lane *first = sm_lanes_pick(lanes);
    assert_int_equal(first->type, SM_KEY_P256);
    assert_int_equal(sm_lane_take(lanes, first, taken, 8), 8);
    sm_lane_charge(lanes, first, SM_NS_PER_S, 8);
    assert_int_equal(sm_lane_take(lanes, sm_lanes_pick(lanes), taken, 8), 8);
    sm_lane_charge(lanes, first, SM_NS_PER_MS, 8);
    for (size_t i = 24; i < 32; i++) {
        sm_lanes_push(lanes, &jobs[i]);
    }
    struct sm_lane *second = sm_lanes_pick(lanes);
    assert_int_equal(second->type, SM_KEY_P384);
    assert_int_equal(sm_lane_take(lanes, second, taken, 4), 4);
    sm_lane_charge(lanes, second, 3 * SM_NS_PER_MS, 4);
    assert_ptr_equal(sm_lanes_pick(lanes), first);
    assert_int_equal(lanes->waiting, 12);
    sm_free(lanes);
}

static int start(void **state)
{
    (void)state;
    return sm_ok(sm_sign_init(NULL)) ? 0 : -1;
}

/* The suite runs twice: as measured at start, and with OpenSSL alone. */
static int start_openssl_alone(void **state)
{
    (void)state;
    const struct sm_backend_choice never = {SM_BACKEND_NEVER, "test", 0, 0};
    for (enum sm_key_type type = SM_KEY_P256; type < SM_KEY_TYPE_COUNT; type++) {
        sm_backend_set_choice(SM_CRYPT_SIGN, type, &never);
        sm_backend_set_choice(SM_CRYPT_VERIFY, type, &never);
    }
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(batch__every_type_completes_once),
        cmocka_unit_test(batch__done_may_submit),
        cmocka_unit_test(batch__the_rest_of_full_batches_waits_for_one_run),
        cmocka_unit_test(batch__one_bad_signature_fails_alone),
        cmocka_unit_test(submit__refuses_what_does_not_fit),
        cmocka_unit_test(submit__refuses_when_full),
        cmocka_unit_test(cancel__completes_without_running),
        cmocka_unit_test(cancel__in_the_pool),
        cmocka_unit_test(pool__counts_each_wait_from_its_submit),
        cmocka_unit_test(fairness__between_callers),
        cmocka_unit_test(fairness__between_lanes),
        cmocka_unit_test(run__stops_at_its_budget),
        cmocka_unit_test(pool__serves_many_loops),
        cmocka_unit_test(pool__free_accepts_null),
        cmocka_unit_test(new__survives_no_memory),
        cmocka_unit_test(lanes__give_a_sleeper_no_credit),
    };
    int failed = cmocka_run_group_tests_name("as measured", tests, start, NULL);
    return failed +
           cmocka_run_group_tests_name("openssl alone", tests, start_openssl_alone, drop_keys);
}
