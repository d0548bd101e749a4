/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Certificate chains of clients, checked against trust anchors.
 *
 * Threads:   an sm_anchors is constant after its birth and shared; verify from any thread.
 * Limits:    SM_ANCHORS_MAX certificates, SM_CHAIN_DEPTH_MAX in a chain.
 * Security:  an anchor may be an intermediate: what is named is trusted, nothing above it. Revocation and
 *            rights are the caller's to check.
 * Standards: RFC 5280 6.
 */
#pragma once

#include "base/diag.h"
#include "base/err.h"
#include "base/slice.h"

#define SM_ANCHORS_MAX 65536
#define SM_CHAIN_DEPTH_MAX 8
#define SM_CHAIN_SENT_MAX 16 /* certificates that a client may send besides its own */

typedef struct sm_anchors sm_anchors;

/* From DER certificates (copied). Errors: MALFORMED with the number in diag, TOO_LARGE, NO_MEMORY.
 * Given. */
SM_FALLIBLE sm_anchors_new(const sm_slice *certificates, size_t count, sm_anchors **out,
                           sm_diag *diag);
/* From a PEM file. Errors: the same, NOT_FOUND. Given. */
SM_FALLIBLE sm_anchors_read(const char *path, sm_anchors **out, sm_diag *diag);
void sm_anchors_free(sm_anchors **anchors);

/* Whether `leaf` chains to an anchor by the certificates that came with it, as of `at` (Unix seconds): the
 * moment matters for every certificate of the chain. Errors: FORBIDDEN with the reason in diag; MALFORMED;
 * NO_MEMORY. About 100 us. */
SM_FALLIBLE sm_chain_verify(const sm_anchors *anchors, sm_slice leaf, const sm_slice *sent,
                            size_t sent_count, int64_t at, sm_diag *diag);
