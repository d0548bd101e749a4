/* SPDX-License-Identifier: Apache-2.0 */
/* Private keys of every type: octet for octet what OpenSSL's encoder makes of them. */
#include "tests/support/ossl.h"
#include "tests/support/support.h"

#include "sign/alg.h"
#include "sign/key_p.h"
#include "sign/pkcs8.h"

#include <openssl/x509.h>

static void assert_as_openssl(EVP_PKEY *pkey)
{
    sm_buf ours = sm_buf_init_secret(SM_PKCS8_MAX);
    PKCS8_PRIV_KEY_INFO *info = EVP_PKEY2PKCS8(pkey);
    unsigned char *der = NULL;
    int len = i2d_PKCS8_PRIV_KEY_INFO(info, &der);
    assert_true(len > 0);
    assert_sm_ok(sm_pkcs8_write(pkey, &ours));
    assert_int_equal(ours.len, len);
    assert_memory_equal(ours.ptr, der, (size_t)len);
    OPENSSL_free(der);
    PKCS8_PRIV_KEY_INFO_free(info);
    sm_buf_deinit(&ours);
}

static void pkcs8__is_openssls_octet_for_octet(void **state)
{
    (void)state;
    for (enum sm_key_type type = SM_KEY_P256; type < SM_KEY_TYPE_COUNT; type++) {
        assert_as_openssl(sm_test_pkey(type));
    }
}

/* One in 256 has a number with a leading zero. */
static void pkcs8__numbers_keep_their_length(void **state)
{
    (void)state;
    for (int i = 0; i < 1500; i++) {
        EVP_PKEY *pkey = sm_key_make(i % 3 == 0 ? SM_KEY_P521 : SM_KEY_P256);
        assert_non_null(pkey);
        assert_as_openssl(pkey);
        EVP_PKEY_free(pkey);
    }
}

/* A key of RFC 9881's form expandedKey. */
static void pkcs8__ml_dsa_without_its_seed(void **state)
{
    (void)state;
    static uint8_t expanded[8192];
    size_t len = 0;
    EVP_PKEY *whole = sm_test_pkey(SM_KEY_ML_DSA_44);
    assert_int_equal(
        EVP_PKEY_get_octet_string_param(whole, "priv", expanded, sizeof(expanded), &len), 1);
    EVP_PKEY *bare = EVP_PKEY_new_raw_private_key_ex(NULL, "ML-DSA-44", NULL, expanded, len);
    assert_non_null(bare);
    assert_as_openssl(bare);
    EVP_PKEY_free(bare);
}

static void pkcs8__refuses_what_is_of_no_known_type(void **state)
{
    (void)state;
    sm_buf out = sm_buf_init_secret(SM_PKCS8_MAX);
    EVP_PKEY *other = EVP_PKEY_Q_keygen(NULL, NULL, "X25519");
    assert_non_null(other);
    assert_false(sm_ok(sm_pkcs8_write(other, &out)));
    EVP_PKEY_free(other);
    sm_buf small = sm_buf_init_secret(20);
    assert_false(sm_ok(sm_pkcs8_write(sm_test_pkey(SM_KEY_P256), &small)));
    sm_buf_deinit(&small);
    sm_buf_deinit(&out);
}

static int tear_down(void **state)
{
    (void)state;
    sm_test_keys_free();
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pkcs8__is_openssls_octet_for_octet),
        cmocka_unit_test(pkcs8__numbers_keep_their_length),
        cmocka_unit_test(pkcs8__ml_dsa_without_its_seed),
        cmocka_unit_test(pkcs8__refuses_what_is_of_no_known_type),
    };
    return cmocka_run_group_tests(tests, NULL, tear_down);
}
