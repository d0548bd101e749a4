/* SPDX-License-Identifier: Apache-2.0 */
/* The memory backend, for tests: each family a sorted array of rows. Keys of the log and of
 * certificates grow at their end, where inserting is cheap; elsewhere it moves half the pointers,
 * which tests can bear. */
#include "store/store_p.h"

#include "base/mem.h"

#define FIRST_ROOM 64

struct row {
    size_t key_len;
    size_t value_len;
    uint8_t bytes[]; /* key, then value */
};

struct family {
    struct row **rows;
    size_t count;
    size_t room;
};

struct change {
    enum sm_store_put_kind kind;
    enum sm_store_family family;
    struct row *row; /* owned until it is applied */
};

struct pending {
    struct change *changes;
    size_t count;
    size_t room;
    bool failed; /* a change found no memory: the batch cannot be written */
};

struct memory {
    pthread_rwlock_t lock; /* covers `families` */
    struct family families[SM_FAMILY_COUNT];
    struct pending pending[STORE_LANE_COUNT]; /* each its lane's own */
};

static sm_slice key_of(const struct row *row)
{
    return sm_slice_of(row->bytes, row->key_len);
}

static sm_slice value_of(const struct row *row)
{
    return sm_slice_of(row->bytes + row->key_len, row->value_len);
}

/* ---- sorted rows ---- */

/* The first row whose key is not below `key`. */
static size_t lower_bound(const struct family *f, sm_slice key)
{
    size_t low = 0;
    size_t high = f->count;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (sm_slice_compare(key_of(f->rows[mid]), key) < 0) {
            low = mid + 1;
        } else {
            high = mid;
        }
    }
    return low;
}

static bool is_at(const struct family *f, size_t at, sm_slice key)
{
    return at < f->count && sm_slice_equal(key_of(f->rows[at]), key);
}

static bool make_room(struct family *f, size_t more)
{
    size_t room = f->room == 0 ? FIRST_ROOM : f->room;
    while (room - f->count < more) {
        room *= 2;
    }
    if (room == f->room) {
        return true;
    }
    struct row **bigger = sm_realloc(f->rows, room * sizeof(*bigger));
    if (bigger == NULL) {
        return false;
    }
    f->rows = bigger;
    f->room = room;
    return true;
}

/* Takes the change's row. There is room. */
static void apply(struct family *f, struct change *change)
{
    size_t at = lower_bound(f, key_of(change->row));
    bool there = is_at(f, at, key_of(change->row));
    if (there) {
        sm_free(f->rows[at]);
    }
    if (change->kind == SM_DELETE) {
        sm_free(change->row);
        if (there) {
            f->count--;
            memmove(&f->rows[at], &f->rows[at + 1], (f->count - at) * sizeof(*f->rows));
        }
    } else {
        if (!there) {
            memmove(&f->rows[at + 1], &f->rows[at], (f->count - at) * sizeof(*f->rows));
            f->count++;
        }
        f->rows[at] = change->row;
    }
    change->row = NULL;
}

static void drop_rows(struct family *f)
{
    for (size_t i = 0; i < f->count; i++) {
        sm_free(f->rows[i]);
    }
    f->count = 0;
}

/* ---- batches ---- */

static struct row *copy_row(const struct sm_store_put *put)
{
    size_t value_len = put->kind == SM_DELETE ? 0 : put->value.len;
    struct row *row = sm_malloc(sizeof(*row) + put->key.len + value_len);
    if (row == NULL) {
        return NULL;
    }
    row->key_len = put->key.len;
    row->value_len = value_len;
    if (put->key.len > 0) {
        memcpy(row->bytes, put->key.ptr, put->key.len);
    }
    if (value_len > 0) {
        memcpy(row->bytes + put->key.len, put->value.ptr, value_len);
    }
    return row;
}

static bool grow_pending(struct pending *p)
{
    if (p->count < p->room) {
        return true;
    }
    size_t room = p->room == 0 ? FIRST_ROOM : p->room * 2;
    struct change *bigger = sm_realloc(p->changes, room * sizeof(*bigger));
    if (bigger == NULL) {
        return false;
    }
    p->changes = bigger;
    p->room = room;
    return true;
}

static void memory_batch_put(void *backend, enum store_lane lane, const struct sm_store_put *put)
{
    struct pending *p = &((struct memory *)backend)->pending[lane];
    struct row *row = grow_pending(p) ? copy_row(put) : NULL;
    if (row == NULL) {
        p->failed = true;
        return;
    }
    p->changes[p->count++] = (struct change){put->kind, put->family, row};
}

static void memory_batch_clear(void *backend, enum store_lane lane)
{
    struct pending *p = &((struct memory *)backend)->pending[lane];
    for (size_t i = 0; i < p->count; i++) {
        sm_free(p->changes[i].row);
    }
    p->count = 0;
    p->failed = false;
}

/* Room for the whole batch before the first change: all or nothing. */
static bool make_room_for(struct memory *m, const struct pending *p)
{
    size_t more[SM_FAMILY_COUNT] = {0};
    for (size_t i = 0; i < p->count; i++) {
        more[p->changes[i].family]++;
    }
    for (int i = 0; i < SM_FAMILY_COUNT; i++) {
        if (!make_room(&m->families[i], more[i])) {
            return false;
        }
    }
    return true;
}

static sm_err memory_batch_write(void *backend, enum store_lane lane)
{
    struct memory *m = backend;
    struct pending *p = &m->pending[lane];
    (void)pthread_rwlock_wrlock(&m->lock);
    bool fits = !p->failed && make_room_for(m, p);
    for (size_t i = 0; i < p->count && fits; i++) {
        apply(&m->families[p->changes[i].family], &p->changes[i]);
    }
    (void)pthread_rwlock_unlock(&m->lock);
    return fits ? SM_NO_ERR : SM_ERR(NO_MEMORY);
}

static sm_err memory_write_index(void *backend, store_next_put next, void *ctx, size_t count)
{
    struct sm_store_put put;
    (void)count;
    while (next(ctx, &put)) {
        memory_batch_put(backend, STORE_LANE_INDEX, &put);
    }
    sm_err err = memory_batch_write(backend, STORE_LANE_INDEX);
    memory_batch_clear(backend, STORE_LANE_INDEX);
    return err;
}

/* ---- reads ---- */

static sm_err memory_get(void *backend, enum sm_store_family family, sm_slice key, sm_buf *out)
{
    struct memory *m = backend;
    (void)pthread_rwlock_rdlock(&m->lock);
    struct family *f = &m->families[family];
    size_t at = lower_bound(f, key);
    bool found = is_at(f, at, key);
    if (found) {
        sm_buf_put(out, value_of(f->rows[at]));
    }
    (void)pthread_rwlock_unlock(&m->lock);
    return found ? sm_buf_err(out) : SM_ERR(NOT_FOUND);
}

static sm_err memory_scan(void *backend, enum sm_store_family family,
                          const struct store_range *range, store_row row, void *ctx)
{
    struct memory *m = backend;
    (void)pthread_rwlock_rdlock(&m->lock);
    struct family *f = &m->families[family];
    size_t low = lower_bound(f, range->from);
    size_t high = range->to.len == 0 ? f->count : lower_bound(f, range->to);
    for (size_t i = low; i < high; i++) {
        const struct row *r = f->rows[range->reverse ? high - 1 - (i - low) : i];
        if (!row(ctx, key_of(r), value_of(r))) {
            break;
        }
    }
    (void)pthread_rwlock_unlock(&m->lock);
    return SM_NO_ERR;
}

/* ---- life ---- */

static sm_err memory_recover(void *backend, enum store_lane lane)
{
    (void)backend;
    (void)lane;
    return SM_NO_ERR;
}

static sm_err memory_checkpoint(void *backend, const char *dir, sm_diag *diag)
{
    (void)backend;
    (void)dir;
    return sm_diag_set(diag, SM_ERR(UNSUPPORTED), "store",
                       "a store in memory has no files to copy");
}

static sm_err memory_clear_index(void *backend)
{
    struct memory *m = backend;
    (void)pthread_rwlock_wrlock(&m->lock);
    drop_rows(&m->families[SM_FAMILY_INDEX]);
    (void)pthread_rwlock_unlock(&m->lock);
    return SM_NO_ERR;
}

static void memory_close(void *backend)
{
    struct memory *m = backend;
    for (int i = 0; i < SM_FAMILY_COUNT; i++) {
        drop_rows(&m->families[i]);
        sm_free(m->families[i].rows);
    }
    for (int i = 0; i < STORE_LANE_COUNT; i++) {
        memory_batch_clear(m, (enum store_lane)i);
        sm_free(m->pending[i].changes);
    }
    (void)pthread_rwlock_destroy(&m->lock);
    sm_free(m);
}

static const struct store_backend_ops memory_ops = {
    .get = memory_get,
    .try_get = memory_get,
    .batch_put = memory_batch_put,
    .batch_write = memory_batch_write,
    .batch_clear = memory_batch_clear,
    .write_index = memory_write_index,
    .scan = memory_scan,
    .recover = memory_recover,
    .checkpoint = memory_checkpoint,
    .clear_index = memory_clear_index,
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
