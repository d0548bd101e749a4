/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside the multi-buffer backend: crypto_mb runs one operation on eight inputs in the eight 64-bit
 * lanes of AVX-512 registers.
 *
 * A call takes as long for one lane as for eight. Lanes without a job are NULL pointers, which the
 * library reports as errors of those lanes alone.
 *
 * Threads:   any number at once; no state but curve.h's.
 * Limits:    SM_BACKEND_LANES jobs a call.
 * Security:  what the library does not promise is done here: points are checked to be on their
 *            curves, RSA results are checked with the public exponent, numbers' lengths are checked
 *            before they are read. A lane that the library refuses goes to OpenSSL for signing, and
 *            is a bad signature for verifying.
 * Standards: FIPS 186-5 6.4, RFC 8017 5.2, RFC 8032 5.1.
 */
#pragma once

#include "sign/backend.h"

#ifdef SM_HAVE_CRYPTO_MB

enum sm_mb_nonce { SM_MB_HEDGED, SM_MB_DETERMINISTIC };

void sm_mb_ecdsa_verify(sm_crypt_job *const *jobs, size_t count);
/* DETERMINISTIC (RFC 6979 3.2) is for known-answer tests. */
void sm_mb_ecdsa_sign(sm_crypt_job *const *jobs, size_t count, enum sm_mb_nonce nonce);
void sm_mb_rsa_verify(sm_crypt_job *const *jobs, size_t count);
void sm_mb_rsa_sign(sm_crypt_job *const *jobs, size_t count);
void sm_mb_ed25519_verify(sm_crypt_job *const *jobs, size_t count);
void sm_mb_ed25519_sign(sm_crypt_job *const *jobs, size_t count);

/* Runs on OpenSSL what a lane cannot. */
void sm_mb_fall_back(sm_crypt_job *job);

#endif
