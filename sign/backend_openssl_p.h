/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside the OpenSSL backend.
 *
 * Threads:   state is per thread; forget before a thread ends.
 * Limits:    none.
 * Security:  none.
 * Standards: FIPS 186-5 6.4 (ECDSA).
 */
#pragma once

#include "sign/pubkey.h"

/* Verifies over a digest; the point is checked to be on its curve. Errors: BAD_SIGNATURE, CRYPTO, NO_MEMORY. */
SM_FALLIBLE sm_ecdsa_verify(const struct sm_public_key *key, sm_slice digest, sm_slice signature);
void sm_ecdsa_verify_forget(void);

/* Frees what this thread keeps. */
void sm_backend_openssl_forget(void);
