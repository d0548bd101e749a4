/* SPDX-License-Identifier: Apache-2.0 */
#include "sign/kat.h"

#include "base/clock.h"
#include "base/mem.h"
#include "sign/backend_mb_p.h"
#include "sign/curve.h"
#include "sign/rsa_pad.h"

#include <openssl/core_names.h>

#define LANES SM_BACKEND_LANES
#define MESSAGES \
    3 /* no divisor of the lanes, so that a mix-up of lanes shows; three, because RSA-4096 \
         takes 1.3 ms for each */
#define SIGNATURE_ROOM 512

struct kat {
    const struct sm_backend *tested;
    sm_key *key;
    enum sm_sig_alg alg;
    uint8_t messages[MESSAGES][4];
    uint8_t good[MESSAGES][SIGNATURE_ROOM]; /* OpenSSL's signatures */
    size_t good_len[MESSAGES];
    uint8_t out[LANES][SIGNATURE_ROOM];
    sm_crypt_job jobs[LANES];
    sm_crypt_job *list[LANES];
    uint64_t single_ns[2]; /* the fastest of each operation */
    uint64_t batch_ns[2];
};

static void prepare(struct kat *k, enum sm_crypt_op op)
{
    for (size_t i = 0; i < LANES; i++) {
        size_t m = i % MESSAGES;
        k->jobs[i] = (sm_crypt_job){.op = op,
                                    .alg = k->alg,
                                    .type = sm_key_get_type(k->key),
                                    .message = sm_slice_of(k->messages[m], sizeof(k->messages[m])),
                                    .public_key = sm_key_public(k->key),
                                    .signature = sm_slice_of(k->good[m], k->good_len[m]),
                                    .key = k->key,
                                    .out = k->out[i],
                                    .out_room = SIGNATURE_ROOM};
        k->list[i] = &k->jobs[i];
    }
}

static void run_timed(const struct sm_backend *backend, sm_crypt_job *const *jobs, size_t count,
                      uint64_t *fastest)
{
    uint64_t start = sm_clock_mono_ns();
    backend->run(jobs, count);
    uint64_t ns = sm_clock_mono_ns() - start;
    if (*fastest == 0 || ns < *fastest) {
        *fastest = ns;
    }
}

/* OpenSSL's answers, and its time. */
static sm_err reference(struct kat *k)
{
    for (size_t m = 0; m < MESSAGES; m++) {
        prepare(k, SM_CRYPT_SIGN);
        k->jobs[m].out = k->good[m];
        run_timed(&sm_backend_openssl, &k->list[m], 1, &k->single_ns[SM_CRYPT_SIGN]);
        SM_TRY(k->jobs[m].err);
        k->good_len[m] = k->jobs[m].out_len;
        prepare(k, SM_CRYPT_VERIFY);
        run_timed(&sm_backend_openssl, &k->list[m], 1, &k->single_ns[SM_CRYPT_VERIFY]);
        SM_TRY(k->jobs[m].err);
    }
    return SM_NO_ERR;
}

static bool all_ok(const struct kat *k)
{
    for (size_t i = 0; i < LANES; i++) {
        if (!sm_ok(k->jobs[i].err)) {
            return false;
        }
    }
    return true;
}

/* Good signatures pass in every lane; of lanes with another message's signature exactly those fail.
 */
static bool verifies_right(struct kat *k)
{
    for (int round = 0; round < 3; round++) {
        prepare(k, SM_CRYPT_VERIFY);
        run_timed(k->tested, k->list, LANES, &k->batch_ns[SM_CRYPT_VERIFY]);
        if (!all_ok(k)) {
            return false;
        }
    }
    for (size_t odd = 0; odd < 2; odd++) {
        prepare(k, SM_CRYPT_VERIFY);
        for (size_t i = odd; i < LANES; i += 2) {
            size_t other = (i + 1) % MESSAGES;
            k->jobs[i].signature = sm_slice_of(k->good[other], k->good_len[other]);
        }
        k->tested->run(k->list, LANES);
        for (size_t i = 0; i < LANES; i++) {
            if (sm_ok(k->jobs[i].err) == (i % 2 == odd)) {
                return false;
            }
        }
    }
    return true;
}

/* What multi-buffer signed verifies on OpenSSL; where signatures have one right value they are the
 * same. */
static bool signed_right(struct kat *k)
{
    bool one_value = !sm_sig_alg_is_ecdsa(k->alg);
    if (!all_ok(k)) {
        return false;
    }
    for (size_t i = 0; i < LANES; i++) {
        size_t m = i % MESSAGES;
        sm_slice made = sm_slice_of(k->out[i], k->jobs[i].out_len);
        sm_crypt_job check = k->jobs[i];
        check.op = SM_CRYPT_VERIFY;
        check.signature = made;
        sm_crypt_job *list = &check;
        sm_backend_openssl.run(&list, 1);
        if (!sm_ok(check.err) ||
            (one_value && !sm_slice_equal(made, sm_slice_of(k->good[m], k->good_len[m])))) {
            return false;
        }
    }
    return true;
}

static bool signs_right(struct kat *k)
{
    /* Slow ones once: RSA-4096 takes 4 ms a batch. */
    int rounds = k->single_ns[SM_CRYPT_SIGN] > 500 * SM_NS_PER_US ? 1 : 3;
    for (int round = 0; round < rounds; round++) {
        prepare(k, SM_CRYPT_SIGN);
        run_timed(k->tested, k->list, LANES, &k->batch_ns[SM_CRYPT_SIGN]);
    }
    return signed_right(k);
}

#ifdef SM_HAVE_CRYPTO_MB

/* OpenSSL's RFC 6979 signature of the message. */
static bool sign_deterministic(struct kat *k, size_t m)
{
    unsigned kind = 1; /* OSSL_SIGNATURE_PARAM_NONCE_TYPE: deterministic */
    const OSSL_PARAM params[] = {OSSL_PARAM_construct_uint(OSSL_SIGNATURE_PARAM_NONCE_TYPE, &kind),
                                 OSSL_PARAM_END};
    static const char *const hashes[SM_DIGEST_COUNT] = {NULL, "SHA256", "SHA384", "SHA512"};
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    k->good_len[m] = SIGNATURE_ROOM;
    bool good = ctx != NULL &&
                EVP_DigestSignInit_ex(ctx, NULL, hashes[sm_sig_alg_digest(k->alg)], NULL, NULL,
                                      k->key->pkey, params) > 0 &&
                EVP_DigestSign(ctx, k->good[m], &k->good_len[m], k->messages[m],
                               sizeof(k->messages[m])) > 0;
    EVP_MD_CTX_free(ctx);
    return good;
}

/* With equal nonces ECDSA has one right value too. */
static bool signs_same(struct kat *k)
{
    if (!sm_sig_alg_is_ecdsa(k->alg) || k->tested != &sm_backend_mb) {
        return true;
    }
    for (size_t m = 0; m < MESSAGES; m++) {
        if (!sign_deterministic(k, m)) {
            return false;
        }
    }
    prepare(k, SM_CRYPT_SIGN);
    sm_mb_ecdsa_sign(k->list, LANES, SM_MB_DETERMINISTIC);
    for (size_t i = 0; i < LANES; i++) {
        size_t m = i % MESSAGES;
        if (!sm_ok(k->jobs[i].err) || !sm_slice_equal(sm_slice_of(k->out[i], k->jobs[i].out_len),
                                                      sm_slice_of(k->good[m], k->good_len[m]))) {
            return false;
        }
    }
    return true;
}

#else

static bool signs_same(struct kat *k)
{
    (void)k;
    return true;
}

#endif

/* From how many jobs on one call of multi-buffer takes no longer than OpenSSL for them all. */
static void choose(struct sm_backend_choice *out, bool right, uint64_t single_ns, uint64_t batch_ns)
{
    *out = (struct sm_backend_choice){SM_BACKEND_NEVER, "known-answer test failed", single_ns,
                                      batch_ns};
    if (!right) {
        return;
    }
    uint64_t from = (batch_ns + single_ns - 1) / (single_ns == 0 ? 1 : single_ns);
    if (from > LANES) {
        out->why = "slower than OpenSSL here";
    } else {
        out->from = from < 1 ? 1 : (unsigned)from;
        out->why = "known-answer test passed";
    }
}

static sm_err run(struct kat *k, struct sm_backend_choice *verify, struct sm_backend_choice *sign)
{
    SM_TRY(reference(k));
    verify->single_ns = k->single_ns[SM_CRYPT_VERIFY];
    sign->single_ns = k->single_ns[SM_CRYPT_SIGN];
    if (k->tested == NULL || !k->tested->applicable(SM_CRYPT_SIGN, sm_key_get_type(k->key))) {
        return SM_NO_ERR;
    }
    bool verifies = verifies_right(k);
    bool signs = signs_right(k) && signs_same(k);
    choose(verify, verifies, k->single_ns[SM_CRYPT_VERIFY], k->batch_ns[SM_CRYPT_VERIFY]);
    choose(sign, signs, k->single_ns[SM_CRYPT_SIGN], k->batch_ns[SM_CRYPT_SIGN]);
    return SM_NO_ERR;
}

sm_err sm_kat_run(const struct sm_backend *tested, enum sm_key_type type,
                  struct sm_backend_choice *verify, struct sm_backend_choice *sign)
{
    struct kat *k = sm_calloc(1, sizeof(*k));
    if (k == NULL) {
        return SM_ERR(NO_MEMORY);
    }
    k->tested = tested;
    sm_err err = sm_kat_key(type, &k->key);
    if (sm_ok(err)) {
        k->alg = sm_sig_alg_for(type, SM_DIGEST_NONE, false);
        for (size_t m = 0; m < MESSAGES; m++) {
            memcpy(k->messages[m], (const uint8_t[]){'k', 'a', 't', (uint8_t)m}, 4);
        }
        err = run(k, verify, sign);
    }
    sm_key_detach(&k->key);
    sm_free(k);
    return err;
}
