/* SPDX-License-Identifier: Apache-2.0 */
#include "base/mem.h"
#include "sign/backend.h"
#include "sign/backend_openssl_p.h"
#include "sign/key_p.h"
#include "sign/rsa_pad.h"

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/rsa.h>

static const EVP_MD *digest_of(enum sm_sig_alg alg)
{
    switch (sm_sig_alg_digest(alg)) {
    case SM_SHA256:
        return EVP_sha256();
    case SM_SHA384:
        return EVP_sha384();
    case SM_SHA512:
        return EVP_sha512();
    default:
        return NULL;
    }
}

/* Padding, hash and salt (as long as the hash, RFC 4055 3.1) of an RSA context. */
static bool set_rsa_params(EVP_PKEY_CTX *ctx, enum sm_sig_alg alg)
{
    int padding = sm_sig_alg_is_pss(alg) ? RSA_PKCS1_PSS_PADDING : RSA_PKCS1_PADDING;
    return EVP_PKEY_CTX_set_rsa_padding(ctx, padding) > 0 &&
           EVP_PKEY_CTX_set_signature_md(ctx, digest_of(alg)) > 0 &&
           (!sm_sig_alg_is_pss(alg) ||
            (EVP_PKEY_CTX_set_rsa_pss_saltlen(ctx, RSA_PSS_SALTLEN_DIGEST) > 0 &&
             EVP_PKEY_CTX_set_rsa_mgf1_md(ctx, digest_of(alg)) > 0));
}

static EVP_PKEY_CTX *make_context(EVP_PKEY *pkey, enum sm_sig_alg alg)
{
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new(pkey, NULL);
    if (ctx == NULL || EVP_PKEY_sign_init(ctx) <= 0 ||
        (sm_sig_alg_is_rsa(alg) && !set_rsa_params(ctx, alg))) {
        EVP_PKEY_CTX_free(ctx);
        return NULL;
    }
    return ctx;
}

/* Signing contexts are kept with their key: making one costs 1.5 us of look-ups, a tenth of a P-256
 * signature. A context holds a reference to its EVP_PKEY, so that one that outlived the key would
 * keep the private number in memory. ECDSA's are the same for every digest. */
static _Atomic(EVP_PKEY_CTX *) *contexts_of(sm_key *key, enum sm_sig_alg alg)
{
    return key->contexts[sm_sig_alg_is_rsa(alg) ? alg - SM_SIG_RSA_SHA256 : 0];
}

/* Nobody else has it until it is put back. */
static EVP_PKEY_CTX *take_context(sm_key *key, enum sm_sig_alg alg)
{
    _Atomic(EVP_PKEY_CTX *) *kept = contexts_of(key, alg);
    EVP_PKEY_CTX *ctx = NULL;
    for (unsigned i = 0; i < SM_KEY_CONTEXTS && ctx == NULL; i++) {
        ctx = atomic_exchange_explicit(&kept[i], NULL, memory_order_acq_rel);
    }
    return ctx == NULL ? make_context(key->pkey, alg) : ctx;
}

static void put_context(sm_key *key, enum sm_sig_alg alg, EVP_PKEY_CTX *ctx)
{
    _Atomic(EVP_PKEY_CTX *) *kept = contexts_of(key, alg);
    for (unsigned i = 0; i < SM_KEY_CONTEXTS && ctx != NULL; i++) {
        EVP_PKEY_CTX *none = NULL;
        if (atomic_compare_exchange_strong_explicit(&kept[i], &none, ctx, memory_order_acq_rel,
                                                    memory_order_relaxed)) {
            return;
        }
    }
    EVP_PKEY_CTX_free(ctx);
}

void sm_key_contexts_free(sm_key *key)
{
    for (unsigned i = 0; i < SM_KEY_ALGS_MAX * SM_KEY_CONTEXTS; i++) {
        EVP_PKEY_CTX_free(key->contexts[i / SM_KEY_CONTEXTS][i % SM_KEY_CONTEXTS]);
    }
}

static bool sign_digest(const sm_crypt_job *job, sm_slice digest, size_t *len)
{
    EVP_PKEY_CTX *ctx = take_context(job->key, job->alg);
    /* OpenSSL checks RSA-CRT results with the public exponent itself, and falls back to the plain
     * exponent. */
    bool good = ctx != NULL && EVP_PKEY_sign(ctx, job->out, len, digest.ptr, digest.len) > 0;
    put_context(job->key, job->alg, ctx);
    return good;
}

static bool sign_whole(const sm_crypt_job *job, size_t *len)
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    bool good = ctx != NULL &&
                EVP_DigestSignInit_ex(ctx, NULL, NULL, NULL, NULL, job->key->pkey, NULL) > 0 &&
                EVP_DigestSign(ctx, job->out, len, job->message.ptr, job->message.len) > 0;
    EVP_MD_CTX_free(ctx);
    return good;
}

static sm_err sign_one(sm_crypt_job *job)
{
    uint8_t digest[SM_DIGEST_MAX];
    sm_slice input;
    SM_TRY(sm_backend_input(job, digest, &input));
    size_t len = job->out_room;
    bool whole = sm_sig_alg_digest(job->alg) == SM_DIGEST_NONE;
    bool good = whole ? sign_whole(job, &len) : sign_digest(job, input, &len);
    if (!good) {
        sm_wipe(job->out, job->out_room); /* whatever is in it */
        return SM_ERR(CRYPTO);
    }
    job->out_len = len;
    return SM_NO_ERR;
}

static sm_err verify_whole(const sm_crypt_job *job)
{
    const struct sm_public_key *key = job->public_key;
    /* 3 us cheaper than decoding the SubjectPublicKeyInfo. */
    EVP_PKEY *pkey = EVP_PKEY_new_raw_public_key_ex(NULL, sm_key_openssl_name(key->type), NULL,
                                                    key->bits.ptr, key->bits.len);
    if (pkey == NULL) {
        return SM_ERR(BAD_SIGNATURE);
    }
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    bool good = ctx != NULL &&
                EVP_DigestVerifyInit_ex(ctx, NULL, NULL, NULL, NULL, pkey, NULL) > 0 &&
                EVP_DigestVerify(ctx, job->signature.ptr, job->signature.len, job->message.ptr,
                                 job->message.len) == 1;
    EVP_MD_CTX_free(ctx);
    EVP_PKEY_free(pkey);
    return good ? SM_NO_ERR : SM_ERR(BAD_SIGNATURE);
}

static sm_err verify_one(const sm_crypt_job *job)
{
    uint8_t digest[SM_DIGEST_MAX];
    sm_slice input;
    SM_TRY(sm_backend_input(job, digest, &input));
    if (sm_sig_alg_is_ecdsa(job->alg)) {
        return sm_ecdsa_verify(job->public_key, input, job->signature);
    }
    if (sm_sig_alg_is_rsa(job->alg)) {
        return sm_rsa_verify(job->public_key, job->alg, input, job->signature);
    }
    return verify_whole(job);
}

static void run(sm_crypt_job *const *jobs, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        jobs[i]->err = jobs[i]->op == SM_CRYPT_SIGN ? sign_one(jobs[i]) : verify_one(jobs[i]);
    }
    /* What a failed call leaves in the thread's error queue would be taken for TLS's own fault. */
    ERR_clear_error();
}

static bool applicable(enum sm_crypt_op op, enum sm_key_type type)
{
    (void)op;
    return type > SM_KEY_NONE && type < SM_KEY_TYPE_COUNT;
}

const struct sm_backend sm_backend_openssl = {SM_BACKEND_OPENSSL, "openssl", applicable, run,
                                              sm_ecdsa_verify_forget};
