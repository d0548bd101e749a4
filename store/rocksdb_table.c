/* SPDX-License-Identifier: Apache-2.0 */
/* Index rows past the memtable. They come sorted, so a table can be written at once: finding each
 * row's place in a skip list, and sorting out of it again at the flush, is what indexing would cost
 * most. README.md has the figures.
 *
 * The cursor is a row of each table and each batch. So the database sees that what stands in its
 * memtable and a table overlap, and writes the memtable out first: the order of runs stays. */
#include "store/rocksdb_p.h"

#include "base/mem.h"

#include <stdio.h>

#define TABLE_NAME \
    "run.sst" /* a name that the database does not use; one left over is overwritten */

static void add(rocksdb_sstfilewriter_t *writer, const struct sm_store_put *put, char **message)
{
    if (put->kind == SM_DELETE) {
        rocksdb_sstfilewriter_delete(writer, (const char *)put->key.ptr, put->key.len, message);
    } else {
        rocksdb_sstfilewriter_put(writer, (const char *)put->key.ptr, put->key.len,
                                  (const char *)put->value.ptr, put->value.len, message);
    }
}

/* NULL, or RocksDB's message. */
static char *write_rows(rocksdb_sstfilewriter_t *writer, const char *path, store_next_put next,
                        void *ctx)
{
    struct sm_store_put put;
    char *message = NULL;
    rocksdb_sstfilewriter_open(writer, path, &message);
    while (message == NULL && next(ctx, &put)) {
        add(writer, &put, &message);
    }
    if (message == NULL) {
        rocksdb_sstfilewriter_finish(writer, &message);
    }
    return message;
}

static char *take_in(struct rocks_db *d, const char *path)
{
    char *message = NULL;
    rocksdb_ingestexternalfileoptions_t *options = rocksdb_ingestexternalfileoptions_create();
    rocksdb_ingestexternalfileoptions_set_move_files(options, 1);
    rocksdb_ingest_external_file_cf(d->db, d->handles[SM_FAMILY_INDEX], &path, 1, options,
                                    &message);
    rocksdb_ingestexternalfileoptions_destroy(options);
    return message;
}

sm_err sm_rocks_write_table(struct rocks *r, store_next_put next, void *ctx)
{
    struct rocks_db *d = &r->dbs[STORE_LANE_INDEX];
    size_t size = strlen(d->path) + sizeof("/" TABLE_NAME);
    char *path = sm_malloc(size);
    if (path == NULL) {
        return SM_ERR(NO_MEMORY);
    }
    (void)snprintf(path, size, "%s/" TABLE_NAME, d->path);
    rocksdb_envoptions_t *env = rocksdb_envoptions_create();
    rocksdb_sstfilewriter_t *writer = rocksdb_sstfilewriter_create(
        env, r->family_options[SM_FAMILY_INDEX]);
    char *message = write_rows(writer, path, next, ctx);
    rocksdb_sstfilewriter_destroy(writer);
    rocksdb_envoptions_destroy(env);
    if (message == NULL) {
        message = take_in(d, path);
    }
    (void)remove(path); /* what was taken in has the database's name */
    sm_free(path);
    if (message == NULL) {
        return SM_NO_ERR;
    }
    d->failed = true;
    return sm_rocks_error(message, "write_table");
}
