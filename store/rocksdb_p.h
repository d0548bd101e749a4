/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside the RocksDB backend: handles and options.
 *
 * Threads:   each use of `db` and `families` is inside the gate; opening and closing them closes
 * it. Limits:    none. Security:  none. Standards: none.
 */
#pragma once

#include "store/gate_p.h"
#include "store/store_p.h"

#include <rocksdb/c.h>

struct rocks_batch {
    rocksdb_writebatch_t *batch;
    bool broken; /* a put is missing, or rows before it were lost: it must not be written */
};

struct rocks {
    struct gate gate; /* covers `db`, `families`, `read_only` and, of the batches, `broken` */
    rocksdb_t *db;    /* NULL when it could not be opened again */
    rocksdb_column_family_handle_t *families[SM_FAMILY_COUNT]; /* NULL: dropped */
    bool read_only;
    struct rocks_batch batches[STORE_LANE_COUNT];
    rocksdb_options_t *options;
    rocksdb_options_t *family_options[SM_FAMILY_COUNT];
    rocksdb_cache_t *cache;
    rocksdb_readoptions_t *read;
    rocksdb_readoptions_t *read_memory; /* block cache and memtables alone */
    rocksdb_readoptions_t *read_scan;
    rocksdb_writeoptions_t *write[STORE_LANE_COUNT];
    char *dir;
};

/* Options and batches, no database yet. Errors: NO_MEMORY. Given. */
SM_FALLIBLE sm_rocks_new(const struct sm_store_config *config, struct rocks **out);
/* Closes and frees. */
void sm_rocks_free(struct rocks *r);

/* Each with the gate closed, or before the store has threads. */
enum rocks_open { ROCKS_CREATE, ROCKS_WRITE, ROCKS_READ_ONLY };
SM_FALLIBLE sm_rocks_open_db(struct rocks *r, enum rocks_open how, sm_diag *diag);
void sm_rocks_close_db(struct rocks *r);

/* store_backend_ops.recover and clear_index. */
sm_err sm_rocks_recover(void *backend);
sm_err sm_rocks_clear_index(void *backend);

const char *sm_rocks_family_name(enum sm_store_family family);

/* Logs and frees RocksDB's message; CORRUPT or DISK. */
sm_err sm_rocks_error(char *message, const char *operation);
