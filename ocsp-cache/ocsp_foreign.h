/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the store keeps of CAs that sealmill does not run: rows of the family OCSP whose keys begin with
 * 'i' (imported certificates), 'j' (their CRLs) and 'w' (whole answers, signed elsewhere).
 *
 * Serial numbers of foreign CAs may be short, and the same in two of them: so their keys begin with the
 * CA's number and generation, and they are not in the inventory.
 *
 * Threads:   no state.
 * Limits:    SM_OCSP_FOREIGN_KEY_MAX, SM_OCSP_LOADED_MAX.
 * Security:  a row of a version that we do not know cannot be read: nothing is said of its certificate.
 * Standards: none.
 */
#pragma once

#include "base/arena.h"
#include "ocsp-cache/ocsp_table.h"

#define SM_OCSP_FOREIGN_PREFIX 9 /* octets before what is the row's own: whose rows they are */
#define SM_OCSP_FOREIGN_KEY_MAX (10 + SM_OCSP_SERIAL_MAX)
#define SM_OCSP_IMPORTED_MAX 256 /* octets of a row */
#define SM_OCSP_LOADED_MAX \
    (32U << 10) /* octets of an answer: ML-DSA-87 with its certificate takes 20 KB */

/* sealmill.v1.CertificateState, as far as it is stored. */
enum sm_ocsp_imported_state {
    SM_OCSP_IMPORTED_VALID = 1,
    SM_OCSP_IMPORTED_REVOKED,
    SM_OCSP_IMPORTED_ON_HOLD
};

struct sm_ocsp_imported {
    enum sm_ocsp_imported_state state;
    int reason; /* CRLReason; -1: none */
    int64_t revoked_at;
    int64_t not_after; /* 0: not known */
    uint64_t crl;      /* on hold: the CRL that it was in last */
};

/* Keys; their length. 0: the serial number is empty or too long. */
size_t sm_ocsp_imported_key(uint32_t ca_id, uint32_t generation, sm_slice serial,
                            uint8_t out[SM_OCSP_FOREIGN_KEY_MAX]);
/* All rows of imported certificates of a CA's generation: keys from `*from` up to `*to`. */
void sm_ocsp_imported_range(uint32_t ca_id, uint32_t generation,
                            uint8_t from[SM_OCSP_FOREIGN_PREFIX],
                            uint8_t to[SM_OCSP_FOREIGN_PREFIX]);
size_t sm_ocsp_imported_crl_key(uint32_t ca_id, uint32_t generation, uint64_t scope,
                                uint8_t out[SM_OCSP_FOREIGN_KEY_MAX]);
size_t sm_ocsp_loaded_key(const struct sm_ocsp_key *key, uint8_t out[SM_OCSP_FOREIGN_KEY_MAX]);

/* Packs into the arena. Errors: NO_MEMORY. */
SM_FALLIBLE sm_ocsp_imported_pack(const struct sm_ocsp_imported *in, sm_arena *arena,
                                  sm_slice *out);
/* Errors: CORRUPT. */
SM_FALLIBLE sm_ocsp_imported_unpack(sm_slice row, struct sm_ocsp_imported *out);

/* The last CRL of a scope (all certificates, or those of a distribution point). */
struct sm_ocsp_imported_crl {
    uint8_t number[SM_OCSP_SERIAL_MAX];
    size_t number_len; /* 0: it has none */
    int64_t this_update;
    uint64_t crl;
};
SM_FALLIBLE sm_ocsp_imported_crl_pack(const struct sm_ocsp_imported_crl *in, sm_arena *arena,
                                      sm_slice *out);
SM_FALLIBLE sm_ocsp_imported_crl_unpack(sm_slice row, struct sm_ocsp_imported_crl *out);

/* An answer that was signed elsewhere. */
struct sm_ocsp_loaded {
    struct sm_ocsp_said said;
    sm_slice response; /* DER; of a row that was read: in the arena */
};
SM_FALLIBLE sm_ocsp_loaded_pack(const struct sm_ocsp_loaded *in, sm_arena *arena, sm_slice *out);
SM_FALLIBLE sm_ocsp_loaded_unpack(sm_slice row, sm_arena *arena, struct sm_ocsp_loaded *out);
