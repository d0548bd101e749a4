/* SPDX-License-Identifier: Apache-2.0 */
/* One suite for every backend: what store.h promises. */
#include "tests/store/store_test.h"

#include "base/clock.h"

#include <inttypes.h>
#include <stdatomic.h>

struct fixture {
    sm_store *store;
    struct home home;
    char dir[256];
    bool on_disk;
    /* The test's index: prefix and record -> sequence. */
    _Atomic char prefix;
    _Atomic int failing;
    _Atomic bool hold; /* the indexer stands still in its extractor */
    _Atomic int indexed;
};

static sm_err index_record(void *ctx, sm_store *store, uint64_t sequence, sm_slice record,
                           sm_store_emit emit, void *emitter)
{
    struct fixture *f = ctx;
    (void)store;
    while (atomic_load(&f->hold)) {
        (void)usleep(1000);
    }
    if (atomic_load(&f->failing) > 0) {
        atomic_fetch_sub(&f->failing, 1);
        return SM_ERR(MALFORMED);
    }
    uint8_t key[64] = {(uint8_t)atomic_load(&f->prefix)};
    char value[24];
    size_t n = record.len < sizeof(key) - 1 ? record.len : sizeof(key) - 1;
    if (n > 0) {
        memcpy(key + 1, record.ptr, n);
    }
    int len = snprintf(value, sizeof(value), "%" PRIu64, sequence);
    emit(emitter, SM_PUT, sm_slice_of(key, n + 1), sm_slice_of(value, (size_t)len));
    atomic_fetch_add(&f->indexed, 1);
    return SM_NO_ERR;
}

static void open_store(struct fixture *f, bool indexed)
{
    struct sm_store_config config = {.dir = f->on_disk ? f->dir : NULL,
                                     .create = true,
                                     .indexer = indexed ? index_record : NULL,
                                     .indexer_ctx = f};
    sm_diag diag = {.reason = ""};
    sm_err err = sm_store_open(&config, &f->store, &diag);
    if (!sm_ok(err)) {
        print_error("%s\n", diag.reason);
    }
    assert_sm_ok(err);
}

static int setup(void **state)
{
    bool on_disk = *(const bool *)*state;
    struct fixture *f = sm_calloc(1, sizeof(*f));
    f->on_disk = on_disk;
    atomic_store(&f->prefix, 'a');
    home_init(&f->home);
    if (on_disk && sm_test_dir(f->dir, sizeof(f->dir)) == NULL) {
        return -1;
    }
    open_store(f, true);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    atomic_store(&f->hold, false);
    sm_store_close(&f->store);
    (void)sm_mailbox_drain(&f->home.box);
    if (f->on_disk) {
        sm_test_remove_dir(f->dir);
    }
    sm_free(f);
    return 0;
}

/* ---- writes ---- */

static void write__is_readable(void **state)
{
    struct fixture *f = *state;
    assert_sm_ok(put_now(f->store, SM_FAMILY_CERT, SM_LIT("serial"), SM_LIT("certificate")));
    assert_true(has_value(f->store, SM_FAMILY_CERT, SM_LIT("serial"), SM_LIT("certificate")));
    assert_true(is_absent(f->store, SM_FAMILY_STATE, SM_LIT("serial")));
    assert_sm_ok(put_now(f->store, SM_FAMILY_CERT, SM_LIT("serial"), SM_LIT("other")));
    assert_true(has_value(f->store, SM_FAMILY_CERT, SM_LIT("serial"), SM_LIT("other")));
    assert_sm_ok(delete_now(f->store, SM_FAMILY_CERT, SM_LIT("serial")));
    assert_true(is_absent(f->store, SM_FAMILY_CERT, SM_LIT("serial")));
    assert_sm_ok(delete_now(f->store, SM_FAMILY_CERT, SM_LIT("never was")));
}

static void write__keeps_any_octets(void **state)
{
    struct fixture *f = *state;
    uint8_t key[256];
    for (size_t i = 0; i < sizeof(key); i++) {
        key[i] = (uint8_t)(255 - i);
    }
    sm_slice k = sm_slice_of(key, sizeof(key));
    assert_sm_ok(put_now(f->store, SM_FAMILY_META, k, k));
    assert_true(has_value(f->store, SM_FAMILY_META, k, k));
    assert_true(is_absent(f->store, SM_FAMILY_META, sm_slice_first(k, 255)));
    assert_sm_ok(put_now(f->store, SM_FAMILY_META, SM_LIT("empty"), SM_SLICE_NONE));
    assert_true(has_value(f->store, SM_FAMILY_META, SM_LIT("empty"), SM_SLICE_NONE));
}

static void write__last_put_of_a_key_wins(void **state)
{
    struct fixture *f = *state;
    struct sm_store_put puts[] = {
        put_of(SM_FAMILY_META, SM_LIT("k"), SM_LIT("1")),
        {SM_DELETE, SM_FAMILY_META, SM_LIT("k"), SM_SLICE_NONE},
        put_of(SM_FAMILY_META, SM_LIT("k"), SM_LIT("3")),
    };
    sm_store_write op = {.puts = puts, .put_count = 3};
    assert_sm_ok(sm_store_write_sync(f->store, &op));
    assert_true(has_value(f->store, SM_FAMILY_META, SM_LIT("k"), SM_LIT("3")));
}

static void write__over_the_limit_is_refused(void **state)
{
    struct fixture *f = *state;
    size_t len = SM_STORE_COMMIT_BYTES - 1;
    uint8_t *big = sm_calloc(1, len + 1);
    assert_non_null(big);
    assert_sm_ok(put_now(f->store, SM_FAMILY_META, SM_LIT("k"), sm_slice_of(big, len)));
    assert_sm_err(put_now(f->store, SM_FAMILY_META, SM_LIT("k"), sm_slice_of(big, len + 1)),
                  TOO_LARGE);
    sm_slice record = sm_slice_of(big, SM_STORE_COMMIT_BYTES - 7);
    assert_sm_err(log_now(f->store, record, NULL), TOO_LARGE);
    assert_int_equal(sm_store_last_sequence(f->store), 0);
    sm_free(big);
}

/* ---- conditions ---- */

static void condition__absent(void **state)
{
    struct fixture *f = *state;
    struct sm_store_cond conds[] = {
        {SM_COND_ABSENT, SM_FAMILY_META, SM_LIT("free"), SM_SLICE_NONE},
        {SM_COND_ABSENT, SM_FAMILY_META, SM_LIT("taken"), SM_SLICE_NONE},
    };
    struct sm_store_put put = put_of(SM_FAMILY_META, SM_LIT("free"), SM_LIT("x"));
    sm_slice record = SM_LIT("record");
    sm_store_write op = {.conds = conds,
                         .cond_count = 2,
                         .puts = &put,
                         .put_count = 1,
                         .log = &record,
                         .log_count = 1};
    assert_sm_ok(put_now(f->store, SM_FAMILY_META, SM_LIT("taken"), SM_SLICE_NONE));
    assert_sm_err(sm_store_write_sync(f->store, &op), EXISTS);
    assert_int_equal(op.failed_cond, 1);
    assert_true(is_absent(f->store, SM_FAMILY_META, SM_LIT("free")));
    assert_int_equal(sm_store_last_sequence(f->store), 0);
    assert_sm_ok(delete_now(f->store, SM_FAMILY_META, SM_LIT("taken")));
    assert_sm_ok(sm_store_write_sync(f->store, &op));
    assert_int_equal(op.first_sequence, 1);
    assert_sm_err(sm_store_write_sync(f->store, &op), EXISTS);
    assert_int_equal(op.failed_cond, 0);
}

static void condition__equals(void **state)
{
    struct fixture *f = *state;
    struct sm_store_cond cond = {SM_COND_EQUALS, SM_FAMILY_STATE, SM_LIT("k"), SM_LIT("good")};
    struct sm_store_put put = put_of(SM_FAMILY_STATE, SM_LIT("k"), SM_LIT("revoked"));
    sm_store_write op = {.conds = &cond, .cond_count = 1, .puts = &put, .put_count = 1};
    assert_sm_err(sm_store_write_sync(f->store, &op), CONFLICT); /* absent is not equal */
    assert_sm_ok(put_now(f->store, SM_FAMILY_STATE, SM_LIT("k"), SM_LIT("goo")));
    assert_sm_err(sm_store_write_sync(f->store, &op), CONFLICT);
    assert_sm_ok(put_now(f->store, SM_FAMILY_STATE, SM_LIT("k"), SM_LIT("good")));
    assert_sm_ok(sm_store_write_sync(f->store, &op));
    assert_sm_err(sm_store_write_sync(f->store, &op), CONFLICT);
    assert_true(has_value(f->store, SM_FAMILY_STATE, SM_LIT("k"), SM_LIT("revoked")));
}

static void condition__equals_empty_is_not_absent(void **state)
{
    struct fixture *f = *state;
    struct sm_store_cond cond = {SM_COND_EQUALS, SM_FAMILY_META, SM_LIT("k"), SM_SLICE_NONE};
    sm_store_write op = {.conds = &cond, .cond_count = 1};
    assert_sm_err(sm_store_write_sync(f->store, &op), CONFLICT);
    assert_sm_ok(put_now(f->store, SM_FAMILY_META, SM_LIT("k"), SM_SLICE_NONE));
    assert_sm_ok(sm_store_write_sync(f->store, &op));
}

/* Many writes in the air, to be found in the same batches. */
#define MANY 600

struct counted {
    sm_store_write op;
    struct sm_store_cond cond;
    struct sm_store_put put;
    sm_slice record;
    char key[32];
    char value[32];
    size_t *done;
    size_t order; /* of completion */
};

static void on_counted(sm_store_write *op)
{
    struct counted *c = SM_CONTAINER_OF(op, struct counted, op);
    c->order = (*c->done)++;
}

static void submit(struct fixture *f, struct counted *c, size_t *done)
{
    c->done = done;
    c->op.home = &f->home.box;
    c->op.done = on_counted;
    assert_sm_ok(sm_store_submit_write(f->store, &c->op));
}

static void race_for(struct fixture *f, enum sm_store_family family)
{
    struct counted *all = sm_calloc(MANY, sizeof(*all));
    size_t done = 0;
    size_t won = 0;
    for (size_t i = 0; i < MANY; i++) {
        struct counted *c = &all[i];
        c->cond = (struct sm_store_cond){SM_COND_ABSENT, family, SM_LIT("serial"), SM_SLICE_NONE};
        c->put = put_of(family, SM_LIT("serial"), SM_LIT("v"));
        c->op = (sm_store_write){
            .conds = &c->cond, .cond_count = 1, .puts = &c->put, .put_count = 1};
        submit(f, c, &done);
    }
    home_run(&f->home, &done, MANY);
    for (size_t i = 0; i < MANY; i++) {
        won += sm_ok(all[i].op.err);
        assert_true(sm_ok(all[i].op.err) || sm_err_is(all[i].op.err, SM_E_EXISTS));
        assert_int_equal(all[i].order, i); /* completions keep the order of submission */
    }
    assert_int_equal(won, 1);
    assert_sm_ok(all[0].op.err);
    sm_free(all);
}

static void condition__one_of_a_batch_wins(void **state)
{
    race_for(*state, SM_FAMILY_META);
    race_for(*state, SM_FAMILY_CERT);
    race_for(*state, SM_FAMILY_OCSP);
}

/* Each write's condition is the value of the write before it. */
static void condition__sees_earlier_writes_of_its_batch(void **state)
{
    struct fixture *f = *state;
    struct counted *all = sm_calloc(MANY, sizeof(*all));
    size_t done = 0;
    assert_sm_ok(put_now(f->store, SM_FAMILY_META, SM_LIT("n"), SM_LIT("0")));
    for (size_t i = 0; i < MANY; i++) {
        struct counted *c = &all[i];
        int len = snprintf(c->key, sizeof(c->key), "%zu", i);
        int next = snprintf(c->value, sizeof(c->value), "%zu", i + 1);
        c->cond = (struct sm_store_cond){SM_COND_EQUALS, SM_FAMILY_META, SM_LIT("n"),
                                         sm_slice_of(c->key, (size_t)len)};
        c->put = put_of(SM_FAMILY_META, SM_LIT("n"), sm_slice_of(c->value, (size_t)next));
        c->op = (sm_store_write){
            .conds = &c->cond, .cond_count = 1, .puts = &c->put, .put_count = 1};
        submit(f, c, &done);
    }
    home_run(&f->home, &done, MANY);
    for (size_t i = 0; i < MANY; i++) {
        assert_sm_ok(all[i].op.err);
    }
    assert_true(has_value(f->store, SM_FAMILY_META, SM_LIT("n"), SM_LIT("600")));
    sm_free(all);
}

/* Writes without conditions come first in their batch: the overlay is built behind them. */
static void condition__sees_unconditional_writes_before_it(void **state)
{
    struct fixture *f = *state;
    struct counted *all = sm_calloc(MANY, sizeof(*all));
    size_t done = 0;
    for (size_t i = 0; i < MANY; i++) {
        struct counted *c = &all[i];
        size_t pair = i / 2;
        int len = snprintf(c->key, sizeof(c->key), "%zu", pair);
        sm_slice key = sm_slice_of(c->key, (size_t)len);
        c->cond = (struct sm_store_cond){SM_COND_ABSENT, SM_FAMILY_STATE, key, SM_SLICE_NONE};
        c->put = put_of(SM_FAMILY_STATE, key, SM_LIT("v"));
        c->op = (sm_store_write){
            .conds = &c->cond, .cond_count = i % 2, .puts = &c->put, .put_count = 1};
        submit(f, c, &done);
    }
    home_run(&f->home, &done, MANY);
    for (size_t i = 0; i < MANY; i++) {
        assert_int_equal(all[i].op.err.code, i % 2 == 0 ? 0 : SM_E_EXISTS);
    }
    sm_free(all);
}

/* ---- a family that must be as it was ---- */

static void unchanged__fails_when_the_family_was_written(void **state)
{
    struct fixture *f = *state;
    struct sm_store_put put = put_of(SM_FAMILY_OCSP, SM_LIT("o1"), SM_LIT("a"));
    struct sm_store_unchanged u = {SM_FAMILY_STATE, sm_store_version(f->store, SM_FAMILY_STATE)};
    sm_store_write op = {.puts = &put, .put_count = 1, .unchanged = &u};
    assert_sm_ok(sm_store_write_sync(f->store, &op));
    assert_sm_ok(put_now(f->store, SM_FAMILY_META, SM_LIT("other"), SM_LIT("x")));
    assert_sm_ok(sm_store_write_sync(f->store, &op)); /* other families do not count */
    assert_sm_ok(put_now(f->store, SM_FAMILY_STATE, SM_LIT("s"), SM_LIT("x")));
    assert_sm_err(sm_store_write_sync(f->store, &op), CONFLICT);
    assert_true(op.failed_cond == SM_STORE_CHANGED);
    u.version = sm_store_version(f->store, SM_FAMILY_STATE);
    assert_sm_ok(sm_store_write_sync(f->store, &op));
}

/* ---- tables ---- */

#define TABLE_ROWS 3000

static void fill_table(struct sm_store_put *puts, uint8_t (*keys)[8], sm_slice value)
{
    for (uint32_t i = 0; i < TABLE_ROWS; i++) {
        memcpy(keys[i], "orow", 4);
        for (int k = 0; k < 4; k++) {
            keys[i][4 + k] = (uint8_t)(i >> (24 - 8 * k));
        }
        puts[i] = put_of(SM_FAMILY_OCSP, sm_slice_of(keys[i], 8), value);
    }
}

static void assert_value(struct fixture *f, sm_slice key, const char *value)
{
    sm_buf out = sm_buf_init(4096);
    assert_sm_ok(sm_store_get_sync(f->store, SM_FAMILY_OCSP, key, &out));
    assert_true(sm_slice_equal(sm_buf_slice(&out), sm_slice_str(value)));
    sm_buf_deinit(&out);
}

static void table__is_taken_in_unless_a_condition_fails(void **state)
{
    struct fixture *f = *state;
    static struct sm_store_put puts[TABLE_ROWS];
    static uint8_t keys[TABLE_ROWS][8];
    struct sm_store_unchanged u = {SM_FAMILY_STATE, sm_store_version(f->store, SM_FAMILY_STATE)};
    sm_store_write op = {.puts = puts, .put_count = TABLE_ROWS, .unchanged = &u};
    fill_table(puts, keys, SM_LIT("one"));
    sm_err err = sm_store_write_table(f->store, &op);
    if (sm_err_is(err, SM_E_UNSUPPORTED)) {
        return; /* a backend without tables */
    }
    assert_sm_ok(err);
    assert_value(f, puts[0].key, "one");
    assert_value(f, puts[TABLE_ROWS - 1].key, "one");
    /* Over what is there; a removal among them. */
    fill_table(puts, keys, SM_LIT("two"));
    puts[5].kind = SM_DELETE;
    assert_sm_ok(sm_store_write_table(f->store, &op));
    assert_value(f, puts[4].key, "two");
    sm_buf out = sm_buf_init(4096);
    assert_sm_err(sm_store_get_sync(f->store, SM_FAMILY_OCSP, puts[5].key, &out), NOT_FOUND);
    sm_buf_deinit(&out);
    /* A condition that fails: nothing of it. */
    assert_sm_ok(put_now(f->store, SM_FAMILY_STATE, SM_LIT("s"), SM_LIT("x")));
    fill_table(puts, keys, SM_LIT("three"));
    assert_sm_err(sm_store_write_table(f->store, &op), CONFLICT);
    assert_value(f, puts[4].key, "two");
    /* A neighbour in the memtable: nothing of it either, and no flush. */
    assert_sm_ok(put_now(f->store, SM_FAMILY_OCSP, puts[7].key, SM_LIT("newer")));
    op.unchanged = NULL;
    assert_sm_err(sm_store_write_table(f->store, &op), EXHAUSTED);
    assert_value(f, puts[7].key, "newer");
    assert_value(f, puts[8].key, "two");
    assert_sm_ok(sm_store_write_sync(f->store, &op));
    assert_value(f, puts[8].key, "three");
}

/* ---- the log ---- */

static bool expect_sequence(void *ctx, sm_slice key, sm_slice value)
{
    uint64_t *next = ctx;
    uint8_t want[8];
    (void)value;
    for (int i = 0; i < 8; i++) {
        want[i] = (uint8_t)(*next >> (56 - 8 * i));
    }
    (*next)++;
    return sm_slice_equal(key, sm_slice_of(want, sizeof(want)));
}

static void log__sequences_run_without_gap(void **state)
{
    struct fixture *f = *state;
    struct counted *all = sm_calloc(MANY, sizeof(*all));
    const sm_slice records[3] = {SM_LIT("a"), SM_LIT("b"), SM_LIT("c")};
    size_t done = 0;
    uint64_t next = 1;
    for (size_t i = 0; i < MANY; i++) {
        /* Every fifth is refused: its records must not take a number. */
        struct counted *c = &all[i];
        c->cond = (struct sm_store_cond){SM_COND_EQUALS, SM_FAMILY_META, SM_LIT("no"), SM_LIT("")};
        c->op = (sm_store_write){
            .conds = &c->cond, .cond_count = i % 5 == 0, .log = records, .log_count = i % 4};
        submit(f, c, &done);
    }
    home_run(&f->home, &done, MANY);
    for (size_t i = 0; i < MANY; i++) {
        if (i % 5 == 0) {
            assert_sm_err(all[i].op.err, CONFLICT);
            continue;
        }
        assert_sm_ok(all[i].op.err);
        assert_int_equal(all[i].op.first_sequence, next);
        next += i % 4;
    }
    assert_int_equal(sm_store_last_sequence(f->store), next - 1);
    uint64_t at = 1;
    assert_sm_ok(sm_store_scan_sync(f->store, SM_FAMILY_LOG, SM_SLICE_NONE, SM_SLICE_NONE,
                                    expect_sequence, &at));
    assert_int_equal(at, next);
    sm_free(all);
}

/* ---- reads ---- */

struct counted_read {
    sm_store_read op;
    size_t done;
};

static void on_counted_read(sm_store_read *op)
{
    SM_CONTAINER_OF(op, struct counted_read, op)->done++;
}

static void read__tells_absent_from_empty(void **state)
{
    struct fixture *f = *state;
    const sm_slice keys[] = {SM_LIT("a"), SM_LIT("missing"), SM_LIT("empty"), SM_LIT("b")};
    sm_slice values[4];
    assert_sm_ok(put_now(f->store, SM_FAMILY_META, SM_LIT("a"), SM_LIT("1")));
    assert_sm_ok(put_now(f->store, SM_FAMILY_META, SM_LIT("empty"), SM_SLICE_NONE));
    assert_sm_ok(put_now(f->store, SM_FAMILY_META, SM_LIT("b"), SM_LIT("22")));
    struct counted_read r = {.op = {.home = &f->home.box,
                                    .family = SM_FAMILY_META,
                                    .keys = keys,
                                    .count = 4,
                                    .done = on_counted_read,
                                    .bytes = sm_buf_init(64),
                                    .values = values}};
    assert_sm_ok(sm_store_submit_read(f->store, &r.op));
    home_run(&f->home, &r.done, 1);
    assert_sm_ok(r.op.err);
    assert_true(sm_slice_equal(values[0], SM_LIT("1")));
    assert_null(values[1].ptr);
    assert_non_null(values[2].ptr);
    assert_int_equal(values[2].len, 0);
    assert_true(sm_slice_equal(values[3], SM_LIT("22")));
    sm_buf_deinit(&r.op.bytes);
}

static void read__stops_at_its_buffer(void **state)
{
    struct fixture *f = *state;
    const sm_slice keys[] = {SM_LIT("a"), SM_LIT("a")};
    sm_slice values[2];
    assert_sm_ok(put_now(f->store, SM_FAMILY_META, SM_LIT("a"), SM_LIT("0123456789")));
    struct counted_read r = {.op = {.home = &f->home.box,
                                    .family = SM_FAMILY_META,
                                    .keys = keys,
                                    .count = 2,
                                    .done = on_counted_read,
                                    .bytes = sm_buf_init(15),
                                    .values = values}};
    assert_sm_ok(sm_store_submit_read(f->store, &r.op));
    home_run(&f->home, &r.done, 1);
    assert_sm_err(r.op.err, TOO_LARGE);
    sm_buf_deinit(&r.op.bytes);
}

static void try_get__finds_what_is_in_memory(void **state)
{
    struct fixture *f = *state;
    sm_buf out = sm_buf_init(16);
    assert_sm_err(sm_store_try_get(f->store, SM_FAMILY_STATE, SM_LIT("k"), &out), NOT_FOUND);
    assert_sm_ok(put_now(f->store, SM_FAMILY_STATE, SM_LIT("k"), SM_LIT("value")));
    assert_sm_ok(sm_store_try_get(f->store, SM_FAMILY_STATE, SM_LIT("k"), &out));
    assert_true(sm_slice_equal(sm_buf_slice(&out), SM_LIT("value")));
    assert_sm_ok(sm_store_try_get(f->store, SM_FAMILY_STATE, SM_LIT("k"), &out)); /* appends */
    assert_int_equal(out.len, 10);
    sm_buf_deinit(&out);
    out = sm_buf_init(3);
    assert_sm_err(sm_store_try_get(f->store, SM_FAMILY_STATE, SM_LIT("k"), &out), TOO_LARGE);
    sm_buf_deinit(&out);
}

/* ---- scans ---- */

#define SCAN_ROWS 16

struct counted_scan {
    sm_store_scan op;
    struct sm_store_row rows[SCAN_ROWS];
    size_t done;
};

static void on_counted_scan(sm_store_scan *op)
{
    SM_CONTAINER_OF(op, struct counted_scan, op)->done++;
}

static void start_scan(struct fixture *f, struct counted_scan *s)
{
    s->op.home = &f->home.box;
    s->op.done = on_counted_scan;
    s->op.rows = s->rows;
    s->done = 0;
    s->op.bytes = sm_buf_init(s->op.bytes.cap == 0 ? 4096 : s->op.bytes.cap);
    s->op.max_rows = s->op.max_rows == 0 ? SCAN_ROWS : s->op.max_rows;
    assert_sm_ok(sm_store_submit_scan(f->store, &s->op));
}

/* The first octets of the keys found, as a string. */
static const char *scan_keys(struct fixture *f, struct counted_scan *s)
{
    static char keys[SCAN_ROWS + 1];
    start_scan(f, s);
    home_run(&f->home, &s->done, 1);
    for (size_t i = 0; i < s->op.row_count; i++) {
        keys[i] = (char)s->rows[i].key.ptr[0];
        assert_int_equal(s->rows[i].value.len, 2);
        assert_int_equal(s->rows[i].value.ptr[1], s->rows[i].key.ptr[0]);
    }
    keys[s->op.row_count] = '\0';
    sm_buf_deinit(&s->op.bytes);
    return keys;
}

static void put_letters(struct fixture *f)
{
    for (char c = 'b'; c <= 'h'; c = (char)(c + 2)) { /* b d f h */
        char value[2] = {'v', c};
        assert_sm_ok(put_now(f->store, SM_FAMILY_OCSP, sm_slice_of(&c, 1), sm_slice_of(value, 2)));
    }
}

static void scan__takes_its_range(void **state)
{
    struct fixture *f = *state;
    static const struct {
        const char *from;
        const char *to;
        const char *forward;
        const char *reverse;
    } cases[] = {
        {"", "", "bdfh", "hfdb"}, {"b", "h", "bdf", "fdb"}, {"c", "g", "df", "fd"},
        {"a", "b", "", ""},       {"h", "", "h", "h"},      {"i", "", "", ""},
        {"", "b", "", ""},        {"", "bb", "b", "b"},     {"f", "f", "", ""},
        {"g", "c", "", ""},       {"d", "d\x01", "d", "d"}, {"", "zz", "bdfh", "hfdb"},
    };
    put_letters(f);
    for (size_t i = 0; i < SM_ARRAY_LEN(cases); i++) {
        struct counted_scan s = {.op = {.family = SM_FAMILY_OCSP,
                                        .from = sm_slice_str(cases[i].from),
                                        .to = sm_slice_str(cases[i].to)}};
        assert_string_equal(scan_keys(f, &s), cases[i].forward);
        assert_false(s.op.more);
        s.op.reverse = true;
        assert_string_equal(scan_keys(f, &s), cases[i].reverse);
        assert_false(s.op.more);
    }
}

static void scan__ends_early_and_says_so(void **state)
{
    struct fixture *f = *state;
    put_letters(f);
    struct counted_scan s = {.op = {.family = SM_FAMILY_OCSP, .max_rows = 3}};
    assert_string_equal(scan_keys(f, &s), "bdf");
    assert_true(s.op.more);
    s.op.max_rows = 4;
    assert_string_equal(scan_keys(f, &s), "bdfh");
    assert_false(s.op.more);
    s.op.reverse = true;
    s.op.max_rows = 1;
    assert_string_equal(scan_keys(f, &s), "h");
    assert_true(s.op.more);
    s.op.max_rows = SCAN_ROWS;
    s.op.bytes.cap = 7; /* two rows of three octets */
    assert_string_equal(scan_keys(f, &s), "hf");
    assert_true(s.op.more);
    assert_sm_ok(s.op.err);
    s.op.bytes.cap = 2;
    assert_string_equal(scan_keys(f, &s), "");
    assert_sm_err(s.op.err, TOO_LARGE);
}

/* ---- the index ---- */

static void index__waits_until_it_has_caught_up(void **state)
{
    struct fixture *f = *state;
    atomic_store(&f->hold, true);
    assert_sm_ok(log_now(f->store, SM_LIT("x"), NULL));
    struct counted_scan waits = {.op = {.family = SM_FAMILY_INDEX, .wait_index = true}};
    struct counted_scan goes = {.op = {.family = SM_FAMILY_INDEX}};
    start_scan(f, &waits);
    start_scan(f, &goes);
    home_run(&f->home, &goes.done, 1);
    assert_int_equal(goes.op.row_count, 0);
    assert_int_equal(waits.done, 0);
    atomic_store(&f->hold, false);
    home_run(&f->home, &waits.done, 1);
    assert_sm_ok(waits.op.err);
    assert_int_equal(waits.op.row_count, 1);
    assert_true(sm_slice_equal(waits.rows[0].key, SM_LIT("ax")));
    assert_true(sm_slice_equal(waits.rows[0].value, SM_LIT("1")));
    sm_buf_deinit(&waits.op.bytes);
    sm_buf_deinit(&goes.op.bytes);
}

/* Rows of the index by a scan that waits for it. */
static size_t index_rows(struct fixture *f, sm_slice from, sm_slice to)
{
    struct counted_scan s = {
        .op = {.family = SM_FAMILY_INDEX, .wait_index = true, .from = from, .to = to}};
    start_scan(f, &s);
    home_run(&f->home, &s.done, 1);
    assert_sm_ok(s.op.err);
    size_t n = s.op.row_count;
    s.op.reverse = true;
    sm_buf_deinit(&s.op.bytes);
    start_scan(f, &s);
    home_run(&f->home, &s.done, 1);
    assert_int_equal(s.op.row_count, n);
    sm_buf_deinit(&s.op.bytes);
    return n;
}

static void index__cursor_is_hidden(void **state)
{
    struct fixture *f = *state;
    assert_sm_ok(log_now(f->store, SM_LIT("x"), NULL));
    assert_int_equal(index_rows(f, SM_SLICE_NONE, SM_SLICE_NONE), 1);
    assert_int_equal(index_rows(f, SM_LIT("\0"), SM_SLICE_NONE), 1);
    assert_int_equal(index_rows(f, SM_LIT("\0"), SM_LIT("\1")), 0);
    assert_int_equal(count_rows(f->store, SM_FAMILY_INDEX), 1);
}

static void index__is_rebuilt_from_the_log(void **state)
{
    struct fixture *f = *state;
    char record[8];
    for (int i = 0; i < 12; i++) {
        int len = snprintf(record, sizeof(record), "%d", i);
        assert_sm_ok(log_now(f->store, sm_slice_of(record, (size_t)len), NULL));
    }
    assert_int_equal(index_rows(f, SM_LIT("a"), SM_LIT("b")), 12);
    atomic_store(&f->prefix, 'b');
    assert_sm_ok(sm_store_rebuild_index(f->store));
    assert_int_equal(index_rows(f, SM_LIT("a"), SM_LIT("b")), 0);
    assert_int_equal(index_rows(f, SM_LIT("b"), SM_LIT("c")), 12);
    assert_sm_ok(log_now(f->store, SM_LIT("z"), NULL));
    assert_int_equal(index_rows(f, SM_LIT("b"), SM_LIT("c")), 13);
}

static void index__failure_is_told_and_retried(void **state)
{
    struct fixture *f = *state;
    atomic_store(&f->failing, 1);
    atomic_store(&f->hold, true);
    assert_sm_ok(log_now(f->store, SM_LIT("x"), NULL));
    struct counted_scan s = {.op = {.family = SM_FAMILY_INDEX, .wait_index = true}};
    start_scan(f, &s);
    atomic_store(&f->hold, false);
    home_run(&f->home, &s.done, 1);
    assert_sm_err(s.op.err, UNAVAILABLE);
    sm_buf_deinit(&s.op.bytes);
    assert_int_equal(index_rows(f, SM_SLICE_NONE, SM_SLICE_NONE), 1);
}

static sm_err emit_cursor(void *ctx, sm_store *store, uint64_t sequence, sm_slice record,
                          sm_store_emit emit, void *emitter)
{
    (void)ctx;
    (void)store;
    (void)sequence;
    (void)record;
    emit(emitter, SM_PUT, SM_LIT("\0cursor"), SM_LIT("mine"));
    return SM_NO_ERR;
}

static void index__refuses_the_cursors_place(void **state)
{
    struct fixture *f = *state;
    sm_store *store;
    struct sm_store_config config = {.indexer = emit_cursor};
    assert_sm_ok(sm_store_open(&config, &store, NULL));
    assert_sm_ok(log_now(store, SM_LIT("x"), NULL));
    sm_store *before = f->store;
    f->store = store;
    struct counted_scan s = {.op = {.family = SM_FAMILY_INDEX, .wait_index = true}};
    start_scan(f, &s);
    home_run(&f->home, &s.done, 1);
    assert_sm_err(s.op.err, UNAVAILABLE);
    f->store = before;
    sm_buf_deinit(&s.op.bytes);
    sm_store_close(&store);
}

static void index__without_indexer(void **state)
{
    struct fixture *f = *state;
    sm_store_close(&f->store);
    open_store(f, false);
    assert_sm_ok(log_now(f->store, SM_LIT("x"), NULL));
    assert_sm_err(sm_store_rebuild_index(f->store), PRECONDITION);
    assert_int_equal(index_rows(f, SM_SLICE_NONE, SM_SLICE_NONE), 0);
}

/* ---- subscriptions ---- */

struct watcher {
    sm_store_subscription sub;
    sm_store *store;
    size_t calls;
    uint64_t seen;
};

static void on_advance(sm_store_subscription *sub)
{
    struct watcher *w = SM_CONTAINER_OF(sub, struct watcher, sub);
    w->calls++;
    w->seen = sm_store_last_sequence(w->store);
}

static void subscription__tells_of_growth_once(void **state)
{
    struct fixture *f = *state;
    struct watcher w = {.sub = {.home = &f->home.box, .on_advance = on_advance}, .store = f->store};
    struct watcher other = w;
    sm_store_subscribe(f->store, &w.sub);
    sm_store_subscribe(f->store, &other.sub);
    assert_sm_ok(put_now(f->store, SM_FAMILY_META, SM_LIT("k"), SM_LIT("v")));
    (void)sm_mailbox_drain(&f->home.box);
    assert_int_equal(w.calls, 0); /* the log has not grown */
    for (int i = 0; i < 10; i++) {
        assert_sm_ok(log_now(f->store, SM_LIT("x"), NULL));
    }
    home_run(&f->home, &w.calls, 1);
    assert_int_equal(w.calls, 1); /* ten advances, one message */
    assert_int_equal(w.seen, 10);
    assert_int_equal(other.calls, 1);
    assert_sm_ok(log_now(f->store, SM_LIT("x"), NULL));
    sm_store_unsubscribe(f->store, &w.sub); /* its message is under way */
    home_run(&f->home, &other.calls, 2);
    assert_int_equal(w.calls, 1);
    assert_sm_ok(log_now(f->store, SM_LIT("x"), NULL));
    home_run(&f->home, &other.calls, 3);
    assert_int_equal(w.calls, 1);
    sm_store_unsubscribe(f->store, &other.sub);
    sm_store_unsubscribe(f->store, &other.sub); /* harmless */
}

/* ---- limits, closing ---- */

/* Scans that wait for an index that stands still fill the lane. */
static void queue__refuses_past_its_limit(void **state)
{
    struct fixture *f = *state;
    struct counted_scan *all = sm_calloc(SM_STORE_QUEUE_MAX + 1, sizeof(*all));
    assert_non_null(all);
    atomic_store(&f->hold, true);
    assert_sm_ok(log_now(f->store, SM_LIT("x"), NULL));
    for (size_t i = 0; i < SM_STORE_QUEUE_MAX; i++) {
        all[i].op.family = SM_FAMILY_INDEX;
        all[i].op.wait_index = true;
        start_scan(f, &all[i]);
    }
    struct counted_scan *late = &all[SM_STORE_QUEUE_MAX];
    late->op = (sm_store_scan){.home = &f->home.box, .done = on_counted_scan, .max_rows = 1};
    assert_sm_err(sm_store_submit_scan(f->store, &late->op), QUEUE_FULL);
    struct counted_read read = {.op = {.home = &f->home.box, .done = on_counted_read}};
    assert_sm_err(sm_store_submit_read(f->store, &read.op), QUEUE_FULL);
    /* Writes have a queue of their own. */
    assert_sm_ok(put_now(f->store, SM_FAMILY_META, SM_LIT("k"), SM_LIT("v")));
    atomic_store(&f->hold, false);
    for (size_t i = 0; i < SM_STORE_QUEUE_MAX; i++) {
        home_run(&f->home, &all[i].done, 1);
        assert_sm_ok(all[i].op.err);
        sm_buf_deinit(&all[i].op.bytes);
    }
    assert_sm_ok(sm_store_submit_read(f->store, &read.op));
    home_run(&f->home, &read.done, 1);
    assert_int_equal(late->done, 0);
    sm_free(all);
}

#define FLOOD 400000 /* more than any lane commits while they are submitted */

struct flood {
    struct fixture *f;
    sm_store_write *ops;
    struct sm_store_put put;
    size_t sent;
    sm_err err;
};

static size_t flood_done;

static void on_flood(sm_store_write *op)
{
    SM_CHECK(sm_ok(op->err));
    flood_done++;
}

/* Inside a scan, which keeps the memory backend from writing. */
static bool submit_flood(void *ctx, sm_slice key, sm_slice value)
{
    struct flood *flood = ctx;
    (void)key;
    (void)value;
    while (sm_ok(flood->err) && flood->sent < FLOOD) {
        sm_store_write *op = &flood->ops[flood->sent];
        *op = (sm_store_write){
            .home = &flood->f->home.box, .puts = &flood->put, .put_count = 1, .done = on_flood};
        flood->err = sm_store_submit_write(flood->f->store, op);
        flood->sent += sm_ok(flood->err);
    }
    return false;
}

static void queue__of_writes_has_its_limit(void **state)
{
    struct fixture *f = *state;
    struct flood flood = {.f = f, .put = put_of(SM_FAMILY_META, SM_LIT("k"), SM_LIT("v"))};
    flood.ops = sm_calloc(FLOOD, sizeof(*flood.ops));
    assert_non_null(flood.ops);
    flood_done = 0;
    assert_sm_ok(put_now(f->store, SM_FAMILY_OCSP, SM_LIT("k"), SM_LIT("v")));
    assert_sm_ok(sm_store_scan_sync(f->store, SM_FAMILY_OCSP, SM_SLICE_NONE, SM_SLICE_NONE,
                                    submit_flood, &flood));
    assert_sm_err(flood.err, QUEUE_FULL);
    assert_true(flood.sent >= SM_STORE_QUEUE_MAX);
    home_run(&f->home, &flood_done, flood.sent);
    assert_int_equal(flood_done, flood.sent);
    assert_sm_ok(put_now(f->store, SM_FAMILY_META, SM_LIT("k"), SM_LIT("w")));
    sm_free(flood.ops);
}

static void close__completes_everything(void **state)
{
    struct fixture *f = *state;
    struct counted *all = sm_calloc(MANY, sizeof(*all));
    struct counted_scan *scans = sm_calloc(MANY, sizeof(*scans));
    size_t done = 0;
    sm_slice record = SM_LIT("r");
    for (size_t i = 0; i < MANY; i++) {
        int len = snprintf(all[i].key, sizeof(all[i].key), "%04zu", i);
        all[i].put = put_of(SM_FAMILY_CERT, sm_slice_of(all[i].key, (size_t)len), SM_LIT("v"));
        all[i].op = (sm_store_write){
            .puts = &all[i].put, .put_count = 1, .log = &record, .log_count = 1};
        submit(f, &all[i], &done);
        scans[i].op = (sm_store_scan){.family = SM_FAMILY_CERT};
        start_scan(f, &scans[i]);
    }
    sm_store_close(&f->store);
    (void)sm_mailbox_drain(&f->home.box);
    assert_int_equal(done, MANY);
    for (size_t i = 0; i < MANY; i++) {
        assert_sm_ok(all[i].op.err);
        assert_int_equal(scans[i].done, 1);
        assert_sm_ok(scans[i].op.err);
        sm_buf_deinit(&scans[i].op.bytes);
    }
    open_store(f, false);
    assert_int_equal(count_rows(f->store, SM_FAMILY_CERT), f->on_disk ? MANY : 0);
    sm_free(all);
    sm_free(scans);
}

static void *close_in_thread(void *arg)
{
    sm_store_close(arg);
    return NULL;
}

/* The indexer holds close up while this thread goes on submitting. */
static void close__refuses_new_work_and_frees_waiting_scans(void **state)
{
    struct fixture *f = *state;
    sm_store *store = f->store;
    pthread_t closer;
    sm_err err = SM_NO_ERR;
    size_t done = 0;
    size_t sent = 0;
    atomic_store(&f->hold, true);
    assert_sm_ok(log_now(store, SM_LIT("x"), NULL));
    struct counted_scan waits = {.op = {.family = SM_FAMILY_INDEX, .wait_index = true}};
    start_scan(f, &waits);
    assert_int_equal(pthread_create(&closer, NULL, close_in_thread, &f->store), 0);
    while (sm_ok(err)) {
        struct counted c = {.op = {.home = &f->home.box, .done = on_counted}, .done = &done};
        err = sm_store_submit_write(store, &c.op);
        if (sm_ok(err)) {
            home_run(&f->home, &done, ++sent);
        }
    }
    assert_sm_err(err, DRAINING);
    struct counted_scan late = {
        .op = {.home = &f->home.box, .done = on_counted_scan, .max_rows = 1}};
    assert_sm_err(sm_store_submit_scan(store, &late.op), DRAINING);
    atomic_store(&f->hold, false);
    assert_int_equal(pthread_join(closer, NULL), 0);
    home_run(&f->home, &waits.done, 1);
    /* It was freed by the index or by the end, but it was freed. */
    assert_true(sm_ok(waits.op.err) || sm_err_is(waits.op.err, SM_E_DRAINING));
    sm_buf_deinit(&waits.op.bytes);
}

/* ---- many threads ---- */

#define THREADS 4
#define PER_THREAD 400

struct submitter {
    struct fixture *f;
    struct home home;
    struct counted *all;
    size_t id;
    size_t done;
};

static void on_submitted(sm_store_write *op)
{
    struct counted *c = SM_CONTAINER_OF(op, struct counted, op);
    (*c->done)++;
}

static void *submit_many(void *arg)
{
    struct submitter *s = arg;
    static const sm_slice record = {(const uint8_t *)"r", 1};
    for (size_t i = 0; i < PER_THREAD; i++) {
        struct counted *c = &s->all[i];
        /* Each key is wanted by all threads: one of them gets it. */
        int len = snprintf(c->key, sizeof(c->key), "%zu", i);
        sm_slice key = sm_slice_of(c->key, (size_t)len);
        c->cond = (struct sm_store_cond){SM_COND_ABSENT, SM_FAMILY_META, key, SM_SLICE_NONE};
        c->put = put_of(SM_FAMILY_META, key, SM_LIT("v"));
        c->done = &s->done;
        c->op = (sm_store_write){.home = &s->home.box,
                                 .conds = &c->cond,
                                 .cond_count = 1,
                                 .puts = &c->put,
                                 .put_count = 1,
                                 .log = &record,
                                 .log_count = 1,
                                 .done = on_submitted};
        SM_CHECK(sm_ok(sm_store_submit_write(s->f->store, &c->op)));
        if (i % 16 == 0) {
            home_run(&s->home, &s->done, i / 2);
        }
        (void)is_absent(s->f->store, SM_FAMILY_META, key);
    }
    home_run(&s->home, &s->done, PER_THREAD);
    return NULL;
}

static void threads__each_key_has_one_winner(void **state)
{
    struct fixture *f = *state;
    static struct submitter s[THREADS]; /* a home outlives whoever may be posting to it */
    pthread_t ids[THREADS];
    for (size_t i = 0; i < THREADS; i++) {
        s[i] = (struct submitter){.f = f, .id = i};
        s[i].all = sm_calloc(PER_THREAD, sizeof(*s[i].all));
        home_init(&s[i].home);
        assert_int_equal(pthread_create(&ids[i], NULL, submit_many, &s[i]), 0);
    }
    for (size_t i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_join(ids[i], NULL), 0);
    }
    bool *taken = sm_calloc(PER_THREAD + 1, sizeof(*taken));
    for (size_t k = 0; k < PER_THREAD; k++) {
        size_t won = 0;
        for (size_t i = 0; i < THREADS; i++) {
            const sm_store_write *op = &s[i].all[k].op;
            assert_true(sm_ok(op->err) || sm_err_is(op->err, SM_E_EXISTS));
            if (sm_ok(op->err)) {
                assert_in_range(op->first_sequence, 1, PER_THREAD);
                assert_false(taken[op->first_sequence]);
                taken[op->first_sequence] = true;
                won++;
            }
        }
        assert_int_equal(won, 1);
    }
    assert_int_equal(sm_store_last_sequence(f->store), PER_THREAD);
    for (size_t i = 0; i < THREADS; i++) {
        sm_free(s[i].all);
    }
    sm_free(taken);
}

/* ---- check ---- */

static void on_problem(void *ctx, const char *what)
{
    (void)ctx;
    print_error("%s\n", what);
}

static void check__counts_and_finds_nothing(void **state)
{
    struct fixture *f = *state;
    struct sm_store_check check;
    for (int i = 0; i < 5; i++) {
        assert_sm_ok(log_now(f->store, SM_LIT("abc"), NULL));
    }
    assert_sm_ok(put_now(f->store, SM_FAMILY_CERT, SM_LIT("k"), SM_LIT("vvv")));
    assert_int_equal(index_rows(f, SM_SLICE_NONE, SM_SLICE_NONE), 1);
    assert_sm_ok(sm_store_check_all(f->store, &check, on_problem, NULL));
    assert_int_equal(check.problems, 0);
    assert_int_equal(check.rows[SM_FAMILY_LOG], 5);
    assert_int_equal(check.bytes[SM_FAMILY_LOG], 5 * 11);
    assert_int_equal(check.rows[SM_FAMILY_CERT], 1);
    assert_int_equal(check.bytes[SM_FAMILY_CERT], 4);
    assert_int_equal(check.last_sequence, 5);
    assert_int_equal(check.index_sequence, 5);
}

/* ---- every allocation fails once ---- */

static void memory__open_survives_failed_allocations(void **state)
{
    struct fixture *f = *state;
    char dir[512];
    (void)snprintf(dir, sizeof(dir), "%s/swept", f->dir);
    struct sm_store_config config = {.dir = f->on_disk ? dir : NULL, .create = true};
    for (size_t n = 1; n < 100; n++) {
        sm_store *store = NULL;
        sm_mem_fail_at(n);
        sm_err err = sm_store_open(&config, &store, NULL);
        bool failed = sm_mem_has_failed();
        sm_mem_fail_at(0);
        if (sm_ok(err)) {
            sm_store_close(&store);
        } else {
            assert_true(failed);
            assert_null(store);
        }
        if (!failed) {
            return;
        }
    }
    fail_msg("%s", "the sweep did not end");
}

static bool in_memory = false;
static bool on_disk = true;

#define ON_BOTH(test)                                      \
    {"memory: " #test, test, setup, teardown, &in_memory}, \
    {                                                      \
        "rocksdb: " #test, test, setup, teardown, &on_disk \
    }

int main(void)
{
    const struct CMUnitTest tests[] = {
        ON_BOTH(write__is_readable),
        ON_BOTH(write__keeps_any_octets),
        ON_BOTH(write__last_put_of_a_key_wins),
        ON_BOTH(write__over_the_limit_is_refused),
        ON_BOTH(condition__absent),
        ON_BOTH(condition__equals),
        ON_BOTH(condition__equals_empty_is_not_absent),
        ON_BOTH(condition__one_of_a_batch_wins),
        ON_BOTH(condition__sees_earlier_writes_of_its_batch),
        ON_BOTH(condition__sees_unconditional_writes_before_it),
        ON_BOTH(unchanged__fails_when_the_family_was_written),
        ON_BOTH(table__is_taken_in_unless_a_condition_fails),
        ON_BOTH(log__sequences_run_without_gap),
        ON_BOTH(read__tells_absent_from_empty),
        ON_BOTH(read__stops_at_its_buffer),
        ON_BOTH(try_get__finds_what_is_in_memory),
        ON_BOTH(scan__takes_its_range),
        ON_BOTH(scan__ends_early_and_says_so),
        ON_BOTH(index__waits_until_it_has_caught_up),
        ON_BOTH(index__cursor_is_hidden),
        ON_BOTH(index__is_rebuilt_from_the_log),
        ON_BOTH(index__failure_is_told_and_retried),
        ON_BOTH(index__refuses_the_cursors_place),
        ON_BOTH(index__without_indexer),
        ON_BOTH(subscription__tells_of_growth_once),
        ON_BOTH(queue__refuses_past_its_limit),
        ON_BOTH(queue__of_writes_has_its_limit),
        ON_BOTH(close__completes_everything),
        ON_BOTH(close__refuses_new_work_and_frees_waiting_scans),
        ON_BOTH(threads__each_key_has_one_winner),
        ON_BOTH(check__counts_and_finds_nothing),
        ON_BOTH(memory__open_survives_failed_allocations),
    };
    return cmocka_run_group_tests_name("store", tests, NULL, NULL);
}
