/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The secondary index: rows made from log records, and the keys by which List finds them.
 *
 * A row's key is: kind (1 octet), value (fixed or hashed), serial (20 octets at the end); its
 * value is empty. Kinds:
 *     's' SHA-256 of the subject's text (RFC 4514), first 16 octets
 *     'n' SHA-256 of a SAN's text, first 16 octets
 *     'k' SHA-256 of the SubjectPublicKeyInfo, first 16 octets
 *     'e' notAfter (8 octets, big-endian)
 *     'r' state of serials that are or were revoked
 * ASCII letters are hashed as small ones, so that DNS names are found however they are written.
 * All certificates by serial are the family of certificates itself.
 *
 * Issuance leaves the keys in its log record, where they cost a few hashes of what is at hand;
 * reading and parsing each certificate for them costs ten times that. Where the rules change,
 * older records' rows are made from the certificates.
 *
 * Threads:   the store's indexer thread.
 * Limits:    none.
 * Security:  none.
 * Standards: none.
 */
#pragma once

#include "sign/name.h"
#include "store/store.h"

#define SM_INDEX_RULES 1 /* grows with every change to the rows: the index is then built again */
#define SM_INDEX_HASH 16
#define SM_INDEX_KEY_MAX 64

sm_err sm_api_index(void *ctx, sm_store *store, uint64_t sequence, sm_slice record,
                    sm_store_emit emit, void *emitter);

/* Key prefixes: writes to `out`, returns the length. */
size_t sm_index_prefix(uint8_t out[SM_INDEX_KEY_MAX], char kind, sm_slice value);
size_t sm_index_prefix_time(uint8_t out[SM_INDEX_KEY_MAX], int64_t unix_s);
/* The 16 octets that stand for a text. */
void sm_index_hash_text(sm_slice text, uint8_t out[SM_INDEX_HASH]);

/* Appends the hashed keys of a certificate: kind and hash, 17 octets each. Names (DER) that have no
 * text get no key. Errors: the buffer's own. */
SM_FALLIBLE sm_index_keys(sm_slice subject, sm_slice spki, const struct sm_san *sans,
                          size_t san_count, sm_buf *out);

/* Waits until the index holds what was committed before this call (blocking, service threads). */
SM_FALLIBLE sm_index_wait(sm_store *store);
