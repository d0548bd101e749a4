/* SPDX-License-Identifier: Apache-2.0 */
/* The memory backend, for tests: each family a sorted array. */
#include "store/store_p.h"

#include "base/mem.h"

struct row {
    uint8_t *bytes; /* key, then value */
    size_t key_len;
    size_t value_len;
};

struct family {
    struct row *rows;
    size_t count;
    size_t room;
};

struct pending {
    struct sm_store_put *puts;
    size_t count;
    size_t room;
    bool failed;
};

struct memory {
    pthread_rwlock_t lock; /* covers `families` */
    struct family families[SM_FAMILY_COUNT];
    struct pending batches[2]; /* one for each writing thread */
};

static sm_slice key_of(const struct row *row)
{
    return sm_slice_of(row->bytes, row->key_len);
}

static sm_slice value_of(const struct row *row)
{
    return sm_slice_of(row->bytes + row->key_len, row->value_len);
}

/* The first row whose key is not below `key`. */
static size_t lower_bound(const struct family *f, sm_slice key)
{
    size_t low = 0;
    size_t high = f->count;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (sm_slice_compare(key_of(&f->rows[mid]), key) < 0) {
            low = mid + 1;
        } else {
            high = mid;
        }
    }
    return low;
}

static bool is_at(const struct family *f, size_t at, sm_slice key)
{
    return at < f->count && sm_slice_equal(key_of(&f->rows[at]), key);
}

static sm_err memory_get(void *backend, enum sm_store_family family, sm_slice key, sm_buf *out)
{
    struct memory *m = backend;
    (void)pthread_rwlock_rdlock(&m->lock);
    struct family *f = &m->families[family];
    size_t at = lower_bound(f, key);
    bool found = is_at(f, at, key);
    if (found) {
        sm_buf_put(out, value_of(&f->rows[at]));
    }
    (void)pthread_rwlock_unlock(&m->lock);
    return found ? sm_buf_err(out) : SM_ERR(NOT_FOUND);
}

static void batch_put(void *backend, bool wal, const struct sm_store_put *put)
{
    struct pending *p = &((struct memory *)backend)->batches[wal];
    if (p->count == p->room) {
        size_t room = p->room == 0 ? 64 : p->room * 2;
        struct sm_store_put *bigger = sm_realloc(p->puts, room * sizeof(*bigger));
        if (bigger == NULL) {
            p->failed = true;
            return;
        }
        p->puts = bigger;
        p->room = room;
    }
    struct sm_store_put copy = *put;
    uint8_t *bytes = sm_malloc(put->key.len + put->value.len);
    if (bytes == NULL) {
        p->failed = true;
        return;
    }
    if (put->key.len > 0) {
        memcpy(bytes, put->key.ptr, put->key.len);
    }
    if (put->value.len > 0) {
        memcpy(bytes + put->key.len, put->value.ptr, put->value.len);
    }
    copy.key.ptr = bytes;
    copy.value.ptr = bytes + put->key.len;
    p->puts[p->count++] = copy;
}

static void batch_clear(void *backend, bool wal)
{
    struct pending *p = &((struct memory *)backend)->batches[wal];
    for (size_t i = 0; i < p->count; i++) {
        union {
            const uint8_t *in;
            uint8_t *out;
        } bytes = {p->puts[i].key.ptr};
        sm_free(bytes.out);
    }
    p->count = 0;
    p->failed = false;
}

static bool make_room(struct family *f)
{
    if (f->count < f->room) {
        return true;
    }
    size_t room = f->room == 0 ? 64 : f->room * 2;
    struct row *bigger = sm_realloc(f->rows, room * sizeof(*bigger));
    if (bigger == NULL) {
        return false;
    }
    f->rows = bigger;
    f->room = room;
    return true;
}

static void remove_row(struct family *f, size_t at)
{
    sm_free(f->rows[at].bytes);
    memmove(&f->rows[at], &f->rows[at + 1], (f->count - at - 1) * sizeof(f->rows[0]));
    f->count--;
}

/* Takes the put's memory over. Room was made before. */
static void apply(struct memory *m, struct sm_store_put *put)
{
    struct family *f = &m->families[put->family];
    size_t at = lower_bound(f, put->key);
    if (is_at(f, at, put->key)) {
        remove_row(f, at);
    }
    if (put->kind == SM_DELETE) {
        return;
    }
    union {
        const uint8_t *in;
        uint8_t *out;
    } bytes = {put->key.ptr};
    memmove(&f->rows[at + 1], &f->rows[at], (f->count - at) * sizeof(f->rows[0]));
    f->rows[at] = (struct row){bytes.out, put->key.len, put->value.len};
    f->count++;
    put->key.ptr = NULL;
}

static sm_err batch_write(void *backend, bool wal)
{
    struct memory *m = backend;
    struct pending *p = &m->batches[wal];
    if (p->failed) {
        return SM_ERR(NO_MEMORY);
    }
    sm_err err = SM_NO_ERR;
    (void)pthread_rwlock_wrlock(&m->lock);
    for (size_t i = 0; i < p->count && sm_ok(err); i++) {
        if (make_room(&m->families[p->puts[i].family])) {
            apply(m, &p->puts[i]);
        } else {
            err = SM_ERR(NO_MEMORY);
        }
    }
    (void)pthread_rwlock_unlock(&m->lock);
    return err;
}

static sm_err memory_scan(void *backend, enum sm_store_family family, sm_slice from, sm_slice to, bool reverse,
                          bool (*row)(void *ctx, sm_slice key, sm_slice value), void *ctx)
{
    struct memory *m = backend;
    (void)pthread_rwlock_rdlock(&m->lock);
    struct family *f = &m->families[family];
    size_t low = lower_bound(f, from);
    size_t high = to.len == 0 ? f->count : lower_bound(f, to);
    for (size_t i = low; i < high; i++) {
        const struct row *r = &f->rows[reverse ? high - 1 - (i - low) : i];
        if (!row(ctx, key_of(r), value_of(r))) {
            break;
        }
    }
    (void)pthread_rwlock_unlock(&m->lock);
    return SM_NO_ERR;
}

static sm_err memory_recover(void *backend)
{
    (void)backend;
    return SM_NO_ERR;
}

static sm_err memory_backup(void *backend, const char *dir, sm_diag *diag)
{
    (void)backend;
    (void)dir;
    return sm_diag_set(diag, SM_ERR(UNSUPPORTED), "store", "a store in memory has no files to copy");
}

static sm_err memory_verify(void *backend, sm_buf *what)
{
    (void)backend;
    (void)what;
    return SM_NO_ERR;
}

static sm_err memory_clear(void *backend, enum sm_store_family family)
{
    struct memory *m = backend;
    (void)pthread_rwlock_wrlock(&m->lock);
    while (m->families[family].count > 0) {
        remove_row(&m->families[family], m->families[family].count - 1);
    }
    (void)pthread_rwlock_unlock(&m->lock);
    return SM_NO_ERR;
}

static void memory_close(void *backend)
{
    struct memory *m = backend;
    for (int i = 0; i < SM_FAMILY_COUNT; i++) {
        (void)memory_clear(m, (enum sm_store_family)i);
        sm_free(m->families[i].rows);
    }
    for (int i = 0; i < 2; i++) {
        batch_clear(m, i == 1);
        sm_free(m->batches[i].puts);
    }
    (void)pthread_rwlock_destroy(&m->lock);
    sm_free(m);
}

static const struct store_backend_ops memory_ops = {
    .get = memory_get,
    .try_get = memory_get,
    .batch_put = batch_put,
    .batch_write = batch_write,
    .batch_clear = batch_clear,
    .scan = memory_scan,
    .recover = memory_recover,
    .backup = memory_backup,
    .verify = memory_verify,
    .clear = memory_clear,
    .close = memory_close,
};

sm_err sm_store_memory_open(const struct store_backend_ops **ops, void **backend)
{
    struct memory *m = sm_calloc(1, sizeof(*m));
    if (m == NULL) {
        return SM_ERR(NO_MEMORY);
    }
    (void)pthread_rwlock_init(&m->lock, NULL);
    *ops = &memory_ops;
    *backend = m;
    return SM_NO_ERR;
}
