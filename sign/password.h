/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Passwords that people chose: argon2id in PHC form, "$argon2id$v=19$m=65536,t=3,p=1$SALT$HASH".
 *
 * Threads:   any; blocks for tens of milliseconds: not on a loop.
 * Limits:    SM_PASSWORD_MEMORY_MAX_KIB, SM_PASSWORD_TIME_MAX.
 * Security:  compared in constant time; copies are wiped.
 * Standards: RFC 9106.
 */
#pragma once

#include "base/buf.h"
#include "base/diag.h"
#include "base/err.h"

#define SM_PASSWORD_MEMORY_MAX_KIB (256U << 10) /* of a hash from a configuration file */
#define SM_PASSWORD_TIME_MAX 16
#define SM_PASSWORD_MAX 256 /* octets */

/* Appends the hash of a password under a fresh salt. Errors: TOO_LARGE, CRYPTO, NO_MEMORY. */
SM_FALLIBLE sm_password_hash(sm_slice password, sm_buf *out);
/* Errors: UNAUTHENTICATED (another password); INVALID (the hash is none of these); CRYPTO. */
SM_FALLIBLE sm_password_check(sm_slice password, sm_slice phc);
/* Whether a text is such a hash. */
bool sm_password_hash_is_good(sm_slice phc);
