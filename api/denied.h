/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Public keys that are never certified: those of denied_keys_file (compromised, published, or of
 * a broken generator), and the CA's own.
 *
 * Threads:   constant after it was built; belongs to a world.
 * Limits:    SM_DENIED_FILE_MAX octets of file.
 * Security:  a file that cannot be read whole fails the start or the reload: an empty list would
 *            let in what it should keep out.
 * Standards: CA/Browser Forum Baseline Requirements 6.1.1.3; RFC 5280 4.1 (SubjectPublicKeyInfo).
 */
#pragma once

#include "base/diag.h"
#include "base/err.h"
#include "base/slice.h"

#define SM_DENIED_FILE_MAX (256U << 20) /* about 4 million keys of 65 octets */

struct sm_denied_keys {
    uint8_t (*hashes)[32]; /* SHA-256 of SubjectPublicKeyInfo, sorted once built */
    size_t count;
    size_t room;
};

/* Adds the hashes of a file: 64 hex digits in a line; '#' begins a comment, empty lines are
 * skipped. Errors: those of reading, MALFORMED (diag says the line), TOO_LARGE, NO_MEMORY. */
SM_FALLIBLE sm_denied_keys_read(struct sm_denied_keys *keys, const char *path, sm_diag *diag);
/* Adds a SubjectPublicKeyInfo by its SHA-256. Errors: NO_MEMORY. */
SM_FALLIBLE sm_denied_keys_add(struct sm_denied_keys *keys, const uint8_t hash[32]);
/* After the last addition. */
void sm_denied_keys_sort(struct sm_denied_keys *keys);
/* Errors: CRYPTO. */
SM_FALLIBLE sm_denied_keys_find(const struct sm_denied_keys *keys, sm_slice spki, bool *found);
void sm_denied_keys_deinit(struct sm_denied_keys *keys);
