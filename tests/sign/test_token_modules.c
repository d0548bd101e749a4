/* SPDX-License-Identifier: Apache-2.0 */
/* Two modules at once, of two kinds, as of two vendors: a token each, and a key that both hold. What one of them does wrong
 * leaves the other alone. */
#include "tests/support/token_pool.h"

#define BETA "pkcs11:token=beta;object=other"
#define SHARED "pkcs11:object=shared"
#define MANY 24
#define HASTY_MS 700 /* for a call */
#define LATENCY "SM_P11_LATENCY_US=1000"

/* Alpha by the module that fails on command, beta by the one that takes its time. */
static void open_both(struct pool *p, const char *order)
{
    if (order != NULL) {
        pool_order(p, order);
    }
    pool_load_other(p, sm_softhsm_slow_module(), LATENCY);
    struct sm_token_config configs[] = {pool_token(p, "alpha"), pool_other_token(p, "beta")};
    configs[0].call_timeout_ms = HASTY_MS;
    pool_open(p, configs, 2);
    /* At once, or a little later on a busy machine. */
    pool_wait_up(p, 1, true);
    if (order == NULL) {
        pool_wait_up(p, 0, true);
    }
}

static unsigned long calls_of_other(const struct pool *p, const char *function)
{
    return sm_p11_client_count(&p->other, function, "calls");
}

static void modules__of_two_kinds_share_a_key(void **state)
{
    (void)state;
    static const struct {
        const char *settings;
        unsigned sessions; /* of a module for one thread, and of another */
    } rows[] = {{"", 4}, {"SM_P11_SERIAL=abort", 1}};
    for (size_t i = 0; i < 2; i++) {
        struct pool p;
        pool_load(&p, sm_softhsm_faulty_module(), rows[i].settings);
        open_both(&p, NULL);
        sm_key *key = pool_key(&p, SHARED);
        pool_sign_well(&p, key, SM_SIG_ECDSA_SHA256, 8 * MANY);
        assert_true(pool_calls(&p, "C_Sign") > 0);
        assert_true(calls_of_other(&p, "C_Sign") > 0);
        assert_int_equal(pool_status(&p, 0).sessions, rows[i].sessions);
        assert_int_equal(pool_status(&p, 1).sessions, 4);
        sm_key_detach(&key);
        pool_close(&p);
    }
}

static void modules__one_out_of_order_leaves_the_other(void **state)
{
    (void)state;
    static const char *const orders[] = {
        "C_Sign hang\n",
        "C_Sign CKR_DEVICE_ERROR\n",
        "C_Sign CKR_DEVICE_ERROR 4\nC_GetSlotList CKR_CRYPTOKI_NOT_INITIALIZED\nC_Initialize "
        "hang\n",
        "C_Sign sessions-lost\nC_OpenSession hang\n",
        "removed\n",
    };
    struct pool p;
    pool_load(&p, sm_softhsm_faulty_module(), "");
    open_both(&p, NULL);
    sm_key *key = pool_key(&p, SHARED);
    sm_key *beta = pool_key(&p, BETA);
    for (size_t i = 0; i < sizeof(orders) / sizeof(orders[0]); i++) {
        pool_order(&p, orders[i]);
        pool_ask(&p, beta, SM_SIG_ECDSA_SHA256, MANY);
        assert_int_equal(pool_sign(&p, key, SM_SIG_ECDSA_SHA256, 4 * MANY).good, 5 * MANY);
        assert_true(pool_status(&p, 1).up);
        pool_order(&p, "clear\n");
        pool_wait_up(&p, 0, true);
        pool_sign_well(&p, key, SM_SIG_ECDSA_SHA256, MANY);
    }
    sm_key_detach(&beta);
    sm_key_detach(&key);
    pool_close(&p);
}

/* A module that looks for its tokens in C_Initialize alone is restarted, however busy another is. */
static void modules__are_restarted_by_themselves(void **state)
{
    (void)state;
    struct pool p;
    pool_load(&p, sm_softhsm_faulty_module(), "");
    open_both(&p, NULL);
    sm_key *beta = pool_key(&p, BETA);
    pool_order(&p, "removed\n");
    sm_key *key = pool_key(&p, SHARED);
    pool_sign_well(&p, key, SM_SIG_ECDSA_SHA256, MANY);
    pool_wait_up(&p, 0, false);
    for (int i = 0; i < 1000 && pool_calls(&p, "C_Finalize") == 0; i++) {
        pool_sign_well(&p, beta, SM_SIG_ECDSA_SHA256, 1);
    }
    assert_true(pool_calls(&p, "C_Finalize") > 0);
    assert_int_equal(calls_of_other(&p, "C_Finalize"), 0);
    assert_true(pool_status(&p, 1).up);
    pool_order(&p, "clear\n");
    pool_wait_up(&p, 0, true);
    sm_key_detach(&key);
    sm_key_detach(&beta);
    pool_close(&p);
}

static void modules__one_that_cannot_begin_leaves_the_other(void **state)
{
    (void)state;
    static const char *const orders[] = {"C_Initialize CKR_GENERAL_ERROR\n", "C_Initialize hang\n"};
    for (size_t i = 0; i < 2; i++) {
        struct pool p;
        pool_load(&p, sm_softhsm_faulty_module(), "");
        open_both(&p, orders[i]);
        assert_false(pool_status(&p, 0).up);
        sm_key *key = pool_key(&p, SHARED);
        pool_sign_well(&p, key, SM_SIG_ECDSA_SHA256, MANY);
        assert_int_equal(calls_of_other(&p, "C_Sign"), MANY);
        pool_order(&p, "clear\n");
        pool_wait_up(&p, 0, true);
        pool_sign_well(&p, key, SM_SIG_ECDSA_SHA256, 8 * MANY);
        assert_true(pool_calls(&p, "C_Sign") > 0);
        sm_key_detach(&key);
        pool_close(&p);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(modules__of_two_kinds_share_a_key),
        cmocka_unit_test(modules__one_out_of_order_leaves_the_other),
        cmocka_unit_test(modules__are_restarted_by_themselves),
        cmocka_unit_test(modules__one_that_cannot_begin_leaves_the_other),
    };
    return cmocka_run_group_tests(tests, pool_tokens_make, pool_tokens_drop);
}
