/* SPDX-License-Identifier: Apache-2.0 */
#include "sign/kat.h"

#include "sign/sha.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/param_build.h>

/* Each prime is the first, from a number made by SHA-256 on, for which 65537 is a public exponent;
 * `add` is how far it was. So three key pairs fit six numbers. */
struct prime {
    uint16_t bits;
    uint16_t add;
};

static const struct prime primes[3][2] = {
    {{1024, 158}, {1024, 2044}},
    {{1536, 1414}, {1536, 502}},
    {{2048, 1902}, {2048, 240}},
};

static BIGNUM *make_prime(const struct prime *prime, uint8_t which)
{
    uint8_t octets[2048 / 8];
    size_t len = prime->bits / 8;
    for (size_t at = 0; at < len; at += 32) {
        const uint8_t tail[4] = {(uint8_t)(prime->bits >> 8), (uint8_t)prime->bits, which,
                                 (uint8_t)(at / 32)};
        struct sm_sha sha;
        sm_sha_begin(&sha, SM_SHA256);
        sm_sha_add(&sha, "sealmill known answers", 22);
        sm_sha_add(&sha, tail, sizeof(tail));
        sm_sha_end(&sha, octets + at);
    }
    octets[0] |= 0xc0;
    octets[len - 1] |= 1;
    BIGNUM *p = BN_bin2bn(octets, (int)len, NULL);
    if (p != NULL && !BN_add_word(p, prime->add)) {
        BN_free(p);
        return NULL;
    }
    return p;
}

struct rsa_numbers {
    BIGNUM *n, *e, *d, *p, *q, *dp, *dq, *iq;
};

/* From p, q and e (RFC 8017 3.2). */
static bool derive(struct rsa_numbers *r, BN_CTX *ctx)
{
    BIGNUM *p1 = BN_dup(r->p);
    BIGNUM *q1 = BN_dup(r->q);
    BIGNUM *phi = BN_new();
    bool good = p1 != NULL && q1 != NULL && phi != NULL && BN_set_word(r->e, 65537) &&
                BN_sub_word(p1, 1) && BN_sub_word(q1, 1) && BN_mul(phi, p1, q1, ctx) &&
                BN_mul(r->n, r->p, r->q, ctx) && BN_mod_inverse(r->d, r->e, phi, ctx) != NULL &&
                BN_mod(r->dp, r->d, p1, ctx) && BN_mod(r->dq, r->d, q1, ctx) &&
                BN_mod_inverse(r->iq, r->q, r->p, ctx) != NULL;
    BN_free(p1);
    BN_free(q1);
    BN_free(phi);
    return good;
}

static OSSL_PARAM *make_params(const struct rsa_numbers *r)
{
    OSSL_PARAM_BLD *b = OSSL_PARAM_BLD_new();
    OSSL_PARAM *params = NULL;
    if (b != NULL && OSSL_PARAM_BLD_push_BN(b, OSSL_PKEY_PARAM_RSA_N, r->n) &&
        OSSL_PARAM_BLD_push_BN(b, OSSL_PKEY_PARAM_RSA_E, r->e) &&
        OSSL_PARAM_BLD_push_BN(b, OSSL_PKEY_PARAM_RSA_D, r->d) &&
        OSSL_PARAM_BLD_push_BN(b, OSSL_PKEY_PARAM_RSA_FACTOR1, r->p) &&
        OSSL_PARAM_BLD_push_BN(b, OSSL_PKEY_PARAM_RSA_FACTOR2, r->q) &&
        OSSL_PARAM_BLD_push_BN(b, OSSL_PKEY_PARAM_RSA_EXPONENT1, r->dp) &&
        OSSL_PARAM_BLD_push_BN(b, OSSL_PKEY_PARAM_RSA_EXPONENT2, r->dq) &&
        OSSL_PARAM_BLD_push_BN(b, OSSL_PKEY_PARAM_RSA_COEFFICIENT1, r->iq)) {
        params = OSSL_PARAM_BLD_to_param(b);
    }
    OSSL_PARAM_BLD_free(b);
    return params;
}

static EVP_PKEY *import(OSSL_PARAM *params)
{
    EVP_PKEY *pkey = NULL;
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "RSA", NULL);
    if (ctx == NULL || params == NULL || EVP_PKEY_fromdata_init(ctx) <= 0 ||
        EVP_PKEY_fromdata(ctx, &pkey, EVP_PKEY_KEYPAIR, params) <= 0) {
        pkey = NULL;
    }
    EVP_PKEY_CTX_free(ctx);
    return pkey;
}

static EVP_PKEY *make_rsa(enum sm_key_type type)
{
    const struct prime *pair = primes[(unsigned)type - SM_KEY_RSA_2048];
    struct rsa_numbers r = {
        BN_new(), BN_new(), BN_new(), make_prime(&pair[0], 0), make_prime(&pair[1], 1),
        BN_new(), BN_new(), BN_new()};
    BN_CTX *ctx = BN_CTX_new();
    EVP_PKEY *pkey = NULL;
    if (r.n != NULL && r.e != NULL && r.d != NULL && r.p != NULL && r.q != NULL && r.dp != NULL &&
        r.dq != NULL && r.iq != NULL && ctx != NULL && derive(&r, ctx)) {
        OSSL_PARAM *params = make_params(&r);
        pkey = import(params);
        OSSL_PARAM_free(params);
    }
    BIGNUM *all[] = {r.n, r.e, r.d, r.p, r.q, r.dp, r.dq, r.iq};
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        BN_free(all[i]);
    }
    BN_CTX_free(ctx);
    return pkey;
}

sm_err sm_kat_key(enum sm_key_type type, sm_key **out)
{
    if (type < SM_KEY_RSA_2048 || type > SM_KEY_RSA_4096) {
        return sm_key_generate(type, out);
    }
    EVP_PKEY *pkey = make_rsa(type);
    if (pkey == NULL) {
        return SM_ERR(CRYPTO);
    }
    sm_err err = sm_key_wrap(pkey, NULL, out);
    if (!sm_ok(err)) {
        EVP_PKEY_free(pkey);
    }
    return err;
}
