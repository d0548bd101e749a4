/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ECDSA-Sig-Value: from its two numbers to DER and back.
 *
 * Threads:   no state.
 * Limits:    numbers of up to 66 octets (P-521).
 * Security:  the reader takes canonical DER alone.
 * Standards: RFC 3279 2.2.3.
 */
#pragma once

#include "base/err.h"
#include "base/slice.h"

/* Splits a DER ECDSA-Sig-Value into r and s (magnitudes). Errors: BAD_SIGNATURE when it is not
 * canonical DER. */
SM_FALLIBLE sm_ecdsa_split(sm_slice der, sm_slice *r, sm_slice *s);
/* Writes the DER of r and s (`len` octets each); returns its length. `out` has room for 2 * len
 * + 9. */
size_t sm_ecdsa_join(const uint8_t *r, const uint8_t *s, size_t len, uint8_t *out);
