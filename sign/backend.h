/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The seam under the batcher: something that runs a batch of like jobs (one operation, one algorithm).
 *
 * Threads:   any number at once; state is per thread.
 * Limits:    SM_BACKEND_LANES jobs a call.
 * Security:  each job gets a result of its own.
 * Standards: none.
 */
#pragma once

#include "sign/batch.h"

#define SM_BACKEND_LANES 8 /* AVX-512 IFMA multi-buffer works on eight 64-bit lanes */

struct sm_backend {
    const char *name;
    /* Sets err (and out_len) of each job. */
    void (*run)(sm_crypt_job *const *jobs, size_t count);
};

/* OpenSSL: every operation and algorithm. */
extern const struct sm_backend sm_backend_openssl;

/* The backend for this batch, by algorithm and size. */
const struct sm_backend *sm_backend_choose(enum sm_crypt_op op, enum sm_sig_alg alg, size_t count);

/* The octets that a signature covers: the digest for ECDSA and RSA (made into `digest` unless the job brings it), else the message. */
SM_FALLIBLE sm_backend_input(const sm_crypt_job *job, uint8_t digest[SM_DIGEST_MAX], sm_slice *out);

/* Splits a DER ECDSA-Sig-Value into r and s (magnitudes). Errors: BAD_SIGNATURE when it is not canonical DER. */
SM_FALLIBLE sm_ecdsa_split(sm_slice der, sm_slice *r, sm_slice *s);
