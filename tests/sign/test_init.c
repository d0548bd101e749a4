/* SPDX-License-Identifier: Apache-2.0 */
/* The start: known-answer tests find backends that lie, and what was chosen is told. */
#include "tests/sign/keys.h"

#include "base/metrics.h"

#include <stdlib.h>

#define LANES SM_BACKEND_LANES

enum lie {
    HONEST,
    LANE_THREE_ACCEPTS_ALL,
    LANE_SIX_REFUSES_ALL,
    SWAPS_LANES,
    SIGNS_WRONG,
    FAILS_TO_SIGN
};

static enum lie lie;

static bool fake_applicable(enum sm_crypt_op op, enum sm_key_type type)
{
    (void)op;
    (void)type;
    return true;
}

static void swap_outputs(sm_crypt_job *a, sm_crypt_job *b)
{
    uint8_t tmp[SM_SIGNATURE_MAX];
    size_t len = a->out_len;
    memcpy(tmp, a->out, len);
    memcpy(a->out, b->out, b->out_len);
    memcpy(b->out, tmp, len);
    a->out_len = b->out_len;
    b->out_len = len;
}

/* OpenSSL, but for the lie. */
static void fake_run(sm_crypt_job *const *jobs, size_t count)
{
    sm_backend_openssl.run(jobs, count);
    bool sign = jobs[0]->op == SM_CRYPT_SIGN;
    switch (lie) {
    case HONEST:
        break;
    case LANE_THREE_ACCEPTS_ALL:
        jobs[3]->err = SM_NO_ERR;
        break;
    case LANE_SIX_REFUSES_ALL:
        jobs[6]->err = sign ? jobs[6]->err : SM_ERR(BAD_SIGNATURE);
        break;
    case SWAPS_LANES:
        if (sign) {
            swap_outputs(jobs[1], jobs[2]);
        }
        break;
    case SIGNS_WRONG:
        if (sign) {
            jobs[7]->out[jobs[7]->out_len - 1] ^= 1;
        }
        break;
    default:
        if (sign) {
            jobs[0]->err = SM_ERR(CRYPTO);
        }
        break;
    }
}

static void nothing(void)
{
}

static const struct sm_backend fake = {SM_BACKEND_MB, "fake", fake_applicable, fake_run, nothing};

static void kat__finds_every_lie(void **state)
{
    (void)state;
    static const struct {
        enum lie lie;
        bool verify_good;
        bool sign_good;
    } rows[] = {
        {HONEST, true, true},
        {LANE_THREE_ACCEPTS_ALL, false, true},
        {LANE_SIX_REFUSES_ALL, false, true},
        {SWAPS_LANES, true, false},
        {SIGNS_WRONG, true, false},
        {FAILS_TO_SIGN, true, false},
    };
    static const enum sm_key_type types[] = {SM_KEY_P256, SM_KEY_RSA_2048, SM_KEY_ED25519};
    for (size_t t = 0; t < SM_ARRAY_LEN(types); t++) {
        for (size_t i = 0; i < SM_ARRAY_LEN(rows); i++) {
            struct sm_backend_choice verify = {0};
            struct sm_backend_choice sign = {0};
            lie = rows[i].lie;
            assert_sm_ok(sm_kat_run(&fake, types[t], &verify, &sign));
            assert_int_equal(strcmp(verify.why, "known-answer test failed") != 0,
                             rows[i].verify_good);
            assert_int_equal(strcmp(sign.why, "known-answer test failed") != 0, rows[i].sign_good);
            assert_true(rows[i].verify_good || verify.from == SM_BACKEND_NEVER);
            assert_true(rows[i].sign_good || sign.from == SM_BACKEND_NEVER);
            assert_true(verify.single_ns > 0 && sign.single_ns > 0 && verify.batch_ns > 0 &&
                        sign.batch_ns > 0);
        }
    }
    lie = HONEST;
}

static bool metrics_say(const char *text)
{
    sm_buf page = sm_buf_init(1 << 20);
    sm_metrics_render(&page);
    bool found = sm_slice_search(sm_buf_slice(&page), sm_slice_str(text)) < page.len;
    sm_buf_deinit(&page);
    return found;
}

/* Whatever multi-buffer's Ed25519 does here, what is used is right. */
static void init__ed25519_is_right_or_not_used(void **state)
{
    (void)state;
    const char *why = NULL;
    struct batch b;
    assert_sm_ok(sm_sign_init(NULL));
    const char *name = sm_sign_backend(SM_CRYPT_SIGN, SM_KEY_ED25519, &why);
    print_message("Ed25519 goes to %s: %s\n", name, why);
    batch_sign(&b, LANES, SM_KEY_ED25519, SM_SIG_ED25519);
    (void)sm_backend_run(b.list, LANES);
    for (size_t i = 0; i < LANES; i++) {
        assert_sm_ok(b.jobs[i].err);
    }
    batch_verify(&b, LANES);
    sm_backend_openssl.run(b.list, LANES);
    for (size_t i = 0; i < LANES; i++) {
        assert_sm_ok(b.jobs[i].err);
    }
}

static void init__tells_which_backend_and_why(void **state)
{
    (void)state;
    const char *why = NULL;
    assert_sm_ok(sm_sign_init(NULL));
    assert_true(metrics_say("sealmill_crypto_backend{op=\"sign\",key=\"P-256\",backend=\""));
    assert_true(
        metrics_say("sealmill_crypto_backend{op=\"verify\",key=\"ML-DSA-87\",backend=\"openssl\""));
    assert_string_equal(sm_sign_backend(SM_CRYPT_SIGN, SM_KEY_ML_DSA_65, &why), "openssl");
    assert_string_equal(why, "no multi-buffer code for it");
    assert_string_equal(sm_sign_backend(SM_CRYPT_SIGN, SM_KEY_ED448, NULL), "openssl");
}

static void init__multi_buffer_can_be_switched_off(void **state)
{
    (void)state;
    const char *why = NULL;
    sm_sign_set_multi_buffer(false);
    assert_sm_ok(sm_sign_init(NULL));
    for (enum sm_key_type type = SM_KEY_P256; type < SM_KEY_TYPE_COUNT; type++) {
        assert_string_equal(sm_sign_backend(SM_CRYPT_SIGN, type, &why), "openssl");
        assert_string_equal(sm_sign_backend(SM_CRYPT_VERIFY, type, &why), "openssl");
        assert_string_equal(why, "multi-buffer is switched off");
    }
    sm_sign_set_multi_buffer(true);
    assert_sm_ok(sm_sign_init(NULL));
}

static void slow__is_what_may_not_run_on_a_loop(void **state)
{
    (void)state;
    static const enum sm_key_type slow[] = {SM_KEY_RSA_3072, SM_KEY_RSA_4096, SM_KEY_ML_DSA_44,
                                            SM_KEY_ML_DSA_65, SM_KEY_ML_DSA_87};
    for (size_t i = 0; i < SM_ARRAY_LEN(slow); i++) {
        assert_true(sm_backend_is_slow(SM_CRYPT_SIGN, slow[i]));
    }
    assert_false(sm_backend_is_slow(SM_CRYPT_SIGN, SM_KEY_P256));
    /* Measured: a curve whose code is slow here goes to the pool. */
    struct sm_backend_choice saved = *sm_backend_get_choice(SM_CRYPT_VERIFY, SM_KEY_P384);
    struct sm_backend_choice choice = {SM_BACKEND_NEVER, "test", 430000, 0};
    sm_backend_set_choice(SM_CRYPT_VERIFY, SM_KEY_P384, &choice);
    assert_true(sm_backend_is_slow(SM_CRYPT_VERIFY, SM_KEY_P384));
    choice = (struct sm_backend_choice){2, "test", 430000, 424000};
    sm_backend_set_choice(SM_CRYPT_VERIFY, SM_KEY_P384, &choice);
    assert_false(sm_backend_is_slow(SM_CRYPT_VERIFY, SM_KEY_P384));
    sm_backend_set_choice(SM_CRYPT_VERIFY, SM_KEY_P384, &saved);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(kat__finds_every_lie),
        cmocka_unit_test(init__ed25519_is_right_or_not_used),
        cmocka_unit_test(init__tells_which_backend_and_why),
        cmocka_unit_test(init__multi_buffer_can_be_switched_off),
        cmocka_unit_test(slow__is_what_may_not_run_on_a_loop),
    };
    return cmocka_run_group_tests(tests, NULL, drop_keys);
}
