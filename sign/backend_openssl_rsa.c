/* SPDX-License-Identifier: Apache-2.0 */
/* As with EC keys, EVP costs more to import a public key that is used once (7 us of 24 for
 * RSA-2048) than the low-level functions, which are deprecated for not knowing providers. */
#define OPENSSL_SUPPRESS_DEPRECATED

#include "sign/backend_openssl_p.h"
#include "sign/rsa_pad.h"

#include <openssl/rsa.h>

static RSA *make_key(const struct sm_public_key *key)
{
    RSA *rsa = RSA_new();
    BIGNUM *n = BN_bin2bn(key->modulus.ptr, (int)key->modulus.len, NULL);
    BIGNUM *e = BN_bin2bn(key->exponent.ptr, (int)key->exponent.len, NULL);
    if (rsa == NULL || n == NULL || e == NULL || !RSA_set0_key(rsa, n, e, NULL)) {
        BN_free(n);
        BN_free(e);
        RSA_free(rsa);
        return NULL;
    }
    return rsa;
}

sm_err sm_rsa_verify(const struct sm_public_key *key, enum sm_sig_alg alg, sm_slice digest,
                     sm_slice signature)
{
    uint8_t encoded[SM_RSA_OCTETS];
    if (signature.len != key->modulus.len) { /* RFC 8017 8.1.2 and 8.2.2, step 1 */
        return SM_ERR(BAD_SIGNATURE);
    }
    RSA *rsa = make_key(key);
    if (rsa == NULL) {
        return SM_ERR(NO_MEMORY);
    }
    /* Refuses numbers that are not below the modulus. */
    int len = RSA_public_decrypt((int)signature.len, signature.ptr, encoded, rsa, RSA_NO_PADDING);
    RSA_free(rsa);
    if (len != (int)key->modulus.len) {
        return SM_ERR(BAD_SIGNATURE);
    }
    return sm_rsa_pad_check(alg, digest, sm_slice_of(encoded, (size_t)len));
}
