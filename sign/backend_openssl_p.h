/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside the OpenSSL backend: verification by the low-level functions.
 *
 * Threads:   state is per thread; forget before a thread ends.
 * Limits:    none.
 * Security:  none.
 * Standards: FIPS 186-5 6.4 (ECDSA), RFC 8017 5.2.2 (RSAVP1).
 */
#pragma once

#include "sign/pubkey.h"

/* Verifies over a digest; the point is checked to be on its curve. Errors: BAD_SIGNATURE,
 * NO_MEMORY. */
SM_FALLIBLE sm_ecdsa_verify(const struct sm_public_key *key, sm_slice digest, sm_slice signature);
void sm_ecdsa_verify_forget(void);

/* Verifies over a digest. Errors: BAD_SIGNATURE, NO_MEMORY. */
SM_FALLIBLE sm_rsa_verify(const struct sm_public_key *key, enum sm_sig_alg alg, sm_slice digest,
                          sm_slice signature);
