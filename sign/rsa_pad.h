/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The paddings of RSA signatures, for backends that only raise to a power.
 *
 * Threads:   values.
 * Limits:    moduli whose length in bits is a multiple of eight (alg.h has no others).
 * Security:  PKCS#1 v1.5 is checked by making the one right encoding and comparing whole (no
 *            parsing, so no Bleichenbacher forgeries); PSS with a salt exactly as long as the
 *            digest.
 * Standards: RFC 8017 9.1 and 9.2, B.2.1 (MGF1), RFC 4055 3.1.
 */
#pragma once

#include "sign/alg.h"

#define SM_RSA_OCTETS 512 /* RSA-4096 */

/* The encoded message of a digest, `len` octets; PSS with a fresh salt. */
void sm_rsa_pad(enum sm_sig_alg alg, sm_slice digest, uint8_t *out, size_t len);

/* DigestInfo up to the digest: SEQUENCE { AlgorithmIdentifier, OCTET STRING } (RFC 8017 9.2 note
 * 1). */
#define SM_RSA_DIGEST_INFO_LEN 19
void sm_rsa_digest_info(enum sm_digest digest, uint8_t out[SM_RSA_DIGEST_INFO_LEN]);

/* Whether an encoded message (the signature raised to e) is of this digest. Errors: BAD_SIGNATURE.
 */
SM_FALLIBLE sm_rsa_pad_check(enum sm_sig_alg alg, sm_slice digest, sm_slice encoded);

bool sm_sig_alg_is_pss(enum sm_sig_alg alg);
bool sm_sig_alg_is_rsa(enum sm_sig_alg alg);
bool sm_sig_alg_is_ecdsa(enum sm_sig_alg alg);
