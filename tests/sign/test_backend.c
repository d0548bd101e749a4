/* SPDX-License-Identifier: Apache-2.0 */
/* One contract suite for every backend. What they run must agree with OpenSSL, job by job. */
#include "tests/sign/keys.h"

#include "base/rand.h"
#include "sign/curve.h"
#include "sign/key_p.h"
#include "sign/rsa_pad.h"

#include <openssl/rsa.h>
#include <stdlib.h>

#define LANES SM_BACKEND_LANES

static const struct sm_backend *const backends[] = {&sm_backend_openssl, &sm_backend_mb};

/* Whether the backend gives right answers: crypto_mb's Ed25519 may not, which is sm_sign_init's to
 * find. */
static bool usable(const struct sm_backend *backend, enum sm_crypt_op op, enum sm_key_type type)
{
    return backend->applicable(op, type) &&
           (backend == &sm_backend_openssl || sm_backend_get_choice(op, type)->from <= LANES);
}

/* Every backend, type of key and algorithm that go together. */
#define FOR_ALL(op, backend, type, alg)                                                            \
    for (size_t b_ = 0; b_ < 2; b_++)                                                              \
        for (enum sm_key_type type = SM_KEY_P256; type < SM_KEY_TYPE_COUNT; type++)                \
            for (enum sm_sig_alg alg = SM_SIG_ECDSA_SHA256; alg < SM_SIG_ALG_COUNT; alg++)         \
                for (const struct sm_backend *backend = backends[b_];                              \
                     backend != NULL && usable(backend, (op), type) && sm_sig_alg_fits(alg, type); \
                     backend = NULL)

static void check_all_ok(const struct batch *b, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        assert_sm_ok(b->jobs[i].err);
    }
}

static void signatures__verify_on_openssl(void **state)
{
    (void)state;
    struct batch b;
    FOR_ALL(SM_CRYPT_SIGN, backend, type, alg)
    {
        for (size_t count = 1; count <= LANES; count += type >= SM_KEY_RSA_3072 ? 7 : 3) {
            batch_sign(&b, count, type, alg);
            backend->run(b.list, count);
            check_all_ok(&b, count);
            assert_true(b.jobs[0].out_len <= sm_sig_size_max(alg, type));
            batch_verify(&b, count);
            sm_backend_openssl.run(b.list, count);
            check_all_ok(&b, count);
        }
    }
}

static void verify__one_bad_lane_fails_alone(void **state)
{
    (void)state;
    struct batch b;
    FOR_ALL(SM_CRYPT_VERIFY, backend, type, alg)
    {
        batch_sign(&b, LANES, type, alg);
        sm_backend_openssl.run(b.list, LANES);
        batch_verify(&b, LANES);
        for (size_t bad = 0; bad < LANES; bad++) {
            b.messages[bad][5] ^= 1;
            backend->run(b.list, LANES);
            for (size_t i = 0; i < LANES; i++) {
                if (i == bad) {
                    assert_sm_err(b.jobs[i].err, BAD_SIGNATURE);
                } else {
                    assert_sm_ok(b.jobs[i].err);
                }
            }
            b.messages[bad][5] ^= 1;
        }
        backend->run(b.list, LANES);
        check_all_ok(&b, LANES);
    }
}

static void verify__wrong_key(void **state)
{
    (void)state;
    struct batch b;
    FOR_ALL(SM_CRYPT_VERIFY, backend, type, alg)
    {
        if (type >= SM_KEY_RSA_2048 && type <= SM_KEY_RSA_4096) {
            continue; /* a second RSA key costs seconds; its modulus decides as the message does */
        }
        sm_key *other;
        assert_sm_ok(sm_key_generate(type, &other));
        batch_sign(&b, LANES, type, alg);
        sm_backend_openssl.run(b.list, LANES);
        batch_verify(&b, LANES);
        b.jobs[6].public_key = sm_key_public(other);
        backend->run(b.list, LANES);
        assert_sm_err(b.jobs[6].err, BAD_SIGNATURE);
        b.jobs[6].err = SM_NO_ERR;
        check_all_ok(&b, LANES);
        sm_key_detach(&other);
    }
}

static void jobs__may_bring_their_digest(void **state)
{
    (void)state;
    struct batch b;
    uint8_t digest[SM_DIGEST_MAX];
    FOR_ALL(SM_CRYPT_SIGN, backend, type, alg)
    {
        enum sm_digest kind = sm_sig_alg_digest(alg);
        batch_sign(&b, LANES, type, alg);
        sm_slice whole = b.jobs[0].message;
        b.jobs[0].is_digest = true;
        if (kind == SM_DIGEST_NONE) {
            if (backend == &sm_backend_openssl) {
                backend->run(b.list, 1);
                assert_sm_err(b.jobs[0].err, UNSUPPORTED);
            }
            continue;
        }
        assert_sm_ok(sm_digest_compute(kind, whole, digest));
        b.jobs[0].message = sm_slice_of(digest, sm_digest_size(kind));
        b.jobs[1].is_digest = true;
        b.jobs[1].message = sm_slice_of(digest, sm_digest_size(kind) - 1);
        backend->run(b.list, LANES);
        assert_sm_err(b.jobs[1].err, INVALID);
        b.jobs[1] = b.jobs[0];
        b.jobs[1].out_len = b.jobs[0].out_len;
        memcpy(b.signatures[1], b.signatures[0], b.jobs[0].out_len);
        batch_verify(&b, LANES);
        b.jobs[1].message = whole;
        b.jobs[1].is_digest = false;
        sm_backend_openssl.run(b.list, LANES);
        check_all_ok(&b, LANES);
    }
}

/* Different algorithms of one type of key share a batch. */
static void sign__mixes_digests_and_paddings(void **state)
{
    (void)state;
    static const enum sm_key_type types[] = {SM_KEY_P256, SM_KEY_P384, SM_KEY_P521,
                                             SM_KEY_RSA_2048};
    struct batch b;
    for (size_t t = 0; t < 4; t++) {
        if (!usable(&sm_backend_mb, SM_CRYPT_SIGN, types[t])) {
            print_message("[ SKIPPED ] no multi-buffer here\n");
            skip();
        }
        enum sm_sig_alg first = types[t] == SM_KEY_RSA_2048 ? SM_SIG_RSA_SHA256
                                                            : SM_SIG_ECDSA_SHA256;
        unsigned kinds = types[t] == SM_KEY_RSA_2048 ? 6 : 3;
        batch_sign(&b, LANES, types[t], first);
        for (unsigned i = 0; i < LANES; i++) {
            b.jobs[i].alg = (enum sm_sig_alg)(first + i % kinds);
        }
        sm_backend_mb.run(b.list, LANES);
        check_all_ok(&b, LANES);
        batch_verify(&b, LANES);
        sm_backend_openssl.run(b.list, LANES);
        check_all_ok(&b, LANES);
        sm_backend_mb.run(b.list, LANES);
        check_all_ok(&b, LANES);
    }
}

static void ecdsa_sign__never_repeats_r(void **state)
{
    (void)state;
    struct batch b;
    for (size_t which = 0; which < 2; which++) {
        if (!usable(backends[which], SM_CRYPT_SIGN, SM_KEY_P256)) {
            continue;
        }
        batch_sign(&b, LANES, SM_KEY_P256, SM_SIG_ECDSA_SHA256);
        for (size_t i = 0; i < LANES; i++) {
            b.jobs[i].message = sm_slice_of(b.messages[0], KEYS_MESSAGE_ROOM);
        }
        backends[which]->run(b.list, LANES);
        for (size_t i = 0; i < LANES; i++) {
            for (size_t j = 0; j < i; j++) {
                assert_memory_not_equal(b.signatures[i], b.signatures[j], 36); /* DER of r */
            }
        }
    }
}

/* One job with this signature, in a full batch of good ones, on every backend: all give `good`. */
static void check_signature(enum sm_key_type type, const struct sm_public_key *key, sm_slice digest,
                            sm_slice signature, bool good)
{
    struct batch b;
    enum sm_sig_alg alg = sm_sig_alg_for(type, SM_DIGEST_NONE, false);
    for (size_t which = 0; which < 2; which++) {
        if (!usable(backends[which], SM_CRYPT_VERIFY, type)) {
            continue;
        }
        batch_sign(&b, LANES, type, alg);
        sm_backend_openssl.run(b.list, LANES);
        batch_verify(&b, LANES);
        size_t at = sm_rand_u64() % LANES;
        b.jobs[at].public_key = key;
        b.jobs[at].message = digest;
        b.jobs[at].is_digest = true;
        b.jobs[at].signature = signature;
        backends[which]->run(b.list, LANES);
        if (sm_ok(b.jobs[at].err) != good) {
            fail_msg("%s on %s: %s", sm_key_type_name(type), backends[which]->name,
                     sm_err_name(b.jobs[at].err));
        }
        b.jobs[at].err = SM_NO_ERR;
        check_all_ok(&b, LANES);
    }
}

static void add_one(uint8_t *n, size_t len)
{
    while (len-- > 0 && ++n[len] == 0) {
    }
}

static void ecdsa_verify__refuses_numbers_out_of_range(void **state)
{
    (void)state;
    static const uint8_t digest[64] = {1, 2, 3};
    for (enum sm_key_type type = SM_KEY_P256; type <= SM_KEY_P521; type++) {
        const struct sm_curve *curve = sm_curve_of(type);
        const struct sm_public_key *key = sm_key_public(key_of(type));
        sm_slice d = sm_slice_of(
            digest, sm_digest_size(sm_sig_alg_digest(sm_sig_alg_for(type, SM_DIGEST_NONE, false))));
        uint8_t zero[SM_CURVE_OCTETS] = {0};
        uint8_t one[SM_CURVE_OCTETS] = {0};
        uint8_t order[SM_CURVE_OCTETS];
        uint8_t above[SM_CURVE_OCTETS];
        uint8_t all[SM_CURVE_OCTETS];
        one[curve->octets - 1] = 1;
        memcpy(order, curve->order, curve->octets);
        memcpy(above, curve->order, curve->octets);
        add_one(above, curve->octets);
        memset(all, 0xff, sizeof(all));
        const uint8_t *const bad[] = {zero, order, above, all};
        for (size_t i = 0; i < 4; i++) {
            uint8_t der[160];
            check_signature(type, key, d,
                            sm_slice_of(der, sm_ecdsa_join(bad[i], one, curve->octets, der)),
                            false);
            check_signature(type, key, d,
                            sm_slice_of(der, sm_ecdsa_join(one, bad[i], curve->octets, der)),
                            false);
            check_signature(type, key, d,
                            sm_slice_of(der, sm_ecdsa_join(bad[i], bad[i], curve->octets, der)),
                            false);
        }
    }
}

static void ecdsa_verify__refuses_bad_points(void **state)
{
    (void)state;
    for (enum sm_key_type type = SM_KEY_P256; type <= SM_KEY_P521; type++) {
        const struct sm_curve *curve = sm_curve_of(type);
        const struct sm_public_key *good = sm_key_public(key_of(type));
        struct batch b;
        uint8_t digest[SM_DIGEST_MAX];
        enum sm_sig_alg alg = sm_sig_alg_for(type, SM_DIGEST_NONE, false);
        enum sm_digest kind = sm_sig_alg_digest(alg);
        batch_sign(&b, 1, type, alg);
        sm_backend_openssl.run(b.list, 1);
        assert_sm_ok(sm_digest_compute(kind, b.jobs[0].message, digest));
        sm_slice d = sm_slice_of(digest, sm_digest_size(kind));
        sm_slice signature = sm_slice_of(b.signatures[0], b.jobs[0].out_len);
        check_signature(type, good, d, signature, true);
        for (int how = 0; how < 4; how++) {
            uint8_t bits[1 + 2 * SM_CURVE_OCTETS];
            struct sm_public_key bad = *good;
            memcpy(bits, good->bits.ptr, good->bits.len);
            switch (how) {
            case 0: /* off the curve */
                bits[good->bits.len - 1] ^= 1;
                break;
            case 1: /* (0, 0), which some write for infinity */
                memset(bits + 1, 0, 2 * curve->octets);
                break;
            case 2: /* x above the prime */
                memset(bits + 1, 0xff, curve->octets);
                break;
            default: /* y above the prime */
                memset(bits + 1 + curve->octets, 0xff, curve->octets);
                break;
            }
            bad.bits = sm_slice_of(bits, good->bits.len);
            bad.x = sm_slice_of(bits + 1, curve->octets);
            bad.y = sm_slice_of(bits + 1 + curve->octets, curve->octets);
            check_signature(type, &bad, d, signature, false);
        }
    }
}

static void ecdsa_verify__refuses_loose_der(void **state)
{
    (void)state;
    struct batch b;
    uint8_t digest[SM_DIGEST_MAX];
    uint8_t der[160];
    const struct sm_public_key *key = sm_key_public(key_of(SM_KEY_P256));
    batch_sign(&b, 1, SM_KEY_P256, SM_SIG_ECDSA_SHA256);
    sm_backend_openssl.run(b.list, 1);
    assert_sm_ok(sm_digest_compute(SM_SHA256, b.jobs[0].message, digest));
    sm_slice d = sm_slice_of(digest, 32);
    size_t len = b.jobs[0].out_len;
    const uint8_t *good = b.signatures[0];
    check_signature(SM_KEY_P256, key, d, sm_slice_of(good, len), true);
    for (size_t cut = 0; cut < len; cut++) { /* every truncation */
        check_signature(SM_KEY_P256, key, d, sm_slice_of(good, cut), false);
    }
    memcpy(der, good, len);
    der[len] = 0; /* trailing octet */
    check_signature(SM_KEY_P256, key, d, sm_slice_of(der, len + 1), false);
    der[0] = 0x30; /* length in two octets */
    der[1] = 0x81;
    memcpy(der + 2, good + 1, len - 1);
    check_signature(SM_KEY_P256, key, d, sm_slice_of(der, len + 1), false);
    memcpy(der, good, 2); /* r with a needless zero */
    der[1]++;
    der[2] = 2;
    der[3] = (uint8_t)(good[3] + 1);
    der[4] = 0;
    memcpy(der + 5, good + 4, len - 4);
    check_signature(SM_KEY_P256, key, d, sm_slice_of(der, len + 1), false);
    if (good[4] == 0) { /* r negative: the sign octet left out */
        memcpy(der, good, len);
        der[1]--;
        der[3]--;
        memmove(der + 4, der + 5, len - 5);
        check_signature(SM_KEY_P256, key, d, sm_slice_of(der, len - 1), false);
    }
}

/* Random damage: the backends agree, whatever the answer. */
static void verify__backends_agree(void **state)
{
    (void)state;
    struct batch b;
    for (enum sm_key_type type = SM_KEY_P256; type <= SM_KEY_RSA_4096; type++) {
        if (!usable(&sm_backend_mb, SM_CRYPT_VERIFY, type)) {
            print_message("[ SKIPPED ] no multi-buffer here\n");
            skip();
        }
        for (int round = 0; round < 40; round++) {
            sm_err expected[LANES];
            enum sm_sig_alg alg = sm_sig_alg_for(type, SM_DIGEST_NONE, round % 2 == 1);
            batch_sign(&b, LANES, type, alg);
            sm_backend_openssl.run(b.list, round == 0 ? LANES : 1);
            batch_verify(&b, LANES);
            for (size_t i = 0; i < LANES; i++) {
                memcpy(b.signatures[i], b.signatures[0], b.jobs[0].signature.len);
                b.jobs[i].signature.len = b.jobs[0].signature.len;
                memcpy(b.messages[i], b.messages[0], KEYS_MESSAGE_ROOM);
                uint64_t dice = sm_rand_u64();
                size_t at = (dice >> 8) % b.jobs[i].signature.len;
                if (dice % 3 != 0) {
                    b.signatures[i][at] ^= (uint8_t)(1U << (dice >> 4) % 8);
                }
            }
            sm_backend_openssl.run(b.list, LANES);
            for (size_t i = 0; i < LANES; i++) {
                expected[i] = b.jobs[i].err;
            }
            sm_backend_mb.run(b.list, LANES);
            for (size_t i = 0; i < LANES; i++) {
                assert_string_equal(sm_err_name(b.jobs[i].err), sm_err_name(expected[i]));
            }
        }
    }
}

/* Digests at the edges: zero, the order, above it, all ones. */
static void ecdsa__digests_at_the_edges(void **state)
{
    (void)state;
    struct batch b;
    for (enum sm_key_type type = SM_KEY_P256; type <= SM_KEY_P521; type++) {
        uint8_t digests[4][SM_DIGEST_MAX] = {{0}};
        const struct sm_curve *curve = sm_curve_of(type);
        size_t size = curve->octets < SM_DIGEST_MAX ? curve->octets : SM_DIGEST_MAX;
        memcpy(digests[1], curve->order, size);
        memcpy(digests[2], curve->order, size);
        add_one(digests[2], size);
        memset(digests[3], 0xff, SM_DIGEST_MAX);
        for (size_t which = 0; which < 2; which++) {
            if (!usable(backends[which], SM_CRYPT_SIGN, type)) {
                continue;
            }
            batch_sign(&b, 4, type, SM_SIG_ECDSA_SHA512);
            for (size_t i = 0; i < 4; i++) {
                b.jobs[i].is_digest = true;
                b.jobs[i].message = sm_slice_of(digests[i], SM_DIGEST_MAX);
            }
            backends[which]->run(b.list, 4);
            check_all_ok(&b, 4);
            batch_verify(&b, 4);
            for (size_t other = 0; other < 2; other++) {
                if (usable(backends[other], SM_CRYPT_VERIFY, type)) {
                    backends[other]->run(b.list, 4);
                    check_all_ok(&b, 4);
                }
            }
        }
    }
}

static void rsa_verify__refuses_numbers_out_of_range(void **state)
{
    (void)state;
    static const uint8_t digest[32] = {9};
    uint8_t signature[SM_RSA_OCTETS + 1];
    sm_slice d = sm_slice_of(digest, sizeof(digest));
    for (enum sm_key_type type = SM_KEY_RSA_2048; type <= SM_KEY_RSA_4096; type++) {
        const struct sm_public_key *key = sm_key_public(key_of(type));
        size_t len = key->modulus.len;
        memset(signature, 0, sizeof(signature));
        check_signature(type, key, d, sm_slice_of(signature, len), false);
        signature[len - 1] = 1;
        check_signature(type, key, d, sm_slice_of(signature, len), false);
        memcpy(signature, key->modulus.ptr, len);
        check_signature(type, key, d, sm_slice_of(signature, len), false);
        add_one(signature, len);
        check_signature(type, key, d, sm_slice_of(signature, len), false);
        memset(signature, 0xff, sizeof(signature));
        check_signature(type, key, d, sm_slice_of(signature, len), false);
        check_signature(type, key, d, sm_slice_of(signature, len - 1), false);
        check_signature(type, key, d, sm_slice_of(signature, len + 1), false);
        check_signature(type, key, d, SM_SLICE_NONE, false);
    }
}

/* A right signature with zeros before it, or cut where it began with zeros, is refused (RFC
 * 8017 8.2.2 step 1). */
static void rsa_verify__wants_the_exact_length(void **state)
{
    (void)state;
    struct batch b;
    uint8_t longer[257];
    uint8_t digest[SM_DIGEST_MAX];
    const struct sm_public_key *key = sm_key_public(key_of(SM_KEY_RSA_2048));
    batch_sign(&b, 1, SM_KEY_RSA_2048, SM_SIG_RSA_SHA256);
    sm_backend_openssl.run(b.list, 1);
    assert_sm_ok(sm_digest_compute(SM_SHA256, b.jobs[0].message, digest));
    longer[0] = 0;
    memcpy(longer + 1, b.signatures[0], 256);
    check_signature(SM_KEY_RSA_2048, key, sm_slice_of(digest, 32), sm_slice_of(longer + 1, 256),
                    true);
    check_signature(SM_KEY_RSA_2048, key, sm_slice_of(digest, 32), sm_slice_of(longer, 257), false);
}

static sm_key *make_odd_key(void)
{
    EVP_PKEY *pkey = NULL;
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "RSA", NULL);
    BIGNUM *e = BN_new();
    assert_true(BN_set_word(e, 65539));
    assert_true(EVP_PKEY_keygen_init(ctx) > 0 && EVP_PKEY_CTX_set_rsa_keygen_bits(ctx, 2048) > 0 &&
                EVP_PKEY_CTX_set1_rsa_keygen_pubexp(ctx, e) > 0 &&
                EVP_PKEY_generate(ctx, &pkey) > 0);
    BN_free(e);
    EVP_PKEY_CTX_free(ctx);
    sm_key *odd;
    assert_sm_ok(sm_key_wrap(pkey, NULL, &odd));
    return odd;
}

/* Keys that multi-buffer cannot read are still signed with, and verified. */
static void rsa__odd_exponent_goes_to_openssl(void **state)
{
    (void)state;
    struct batch b;
    sm_key *odd = make_odd_key();
    assert_null(odd->numbers);
    for (size_t which = 0; which < 2; which++) {
        if (!usable(backends[which], SM_CRYPT_SIGN, SM_KEY_RSA_2048) ||
            !usable(backends[which], SM_CRYPT_VERIFY, SM_KEY_RSA_2048)) {
            continue;
        }
        batch_sign(&b, LANES, SM_KEY_RSA_2048, SM_SIG_PSS_SHA256);
        b.jobs[3].key = odd;
        backends[which]->run(b.list, LANES);
        check_all_ok(&b, LANES);
        batch_verify(&b, LANES);
        b.jobs[3].public_key = sm_key_public(odd);
        backends[which]->run(b.list, LANES);
        check_all_ok(&b, LANES);
    }
    sm_key_detach(&odd);
}

static void choose__by_count(void **state)
{
    (void)state;
    struct sm_backend_choice saved = *sm_backend_get_choice(SM_CRYPT_SIGN, SM_KEY_P256);
    struct sm_backend_choice three = {3, "test", 0, 0};
    sm_backend_set_choice(SM_CRYPT_SIGN, SM_KEY_P256, &three);
    assert_ptr_equal(sm_backend_choose(SM_CRYPT_SIGN, SM_KEY_P256, 2), &sm_backend_openssl);
    assert_ptr_equal(sm_backend_choose(SM_CRYPT_SIGN, SM_KEY_P256, 3), &sm_backend_mb);
    assert_int_equal(sm_backend_batch(SM_CRYPT_SIGN, SM_KEY_P256), LANES);
    three.from = SM_BACKEND_NEVER;
    sm_backend_set_choice(SM_CRYPT_SIGN, SM_KEY_P256, &three);
    assert_ptr_equal(sm_backend_choose(SM_CRYPT_SIGN, SM_KEY_P256, LANES), &sm_backend_openssl);
    assert_int_equal(sm_backend_batch(SM_CRYPT_SIGN, SM_KEY_P256), 1);
    sm_backend_set_choice(SM_CRYPT_SIGN, SM_KEY_P256, &saved);
    assert_ptr_equal(sm_backend_choose(SM_CRYPT_SIGN, SM_KEY_ED448, LANES), &sm_backend_openssl);
}

static int start(void **state)
{
    (void)state;
    return sm_ok(sm_sign_init(NULL)) ? 0 : -1;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(signatures__verify_on_openssl),
        cmocka_unit_test(verify__one_bad_lane_fails_alone),
        cmocka_unit_test(verify__wrong_key),
        cmocka_unit_test(jobs__may_bring_their_digest),
        cmocka_unit_test(sign__mixes_digests_and_paddings),
        cmocka_unit_test(ecdsa_sign__never_repeats_r),
        cmocka_unit_test(ecdsa_verify__refuses_numbers_out_of_range),
        cmocka_unit_test(ecdsa_verify__refuses_bad_points),
        cmocka_unit_test(ecdsa_verify__refuses_loose_der),
        cmocka_unit_test(verify__backends_agree),
        cmocka_unit_test(ecdsa__digests_at_the_edges),
        cmocka_unit_test(rsa_verify__refuses_numbers_out_of_range),
        cmocka_unit_test(rsa_verify__wants_the_exact_length),
        cmocka_unit_test(rsa__odd_exponent_goes_to_openssl),
        cmocka_unit_test(choose__by_count),
    };
    return cmocka_run_group_tests(tests, start, drop_keys);
}
