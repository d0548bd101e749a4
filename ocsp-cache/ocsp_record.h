/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pre-signed answers in the store: rows of the family OCSP whose keys begin with 'o'.
 *
 * The keys sort by issuer, hash and serial number; serial numbers begin with the time, so that what is
 * written at issuance grows at the end, and a pass over an issuer's answers reads them in order.
 *
 * Threads:   no state.
 * Limits:    SM_OCSP_ROW_KEY_MAX, SM_OCSP_ROW_MAX.
 * Security:  a row of a version or layout that we do not know is as none.
 * Standards: none.
 */
#pragma once

#include "base/arena.h"
#include "ocsp-cache/ocsp_table.h"
#include "store/store.h"

#define SM_OCSP_ROW_KEY_MAX (10 + SM_OCSP_SERIAL_MAX)
#define SM_OCSP_ROW_PREFIX 9 /* octets before the hash: whose answers they are */
#define SM_OCSP_ROW_MAX (64U << 10)

/* The row's key; its length. Nothing is written for a serial number that is too long (0). */
size_t sm_ocsp_row_key(const struct sm_ocsp_key *key, uint8_t out[SM_OCSP_ROW_KEY_MAX]);
/* Reads a key back; the serial number borrows from it. False: it is none of these. */
bool sm_ocsp_row_key_parse(sm_slice row_key, struct sm_ocsp_key *out);

/* Packs an answer into the arena. `not_after`: of the certificate; 0: not known. Errors: NO_MEMORY. */
SM_FALLIBLE sm_ocsp_row_pack(const struct sm_ocsp_kept *kept, int64_t not_after, sm_arena *arena,
                             sm_slice *out);

struct sm_ocsp_row {
    struct sm_ocsp_kept kept;
    int64_t not_after; /* of the certificate; 0: not known */
    uint8_t signature[SM_OCSP_SIGNATURE_MAX];
};
/* `out` is pinned: the answer borrows from it. Errors: CORRUPT (none of ours, or of a release that we do
 * not know). */
SM_FALLIBLE sm_ocsp_row_unpack(sm_slice row, struct sm_ocsp_row *out);
