/* SPDX-License-Identifier: Apache-2.0 */
#include "ocsp-cache/ocsp_table.h"

#include "base/check.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/rand.h"

#include <pthread.h>
#include <sys/mman.h>

#define BASE_BUCKETS 1024U /* of the first segment; each further one has as many as all before it */
#define SEGMENTS 22        /* 2^31 buckets */
#define STEPS_MAX 64       /* a chain that seems longer is one being changed */
#define KEY_WORDS 4
#define LINE 64 /* of the processor's cache: the second half of a slot comes with the first */
#define FIXED_WORDS 6
#define DELTA_MAX 65535 /* seconds from thisUpdate to producedAt */

/* What a slot says, as words that are copied one by one. The signature follows. */
struct content {
    uint32_t ca_id;
    uint16_t generation;
    uint8_t hash;
    uint8_t serial_len; /* 0: the slot is free */
    uint8_t serial[SM_OCSP_SERIAL_MAX];
    uint8_t status;         /* and the reason + 1, from the third bit on */
    uint8_t signature_half; /* its length / 2 */
    uint16_t delta;         /* produced_at - this_update */
    uint32_t signer;
    uint32_t produced_at;
    uint32_t next_update;
    uint32_t revoked_at;
};
_Static_assert(sizeof(struct content) == 8 * FIXED_WORDS, "a slot's content is whole words");
_Static_assert(offsetof(struct content, status) == 8 * KEY_WORDS - 4, "the key comes first");

struct slot {
    _Atomic uint32_t version; /* odd: being written */
    _Atomic uint32_t next;    /* of the chain, or of the free ones: number + 1; 0: none */
    _Atomic uint32_t used;    /* since the hand came by */
    uint32_t unused;
    _Atomic uint64_t words[];
};

struct sm_ocsp_table {
    size_t slot_bytes;
    size_t slot_words;
    size_t signature_room;
    size_t slots_per_chunk;
    size_t chunks_max;
    struct sm_ocsp_table_budget *budget;
    uint64_t seed[2];
    _Atomic(uint8_t *) *chunks;
    _Atomic(_Atomic uint32_t *) segments[SEGMENTS];
    _Atomic uint32_t bucket_count;
    _Atomic uint64_t epoch;
    pthread_mutex_t lock; /* covers what follows, and every change of the above */
    size_t slots;         /* that were ever used: the first ones of the chunks */
    uint32_t free;        /* head of the free ones */
    size_t hand;
    struct sm_ocsp_table_stats stats;
};

/* ---- birth ---- */

/* Zeroed, on huge pages if the machine has them: a look-up is two or three places at random in a gigabyte, and finding each
 * page costs as much as reading it. */
static void *map_huge(size_t bytes)
{
    size_t page = SM_OCSP_TABLE_CHUNK;
    uint8_t *all = mmap(NULL, bytes + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
                        0);
    if (all == MAP_FAILED) {
        return NULL;
    }
    size_t before = (page - (uintptr_t)all % page) % page;
    if (before > 0) {
        (void)munmap(all, before);
    }
    (void)munmap(all + before + bytes, page - before);
    (void)madvise(all + before, bytes, MADV_HUGEPAGE);
    return all + before;
}

static size_t segment_bytes(unsigned k)
{
    return ((size_t)BASE_BUCKETS << (k == 0 ? 0 : k - 1)) * sizeof(uint32_t);
}

static _Atomic uint32_t *new_segment(unsigned k)
{
    size_t bytes = segment_bytes(k);
    return bytes >= SM_OCSP_TABLE_CHUNK ? map_huge(bytes) : sm_calloc(1, bytes);
}

static void free_segment(sm_ocsp_table *t, unsigned k)
{
    void *segment = (void *)(uintptr_t)atomic_load(&t->segments[k]);
    if (segment != NULL && segment_bytes(k) >= SM_OCSP_TABLE_CHUNK) {
        (void)munmap(segment, segment_bytes(k));
    } else {
        sm_free(segment);
    }
}

sm_err sm_ocsp_table_new(size_t signature_room, struct sm_ocsp_table_budget *budget,
                         sm_ocsp_table **out)
{
    SM_CHECK(signature_room <= SM_OCSP_TABLE_SIGNATURE_MAX);
    sm_ocsp_table *t = sm_calloc(1, sizeof(*t));
    if (t == NULL) {
        return SM_ERR(NO_MEMORY);
    }
    t->signature_room = (signature_room + 7) / 8 * 8;
    t->slot_words = FIXED_WORDS + t->signature_room / 8;
    t->slot_bytes = sizeof(struct slot) + 8 * t->slot_words;
    t->slots_per_chunk = SM_OCSP_TABLE_CHUNK / t->slot_bytes;
    t->budget = budget;
    t->chunks_max = budget->chunks_max + 1;
    if (t->chunks_max > UINT32_MAX / t->slots_per_chunk - 1) {
        t->chunks_max = UINT32_MAX / t->slots_per_chunk - 1;
    }
    sm_rand_bytes(t->seed, sizeof(t->seed));
    (void)pthread_mutex_init(&t->lock, NULL);
    atomic_init(&t->bucket_count, BASE_BUCKETS);
    t->chunks = sm_calloc(t->chunks_max, sizeof(*t->chunks));
    _Atomic uint32_t *first = new_segment(0);
    atomic_init(&t->segments[0], first);
    t->stats.bytes = sizeof(*t) + t->chunks_max * sizeof(*t->chunks) + BASE_BUCKETS * 4;
    if (t->chunks == NULL || first == NULL) {
        sm_ocsp_table_free(&t);
        return SM_ERR(NO_MEMORY);
    }
    *out = t;
    return SM_NO_ERR;
}

void sm_ocsp_table_free(sm_ocsp_table **table)
{
    sm_ocsp_table *t = *table;
    *table = NULL;
    if (t == NULL) {
        return;
    }
    for (size_t i = 0; t->chunks != NULL && i < t->chunks_max; i++) {
        uint8_t *chunk = atomic_load(&t->chunks[i]);
        if (chunk != NULL) {
            (void)munmap(chunk, SM_OCSP_TABLE_CHUNK);
        }
    }
    for (unsigned k = 0; k < SEGMENTS; k++) {
        free_segment(t, k);
    }
    sm_free((void *)(uintptr_t)t->chunks);
    (void)pthread_mutex_destroy(&t->lock);
    sm_free(t);
}

/* ---- where things are ---- */

/* The bucket's place: segment k > 0 holds the buckets from BASE << (k - 1) to BASE << k. */
static _Atomic uint32_t *bucket_at(sm_ocsp_table *t, uint32_t bucket)
{
    if (bucket < BASE_BUCKETS) {
        return &atomic_load_explicit(&t->segments[0], memory_order_acquire)[bucket];
    }
    unsigned k = 32U - (unsigned)__builtin_clz(bucket / BASE_BUCKETS);
    uint32_t first = BASE_BUCKETS << (k - 1);
    return &atomic_load_explicit(&t->segments[k], memory_order_acquire)[bucket - first];
}

/* The greatest power of two that is at most `n`. */
static uint32_t power_below(uint32_t n)
{
    return 1U << (31 - __builtin_clz(n));
}

static uint32_t bucket_of(uint64_t hash, uint32_t count)
{
    uint32_t half = power_below(count);
    uint32_t bucket = (uint32_t)hash & (2 * half - 1);
    return bucket < count ? bucket : bucket - half;
}

static struct slot *slot_at(sm_ocsp_table *t, uint32_t number)
{
    uint8_t *chunk = atomic_load_explicit(&t->chunks[number / t->slots_per_chunk],
                                          memory_order_acquire);
    return (struct slot *)(void *)(chunk + number % t->slots_per_chunk * t->slot_bytes);
}

static bool fill_key(const struct sm_ocsp_key *key, struct content *out)
{
    if (key->serial.len == 0 || key->serial.len > SM_OCSP_SERIAL_MAX ||
        key->generation > UINT16_MAX) {
        return false;
    }
    memset(out, 0, sizeof(*out));
    out->ca_id = key->ca_id;
    out->generation = (uint16_t)key->generation;
    out->hash = (uint8_t)key->hash;
    out->serial_len = (uint8_t)key->serial.len;
    memcpy(out->serial, key->serial.ptr, key->serial.len);
    return true;
}

static uint64_t hash_of(const sm_ocsp_table *t, const struct content *key)
{
    return sm_siphash13(t->seed, sm_slice_of(key, offsetof(struct content, status)));
}

/* ---- reading ---- */

static void load_words(const struct slot *s, uint64_t *out, size_t from, size_t to)
{
    for (size_t i = from; i < to; i++) {
        /* Acquire, so that the version is looked at again behind it. */
        out[i] = atomic_load_explicit(&s->words[i], memory_order_acquire);
    }
}

static bool same_key(const struct content *a, const struct content *b)
{
    return memcmp(a, b, offsetof(struct content, status)) == 0;
}

static void unpack(const struct content *c, const uint64_t *signature, struct sm_ocsp_kept *out,
                   uint8_t *room)
{
    out->said = (struct sm_ocsp_said){
        .status = (enum sm_ocsp_status)(c->status & 3U),
        .reason = (c->status >> 2) - 1,
        .revoked_at = c->revoked_at,
        .produced_at = c->produced_at,
        .this_update = (int64_t)c->produced_at - c->delta,
        .next_update = c->next_update,
    };
    out->signer = c->signer;
    out->signature = sm_slice_of(room, 2 * (size_t)c->signature_half);
    memcpy(room, signature, out->signature.len);
}

bool sm_ocsp_table_get(sm_ocsp_table *table, const struct sm_ocsp_key *key,
                       struct sm_ocsp_kept *out, uint8_t room[SM_OCSP_TABLE_SIGNATURE_MAX])
{
    union {
        struct content c;
        uint64_t words[FIXED_WORDS + SM_OCSP_TABLE_SIGNATURE_MAX / 8];
    } seen;
    struct content wanted;
    if (!fill_key(key, &wanted)) {
        return false;
    }
    uint32_t count = atomic_load_explicit(&table->bucket_count, memory_order_acquire);
    uint32_t at = atomic_load_explicit(bucket_at(table, bucket_of(hash_of(table, &wanted), count)),
                                       memory_order_acquire);
    for (int steps = 0; at != 0 && steps < STEPS_MAX; steps++) {
        struct slot *s = slot_at(table, at - 1);
        __builtin_prefetch((const uint8_t *)s + LINE);
        uint32_t version = atomic_load_explicit(&s->version, memory_order_acquire);
        load_words(s, seen.words, 0, KEY_WORDS);
        if (same_key(&seen.c, &wanted)) {
            load_words(s, seen.words, KEY_WORDS, table->slot_words);
            if ((version & 1) != 0 ||
                atomic_load_explicit(&s->version, memory_order_relaxed) != version) {
                return false;
            }
            if (atomic_load_explicit(&s->used, memory_order_relaxed) == 0) {
                atomic_store_explicit(&s->used, 1, memory_order_relaxed);
            }
            unpack(&seen.c, seen.words + FIXED_WORDS, out, room);
            return true;
        }
        at = atomic_load_explicit(&s->next, memory_order_acquire);
    }
    return false;
}

uint64_t sm_ocsp_table_epoch(sm_ocsp_table *table)
{
    return atomic_load_explicit(&table->epoch, memory_order_acquire);
}

/* ---- writing, under the lock ---- */

static void key_of(const struct slot *s, struct content *out)
{
    uint64_t words[KEY_WORDS];
    load_words(s, words, 0, KEY_WORDS);
    memset(out, 0, sizeof(*out));
    memcpy(out, words, offsetof(struct content, status));
}

static void store_slot(struct slot *s, const uint64_t *words, size_t count)
{
    uint32_t version = atomic_load_explicit(&s->version, memory_order_relaxed);
    atomic_store_explicit(&s->version, version + 1, memory_order_relaxed);
    for (size_t i = 0; i < count; i++) {
        /* Release, so that nobody sees a word before the odd version. */
        atomic_store_explicit(&s->words[i], words[i], memory_order_release);
    }
    atomic_store_explicit(&s->version, version + 2, memory_order_release);
}

static void set_link(_Atomic uint32_t *link, uint32_t to)
{
    atomic_store_explicit(link, to, memory_order_release);
}

static uint32_t get_link(_Atomic uint32_t *link)
{
    return atomic_load_explicit(link, memory_order_relaxed);
}

/* The link that leads to the key's slot; to nothing when it is not there. */
static _Atomic uint32_t *find(sm_ocsp_table *t, const struct content *key)
{
    uint32_t count = atomic_load_explicit(&t->bucket_count, memory_order_relaxed);
    _Atomic uint32_t *link = bucket_at(t, bucket_of(hash_of(t, key), count));
    while (get_link(link) != 0) {
        struct slot *s = slot_at(t, get_link(link) - 1);
        struct content seen;
        key_of(s, &seen);
        if (same_key(&seen, key)) {
            break;
        }
        link = &s->next;
    }
    return link;
}

static void drop(sm_ocsp_table *t, _Atomic uint32_t *link)
{
    static const uint64_t nothing[FIXED_WORDS];
    uint32_t number = get_link(link);
    struct slot *s = slot_at(t, number - 1);
    set_link(link, get_link(&s->next));
    store_slot(s, nothing, FIXED_WORDS);
    set_link(&s->next, t->free);
    t->free = number;
    t->stats.answers--;
}

static bool make_room(sm_ocsp_table *t)
{
    for (size_t looked = 0; looked < 2 * t->slots; looked++) {
        struct slot *s = slot_at(t, (uint32_t)t->hand);
        t->hand = t->hand + 1 == t->slots ? 0 : t->hand + 1;
        struct content key;
        key_of(s, &key);
        if (key.serial_len == 0) {
            continue;
        }
        if (atomic_exchange_explicit(&s->used, 0, memory_order_relaxed) == 0) {
            drop(t, find(t, &key));
            t->stats.evicted++;
            return true;
        }
    }
    return false;
}

/* The first chunk needs nobody's leave. */
static bool may_grow(sm_ocsp_table *t, size_t at)
{
    if (at == 0) {
        return true;
    }
    if (at == t->chunks_max) {
        return false;
    }
    if (atomic_fetch_add(&t->budget->chunks, 1) >= t->budget->chunks_max) {
        atomic_fetch_sub(&t->budget->chunks, 1);
        return false;
    }
    return true;
}

static bool add_chunk(sm_ocsp_table *t)
{
    size_t at = t->slots / t->slots_per_chunk;
    if (!may_grow(t, at)) {
        return false;
    }
    /* The first one of a table that has few answers touches few pages. */
    uint8_t *chunk = at > 0 ? map_huge(SM_OCSP_TABLE_CHUNK)
                            : mmap(NULL, SM_OCSP_TABLE_CHUNK, PROT_READ | PROT_WRITE,
                                   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (chunk == NULL || chunk == MAP_FAILED) {
        atomic_fetch_sub(&t->budget->chunks, at == 0 ? 0 : 1);
        return false;
    }
    atomic_store_explicit(&t->chunks[at], chunk, memory_order_release);
    t->stats.bytes += SM_OCSP_TABLE_CHUNK;
    return true;
}

/* A free slot's number + 1; 0: there is none. */
static uint32_t take_slot(sm_ocsp_table *t, bool may_evict)
{
    bool fresh = t->free == 0 && (t->slots % t->slots_per_chunk != 0 || add_chunk(t));
    if (fresh) {
        return (uint32_t)++t->slots;
    }
    if (t->free == 0 && (t->slots == 0 || !may_evict || !make_room(t))) {
        return 0;
    }
    uint32_t number = t->free;
    t->free = get_link(&slot_at(t, number - 1)->next);
    return number;
}

/* One bucket more: what of its older half belongs to it moves. Readers that look meanwhile may find
 * nothing. */
static void split(sm_ocsp_table *t)
{
    uint32_t bucket = atomic_load_explicit(&t->bucket_count, memory_order_relaxed);
    uint32_t half = power_below(bucket);
    if (bucket == half) {
        unsigned k = 32U - (unsigned)__builtin_clz(bucket / BASE_BUCKETS);
        _Atomic uint32_t *segment = k < SEGMENTS ? new_segment(k) : NULL;
        if (segment == NULL) {
            return; /* chains grow longer instead */
        }
        atomic_store_explicit(&t->segments[k], segment, memory_order_release);
        t->stats.bytes += (size_t)bucket * 4;
    }
    _Atomic uint32_t *link = bucket_at(t, bucket - half);
    _Atomic uint32_t *to = bucket_at(t, bucket);
    while (get_link(link) != 0) {
        uint32_t number = get_link(link);
        struct slot *s = slot_at(t, number - 1);
        struct content key;
        key_of(s, &key);
        if (bucket_of(hash_of(t, &key), bucket + 1) == bucket) {
            set_link(link, get_link(&s->next));
            set_link(&s->next, get_link(to));
            set_link(to, number);
        } else {
            link = &s->next;
        }
    }
    atomic_store_explicit(&t->bucket_count, bucket + 1, memory_order_release);
}

/* False: it does not fit a slot. */
static bool pack(const sm_ocsp_table *t, const struct sm_ocsp_kept *kept, struct content *c,
                 uint64_t *signature)
{
    const struct sm_ocsp_said *said = &kept->said;
    int64_t delta = said->produced_at - said->this_update;
    int64_t revoked_at = said->status == SM_OCSP_REVOKED ? said->revoked_at : 0;
    if (kept->signature.len == 0 || kept->signature.len > t->signature_room ||
        kept->signature.len % 2 != 0 || delta < 0 || delta > DELTA_MAX || said->produced_at < 0 ||
        said->produced_at > UINT32_MAX || said->next_update < 0 || said->next_update > UINT32_MAX ||
        revoked_at < 0 || revoked_at > UINT32_MAX) {
        return false;
    }
    c->status = (uint8_t)((unsigned)said->status | (unsigned)(said->reason + 1) << 2);
    c->signature_half = (uint8_t)(kept->signature.len / 2);
    c->delta = (uint16_t)delta;
    c->signer = kept->signer;
    c->produced_at = (uint32_t)said->produced_at;
    c->next_update = (uint32_t)said->next_update;
    c->revoked_at = (uint32_t)revoked_at;
    memset(signature, 0, t->signature_room);
    memcpy(signature, kept->signature.ptr, kept->signature.len);
    return true;
}

static bool insert(sm_ocsp_table *t, const struct content *key, const uint64_t *words,
                   bool may_evict)
{
    uint32_t number = take_slot(t, may_evict);
    if (number == 0) {
        return false;
    }
    struct slot *s = slot_at(t, number - 1);
    store_slot(s, words, t->slot_words);
    atomic_store_explicit(&s->used, 1, memory_order_relaxed);
    _Atomic uint32_t *link = find(t, key); /* making room may have changed its chain */
    set_link(&s->next, 0);
    set_link(link, number);
    t->stats.answers++;
    /* Two buckets for each answer: a chain's second slot is another place in memory. */
    for (int i = 0; i < 2 && 2 * t->stats.answers >
                                 atomic_load_explicit(&t->bucket_count, memory_order_relaxed);
         i++) {
        split(t);
    }
    return true;
}

static void put_locked(sm_ocsp_table *t, struct content *key, const struct sm_ocsp_kept *kept)
{
    uint64_t words[FIXED_WORDS + SM_OCSP_TABLE_SIGNATURE_MAX / 8];
    _Atomic uint32_t *link = find(t, key);
    if (!pack(t, kept, key, words + FIXED_WORDS)) {
        if (get_link(link) != 0) {
            drop(t, link);
        }
        return;
    }
    memcpy(words, key, sizeof(*key));
    if (get_link(link) != 0) {
        store_slot(slot_at(t, get_link(link) - 1), words, t->slot_words);
        return;
    }
    (void)insert(t, key, words, true);
}

static bool fill_locked(sm_ocsp_table *t, struct content *key, const struct sm_ocsp_kept *kept)
{
    uint64_t words[FIXED_WORDS + SM_OCSP_TABLE_SIGNATURE_MAX / 8];
    if (get_link(find(t, key)) != 0 || !pack(t, kept, key, words + FIXED_WORDS)) {
        return true;
    }
    memcpy(words, key, sizeof(*key));
    return insert(t, key, words, false);
}

static bool renew_locked(sm_ocsp_table *t, struct content *key, const struct sm_ocsp_kept *kept)
{
    uint64_t words[FIXED_WORDS + SM_OCSP_TABLE_SIGNATURE_MAX / 8];
    union {
        struct content c;
        uint64_t words[FIXED_WORDS];
    } old;
    uint32_t number = get_link(find(t, key));
    if (number == 0 || !pack(t, kept, key, words + FIXED_WORDS)) {
        return false;
    }
    load_words(slot_at(t, number - 1), old.words, 0, FIXED_WORDS);
    if (old.c.status != key->status || old.c.revoked_at != key->revoked_at) {
        drop(t, find(t, key)); /* the store knows which is right */
    } else if (old.c.produced_at < key->produced_at) {
        memcpy(words, key, sizeof(*key));
        store_slot(slot_at(t, number - 1), words, t->slot_words);
    }
    return true;
}

bool sm_ocsp_table_fill(sm_ocsp_table *table, const struct sm_ocsp_key *key,
                        const struct sm_ocsp_kept *kept, uint64_t epoch)
{
    struct content c;
    bool room = true;
    if (!fill_key(key, &c)) {
        return true;
    }
    (void)pthread_mutex_lock(&table->lock);
    if (atomic_load_explicit(&table->epoch, memory_order_relaxed) == epoch) {
        room = fill_locked(table, &c, kept);
    }
    (void)pthread_mutex_unlock(&table->lock);
    return room;
}

bool sm_ocsp_table_renew(sm_ocsp_table *table, const struct sm_ocsp_key *key,
                         const struct sm_ocsp_kept *kept)
{
    struct content c;
    if (!fill_key(key, &c)) {
        return false;
    }
    (void)pthread_mutex_lock(&table->lock);
    bool found = renew_locked(table, &c, kept);
    (void)pthread_mutex_unlock(&table->lock);
    return found;
}

void sm_ocsp_table_put(sm_ocsp_table *table, const struct sm_ocsp_key *key,
                       const struct sm_ocsp_kept *kept, uint64_t epoch)
{
    struct content c;
    if (!fill_key(key, &c)) {
        return;
    }
    (void)pthread_mutex_lock(&table->lock);
    if (atomic_load_explicit(&table->epoch, memory_order_relaxed) == epoch) {
        put_locked(table, &c, kept);
    }
    (void)pthread_mutex_unlock(&table->lock);
}

void sm_ocsp_table_change(sm_ocsp_table *table, const struct sm_ocsp_key *key,
                          const struct sm_ocsp_kept *kept, uint64_t epoch)
{
    struct content c;
    if (!fill_key(key, &c)) {
        return;
    }
    (void)pthread_mutex_lock(&table->lock);
    bool first = atomic_fetch_add_explicit(&table->epoch, 1, memory_order_release) == epoch;
    if (kept != NULL && first) {
        put_locked(table, &c, kept);
    } else if (get_link(find(table, &c)) != 0) {
        drop(table, find(table, &c));
    }
    (void)pthread_mutex_unlock(&table->lock);
}

void sm_ocsp_table_stats(sm_ocsp_table *table, struct sm_ocsp_table_stats *out)
{
    (void)pthread_mutex_lock(&table->lock);
    *out = table->stats;
    (void)pthread_mutex_unlock(&table->lock);
}
