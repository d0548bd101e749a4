/* SPDX-License-Identifier: Apache-2.0 */
/*
 * OpenSSL as the other opinion: keys of every type, random subjects and requests, and DER taken
 * out.
 *
 * Threads:   none.
 * Limits:    none.
 * Security:  test keys only; the generator's seed is fixed, so that a failure comes again.
 * Standards: RFC 2986, RFC 5280.
 */
#pragma once

#include "base/buf.h"
#include "sign/alg.h"

#include <openssl/x509v3.h>

/* xorshift64*: the same numbers on every run. */
struct sm_test_random {
    uint64_t state;
};

/* A number below `n`. */
uint32_t sm_test_below(struct sm_test_random *r, uint32_t n);
void sm_test_octets(struct sm_test_random *r, uint8_t *out, size_t len);

/* The one key of a type, made when first asked for; freed by sm_test_keys_free. */
EVP_PKEY *sm_test_pkey(enum sm_key_type type);
void sm_test_keys_free(void);
/* The digest that the algorithm signs with, NULL for none. */
const EVP_MD *sm_test_md(enum sm_sig_alg alg);

/* i2d into a buffer that the caller ends: SM_TEST_DER(X509_REQ, req). */
#define SM_TEST_DER(type, value)                   \
    __extension__({                                \
        unsigned char *der_ = NULL;                \
        int der_len_ = i2d_##type((value), &der_); \
        sm_test_take_der(der_, der_len_);          \
    })
sm_buf sm_test_take_der(unsigned char *der, int len);

/* A name of up to `max` attributes of mixed types and string types, some joined in one RDN. */
X509_NAME *sm_test_name(struct sm_test_random *r, unsigned max);
/* One GeneralName of a random kind that we support, with good syntax. */
GENERAL_NAME *sm_test_general_name(struct sm_test_random *r);
/* Adds random extensions, each type at most once. */
void sm_test_extensions(struct sm_test_random *r, STACK_OF(X509_EXTENSION) * out);
/* A signed request with all of these and sometimes other attributes. */
X509_REQ *sm_test_request(struct sm_test_random *r, enum sm_key_type type, enum sm_sig_alg alg);
/* A signed request with this subject ("/CN=x", OpenSSL's one-line form) and these SANs
 * ("DNS:a.example" or NULL). */
X509_REQ *sm_test_plain_request(enum sm_key_type type, const char *cn, const char *sans);
