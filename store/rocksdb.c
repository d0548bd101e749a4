/* SPDX-License-Identifier: Apache-2.0 */
/* The RocksDB backend: reads, batches, scans, checkpoints. This file and its siblings are the only
 * callers of rocksdb_*. */
#include "store/rocksdb_p.h"

#include "base/file.h"
#include "base/log.h"

#include <sys/stat.h>

sm_err sm_rocks_error(char *message, const char *operation)
{
    sm_err err = strstr(message, "Corruption") != NULL ? SM_ERR(CORRUPT) : SM_ERR(DISK);
    sm_log(SM_LOG_ERROR, "rocksdb_error", SM_KS("operation", operation), SM_KS("message", message),
           SM_KEND);
    rocksdb_free(message);
    return err;
}

/* ---- point reads ---- */

static sm_err append_value(rocksdb_pinnableslice_t *pinned, sm_buf *out)
{
    size_t len = 0;
    const char *value = rocksdb_pinnableslice_value(pinned, &len);
    sm_buf_put(out, sm_slice_of(value, len));
    rocksdb_pinnableslice_destroy(pinned);
    return sm_buf_err(out);
}

/* Inside the gate. */
static sm_err get_with(struct rocks_db *d, rocksdb_readoptions_t *options,
                       enum sm_store_family family, sm_slice key, sm_buf *out)
{
    if (d->db == NULL) {
        return SM_ERR(DISK);
    }
    char *message = NULL;
    rocksdb_pinnableslice_t *pinned = rocksdb_get_pinned_cf(
        d->db, options, d->handles[family], (const char *)key.ptr, key.len, &message);
    if (pinned != NULL) {
        return append_value(pinned, out);
    }
    if (message == NULL) {
        return SM_ERR(NOT_FOUND);
    }
    if (strstr(message, "incomplete") != NULL) { /* as far as memory goes */
        rocksdb_free(message);
        return SM_ERR(EXHAUSTED);
    }
    return sm_rocks_error(message, "get");
}

static sm_err rocks_get(void *backend, enum sm_store_family family, sm_slice key, sm_buf *out)
{
    struct rocks *r = backend;
    struct rocks_db *d = sm_rocks_db_of(r, family);
    sm_gate_enter(&d->gate);
    sm_err err = get_with(d, r->read, family, key, out);
    sm_gate_leave(&d->gate);
    return err;
}

static sm_err rocks_try_get(void *backend, enum sm_store_family family, sm_slice key, sm_buf *out)
{
    struct rocks *r = backend;
    struct rocks_db *d = sm_rocks_db_of(r, family);
    if (!sm_gate_try_enter(&d->gate)) {
        return SM_ERR(EXHAUSTED); /* it is being opened again */
    }
    size_t before = out->len;
    sm_err err = get_with(d, r->read_memory, family, key, out);
    sm_gate_leave(&d->gate);
    /* Of a table whose file is not open RocksDB says without disk that it has the key, with an empty value. */
    return sm_ok(err) && out->len == before ? SM_ERR(EXHAUSTED) : err;
}

/* ---- batches: on their lane's thread, which alone opens and closes their database ---- */

static void rocks_batch_put(void *backend, enum store_lane lane, const struct sm_store_put *put)
{
    struct rocks_db *d = &((struct rocks *)backend)->dbs[lane];
    rocksdb_column_family_handle_t *handle = d->handles[put->family];
    if (d->db == NULL) {
        d->broken = true;
    } else if (put->kind == SM_DELETE) {
        rocksdb_writebatch_delete_cf(d->batch, handle, (const char *)put->key.ptr, put->key.len);
    } else {
        rocksdb_writebatch_put_cf(d->batch, handle, (const char *)put->key.ptr, put->key.len,
                                  (const char *)put->value.ptr, put->value.len);
    }
}

static sm_err rocks_batch_write(void *backend, enum store_lane lane)
{
    struct rocks_db *d = &((struct rocks *)backend)->dbs[lane];
    char *message = NULL;
    if (d->db == NULL || d->read_only || d->broken) {
        d->failed = true;
        return SM_ERR(DISK);
    }
    rocksdb_write(d->db, d->write, d->batch, &message);
    if (message == NULL) {
        return SM_NO_ERR;
    }
    d->failed = true;
    return sm_rocks_error(message, "write");
}

static void rocks_batch_clear(void *backend, enum store_lane lane)
{
    struct rocks_db *d = &((struct rocks *)backend)->dbs[lane];
    rocksdb_writebatch_clear(d->batch);
    d->broken = false;
}

/* A large run is a table by itself already; a small one goes through the memtable. */
static sm_err rocks_write_index(void *backend, store_next_put next, void *ctx, size_t count)
{
    if (count >= ROCKS_TABLE_ROWS) {
        return sm_rocks_write_table(backend, next, ctx);
    }
    struct sm_store_put put;
    while (next(ctx, &put)) {
        rocks_batch_put(backend, STORE_LANE_INDEX, &put);
    }
    sm_err err = rocks_batch_write(backend, STORE_LANE_INDEX);
    rocks_batch_clear(backend, STORE_LANE_INDEX);
    return err;
}

/* ---- scans ---- */

static sm_slice key_of(const rocksdb_iterator_t *it)
{
    size_t len = 0;
    const char *key = rocksdb_iter_key(it, &len);
    return sm_slice_of(key, len);
}

static sm_slice value_of(const rocksdb_iterator_t *it)
{
    size_t len = 0;
    const char *value = rocksdb_iter_value(it, &len);
    return sm_slice_of(value, len);
}

static void seek(rocksdb_iterator_t *it, const struct store_range *range)
{
    if (!range->reverse) {
        rocksdb_iter_seek(it, (const char *)range->from.ptr, range->from.len);
        return;
    }
    if (range->to.len == 0) {
        rocksdb_iter_seek_to_last(it);
        return;
    }
    rocksdb_iter_seek_for_prev(it, (const char *)range->to.ptr, range->to.len);
    if (rocksdb_iter_valid(it) && sm_slice_equal(key_of(it), range->to)) {
        rocksdb_iter_prev(it); /* `to` is not of the range */
    }
}

static bool is_in(const struct store_range *range, sm_slice key)
{
    if (range->reverse) {
        return sm_slice_compare(key, range->from) >= 0;
    }
    return range->to.len == 0 || sm_slice_compare(key, range->to) < 0;
}

static void step(rocksdb_iterator_t *it, const struct store_range *range)
{
    if (range->reverse) {
        rocksdb_iter_prev(it);
    } else {
        rocksdb_iter_next(it);
    }
}

static sm_err walk(rocksdb_iterator_t *it, const struct store_range *range, store_row row,
                   void *ctx)
{
    for (seek(it, range); rocksdb_iter_valid(it); step(it, range)) {
        sm_slice key = key_of(it);
        if (!is_in(range, key) || !row(ctx, key, value_of(it))) {
            break;
        }
    }
    char *message = NULL;
    rocksdb_iter_get_error(it, &message);
    return message == NULL ? SM_NO_ERR : sm_rocks_error(message, "scan");
}

static sm_err rocks_scan(void *backend, enum sm_store_family family,
                         const struct store_range *range, store_row row, void *ctx)
{
    struct rocks *r = backend;
    struct rocks_db *d = sm_rocks_db_of(r, family);
    sm_err err = SM_ERR(DISK);
    sm_gate_enter(&d->gate);
    if (d->db != NULL) {
        rocksdb_iterator_t *it = rocksdb_create_iterator_cf(d->db, r->read_scan,
                                                            d->handles[family]);
        err = walk(it, range, row, ctx);
        rocksdb_iter_destroy(it);
    }
    sm_gate_leave(&d->gate);
    return err;
}

/* ---- life ---- */

static void rocks_close(void *backend)
{
    sm_rocks_free(backend);
}

static const struct store_backend_ops rocks_ops = {
    .get = rocks_get,
    .try_get = rocks_try_get,
    .batch_put = rocks_batch_put,
    .batch_write = rocks_batch_write,
    .batch_clear = rocks_batch_clear,
    .write_index = rocks_write_index,
    .table_make = sm_rocks_table_make,
    .table_take = sm_rocks_table_take,
    .table_free = sm_rocks_table_free,
    .scan = rocks_scan,
    .recover = sm_rocks_recover,
    .checkpoint = sm_rocks_checkpoint,
    .clear_index = sm_rocks_clear_index,
    .close = rocks_close,
};

/* The folder, seen by its owner alone: RocksDB makes its files readable to all. */
static sm_err prepare_dir(const struct sm_store_config *config, sm_diag *diag)
{
    struct stat st;
    if (config->create) {
        SM_TRY(sm_file_mkdirs(config->dir, 0700, diag));
    }
    if (stat(config->dir, &st) != 0) {
        return sm_diag_set(diag, SM_ERR(NOT_FOUND), "data_dir", "there is no folder %s",
                           config->dir);
    }
    if ((st.st_mode & 077) != 0 && chmod(config->dir, 0700) != 0) {
        return sm_diag_set(diag, SM_ERR(DISK), "data_dir",
                           "%s is open to others and not ours to close: chmod 700 it", config->dir);
    }
    return SM_NO_ERR;
}

sm_err sm_store_rocksdb_open(const struct sm_store_config *config,
                             const struct store_backend_ops **ops, void **backend, sm_diag *diag)
{
    struct rocks *r;
    SM_TRY(prepare_dir(config, diag));
    SM_TRY(sm_rocks_new(config, &r));
    sm_err err = sm_rocks_open_db(r, STORE_LANE_COMMIT, config->create ? ROCKS_CREATE : ROCKS_WRITE,
                                  diag);
    if (sm_ok(err)) {
        err = sm_rocks_open_index(r, diag);
    }
    if (!sm_ok(err)) {
        sm_rocks_free(r);
        return err;
    }
    *ops = &rocks_ops;
    *backend = r;
    return SM_NO_ERR;
}
