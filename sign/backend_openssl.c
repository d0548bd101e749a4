/* SPDX-License-Identifier: Apache-2.0 */
#include "sign/backend.h"
#include "sign/backend_openssl_p.h"
#include "sign/key_p.h"

#include <openssl/evp.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>

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

static bool is_pss(enum sm_sig_alg alg)
{
    return alg >= SM_SIG_PSS_SHA256 && alg <= SM_SIG_PSS_SHA512;
}

static bool is_rsa(enum sm_sig_alg alg)
{
    return alg >= SM_SIG_RSA_SHA256 && alg <= SM_SIG_PSS_SHA512;
}

static bool is_ecdsa(enum sm_sig_alg alg)
{
    return alg >= SM_SIG_ECDSA_SHA256 && alg <= SM_SIG_ECDSA_SHA512;
}

/* Padding, hash and salt (as long as the hash, RFC 4055 3.1) of an RSA context. */
static bool set_rsa_params(EVP_PKEY_CTX *ctx, enum sm_sig_alg alg)
{
    int padding = is_pss(alg) ? RSA_PKCS1_PSS_PADDING : RSA_PKCS1_PADDING;
    return EVP_PKEY_CTX_set_rsa_padding(ctx, padding) > 0 &&
           EVP_PKEY_CTX_set_signature_md(ctx, digest_of(alg)) > 0 &&
           (!is_pss(alg) || (EVP_PKEY_CTX_set_rsa_pss_saltlen(ctx, RSA_PSS_SALTLEN_DIGEST) > 0 &&
                             EVP_PKEY_CTX_set_rsa_mgf1_md(ctx, digest_of(alg)) > 0));
}

/* Signing contexts are kept per thread: making one costs 1.5 us of look-ups, a tenth of a P-256 signature. The context holds a
 * reference to its EVP_PKEY, so that an entry's key cannot be another at the same address. */
#define CONTEXTS 8

static _Thread_local struct {
    EVP_PKEY *pkey;
    enum sm_sig_alg alg;
    EVP_PKEY_CTX *ctx;
} contexts[CONTEXTS];
static _Thread_local unsigned next_context;

static EVP_PKEY_CTX *make_context(EVP_PKEY *pkey, enum sm_sig_alg alg)
{
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new(pkey, NULL);
    if (ctx == NULL || EVP_PKEY_sign_init(ctx) <= 0 || (is_rsa(alg) && !set_rsa_params(ctx, alg))) {
        EVP_PKEY_CTX_free(ctx);
        return NULL;
    }
    return ctx;
}

static EVP_PKEY_CTX *sign_context(EVP_PKEY *pkey, enum sm_sig_alg alg)
{
    for (unsigned i = 0; i < CONTEXTS; i++) {
        if (contexts[i].pkey == pkey && contexts[i].alg == alg) {
            return contexts[i].ctx;
        }
    }
    EVP_PKEY_CTX *ctx = make_context(pkey, alg);
    if (ctx == NULL) {
        return NULL;
    }
    unsigned at = next_context++ % CONTEXTS;
    EVP_PKEY_CTX_free(contexts[at].ctx);
    contexts[at].pkey = pkey;
    contexts[at].alg = alg;
    contexts[at].ctx = ctx;
    return ctx;
}

void sm_backend_openssl_forget(void)
{
    for (unsigned i = 0; i < CONTEXTS; i++) {
        EVP_PKEY_CTX_free(contexts[i].ctx);
        contexts[i].ctx = NULL;
        contexts[i].pkey = NULL;
    }
    sm_ecdsa_verify_forget();
}

static bool sign_whole(const sm_crypt_job *job, size_t *len)
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    bool good = ctx != NULL && EVP_DigestSignInit_ex(ctx, NULL, NULL, NULL, NULL, job->key->pkey, NULL) > 0 &&
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
    bool good;
    if (sm_sig_alg_digest(job->alg) == SM_DIGEST_NONE) {
        good = sign_whole(job, &len);
    } else {
        EVP_PKEY_CTX *ctx = sign_context(job->key->pkey, job->alg);
        /* OpenSSL checks RSA-CRT results with the public exponent itself, and falls back to the plain exponent. */
        good = ctx != NULL && EVP_PKEY_sign(ctx, job->out, &len, input.ptr, input.len) > 0;
    }
    if (!good) {
        return SM_ERR(CRYPTO);
    }
    job->out_len = len;
    return SM_NO_ERR;
}

static sm_err verify_rsa(EVP_PKEY *pkey, const sm_crypt_job *job, sm_slice input)
{
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new(pkey, NULL);
    bool good = ctx != NULL && EVP_PKEY_verify_init(ctx) > 0 && set_rsa_params(ctx, job->alg) &&
                EVP_PKEY_verify(ctx, job->signature.ptr, job->signature.len, input.ptr, input.len) == 1;
    EVP_PKEY_CTX_free(ctx);
    return good ? SM_NO_ERR : SM_ERR(BAD_SIGNATURE);
}

static sm_err verify_whole(EVP_PKEY *pkey, const sm_crypt_job *job)
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    bool good = ctx != NULL && EVP_DigestVerifyInit_ex(ctx, NULL, NULL, NULL, NULL, pkey, NULL) > 0 &&
                EVP_DigestVerify(ctx, job->signature.ptr, job->signature.len, job->message.ptr,
                                 job->message.len) == 1;
    EVP_MD_CTX_free(ctx);
    return good ? SM_NO_ERR : SM_ERR(BAD_SIGNATURE);
}

static sm_err verify_one(const sm_crypt_job *job)
{
    uint8_t digest[SM_DIGEST_MAX];
    sm_slice input;
    SM_TRY(sm_backend_input(job, digest, &input));
    if (is_ecdsa(job->alg)) {
        return sm_ecdsa_verify(job->public_key, input, job->signature);
    }
    const unsigned char *at = job->public_key->spki.ptr;
    EVP_PKEY *pkey = d2i_PUBKEY(NULL, &at, (long)job->public_key->spki.len);
    if (pkey == NULL) {
        return SM_ERR(BAD_SIGNATURE);
    }
    sm_err err = is_rsa(job->alg) ? verify_rsa(pkey, job, input) : verify_whole(pkey, job);
    EVP_PKEY_free(pkey);
    return err;
}

static void run(sm_crypt_job *const *jobs, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        jobs[i]->err = jobs[i]->op == SM_CRYPT_SIGN ? sign_one(jobs[i]) : verify_one(jobs[i]);
    }
}

const struct sm_backend sm_backend_openssl = {"openssl", run};
