/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside the RocksDB backend: two databases, their handles and options.
 *
 * The index is a database of its own in the folder's folder "index": RocksDB lets one writer at a
 * time into a database, and a commit must not wait for the indexer, which runs at low priority.
 *
 * Threads:   each use of `db` and `handles` by another thread than the lane's is inside the gate;
 *            opening and closing happen on the lane's thread, with the gate closed.
 * Limits:    none.
 * Security:  none.
 * Standards: none.
 */
#pragma once

#include "store/gate_p.h"
#include "store/store_p.h"

#include <rocksdb/c.h>

#define INDEX_DIR "index" /* inside the store's folder */
#define ROCKS_TABLE_ROWS \
    32768 /* of a run that becomes a table of its own: 2 MB, which compaction has use for */

/* One database, written by one lane. */
struct rocks_db {
    struct gate gate; /* covers `db`, `handles` and `read_only` */
    rocksdb_t *db;    /* NULL when it could not be opened again */
    rocksdb_column_family_handle_t *handles[SM_FAMILY_COUNT]; /* NULL: in the other database */
    bool read_only;
    bool failed; /* the last write; the lane's own, as all below */
    bool broken; /* a put of the batch is missing: it must not be written */
    rocksdb_writebatch_t *batch;
    enum sm_store_family families[SM_FAMILY_COUNT];
    int family_count;
    rocksdb_options_t *options;
    rocksdb_writeoptions_t *write;
    char *path;
};

struct rocks {
    struct rocks_db dbs[STORE_LANE_COUNT];
    rocksdb_options_t *family_options[SM_FAMILY_COUNT];
    rocksdb_cache_t *cache; /* one for all */
    rocksdb_readoptions_t *read;
    rocksdb_readoptions_t *read_memory; /* block cache and memtables alone */
    rocksdb_readoptions_t *read_scan;
};

static inline struct rocks_db *sm_rocks_db_of(struct rocks *r, enum sm_store_family family)
{
    return &r->dbs[family == SM_FAMILY_INDEX ? STORE_LANE_INDEX : STORE_LANE_COMMIT];
}

/* Options and batches, no database yet. Errors: NO_MEMORY. Given. */
SM_FALLIBLE sm_rocks_new(const struct sm_store_config *config, struct rocks **out);
/* Closes and frees. */
void sm_rocks_free(struct rocks *r);

/* Each with the gate closed, or before the store has threads. */
enum rocks_open { ROCKS_CREATE, ROCKS_WRITE, ROCKS_READ_ONLY };
SM_FALLIBLE sm_rocks_open_db(struct rocks *r, enum store_lane lane, enum rocks_open how,
                             sm_diag *diag);
/* The index: made when it is missing, made anew when it is damaged. */
SM_FALLIBLE sm_rocks_open_index(struct rocks *r, sm_diag *diag);
/* Deletes the index's files. It is closed. Errors: DISK. */
SM_FALLIBLE sm_rocks_destroy_index(struct rocks *r);
void sm_rocks_close_db(struct rocks_db *d);

/* store_backend_ops.write_index past the memtable: writes a table and lets the database take it in.
 * Errors: DISK, NO_MEMORY. */
SM_FALLIBLE sm_rocks_write_table(struct rocks *r, store_next_put next, void *ctx);

/* store_backend_ops.table_*: of the family OCSP and the like, in the commit lane's database. */
sm_err sm_rocks_table_make(void *backend, const struct sm_store_put *puts, size_t count,
                           void **out);
sm_err sm_rocks_table_take(void *backend, void *table);
void sm_rocks_table_free(void *backend, void *table);

/* store_backend_ops.recover, clear_index and checkpoint. */
sm_err sm_rocks_recover(void *backend, enum store_lane lane);
sm_err sm_rocks_clear_index(void *backend);
sm_err sm_rocks_checkpoint(void *backend, const char *dir, sm_diag *diag);

/* Logs and frees RocksDB's message; CORRUPT or DISK. */
sm_err sm_rocks_error(char *message, const char *operation);
