/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside the RocksDB backend: handles and options.
 *
 * Threads:   `lock` is held shared for each use of `db`, exclusively while it is opened again.
 * Limits:    none.
 * Security:  none.
 * Standards: none.
 */
#pragma once

#include "store/store.h"

#include <pthread.h>
#include <rocksdb/c.h>

struct rocks {
    pthread_rwlock_t lock; /* covers `db` and `families` */
    rocksdb_t *db;         /* NULL after a failed recovery */
    rocksdb_column_family_handle_t *families[SM_FAMILY_COUNT];
    rocksdb_options_t *options;
    rocksdb_options_t *family_options[SM_FAMILY_COUNT];
    rocksdb_cache_t *cache;
    rocksdb_readoptions_t *read;
    rocksdb_readoptions_t *read_memory; /* block cache and memtables alone */
    rocksdb_readoptions_t *read_scan;
    rocksdb_writeoptions_t *write_sync;
    rocksdb_writeoptions_t *write_no_wal;
    rocksdb_writebatch_t *batches[2]; /* [1]: the commit lane's, [0]: the indexer's */
    char *dir;
};

/* Options and batches, no database yet. */
SM_FALLIBLE sm_rocks_new(const struct sm_store_config *config, struct rocks **out);
SM_FALLIBLE sm_rocks_open_db(struct rocks *r, bool create, sm_diag *diag);
/* Flushes and closes; no effect when it is closed. */
void sm_rocks_close_db(struct rocks *r);
void sm_rocks_free(struct rocks *r);
