/* SPDX-License-Identifier: Apache-2.0 */
#include "store/index_run_p.h"

#include "base/mem.h"
#include "store/store_p.h"

#include <stdlib.h>

#define READ_RECORDS 1024
#define READ_BYTES ((size_t)1 << 20)
#define RUN_BYTES ((size_t)8 << 20) /* of rows */
#define FIRST_ROWS 1024
#define CURSOR_BYTES 12 /* a sequence and the version of the rows, big-endian */

struct record {
    uint64_t sequence;
    size_t at;
    size_t len;
};

struct row {
    uint64_t prefix; /* of the key, in its order: most comparisons end here */
    size_t at;       /* of the key; the value follows it */
    uint32_t key_len;
    uint32_t value_len;
    uint32_t number; /* in the order of emission */
    enum sm_store_put_kind kind;
};

/* Reused from run to run. */
struct index_run {
    sm_store *store;
    sm_buf record_bytes; /* read and not yet extracted */
    struct record records[READ_RECORDS];
    size_t record_count;
    sm_buf row_bytes;
    struct row *rows;
    size_t row_count;
    size_t row_room;
    size_t next; /* of the rows, while they are written */
    sm_err err;  /* of an emitted row */
    uint8_t cursor[CURSOR_BYTES];
    bool cursor_given;
};

/* ---- records ---- */

static bool collect(void *ctx, sm_slice key, sm_slice value)
{
    struct index_run *run = ctx;
    size_t at = run->record_bytes.len;
    sm_buf_put(&run->record_bytes, value);
    if (!sm_ok(sm_buf_err(&run->record_bytes))) {
        return false;
    }
    run->records[run->record_count++] = (struct record){sm_store_get_sequence(key), at, value.len};
    return run->record_count < READ_RECORDS && run->record_bytes.len < READ_BYTES;
}

static sm_err read_records(struct index_run *run, uint64_t done)
{
    sm_store *store = run->store;
    uint8_t from[8];
    sm_store_put_sequence(from, done + 1);
    const struct store_range range = {sm_slice_of(from, sizeof(from)), SM_SLICE_NONE, false};
    run->record_count = 0;
    sm_buf_reset(&run->record_bytes);
    SM_TRY(store->ops->scan(store->backend, SM_FAMILY_LOG, &range, collect, run));
    SM_TRY(sm_buf_err(&run->record_bytes));
    /* The caller has seen a later sequence: the log ends too early. */
    return run->record_count == 0 ? SM_ERR(CORRUPT) : SM_NO_ERR;
}

/* ---- rows ---- */

static uint64_t prefix_of(sm_slice key)
{
    uint64_t prefix = 0;
    for (size_t i = 0; i < 8; i++) {
        prefix = prefix << 8 | (i < key.len ? key.ptr[i] : 0);
    }
    return prefix;
}

static sm_err add_row(struct index_run *run, enum sm_store_put_kind kind, sm_slice key,
                      sm_slice value)
{
    if (key.len == 0 || key.ptr[0] == 0) {
        return SM_ERR(INVALID); /* the cursor's place */
    }
    if (run->row_count == run->row_room) {
        size_t room = run->row_room == 0 ? FIRST_ROWS : 2 * run->row_room;
        struct row *bigger = sm_realloc(run->rows, room * sizeof(*bigger));
        if (bigger == NULL) {
            return SM_ERR(NO_MEMORY);
        }
        run->rows = bigger;
        run->row_room = room;
    }
    size_t at = run->row_bytes.len;
    sm_buf_put(&run->row_bytes, key);
    sm_buf_put(&run->row_bytes, value);
    SM_TRY(sm_buf_err(&run->row_bytes));
    run->rows[run->row_count] = (struct row){.prefix = prefix_of(key),
                                             .at = at,
                                             .key_len = (uint32_t)key.len,
                                             .value_len = (uint32_t)value.len,
                                             .number = (uint32_t)run->row_count,
                                             .kind = kind};
    run->row_count++;
    return SM_NO_ERR;
}

static void emit(void *emitter, enum sm_store_put_kind kind, sm_slice key, sm_slice value)
{
    struct index_run *run = emitter;
    if (sm_ok(run->err)) {
        run->err = add_row(run, kind, key, value);
    }
}

static sm_slice key_of(const struct index_run *run, const struct row *row)
{
    return sm_slice_of(run->row_bytes.ptr + row->at, row->key_len);
}

static sm_slice value_of(const struct index_run *run, const struct row *row)
{
    return sm_slice_of(run->row_bytes.ptr + row->at + row->key_len, row->value_len);
}

/* By key; of one key, in the order of emission. */
static int compare_rows(const void *a, const void *b, void *ctx)
{
    const struct row *x = a;
    const struct row *y = b;
    if (x->prefix != y->prefix) {
        return x->prefix < y->prefix ? -1 : 1;
    }
    int order = sm_slice_compare(key_of(ctx, x), key_of(ctx, y));
    if (order != 0) {
        return order;
    }
    return x->number < y->number ? -1 : 1;
}

/* ---- the cursor ---- */

static void put_version(uint8_t out[4], uint32_t version)
{
    for (size_t i = 0; i < 4; i++) {
        out[i] = (uint8_t)(version >> (8 * (3 - i)));
    }
}

static uint32_t get_version(sm_slice in)
{
    uint32_t v = 0;
    for (size_t i = 0; i < 4 && i < in.len; i++) {
        v = v << 8 | in.ptr[i];
    }
    return v;
}

/* ---- the run ---- */

/* Rows of the records that were read, or of as many as fit; sets `*done` to the last of them. */
static sm_err extract(struct index_run *run, uint64_t *done)
{
    const struct sm_store_config *config = &run->store->config;
    for (size_t i = 0; i < run->record_count && run->row_bytes.len < RUN_BYTES; i++) {
        const struct record *r = &run->records[i];
        sm_slice record = sm_slice_of(run->record_bytes.ptr + r->at, r->len);
        SM_TRY(config->indexer(config->indexer_ctx, run->store, r->sequence, record, emit, run));
        SM_TRY(run->err);
        *done = r->sequence;
    }
    return SM_NO_ERR;
}

/* The cursor, which is before all others, then the rows: of one key the last that was emitted. */
static bool next_put(void *ctx, struct sm_store_put *out)
{
    struct index_run *run = ctx;
    if (!run->cursor_given) {
        run->cursor_given = true;
        *out = (struct sm_store_put){SM_PUT, SM_FAMILY_INDEX, INDEX_CURSOR_KEY,
                                     sm_slice_of(run->cursor, sizeof(run->cursor))};
        return true;
    }
    while (run->next < run->row_count) {
        const struct row *row = &run->rows[run->next++];
        sm_slice key = key_of(run, row);
        if (run->next == run->row_count || !sm_slice_equal(key_of(run, row + 1), key)) {
            *out = (struct sm_store_put){row->kind, SM_FAMILY_INDEX, key, value_of(run, row)};
            return true;
        }
    }
    return false;
}

/* In the order of their keys, since each insertion then starts from where the last one was: the
 * keys are spread over the whole family and finding their places is what indexing costs. */
static sm_err write_rows(struct index_run *run, uint64_t cursor)
{
    sm_store *store = run->store;
    sm_store_put_sequence(run->cursor, cursor);
    put_version(run->cursor + 8, store->config.indexer_version);
    run->cursor_given = false;
    run->next = 0;
    if (run->row_count > 0) {
        qsort_r(run->rows, run->row_count, sizeof(*run->rows), compare_rows, run);
    }
    return store->ops->write_index(store->backend, next_put, run, 1 + run->row_count);
}

sm_err sm_index_run_go(struct index_run *run, uint64_t *done, uint64_t last)
{
    uint64_t at = *done;
    uint64_t end = last - at > INDEX_RUN_RECORDS ? at + INDEX_RUN_RECORDS : last;
    run->row_count = 0;
    run->err = SM_NO_ERR;
    sm_buf_reset(&run->row_bytes);
    while (at < end && run->row_bytes.len < RUN_BYTES) {
        SM_TRY(read_records(run, at));
        SM_TRY(extract(run, &at));
    }
    SM_TRY(write_rows(run, at));
    *done = at;
    return SM_NO_ERR;
}

sm_err sm_index_run_cursor(sm_store *store, uint64_t *out, bool *stale)
{
    sm_buf value = sm_buf_init(64);
    sm_err err = store->ops->get(store->backend, SM_FAMILY_INDEX, INDEX_CURSOR_KEY, &value);
    sm_slice cursor = sm_buf_slice(&value);
    bool found = sm_ok(err);
    *stale = found && (cursor.len != CURSOR_BYTES ||
                       get_version(sm_slice_from(cursor, 8)) != store->config.indexer_version);
    *out = found && !*stale ? sm_store_get_sequence(sm_slice_first(cursor, 8)) : 0;
    sm_buf_deinit(&value);
    return sm_err_is(err, SM_E_NOT_FOUND) ? SM_NO_ERR : err;
}

sm_err sm_index_run_new(sm_store *store, struct index_run **out)
{
    struct index_run *run = sm_calloc(1, sizeof(*run));
    if (run == NULL) {
        return SM_ERR(NO_MEMORY);
    }
    run->store = store;
    /* One record behind the limit, and what one record's rows may be. */
    run->record_bytes = sm_buf_init(READ_BYTES + SM_STORE_COMMIT_BYTES);
    run->row_bytes = sm_buf_init(RUN_BYTES + SM_STORE_COMMIT_BYTES);
    *out = run;
    return SM_NO_ERR;
}

void sm_index_run_free(struct index_run **out)
{
    struct index_run *run = *out;
    if (run != NULL) {
        sm_buf_deinit(&run->record_bytes);
        sm_buf_deinit(&run->row_bytes);
        sm_free(run->rows);
        sm_free(run);
        *out = NULL;
    }
}
