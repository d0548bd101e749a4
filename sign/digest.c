/* SPDX-License-Identifier: Apache-2.0 */
/* The SHA1_* functions are deprecated because they bypass providers. That is what they are used
 * for: an EVP digest, and since 3.0 SHA1() too, looks its algorithm up on every call, which takes
 * longer than hashing a key does. */
#define OPENSSL_SUPPRESS_DEPRECATED

#include "sign/sha.h"

sm_err sm_digest_compute(enum sm_digest digest, sm_slice data, uint8_t out[SM_DIGEST_MAX])
{
    struct sm_sha sha;
    if (sm_digest_size(digest) == 0) {
        return SM_ERR(UNSUPPORTED);
    }
    sm_sha_begin(&sha, digest);
    sm_sha_add(&sha, data.ptr, data.len);
    sm_sha_end(&sha, out);
    return SM_NO_ERR;
}

sm_err sm_sha1(sm_slice data, uint8_t out[20])
{
    SHA_CTX sha;
    bool good = SHA1_Init(&sha) && SHA1_Update(&sha, data.ptr, data.len) && SHA1_Final(out, &sha);
    return good ? SM_NO_ERR : SM_ERR(CRYPTO);
}
