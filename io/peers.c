/* SPDX-License-Identifier: Apache-2.0 */
/* Open addressing with linear probing; leaving moves later entries back, so nothing piles up. */
#include "io/peers.h"

#include "base/check.h"
#include "base/map.h"
#include "base/mem.h"

#include <netinet/in.h>
#include <pthread.h>
#include <string.h>

#define ROOM_FIRST 64U /* power of two */
#define KEY_LEN 16

struct entry {
    uint8_t key[KEY_LEN];
    uint32_t count; /* 0: the place is free */
};

struct sm_peers {
    pthread_mutex_t lock; /* covers what follows */
    struct entry *entries;
    size_t room;
    size_t used;
    uint32_t limit;
};

sm_err sm_peers_new(uint32_t limit, sm_peers **out)
{
    sm_peers *p = sm_calloc(1, sizeof(*p));
    struct entry *entries = sm_calloc(ROOM_FIRST, sizeof(*entries));
    if (p == NULL || entries == NULL) {
        sm_free(p);
        sm_free(entries);
        return SM_ERR(NO_MEMORY);
    }
    (void)pthread_mutex_init(&p->lock, NULL);
    p->entries = entries;
    p->room = ROOM_FIRST;
    p->limit = limit;
    *out = p;
    return SM_NO_ERR;
}

void sm_peers_free(sm_peers **out)
{
    sm_peers *p = *out;
    if (p == NULL) {
        return;
    }
    *out = NULL;
    (void)pthread_mutex_destroy(&p->lock);
    sm_free(p->entries);
    sm_free(p);
}

/* False: an address of another family. */
static bool key_of(const struct sockaddr_storage *address, uint8_t key[KEY_LEN])
{
    memset(key, 0, KEY_LEN);
    if (address->ss_family == AF_INET) {
        struct sockaddr_in in;
        memcpy(&in, address, sizeof(in));
        key[10] = 0xff;
        key[11] = 0xff;
        memcpy(key + 12, &in.sin_addr, 4);
        return true;
    }
    if (address->ss_family != AF_INET6) {
        return false;
    }
    struct sockaddr_in6 in6;
    memcpy(&in6, address, sizeof(in6));
    bool mapped = IN6_IS_ADDR_V4MAPPED(&in6.sin6_addr);
    memcpy(key, &in6.sin6_addr, mapped ? KEY_LEN : 8);
    return true;
}

static size_t home_of(const struct entry *entries_key, size_t room)
{
    return sm_hash(sm_slice_of(entries_key->key, KEY_LEN)) & (room - 1);
}

/* The entry of this key, or the free place where it belongs. */
static struct entry *find(struct entry *entries, size_t room, const struct entry *wanted)
{
    size_t at = home_of(wanted, room);
    while (entries[at].count != 0 && memcmp(entries[at].key, wanted->key, KEY_LEN) != 0) {
        at = (at + 1) & (room - 1);
    }
    return &entries[at];
}

static bool grow(sm_peers *p)
{
    size_t room = p->room * 2;
    struct entry *entries = sm_calloc(room, sizeof(*entries));
    if (entries == NULL) {
        return false;
    }
    for (size_t i = 0; i < p->room; i++) {
        if (p->entries[i].count != 0) {
            *find(entries, room, &p->entries[i]) = p->entries[i];
        }
    }
    sm_free(p->entries);
    p->entries = entries;
    p->room = room;
    return true;
}

static sm_err enter(sm_peers *p, const struct entry *wanted)
{
    struct entry *e = find(p->entries, p->room, wanted);
    if (e->count >= p->limit) {
        return SM_ERR(EXHAUSTED);
    }
    if (e->count > 0) {
        e->count++;
        return SM_NO_ERR;
    }
    if (p->used >= p->room / 2) {
        if (!grow(p)) {
            return SM_ERR(NO_MEMORY);
        }
        e = find(p->entries, p->room, wanted);
    }
    *e = *wanted;
    e->count = 1;
    p->used++;
    return SM_NO_ERR;
}

sm_err sm_peers_enter(sm_peers *p, const struct sockaddr_storage *address)
{
    struct entry wanted = {.count = 0};
    if (!key_of(address, wanted.key)) {
        return SM_NO_ERR;
    }
    (void)pthread_mutex_lock(&p->lock);
    sm_err err = enter(p, &wanted);
    (void)pthread_mutex_unlock(&p->lock);
    return err;
}

/* Frees the place `hole` and moves back what had to go past it. */
static void remove_at(sm_peers *p, size_t hole)
{
    size_t mask = p->room - 1;
    size_t at = hole;
    for (;;) {
        at = (at + 1) & mask;
        if (p->entries[at].count == 0) {
            break;
        }
        size_t home = home_of(&p->entries[at], p->room);
        if (((at - home) & mask) >= ((at - hole) & mask)) {
            p->entries[hole] = p->entries[at];
            hole = at;
        }
    }
    p->entries[hole].count = 0;
    p->used--;
}

void sm_peers_leave(sm_peers *p, const struct sockaddr_storage *address)
{
    struct entry wanted = {.count = 0};
    if (!key_of(address, wanted.key)) {
        return;
    }
    (void)pthread_mutex_lock(&p->lock);
    struct entry *e = find(p->entries, p->room, &wanted);
    SM_CHECK(e->count > 0);
    if (e->count > 1) {
        e->count--;
    } else {
        remove_at(p, (size_t)(e - p->entries));
    }
    (void)pthread_mutex_unlock(&p->lock);
}

size_t sm_peers_count(sm_peers *p)
{
    (void)pthread_mutex_lock(&p->lock);
    size_t used = p->used;
    (void)pthread_mutex_unlock(&p->lock);
    return used;
}
