/* SPDX-License-Identifier: Apache-2.0 */
/* The RocksDB backend: the only caller of rocksdb_*. */
#include "store/store_p.h"

#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "store/rocksdb_p.h"

#include <sys/stat.h>

/* A failed commit may leave the database refusing every write: it is then closed and opened again in place, which waits for the readers and
 * holds new ones off. */
static void lock_shared(struct rocks *r)
{
    (void)pthread_rwlock_rdlock(&r->lock);
}

static void unlock(struct rocks *r)
{
    (void)pthread_rwlock_unlock(&r->lock);
}

/* Frees RocksDB's message. */
static sm_err error_of(char *message, const char *what)
{
    sm_err err = strstr(message, "Corruption") != NULL ? SM_ERR(CORRUPT) : SM_ERR(DISK);
    sm_log(SM_LOG_ERROR, "rocksdb_error", SM_KS("operation", what), SM_KS("message", message), SM_KEND);
    rocksdb_free(message);
    return err;
}

static sm_err get_with(struct rocks *r, rocksdb_readoptions_t *options, enum sm_store_family family, sm_slice key,
                       sm_buf *out)
{
    char *message = NULL;
    lock_shared(r);
    if (r->db == NULL) {
        unlock(r);
        return SM_ERR(DISK);
    }
    rocksdb_pinnableslice_t *pinned =
        rocksdb_get_pinned_cf(r->db, options, r->families[family], (const char *)key.ptr, key.len, &message);
    sm_err err = SM_ERR(NOT_FOUND);
    if (message != NULL && strstr(message, "Incomplete") != NULL) {
        rocksdb_free(message);
        err = SM_ERR(EXHAUSTED);
    } else if (message != NULL) {
        err = error_of(message, "get");
    } else if (pinned != NULL) {
        size_t len;
        const char *value = rocksdb_pinnableslice_value(pinned, &len);
        if (value != NULL) {
            sm_buf_put(out, sm_slice_of(value, len));
            err = sm_buf_err(out);
        }
    }
    if (pinned != NULL) {
        rocksdb_pinnableslice_destroy(pinned);
    }
    unlock(r);
    return err;
}

static sm_err rocks_get(void *backend, enum sm_store_family family, sm_slice key, sm_buf *out)
{
    struct rocks *r = backend;
    return get_with(r, r->read, family, key, out);
}

static sm_err rocks_try_get(void *backend, enum sm_store_family family, sm_slice key, sm_buf *out)
{
    struct rocks *r = backend;
    return get_with(r, r->read_memory, family, key, out);
}

static void rocks_batch_put(void *backend, bool wal, const struct sm_store_put *put)
{
    struct rocks *r = backend;
    const char *key = (const char *)put->key.ptr;
    if (put->kind == SM_DELETE) {
        rocksdb_writebatch_delete_cf(r->batches[wal], r->families[put->family], key, put->key.len);
        return;
    }
    rocksdb_writebatch_put_cf(r->batches[wal], r->families[put->family], key, put->key.len,
                              put->value.ptr == NULL ? "" : (const char *)put->value.ptr, put->value.len);
}

static sm_err rocks_batch_write(void *backend, bool wal)
{
    struct rocks *r = backend;
    char *message = NULL;
    lock_shared(r);
    if (r->db == NULL) {
        unlock(r);
        return SM_ERR(DISK);
    }
    rocksdb_write(r->db, wal ? r->write_sync : r->write_no_wal, r->batches[wal], &message);
    unlock(r);
    return message == NULL ? SM_NO_ERR : error_of(message, "write");
}

static void rocks_batch_clear(void *backend, bool wal)
{
    rocksdb_writebatch_clear(((struct rocks *)backend)->batches[wal]);
}

static void seek(rocksdb_iterator_t *it, sm_slice from, sm_slice to, bool reverse)
{
    if (!reverse) {
        rocksdb_iter_seek(it, from.len == 0 ? "" : (const char *)from.ptr, from.len);
        return;
    }
    if (to.len == 0) {
        rocksdb_iter_seek_to_last(it);
        return;
    }
    rocksdb_iter_seek_for_prev(it, (const char *)to.ptr, to.len);
    size_t len;
    const char *key = rocksdb_iter_valid(it) ? rocksdb_iter_key(it, &len) : NULL;
    if (key != NULL && sm_slice_equal(sm_slice_of(key, len), to)) {
        rocksdb_iter_prev(it); /* `to` is not of the range */
    }
}

static bool in_range(sm_slice key, sm_slice from, sm_slice to, bool reverse)
{
    return reverse ? sm_slice_compare(key, from) >= 0 : to.len == 0 || sm_slice_compare(key, to) < 0;
}

static sm_err rocks_scan(void *backend, enum sm_store_family family, sm_slice from, sm_slice to, bool reverse,
                         bool (*row)(void *ctx, sm_slice key, sm_slice value), void *ctx)
{
    struct rocks *r = backend;
    lock_shared(r);
    if (r->db == NULL) {
        unlock(r);
        return SM_ERR(DISK);
    }
    rocksdb_iterator_t *it = rocksdb_create_iterator_cf(r->db, r->read_scan, r->families[family]);
    for (seek(it, from, to, reverse); rocksdb_iter_valid(it);
         reverse ? rocksdb_iter_prev(it) : rocksdb_iter_next(it)) {
        size_t key_len;
        size_t value_len;
        const char *key = rocksdb_iter_key(it, &key_len);
        const char *value = rocksdb_iter_value(it, &value_len);
        sm_slice k = sm_slice_of(key, key_len);
        if (!in_range(k, from, to, reverse) || !row(ctx, k, sm_slice_of(value, value_len))) {
            break;
        }
    }
    char *message = NULL;
    rocksdb_iter_get_error(it, &message);
    rocksdb_iter_destroy(it);
    unlock(r);
    return message == NULL ? SM_NO_ERR : error_of(message, "scan");
}

static sm_err rocks_recover(void *backend)
{
    struct rocks *r = backend;
    sm_diag diag = {.reason = ""};
    (void)pthread_rwlock_wrlock(&r->lock);
    sm_rocks_close_db(r);
    sm_err err = sm_rocks_open_db(r, false, &diag);
    (void)pthread_rwlock_unlock(&r->lock);
    if (!sm_ok(err)) {
        sm_log(SM_LOG_ERROR, "store_reopen_failed", SM_KS("reason", diag.reason), SM_KEND);
    }
    return err;
}

static sm_err rocks_backup(void *backend, const char *dir, sm_diag *diag)
{
    struct rocks *r = backend;
    char *message = NULL;
    if (sm_file_exists(dir)) {
        return sm_diag_set(diag, SM_ERR(EXISTS), "backup", "%s exists already: name a new folder", dir);
    }
    lock_shared(r);
    rocksdb_checkpoint_t *checkpoint = r->db == NULL ? NULL : rocksdb_checkpoint_object_create(r->db, &message);
    if (checkpoint != NULL) {
        rocksdb_checkpoint_create(checkpoint, dir, 0, &message);
        rocksdb_checkpoint_object_destroy(checkpoint);
    }
    unlock(r);
    if (message != NULL) {
        sm_err err = sm_diag_set(diag, SM_ERR(DISK), "backup", "%.200s", message);
        rocksdb_free(message);
        return err;
    }
    return checkpoint == NULL ? SM_ERR(DISK) : SM_NO_ERR;
}

/* Scans verify the checksum of every block that they read; blob files are read by them too. What is left is that every family can be read to
 * its end, which the caller does. */
static sm_err rocks_verify(void *backend, sm_buf *what)
{
    (void)backend;
    (void)what;
    return SM_NO_ERR;
}

static sm_err rocks_clear(void *backend, enum sm_store_family family)
{
    struct rocks *r = backend;
    char *message = NULL;
    static const char last[] = "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff";
    lock_shared(r);
    if (r->db != NULL) {
        rocksdb_delete_range_cf(r->db, r->write_no_wal, r->families[family], "", 0, last, sizeof(last) - 1, &message);
    }
    unlock(r);
    return message == NULL ? SM_NO_ERR : error_of(message, "delete_range");
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
    .recover = rocks_recover,
    .backup = rocks_backup,
    .verify = rocks_verify,
    .clear = rocks_clear,
    .close = rocks_close,
};

sm_err sm_store_rocksdb_open(const struct sm_store_config *config, const struct store_backend_ops **ops, void **backend,
                             sm_diag *diag)
{
    struct rocks *r;
    SM_TRY(sm_rocks_new(config, &r));
    struct stat st;
    sm_err err = SM_NO_ERR;
    if (config->create) {
        err = sm_file_mkdirs(config->dir, 0700, diag);
    } else if (stat(config->dir, &st) != 0) {
        err = sm_diag_set(diag, SM_ERR(NOT_FOUND), "data_dir", "there is no folder %s", config->dir);
    }
    if (sm_ok(err)) {
        err = sm_rocks_open_db(r, config->create, diag);
    }
    if (!sm_ok(err)) {
        sm_rocks_free(r);
        return err;
    }
    *ops = &rocks_ops;
    *backend = r;
    return SM_NO_ERR;
}
