/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The puts of a batch that is not yet written, by key: what later conditions of the same batch must
 * see.
 *
 * Threads:   the commit lane's.
 * Limits:    as many puts as a batch holds (SM_STORE_COMMIT_BYTES).
 * Security:  keys are hashed with a secret: chosen keys cannot make it slow.
 * Standards: none.
 */
#pragma once

#include "store/store.h"

struct overlay {
    const struct sm_store_put **slots; /* open addressing; borrowed until the batch is done */
    size_t room;                       /* slots, a power of two, or 0 */
    size_t count;
};

/* Remembers a put; one with the same key is replaced. Errors: NO_MEMORY. */
SM_FALLIBLE sm_overlay_add(struct overlay *overlay, const struct sm_store_put *put);

/* The newest put of this key, or NULL. */
const struct sm_store_put *sm_overlay_find(const struct overlay *overlay,
                                           enum sm_store_family family, sm_slice key);

/* Forgets all puts, keeps the memory. */
void sm_overlay_clear(struct overlay *overlay);
void sm_overlay_deinit(struct overlay *overlay);
