/* SPDX-License-Identifier: Apache-2.0 */
#include "sign/pkcs8.h"

#include "base/check.h"
#include "sign/der.h"
#include "sign/pubkey.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/x509.h>

#define NUMBER_MAX 512    /* octets: the modulus of RSA-4096 */
#define EXPANDED_MAX 4896 /* the private key of ML-DSA-87 (FIPS 204 table 2) */
#define SEED_LEN 32
#define EC_VERSION 1

/* ---- numbers of a key ---- */

/* Big-endian in `len` octets, or in as many as it has where `len` is 0. */
static size_t get_number(const EVP_PKEY *pkey, const char *name, uint8_t room[NUMBER_MAX],
                         size_t len)
{
    BIGNUM *n = NULL;
    if (EVP_PKEY_get_bn_param(pkey, name, &n) != 1) {
        return 0;
    }
    size_t octets = len > 0 ? len : (size_t)BN_num_bytes(n);
    int got = octets <= NUMBER_MAX ? BN_bn2binpad(n, room, (int)octets) : 0;
    BN_clear_free(n);
    return got > 0 ? (size_t)got : 0;
}

static bool put_number(const EVP_PKEY *pkey, const char *name, sm_buf *out)
{
    uint8_t room[NUMBER_MAX];
    size_t len = get_number(pkey, name, room, 0);
    sm_der_write_unsigned(out, sm_slice_of(room, len));
    OPENSSL_cleanse(room, sizeof(room));
    return len > 0;
}

/* ---- what is inside, by type ---- */

/* RSAPrivateKey (RFC 8017 A.1.2) */
static bool put_rsa(const EVP_PKEY *pkey, sm_buf *out)
{
    static const char *const names[] = {
        OSSL_PKEY_PARAM_RSA_N,         OSSL_PKEY_PARAM_RSA_E,
        OSSL_PKEY_PARAM_RSA_D,         OSSL_PKEY_PARAM_RSA_FACTOR1,
        OSSL_PKEY_PARAM_RSA_FACTOR2,   OSSL_PKEY_PARAM_RSA_EXPONENT1,
        OSSL_PKEY_PARAM_RSA_EXPONENT2, OSSL_PKEY_PARAM_RSA_COEFFICIENT1,
    };
    bool ok = true;
    sm_der_block key = sm_der_begin(out, SM_DER_SEQUENCE);
    sm_der_write_u64(out, 0); /* two primes */
    for (size_t i = 0; i < SM_ARRAY_LEN(names); i++) {
        ok = put_number(pkey, names[i], out) && ok;
    }
    sm_der_end(out, key);
    return ok;
}

/* ECPrivateKey, without the curve, which the AlgorithmIdentifier names (RFC 5915 3) */
static bool put_ec(const EVP_PKEY *pkey, const struct sm_public_key *pub, sm_buf *out)
{
    uint8_t room[NUMBER_MAX];
    size_t len = get_number(pkey, OSSL_PKEY_PARAM_PRIV_KEY, room, pub->x.len);
    sm_der_block key = sm_der_begin(out, SM_DER_SEQUENCE);
    sm_der_write_u64(out, EC_VERSION);
    sm_der_write(out, SM_DER_OCTET_STRING, sm_slice_of(room, len));
    OPENSSL_cleanse(room, sizeof(room));
    sm_der_block bits = sm_der_begin(out, SM_DER_CTX_CONS(1));
    sm_der_write_bits(out, pub->bits);
    sm_der_end(out, bits);
    sm_der_end(out, key);
    return len > 0;
}

/* CurvePrivateKey (RFC 8410 7) */
static bool put_edwards(const EVP_PKEY *pkey, sm_buf *out)
{
    uint8_t room[NUMBER_MAX];
    size_t len = sizeof(room);
    bool ok = EVP_PKEY_get_raw_private_key(pkey, room, &len) == 1;
    sm_der_write(out, SM_DER_OCTET_STRING, sm_slice_of(room, ok ? len : 0));
    OPENSSL_cleanse(room, sizeof(room));
    return ok;
}

static bool put_octets(const EVP_PKEY *pkey, const char *name, sm_buf *out)
{
    uint8_t room[EXPANDED_MAX];
    size_t len = 0;
    bool ok = EVP_PKEY_get_octet_string_param(pkey, name, room, sizeof(room), &len) == 1;
    sm_der_write(out, SM_DER_OCTET_STRING, sm_slice_of(room, ok ? len : 0));
    OPENSSL_cleanse(room, sizeof(room));
    return ok;
}

static bool has_seed(const EVP_PKEY *pkey)
{
    uint8_t room[SEED_LEN];
    size_t len = 0;
    bool has = EVP_PKEY_get_octet_string_param(pkey, OSSL_PKEY_PARAM_ML_DSA_SEED, room,
                                               sizeof(room), &len) == 1;
    OPENSSL_cleanse(room, sizeof(room));
    return has;
}

/* ML-DSA-PrivateKey: both, or expandedKey of one that came without a seed (RFC 9881 6) */
static bool put_ml_dsa(const EVP_PKEY *pkey, sm_buf *out)
{
    if (!has_seed(pkey)) {
        return put_octets(pkey, OSSL_PKEY_PARAM_PRIV_KEY, out);
    }
    sm_der_block both = sm_der_begin(out, SM_DER_SEQUENCE);
    bool ok = put_octets(pkey, OSSL_PKEY_PARAM_ML_DSA_SEED, out) &&
              put_octets(pkey, OSSL_PKEY_PARAM_PRIV_KEY, out);
    sm_der_end(out, both);
    return ok;
}

static bool put_key(const EVP_PKEY *pkey, const struct sm_public_key *pub, sm_buf *out)
{
    switch (pub->type) {
    case SM_KEY_P256:
    case SM_KEY_P384:
    case SM_KEY_P521:
        return put_ec(pkey, pub, out);
    case SM_KEY_RSA_2048:
    case SM_KEY_RSA_3072:
    case SM_KEY_RSA_4096:
        return put_rsa(pkey, out);
    case SM_KEY_ED25519:
    case SM_KEY_ED448:
        return put_edwards(pkey, out);
    default:
        return put_ml_dsa(pkey, out);
    }
}

/* ---- the whole ---- */

/* PrivateKeyInfo ::= SEQUENCE { version 0, AlgorithmIdentifier, OCTET STRING } */
static sm_err write_info(const EVP_PKEY *pkey, const struct sm_public_key *pub, sm_buf *out)
{
    sm_der_block info = sm_der_begin(out, SM_DER_SEQUENCE);
    sm_der_write_u64(out, 0);
    sm_der_write(out, SM_DER_SEQUENCE, sm_public_key_algorithm(pub->type));
    sm_der_block octets = sm_der_begin(out, SM_DER_OCTET_STRING);
    bool ok = put_key(pkey, pub, out);
    sm_der_end(out, octets);
    sm_der_end(out, info);
    return ok ? sm_buf_err(out) : SM_ERR(CRYPTO);
}

sm_err sm_pkcs8_write(EVP_PKEY *pkey, sm_buf *out)
{
    struct sm_public_key pub;
    unsigned char *spki = NULL;
    int len = i2d_PUBKEY(pkey, &spki);
    if (len <= 0) {
        return SM_ERR(CRYPTO);
    }
    sm_err err = sm_public_key_parse(sm_slice_of(spki, (size_t)len), &pub, NULL);
    err = sm_ok(err) ? write_info(pkey, &pub, out) : err;
    OPENSSL_free(spki);
    return err;
}
