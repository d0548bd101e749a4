/* SPDX-License-Identifier: Apache-2.0 */
/* Calls that do not come back and tokens that are pulled out: done on command. Whatever happens,
 * each request gets one answer, and a good one verifies. */
#include "tests/support/token_pool.h"

#include <pthread.h>
#include <string.h>
#include <unistd.h>

#define ALPHA "pkcs11:token=alpha;object=p256"
#define BETA "pkcs11:token=beta;object=other"
#define SHARED "pkcs11:object=shared"
#define MANY 24
#define ODD 21     /* no whole batches */
#define SESSIONS 4 /* pool_token's */
#define ORDER_MAX 160
#define HUNG_MS 3000 /* for a request whose call may hang */

/* ---- calls that do not come back ---- */

static void hang__of_one_call_costs_no_request(void **state)
{
    (void)state;
    struct pool p;
    pool_hasty(&p, 1, HUNG_MS);
    sm_key *key = pool_key(&p, ALPHA);
    pool_order(&p, "C_Sign hang CKR_DEVICE_ERROR 1\n");
    pool_sign_well(&p, key, SM_SIG_ECDSA_SHA256, MANY);
    pool_wait_up(&p, 0, true);
    assert_int_equal(pool_status(&p, 0).sessions, SESSIONS - 1);
    assert_int_equal(sm_p11_client_count(&p.module, "C_Sign", "now"), 1);
    /* What it says in the end is of no interest any more. */
    pool_order(&p, "clear\n");
    pool_wait_inside(&p, "C_Sign", 0);
    pool_sign_well(&p, key, SM_SIG_ECDSA_SHA256, MANY);
    assert_true(pool_status(&p, 0).up);
    assert_int_equal(pool_status(&p, 0).sessions, SESSIONS);
    sm_key_detach(&key);
    pool_close(&p);
}

/* Times between which the requests [from, to) were answered. */
static void answered_between(const struct pool *p, unsigned from, unsigned to, uint64_t *first,
                             uint64_t *last)
{
    *first = UINT64_MAX;
    *last = 0;
    for (unsigned i = from; i < to; i++) {
        uint64_t at = p->jobs[i].answered_us;
        *first = at < *first ? at : *first;
        *last = at > *last ? at : *last;
    }
}

static void hang__of_one_token_leaves_the_other(void **state)
{
    (void)state;
    struct pool p;
    uint64_t first;
    uint64_t last;
    uint64_t hung_first;
    pool_hasty(&p, 2, HUNG_MS);
    sm_key *alpha = pool_key(&p, ALPHA);
    sm_key *beta = pool_key(&p, BETA);
    sm_key *shared = pool_key(&p, SHARED);
    pool_order(&p, "C_Sign@alpha hang\n");
    pool_ask(&p, alpha, SM_SIG_ECDSA_SHA256, MANY);
    pool_wait_inside(&p, "C_Sign", SESSIONS);
    pool_ask(&p, beta, SM_SIG_ECDSA_SHA256, MANY);
    pool_ask(&p, shared, SM_SIG_ECDSA_SHA256, MANY);
    struct pool_tally t = pool_tally(&p, 20000);
    assert_int_equal(t.unavailable, MANY);
    assert_int_equal(t.good, 2 * MANY);
    answered_between(&p, 0, MANY, &hung_first, &last);
    answered_between(&p, MANY, 3 * MANY, &first, &last);
    assert_true(last < hung_first);
    assert_true(pool_status(&p, 1).up);
    pool_order(&p, "clear\n");
    pool_wait_up(&p, 0, true);
    pool_sign_well(&p, alpha, SM_SIG_ECDSA_SHA256, MANY);
    sm_key_detach(&shared);
    sm_key_detach(&beta);
    sm_key_detach(&alpha);
    pool_close(&p);
}

/* The request that was inside when its token hung is answered by the other. */
static void hang__of_a_request_that_another_token_can_make_good(void **state)
{
    (void)state;
    struct pool p;
    pool_hasty(&p, 2, HUNG_MS);
    sm_key *key = pool_key(&p, SHARED);
    pool_order(&p, "C_Sign@alpha hang\n");
    pool_sign_well(&p, key, SM_SIG_ECDSA_SHA256, 4 * MANY);
    assert_false(pool_status(&p, 0).up);
    assert_true(pool_status(&p, 1).up);
    pool_order(&p, "clear\n");
    pool_wait_up(&p, 0, true);
    sm_key_detach(&key);
    pool_close(&p);
}

/* No thread more goes in, no request waits longer than it is to, none shorter. */
static void hang__of_every_session_ends_in_unavailable(void **state)
{
    (void)state;
    struct pool p;
    pool_hasty(&p, 1, HUNG_MS);
    sm_key *key = pool_key(&p, ALPHA);
    pool_order(&p, "C_Sign hang\n");
    for (int round = 0; round < 2; round++) {
        unsigned from = p.asked;
        assert_int_equal(pool_sign(&p, key, SM_SIG_ECDSA_SHA256, ODD).unavailable, ODD);
        for (unsigned i = from; i < p.asked; i++) {
            uint64_t waited_us = p.jobs[i].answered_us - p.jobs[i].asked_us;
            assert_true(waited_us >= HUNG_MS * 1000);
            assert_true(waited_us < 3 * HUNG_MS * 1000);
        }
        assert_false(pool_status(&p, 0).up);
        assert_string_equal(pool_status(&p, 0).why, "a call does not come back");
        assert_int_equal(pool_status(&p, 0).sessions, 0);
        assert_int_equal(sm_p11_client_count(&p.module, "C_Sign", "now"), SESSIONS);
    }
    pool_order(&p, "clear\n");
    pool_wait_up(&p, 0, true);
    pool_sign_well(&p, key, SM_SIG_ECDSA_SHA256, MANY);
    assert_int_equal(pool_status(&p, 0).sessions, SESSIONS);
    sm_key_detach(&key);
    pool_close(&p);
}

/* Not only a signature hangs: the token that is to be opened again does. */
static void hang__of_what_opens_the_token_again(void **state)
{
    (void)state;
    static const char *const calls[] = {"C_OpenSession", "C_Login", "C_GetSlotList",
                                        "C_CloseSession", "C_FindObjects"};
    struct pool p;
    pool_hasty(&p, 1, 1500);
    sm_key *key = pool_key(&p, ALPHA);
    pool_sign_well(&p, key, SM_SIG_ECDSA_SHA256, MANY);
    for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++) {
        char text[ORDER_MAX];
        (void)snprintf(text, sizeof(text), "%s hang\nC_Sign CKR_DEVICE_ERROR\n", calls[i]);
        pool_order(&p, text);
        assert_int_equal(pool_sign(&p, key, SM_SIG_ECDSA_SHA256, MANY).unavailable, MANY);
        pool_order(&p, "clear\n");
        pool_wait_up(&p, 0, true);
        pool_sign_well(&p, key, SM_SIG_ECDSA_SHA256, MANY);
    }
    sm_key_detach(&key);
    pool_close(&p);
}

/* Whoever was to open the token again never comes back: another does it. */
static void hang__of_one_that_opens_the_token_again_leaves_it_to_another(void **state)
{
    (void)state;
    static const char *const orders[] = {"C_OpenSession hang 1\nC_Sign CKR_DEVICE_ERROR 1\n",
                                         "C_Login hang 1\nC_Sign CKR_DEVICE_ERROR 1\n",
                                         "C_Login hang 1\nC_Sign sessions-lost 1\n",
                                         "C_GetSlotList hang 1\nC_Sign CKR_DEVICE_ERROR 1\n",
                                         "C_CloseSession hang 1\nC_Sign CKR_DEVICE_ERROR 1\n"};
    struct pool p;
    pool_hasty(&p, 1, 20000);
    sm_key *key = pool_key(&p, ALPHA);
    pool_sign_well(&p, key, SM_SIG_ECDSA_SHA256, MANY);
    for (size_t i = 0; i < sizeof(orders) / sizeof(orders[0]); i++) {
        char call[32];
        (void)sscanf(orders[i], "%31s", call);
        pool_order(&p, orders[i]);
        pool_sign_well(&p, key, SM_SIG_ECDSA_SHA256, MANY);
        pool_wait_up(&p, 0, true);
        assert_int_equal(sm_p11_client_count(&p.module, call, "now"), 1);
        pool_wait_sessions(&p, 0, SESSIONS - 1);
        pool_order(&p, "clear\n");
        pool_wait_inside(&p, call, 0);
        pool_wait_sessions(&p, 0, SESSIONS);
        pool_sign_well(&p, key, SM_SIG_ECDSA_SHA256, MANY);
    }
    sm_key_detach(&key);
    pool_close(&p);
}

/* One signature at a time of a key that wants the PIN for each: the one that hangs is not counted for ever. */
static void hang__of_a_key_that_wants_the_pin_leaves_it_usable(void **state)
{
    (void)state;
    struct pool p;
    pool_hasty(&p, 1, 20000);
    sm_key *key = pool_key(&p, "pkcs11:token=alpha;object=always");
    pool_order(&p, "C_Sign hang 1\n");
    pool_sign_well(&p, key, SM_SIG_ECDSA_SHA256, MANY);
    assert_int_equal(sm_p11_client_count(&p.module, "C_Sign", "now"), 1);
    pool_order(&p, "clear\n");
    pool_wait_inside(&p, "C_Sign", 0);
    pool_sign_well(&p, key, SM_SIG_ECDSA_SHA256, MANY);
    sm_key_detach(&key);
    pool_close(&p);
}

/* The token with more sessions free is of no use while it makes one signature of such a key. */
static void hang__of_a_key_that_wants_the_pin_leaves_the_other_token(void **state)
{
    (void)state;
    struct pool p;
    pool_load(&p, sm_softhsm_faulty_module(), "");
    struct sm_token_config configs[] = {pool_token(&p, "alpha"), pool_token(&p, "beta")};
    configs[0].sessions = 8;
    pool_open(&p, configs, 2);
    sm_key *key = pool_key(&p, "pkcs11:object=guarded");
    pool_order(&p, "C_Sign@alpha hang\n");
    pool_ask(&p, key, SM_SIG_ECDSA_SHA256, 1);
    pool_wait_inside(&p, "C_Sign", 1);
    for (unsigned n = 1; n <= SESSIONS; n++) { /* one after the other: no crowd rouses everybody */
        pool_ask(&p, key, SM_SIG_ECDSA_SHA256, 1);
        for (int i = 0; i < 5000 && p.answered < n; i++) {
            pool_turn(&p);
            (void)usleep(1000);
        }
        assert_int_equal(p.answered, n);
    }
    pool_order(&p, "clear\n");
    assert_int_equal(pool_tally(&p, 20000).good, SESSIONS + 1);
    sm_key_detach(&key);
    pool_close(&p);
}

static void *release_later(void *ctx)
{
    (void)usleep(300000);
    pool_order(ctx, "clear\n");
    return NULL;
}

static void hang__that_ends_lets_the_pool_end(void **state)
{
    (void)state;
    struct pool p;
    pthread_t thread;
    pool_hasty(&p, 1, 1500);
    sm_key *key = pool_key(&p, ALPHA);
    pool_order(&p, "C_Sign hang\n");
    assert_int_equal(pool_sign(&p, key, SM_SIG_ECDSA_SHA256, MANY).unavailable, MANY);
    sm_key_detach(&key);
    assert_int_equal(pthread_create(&thread, NULL, release_later, &p), 0);
    sm_keystore_close(&p.store);
    (void)pthread_join(thread, NULL);
    assert_int_equal(sm_p11_client_count(&p.module, "C_Sign", "now"), 0);
    pool_close(&p);
}

/* ---- tokens that are pulled out ---- */

static void removal__of_one_of_two_costs_no_request(void **state)
{
    (void)state;
    struct pool p;
    pool_faulty(&p, 2);
    sm_key *key = pool_key(&p, SHARED);
    for (int round = 0; round < 3; round++) {
        uint64_t epoch = sm_tokens_epoch(sm_keystore_tokens(p.store));
        pool_order(&p, "C_Sign delay 10\n"); /* else all may be done before it is pulled */
        pool_ask(&p, key, SM_SIG_ECDSA_SHA256, 200);
        pool_order(&p, "removed@alpha\n");
        assert_int_equal(pool_tally(&p, 20000).good, 200);
        pool_wait_up(&p, 0, false);
        pool_order(&p, "clear\n");
        pool_wait_up(&p, 0, true);
        assert_true(sm_tokens_epoch(sm_keystore_tokens(p.store)) > epoch);
    }
    pool_sign_well(&p, key, SM_SIG_ECDSA_SHA256, MANY);
    sm_key_detach(&key);
    pool_close(&p);
}

static void removal__is_said_and_ends_with_its_return(void **state)
{
    (void)state;
    struct pool p;
    pool_load(&p, sm_softhsm_faulty_module(), "");
    struct sm_token_config configs[] = {pool_token(&p, "alpha"), pool_token(&p, "beta")};
    configs[0].timeout_ms = configs[1].timeout_ms = 1000;
    pool_open(&p, configs, 2);
    sm_key *alpha = pool_key(&p, ALPHA);
    sm_key *beta = pool_key(&p, BETA);
    sm_key *another = NULL;
    sm_diag diag;
    pool_sign_well(&p, alpha, SM_SIG_ECDSA_SHA256, MANY);
    pool_order(&p, "removed@alpha\n");
    pool_ask(&p, beta, SM_SIG_ECDSA_SHA256, MANY);
    struct pool_tally t = pool_sign(&p, alpha, SM_SIG_ECDSA_SHA256, MANY);
    assert_int_equal(t.good, MANY);
    assert_int_equal(t.unavailable, MANY);
    assert_false(pool_status(&p, 0).up);
    assert_string_equal(pool_status(&p, 0).why, "CKR_TOKEN_NOT_PRESENT");
    assert_sm_err(sm_keystore_load(p.store, ALPHA, &another, &diag), UNAVAILABLE);
    pool_order(&p, "clear\n");
    pool_wait_up(&p, 0, true);
    pool_sign_well(&p, alpha, SM_SIG_ECDSA_SHA256, MANY);
    sm_key_detach(&beta);
    sm_key_detach(&alpha);
    pool_close(&p);
}

static void removal__before_the_start(void **state)
{
    (void)state;
    struct pool p;
    pool_load(&p, sm_softhsm_faulty_module(), "");
    pool_order(&p, "removed@alpha\n");
    const struct sm_token_config config = pool_token(&p, "alpha");
    pool_open(&p, &config, 1);
    assert_string_equal(pool_status(&p, 0).why, "CKR_TOKEN_NOT_PRESENT");
    pool_order(&p, "clear\n");
    pool_wait_up(&p, 0, true);
    sm_key *key = pool_key(&p, ALPHA);
    pool_sign_well(&p, key, SM_SIG_ECDSA_SHA256, MANY);
    sm_key_detach(&key);
    pool_close(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hang__of_one_call_costs_no_request),
        cmocka_unit_test(hang__of_one_token_leaves_the_other),
        cmocka_unit_test(hang__of_a_request_that_another_token_can_make_good),
        cmocka_unit_test(hang__of_every_session_ends_in_unavailable),
        cmocka_unit_test(hang__of_what_opens_the_token_again),
        cmocka_unit_test(hang__of_one_that_opens_the_token_again_leaves_it_to_another),
        cmocka_unit_test(hang__of_a_key_that_wants_the_pin_leaves_it_usable),
        cmocka_unit_test(hang__of_a_key_that_wants_the_pin_leaves_the_other_token),
        cmocka_unit_test(hang__that_ends_lets_the_pool_end),
        cmocka_unit_test(removal__of_one_of_two_costs_no_request),
        cmocka_unit_test(removal__is_said_and_ends_with_its_return),
        cmocka_unit_test(removal__before_the_start),
    };
    return cmocka_run_group_tests(tests, pool_tokens_make, pool_tokens_drop);
}
