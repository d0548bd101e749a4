/* SPDX-License-Identifier: Apache-2.0 */
#include "sign/key_p.h"

#include "base/mem.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>

/* A number as `words` little-endian words. Errors: UNSUPPORTED when the key has none, or a longer
 * one. */
static sm_err take(EVP_PKEY *pkey, const char *name, uint64_t *out, size_t words, int *bits)
{
    BIGNUM *n = NULL;
    if (!EVP_PKEY_get_bn_param(pkey, name, &n)) {
        return SM_ERR(UNSUPPORTED);
    }
    *bits = BN_num_bits(n);
    uint8_t octets[SM_RSA_WORDS * 8];
    size_t len = words * 8;
    bool good = BN_bn2binpad(n, octets, (int)len) == (int)len;
    if (good) {
        sm_words_from_octets(out, words, sm_slice_of(octets, len));
    }
    sm_wipe(octets, sizeof(octets));
    BN_clear_free(n);
    return good ? SM_NO_ERR : SM_ERR(UNSUPPORTED);
}

static sm_err take_ec(EVP_PKEY *pkey, const struct sm_curve *curve, struct sm_key_numbers *out)
{
    int bits;
    SM_TRY(take(pkey, OSSL_PKEY_PARAM_PRIV_KEY, out->u.ec.d, curve->words, &bits));
    for (size_t i = 0; i < curve->octets; i++) {
        out->u.ec.octets[curve->octets - 1 - i] = (uint8_t)(out->u.ec.d[i / 8] >> (i % 8 * 8));
    }
    return SM_NO_ERR;
}

static sm_err take_rsa(EVP_PKEY *pkey, size_t words, struct sm_key_numbers *out)
{
    uint64_t e;
    uint64_t third[SM_RSA_WORDS / 2];
    int bits[6];
    size_t half = words / 2;
    SM_TRY(take(pkey, OSSL_PKEY_PARAM_RSA_E, &e, 1, &bits[0]));
    if (e != 65537 || sm_ok(take(pkey, OSSL_PKEY_PARAM_RSA_FACTOR3, third, half, &bits[0]))) {
        sm_wipe(third, sizeof(third));
        return SM_ERR(UNSUPPORTED);
    }
    SM_TRY(take(pkey, OSSL_PKEY_PARAM_RSA_N, out->u.rsa.n, words, &bits[0]));
    SM_TRY(take(pkey, OSSL_PKEY_PARAM_RSA_FACTOR1, out->u.rsa.p, half, &bits[1]));
    SM_TRY(take(pkey, OSSL_PKEY_PARAM_RSA_FACTOR2, out->u.rsa.q, half, &bits[2]));
    SM_TRY(take(pkey, OSSL_PKEY_PARAM_RSA_EXPONENT1, out->u.rsa.dp, half, &bits[3]));
    SM_TRY(take(pkey, OSSL_PKEY_PARAM_RSA_EXPONENT2, out->u.rsa.dq, half, &bits[4]));
    SM_TRY(take(pkey, OSSL_PKEY_PARAM_RSA_COEFFICIENT1, out->u.rsa.iq, half, &bits[5]));
    bool even = (size_t)bits[0] == words * 64 && (size_t)bits[1] == half * 64 &&
                (size_t)bits[2] == half * 64;
    return even ? SM_NO_ERR : SM_ERR(UNSUPPORTED);
}

static sm_err take_raw(EVP_PKEY *pkey, struct sm_key_numbers *out)
{
    size_t len = sizeof(out->u.ed25519);
    return EVP_PKEY_get_raw_private_key(pkey, out->u.ed25519, &len) > 0 ? SM_NO_ERR
                                                                        : SM_ERR(CRYPTO);
}

static sm_err take_all(EVP_PKEY *pkey, enum sm_key_type type, struct sm_key_numbers *out)
{
    switch (type) {
    case SM_KEY_P256:
    case SM_KEY_P384:
    case SM_KEY_P521:
        return take_ec(pkey, sm_curve_of(type), out);
    case SM_KEY_RSA_2048:
        return take_rsa(pkey, 32, out);
    case SM_KEY_RSA_3072:
        return take_rsa(pkey, 48, out);
    case SM_KEY_RSA_4096:
        return take_rsa(pkey, 64, out);
    case SM_KEY_ED25519:
        return take_raw(pkey, out);
    default:
        return SM_ERR(UNSUPPORTED);
    }
}

sm_err sm_key_numbers_new(EVP_PKEY *pkey, enum sm_key_type type, struct sm_key_numbers **out)
{
    struct sm_key_numbers *numbers = sm_calloc(1, sizeof(*numbers));
    if (numbers == NULL) {
        return SM_ERR(NO_MEMORY);
    }
    sm_err err = take_all(pkey, type, numbers);
    if (!sm_ok(err)) {
        sm_key_numbers_free(&numbers);
        return err;
    }
    *out = numbers;
    return SM_NO_ERR;
}

void sm_key_numbers_free(struct sm_key_numbers **numbers)
{
    if (*numbers != NULL) {
        sm_wipe(*numbers, sizeof(**numbers));
        sm_free(*numbers);
        *numbers = NULL;
    }
}
