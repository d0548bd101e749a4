/* SPDX-License-Identifier: Apache-2.0 */
#include "base/map.h"

#include "base/mem.h"
#include "base/rand.h"

#include <endian.h>
#include <pthread.h>

#define MAP_FIRST_SLOTS 16

struct slot {
    uint64_t hash;
    uint8_t *key; /* NULL: free */
    size_t key_len;
    void *value;
};

struct sm_map {
    struct slot *slots;
    size_t mask; /* slots - 1 */
    size_t count;
    size_t cap;
};

static uint64_t hash_key[2];
static pthread_once_t hash_once = PTHREAD_ONCE_INIT;

static void make_hash_key(void)
{
    hash_key[0] = sm_rand_u64();
    hash_key[1] = sm_rand_u64();
}

static inline uint64_t rotl(uint64_t v, unsigned n)
{
    return v << n | v >> (64 - n);
}

static inline void sip_round(uint64_t v[4])
{
    v[0] += v[1];
    v[1] = rotl(v[1], 13) ^ v[0];
    v[0] = rotl(v[0], 32);
    v[2] += v[3];
    v[3] = rotl(v[3], 16) ^ v[2];
    v[0] += v[3];
    v[3] = rotl(v[3], 21) ^ v[0];
    v[2] += v[1];
    v[1] = rotl(v[1], 17) ^ v[2];
    v[2] = rotl(v[2], 32);
}

uint64_t sm_siphash13(const uint64_t key[2], sm_slice bytes)
{
    uint64_t v[4] = {key[0] ^ 0x736f6d6570736575ULL, key[1] ^ 0x646f72616e646f6dULL,
                     key[0] ^ 0x6c7967656e657261ULL, key[1] ^ 0x7465646279746573ULL};
    size_t at = 0;
    for (; bytes.len - at >= 8; at += 8) {
        uint64_t m;
        memcpy(&m, bytes.ptr + at, 8);
        m = le64toh(m);
        v[3] ^= m;
        sip_round(v);
        v[0] ^= m;
    }
    uint64_t last = (uint64_t)bytes.len << 56;
    for (size_t i = 0; at + i < bytes.len; i++) {
        last |= (uint64_t)bytes.ptr[at + i] << (8 * i);
    }
    v[3] ^= last;
    sip_round(v);
    v[0] ^= last;
    v[2] ^= 0xff;
    sip_round(v);
    sip_round(v);
    sip_round(v);
    return v[0] ^ v[1] ^ v[2] ^ v[3];
}

uint64_t sm_hash(sm_slice bytes)
{
    (void)pthread_once(&hash_once, make_hash_key);
    return sm_siphash13(hash_key, bytes);
}

sm_err sm_map_new(size_t cap, sm_map **out)
{
    sm_map *map = sm_calloc(1, sizeof(*map));
    if (map == NULL) {
        return SM_ERR(NO_MEMORY);
    }
    map->slots = sm_calloc(MAP_FIRST_SLOTS, sizeof(struct slot));
    if (map->slots == NULL) {
        sm_free(map);
        return SM_ERR(NO_MEMORY);
    }
    map->mask = MAP_FIRST_SLOTS - 1;
    map->cap = cap;
    *out = map;
    return SM_NO_ERR;
}

void sm_map_free(sm_map **map)
{
    if (*map == NULL) {
        return;
    }
    for (size_t i = 0; i <= (*map)->mask; i++) {
        sm_free((*map)->slots[i].key);
    }
    sm_free((*map)->slots);
    sm_free(*map);
    *map = NULL;
}

/* The slot of the key, or the free slot where it would go. */
static struct slot *find(const sm_map *map, uint64_t hash, sm_slice key)
{
    size_t at = hash & map->mask;
    for (;;) {
        struct slot *s = &map->slots[at];
        if (s->key == NULL ||
            (s->hash == hash && sm_slice_equal(sm_slice_of(s->key, s->key_len), key))) {
            return s;
        }
        at = (at + 1) & map->mask;
    }
}

static struct slot *free_slot(struct slot *slots, size_t mask, uint64_t hash)
{
    size_t at = hash & mask;
    while (slots[at].key != NULL) {
        at = (at + 1) & mask;
    }
    return &slots[at];
}

static bool grow(sm_map *map)
{
    size_t slots = (map->mask + 1) * 2;
    struct slot *bigger = sm_calloc(slots, sizeof(struct slot));
    if (bigger == NULL) {
        return false;
    }
    for (size_t i = 0; i <= map->mask; i++) {
        if (map->slots[i].key != NULL) {
            *free_slot(bigger, slots - 1, map->slots[i].hash) = map->slots[i];
        }
    }
    sm_free(map->slots);
    map->slots = bigger;
    map->mask = slots - 1;
    return true;
}

sm_err sm_map_put(sm_map *map, sm_slice key, void *value, void **old)
{
    uint64_t hash = sm_hash(key);
    struct slot *s = find(map, hash, key);
    if (s->key != NULL) {
        if (old != NULL) {
            *old = s->value;
        }
        s->value = value;
        return SM_NO_ERR;
    }
    if (map->count >= map->cap) {
        return SM_ERR(EXHAUSTED);
    }
    uint8_t *copy = sm_malloc(key.len);
    if (copy == NULL) {
        return SM_ERR(NO_MEMORY);
    }
    if ((map->count + 1) * 4 > (map->mask + 1) * 3) {
        if (!grow(map)) {
            sm_free(copy);
            return SM_ERR(NO_MEMORY);
        }
        s = free_slot(map->slots, map->mask, hash);
    }
    if (key.len > 0) {
        memcpy(copy, key.ptr, key.len);
    }
    *s = (struct slot){hash, copy, key.len, value};
    map->count++;
    if (old != NULL) {
        *old = NULL;
    }
    return SM_NO_ERR;
}

void *sm_map_get(const sm_map *map, sm_slice key)
{
    return find(map, sm_hash(key), key)->value;
}

/* Closes the gap at `at` (Knuth 6.4 R): moves back each follower whose home does not lie behind the
 * gap. */
static void close_gap(sm_map *map, size_t gap)
{
    size_t at = gap;
    for (;;) {
        at = (at + 1) & map->mask;
        struct slot *s = &map->slots[at];
        if (s->key == NULL) {
            return;
        }
        size_t home = s->hash & map->mask;
        if (((at - home) & map->mask) >= ((at - gap) & map->mask)) {
            map->slots[gap] = *s;
            *s = (struct slot){0};
            gap = at;
        }
    }
}

void *sm_map_remove(sm_map *map, sm_slice key)
{
    struct slot *s = find(map, sm_hash(key), key);
    if (s->key == NULL) {
        return NULL;
    }
    void *value = s->value;
    sm_free(s->key);
    *s = (struct slot){0};
    map->count--;
    close_gap(map, (size_t)(s - map->slots));
    return value;
}

size_t sm_map_count(const sm_map *map)
{
    return map->count;
}

bool sm_map_next(const sm_map *map, size_t *at, sm_slice *key, void **value)
{
    for (; *at <= map->mask; (*at)++) {
        const struct slot *s = &map->slots[*at];
        if (s->key != NULL) {
            *key = sm_slice_of(s->key, s->key_len);
            *value = s->value;
            (*at)++;
            return true;
        }
    }
    return false;
}
