/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Private keys as PKCS#8, written into the caller's secret buffer and nowhere else.
 *
 * OpenSSL's own encoder makes the same octets, and leaves copies of them in memory that it frees unwiped.
 *
 * Threads:   any.
 * Limits:    SM_PKCS8_MAX octets.
 * Security:  what a number is copied to on its way is wiped.
 * Standards: RFC 5958, RFC 5915, RFC 8017 A.1.2, RFC 8410 7, RFC 9881 6.
 */
#pragma once

#include "base/buf.h"
#include "base/err.h"

#include <openssl/evp.h>

#define SM_PKCS8_MAX 16384 /* ML-DSA-87 takes 4.9 KiB */

/* Appends PrivateKeyInfo of a key pair in memory. Errors: UNSUPPORTED (a type that is not in alg.h), CRYPTO, NO_MEMORY, the
 * buffer's own; what was written until then is to be thrown away. */
SM_FALLIBLE sm_pkcs8_write(EVP_PKEY *pkey, sm_buf *out);
