/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The NIST curves as the multi-buffer backend and the nonces need them.
 *
 * Threads:   constants; sm_curve_holds keeps big numbers for each thread (sm_curve_forget frees
 *            them).
 * Limits:    SM_CURVE_OCTETS.
 * Security:  sm_curve_holds is for public points: its time depends on them.
 * Standards: SP 800-186 3.2.1, SEC 1 2.3.4 and 3.2.2.1.
 */
#pragma once

#include "sign/alg.h"

#define SM_CURVE_OCTETS 66 /* P-521 */
#define SM_CURVE_WORDS 9

struct sm_curve {
    enum sm_key_type type;
    int nid;
    size_t octets; /* of a coordinate, and of a number modulo the order */
    size_t words;  /* of 64 bits */
    unsigned bits; /* of the order */
    uint8_t order[SM_CURVE_OCTETS];
};

/* NULL when the type is not of a curve. */
const struct sm_curve *sm_curve_of(enum sm_key_type type);

/* Whether the coordinates are reduced and the point is on the curve: by the curve's equation, a
 * fifth of what an EC_POINT would cost. All three curves have cofactor 1, so that such a point has
 * the right order. Errors: BAD_SIGNATURE, NO_MEMORY. */
SM_FALLIBLE sm_curve_holds(const struct sm_curve *curve, sm_slice x, sm_slice y);
void sm_curve_forget(void);

/* Big-endian octets (at most words * 8) to little-endian words. */
void sm_words_from_octets(uint64_t *out, size_t words, sm_slice in);
