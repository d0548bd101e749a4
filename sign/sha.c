/* SPDX-License-Identifier: Apache-2.0 */
/* The SHA256_* functions are deprecated because they bypass providers; to bypass them is what they
 * are used for. */
#define OPENSSL_SUPPRESS_DEPRECATED

#include "sign/sha.h"

#include "base/check.h"
#include "base/mem.h"

void sm_sha_begin(struct sm_sha *sha, enum sm_digest digest)
{
    sha->digest = digest;
    switch (digest) {
    case SM_SHA256:
        (void)SHA256_Init(&sha->ctx.small);
        break;
    case SM_SHA384:
        (void)SHA384_Init(&sha->ctx.large);
        break;
    default:
        SM_CHECK(digest == SM_SHA512);
        (void)SHA512_Init(&sha->ctx.large);
        break;
    }
}

void sm_sha_add(struct sm_sha *sha, const void *octets, size_t len)
{
    if (sha->digest == SM_SHA256) {
        (void)SHA256_Update(&sha->ctx.small, octets, len);
    } else {
        (void)SHA512_Update(&sha->ctx.large, octets, len);
    }
}

void sm_sha_end(struct sm_sha *sha, uint8_t *out)
{
    if (sha->digest == SM_SHA256) {
        (void)SHA256_Final(out, &sha->ctx.small);
    } else {
        (void)SHA512_Final(out, &sha->ctx.large); /* as long as Init said */
    }
    sm_wipe(&sha->ctx, sizeof(sha->ctx));
}

void sm_hmac_begin(struct sm_hmac *hmac, enum sm_digest digest, const uint8_t *key)
{
    uint8_t pad[SHA512_CBLOCK];
    size_t block = digest == SM_SHA256 ? SHA256_CBLOCK : SHA512_CBLOCK;
    size_t size = sm_digest_size(digest);
    memset(pad, 0x36, block);
    for (size_t i = 0; i < size; i++) {
        pad[i] ^= key[i];
    }
    sm_sha_begin(&hmac->inner, digest);
    sm_sha_add(&hmac->inner, pad, block);
    for (size_t i = 0; i < block; i++) {
        pad[i] ^= 0x36 ^ 0x5c;
    }
    sm_sha_begin(&hmac->outer, digest);
    sm_sha_add(&hmac->outer, pad, block);
    sm_wipe(pad, sizeof(pad));
}

void sm_hmac_add(struct sm_hmac *hmac, const void *octets, size_t len)
{
    sm_sha_add(&hmac->inner, octets, len);
}

void sm_hmac_end(struct sm_hmac *hmac, uint8_t *out)
{
    uint8_t digest[SM_DIGEST_MAX];
    size_t size = sm_digest_size(hmac->inner.digest);
    sm_sha_end(&hmac->inner, digest);
    sm_sha_add(&hmac->outer, digest, size);
    sm_sha_end(&hmac->outer, out);
    sm_wipe(digest, sizeof(digest));
}
