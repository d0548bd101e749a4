/* SPDX-License-Identifier: Apache-2.0 */
/* Signatures that come out wrong, as a fault of the processor or the memory makes them: found, never
 * given out, and nothing of them is left. */
#include "tests/sign/keys.h"

#include "sign/key_p.h"

#include <string.h>

#define LANES SM_BACKEND_LANES

static bool signs_in_batches(enum sm_key_type type)
{
    return sm_backend_get_choice(SM_CRYPT_SIGN, type)->from <= LANES;
}

static void check_all_ok(const struct batch *b, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        assert_sm_ok(b->jobs[i].err);
    }
}

/* Its room was zeroed before. */
static void expect_wiped(const struct batch *b, size_t i)
{
    static const uint8_t nothing[SM_SIGNATURE_MAX];
    assert_sm_err(b->jobs[i].err, CRYPTO);
    assert_int_equal(b->jobs[i].out_len, 0);
    assert_memory_equal(b->signatures[i], nothing, sizeof(nothing));
}

/* A key with wrong CRT numbers makes results that fail the check with the public exponent; OpenSSL
 * then signs. */
static void rsa_sign__faulty_crt_result_never_leaves(void **state)
{
    (void)state;
    struct batch b;
    if (!signs_in_batches(SM_KEY_RSA_2048)) {
        print_message("[ SKIPPED ] no multi-buffer here\n");
        skip();
    }
    sm_key *key = key_of(SM_KEY_RSA_2048);
    for (int part = 0; part < 3; part++) {
        uint64_t *n = part == 0   ? key->numbers->u.rsa.dp
                      : part == 1 ? key->numbers->u.rsa.dq
                                  : key->numbers->u.rsa.iq;
        n[3] ^= 1 << 5; /* as a flipped bit of memory would */
        batch_sign(&b, LANES, SM_KEY_RSA_2048, SM_SIG_RSA_SHA256);
        sm_backend_mb.run(b.list, LANES);
        n[3] ^= 1 << 5;
        check_all_ok(&b, LANES);
        batch_verify(&b, LANES);
        sm_backend_openssl.run(b.list, LANES);
        check_all_ok(&b, LANES);
    }
}

/* With the check on, a signature made with a damaged private number is an error, not an answer. */
static void sign__checked_key_gives_no_wrong_signature(void **state)
{
    (void)state;
    struct batch b;
    if (!signs_in_batches(SM_KEY_P256)) {
        print_message("[ SKIPPED ] no multi-buffer here\n");
        skip();
    }
    sm_key *key = key_of(SM_KEY_P256);
    sm_key_set_check(key, true);
    batch_sign(&b, LANES, SM_KEY_P256, SM_SIG_ECDSA_SHA256);
    assert_ptr_equal(sm_backend_run(b.list, LANES), &sm_backend_mb);
    check_all_ok(&b, LANES);
    memset(b.signatures, 0, sizeof(b.signatures));
    key->numbers->u.ec.d[1] ^= 1;
    batch_sign(&b, LANES, SM_KEY_P256, SM_SIG_ECDSA_SHA256);
    (void)sm_backend_run(b.list, LANES);
    key->numbers->u.ec.d[1] ^= 1;
    sm_key_set_check(key, false);
    for (size_t i = 0; i < LANES; i++) {
        expect_wiped(&b, i);
    }
}

/* On every backend: what does not verify under the key's public half is taken for faulty. */
static void sign__what_fails_its_check_is_wiped(void **state)
{
    (void)state;
    static const enum sm_key_type types[] = {SM_KEY_P256, SM_KEY_P384, SM_KEY_P521, SM_KEY_ED25519};
    for (size_t t = 0; t < SM_ARRAY_LEN(types); t++) {
        sm_key *key = key_of(types[t]);
        struct sm_public_key good = key->public_key;
        sm_key *other;
        assert_sm_ok(sm_key_generate(types[t], &other));
        for (size_t count = 1; count <= LANES; count += LANES - 1) {
            struct batch b = {.jobs = {{.err = SM_NO_ERR}}};
            batch_sign(&b, count, types[t], sm_sig_alg_for(types[t], SM_DIGEST_NONE, false));
            key->public_key = *sm_key_public(other);
            sm_key_set_check(key, true);
            (void)sm_backend_run(b.list, count);
            sm_key_set_check(key, false);
            key->public_key = good;
            for (size_t i = 0; i < count; i++) {
                expect_wiped(&b, i);
            }
        }
        sm_key_detach(&other);
    }
}

static int start(void **state)
{
    (void)state;
    return sm_ok(sm_sign_init(NULL)) ? 0 : -1;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rsa_sign__faulty_crt_result_never_leaves),
        cmocka_unit_test(sign__checked_key_gives_no_wrong_signature),
        cmocka_unit_test(sign__what_fails_its_check_is_wiped),
    };
    return cmocka_run_group_tests(tests, start, drop_keys);
}
