/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/support/ossl.h"
#include "tests/support/support.h"

#include "base/check.h"
#include "sign/alg.h"
#include "sign/der.h"

#include <openssl/rsa.h>

static void key_type__names_round_trip(void **state)
{
    (void)state;
    for (int i = 1; i < SM_KEY_TYPE_COUNT; i++) {
        const char *name = sm_key_type_name((enum sm_key_type)i);
        assert_int_equal(sm_key_type_parse(sm_slice_str(name)), i);
    }
    assert_string_equal(sm_key_type_name((enum sm_key_type)99), "none");
}

static void key_type__takes_the_usual_spellings(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        enum sm_key_type want;
    } words[] = {
        {"ec-p256", SM_KEY_P256},        {"EC_P384", SM_KEY_P384},      {"p521", SM_KEY_P521},
        {"rsa2048", SM_KEY_RSA_2048},    {"RSA 4096", SM_KEY_RSA_4096}, {"ed25519", SM_KEY_ED25519},
        {"ML_DSA_65", SM_KEY_ML_DSA_65}, {"mldsa87", SM_KEY_ML_DSA_87}, {"", SM_KEY_NONE},
        {"none", SM_KEY_NONE},           {"rsa", SM_KEY_NONE},          {"rsa1024", SM_KEY_NONE},
        {"p-2566", SM_KEY_NONE},         {"p-25", SM_KEY_NONE},         {"ec-", SM_KEY_NONE},
        {"secp256k1", SM_KEY_NONE},
    };
    for (size_t i = 0; i < SM_ARRAY_LEN(words); i++) {
        assert_int_equal(sm_key_type_parse(sm_slice_str(words[i].text)), words[i].want);
    }
}

static sm_slice content_of(sm_slice identifier)
{
    sm_der d = sm_der_init(identifier);
    sm_slice content = sm_der_read(&d, SM_DER_SEQUENCE);
    assert_sm_ok(sm_der_finish(&d));
    return content;
}

static void identifier__parses_back_and_is_der(void **state)
{
    (void)state;
    for (int i = 1; i < SM_SIG_ALG_COUNT; i++) {
        enum sm_sig_alg got = SM_SIG_NONE;
        sm_slice der = sm_sig_alg_identifier((enum sm_sig_alg)i);
        assert_sm_ok(sm_der_check(der));
        assert_sm_ok(sm_sig_alg_parse(content_of(der), &got));
        assert_int_equal(got, i);
    }
}

/* Signs with OpenSSL under every pair that fits: the identifier that it writes is ours, the
 * signature is not too long. */
static void identifier__is_what_openssl_writes(void **state)
{
    (void)state;
    struct sm_test_random r = {11};
    for (int t = 1; t < SM_KEY_TYPE_COUNT; t++) {
        for (int a = 1; a < SM_SIG_ALG_COUNT; a++) {
            enum sm_key_type type = (enum sm_key_type)t;
            enum sm_sig_alg alg = (enum sm_sig_alg)a;
            if (!sm_sig_alg_fits(alg, type)) {
                assert_int_equal(sm_sig_size_max(alg, type), 0);
                continue;
            }
            X509_REQ *req = sm_test_request(&r, type, alg);
            const X509_ALGOR *used;
            const ASN1_BIT_STRING *signature;
            X509_REQ_get0_signature(req, &signature, &used);
            sm_buf want = SM_TEST_DER(X509_ALGOR, used);
            assert_true(sm_slice_equal(sm_buf_slice(&want), sm_sig_alg_identifier(alg)));
            assert_true((size_t)ASN1_STRING_length(signature) <= sm_sig_size_max(alg, type));
            assert_true((size_t)ASN1_STRING_length(signature) + 16 >= sm_sig_size_max(alg, type));
            sm_buf_deinit(&want);
            X509_REQ_free(req);
        }
    }
}

static void fits__keeps_families_apart(void **state)
{
    (void)state;
    assert_true(sm_sig_alg_fits(SM_SIG_ECDSA_SHA256, SM_KEY_P521));
    assert_true(sm_sig_alg_fits(SM_SIG_PSS_SHA512, SM_KEY_RSA_2048));
    assert_false(sm_sig_alg_fits(SM_SIG_ECDSA_SHA256, SM_KEY_RSA_2048));
    assert_false(sm_sig_alg_fits(SM_SIG_ED25519, SM_KEY_ED448));
    assert_false(sm_sig_alg_fits(SM_SIG_ML_DSA_44, SM_KEY_ML_DSA_65));
    assert_false(sm_sig_alg_fits(SM_SIG_NONE, SM_KEY_P256));
    assert_false(sm_sig_alg_fits(SM_SIG_ALG_COUNT, SM_KEY_P256));
    assert_false(sm_sig_alg_fits(SM_SIG_ECDSA_SHA256, SM_KEY_NONE));
}

static void for__chooses_the_usual_and_the_wished(void **state)
{
    (void)state;
    assert_int_equal(sm_sig_alg_for(SM_KEY_P256, SM_DIGEST_NONE, false), SM_SIG_ECDSA_SHA256);
    assert_int_equal(sm_sig_alg_for(SM_KEY_P384, SM_DIGEST_NONE, false), SM_SIG_ECDSA_SHA384);
    assert_int_equal(sm_sig_alg_for(SM_KEY_P521, SM_DIGEST_NONE, true), SM_SIG_ECDSA_SHA512);
    assert_int_equal(sm_sig_alg_for(SM_KEY_P256, SM_SHA512, false), SM_SIG_ECDSA_SHA512);
    assert_int_equal(sm_sig_alg_for(SM_KEY_RSA_3072, SM_DIGEST_NONE, false), SM_SIG_RSA_SHA256);
    assert_int_equal(sm_sig_alg_for(SM_KEY_RSA_3072, SM_SHA384, true), SM_SIG_PSS_SHA384);
    assert_int_equal(sm_sig_alg_for(SM_KEY_ED25519, SM_DIGEST_NONE, false), SM_SIG_ED25519);
    assert_int_equal(sm_sig_alg_for(SM_KEY_ED25519, SM_SHA256, false), SM_SIG_NONE);
    assert_int_equal(sm_sig_alg_for(SM_KEY_ML_DSA_87, SM_DIGEST_NONE, false), SM_SIG_ML_DSA_87);
    assert_int_equal(sm_sig_alg_for(SM_KEY_NONE, SM_SHA256, false), SM_SIG_NONE);
}

#define SHA256_OID "\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x01"
#define PSS_OID "\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0a"
#define MGF1_OID "\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x08"

static void parse__takes_pss_whose_hashes_have_no_null(void **state)
{
    (void)state;
    enum sm_sig_alg got = SM_SIG_NONE;
    assert_sm_ok(sm_sig_alg_parse(SM_LIT(PSS_OID "\x30\x30\xa0\x0d\x30\x0b" SHA256_OID
                                                 "\xa1\x1a\x30\x18" MGF1_OID "\x30\x0b" SHA256_OID
                                                 "\xa2\x03\x02\x01\x20"),
                                  &got));
    assert_int_equal(got, SM_SIG_PSS_SHA256);
}

static void parse__refuses_other_pss(void **state)
{
    (void)state;
#define S(s)                                \
    {                                       \
        (const uint8_t *)(s), sizeof(s) - 1 \
    }
    static const sm_slice bad[] = {
        S(PSS_OID),            /* no parameters */
        S(PSS_OID "\x30\x00"), /* all defaults: SHA-1 */
        /* salts of 222 and of 0 octets */
        S(PSS_OID "\x30\x31\xa0\x0d\x30\x0b" SHA256_OID "\xa1\x1a\x30\x18" MGF1_OID
                  "\x30\x0b" SHA256_OID "\xa2\x04\x02\x02\x00\xde"),
        S(PSS_OID "\x30\x30\xa0\x0d\x30\x0b" SHA256_OID "\xa1\x1a\x30\x18" MGF1_OID
                  "\x30\x0b" SHA256_OID "\xa2\x03\x02\x01\x00"),
        /* the mask's hash is another */
        S(PSS_OID "\x30\x30\xa0\x0d\x30\x0b" SHA256_OID "\xa1\x1a\x30\x18" MGF1_OID
                  "\x30\x0b\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x02\xa2\x03\x02\x01\x20"),
        /* the DEFAULT trailer written out */
        S(PSS_OID "\x30\x35\xa0\x0d\x30\x0b" SHA256_OID "\xa1\x1a\x30\x18" MGF1_OID
                  "\x30\x0b" SHA256_OID "\xa2\x03\x02\x01\x20\xa3\x03\x02\x01\x01"),
        /* SHA-224 */
        S(PSS_OID "\x30\x30\xa0\x0d\x30\x0b\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x04\xa1\x1a\x30"
                  "\x18" MGF1_OID
                  "\x30\x0b\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x04\xa2\x03\x02\x01\x1c"),
        /* octets behind */
        S(PSS_OID "\x30\x30\xa0\x0d\x30\x0b" SHA256_OID "\xa1\x1a\x30\x18" MGF1_OID
                  "\x30\x0b" SHA256_OID "\xa2\x03\x02\x01\x20\x05\x00"),
    };
    enum sm_sig_alg got = SM_SIG_NONE;
    for (size_t i = 0; i < SM_ARRAY_LEN(bad); i++) {
        assert_sm_err(sm_sig_alg_parse(bad[i], &got), UNSUPPORTED);
    }
    assert_int_equal(got, SM_SIG_NONE);
}

static void parse__refuses_what_we_do_not_verify(void **state)
{
    (void)state;
    static const sm_slice unsupported[] = {
        S("\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x05\x05\x00"), /* SHA-1 with RSA */
        S("\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x04\x05\x00"), /* MD5 with RSA */
        S("\x06\x07\x2a\x86\x48\xce\x3d\x04\x01"),                 /* SHA-1 with ECDSA */
        S("\x06\x07\x2a\x86\x48\xce\x38\x04\x03"),                 /* DSA */
    };
    static const sm_slice malformed[] = {
        S("\x06\x08\x2a\x86\x48\xce\x3d\x04\x03\x02\x05\x00"), /* ECDSA with NULL (RFC 5758 3.2) */
        S("\x06\x03\x2b\x65\x70\x05\x00"),                     /* Ed25519 with NULL (RFC 8410 3) */
        S("\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0b\x05\x01\x00"), /* RSA with a bad NULL */
        S("\x06\x09\x60\x86\x48\x01\x65\x03\x04\x03\x11\x05\x00"), /* ML-DSA with NULL (RFC 9881 2)
                                                                    */
        S("\x06\x02\x80\x01"),
        S("\x05\x00"),
    };
    enum sm_sig_alg got;
    for (size_t i = 0; i < SM_ARRAY_LEN(unsupported); i++) {
        assert_sm_err(sm_sig_alg_parse(unsupported[i], &got), UNSUPPORTED);
    }
    for (size_t i = 0; i < SM_ARRAY_LEN(malformed); i++) {
        assert_sm_err(sm_sig_alg_parse(malformed[i], &got), MALFORMED);
    }
    assert_sm_err(sm_sig_alg_parse(SM_SLICE_NONE, &got), TRUNCATED);
    assert_sm_ok(sm_sig_alg_parse(SM_LIT("\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0b"), &got));
    assert_int_equal(got, SM_SIG_RSA_SHA256); /* without NULL (RFC 4055 5) */
}

static void digest__is_what_openssl_computes(void **state)
{
    (void)state;
    struct sm_test_random r = {5};
    uint8_t data[1000];
    for (int i = 0; i < 500; i++) {
        uint8_t got[SM_DIGEST_MAX];
        uint8_t want[SM_DIGEST_MAX];
        size_t len = i == 0 ? 0 : sm_test_below(&r, sizeof(data));
        sm_test_octets(&r, data, len);
        sm_slice in = i == 0 ? SM_SLICE_NONE : sm_slice_of(data, len);
        static const char *const names[] = {"", "SHA256", "SHA384", "SHA512"};
        for (int d = SM_SHA256; d < SM_DIGEST_COUNT; d++) {
            size_t size;
            assert_sm_ok(sm_digest_compute((enum sm_digest)d, in, got));
            assert_true(EVP_Q_digest(NULL, names[d], NULL, data, len, want, &size));
            assert_int_equal(size, sm_digest_size((enum sm_digest)d));
            assert_memory_equal(got, want, size);
        }
        assert_sm_ok(sm_sha1(in, got));
        assert_true(EVP_Q_digest(NULL, "SHA1", NULL, data, len, want, NULL));
        assert_memory_equal(got, want, 20);
    }
    uint8_t out[SM_DIGEST_MAX];
    assert_sm_err(sm_digest_compute(SM_DIGEST_NONE, SM_LIT("x"), out), UNSUPPORTED);
    assert_int_equal(sm_digest_size(SM_DIGEST_NONE), 0);
    assert_int_equal(sm_digest_size((enum sm_digest)77), 0);
}

static int drop_keys(void **state)
{
    (void)state;
    sm_test_keys_free();
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(key_type__names_round_trip),
        cmocka_unit_test(key_type__takes_the_usual_spellings),
        cmocka_unit_test(identifier__parses_back_and_is_der),
        cmocka_unit_test(identifier__is_what_openssl_writes),
        cmocka_unit_test(fits__keeps_families_apart),
        cmocka_unit_test(for__chooses_the_usual_and_the_wished),
        cmocka_unit_test(parse__takes_pss_whose_hashes_have_no_null),
        cmocka_unit_test(parse__refuses_other_pss),
        cmocka_unit_test(parse__refuses_what_we_do_not_verify),
        cmocka_unit_test(digest__is_what_openssl_computes),
    };
    return cmocka_run_group_tests(tests, NULL, drop_keys);
}
