/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/support/support.h"

#include <stdlib.h>

#include "base/check.h"
#include "base/map.h"
#include "base/mem.h"

static uint8_t marks[5000]; /* values point in here */

static void map__finds_what_was_put(void **state)
{
    (void)state;
    sm_map *map = NULL;
    void *old = NULL;
    assert_sm_ok(sm_map_new(10, &map));
    assert_null(sm_map_get(map, SM_LIT("a")));
    assert_sm_ok(sm_map_put(map, SM_LIT("a"), &marks[0], &old));
    assert_null(old);
    assert_sm_ok(sm_map_put(map, SM_SLICE_NONE, &marks[1], NULL));
    assert_sm_ok(sm_map_put(map, SM_LIT("a\0b"), &marks[2], NULL));
    assert_ptr_equal(sm_map_get(map, SM_LIT("a")), &marks[0]);
    assert_ptr_equal(sm_map_get(map, SM_LIT("")), &marks[1]);
    assert_ptr_equal(sm_map_get(map, SM_LIT("a\0b")), &marks[2]);
    assert_null(sm_map_get(map, SM_LIT("a\0c")));
    assert_sm_ok(sm_map_put(map, SM_LIT("a"), &marks[3], &old));
    assert_ptr_equal(old, &marks[0]);
    assert_int_equal(sm_map_count(map), 3);
    sm_map_free(&map);
    assert_null(map);
    sm_map_free(&map);
}

static void map__copies_its_keys(void **state)
{
    (void)state;
    sm_map *map;
    char key[4] = "abc";
    assert_sm_ok(sm_map_new(10, &map));
    assert_sm_ok(sm_map_put(map, sm_slice_str(key), &marks[0], NULL));
    key[0] = 'x';
    assert_ptr_equal(sm_map_get(map, SM_LIT("abc")), &marks[0]);
    sm_map_free(&map);
}

static void map__stops_at_its_cap_but_replaces(void **state)
{
    (void)state;
    sm_map *map;
    assert_sm_ok(sm_map_new(2, &map));
    assert_sm_ok(sm_map_put(map, SM_LIT("a"), &marks[0], NULL));
    assert_sm_ok(sm_map_put(map, SM_LIT("b"), &marks[1], NULL));
    assert_sm_err(sm_map_put(map, SM_LIT("c"), &marks[2], NULL), EXHAUSTED);
    assert_null(sm_map_get(map, SM_LIT("c")));
    assert_sm_ok(sm_map_put(map, SM_LIT("b"), &marks[3], NULL));
    assert_ptr_equal(sm_map_remove(map, SM_LIT("a")), &marks[0]);
    assert_sm_ok(sm_map_put(map, SM_LIT("c"), &marks[2], NULL));
    sm_map_free(&map);
}

/* A plain array is the model; the map must agree after every step. */
static void map__agrees_with_a_model_over_random_steps(void **state)
{
    (void)state;
    enum { KEYS = 300 };
    void *model[KEYS] = {NULL};
    size_t count = 0;
    sm_map *map;
    uint32_t x = 12345;
    assert_sm_ok(sm_map_new(KEYS, &map));
    for (int step = 0; step < 60000; step++) {
        x = x * 1664525U + 1013904223U;
        uint16_t k = (uint16_t)((x >> 8) % KEYS);
        sm_slice key = sm_slice_of(&k, sizeof(k));
        /* Phases that mostly fill and mostly empty: removal has long runs to close. */
        bool put = (x >> 24) % 4 < (step / 5000 % 2 == 0 ? 3U : 1U);
        if (put) {
            void *old = NULL;
            assert_sm_ok(sm_map_put(map, key, &marks[step % 5000], &old));
            assert_ptr_equal(old, model[k]);
            count += model[k] == NULL;
            model[k] = &marks[step % 5000];
        } else {
            assert_ptr_equal(sm_map_remove(map, key), model[k]);
            count -= model[k] != NULL;
            model[k] = NULL;
        }
        assert_int_equal(sm_map_count(map), count);
        if (step % 500 == 0) {
            for (uint16_t i = 0; i < KEYS; i++) {
                assert_ptr_equal(sm_map_get(map, sm_slice_of(&i, sizeof(i))), model[i]);
            }
        }
    }
    sm_map_free(&map);
}

static void map__walk_visits_each_entry_once(void **state)
{
    (void)state;
    sm_map *map;
    int seen[1000] = {0};
    assert_sm_ok(sm_map_new(1000, &map));
    for (uint16_t i = 0; i < 1000; i++) {
        assert_sm_ok(sm_map_put(map, sm_slice_of(&i, sizeof(i)), &marks[i], NULL));
    }
    size_t at = 0;
    sm_slice key;
    void *value;
    while (sm_map_next(map, &at, &key, &value)) {
        uint16_t i;
        assert_int_equal(key.len, sizeof(i));
        memcpy(&i, key.ptr, sizeof(i));
        assert_ptr_equal(value, &marks[i]);
        seen[i]++;
    }
    for (size_t i = 0; i < 1000; i++) {
        assert_int_equal(seen[i], 1);
    }
    sm_map_free(&map);
}

static void map__survives_every_allocation_failure(void **state)
{
    (void)state;
    (void)sm_hash(SM_SLICE_NONE);
    for (size_t n = 1;; n++) {
        sm_map *map = NULL;
        size_t put = 0;
        sm_mem_fail_at(n);
        sm_err err = sm_map_new(1000, &map);
        for (uint16_t i = 0; sm_ok(err) && i < 100; i++) {
            err = sm_map_put(map, sm_slice_of(&i, sizeof(i)), &marks[i], NULL);
            put += sm_ok(err);
        }
        int failed = sm_mem_has_failed();
        sm_mem_fail_at(0);
        assert_int_equal(map == NULL ? 0 : sm_map_count(map), put);
        for (uint16_t i = 0; i < put; i++) {
            assert_ptr_equal(sm_map_get(map, sm_slice_of(&i, sizeof(i))), &marks[i]);
        }
        sm_map_free(&map);
        if (!failed) {
            assert_sm_ok(err);
            assert_true(n > 100);
            return;
        }
        assert_sm_err(err, NO_MEMORY);
    }
}

/* Keys of zero, inputs 00 01 02 ...: values from another implementation. */
static void hash__is_siphash_1_3(void **state)
{
    (void)state;
    static const struct {
        size_t len;
        uint64_t hash;
    } vectors[] = {
        {1, 0x68a914128e01e473ULL},  {7, 0x2f098ab0c751325aULL},  {8, 0xead411e67ebe2eeaULL},
        {9, 0x75927f9d95124362ULL},  {15, 0xf30eb725bb91c9eaULL}, {16, 0x8972188433a5c5b7ULL},
        {17, 0x4883c49a2c009c1dULL},
    };
    uint8_t in[32];
    for (size_t i = 0; i < sizeof(in); i++) {
        in[i] = (uint8_t)i;
    }
    const uint64_t key[2] = {0, 0};
    for (size_t i = 0; i < SM_ARRAY_LEN(vectors); i++) {
        assert_true(sm_siphash13(key, sm_slice_of(in, vectors[i].len)) == vectors[i].hash);
    }
    /* The first octets of the reference's table for the key 00 01 .. 0f and no input. */
    const uint64_t counting[2] = {0x0706050403020100ULL, 0x0f0e0d0c0b0a0908ULL};
    assert_true(sm_siphash13(counting, SM_SLICE_NONE) == 0xabac0158050fc4dcULL);
}

static void hash__is_keyed_and_stable(void **state)
{
    (void)state;
    const uint64_t zero[2] = {0, 0};
    assert_true(sm_hash(SM_LIT("x")) == sm_hash(SM_LIT("x")));
    assert_true(sm_hash(SM_LIT("x")) != sm_siphash13(zero, SM_LIT("x")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(map__finds_what_was_put),
        cmocka_unit_test(map__copies_its_keys),
        cmocka_unit_test(map__stops_at_its_cap_but_replaces),
        cmocka_unit_test(map__agrees_with_a_model_over_random_steps),
        cmocka_unit_test(map__walk_visits_each_entry_once),
        cmocka_unit_test(map__survives_every_allocation_failure),
        cmocka_unit_test(hash__is_siphash_1_3),
        cmocka_unit_test(hash__is_keyed_and_stable),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
