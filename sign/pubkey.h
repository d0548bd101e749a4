/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A subject's public key: parsed and checked from a SubjectPublicKeyInfo.
 *
 * Threads:   values; slices borrow from the SPKI.
 * Limits:    RSA 2048, 3072, 4096 bits; the curves and types of alg.h.
 * Security:  points must be uncompressed; that they are in range and on the curve is checked by the
 *            verifier of the proof of possession, which imports the point before it uses it
 *            (checking twice would cost more than the parsing). RSA: exact size, odd modulus without
 *            small factor, not of the ROCA form, exponent odd, 65537 to 2^256 (BR 6.1.6). Ed25519,
 *            Ed448: y reduced, no point of small order (that it is on the curve is the verifier's,
 *            too).
 * Standards: RFC 5280 4.1.2.7, RFC 5480, RFC 8410, RFC 9881, SP 800-89 5.3.3.
 */
#pragma once

#include "base/diag.h"
#include "sign/alg.h"

struct sm_public_key {
    enum sm_key_type type;
    sm_slice spki; /* the whole SubjectPublicKeyInfo, DER */
    sm_slice bits; /* the subjectPublicKey's octets */
    sm_slice x;    /* EC: coordinates, big-endian, field size */
    sm_slice y;
    sm_slice modulus; /* RSA, without leading zero */
    sm_slice exponent;
};

/* Errors: MALFORMED, UNSUPPORTED, POLICY (weak), with the reason in diag. */
/* The content of the AlgorithmIdentifier that keys of this type have; empty: not a type. Static. */
sm_slice sm_public_key_algorithm(enum sm_key_type type);

SM_FALLIBLE sm_public_key_parse(sm_slice spki, struct sm_public_key *out, sm_diag *diag);
/* SHA-1 of `bits` (RFC 5280 4.2.1.2 method 1). */
SM_FALLIBLE sm_public_key_id(const struct sm_public_key *key, uint8_t out[20]);
