/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One run of the indexer: some records of the log become one batch of index rows, with the cursor
 * behind them.
 *
 * Threads:   the indexer's.
 * Limits:    INDEX_RUN_RECORDS records or a few more, and no more once their rows' octets pass
 *            RUN_BYTES.
 * Security:  none.
 * Standards: none.
 */
#pragma once

#include "store/store.h"

#define INDEX_RUN_RECORDS 16384

struct index_run;

/* Errors: NO_MEMORY. Given. */
SM_FALLIBLE sm_index_run_new(sm_store *store, struct index_run **out);
void sm_index_run_free(struct index_run **run);

/* Indexes records behind `*done` up to `last` or some before it, and sets `*done` to the last of
 * them. There are some. Errors: the
 * extractor's, INVALID (a row in the cursor's place), DISK, CORRUPT, NO_MEMORY: what of the run is
 * in the index is not known then. */
SM_FALLIBLE sm_index_run_go(struct index_run *run, uint64_t *done, uint64_t last);

/* The cursor in the index; 0 when there is none. `*stale`: rows of another version stand there. */
SM_FALLIBLE sm_index_run_cursor(sm_store *store, uint64_t *out, bool *stale);
