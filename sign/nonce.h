/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ECDSA nonces: RFC 6979, hedged with fresh randomness.
 *
 * Deterministic nonces cannot repeat for want of randomness, but a fault that is injected into one
 * of two equal signatures gives the key away, and so does a generator that was rolled back with a
 * snapshot if nonces were random alone. With randomness as the additional input k' of RFC 6979 3.6
 * both would have to fail at once.
 *
 * Threads:   values.
 * Limits:    none.
 * Security:  in [1, n-1] without bias (rejection); the comparison's time does not depend on the
 *            nonce; all state is wiped.
 * Standards: RFC 6979 3.2 and 3.6, SP 800-90A 10.1.2.
 */
#pragma once

#include "sign/curve.h"

/* Octets of randomness in each nonce: V, x and h of P-256 then fill two blocks of SHA-256. */
#define SM_NONCE_ENTROPY 22

/* Writes curve->octets octets, big-endian. `secret` is the private number in as many octets.
 * `extra` is the additional input; empty gives RFC 6979's deterministic nonce. */
void sm_nonce_make(const struct sm_curve *curve, enum sm_digest hash, const uint8_t *secret,
                   sm_slice digest, sm_slice extra, uint8_t *out);

/* The same with fresh randomness. */
void sm_nonce_make_hedged(const struct sm_curve *curve, enum sm_digest hash, const uint8_t *secret,
                          sm_slice digest, uint8_t *out);

/* bits2octets (RFC 6979 2.3.4): the leftmost bits of the digest as a number modulo the order,
 * curve->octets octets. */
void sm_curve_digest(const struct sm_curve *curve, sm_slice digest, uint8_t *out);
