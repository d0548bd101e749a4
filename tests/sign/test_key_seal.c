/* SPDX-License-Identifier: Apache-2.0 */
/* Secrets sealed under a passphrase: opened by the same passphrase and context alone, whatever octet was changed. */
#include "tests/support/support.h"

#include "sign/key_seal.h"

static sm_key_sealer *sealer_of(const char *passphrase)
{
    sm_key_sealer *sealer = NULL;
    assert_sm_ok(sm_key_sealer_new(sm_slice_str(passphrase), &sealer));
    return sealer;
}

static void seal__secret_opens_by_its_own_context(void **state)
{
    (void)state;
    sm_key_sealer *sealer = sealer_of("correct horse");
    sm_key_sealer *again = sealer_of("correct horse");
    sm_key_sealer *other = sealer_of("battery staple");
    sm_buf sealed = sm_buf_init(256);
    sm_buf twice = sm_buf_init(256);
    sm_buf out = sm_buf_init_secret(64);
    assert_sm_ok(sm_secret_seal(sealer, SM_LIT("a"), SM_LIT("sixteen octets.."), &sealed));
    assert_sm_ok(sm_secret_seal(sealer, SM_LIT("a"), SM_LIT("sixteen octets.."), &twice));
    assert_false(sm_slice_equal(sm_buf_slice(&sealed), sm_buf_slice(&twice)));
    assert_true(sm_slice_search(sm_buf_slice(&sealed), SM_LIT("sixteen")) >= sealed.len);
    assert_sm_ok(sm_secret_unseal(again, SM_LIT("a"), sm_buf_slice(&sealed), &out));
    assert_true(sm_slice_equal(sm_buf_slice(&out), SM_LIT("sixteen octets..")));
    assert_true(sm_err_is(sm_secret_unseal(other, SM_LIT("a"), sm_buf_slice(&sealed), &out),
                          SM_E_FORBIDDEN));
    sm_buf_reset(&out);
    assert_true(sm_err_is(sm_secret_unseal(sealer, SM_LIT("b"), sm_buf_slice(&sealed), &out),
                          SM_E_FORBIDDEN));
    for (size_t i = 0; i < sealed.len; i += 5) { /* salt, nonce, secret, tag */
        sealed.ptr[i] ^= 1;
        assert_true(sm_err_is(sm_secret_unseal(sealer, SM_LIT("a"), sm_buf_slice(&sealed), &out),
                              SM_E_FORBIDDEN));
        sealed.ptr[i] ^= 1;
    }
    assert_true(
        sm_err_is(sm_secret_unseal(sealer, SM_LIT("a"), SM_LIT("short"), &out), SM_E_FORBIDDEN));
    assert_int_equal(out.len, 0);
    sm_buf_deinit(&sealed);
    sm_buf_deinit(&twice);
    sm_buf_deinit(&out);
    sm_key_sealer_free(&sealer);
    sm_key_sealer_free(&again);
    sm_key_sealer_free(&other);
}

static void seal__secret_has_a_limit(void **state)
{
    (void)state;
    static const uint8_t large[SM_SEALED_SECRET_MAX + 1];
    sm_key_sealer *sealer = sealer_of("correct horse");
    sm_buf sealed = sm_buf_init(SM_SEALED_SECRET_MAX + 256);
    assert_true(
        sm_err_is(sm_secret_seal(sealer, SM_LIT("a"), sm_slice_of(large, sizeof(large)), &sealed),
                  SM_E_TOO_LARGE));
    assert_sm_ok(
        sm_secret_seal(sealer, SM_LIT("a"), sm_slice_of(large, sizeof(large) - 1), &sealed));
    sm_buf_deinit(&sealed);
    sm_key_sealer_free(&sealer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(seal__secret_opens_by_its_own_context),
        cmocka_unit_test(seal__secret_has_a_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
