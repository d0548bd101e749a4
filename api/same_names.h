/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whether names are those of a certificate that is renewed.
 *
 * A renewal names whom the old certificate named (as RFC 7030 4.2.2 has it), in whatever string types and order of
 * SANs. It needs less of a right than a new name would.
 *
 * Threads:   no state.
 * Limits:    none.
 * Security:  SANs are compared octet for octet.
 * Standards: RFC 7030 4.2.2.
 */
#pragma once

#include "base/arena.h"
#include "base/diag.h"
#include "sign/cert.h"

/* Errors: POLICY with the field; MALFORMED and others of names that cannot be read; NO_MEMORY. */
SM_FALLIBLE sm_same_names_check(const struct sm_cert *old, sm_slice subject,
                                const struct sm_san *sans, size_t san_count, sm_arena *arena,
                                sm_diag *diag);
