/* SPDX-License-Identifier: Apache-2.0 */
/* What finds CAs and their generations in a world of many, and the CA that a profile means when none is named. */
#include "api/world.h"
#include "base/mem.h"

#include <string.h>

#define CERT_ID_MAX (2 * 32) /* name hash and key hash, of SHA-256 */

/* By profile's index. */
struct sole {
    struct sm_ca *ca;
    bool several;
};

struct sm_world_index {
    sm_map *by_name;
    sm_map *by_id;
    sm_map *by_subject;
    sm_map *by_cert_id;
    struct sole sole[SM_PROFILES_MAX];
};

static sm_slice id_key(const uint32_t *id)
{
    return sm_slice_of(id, sizeof(*id));
}

struct sm_ca *sm_world_ca(const sm_world *world, const char *name)
{
    return sm_map_get(world->index->by_name, sm_slice_str(name));
}

struct sm_ca *sm_world_ca_named(const sm_world *world, sm_slice name)
{
    return sm_map_get(world->index->by_name, name);
}

struct sm_ca *sm_world_ca_by_id(const sm_world *world, uint32_t id)
{
    return sm_map_get(world->index->by_id, id_key(&id));
}

const struct sm_same_subject *sm_world_by_subject(const sm_world *world, sm_slice subject)
{
    return sm_map_get(world->index->by_subject, subject);
}

static sm_slice join(uint8_t out[CERT_ID_MAX], sm_slice name_hash, sm_slice key_hash)
{
    memcpy(out, name_hash.ptr, name_hash.len);
    memcpy(out + name_hash.len, key_hash.ptr, key_hash.len);
    return sm_slice_of(out, name_hash.len + key_hash.len);
}

const struct sm_ca_generation *sm_world_by_cert_id(const sm_world *world, sm_slice name_hash,
                                                   sm_slice key_hash)
{
    uint8_t both[CERT_ID_MAX];
    return name_hash.len + key_hash.len > sizeof(both)
               ? NULL
               : sm_map_get(world->index->by_cert_id, join(both, name_hash, key_hash));
}

struct sm_ca *sm_world_sole_ca(const sm_world *world, const struct sm_profile *profile,
                               bool *several)
{
    const struct sole *s = &world->index->sole[profile->index];
    *several = s->several;
    return s->several ? NULL : s->ca;
}

/* ---- the build ---- */

/* Of two with one CertID the first one counts. */
static sm_err add_cert_id(struct sm_world_index *x, sm_slice name_hash, sm_slice key_hash,
                          struct sm_ca_generation *g)
{
    uint8_t both[CERT_ID_MAX];
    sm_slice key = join(both, name_hash, key_hash);
    return sm_map_get(x->by_cert_id, key) != NULL ? SM_NO_ERR
                                                  : sm_map_put(x->by_cert_id, key, g, NULL);
}

static sm_err add_subject(sm_world *w, struct sm_ca_generation *g)
{
    struct sm_same_subject *own = SM_ARENA_NEW(&w->arena, struct sm_same_subject);
    struct sm_same_subject *at = sm_map_get(w->index->by_subject, g->cert.subject);
    if (own == NULL) {
        return SM_ERR(NO_MEMORY);
    }
    own->g = g;
    if (at == NULL) {
        return sm_map_put(w->index->by_subject, g->cert.subject, own, NULL);
    }
    while (at->next != NULL) {
        at = at->next;
    }
    at->next = own;
    return SM_NO_ERR;
}

static sm_err add_generation(sm_world *w, struct sm_ca_generation *g)
{
    struct sm_world_index *x = w->index;
    if (g->cert.der.len == 0) {
        return SM_NO_ERR; /* pending: nobody can mean it */
    }
    SM_TRY(add_subject(w, g));
    if (g->ocsp == NULL) {
        return SM_NO_ERR;
    }
    SM_TRY(add_cert_id(x, sm_slice_of(g->name_sha1, sizeof(g->name_sha1)),
                       sm_slice_of(g->key_sha1, sizeof(g->key_sha1)), g));
    return add_cert_id(x, sm_slice_of(g->name_sha256, sizeof(g->name_sha256)),
                       sm_slice_of(g->key_sha256, sizeof(g->key_sha256)), g);
}

static sm_err add_ca(sm_world *w, struct sm_ca *ca)
{
    struct sm_world_index *x = w->index;
    SM_TRY(sm_map_put(x->by_name, sm_slice_str(ca->name), ca, NULL));
    SM_TRY(sm_map_put(x->by_id, id_key(&ca->id), ca, NULL));
    for (size_t i = ca->generation_count; i-- > 0;) {
        SM_TRY(add_generation(w, &ca->generations[i]));
    }
    return SM_NO_ERR;
}

static void find_sole(const sm_world *w, const struct sm_profile *p, struct sole *out)
{
    for (size_t i = 0; i < w->ca_count && !out->several; i++) {
        struct sm_ca *ca = &w->cas[i];
        if (ca->active && !ca->record->ca->root && sm_world_issues(ca, p)) {
            out->several = out->ca != NULL;
            out->ca = ca;
        }
    }
}

sm_err sm_world_index_make(sm_world *w)
{
    struct sm_world_index *x = sm_calloc(1, sizeof(*x));
    size_t generations = 0;
    if (x == NULL) {
        return SM_ERR(NO_MEMORY);
    }
    w->index = x;
    for (size_t i = 0; i < w->ca_count; i++) {
        generations += w->cas[i].generation_count;
    }
    SM_TRY(sm_map_new(w->ca_count + 1, &x->by_name));
    SM_TRY(sm_map_new(w->ca_count + 1, &x->by_id));
    SM_TRY(sm_map_new(generations + 1, &x->by_subject));
    SM_TRY(sm_map_new(2 * generations + 1, &x->by_cert_id));
    for (size_t i = 0; i < w->ca_count; i++) {
        SM_TRY(add_ca(w, &w->cas[i]));
    }
    for (size_t i = 0; i < w->profile_count; i++) {
        find_sole(w, &w->profiles[i], &x->sole[i]);
    }
    return SM_NO_ERR;
}

void sm_world_index_free(sm_world *w)
{
    if (w->index != NULL) {
        sm_map_free(&w->index->by_name);
        sm_map_free(&w->index->by_id);
        sm_map_free(&w->index->by_subject);
        sm_map_free(&w->index->by_cert_id);
        sm_free(w->index);
        w->index = NULL;
    }
}
