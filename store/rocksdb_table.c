/* SPDX-License-Identifier: Apache-2.0 */
/* Rows past the memtable. Those of the index come sorted, so a table can be written at once: finding each
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

/* NULL, or RocksDB's message. The file is on the disk then. */
static char *write_rows(struct rocks *r, enum sm_store_family family, const char *path,
                        store_next_put next, void *ctx)
{
    struct sm_store_put put;
    char *message = NULL;
    rocksdb_envoptions_t *env = rocksdb_envoptions_create();
    rocksdb_sstfilewriter_t *writer = rocksdb_sstfilewriter_create(env, r->family_options[family]);
    rocksdb_sstfilewriter_open(writer, path, &message);
    while (message == NULL && next(ctx, &put)) {
        add(writer, &put, &message);
    }
    if (message == NULL) {
        rocksdb_sstfilewriter_finish(writer, &message);
    }
    rocksdb_sstfilewriter_destroy(writer);
    rocksdb_envoptions_destroy(env);
    return message;
}

/* `flush`: what of its range is in the memtable is written out first; else that is a failure. */
static char *take_in(struct rocks_db *d, enum sm_store_family family, const char *path, bool flush)
{
    char *message = NULL;
    rocksdb_ingestexternalfileoptions_t *options = rocksdb_ingestexternalfileoptions_create();
    rocksdb_ingestexternalfileoptions_set_move_files(options, 1);
    rocksdb_ingestexternalfileoptions_set_allow_blocking_flush(options, flush);
    rocksdb_ingest_external_file_cf(d->db, d->handles[family], &path, 1, options, &message);
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
    char *message = write_rows(r, SM_FAMILY_INDEX, path, next, ctx);
    if (message == NULL) {
        message = take_in(d, SM_FAMILY_INDEX, path, true);
    }
    (void)remove(path); /* what was taken in has the database's name */
    sm_free(path);
    if (message == NULL) {
        return SM_NO_ERR;
    }
    d->failed = true;
    return sm_rocks_error(message, "write_table");
}

/* ---- tables of the commit lane's database ---- */

struct table {
    enum sm_store_family family;
    char path[];
};

struct puts {
    const struct sm_store_put *at;
    const struct sm_store_put *end;
};

static bool next_of_puts(void *ctx, struct sm_store_put *out)
{
    struct puts *p = ctx;
    if (p->at == p->end) {
        return false;
    }
    *out = *p->at++;
    return true;
}

sm_err sm_rocks_table_make(void *backend, const struct sm_store_put *puts, size_t count, void **out)
{
    struct rocks *r = backend;
    struct rocks_db *d = &r->dbs[STORE_LANE_COMMIT];
    size_t size = strlen(d->path) + sizeof("/" TABLE_NAME);
    struct table *t = sm_malloc(sizeof(*t) + size);
    if (t == NULL) {
        return SM_ERR(NO_MEMORY);
    }
    SM_CHECK(count > 0);
    t->family = puts[0].family;
    (void)snprintf(t->path, size, "%s/" TABLE_NAME, d->path);
    struct puts p = {puts, puts + count};
    char *message = write_rows(r, t->family, t->path, next_of_puts, &p);
    if (message != NULL) {
        sm_rocks_table_free(r, t);
        return sm_rocks_error(message, "make_table");
    }
    *out = t;
    return SM_NO_ERR;
}

sm_err sm_rocks_table_take(void *backend, void *table)
{
    struct table *t = table;
    struct rocks_db *d = &((struct rocks *)backend)->dbs[STORE_LANE_COMMIT];
    if (d->db == NULL || d->read_only) {
        return SM_ERR(DISK);
    }
    char *message = take_in(d, t->family, t->path, false);
    if (message == NULL) {
        return SM_NO_ERR;
    }
    if (strstr(message, "flush") != NULL) {
        rocksdb_free(message);
        return SM_ERR(EXHAUSTED);
    }
    return sm_rocks_error(message,
                          "take_table"); /* should the database be lame, its next write says so */
}

void sm_rocks_table_free(void *backend, void *table)
{
    struct table *t = table;
    (void)backend;
    (void)remove(t->path); /* what was taken in has the database's name */
    sm_free(t);
}
