/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is in memory of the pre-signed answers, for all loops: tables by the length of signatures, and
 * a small one of answers about serial numbers that nobody has issued.
 *
 * Who keeps an answer that was read or signed takes the epoch before reading what it says
 * (sm_ocsp_cache_epoch); an answer from before a change of status is then never kept after it.
 *
 * Threads:   any; get takes no lock.
 * Limits:    the octets given at birth; SM_OCSP_UNKNOWN_BYTES for unknown serial numbers.
 * Security:  see ocsp_table.h.
 * Standards: none.
 */
#pragma once

#include "ocsp-cache/ocsp_table.h"

/* Room for about 6,000 answers: who asks for serial numbers that do not exist fills no more. */
#define SM_OCSP_UNKNOWN_BYTES SM_OCSP_TABLE_CHUNK
#define SM_OCSP_MEMORY_MIN (16U << 20)

typedef struct sm_ocsp_cache sm_ocsp_cache;

/* `bytes` of memory at the most; 0: a sixteenth of the machine's (or of the control group's), since
 * ten million answers of P-256 take 1.4 GB. Errors: NO_MEMORY. Given. */
SM_FALLIBLE sm_ocsp_cache_new(size_t bytes, sm_ocsp_cache **out);
void sm_ocsp_cache_free(sm_ocsp_cache **cache);

/* Copies the answer that is in memory, fresh or not; its signature goes to `room`. `signer`: the issuer's that signs now. */
bool sm_ocsp_cache_get(sm_ocsp_cache *cache, const struct sm_ocsp_signer *signer,
                       const struct sm_ocsp_key *key, struct sm_ocsp_kept *out,
                       uint8_t room[SM_OCSP_TABLE_SIGNATURE_MAX]);
/* To be read before what an answer says is read or signed. */
uint64_t sm_ocsp_cache_epoch(sm_ocsp_cache *cache, const struct sm_ocsp_signer *signer);
void sm_ocsp_cache_put(sm_ocsp_cache *cache, const struct sm_ocsp_signer *signer,
                       const struct sm_ocsp_key *key, const struct sm_ocsp_kept *kept,
                       uint64_t epoch);
/* Keeps an answer where there is none and nothing must make room for it. False: there is no room. */
bool sm_ocsp_cache_fill(sm_ocsp_cache *cache, const struct sm_ocsp_signer *signer,
                        const struct sm_ocsp_key *key, const struct sm_ocsp_kept *kept,
                        uint64_t epoch);
/* An answer was signed anew that says the same as before, durably: replaces the older one that says so,
 * and takes away one that says something else; where there is none, as fill does. */
void sm_ocsp_cache_renew(sm_ocsp_cache *cache, const struct sm_ocsp_signer *signer,
                         const struct sm_ocsp_key *key, const struct sm_ocsp_kept *kept,
                         uint64_t epoch);
/* A status has changed, durably, and is told to nobody yet: the answer by this hash is now `kept`, or none. Call for each
 * hash. `epoch`: read before the change was written, and one more for each change of the caller's own since; where there
 * were others' the answer is the store's to tell. */
void sm_ocsp_cache_change(sm_ocsp_cache *cache, const struct sm_ocsp_signer *signer,
                          const struct sm_ocsp_key *key, const struct sm_ocsp_kept *kept,
                          uint64_t epoch);

/* The same for serial numbers that nobody has issued. */
bool sm_ocsp_cache_get_unknown(sm_ocsp_cache *cache, const struct sm_ocsp_key *key,
                               struct sm_ocsp_kept *out, uint8_t room[SM_OCSP_TABLE_SIGNATURE_MAX]);
uint64_t sm_ocsp_cache_unknown_epoch(sm_ocsp_cache *cache);
void sm_ocsp_cache_put_unknown(sm_ocsp_cache *cache, const struct sm_ocsp_key *key,
                               const struct sm_ocsp_kept *kept, uint64_t epoch);
/* It has been issued, durably, and is told to nobody yet. */
void sm_ocsp_cache_issued(sm_ocsp_cache *cache, uint32_t ca_id, uint32_t generation,
                          sm_slice serial);

/* Brings the gauges up to date: sealmill_ocsp_memory_answers and _bytes. Now and then. */
void sm_ocsp_cache_measure(sm_ocsp_cache *cache);
