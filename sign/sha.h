/* SPDX-License-Identifier: Apache-2.0 */
/*
 * SHA-2 in pieces, without allocation and without look-ups.
 *
 * An EVP digest of 64 octets costs 0.25 us here, nearly all of it fetching the algorithm; these
 * cost 0.06. One nonce takes eight of them, so that the difference would be a third of a
 * multi-buffer P-256 signature.
 *
 * Threads:   values.
 * Limits:    none.
 * Security:  sm_sha_end wipes the state.
 * Standards: FIPS 180-4, RFC 2104.
 */
#pragma once

#include "sign/alg.h"

#include <openssl/sha.h>

struct sm_sha {
    enum sm_digest digest;
    union {
        SHA256_CTX small;
        SHA512_CTX large; /* SHA-384 too */
    } ctx;
};

void sm_sha_begin(struct sm_sha *sha, enum sm_digest digest);
void sm_sha_add(struct sm_sha *sha, const void *octets, size_t len);
/* Writes sm_digest_size(digest) octets. */
void sm_sha_end(struct sm_sha *sha, uint8_t *out);

struct sm_hmac {
    struct sm_sha inner;
    struct sm_sha outer;
};

/* `key` is as long as the digest. */
void sm_hmac_begin(struct sm_hmac *hmac, enum sm_digest digest, const uint8_t *key);
void sm_hmac_add(struct sm_hmac *hmac, const void *octets, size_t len);
void sm_hmac_end(struct sm_hmac *hmac, uint8_t *out);
