/* SPDX-License-Identifier: Apache-2.0 */
/* Runs of the indexer, large ones and small ones in turns: each is in the index whole, behind the
 * one before it. Large ones take another way into RocksDB than small ones. */
#include "tests/store/store_test.h"

#include <inttypes.h>
#include <stdatomic.h>

#define KEYS 50000
#define LARGE 40000 /* rows: enough for a table of their own */
#define SMALL 7

/* A record's meaning: rows for `count` keys from `first` on, of `round`; every third key deleted
 * where `deletes`. */
struct __attribute__((packed)) order {
    uint32_t first;
    uint32_t count;
    uint32_t round;
    uint8_t deletes;
};

struct fixture {
    sm_store *store;
    struct home home;
    char dir[256];
    bool on_disk;
    uint32_t expected[KEYS]; /* the round of the key's value; 0: absent */
};

/* Keys far from the order in which they are emitted. */
static uint32_t spread(uint32_t i)
{
    return i * 2654435761U;
}

static sm_slice key_of(uint32_t i, uint8_t out[16])
{
    int n = snprintf((char *)out, 16, "k%08x", spread(i));
    return sm_slice_of(out, (size_t)n);
}

static bool is_deleted(const struct order *o, uint32_t i)
{
    return o->deletes != 0 && i % 3 == 0;
}

static sm_err extract(void *ctx, sm_store *store, uint64_t sequence, sm_slice record,
                      sm_store_emit emit, void *emitter)
{
    struct order o;
    (void)ctx;
    (void)store;
    (void)sequence;
    if (record.len != sizeof(o)) {
        return SM_ERR(MALFORMED);
    }
    memcpy(&o, record.ptr, sizeof(o));
    for (uint32_t n = 0; n < o.count; n++) {
        uint32_t i = (o.first + n) % KEYS;
        uint8_t key[16];
        sm_slice value = sm_slice_of(&o.round, sizeof(o.round));
        /* Of two rows of one key in one run the later one counts. */
        emit(emitter, is_deleted(&o, i) ? SM_PUT : SM_DELETE, key_of(i, key), value);
        emit(emitter, is_deleted(&o, i) ? SM_DELETE : SM_PUT, key_of(i, key), value);
    }
    return SM_NO_ERR;
}

static void open_store(struct fixture *f, uint32_t version)
{
    struct sm_store_config config = {.dir = f->on_disk ? f->dir : NULL,
                                     .create = true,
                                     .indexer = extract,
                                     .indexer_version = version};
    assert_sm_ok(sm_store_open(&config, &f->store, NULL));
}

static int setup(void **state)
{
    struct fixture *f = sm_calloc(1, sizeof(*f));
    home_init(&f->home);
    f->on_disk = *(const bool *)*state;
    if (f->on_disk && sm_test_dir(f->dir, sizeof(f->dir)) == NULL) {
        return -1;
    }
    open_store(f, 1);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    sm_store_close(&f->store);
    (void)sm_mailbox_drain(&f->home.box);
    if (f->on_disk) {
        sm_test_remove_dir(f->dir);
    }
    sm_free(f);
    return 0;
}

static void put_order(struct fixture *f, uint32_t first, uint32_t count, uint32_t round,
                      bool deletes)
{
    const struct order o = {first, count, round, deletes};
    assert_sm_ok(log_now(f->store, sm_slice_of(&o, sizeof(o)), NULL));
    for (uint32_t n = 0; n < count; n++) {
        uint32_t i = (first + n) % KEYS;
        f->expected[i] = is_deleted(&o, i) ? 0 : round;
    }
}

struct tally {
    const struct fixture *f;
    size_t rows;
    size_t wrong;
};

static bool count(void *ctx, sm_slice key, sm_slice value)
{
    struct tally *t = ctx;
    uint32_t round;
    char text[16] = "";
    t->rows++;
    if (key.len != 9 || value.len != sizeof(round)) {
        t->wrong++;
        return true;
    }
    memcpy(text, key.ptr, key.len);
    memcpy(&round, value.ptr, sizeof(round));
    /* The multiplier's inverse modulo 2^32. */
    uint32_t i = (uint32_t)strtoul(text + 1, NULL, 16) * UINT32_C(244002641);
    t->wrong += i >= KEYS || t->f->expected[i] != round;
    return true;
}

struct waiting_scan {
    sm_store_scan op;
    struct sm_store_row row;
    size_t done;
};

static void on_done(sm_store_scan *op)
{
    SM_CONTAINER_OF(op, struct waiting_scan, op)->done++;
}

static void wait_for_index(struct fixture *f)
{
    struct waiting_scan s = {.op = {.home = &f->home.box,
                                    .family = SM_FAMILY_INDEX,
                                    .max_rows = 1,
                                    .wait_index = true,
                                    .done = on_done,
                                    .bytes = sm_buf_init(4096)}};
    s.op.rows = &s.row;
    assert_sm_ok(sm_store_submit_scan(f->store, &s.op));
    home_run(&f->home, &s.done, 1);
    assert_sm_ok(s.op.err);
    sm_buf_deinit(&s.op.bytes);
}

/* The index is what the orders say, once it has caught up. */
static void assert_index(struct fixture *f)
{
    struct tally t = {.f = f};
    size_t wanted = 0;
    for (uint32_t i = 0; i < KEYS; i++) {
        wanted += f->expected[i] != 0;
    }
    wait_for_index(f);
    assert_sm_ok(
        sm_store_scan_sync(f->store, SM_FAMILY_INDEX, SM_SLICE_NONE, SM_SLICE_NONE, count, &t));
    assert_int_equal(t.wrong, 0);
    assert_int_equal(t.rows, wanted);
}

static void runs__large_and_small_keep_their_order(void **state)
{
    struct fixture *f = *state;
    uint32_t round = 0;
    assert_int_equal((uint32_t)(spread(7) * UINT32_C(244002641)), 7);
    for (uint32_t turn = 0; turn < 4; turn++) {
        put_order(f, turn * 9000, LARGE, ++round, turn % 2 == 1);
        assert_index(f);
        put_order(f, turn * 9000 + 100, SMALL, ++round, false);
        assert_index(f);
        put_order(f, turn * 9000 + 90, SMALL * 3, ++round, true);
        put_order(f, turn * 9000 + 20000, LARGE, ++round, true);
        assert_index(f);
    }
}

static void runs__are_there_after_opening_again(void **state)
{
    struct fixture *f = *state;
    put_order(f, 0, LARGE, 1, false);
    put_order(f, 1000, SMALL, 2, true);
    assert_index(f);
    put_order(f, 30000, LARGE, 3, true);
    sm_store_close(&f->store);
    open_store(f, 1);
    assert_index(f);
    put_order(f, 5, SMALL, 4, false);
    assert_index(f);
}

static void on_problem(void *ctx, const char *text)
{
    (void)ctx;
    print_error("%s\n", text);
}

static void runs__of_another_version_are_made_again(void **state)
{
    struct fixture *f = *state;
    for (uint32_t i = 1; i <= 40; i++) {
        put_order(f, i * 977, SMALL * 100, i, i % 4 == 0);
    }
    put_order(f, 0, LARGE, 41, true);
    sm_store_close(&f->store);
    open_store(f, 2); /* all of it in one run now */
    assert_index(f);
    struct sm_store_check check;
    assert_sm_ok(sm_store_check_all(f->store, &check, on_problem, NULL));
    assert_int_equal(check.problems, 0);
    assert_int_equal(check.index_sequence, 41);
}

static bool in_memory = false;
static bool on_disk = true;

int main(void)
{
    const struct CMUnitTest tests[] = {
        {"memory: runs__large_and_small_keep_their_order", runs__large_and_small_keep_their_order,
         setup, teardown, &in_memory},
        {"rocksdb: runs__large_and_small_keep_their_order", runs__large_and_small_keep_their_order,
         setup, teardown, &on_disk},
        {"rocksdb: runs__are_there_after_opening_again", runs__are_there_after_opening_again, setup,
         teardown, &on_disk},
        {"rocksdb: runs__of_another_version_are_made_again",
         runs__of_another_version_are_made_again, setup, teardown, &on_disk},
    };
    return cmocka_run_group_tests_name("index runs", tests, NULL, NULL);
}
