/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/support/support.h"

#include "base/check.h"
#include "base/mem.h"
#include "base/thread.h"
#include "ocsp-cache/ocsp_table.h"

#define NOW INT64_C(1790000000)

static struct sm_ocsp_table_budget budget = {.chunks_max = 256};

static sm_ocsp_table *new_table(size_t room)
{
    sm_ocsp_table *t;
    assert_sm_ok(sm_ocsp_table_new(room, &budget, &t));
    return t;
}

struct entry {
    uint8_t serial[8];
    uint8_t signature[64];
    struct sm_ocsp_key key;
    struct sm_ocsp_kept kept;
};

/* What is kept of number n; `turn` says which of its answers. */
static void fill(struct entry *e, uint64_t n, unsigned turn)
{
    memcpy(e->serial, &n, sizeof(n));
    memset(e->signature, (int)(n * 31 + turn), sizeof(e->signature));
    e->key = (struct sm_ocsp_key){3, 1, SM_OCSP_SHA1, sm_slice_of(e->serial, sizeof(e->serial))};
    e->kept = (struct sm_ocsp_kept){{SM_OCSP_GOOD, -1, 0, NOW + turn, NOW + turn - 300, NOW + 9000},
                                    17,
                                    sm_slice_of(e->signature, sizeof(e->signature))};
}

static bool has(sm_ocsp_table *t, uint64_t n, unsigned turn)
{
    struct entry e;
    struct sm_ocsp_kept got;
    uint8_t room[SM_OCSP_TABLE_SIGNATURE_MAX];
    fill(&e, n, turn);
    if (!sm_ocsp_table_get(t, &e.key, &got, room)) {
        return false;
    }
    assert_memory_equal(&got.said, &e.kept.said, sizeof(got.said));
    assert_int_equal(got.signer, 17);
    assert_true(sm_slice_equal(got.signature, e.kept.signature));
    return true;
}

static void put(sm_ocsp_table *t, uint64_t n, unsigned turn)
{
    struct entry e;
    fill(&e, n, turn);
    sm_ocsp_table_put(t, &e.key, &e.kept, sm_ocsp_table_epoch(t));
}

static size_t answers(sm_ocsp_table *t)
{
    struct sm_ocsp_table_stats stats;
    sm_ocsp_table_stats(t, &stats);
    return stats.answers;
}

static void ocsp_table__keeps_replaces_and_drops(void **state)
{
    (void)state;
    sm_ocsp_table *t = new_table(64);
    struct entry e;
    assert_false(has(t, 1, 0));
    put(t, 1, 0);
    assert_true(has(t, 1, 0));
    put(t, 1, 1);
    assert_true(has(t, 1, 1));
    assert_int_equal(answers(t), 1);
    fill(&e, 1, 0);
    sm_ocsp_table_change(t, &e.key, NULL, 0);
    assert_false(has(t, 1, 1));
    assert_int_equal(answers(t), 0);
    sm_ocsp_table_free(&t);
}

static void ocsp_table__tells_issuers_hashes_and_generations_apart(void **state)
{
    (void)state;
    sm_ocsp_table *t = new_table(64);
    struct entry e;
    struct sm_ocsp_kept got;
    uint8_t room[SM_OCSP_TABLE_SIGNATURE_MAX];
    put(t, 1, 0);
    fill(&e, 1, 0);
    struct sm_ocsp_key others[] = {e.key, e.key, e.key, e.key};
    others[0].ca_id++;
    others[1].generation++;
    others[2].hash = SM_OCSP_SHA256;
    others[3].serial.len--;
    for (size_t i = 0; i < SM_ARRAY_LEN(others); i++) {
        assert_false(sm_ocsp_table_get(t, &others[i], &got, room));
    }
    sm_ocsp_table_free(&t);
}

static void ocsp_table__finds_all_of_many(void **state)
{
    (void)state;
    enum { MANY = 50000 };
    sm_ocsp_table *t = new_table(64);
    for (uint64_t n = 0; n < MANY; n++) {
        put(t, n, 0);
    }
    assert_int_equal(answers(t), MANY);
    for (uint64_t n = 0; n < MANY; n++) {
        assert_true(has(t, n, 0));
    }
    assert_false(has(t, MANY, 0));
    sm_ocsp_table_free(&t);
}

/* With its first chunk alone: what is asked for stays longest. */
static void ocsp_table__makes_room_within_its_budget(void **state)
{
    (void)state;
    static struct sm_ocsp_table_budget none;
    sm_ocsp_table *t;
    struct sm_ocsp_table_stats stats;
    assert_sm_ok(sm_ocsp_table_new(64, &none, &t));
    const size_t fits = SM_OCSP_TABLE_CHUNK / 128;
    for (uint64_t n = 0; n < 3 * fits; n++) {
        put(t, n, 0);
        assert_true(has(t, n, 0));
    }
    sm_ocsp_table_stats(t, &stats);
    assert_int_equal(stats.answers, fits);
    assert_int_equal(stats.evicted, 2 * fits);
    assert_true(stats.bytes < 2 * SM_OCSP_TABLE_CHUNK);
    assert_int_equal(none.chunks, 0);
    sm_ocsp_table_free(&t);
}

/* An answer that was signed before a status changed is not kept after it. */
static void ocsp_table__forgets_answers_of_before_a_change(void **state)
{
    (void)state;
    sm_ocsp_table *t = new_table(64);
    struct entry old;
    struct entry other;
    fill(&old, 1, 0);
    fill(&other, 2, 0);
    uint64_t before = sm_ocsp_table_epoch(t);
    sm_ocsp_table_change(t, &other.key, &other.kept, sm_ocsp_table_epoch(t));
    sm_ocsp_table_put(t, &old.key, &old.kept, before);
    assert_false(has(t, 1, 0));
    assert_true(has(t, 2, 0));
    sm_ocsp_table_put(t, &old.key, &old.kept, sm_ocsp_table_epoch(t));
    assert_true(has(t, 1, 0));
    sm_ocsp_table_free(&t);
}

/* What does not fit a slot leaves none of before behind, either. */
static void ocsp_table__leaves_out_what_does_not_fit(void **state)
{
    (void)state;
    sm_ocsp_table *t = new_table(64);
    struct entry e;
    uint8_t longer[96] = {0};
    for (int i = 0; i < 5; i++) {
        put(t, 1, 0);
        fill(&e, 1, 0);
        switch (i) {
        case 0:
            e.kept.signature = sm_slice_of(longer, sizeof(longer));
            break;
        case 1:
            e.kept.said.next_update = INT64_C(1) << 33;
            break;
        case 2:
            e.kept.said.this_update = NOW - 100000;
            break;
        case 3:
            e.kept.said.this_update = NOW + 1;
            break;
        default:
            e.kept.said = (struct sm_ocsp_said){SM_OCSP_REVOKED, 1, -1, NOW, NOW, NOW + 1};
        }
        sm_ocsp_table_put(t, &e.key, &e.kept, sm_ocsp_table_epoch(t));
        assert_false(has(t, 1, 0));
    }
    e.key.generation = 70000;
    sm_ocsp_table_put(t, &e.key, &e.kept, sm_ocsp_table_epoch(t));
    assert_int_equal(answers(t), 0);
    sm_ocsp_table_free(&t);
}

/* ---- threads ---- */

enum { SHARED = 3000, ROUNDS = 12 };

struct reading {
    sm_thread thread;
    sm_ocsp_table *table;
    _Atomic bool *stop;
    size_t found;
    bool torn;
};

static void read_all(void *ctx)
{
    struct reading *r = ctx;
    while (!atomic_load(r->stop)) {
        for (uint64_t n = 0; n < SHARED; n += 7) {
            struct entry e;
            struct sm_ocsp_kept got;
            uint8_t room[SM_OCSP_TABLE_SIGNATURE_MAX];
            fill(&e, n, 0);
            if (!sm_ocsp_table_get(r->table, &e.key, &got, room)) {
                continue;
            }
            unsigned turn = (unsigned)(got.said.produced_at - NOW);
            fill(&e, n, turn);
            r->torn = r->torn || got.said.this_update != e.kept.said.this_update ||
                      !sm_slice_equal(got.signature, e.kept.signature);
            r->found++;
        }
    }
}

static void ocsp_table__readers_never_see_half_an_answer(void **state)
{
    (void)state;
    static _Atomic bool stop;
    static struct reading readers[2];
    sm_ocsp_table *t = new_table(64);
    for (size_t i = 0; i < SM_ARRAY_LEN(readers); i++) {
        readers[i].table = t;
        readers[i].stop = &stop;
        assert_sm_ok(sm_thread_start(&readers[i].thread, "reader", read_all, &readers[i]));
    }
    for (unsigned turn = 0; turn < ROUNDS; turn++) {
        for (uint64_t n = 0; n < SHARED; n++) {
            put(t, n, turn);
            if (n % 5 == turn % 5) {
                struct entry e;
                fill(&e, n, turn);
                sm_ocsp_table_change(t, &e.key, n % 2 == 0 ? NULL : &e.kept,
                                     sm_ocsp_table_epoch(t));
            }
        }
    }
    atomic_store(&stop, true);
    for (size_t i = 0; i < SM_ARRAY_LEN(readers); i++) {
        sm_thread_join(&readers[i].thread);
        assert_false(readers[i].torn);
        assert_true(readers[i].found > 0);
    }
    sm_ocsp_table_free(&t);
}

static void ocsp_table__says_when_there_is_no_memory(void **state)
{
    (void)state;
    for (size_t n = 1; n <= 3; n++) {
        sm_ocsp_table *t = NULL;
        sm_mem_fail_at(n);
        assert_sm_err(sm_ocsp_table_new(64, &budget, &t), NO_MEMORY);
        sm_mem_fail_at(0);
        assert_null(t);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ocsp_table__keeps_replaces_and_drops),
        cmocka_unit_test(ocsp_table__tells_issuers_hashes_and_generations_apart),
        cmocka_unit_test(ocsp_table__finds_all_of_many),
        cmocka_unit_test(ocsp_table__makes_room_within_its_budget),
        cmocka_unit_test(ocsp_table__forgets_answers_of_before_a_change),
        cmocka_unit_test(ocsp_table__leaves_out_what_does_not_fit),
        cmocka_unit_test(ocsp_table__readers_never_see_half_an_answer),
        cmocka_unit_test(ocsp_table__says_when_there_is_no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
