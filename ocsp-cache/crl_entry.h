/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What CRLs are made of, in the store: an entry for each certificate whose state has changed, and one record for
 * each issuer. Keys of the family OCSP that begin with 'c' and 'n'; of partitions with 'C' and 'N'.
 *
 * An entry is written with the change itself, so that a CRL costs what its issuer has revoked, never a scan of
 * its certificates. A certificate of a partition has two: on its partition's CRL, and on the complete one.
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

#define SM_CRL_PREFIX_MAX 13 /* octets that the keys of a scope begin with */
#define SM_CRL_KEY_MAX (SM_CRL_PREFIX_MAX + SM_OCSP_SERIAL_MAX)
#define SM_CRL_ENTRY_PUTS 2
#define SM_CRL_BASES_MAX 16 /* places that partitions are published at */
#define SM_CRL_BASE_MAX 1024

/* What a CRL is of (RFC 5280 5): all certificates of a CA's generation, or those of one partition of it. */
struct sm_crl_scope {
    uint32_t ca_id;
    uint32_t generation;
    uint32_t partition; /* from 1; 0: all */
};

enum sm_crl_standing { SM_CRL_REVOKED, SM_CRL_RELEASED };

struct sm_crl_entry {
    enum sm_crl_standing standing;
    int reason;
    int64_t changed_at;      /* Unix seconds */
    int64_t invalidity_date; /* 0: none */
    int64_t not_after;
};

/* The range of a scope's entries. */
struct sm_crl_range {
    uint8_t from[SM_CRL_PREFIX_MAX];
    uint8_t to[SM_CRL_PREFIX_MAX];
    size_t len; /* of both, and of what precedes the serial number in a key */
};
struct sm_crl_range sm_crl_entries(const struct sm_crl_scope *scope);
/* Errors: NO_MEMORY. */
SM_FALLIBLE sm_crl_entry_pack(const struct sm_crl_entry *entry, sm_arena *arena, sm_slice *out);
/* The rows of a change of state, for its write; in the arena. How many is added to `*count`: one, or two for a
 * partition's certificate. Errors: NO_MEMORY, INVALID (the serial number). */
SM_FALLIBLE sm_crl_entry_put(const struct sm_crl_scope *scope, sm_slice serial,
                             const struct sm_crl_entry *entry, sm_arena *arena,
                             struct sm_store_put out[SM_CRL_ENTRY_PUTS], size_t *count);
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
    bool loading; /* one that was made elsewhere: the files may be newer than what is noted here */
    /* Of a generation (partition 0): how many partitions it has, or had once, and where certificates say that they
     * are: what is before NAME in the URLs. */
    uint32_t partitions;
    char *bases[SM_CRL_BASES_MAX]; /* the state's own */
    size_t base_count;
};

/* An issuer's; all zero when there is none yet. Blocks. Errors: DISK, CORRUPT, NO_MEMORY. */
SM_FALLIBLE sm_crl_state_read(sm_store *store, const struct sm_crl_scope *scope,
                              struct sm_crl_state *out);
void sm_crl_state_deinit(struct sm_crl_state *state);
/* Adds a place. False: it is there, or there is no room. Errors: NO_MEMORY leaves it out. */
bool sm_crl_state_add_base(struct sm_crl_state *state, sm_slice base);
/* Durable when it returns. Errors: DISK, QUEUE_FULL, DRAINING, NO_MEMORY. */
SM_FALLIBLE sm_crl_state_write(sm_store *store, const struct sm_crl_scope *scope,
                               const struct sm_crl_state *state);
/* Removes the entries of certificates that had expired by `settled_at`: no CRL has them any more. Blocks. */
SM_FALLIBLE sm_crl_entries_forget(sm_store *store, const struct sm_crl_scope *scope,
                                  int64_t settled_at);

/* What numbers grow by after a copy of the database was put in place: more than anybody has made since it was taken, two
 * years of a CRL each minute. */
#define SM_CRL_NUMBERS_GAP (1U << 20)
/* Makes every issuer's next number greater by `gap`. Blocks; whole pages of them may be done when it fails. Errors: DISK,
 * QUEUE_FULL, DRAINING, NO_MEMORY. */
SM_FALLIBLE sm_crl_numbers_skip(sm_store *store, uint64_t gap);
