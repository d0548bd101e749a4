/* SPDX-License-Identifier: Apache-2.0 */
/* Calls that do not come back before there is a pool: at the start, and when a key is looked at or made. Neither
 * waits longer than it is to, other tokens carry on, and a token that comes later is taken in. */
#include "tests/support/token_pool.h"

#include <string.h>
#include <unistd.h>

#define ALPHA "pkcs11:token=alpha;object=p256"
#define BETA "pkcs11:token=beta;object=other"
#define MANY 24
#define HASTY_MS 300 /* for a call */

static void load(struct pool *p, const char *order, size_t tokens)
{
    pool_load(p, sm_softhsm_faulty_module(), "");
    pool_order(p, order);
    struct sm_token_config configs[] = {pool_token(p, "alpha"), pool_token(p, "beta")};
    for (size_t i = 0; i < tokens; i++) {
        configs[i].timeout_ms = 2000;
        configs[i].call_timeout_ms = HASTY_MS;
    }
    pool_open(p, configs, tokens);
}

static void wants_no_key(struct pool *p, const char *uri, const char *reason)
{
    sm_key *key = NULL;
    sm_diag diag = {.reason = ""};
    assert_sm_err(sm_keystore_load(p->store, uri, &key, &diag), UNAVAILABLE);
    assert_non_null(strstr(diag.reason, reason));
    assert_null(key);
}

static void signs(struct pool *p, const char *uri)
{
    sm_key *key = pool_key(p, uri);
    pool_sign_well(p, key, SM_SIG_ECDSA_SHA256, MANY);
    sm_key_detach(&key);
}

static void hangs_at_the_start(const char *order)
{
    struct pool p;
    load(&p, order, 1);
    assert_false(pool_status(&p, 0).up);
    assert_string_equal(pool_status(&p, 0).why, "a call does not come back");
    wants_no_key(&p, ALPHA, "alpha is not there: a call does not come back");
    pool_order(&p, "clear\n");
    pool_wait_up(&p, 0, true);
    signs(&p, ALPHA);
    pool_close(&p);
}

static void start__survives_c_initialize(void **state)
{
    (void)state;
    hangs_at_the_start("C_Initialize hang\n");
}

static void start__survives_c_get_token_info(void **state)
{
    (void)state;
    hangs_at_the_start("C_GetTokenInfo hang\n");
}

static void start__survives_c_open_session(void **state)
{
    (void)state;
    hangs_at_the_start("C_OpenSession hang\n");
}

static void start__survives_c_login(void **state)
{
    (void)state;
    hangs_at_the_start("C_Login hang\n");
}

/* The first call never comes back, and the token is there all the same. */
static void comes_up_beside(const char *order)
{
    struct pool p;
    load(&p, order, 1);
    pool_wait_up(&p, 0, true);
    signs(&p, ALPHA);
    pool_order(&p, "clear\n");
    pool_close(&p);
}

static void start__makes_another_attempt_beside_one_that_hangs(void **state)
{
    (void)state;
    comes_up_beside("C_GetSlotList hang 1\n");
    comes_up_beside("C_OpenSession hang 1\n");
}

/* It may be about to say that the PIN is wrong. */
static void start__shows_the_pin_once_until_it_is_answered(void **state)
{
    (void)state;
    struct pool p;
    load(&p, "C_Login hang 1\n", 1);
    (void)usleep(3 * HASTY_MS * 1000);
    assert_false(pool_status(&p, 0).up);
    assert_int_equal(pool_calls(&p, "C_Login"), 1);
    pool_order(&p, "clear\n");
    pool_wait_up(&p, 0, true);
    signs(&p, ALPHA);
    pool_close(&p);
}

static void start__of_one_token_leaves_the_other(void **state)
{
    (void)state;
    struct pool p;
    load(&p, "C_OpenSession@alpha hang\n", 2);
    assert_false(pool_status(&p, 0).up);
    pool_wait_up(&p, 1, true);
    signs(&p, BETA);
    pool_order(&p, "clear\n");
    pool_wait_up(&p, 0, true);
    signs(&p, ALPHA);
    pool_close(&p);
}

/* The module is out of order when we start, and tried again. How many sessions it may have is known only then. */
static void refuses_to_begin(const char *then, unsigned sessions)
{
    struct pool p;
    load(&p, "C_Initialize CKR_GENERAL_ERROR\n", 1);
    assert_false(pool_status(&p, 0).up);
    assert_string_equal(pool_status(&p, 0).why, "CKR_GENERAL_ERROR");
    wants_no_key(&p, ALPHA, "alpha is not there: CKR_GENERAL_ERROR");
    pool_order(&p, then);
    pool_wait_up(&p, 0, true);
    assert_int_equal(pool_status(&p, 0).sessions, sessions);
    signs(&p, ALPHA);
    pool_close(&p);
}

static void start__survives_a_module_that_refuses_to_begin(void **state)
{
    (void)state;
    refuses_to_begin("clear\n", 4);
    refuses_to_begin("serial\n", 1);
}

/* What comes in the end may be a refusal: then that is what is said. */
static void start__comes_late_and_is_refused(void **state)
{
    (void)state;
    struct pool p;
    load(&p, "C_Login hang CKR_PIN_LOCKED\n", 1);
    assert_false(pool_status(&p, 0).up);
    for (int n = 0; n < 10000 && pool_calls(&p, "C_Login") == 0; n++) {
        (void)usleep(1000); /* a busy machine may not be there yet */
    }
    pool_order(&p, "clear\n");
    for (int i = 0; i < 10000 && strcmp(pool_status(&p, 0).why, "CKR_PIN_LOCKED") != 0; i++) {
        (void)usleep(1000);
    }
    assert_string_equal(pool_status(&p, 0).why, "CKR_PIN_LOCKED");
    pool_close(&p);
}

/* The end waits for what is inside, and is not held up by what comes back. */
static void start__that_ends_at_once_ends(void **state)
{
    (void)state;
    struct pool p;
    load(&p, "C_OpenSession hang\n", 1);
    pool_order(&p, "clear\n");
    pool_close(&p);
}

static void look__that_hangs_costs_its_time(void **state)
{
    (void)state;
    struct pool p;
    load(&p, "clear\n", 1);
    pool_wait_up(&p, 0, true); /* a busy machine may be late */
    pool_order(&p, "C_FindObjectsInit hang\n");
    wants_no_key(&p, ALPHA, "does not answer");
    assert_false(pool_status(&p, 0).up);
    pool_order(&p, "clear\n");
    pool_wait_up(&p, 0, true);
    signs(&p, ALPHA);
    pool_close(&p);
}

static void make__that_hangs_costs_its_time(void **state)
{
    (void)state;
    struct pool p;
    sm_key *key = NULL;
    sm_diag diag = {.reason = ""};
    load(&p, "C_GenerateKeyPair hang CKR_DEVICE_ERROR\n", 1);
    pool_wait_up(&p, 0, true);
    assert_sm_err(sm_keystore_create(p.store, "hung", "pkcs11:token=alpha;object=hung", SM_KEY_P256,
                                     &key, &diag),
                  UNAVAILABLE);
    assert_non_null(strstr(diag.reason, "does not answer"));
    pool_order(&p, "clear\n");
    pool_wait_up(&p, 0, true);
    signs(&p, ALPHA);
    pool_close(&p);
}

/* What cannot be loaded after it was made is not left behind: its label is free again. */
static void make__that_cannot_be_loaded_is_taken_back(void **state)
{
    (void)state;
    static const char uri[] = "pkcs11:token=alpha;object=brief";
    struct pool p;
    sm_key *key = NULL;
    sm_diag diag = {.reason = ""};
    load(&p, "C_GetAttributeValue CKR_DEVICE_ERROR\n", 1);
    pool_wait_up(&p, 0, true);
    for (int round = 0; round < 2; round++) {
        assert_sm_err(sm_keystore_create(p.store, "brief", uri, SM_KEY_P256, &key, &diag),
                      UNAVAILABLE);
    }
    assert_int_equal(pool_calls(&p, "C_DestroyObject"), 4);
    pool_order(&p, "clear\n");
    assert_sm_err(sm_keystore_load(p.store, uri, &key, &diag), NOT_FOUND);
    assert_sm_ok(sm_keystore_create(p.store, "brief", uri, SM_KEY_P256, &key, &diag));
    pool_sign_well(&p, key, SM_SIG_ECDSA_SHA256, MANY);
    sm_key_detach(&key);
    pool_close(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(start__survives_c_initialize),
        cmocka_unit_test(start__survives_c_get_token_info),
        cmocka_unit_test(start__survives_c_open_session),
        cmocka_unit_test(start__survives_c_login),
        cmocka_unit_test(start__makes_another_attempt_beside_one_that_hangs),
        cmocka_unit_test(start__shows_the_pin_once_until_it_is_answered),
        cmocka_unit_test(start__of_one_token_leaves_the_other),
        cmocka_unit_test(start__survives_a_module_that_refuses_to_begin),
        cmocka_unit_test(start__comes_late_and_is_refused),
        cmocka_unit_test(start__that_ends_at_once_ends),
        cmocka_unit_test(look__that_hangs_costs_its_time),
        cmocka_unit_test(make__that_hangs_costs_its_time),
        cmocka_unit_test(make__that_cannot_be_loaded_is_taken_back),
    };
    return cmocka_run_group_tests(tests, pool_tokens_make, pool_tokens_drop);
}
