/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What CRLs are made of, in the store: an entry for each certificate whose state has changed, and one record for
 * each issuer. Keys of the family OCSP that begin with 'c' and 'n'.
 *
 * An entry is written with the change itself, so that a CRL costs what its issuer has revoked, never a scan of
 * its certificates.
 *
 * Threads:   no state.
 * Limits:    serial numbers of SM_OCSP_SERIAL_MAX octets.
 * Security:  none.
 * Standards: RFC 5280 5.1, 5.3.
 */
#pragma once

#include "base/arena.h"
#include "ocsp-cache/ocsp_single.h"
#include "store/store.h"

#define SM_CRL_KEY_MAX (9 + SM_OCSP_SERIAL_MAX)
#define SM_CRL_PREFIX 9 /* octets of an issuer's keys */

enum sm_crl_standing { SM_CRL_REVOKED, SM_CRL_RELEASED };

struct sm_crl_entry {
    enum sm_crl_standing standing;
    int reason;
    int64_t changed_at;      /* Unix seconds */
    int64_t invalidity_date; /* 0: none */
    int64_t not_after;
};

/* An issuer's keys begin so. */
void sm_crl_prefix(char kind, uint32_t ca_id, uint32_t generation, uint8_t out[SM_CRL_PREFIX]);
/* An entry's key; its length, 0 for a serial number that is too long. */
size_t sm_crl_entry_key(uint32_t ca_id, uint32_t generation, sm_slice serial,
                        uint8_t out[SM_CRL_KEY_MAX]);
/* Errors: NO_MEMORY. */
SM_FALLIBLE sm_crl_entry_pack(const struct sm_crl_entry *entry, sm_arena *arena, sm_slice *out);
/* The whole row of a change of state, for its write; in the arena. Errors: NO_MEMORY, INVALID (the serial
 * number). */
SM_FALLIBLE sm_crl_entry_put(uint32_t ca_id, uint32_t generation, sm_slice serial,
                             const struct sm_crl_entry *entry, sm_arena *arena,
                             struct sm_store_put *out);
/* Errors: CORRUPT. */
SM_FALLIBLE sm_crl_entry_unpack(sm_slice row, struct sm_crl_entry *out);

/* One published CRL. */
struct sm_crl_published {
    uint64_t number; /* 0: none */
    int64_t this_update;
    int64_t next_update;
    uint64_t entries;
    uint64_t bytes;
};

struct sm_crl_state {
    uint64_t last_number; /* taken, whether a CRL of it came about or not */
    struct sm_crl_published full;
    struct sm_crl_published delta;
};

/* An issuer's; all zero when there is none yet. Blocks. Errors: DISK, CORRUPT, NO_MEMORY. */
SM_FALLIBLE sm_crl_state_read(sm_store *store, uint32_t ca_id, uint32_t generation,
                              struct sm_crl_state *out);
/* Durable when it returns. Errors: DISK, QUEUE_FULL, DRAINING, NO_MEMORY. */
SM_FALLIBLE sm_crl_state_write(sm_store *store, uint32_t ca_id, uint32_t generation,
                               const struct sm_crl_state *state);
/* Removes the entries of certificates that had expired by `settled_at`: no CRL has them any more. Blocks. */
SM_FALLIBLE sm_crl_entries_forget(sm_store *store, uint32_t ca_id, uint32_t generation,
                                  int64_t settled_at);
