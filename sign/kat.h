/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Known-answer tests: whether multi-buffer gives OpenSSL's answers here, and from how many jobs on
 * it is the cheaper of the two.
 *
 * Threads:   at start, before others.
 * Limits:    about 25 ms in all.
 * Security:  an operation that gave one wrong answer is never used; the key pairs are for the tests
 *            alone.
 * Standards: FIPS 140-3 IG 10.3 has the idea.
 */
#pragma once

#include "sign/backend.h"
#include "sign/key_p.h"

/* Tests and measures both operations of `tested` (multi-buffer, or a fake) for a type of key; where
 * that is NULL or not applicable, only OpenSSL's time is written. Errors: NO_MEMORY, CRYPTO
 * (OpenSSL failed: nothing can be known). */
SM_FALLIBLE sm_kat_run(const struct sm_backend *tested, enum sm_key_type type,
                       struct sm_backend_choice *verify, struct sm_backend_choice *sign);

/* A key pair for tests. RSA ones are always the same: to find primes would take half a second.
 * Errors: UNSUPPORTED, NO_MEMORY, CRYPTO. */
SM_FALLIBLE sm_kat_key(enum sm_key_type type, sm_key **out);
