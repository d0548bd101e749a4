/* SPDX-License-Identifier: Apache-2.0 */
/* What real HSMs do wrong, done on command: each return value of Cryptoki, sessions, logins and
 * PINs. Whatever happens, each request gets one answer, and a good one verifies. */
#include "tests/support/token_pool.h"

#include <string.h>
#include <unistd.h>

#define ALPHA "pkcs11:token=alpha;object=p256"
#define BETA "pkcs11:token=beta;object=other"
#define SHARED "pkcs11:object=shared"
#define MANY 24
#define ORDER_MAX 160

/* ---- return values ---- */

/* Broken for a moment: the session, its login, its handles, or the token. */
static const char *const passing[] = {
    "CKR_SESSION_HANDLE_INVALID",
    "CKR_SESSION_CLOSED",
    "CKR_USER_NOT_LOGGED_IN",
    "CKR_KEY_HANDLE_INVALID",
    "CKR_OBJECT_HANDLE_INVALID",
    "CKR_OPERATION_ACTIVE",
    "CKR_OPERATION_NOT_INITIALIZED",
    "CKR_FUNCTION_CANCELED",
    "CKR_DEVICE_ERROR",
    "CKR_DEVICE_MEMORY",
    "CKR_DEVICE_REMOVED",
    "CKR_TOKEN_NOT_PRESENT",
    "CKR_TOKEN_NOT_RECOGNIZED",
    "CKR_SLOT_ID_INVALID",
    "CKR_CRYPTOKI_NOT_INITIALIZED",
    "CKR_GENERAL_ERROR",
    "CKR_FUNCTION_FAILED",
    "CKR_HOST_MEMORY",
};
#define PASSING (sizeof(passing) / sizeof(passing[0]))

static void order(struct pool *p, const char *function, const char *what)
{
    char text[ORDER_MAX];
    (void)snprintf(text, sizeof(text), "%s %s\n", function, what);
    pool_order(p, text);
}

static void order_times(struct pool *p, const char *function, const char *what, unsigned times)
{
    char text[ORDER_MAX];
    (void)snprintf(text, sizeof(text), "%s %s %u\n", function, what, times);
    pool_order(p, text);
}

static void faults__that_pass_cost_no_request(void **state)
{
    (void)state;
    static const char *const functions[] = {"C_SignInit", "C_Sign"};
    struct pool p;
    pool_faulty(&p, 1);
    sm_key *key = pool_key(&p, ALPHA);
    for (size_t i = 0; i < PASSING; i++) {
        for (size_t f = 0; f < 2; f++) {
            order_times(&p, functions[f], passing[i], 1);
            struct pool_tally t = pool_sign(&p, key, SM_SIG_ECDSA_SHA256, MANY);
            if (t.good != MANY) {
                print_error("%s %s: %u good\n", functions[f], passing[i], t.good);
            }
            assert_int_equal(t.good, MANY);
            pool_wait_up(&p, 0, true);
        }
    }
    sm_key_detach(&key);
    pool_close(&p);
}

/* The work was done and the answer lost: done again, answered once. */
static void faults__that_come_after_the_work_cost_no_request(void **state)
{
    (void)state;
    struct pool p;
    pool_faulty(&p, 1);
    sm_key *key = pool_key(&p, ALPHA);
    order(&p, "C_Sign", "late CKR_DEVICE_ERROR 1");
    pool_sign_well(&p, key, SM_SIG_ECDSA_SHA256, MANY);
    order(&p, "C_Sign", "late CKR_SESSION_HANDLE_INVALID 2");
    pool_sign_well(&p, key, SM_SIG_ECDSA_SHA256, MANY);
    sm_key_detach(&key);
    pool_close(&p);
}

static void faults__of_a_request_fail_it_alone(void **state)
{
    (void)state;
    static const char *const own[] = {"CKR_MECHANISM_INVALID",
                                      "CKR_MECHANISM_PARAM_INVALID",
                                      "CKR_DATA_INVALID",
                                      "CKR_DATA_LEN_RANGE",
                                      "CKR_KEY_FUNCTION_NOT_PERMITTED",
                                      "CKR_FUNCTION_NOT_SUPPORTED",
                                      "CKR_BUFFER_TOO_SMALL",
                                      "CKR_ARGUMENTS_BAD",
                                      "CKR_VENDOR_DEFINED",
                                      "CKR_ATTRIBUTE_SENSITIVE"};
    struct pool p;
    pool_faulty(&p, 1);
    sm_key *key = pool_key(&p, ALPHA);
    for (size_t i = 0; i < sizeof(own) / sizeof(own[0]); i++) {
        unsigned long before = pool_calls(&p, "C_SignInit");
        order_times(&p, i % 2 == 0 ? "C_SignInit" : "C_Sign", own[i], 2);
        struct pool_tally t = pool_sign(&p, key, SM_SIG_ECDSA_SHA256, MANY);
        if (t.token != 2) {
            print_error("%s: %u\n", own[i], t.token);
        }
        assert_int_equal(t.token, 2);
        assert_int_equal(t.good, MANY - 2);
        assert_true(pool_status(&p, 0).up);
        assert_int_equal(pool_calls(&p, "C_SignInit") - before, MANY); /* tried once */
    }
    sm_key_detach(&key);
    pool_close(&p);
}

/* For as long as the fault lasts UNAVAILABLE, and good again after it. */
static void faults__that_last_end_in_unavailable(void **state)
{
    (void)state;
    static const char *const lasting[] = {"C_SignInit CKR_KEY_HANDLE_INVALID",
                                          "C_Sign CKR_SESSION_HANDLE_INVALID",
                                          "C_Sign CKR_DEVICE_ERROR",
                                          "C_OpenSession CKR_TOKEN_NOT_PRESENT",
                                          "C_OpenSession CKR_DEVICE_REMOVED",
                                          "C_OpenSession CKR_SESSION_COUNT",
                                          "C_FindObjectsInit CKR_HOST_MEMORY",
                                          "C_Login CKR_FUNCTION_FAILED",
                                          "C_Sign CKR_CRYPTOKI_NOT_INITIALIZED"};
    struct pool p;
    pool_load(&p, sm_softhsm_faulty_module(), "");
    struct sm_token_config config = pool_token(&p, "alpha");
    config.timeout_ms = 1000;
    pool_open(&p, &config, 1);
    sm_key *key = pool_key(&p, ALPHA);
    pool_sign_well(&p, key, SM_SIG_ECDSA_SHA256, MANY);
    for (size_t i = 0; i < sizeof(lasting) / sizeof(lasting[0]); i++) {
        char text[ORDER_MAX];
        /* The second line leaves it without a session, so that the first is met. */
        (void)snprintf(text, sizeof(text), "%s\nC_Sign sessions-lost\n", lasting[i]);
        pool_order(&p, text);
        struct pool_tally t = pool_sign(&p, key, SM_SIG_ECDSA_SHA256, MANY);
        if (t.unavailable != MANY) {
            print_error("%s: %u\n", lasting[i], t.unavailable);
        }
        assert_int_equal(t.unavailable, MANY);
        pool_order(&p, "clear\n");
        pool_wait_up(&p, 0, true);
        pool_sign_well(&p, key, SM_SIG_ECDSA_SHA256, MANY);
    }
    sm_key_detach(&key);
    pool_close(&p);
}

/* What the token could not say is not taken for what is worst: that would be a refusal. */
static void faults__while_a_key_is_looked_at_are_no_refusal(void **state)
{
    (void)state;
    static const char *const orders[] = {"C_GetAttributeValue CKR_DEVICE_ERROR 1\n",
                                         "C_GetAttributeValue CKR_SESSION_HANDLE_INVALID\n",
                                         "C_FindObjects CKR_DEVICE_REMOVED\n"};
    struct pool p;
    sm_diag diag = {.reason = ""};
    sm_key *made;
    pool_load(&p, sm_softhsm_faulty_module(), "");
    struct sm_token_config config = pool_token(&p, "alpha");
    config.allow_extractable = false;
    pool_open(&p, &config, 1);
    assert_sm_ok(sm_keystore_create(p.store, "kept", "pkcs11:token=alpha;object=kept", SM_KEY_P256,
                                    &made, &diag));
    for (size_t i = 0; i < sizeof(orders) / sizeof(orders[0]); i++) {
        sm_key *key = NULL;
        pool_order(&p, orders[i]);
        assert_sm_err(sm_keystore_load(p.store, "pkcs11:token=alpha;object=kept", &key, &diag),
                      UNAVAILABLE);
        assert_non_null(strstr(diag.reason, "the token alpha says CKR_"));
        pool_order(&p, "clear\n");
    }
    pool_sign_well(&p, made, SM_SIG_ECDSA_SHA256, MANY);
    sm_key_detach(&made);
    pool_close(&p);
}

/* The same key on another token: no request is lost for the bad token's sake. */
static void faults__of_one_token_are_made_good_by_the_other(void **state)
{
    (void)state;
    struct pool p;
    pool_faulty(&p, 2);
    sm_key *key = pool_key(&p, SHARED);
    sm_key *other = pool_key(&p, BETA);
    sm_key *own = pool_key(&p, ALPHA);
    for (size_t i = 0; i < PASSING; i++) {
        order(&p, "C_Sign@alpha", passing[i]);
        pool_ask(&p, other, SM_SIG_ECDSA_SHA256, MANY);
        struct pool_tally t = pool_sign(&p, key, SM_SIG_ECDSA_SHA256, MANY);
        if (t.good != 2 * MANY) {
            print_error("%s: %u\n", passing[i], t.good);
        }
        assert_int_equal(t.good, 2 * MANY);
        assert_true(pool_status(&p, 1).up);
        pool_order(&p, "clear\n");
        pool_wait_up(&p, 0, true);
        pool_sign_well(&p, own, SM_SIG_ECDSA_SHA256, 1); /* it is forgiven */
    }
    sm_key_detach(&own);
    sm_key_detach(&other);
    sm_key_detach(&key);
    pool_close(&p);
}

/* Codes of a vendor's own. What one key meets on one token, another makes good; what two meet is the token's trouble. */
static void faults__that_nobody_knows_are_made_good_by_the_other(void **state)
{
    (void)state;
    static const char *const codes[] = {"CKR_VENDOR_DEFINED", "0x80000123", "0x7f0"};
    struct pool p;
    pool_faulty(&p, 2);
    sm_key *key = pool_key(&p, SHARED);
    sm_key *own = pool_key(&p, ALPHA);
    for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++) {
        order(&p, "C_Sign@alpha", codes[i]);
        unsigned long before = pool_calls(&p, "C_Sign");
        pool_sign_well(&p, key, SM_SIG_ECDSA_SHA256, 4 * MANY);
        assert_true(pool_calls(&p, "C_Sign") - before < 6 * MANY); /* it is not asked each time */
        assert_true(pool_status(&p, 0).up);
        order(&p, "C_Sign@alpha", codes[i]);
        pool_ask(&p, own, SM_SIG_ECDSA_SHA256, 1);
        pool_wait_up(&p, 0, false);
        pool_order(&p, "clear\n");
        assert_int_equal(pool_tally(&p, 20000).good, 1);
        pool_sign_well(&p, own, SM_SIG_ECDSA_SHA256, MANY);
    }
    sm_key_detach(&own);
    sm_key_detach(&key);
    pool_close(&p);
}

/* All sessions meet the same short fault: that is one failure of the token, not one of each, and
 * the token is back after the first pause. */
static void faults__met_by_all_sessions_count_once(void **state)
{
    (void)state;
    struct pool p;
    pool_load(&p, sm_softhsm_faulty_module(), "");
    struct sm_token_config config = pool_token(&p, "alpha");
    config.sessions = 16;
    pool_open(&p, &config, 1);
    sm_key *key = pool_key(&p, ALPHA);
    pool_sign_well(&p, key, SM_SIG_ECDSA_SHA256, 200);
    pool_order(&p, "C_Sign delay 30 16\nC_Sign CKR_DEVICE_ERROR 16\n");
    pool_sign_well(&p, key, SM_SIG_ECDSA_SHA256, 200);
    assert_true(pool_status(&p, 0).up);
    sm_key_detach(&key);
    pool_close(&p);
}

/* ---- sessions and logins lost in truth ---- */

static void sessions__lost_are_opened_again(void **state)
{
    (void)state;
    static const char *const losses[] = {"session-lost 3", "sessions-lost 2", "login-lost 2"};
    struct pool p;
    pool_faulty(&p, 1);
    sm_key *key = pool_key(&p, ALPHA);
    for (size_t i = 0; i < 3; i++) {
        order(&p, "C_Sign", losses[i]);
        pool_sign_well(&p, key, SM_SIG_ECDSA_SHA256, 3 * MANY);
        assert_true(pool_status(&p, 0).up);
        order(&p, "C_SignInit", losses[i]);
        pool_sign_well(&p, key, SM_SIG_ECDSA_SHA256, 3 * MANY);
    }
    sm_key_detach(&key);
    pool_close(&p);
}

/* Many sessions, one request, which meets each that was lost: they are closed too slowly for it to meet a new one first. */
static void sessions__lost_together_cost_no_request(void **state)
{
    (void)state;
    struct pool p;
    pool_load(&p, sm_softhsm_faulty_module(), "");
    struct sm_token_config config = pool_token(&p, "alpha");
    config.sessions = 8;
    pool_open(&p, &config, 1);
    sm_key *key = pool_key(&p, ALPHA);
    pool_order(&p, "C_Sign delay 30\n");
    pool_sign_well(&p, key, SM_SIG_ECDSA_SHA256, 4 * 8);
    pool_order(&p, "C_CloseSession delay 100\nC_Sign sessions-lost 1\n");
    pool_sign_well(&p, key, SM_SIG_ECDSA_SHA256, 1);
    assert_true(pool_status(&p, 0).up);
    sm_key_detach(&key);
    pool_close(&p);
}

/* Another part of the process ended the module: sessions, logins and handles are gone. */
static void sessions__come_back_after_the_module_was_finalized(void **state)
{
    (void)state;
    struct pool p;
    pool_faulty(&p, 2);
    sm_key *key = pool_key(&p, SHARED);
    pool_sign_well(&p, key, SM_SIG_ECDSA_SHA256, MANY);
    assert_int_equal(p.module.f->C_Finalize(NULL), CKR_OK);
    pool_sign_well(&p, key, SM_SIG_ECDSA_SHA256, MANY);
    sm_key_detach(&key);
    pool_close(&p);
}

static void sessions__fewer_than_configured_are_enough(void **state)
{
    (void)state;
    struct pool p;
    pool_load(&p, sm_softhsm_faulty_module(), "SM_P11_MAX_SESSIONS=3");
    struct sm_token_config config = pool_token(&p, "alpha");
    config.sessions = 12;
    pool_open(&p, &config, 1);
    sm_key *key = pool_key(&p, ALPHA);
    pool_order(&p, "C_Sign delay 2\n");
    pool_sign_well(&p, key, SM_SIG_ECDSA_SHA256, 200);
    assert_int_equal(pool_status(&p, 0).sessions, 3);
    /* Administration gets one of them when it needs it, also under load. */
    pool_ask(&p, key, SM_SIG_ECDSA_SHA256, 200);
    sm_key *another = pool_key(&p, "pkcs11:token=alpha;object=rsa");
    assert_int_equal(pool_tally(&p, 20000).good, 200);
    pool_sign_well(&p, another, SM_SIG_RSA_SHA256, MANY);
    assert_int_equal(pool_status(&p, 0).sessions, 3); /* and gives it back */
    sm_key_detach(&another);
    sm_key_detach(&key);
    pool_close(&p);
}

/* Nor does it matter that others are idle which have none to lend: they failed, and strangers took their places. */
static void sessions__are_lent_by_those_who_have_one(void **state)
{
    (void)state;
    struct pool p;
    CK_SLOT_ID slot;
    CK_SESSION_HANDLE strangers[31];
    pool_load(&p, sm_softhsm_faulty_module(), "SM_P11_MAX_SESSIONS=32");
    struct sm_token_config config = pool_token(&p, "alpha");
    config.sessions = 32;
    config.timeout_ms = 3000;
    pool_open(&p, &config, 1);
    sm_key *key = pool_key(&p, ALPHA);
    pool_order(&p, "C_Sign delay 50\nC_Sign CKR_DATA_INVALID 31\n");
    assert_int_equal(pool_sign(&p, key, SM_SIG_ECDSA_SHA256, 32).token, 31);
    assert_int_equal(sm_p11_client_slot(&p.module, "alpha", &slot), CKR_OK);
    for (int i = 0; i < 31; i++) {
        CK_RV rv = CKR_SESSION_COUNT;
        for (int n = 0; n < 1000 && rv == CKR_SESSION_COUNT; n++) {
            rv = p.module.f->C_OpenSession(slot, CKF_SERIAL_SESSION, NULL, NULL, &strangers[i]);
            (void)usleep(1000);
        }
        assert_int_equal(rv, CKR_OK);
    }
    sm_key *another = pool_key(&p, "pkcs11:token=alpha;object=rsa");
    for (int i = 0; i < 31; i++) {
        assert_int_equal(p.module.f->C_CloseSession(strangers[i]), CKR_OK);
    }
    pool_sign_well(&p, another, SM_SIG_RSA_SHA256, MANY);
    sm_key_detach(&another);
    sm_key_detach(&key);
    pool_close(&p);
}

/* Somebody else had the token's sessions for a while. */
static void sessions__that_were_refused_are_tried_later(void **state)
{
    (void)state;
    struct pool p;
    pool_faulty(&p, 1);
    sm_key *key = pool_key(&p, ALPHA);
    pool_order(&p, "C_Sign delay 20\n");
    pool_sign_well(&p, key, SM_SIG_ECDSA_SHA256, 1);
    pool_order(&p, "C_Sign delay 20\nC_OpenSession CKR_SESSION_COUNT 2\n");
    pool_sign_well(&p, key, SM_SIG_ECDSA_SHA256, 4 * MANY);
    assert_int_equal(pool_status(&p, 0).sessions, 2); /* of four */
    for (int i = 0; i < 100 && pool_status(&p, 0).sessions < 4; i++) {
        pool_sign_well(&p, key, SM_SIG_ECDSA_SHA256, MANY);
    }
    assert_int_equal(pool_status(&p, 0).sessions, 4);
    sm_key_detach(&key);
    pool_close(&p);
}

/* ---- PINs ---- */

static const char *const pin_answers[] = {"CKR_PIN_INCORRECT", "CKR_PIN_LOCKED", "CKR_PIN_EXPIRED",
                                          "CKR_PIN_INVALID", "CKR_USER_PIN_NOT_INITIALIZED"};
#define PIN_ANSWERS (sizeof(pin_answers) / sizeof(pin_answers[0]))

/* The PIN was changed while we run, and every session loses its login at once. */
static void pin__refused_later_is_tried_once_by_all_sessions(void **state)
{
    (void)state;
    for (size_t i = 0; i < PIN_ANSWERS; i++) {
        struct pool p;
        char text[ORDER_MAX];
        pool_load(&p, sm_softhsm_faulty_module(), "");
        struct sm_token_config config = pool_token(&p, "alpha");
        config.sessions = 8;
        pool_open(&p, &config, 1);
        sm_key *key = pool_key(&p, ALPHA);
        pool_sign_well(&p, key, SM_SIG_ECDSA_SHA256, 100);
        unsigned long before = pool_calls(&p, "C_Login");
        (void)snprintf(text, sizeof(text),
                       "C_Sign CKR_USER_NOT_LOGGED_IN\nC_Login delay 300\nC_Login %s\n",
                       pin_answers[i]);
        pool_order(&p, text);
        struct pool_tally t = pool_sign(&p, key, SM_SIG_ECDSA_SHA256, 100);
        assert_int_equal(t.unavailable, 100);
        assert_int_equal(pool_calls(&p, "C_Login") - before, 1);
        assert_false(pool_status(&p, 0).up);
        assert_string_equal(pool_status(&p, 0).why, pin_answers[i]);
        /* Nor does administration try it. */
        sm_key *another = NULL;
        sm_diag diag;
        assert_sm_err(sm_keystore_load(p.store, SHARED, &another, &diag), UNAVAILABLE);
        assert_int_equal(pool_calls(&p, "C_Login") - before, 1);
        sm_key_detach(&key);
        pool_close(&p);
    }
}

static void pin__refused_at_the_start_is_not_tried_again(void **state)
{
    (void)state;
    struct pool p;
    pool_load(&p, sm_softhsm_faulty_module(), "");
    order(&p, "C_Login", "CKR_PIN_LOCKED");
    struct sm_token_config config = pool_token(&p, "alpha");
    pool_open(&p, &config, 1);
    (void)usleep(400000); /* longer than the first pauses of a token that is only down */
    assert_string_equal(pool_status(&p, 0).why, "CKR_PIN_LOCKED");
    assert_int_equal(pool_calls(&p, "C_Login"), 1);
    pool_close(&p);
}

/* A key that wants the PIN for each signature counts wrong ones too. */
static void pin__refused_for_one_signature_is_not_tried_again(void **state)
{
    (void)state;
    struct pool p;
    pool_load(&p, sm_softhsm_faulty_module(), "");
    struct sm_token_config config = pool_token(&p, "alpha");
    config.sessions = 8;
    config.call_timeout_ms = 1000;
    pool_open(&p, &config, 1);
    sm_key *key = pool_key(&p, "pkcs11:token=alpha;object=always");
    /* As slow as PINs are checked, sessions that take turns with them do not hang. */
    pool_order(&p, "C_Login delay 150\n");
    pool_sign_well(&p, key, SM_SIG_ECDSA_SHA256, 10);
    unsigned long before = pool_calls(&p, "C_Login");
    pool_order(&p, "C_Login delay 300\nC_Login CKR_PIN_INCORRECT\n");
    assert_int_equal(pool_sign(&p, key, SM_SIG_ECDSA_SHA256, 100).unavailable, 100);
    assert_int_equal(pool_calls(&p, "C_Login") - before, 1);
    sm_key_detach(&key);
    pool_close(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(faults__that_pass_cost_no_request),
        cmocka_unit_test(faults__that_come_after_the_work_cost_no_request),
        cmocka_unit_test(faults__of_a_request_fail_it_alone),
        cmocka_unit_test(faults__that_last_end_in_unavailable),
        cmocka_unit_test(faults__while_a_key_is_looked_at_are_no_refusal),
        cmocka_unit_test(faults__of_one_token_are_made_good_by_the_other),
        cmocka_unit_test(faults__that_nobody_knows_are_made_good_by_the_other),
        cmocka_unit_test(faults__met_by_all_sessions_count_once),
        cmocka_unit_test(sessions__lost_are_opened_again),
        cmocka_unit_test(sessions__lost_together_cost_no_request),
        cmocka_unit_test(sessions__come_back_after_the_module_was_finalized),
        cmocka_unit_test(sessions__fewer_than_configured_are_enough),
        cmocka_unit_test(sessions__are_lent_by_those_who_have_one),
        cmocka_unit_test(sessions__that_were_refused_are_tried_later),
        cmocka_unit_test(pin__refused_later_is_tried_once_by_all_sessions),
        cmocka_unit_test(pin__refused_at_the_start_is_not_tried_again),
        cmocka_unit_test(pin__refused_for_one_signature_is_not_tried_again),
    };
    return cmocka_run_group_tests(tests, pool_tokens_make, pool_tokens_drop);
}
