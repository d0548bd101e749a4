/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Answers in memory: a hash table that many threads read without a lock.
 *
 * An answer is a slot of fixed size (128 octets for P-256) in chunks that are never moved or given
 * back while the table lives; chains of slots hang from buckets, which grow one at a time (linear
 * hashing), so that nothing is ever copied as a whole. A slot has a version number, odd while it is
 * written: a reader copies the slot and looks whether the number is still the same. A reader that meets
 * a writer, or a chain that is being split, finds nothing: that is always right, since whatever is not
 * in memory is looked for in the store.
 *
 * When the memory is used up, slots that nobody asked for since the hand last came by make room (CLOCK).
 *
 * Threads:   get from any, without a lock; everything else takes the table's lock.
 * Limits:    the budget given at birth; SM_OCSP_TABLE_SIGNATURE_MAX.
 * Security:  chains are hashed under a random key. A changed status never loses to an answer that was
 *            signed from what was so before: see sm_ocsp_table_put.
 * Standards: none.
 */
#pragma once

#include "ocsp-cache/ocsp_single.h"

#include <stdatomic.h>

/* Longer signatures (RSA-3072 and up, ML-DSA) would fill the memory for few answers: the store's block
 * cache has them. */
#define SM_OCSP_TABLE_SIGNATURE_MAX 256

/* Whose answer, and by which hash it was asked. */
struct sm_ocsp_key {
    uint32_t ca_id;
    uint32_t generation; /* under 65536: others are not kept in memory */
    enum sm_ocsp_hash hash;
    sm_slice serial; /* magnitude, 1 to SM_OCSP_SERIAL_MAX octets */
};

typedef struct sm_ocsp_table sm_ocsp_table;

/* Chunks of SM_OCSP_TABLE_CHUNK octets that several tables share. */
struct sm_ocsp_table_budget {
    size_t chunks_max;
    _Atomic size_t chunks; /* that are taken */
};
#define SM_OCSP_TABLE_CHUNK (2U << 20) /* a huge page */

/* For signatures of up to `signature_room` octets. Its memory comes from `budget`, which is borrowed
 * for life, but for the first chunk, which each table may always have. Errors: NO_MEMORY. Given. */
SM_FALLIBLE sm_ocsp_table_new(size_t signature_room, struct sm_ocsp_table_budget *budget,
                              sm_ocsp_table **out);
void sm_ocsp_table_free(sm_ocsp_table **table);

/* Copies the answer; its signature goes to `room`. False: it is not here (both are then undefined). */
bool sm_ocsp_table_get(sm_ocsp_table *table, const struct sm_ocsp_key *key,
                       struct sm_ocsp_kept *out, uint8_t room[SM_OCSP_TABLE_SIGNATURE_MAX]);

/* How often statuses have changed: to be read before what an answer says is read from the store. */
uint64_t sm_ocsp_table_epoch(sm_ocsp_table *table);
/* Keeps an answer, replacing one that is there. It is left out if a status has changed since `epoch`:
 * it may be the one that this answer tells of. It is also left out where it does not fit a slot, or
 * without memory. */
void sm_ocsp_table_put(sm_ocsp_table *table, const struct sm_ocsp_key *key,
                       const struct sm_ocsp_kept *kept, uint64_t epoch);
/* A status has changed: from now on no answer of before is kept or found. `kept` is the new answer; NULL: there is none. It
 * is kept only if no status has changed since `epoch`, read before the change was written: else the same one may have changed
 * once more, and be here already. */
void sm_ocsp_table_change(sm_ocsp_table *table, const struct sm_ocsp_key *key,
                          const struct sm_ocsp_kept *kept, uint64_t epoch);

/* Keeps an answer where there is none and nothing else must make room for it; `epoch` as above. False: there
 * is no room. */
bool sm_ocsp_table_fill(sm_ocsp_table *table, const struct sm_ocsp_key *key,
                        const struct sm_ocsp_kept *kept, uint64_t epoch);
/* Replaces an answer that says the same, and was made earlier. One that says something else is taken away: it is a newer
 * one that a change of status has put there, or a wrong one, and either way the store's is right. What a change has removed
 * stays so without an epoch. False: there is none. */
bool sm_ocsp_table_renew(sm_ocsp_table *table, const struct sm_ocsp_key *key,
                         const struct sm_ocsp_kept *kept);

struct sm_ocsp_table_stats {
    size_t answers;
    size_t bytes;     /* of slots and buckets */
    uint64_t evicted; /* ever */
};
void sm_ocsp_table_stats(sm_ocsp_table *table, struct sm_ocsp_table_stats *out);
