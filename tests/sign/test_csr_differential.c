/* SPDX-License-Identifier: Apache-2.0 */
/* Thousands of random requests of every key type and algorithm: what we read in them, and whether
 * their signature holds, is what OpenSSL says. */
#include "tests/support/csr_same.h"
#include "tests/support/ossl.h"
#include "tests/support/support.h"

#include "sign/batch.h"
#include "sign/oids.h"

#define FAST_REQUESTS 3600
#define SLOW_REQUESTS 12 /* of each algorithm whose keys take milliseconds */

static struct sm_csr csr; /* large */
static sm_arena arena;

static X509_REQ *read_request(sm_slice der)
{
    X509_REQ *req = sm_test_csr_read(der);
    assert_non_null(req);
    return req;
}

static sm_err verify(const struct sm_csr *of)
{
    return sm_verify_now(&of->key, of->sig_alg, of->info, of->signature);
}

static bool openssl_verifies(X509_REQ *req)
{
    EVP_PKEY *key = X509_REQ_get0_pubkey(req); /* NULL for a point that is none */
    return key != NULL && X509_REQ_verify(req, key) == 1;
}

/* ---- names in the SAN extension ---- */

static sm_slice slice_of_string(const ASN1_STRING *s)
{
    return sm_slice_of(ASN1_STRING_get0_data(s), (size_t)ASN1_STRING_length(s));
}

/* Compares by what OpenSSL writes for the name: our value is the content of that. */
static void assert_same_name(const struct sm_san *ours, GENERAL_NAME *theirs)
{
    int kind;
    void *value = GENERAL_NAME_get0_value(theirs, &kind);
    assert_int_equal(ours->kind, kind);
    sm_buf der = SM_TEST_DER(GENERAL_NAME, theirs);
    sm_buf written = sm_buf_init(100000);
    sm_san_write(&written, ours);
    assert_true(sm_slice_equal(sm_buf_slice(&written), sm_buf_slice(&der)));
    if (kind == GEN_DNS || kind == GEN_EMAIL || kind == GEN_URI || kind == GEN_IPADD) {
        assert_true(sm_slice_equal(ours->value, slice_of_string(value)));
    }
    sm_buf_deinit(&written);
    sm_buf_deinit(&der);
}

static int compare_sans(X509_REQ *theirs)
{
    STACK_OF(X509_EXTENSION) *all = X509_REQ_get_extensions(theirs);
    GENERAL_NAMES *names = X509V3_get_d2i(all, NID_subject_alt_name, NULL, NULL);
    const struct sm_extension *ext = sm_csr_extension(&csr, SM_OID_SUBJECT_ALT_NAME);
    int compared = 0;
    assert_int_equal(ext != NULL, names != NULL);
    if (names != NULL) {
        struct sm_san *sans;
        size_t count;
        sm_diag diag = {.reason = ""};
        sm_err err = sm_sans_parse(ext->value, true, &arena, &sans, &count, &diag);
        if (!sm_ok(err)) {
            print_error("%s\n", diag.reason);
        }
        assert_sm_ok(err);
        assert_int_equal(count, sk_GENERAL_NAME_num(names));
        for (size_t i = 0; i < count; i++) {
            assert_same_name(&sans[i], sk_GENERAL_NAME_value(names, (int)i));
        }
        compared = (int)count;
    }
    GENERAL_NAMES_free(names);
    sk_X509_EXTENSION_pop_free(all, X509_EXTENSION_free);
    return compared;
}

/* ---- requests ---- */

/* Reads one random request; returns how many alternative names it had. */
static int compare_one(struct sm_test_random *r, enum sm_key_type type, enum sm_sig_alg alg)
{
    X509_REQ *made = sm_test_request(r, type, alg);
    sm_buf der = SM_TEST_DER(X509_REQ, made);
    X509_REQ *theirs = read_request(sm_buf_slice(&der));
    sm_diag diag = {.reason = ""};
    sm_err err = sm_csr_parse(sm_buf_slice(&der), &csr, &diag);
    if (!sm_ok(err)) {
        print_error("%s: %s\n", diag.field, diag.reason);
    }
    assert_sm_ok(err);
    assert_int_equal(csr.key.type, type);
    assert_int_equal(csr.sig_alg, alg);
    const char *difference = sm_test_csr_difference(&csr, theirs);
    if (difference != NULL) {
        print_error("differs: %s\n", difference);
    }
    assert_null(difference);
    assert_sm_ok(verify(&csr));
    assert_true(openssl_verifies(theirs));
    sm_arena_reset(&arena);
    int names = compare_sans(theirs);
    sm_buf_deinit(&der);
    X509_REQ_free(theirs);
    X509_REQ_free(made);
    return names;
}

static void random__requests_are_read_as_openssl_does(void **state)
{
    (void)state;
    struct sm_test_random r = {31};
    static const struct {
        enum sm_key_type type;
        enum sm_sig_alg alg;
    } fast[] = {
        {SM_KEY_P256, SM_SIG_ECDSA_SHA256},   {SM_KEY_P256, SM_SIG_ECDSA_SHA384},
        {SM_KEY_P256, SM_SIG_ECDSA_SHA512},   {SM_KEY_ED25519, SM_SIG_ED25519},
        {SM_KEY_RSA_2048, SM_SIG_RSA_SHA256}, {SM_KEY_RSA_2048, SM_SIG_PSS_SHA256},
    };
    int names = 0;
    for (int i = 0; i < FAST_REQUESTS; i++) {
        size_t at = i % 8 < 4 ? 0 : sm_test_below(&r, 6); /* half with P-256 and SHA-256 */
        names += compare_one(&r, fast[at].type, fast[at].alg);
    }
    assert_true(names > FAST_REQUESTS);
}

static void random__requests_of_every_type_and_algorithm(void **state)
{
    (void)state;
    struct sm_test_random r = {32};
    int pairs = 0;
    for (enum sm_key_type type = SM_KEY_P256; type < SM_KEY_TYPE_COUNT; type++) {
        for (enum sm_sig_alg alg = SM_SIG_ECDSA_SHA256; alg < SM_SIG_ALG_COUNT; alg++) {
            for (int i = 0; sm_sig_alg_fits(alg, type) && i < SLOW_REQUESTS; i++) {
                (void)compare_one(&r, type, alg);
                pairs += i == 0;
            }
        }
    }
    assert_true(pairs >= 3 * 3 + 3 * 6 + 5);
}

/* A bit flipped anywhere: refused, or read as OpenSSL does and the signature judged the same. */
static void damaged__requests_are_judged_alike(void **state)
{
    (void)state;
    struct sm_test_random r = {33};
    int read = 0;
    for (int i = 0; i < 300; i++) {
        enum sm_key_type type = i % 3 == 0   ? SM_KEY_P256
                                : i % 3 == 1 ? SM_KEY_ED25519
                                             : SM_KEY_RSA_2048;
        X509_REQ *made = sm_test_request(&r, type, sm_sig_alg_for(type, SM_DIGEST_NONE, false));
        sm_buf der = SM_TEST_DER(X509_REQ, made);
        for (int flip = 0; flip < 20; flip++) {
            uint32_t bit = sm_test_below(&r, (uint32_t)der.len * 8);
            der.ptr[bit / 8] ^= (uint8_t)(1U << bit % 8);
            if (sm_ok(sm_csr_parse(sm_buf_slice(&der), &csr, NULL))) {
                X509_REQ *theirs = read_request(sm_buf_slice(&der));
                assert_null(sm_test_csr_difference(&csr, theirs));
                assert_false(sm_ok(verify(&csr)));
                assert_false(openssl_verifies(theirs));
                X509_REQ_free(theirs);
                read++;
            }
            der.ptr[bit / 8] ^= (uint8_t)(1U << bit % 8);
        }
        sm_buf_deinit(&der);
        X509_REQ_free(made);
    }
    assert_true(read > 1000);
}

/* The signature of another request under the same key, and the same request under another key. */
static void swapped__signatures_and_keys_are_refused(void **state)
{
    (void)state;
    static struct sm_csr other;
    for (enum sm_key_type type = SM_KEY_P256; type < SM_KEY_TYPE_COUNT; type++) {
        X509_REQ *a = sm_test_plain_request(type, "a", NULL);
        X509_REQ *b = sm_test_plain_request(type, "b", "DNS:b.example");
        sm_buf der_a = SM_TEST_DER(X509_REQ, a);
        sm_buf der_b = SM_TEST_DER(X509_REQ, b);
        assert_sm_ok(sm_csr_parse(sm_buf_slice(&der_a), &csr, NULL));
        assert_sm_ok(sm_csr_parse(sm_buf_slice(&der_b), &other, NULL));
        assert_sm_ok(verify(&csr));
        assert_sm_ok(verify(&other));
        sm_slice kept = csr.signature;
        csr.signature = other.signature;
        assert_sm_err(verify(&csr), BAD_SIGNATURE);
        csr.signature = sm_slice_first(kept, kept.len - 1);
        assert_sm_err(verify(&csr), BAD_SIGNATURE);
        csr.signature = SM_SLICE_NONE;
        assert_sm_err(verify(&csr), BAD_SIGNATURE);
        sm_buf_deinit(&der_a);
        sm_buf_deinit(&der_b);
        X509_REQ_free(a);
        X509_REQ_free(b);
    }
}

static int set_up(void **state)
{
    (void)state;
    sm_arena_init(&arena, 1 << 20);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    sm_arena_deinit(&arena);
    sm_test_keys_free();
    sm_sign_thread_deinit();
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random__requests_are_read_as_openssl_does),
        cmocka_unit_test(random__requests_of_every_type_and_algorithm),
        cmocka_unit_test(damaged__requests_are_judged_alike),
        cmocka_unit_test(swapped__signatures_and_keys_are_refused),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
