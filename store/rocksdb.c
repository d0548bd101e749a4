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

static bool is_usable(const struct rocks *r, enum sm_store_family family)
{
    return r->db != NULL && r->families[family] != NULL;
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
static sm_err get_with(struct rocks *r, rocksdb_readoptions_t *options, enum sm_store_family family,
                       sm_slice key, sm_buf *out)
{
    if (!is_usable(r, family)) {
        return SM_ERR(DISK);
    }
    char *message = NULL;
    rocksdb_pinnableslice_t *pinned = rocksdb_get_pinned_cf(
        r->db, options, r->families[family], (const char *)key.ptr, key.len, &message);
    if (pinned != NULL) {
        return append_value(pinned, out);
    }
    if (message == NULL) {
        return SM_ERR(NOT_FOUND);
    }
    if (options == r->read_memory && strstr(message, "Incomplete") != NULL) {
        rocksdb_free(message);
        return SM_ERR(EXHAUSTED);
    }
    return sm_rocks_error(message, "get");
}

static sm_err rocks_get(void *backend, enum sm_store_family family, sm_slice key, sm_buf *out)
{
    struct rocks *r = backend;
    sm_gate_enter(&r->gate);
    sm_err err = get_with(r, r->read, family, key, out);
    sm_gate_leave(&r->gate);
    return err;
}

static sm_err rocks_try_get(void *backend, enum sm_store_family family, sm_slice key, sm_buf *out)
{
    struct rocks *r = backend;
    if (!sm_gate_try_enter(&r->gate)) {
        return SM_ERR(EXHAUSTED); /* it is being opened again */
    }
    sm_err err = get_with(r, r->read_memory, family, key, out);
    sm_gate_leave(&r->gate);
    return err;
}

/* ---- batches ---- */

static void add_put(struct rocks *r, struct rocks_batch *b, const struct sm_store_put *put)
{
    if (!is_usable(r, put->family)) {
        b->broken = true;
    } else if (put->kind == SM_DELETE) {
        rocksdb_writebatch_delete_cf(b->batch, r->families[put->family], (const char *)put->key.ptr,
                                     put->key.len);
    } else {
        rocksdb_writebatch_put_cf(b->batch, r->families[put->family], (const char *)put->key.ptr,
                                  put->key.len, (const char *)put->value.ptr, put->value.len);
    }
}

static void rocks_batch_put(void *backend, enum store_lane lane, const struct sm_store_put *put)
{
    struct rocks *r = backend;
    sm_gate_enter(&r->gate);
    add_put(r, &r->batches[lane], put);
    sm_gate_leave(&r->gate);
}

static sm_err rocks_batch_write(void *backend, enum store_lane lane)
{
    struct rocks *r = backend;
    struct rocks_batch *b = &r->batches[lane];
    char *message = NULL;
    sm_gate_enter(&r->gate);
    bool usable = r->db != NULL && !r->read_only && !b->broken;
    if (usable) {
        rocksdb_write(r->db, r->write[lane], b->batch, &message);
    }
    sm_gate_leave(&r->gate);
    if (!usable) {
        return SM_ERR(DISK);
    }
    return message == NULL ? SM_NO_ERR : sm_rocks_error(message, "write");
}

static void rocks_batch_clear(void *backend, enum store_lane lane)
{
    struct rocks *r = backend;
    sm_gate_enter(&r->gate);
    rocksdb_writebatch_clear(r->batches[lane].batch);
    r->batches[lane].broken = false;
    sm_gate_leave(&r->gate);
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
    sm_err err = SM_ERR(DISK);
    sm_gate_enter(&r->gate);
    if (is_usable(r, family)) {
        rocksdb_iterator_t *it = rocksdb_create_iterator_cf(r->db, r->read_scan,
                                                            r->families[family]);
        err = walk(it, range, row, ctx);
        rocksdb_iter_destroy(it);
    }
    sm_gate_leave(&r->gate);
    return err;
}

/* ---- life ---- */

static sm_err rocks_checkpoint(void *backend, const char *dir, sm_diag *diag)
{
    struct rocks *r = backend;
    char *message = NULL;
    sm_gate_enter(&r->gate);
    rocksdb_checkpoint_t *checkpoint = r->db == NULL
                                           ? NULL
                                           : rocksdb_checkpoint_object_create(r->db, &message);
    if (checkpoint != NULL) {
        rocksdb_checkpoint_create(checkpoint, dir, 0, &message);
        rocksdb_checkpoint_object_destroy(checkpoint);
    }
    sm_gate_leave(&r->gate);
    if (checkpoint != NULL && message == NULL) {
        return SM_NO_ERR;
    }
    sm_err err = sm_diag_set(diag, SM_ERR(DISK), "backup", "%s",
                             message == NULL ? "the store is down" : message);
    rocksdb_free(message);
    return err;
}

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
    .scan = rocks_scan,
    .recover = sm_rocks_recover,
    .checkpoint = rocks_checkpoint,
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
    sm_err err = sm_rocks_open_db(r, config->create ? ROCKS_CREATE : ROCKS_WRITE, diag);
    if (!sm_ok(err)) {
        sm_rocks_free(r);
        return err;
    }
    *ops = &rocks_ops;
    *backend = r;
    return SM_NO_ERR;
}
