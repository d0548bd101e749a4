/* SPDX-License-Identifier: Apache-2.0 */
#include "base/lockout.h"

#include "base/clock.h"
#include "base/map.h"
#include "base/mem.h"

bool sm_lockout_init(sm_lockout *l)
{
    (void)pthread_mutex_init(&l->lock, NULL);
    l->places = sm_calloc(SM_LOCKOUT_PLACES, sizeof(*l->places));
    return l->places != NULL;
}

void sm_lockout_deinit(sm_lockout *l)
{
    sm_free(l->places);
    l->places = NULL;
    (void)pthread_mutex_destroy(&l->lock);
}

/* The key's place; without one NULL, and `oldest` is the place to take. */
static struct sm_lockout_place *find(sm_lockout *l, uint64_t key, struct sm_lockout_place **oldest)
{
    struct sm_lockout_place *set =
        &l->places[key % (SM_LOCKOUT_PLACES / SM_LOCKOUT_WAYS) * SM_LOCKOUT_WAYS];
    *oldest = set;
    for (size_t i = 0; i < SM_LOCKOUT_WAYS; i++) {
        if (set[i].key == key) {
            return &set[i];
        }
        uint64_t a = set[i].until_ns > set[i].since_ns ? set[i].until_ns : set[i].since_ns;
        uint64_t b = (*oldest)->until_ns > (*oldest)->since_ns ? (*oldest)->until_ns
                                                               : (*oldest)->since_ns;
        *oldest = a < b ? &set[i] : *oldest;
    }
    return NULL;
}

static uint64_t hash_of(sm_slice key)
{
    uint64_t hash = sm_hash(key);
    return hash == 0 ? 1 : hash; /* 0 is an empty place */
}

unsigned sm_lockout_left_s(sm_lockout *l, sm_slice key, uint64_t now_ns)
{
    struct sm_lockout_place *oldest;
    (void)pthread_mutex_lock(&l->lock);
    const struct sm_lockout_place *p = find(l, hash_of(key), &oldest);
    uint64_t left = p != NULL && p->until_ns > now_ns ? p->until_ns - now_ns : 0;
    (void)pthread_mutex_unlock(&l->lock);
    return (unsigned)((left + SM_NS_PER_S - 1) / SM_NS_PER_S);
}

bool sm_lockout_fail(sm_lockout *l, sm_slice key, const struct sm_lockout_rules *rules,
                     uint64_t now_ns)
{
    struct sm_lockout_place *oldest;
    (void)pthread_mutex_lock(&l->lock);
    struct sm_lockout_place *p = find(l, hash_of(key), &oldest);
    if (p == NULL) {
        p = oldest;
        *p = (struct sm_lockout_place){.key = hash_of(key), .since_ns = now_ns};
    }
    if (now_ns - p->since_ns > rules->window_s * SM_NS_PER_S) {
        p->since_ns = now_ns;
        p->failures = 0;
    }
    bool locks = ++p->failures >= rules->failures;
    if (locks) {
        p->until_ns = now_ns + rules->lock_s * SM_NS_PER_S;
        p->failures = 0;
        p->since_ns = now_ns;
    }
    (void)pthread_mutex_unlock(&l->lock);
    return locks;
}

void sm_lockout_forget(sm_lockout *l, sm_slice key)
{
    struct sm_lockout_place *oldest;
    (void)pthread_mutex_lock(&l->lock);
    struct sm_lockout_place *p = find(l, hash_of(key), &oldest);
    if (p != NULL && p->until_ns == 0) {
        *p = (struct sm_lockout_place){.key = 0};
    }
    (void)pthread_mutex_unlock(&l->lock);
}
