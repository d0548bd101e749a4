/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The reason beside an error: which field, and what is wrong with it, in words for the caller.
 *
 * A diag belongs to a request; the function that finds the fault fills it; adapters put it on the
 * wire. Passing NULL for a `sm_diag *` is always allowed.
 *
 * Threads:   one owner at a time.
 * Limits:    SM_DIAG_FIELD_MAX, SM_DIAG_REASON_MAX octets; longer text is cut.
 * Security:  bytes from outside are escaped to printable ASCII before they are stored.
 * Standards: none.
 */
#pragma once

#include "base/err.h"
#include "base/slice.h"

#define SM_DIAG_FIELD_MAX 96 /* a path such as "csr.subject.CN"; the longest of the configuration */
#define SM_DIAG_REASON_MAX 320 /* one sentence */

typedef struct sm_diag {
    char field[SM_DIAG_FIELD_MAX];
    char reason[SM_DIAG_REASON_MAX];
} sm_diag;

/* Sets field and reason (if diag is not NULL and holds none yet: the first, innermost reason wins)
 * and returns `err`, so that a refusal is one line: return sm_diag_set(d, SM_ERR(POLICY), "csr",
 * "..."). */
__attribute__((format(printf, 4, 5))) SM_FALLIBLE
sm_diag_set(sm_diag *diag, sm_err err, const char *field, const char *fmt, ...);

/* Forgets what was set. */
void sm_diag_clear(sm_diag *diag);

/* Escapes outside bytes to printable ASCII (\xNN for the rest) into `out` of `size` bytes with NUL,
 * cut with "..." when too long. Returns `out`, for use as a %s argument. */
const char *sm_diag_escape(sm_slice in, char *out, size_t size);
