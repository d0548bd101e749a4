/* SPDX-License-Identifier: Apache-2.0 */
#include "sign/alg.h"
#include "sign/sha.h"

#include <openssl/sha.h>

sm_err sm_digest_compute(enum sm_digest digest, sm_slice data, uint8_t out[SM_DIGEST_MAX])
{
    struct sm_sha sha;
    if (digest <= SM_DIGEST_NONE || digest >= SM_DIGEST_COUNT) {
        return SM_ERR(UNSUPPORTED);
    }
    sm_sha_begin(&sha, digest);
    sm_sha_add(&sha, data.ptr, data.len);
    sm_sha_end(&sha, out);
    return SM_NO_ERR;
}

sm_err sm_sha1(sm_slice data, uint8_t out[20])
{
    return SHA1(data.ptr, data.len, out) == NULL ? SM_ERR(CRYPTO) : SM_NO_ERR;
}
