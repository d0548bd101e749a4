/* SPDX-License-Identifier: Apache-2.0 */
/* A token that takes its time, as HSMs do: sessions kept busy, keys and callers that do not stand
 * before each other, a queue with an end. Times are only compared with others of the same run. */
#include "tests/support/token_pool.h"

#include "base/clock.h"
#include "base/mem.h"
#include "sign/p11_pool_p.h"

#include <pthread.h>
#include <string.h>
#include <unistd.h>

#define ALPHA "pkcs11:token=alpha;object=p256"
#define BETA "pkcs11:token=beta;object=other"
#define SHARED "pkcs11:object=shared"
#define HSM "SM_P11_LATENCY_US=1000\nSM_P11_CONCURRENCY=32"
#define FAR_HSM \
    "SM_P11_LATENCY_US=15000\nSM_P11_CONCURRENCY=32" /* waiting, not work, is compared */
#define SESSIONS 8
#define ROUNDS 20 /* signatures of each session */
#define LONG_QUEUE 1200
#define IDLE_KEYS 100
#define KEY_OCTETS 1024 /* ten thousand keys: ten megabytes */

static struct sm_token_config token(const struct pool *p, const char *label, unsigned sessions)
{
    struct sm_token_config config = pool_token(p, label);
    config.sessions = sessions;
    config.timeout_ms = config.call_timeout_ms = 60000; /* nothing here is to be given up */
    return config;
}

static unsigned long peak(const struct pool *p)
{
    return sm_p11_client_count(&p->module, "places", "peak");
}

/* ---- throughput ---- */

struct raw {
    const struct sm_p11_client *module;
    CK_SESSION_HANDLE session;
    CK_OBJECT_HANDLE key;
    pthread_t thread;
    CK_RV rv;
};

static void *sign_raw(void *arg)
{
    struct raw *r = arg;
    for (CK_BYTE i = 0; i < ROUNDS && r->rv == CKR_OK; i++) {
        CK_BYTE data[32] = {i};
        CK_BYTE sig[SM_P11_CLIENT_SIG];
        CK_ULONG len;
        r->rv = sm_p11_client_sign(r->module, r->session, CKM_ECDSA, r->key, data, sig, &len);
    }
    return NULL;
}

/* The same number of signatures by as many sessions without the product, in microseconds. */
static uint64_t raw_us(struct pool *p)
{
    struct raw lanes[SESSIONS];
    CK_SLOT_ID slot;
    assert_int_equal(sm_p11_client_slot(&p->module, "alpha", &slot), CKR_OK);
    for (unsigned i = 0; i < SESSIONS; i++) {
        struct raw *r = &lanes[i];
        *r = (struct raw){.module = &p->module, .rv = CKR_OK};
        assert_int_equal(sm_p11_client_open(&p->module, slot, POOL_PIN, &r->session), CKR_OK);
        assert_int_equal(
            sm_p11_client_find(&p->module, r->session, CKO_PRIVATE_KEY, "p256", &r->key), CKR_OK);
    }
    uint64_t begun = pool_now_us();
    for (unsigned i = 0; i < SESSIONS; i++) {
        assert_int_equal(pthread_create(&lanes[i].thread, NULL, sign_raw, &lanes[i]), 0);
    }
    for (unsigned i = 0; i < SESSIONS; i++) {
        (void)pthread_join(lanes[i].thread, NULL);
        assert_int_equal(lanes[i].rv, CKR_OK);
    }
    uint64_t spent = pool_now_us() - begun;
    for (unsigned i = 0; i < SESSIONS; i++) {
        assert_int_equal(p->module.f->C_CloseSession(lanes[i].session), CKR_OK);
    }
    return spent;
}

static uint64_t pool_us(struct pool *p, sm_key *key)
{
    uint64_t begun = pool_now_us();
    pool_ask(p, key, SM_SIG_ECDSA_SHA256, SESSIONS * ROUNDS);
    pool_wait(p, 60000);
    uint64_t spent = pool_now_us() - begun;
    assert_int_equal(pool_tally(p, 0).good, SESSIONS * ROUNDS);
    return spent;
}

/* The least of some runs: others use the machine too. A sanitizer costs the product more than the
 * module, which is never sanitised; bench/hsm asks for more. */
static void pace__is_near_that_of_the_bare_module(void **state)
{
    (void)state;
    struct pool p;
    uint64_t bare = UINT64_MAX;
    uint64_t ours = UINT64_MAX;
    pool_load(&p, sm_softhsm_slow_module(), FAR_HSM);
    const struct sm_token_config config = token(&p, "alpha", SESSIONS);
    pool_open(&p, &config, 1);
    sm_key *key = pool_key(&p, ALPHA);
    pool_sign_well(&p, key, SM_SIG_ECDSA_SHA256, 2 * SESSIONS); /* every session is open */
    for (int run = 0; run < 3; run++) {
        uint64_t us = raw_us(&p);
        bare = us < bare ? us : bare;
        us = pool_us(&p, key);
        ours = us < ours ? us : ours;
    }
    print_message("%u sessions: the module alone %lu us, the pool %lu us\n", SESSIONS,
                  (unsigned long)bare, (unsigned long)ours);
    assert_int_equal(peak(&p), SESSIONS);
    assert_true(ours < 3 * bare);
    sm_key_detach(&key);
    pool_close(&p);
}

static void pace__grows_with_the_sessions(void **state)
{
    (void)state;
    uint64_t spent[2];
    for (unsigned i = 0; i < 2; i++) {
        struct pool p;
        pool_load(&p, sm_softhsm_slow_module(), FAR_HSM);
        const struct sm_token_config config = token(&p, "alpha", i == 0 ? 1 : SESSIONS);
        pool_open(&p, &config, 1);
        sm_key *key = pool_key(&p, ALPHA);
        pool_sign_well(&p, key, SM_SIG_ECDSA_SHA256, 2 * SESSIONS);
        spent[i] = pool_us(&p, key);
        sm_key_detach(&key);
        pool_close(&p);
    }
    assert_true(spent[0] > 2 * spent[1]);
}

/* What /metrics says that verifications wait for has not the token's time in it. */
static void pace__of_the_token_is_not_counted_as_a_checks_wait(void **state)
{
    (void)state;
    struct pool p;
    pool_load(&p, sm_softhsm_slow_module(), FAR_HSM);
    const struct sm_token_config config = token(&p, "alpha", SESSIONS);
    pool_open(&p, &config, 1);
    sm_key *key = pool_key(&p, ALPHA);
    pool_sign_well(&p, key, SM_SIG_ECDSA_SHA256, 4);
    for (unsigned i = 0; i < 4; i++) {
        const sm_crypt_job *job = &p.jobs[i].job;
        assert_true(job->queued_ns - job->submitted_ns >= 15 * SM_NS_PER_MS); /* FAR_HSM's */
    }
    sm_key_detach(&key);
    pool_close(&p);
}

static void pace__uses_every_place_that_there_is(void **state)
{
    (void)state;
    static const struct {
        unsigned sessions;
        const char *settings;
        unsigned long peak;
    } rows[] = {
        {32, "SM_P11_LATENCY_US=50000\nSM_P11_CONCURRENCY=32", 32},
        {32, "SM_P11_LATENCY_US=1000\nSM_P11_CONCURRENCY=4", 4},
        {3, "SM_P11_LATENCY_US=1000\nSM_P11_CONCURRENCY=32", 3},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct pool p;
        pool_load(&p, sm_softhsm_slow_module(), rows[i].settings);
        const struct sm_token_config config = token(&p, "alpha", rows[i].sessions);
        pool_open(&p, &config, 1);
        sm_key *key = pool_key(&p, ALPHA);
        pool_sign_well(&p, key, SM_SIG_ECDSA_SHA256, 400);
        /* never more; a busy machine may not get all of them under way at once */
        assert_in_range(peak(&p), rows[i].peak - rows[i].peak / 4, rows[i].peak);
        assert_int_equal(pool_calls(&p, "C_Sign"), 400);
        sm_key_detach(&key);
        pool_close(&p);
    }
}

/* ---- who stands before whom ---- */

/* How many of the requests before it were answered before the last one, or with it. */
static unsigned answered_before_last(const struct pool *p, unsigned already)
{
    unsigned n = 0;
    const struct pool_job *last = &p->jobs[p->asked - 1];
    for (unsigned i = 0; i < p->asked - 1; i++) {
        n += p->jobs[i].place < last->place;
    }
    return n - already;
}

#define TRIES 3 /* on a busy machine most may be answered before the other comes */

/* A long queue, then one request more: whether it is answered in the queue's first quarter. In order it never would be. */
static bool last_overtakes(struct pool *p, sm_key *key, sm_key *other, enum sm_sig_alg alg,
                           uint32_t caller)
{
    const uint32_t first = p->first_caller;
    const unsigned before = p->answered;
    pool_ask(p, key, SM_SIG_ECDSA_SHA256, LONG_QUEUE);
    pool_turn(p);
    const unsigned already = p->answered;
    const unsigned left = LONG_QUEUE - (already - before);
    p->first_caller = caller;
    pool_ask(p, other, alg, 1);
    assert_int_equal(pool_tally(p, 60000).good, LONG_QUEUE + 1);
    p->first_caller = first;
    return left > LONG_QUEUE / 2 && answered_before_last(p, already) < left / 4;
}

static void queue__of_one_key_does_not_stand_before_another(void **state)
{
    (void)state;
    static const struct {
        const char *uri;
        enum sm_sig_alg alg;
    } others[] = {{"pkcs11:token=alpha;object=rsa", SM_SIG_RSA_SHA256},
                  {"pkcs11:token=alpha;object=shared", SM_SIG_ECDSA_SHA256},
                  {BETA, SM_SIG_ECDSA_SHA256}};
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        struct pool p;
        pool_load(&p, sm_softhsm_slow_module(), HSM);
        const struct sm_token_config configs[] = {token(&p, "alpha", 4), token(&p, "beta", 4)};
        pool_open(&p, configs, 2);
        sm_key *key = pool_key(&p, ALPHA);
        sm_key *other = pool_key(&p, others[i].uri);
        bool overtook = false;
        for (int tries = 0; tries < TRIES && !overtook; tries++) {
            overtook = last_overtakes(&p, key, other, others[i].alg, p.first_caller);
        }
        assert_true(overtook);
        sm_key_detach(&other);
        sm_key_detach(&key);
        pool_close(&p);
    }
}

static void queue__of_one_caller_does_not_stand_before_another(void **state)
{
    (void)state;
    struct pool p;
    pool_load(&p, sm_softhsm_slow_module(), HSM);
    const struct sm_token_config config = token(&p, "alpha", 4);
    pool_open(&p, &config, 1);
    sm_key *key = pool_key(&p, ALPHA);
    bool overtook = false;
    for (int tries = 0; tries < TRIES && !overtook; tries++) { /* callers 0 to 4, then 7 */
        overtook = last_overtakes(&p, key, key, SM_SIG_ECDSA_SHA256, 7);
    }
    assert_true(overtook);
    sm_key_detach(&key);
    pool_close(&p);
}

/* ---- keys for which nothing waits ---- */

static unsigned listed(struct pool *p)
{
    sm_tokens *set = sm_keystore_tokens(p->store);
    unsigned n = 0;
    (void)pthread_mutex_lock(&set->lock);
    SM_LIST_FOR(it, &set->keys)
    {
        n++;
    }
    (void)pthread_mutex_unlock(&set->lock);
    return n;
}

/* Neither room nor a place in what is walked under the lock. */
static void keys__that_are_idle_cost_next_to_nothing(void **state)
{
    (void)state;
    struct pool p;
    sm_key *keys[IDLE_KEYS];
    assert_true(sizeof(struct sm_token_key) + 2 * sizeof(struct key_holder) < KEY_OCTETS);
    pool_load(&p, sm_softhsm_slow_module(), "SM_P11_LATENCY_US=20000");
    const struct sm_token_config configs[] = {token(&p, "alpha", 1), token(&p, "beta", 1)};
    pool_open(&p, configs, 2);
    for (int i = 0; i < IDLE_KEYS; i++) {
        keys[i] = pool_key(&p, SHARED);
    }
    assert_int_equal(listed(&p), 0);
    sm_mem_fail_at(1); /* what it lacks while idle may not be there when it is wanted */
    assert_sm_err(pool_try(&p, keys[0], SM_SIG_ECDSA_SHA256), NO_MEMORY);
    sm_mem_fail_at(0);
    for (int i = 0; i < 10; i++) {
        pool_ask(&p, keys[i], SM_SIG_ECDSA_SHA256, 3);
    }
    assert_in_range(listed(&p), 1, 10);
    assert_int_equal(pool_tally(&p, 60000).good, 30);
    assert_int_equal(listed(&p), 0);
    for (int i = 0; i < IDLE_KEYS; i++) {
        sm_key_detach(&keys[i]);
    }
    pool_close(&p);
}

/* ---- the queue's end, and leaving it ---- */

static void queue__has_an_end(void **state)
{
    (void)state;
    struct pool p;
    pool_load(&p, sm_softhsm_slow_module(), "SM_P11_LATENCY_US=20000");
    struct sm_token_config config = token(&p, "alpha", 2);
    config.queue = 10;
    pool_open(&p, &config, 1);
    sm_key *key = pool_key(&p, ALPHA);
    pool_ask(&p, key, SM_SIG_ECDSA_SHA256, 2);
    while (pool_status(&p, 0).busy < 2) {
        (void)usleep(100);
    }
    unsigned refused = 0;
    for (unsigned i = 0; i < 30; i++) {
        sm_err err = pool_try(&p, key, SM_SIG_ECDSA_SHA256);
        if (!sm_ok(err)) {
            assert_sm_err(err, QUEUE_FULL);
            refused++;
        }
    }
    assert_true(refused > 0);
    assert_true(refused <= 20);
    assert_int_equal(pool_tally(&p, 60000).good, 32 - refused);
    pool_sign_well(&p, key, SM_SIG_ECDSA_SHA256, 8);
    sm_key_detach(&key);
    pool_close(&p);
}

static void queue__can_be_left(void **state)
{
    (void)state;
    struct pool p;
    unsigned good = 0;
    pool_load(&p, sm_softhsm_slow_module(), "SM_P11_LATENCY_US=20000");
    const struct sm_token_config config = token(&p, "alpha", 2);
    pool_open(&p, &config, 1);
    sm_key *key = pool_key(&p, ALPHA);
    pool_ask(&p, key, SM_SIG_ECDSA_SHA256, 40);
    for (unsigned i = 0; i < 40; i += 2) {
        sm_batcher_cancel(p.batcher, &p.jobs[i].job);
    }
    pool_wait(&p, 60000);
    for (unsigned i = 0; i < 40; i++) {
        if (sm_ok(p.jobs[i].job.err)) {
            good++;
        } else {
            assert_int_equal(i % 2, 0);
            assert_sm_err(p.jobs[i].job.err, CANCELLED);
        }
    }
    assert_true(good >= 20);
    assert_true(good < 30); /* those that were with the token already */
    sm_key_detach(&key);
    pool_close(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pace__is_near_that_of_the_bare_module),
        cmocka_unit_test(pace__grows_with_the_sessions),
        cmocka_unit_test(pace__of_the_token_is_not_counted_as_a_checks_wait),
        cmocka_unit_test(pace__uses_every_place_that_there_is),
        cmocka_unit_test(queue__of_one_key_does_not_stand_before_another),
        cmocka_unit_test(queue__of_one_caller_does_not_stand_before_another),
        cmocka_unit_test(keys__that_are_idle_cost_next_to_nothing),
        cmocka_unit_test(queue__has_an_end),
        cmocka_unit_test(queue__can_be_left),
    };
    return cmocka_run_group_tests(tests, pool_tokens_make, pool_tokens_drop);
}
