/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside sign: what a sm_key is.
 *
 * Threads:   immutable but for the count, `check`, `check_round` and `contexts`.
 * Limits:    none.
 * Security:  the EVP_PKEY and the numbers stay in this folder; both are wiped when the last user
 *            detaches the key: nothing else holds a reference.
 * Standards: none.
 */
#pragma once

#include "sign/curve.h"
#include "sign/key.h"

#include <openssl/evp.h>
#include <stdatomic.h>

#define SM_RSA_WORDS 64   /* RSA-4096 */
#define SM_KEY_ALGS_MAX 6 /* an RSA key's: two paddings, three digests */
#define SM_KEY_CONTEXTS 4 /* threads that sign so at once; one more makes its own each time */

/* The private numbers as the multi-buffer backend reads them: little-endian words. */
struct sm_key_numbers {
    union {
        struct {
            uint64_t d[SM_CURVE_WORDS];
            uint8_t octets[SM_CURVE_OCTETS]; /* the same, big-endian, for nonces */
        } ec;
        struct {
            uint64_t n[SM_RSA_WORDS];
            uint64_t p[SM_RSA_WORDS / 2];
            uint64_t q[SM_RSA_WORDS / 2];
            uint64_t dp[SM_RSA_WORDS / 2];
            uint64_t dq[SM_RSA_WORDS / 2];
            uint64_t iq[SM_RSA_WORDS / 2];
        } rsa;
        uint8_t ed25519[32];
    } u;
};

struct sm_key {
    _Atomic uint32_t refs;
    _Atomic bool check;
    _Atomic uint64_t check_round; /* the last in which somebody wanted it */
    enum sm_key_type type;
    EVP_PKEY *pkey; /* NULL for a token's key */
    _Atomic(EVP_PKEY_CTX *) contexts[SM_KEY_ALGS_MAX]
                                    [SM_KEY_CONTEXTS]; /* no thread uses them now */
    struct sm_token_key *token;                        /* NULL for a software key */
    struct sm_key_numbers *numbers; /* NULL when multi-buffer cannot run this key */
    uint8_t *spki;
    struct sm_public_key public_key; /* borrows spki */
    char *uri;
};

/* A new key pair, or NULL. */
EVP_PKEY *sm_key_make(enum sm_key_type type);

/* Wraps `pkey` (taken on success). `uri` is copied, may be NULL. Errors: UNSUPPORTED, NO_MEMORY,
 * CRYPTO. */
SM_FALLIBLE sm_key_wrap(EVP_PKEY *pkey, const char *uri, sm_key **out);

struct sm_token_key;

/* Makes the handle of a key that is on tokens: `spki` is copied, `token` taken on success. Errors:
 * MALFORMED, UNSUPPORTED, POLICY, NO_MEMORY. */
SM_FALLIBLE sm_key_wrap_token(sm_slice spki, const char *uri, struct sm_token_key *token,
                              sm_key **out);

/* Takes the private numbers out. UNSUPPORTED: not of a type or form that multi-buffer knows (RSA
 * with another exponent than 65537, more than two primes, or primes of unequal length). NO_MEMORY,
 * CRYPTO. */
SM_FALLIBLE sm_key_numbers_new(EVP_PKEY *pkey, enum sm_key_type type, struct sm_key_numbers **out);
void sm_key_numbers_free(struct sm_key_numbers **numbers);

/* At the key's end: those that the OpenSSL backend keeps with it. */
void sm_key_contexts_free(sm_key *key);

bool sm_key_checks_results(const sm_key *key);

/* Names OpenSSL's type; NULL for NONE. */
const char *sm_key_openssl_name(enum sm_key_type type);
