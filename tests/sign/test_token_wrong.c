/* SPDX-License-Identifier: Apache-2.0 */
/* Signatures that are wrong, done on command: none leaves. And modules for one thread. */
#include "tests/support/token_pool.h"

#include "base/clock.h"
#include "sign/backend.h"
#include "sign/key_p.h"
#include "sign/p11_pool_p.h"

#include <stdatomic.h>
#include <unistd.h>

#define ALPHA "pkcs11:token=alpha;object=p256"
#define BETA "pkcs11:token=beta;object=other"
#define SHARED "pkcs11:object=shared"
#define MANY 24
#define ORDER_MAX 160

/* ---- wrong signatures ---- */

static const struct {
    const char *uri;
    enum sm_sig_alg alg;
} signers[] = {
    {ALPHA, SM_SIG_ECDSA_SHA256},
    {"pkcs11:token=alpha;object=rsa", SM_SIG_RSA_SHA256},
    {"pkcs11:token=alpha;object=rsa", SM_SIG_PSS_SHA384},
    {"pkcs11:token=alpha;object=ed25519", SM_SIG_ED25519},
};
#define SIGNERS (sizeof(signers) / sizeof(signers[0]))

static sm_crypt_job *_Atomic back;

static const char *const shapes[] = {"corrupt", "short", "long"};

/* One among good ones, the key's first one too: made again. */
static void spoilt__signatures_are_made_again(void **state)
{
    (void)state;
    struct pool p;
    char text[ORDER_MAX];
    pool_faulty(&p, 1);
    for (size_t i = 0; i < SIGNERS; i++) {
        sm_key *key = pool_key(&p, signers[i].uri);
        for (size_t s = 0; s < 3; s++) {
            unsigned long before = pool_calls(&p, "C_Sign");
            (void)snprintf(text, sizeof(text), "C_Sign %s 1\n", shapes[s]);
            pool_order(&p, text);
            pool_sign_well(&p, key, signers[i].alg, 1);
            assert_int_equal(pool_calls(&p, "C_Sign") - before, 2);
            (void)snprintf(text, sizeof(text), "C_Sign delay 1\nC_Sign %s 2\n", shapes[s]);
            pool_order(&p, text);
            pool_sign_well(&p, key, signers[i].alg, MANY);
            pool_wait_up(&p, 0, true);
        }
        sm_key_detach(&key);
    }
    pool_close(&p);
}

static void spoilt__signatures_never_leave(void **state)
{
    (void)state;
    struct pool p;
    char text[ORDER_MAX];
    pool_load(&p, sm_softhsm_faulty_module(), "");
    struct sm_token_config config = pool_token(&p, "alpha");
    config.timeout_ms = 800;
    pool_open(&p, &config, 1);
    for (size_t i = 0; i < SIGNERS; i++) {
        sm_key *key = pool_key(&p, signers[i].uri);
        for (size_t s = 0; s < 3; s++) {
            (void)snprintf(text, sizeof(text), "C_Sign %s\n", shapes[s]);
            pool_order(&p, text);
            assert_int_equal(pool_sign(&p, key, signers[i].alg, MANY).unavailable, MANY);
            pool_order(&p, "clear\n");
            pool_wait_up(&p, 0, true);
            for (int tries = 0; pool_sign(&p, key, signers[i].alg, 1).good != 1; tries++) {
                assert_true(tries < 10); /* the key rests, too */
            }
            pool_sign_well(&p, key, signers[i].alg, MANY);
        }
        sm_key_detach(&key);
    }
    pool_close(&p);
}

static void spoilt__signatures_of_one_token_are_made_good_by_the_other(void **state)
{
    (void)state;
    struct pool p;
    char text[ORDER_MAX];
    pool_faulty(&p, 2);
    sm_key *key = pool_key(&p, SHARED);
    sm_key *beta = pool_key(&p, BETA);
    for (size_t s = 0; s < 3; s++) {
        (void)snprintf(text, sizeof(text), "C_Sign@alpha %s\n", shapes[s]);
        pool_order(&p, text);
        pool_ask(&p, beta, SM_SIG_ECDSA_SHA256, MANY);
        assert_int_equal(pool_sign(&p, key, SM_SIG_ECDSA_SHA256, 4 * MANY).good, 5 * MANY);
    }
    sm_key_detach(&beta);
    sm_key_detach(&key);
    pool_close(&p);
}

/* Where to verify is slow for the key's type, it is not done on a loop. */
static void spoilt__signatures_are_found_by_the_workers_too(void **state)
{
    (void)state;
    struct pool p;
    const struct sm_backend_choice slow = {SM_BACKEND_NEVER, "for the test", SM_NS_PER_S, 0};
    const struct sm_backend_choice was = *sm_backend_get_choice(SM_CRYPT_VERIFY, SM_KEY_P256);
    pool_faulty(&p, 1);
    sm_backend_set_choice(SM_CRYPT_VERIFY, SM_KEY_P256, &slow);
    assert_true(sm_backend_is_slow(SM_CRYPT_VERIFY, SM_KEY_P256));
    sm_key *key = pool_key(&p, ALPHA);
    pool_sign_well(&p, key, SM_SIG_ECDSA_SHA256, MANY);
    pool_order(&p, "C_Sign corrupt 2\n");
    unsigned long before = pool_calls(&p, "C_Sign");
    pool_sign_well(&p, key, SM_SIG_ECDSA_SHA256, MANY);
    assert_true(pool_calls(&p, "C_Sign") - before >= MANY + 2);
    sm_key_detach(&key);
    pool_close(&p);
    sm_backend_set_choice(SM_CRYPT_VERIFY, SM_KEY_P256, &was);
}

/* For those who wait for it on their own thread. */
static void spoilt__signatures_do_not_leave_sign_now(void **state)
{
    (void)state;
    struct pool p;
    sm_buf out = sm_buf_init(SM_SIGNATURE_MAX);
    pool_hasty(&p, 1, 600);
    sm_key *key = pool_key(&p, ALPHA);
    pool_order(&p, "C_Sign corrupt 1\n");
    assert_sm_ok(sm_sign_now(key, SM_SIG_ECDSA_SHA256, SM_LIT("hello"), &out));
    assert_sm_ok(sm_verify_now(sm_key_public(key), SM_SIG_ECDSA_SHA256, SM_LIT("hello"),
                               sm_buf_slice(&out)));
    sm_buf_reset(&out);
    pool_order(&p, "C_Sign corrupt\n");
    assert_sm_err(sm_sign_now(key, SM_SIG_ECDSA_SHA256, SM_LIT("hello"), &out), UNAVAILABLE);
    assert_int_equal(out.len, 0);
    sm_buf_deinit(&out);
    sm_key_detach(&key);
    pool_close(&p);
}

static void on_back(sm_crypt_job *job)
{
    atomic_store(&back, job);
}

/* Whoever could not verify it has not found it wrong: the token is not blamed, and does not do it again. */
static void unverified__signatures_do_not_leave(void **state)
{
    (void)state;
    struct pool p;
    uint8_t out[SM_SIGNATURE_MAX];
    pool_faulty(&p, 1);
    sm_key *key = pool_key(&p, ALPHA);
    pool_sign_well(&p, key, SM_SIG_ECDSA_SHA256, MANY);
    unsigned long before = pool_calls(&p, "C_Sign");
    sm_crypt_job job = {.op = SM_CRYPT_SIGN,
                        .alg = SM_SIG_ECDSA_SHA256,
                        .type = SM_KEY_P256,
                        .message = SM_LIT("hello"),
                        .key = key,
                        .out = out,
                        .out_room = sizeof(out),
                        .submitted_ns = sm_clock_mono_ns(),
                        .give_back = on_back};
    assert_sm_ok(sm_token_key_submit(key->token, &job));
    while (atomic_load(&back) == NULL) {
        (void)usleep(1000);
    }
    assert_true(job.checking);
    assert_true(sm_token_key_checked(key->token, &job, SM_ERR(NO_MEMORY)));
    assert_sm_err(job.err, NO_MEMORY);
    assert_int_equal(job.out_len, 0);
    assert_true(pool_status(&p, 0).up);
    pool_sign_well(&p, key, SM_SIG_ECDSA_SHA256, MANY);
    assert_int_equal(pool_calls(&p, "C_Sign") - before, MANY + 1);
    sm_key_detach(&key);
    pool_close(&p);
}

/* ---- modules for one thread ---- */

static void sign_alone(struct pool *p, const struct sm_token_config *configs)
{
    pool_open(p, configs, 2);
    sm_key *shared = pool_key(p, SHARED);
    sm_key *alpha = pool_key(p, ALPHA);
    pool_ask(p, alpha, SM_SIG_ECDSA_SHA256, MANY);
    assert_int_equal(pool_sign(p, shared, SM_SIG_ECDSA_SHA256, 4 * MANY).good, 5 * MANY);
    assert_int_equal(sm_p11_client_count(&p->module, "serial", "overlaps"), 0);
    sm_key_detach(&alpha);
    sm_key_detach(&shared);
    pool_close(p);
}

static void one_thread__that_a_module_asks_for_it_gets(void **state)
{
    (void)state;
    struct pool p;
    pool_load(&p, sm_softhsm_faulty_module(), "SM_P11_SERIAL=abort");
    const struct sm_token_config configs[] = {pool_token(&p, "alpha"), pool_token(&p, "beta")};
    sign_alone(&p, configs);
}

static void one_thread__that_the_operator_asks_for_it_gets(void **state)
{
    (void)state;
    struct pool p;
    pool_load(&p, sm_softhsm_faulty_module(), "");
    pool_order(&p, "serial count\n");
    struct sm_token_config configs[] = {pool_token(&p, "alpha"), pool_token(&p, "beta")};
    configs[1].one_thread = true; /* it is the same module */
    sign_alone(&p, configs);
}

/* Many sessions that take turns are not many that hang. */
static void one_thread__with_slow_calls_is_not_taken_for_hung(void **state)
{
    (void)state;
    struct pool p;
    pool_load(&p, sm_softhsm_faulty_module(), "SM_P11_SERIAL=abort");
    struct sm_token_config config = pool_token(&p, "alpha");
    config.sessions = 8;
    config.call_timeout_ms = 1000;
    pool_open(&p, &config, 1);
    pool_wait_up(&p, 0, true); /* a busy machine may be late */
    sm_key *key = pool_key(&p, ALPHA);
    pool_order(&p, "C_Sign delay 150\n");
    unsigned long before = pool_calls(&p, "C_Sign");
    pool_sign_well(&p, key, SM_SIG_ECDSA_SHA256, 8);
    assert_int_equal(pool_calls(&p, "C_Sign") - before, 8);
    assert_true(pool_status(&p, 0).up);
    sm_key_detach(&key);
    pool_close(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(spoilt__signatures_are_made_again),
        cmocka_unit_test(spoilt__signatures_never_leave),
        cmocka_unit_test(spoilt__signatures_of_one_token_are_made_good_by_the_other),
        cmocka_unit_test(spoilt__signatures_are_found_by_the_workers_too),
        cmocka_unit_test(spoilt__signatures_do_not_leave_sign_now),
        cmocka_unit_test(unverified__signatures_do_not_leave),
        cmocka_unit_test(one_thread__that_a_module_asks_for_it_gets),
        cmocka_unit_test(one_thread__that_the_operator_asks_for_it_gets),
        cmocka_unit_test(one_thread__with_slow_calls_is_not_taken_for_hung),
    };
    return cmocka_run_group_tests(tests, pool_tokens_make, pool_tokens_drop);
}
