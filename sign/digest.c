/* SPDX-License-Identifier: Apache-2.0 */
#include "sign/alg.h"

/* The one-shot functions fetch nothing and allocate nothing, which EVP_Digest does on every call. They are deprecated
 * only where their contexts are exposed; these four are not. */
#include <openssl/sha.h>

sm_err sm_digest_compute(enum sm_digest digest, sm_slice data, uint8_t out[SM_DIGEST_MAX])
{
    const unsigned char *done = NULL;
    switch (digest) {
    case SM_SHA256:
        done = SHA256(data.ptr, data.len, out);
        break;
    case SM_SHA384:
        done = SHA384(data.ptr, data.len, out);
        break;
    case SM_SHA512:
        done = SHA512(data.ptr, data.len, out);
        break;
    default:
        return SM_ERR(UNSUPPORTED);
    }
    return done == NULL ? SM_ERR(CRYPTO) : SM_NO_ERR;
}

sm_err sm_sha1(sm_slice data, uint8_t out[20])
{
    return SHA1(data.ptr, data.len, out) == NULL ? SM_ERR(CRYPTO) : SM_NO_ERR;
}
