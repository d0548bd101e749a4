/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A hash table from bytes to pointers (open addressing, SipHash with a random key per process).
 *
 * Threads:   one owner at a time.
 * Limits:    `cap` entries, given at birth.
 * Security:  keyed hash, so that chosen keys cannot make it slow.
 * Standards: SipHash-1-3.
 */
#pragma once

#include "base/err.h"
#include "base/slice.h"

typedef struct sm_map sm_map;

/* Errors: NO_MEMORY. Given. */
SM_FALLIBLE sm_map_new(size_t cap, sm_map **out);
/* Frees the table and its copies of keys, not the values. */
void sm_map_free(sm_map **map);

/* Copies the key. Replaces an older value, which is returned through `old` (may be NULL). Errors:
 * EXHAUSTED at the cap, NO_MEMORY. */
SM_FALLIBLE sm_map_put(sm_map *map, sm_slice key, void *value, void **old);
/* The value or NULL; borrowed. */
void *sm_map_get(const sm_map *map, sm_slice key);
/* Removes and returns the value, or NULL. */
void *sm_map_remove(sm_map *map, sm_slice key);
size_t sm_map_count(const sm_map *map);

/* Walks: start with `*at` = 0; returns false at the end. Neither put nor remove while walking. */
bool sm_map_next(const sm_map *map, size_t *at, sm_slice *key, void **value);

/* SipHash-1-3 of the bytes under the process's random key. */
uint64_t sm_hash(sm_slice bytes);

/* The same under a key of the caller's. */
uint64_t sm_siphash13(const uint64_t key[2], sm_slice bytes);
