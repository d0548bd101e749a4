/* SPDX-License-Identifier: Apache-2.0 */
/* A world's CAs: made of their records, or shared with the world before where the record is the same. A change makes one CA
 * anew, whatever the number of the others. */
#include "api/api_p.h"
#include "api/ocsp_responder.h"
#include "api/record.h"
#include "api/world_p.h"
#include "base/log.h"
#include "base/mem.h"
#include "proto/message.h"

#define CA_MEMORY (64U << 20) /* records have 4 MiB at the most */

/* What a record makes of a CA; constant once it is made, but for anchors. */
struct sm_ca_made {
    _Atomic uint32_t refs;
    sm_arena arena;
    uint8_t *row; /* the record's octets; not in the arena, whose blocks they would double */
    size_t row_len;
    Sealmill__Record__V1__CaRecord *record;
    struct sm_ca_generation *generations;
    size_t generation_count;
    uint8_t (*key_hashes)[32]; /* SHA-256 of its keys' and its responders' SubjectPublicKeyInfo */
    size_t key_count;
    size_t opened; /* key files */
    bool complete; /* all of its keys are at hand: another world may share it */
};

/* ---- generations ---- */

static sm_err fill_hashes(struct sm_ca_generation *g)
{
    struct sm_public_key key;
    uint8_t digest[SM_DIGEST_MAX];
    SM_TRY(sm_public_key_parse(g->cert.spki, &key, NULL));
    SM_TRY(sm_sha1(g->cert.subject, g->name_sha1));
    SM_TRY(sm_public_key_id(&key, g->key_sha1));
    SM_TRY(sm_digest_compute(SM_SHA256, g->cert.subject, digest));
    memcpy(g->name_sha256, digest, 32);
    SM_TRY(sm_digest_compute(SM_SHA256, key.bits, digest));
    memcpy(g->key_sha256, digest, 32);
    return SM_NO_ERR;
}

sm_key *sm_world_try_key(struct builder *b, const char *uri, const char *ca)
{
    sm_key *key = NULL;
    sm_diag diag = {.reason = ""};
    if (uri == NULL || uri[0] == '\0') {
        return NULL;
    }
    sm_err err = sm_api_load_key(b->api, uri, &key, &diag);
    bool file = strncmp(uri, "file:", 5) == 0;
    b->opened += file && sm_ok(err) ? 1 : 0;
    if (!sm_ok(err)) {
        if (file && (sm_err_is(err, SM_E_FORBIDDEN) || sm_err_is(err, SM_E_INVALID))) {
            b->refused = err;
            err = sm_diag_set(&b->refusal, err, "keys", "%s", diag.reason);
        }
        sm_log(SM_LOG_ERROR, "ca_key_missing", SM_KS("ca", ca), SM_KS("key", uri),
               SM_KE("error", err), SM_KS("reason", diag.reason), SM_KEND);
        b->world->keys_missing = true;
        b->key_missed = true;
        return NULL;
    }
    return key;
}

static sm_err add_further(struct builder *b, struct sm_ca_made *made, struct sm_ca_generation *g,
                          const Sealmill__Record__V1__CaGeneration *from)
{
    size_t n = from->n_further_responders;
    n = n > SM_OCSP_FURTHER_MAX ? SM_OCSP_FURTHER_MAX : n;
    if (n == 0) {
        return SM_NO_ERR;
    }
    g->further = sm_arena_zalloc(&made->arena, n * sizeof(*g->further));
    if (g->further == NULL) {
        return SM_ERR(NO_MEMORY);
    }
    for (size_t i = 0; i < n; i++) {
        const Sealmill__Record__V1__FurtherResponder *f = from->further_responders[i];
        struct sm_further_responder *out = &g->further[g->further_count];
        SM_TRY(sm_cert_parse(sm_slice_of(f->certificate.data, f->certificate.len), &out->cert,
                             b->diag));
        out->type = (enum sm_key_type)f->key_type;
        out->key = sm_world_try_key(b, f->key_uri, made->record->ca->name);
        g->further_count++;
    }
    return SM_NO_ERR;
}

static sm_err add_chain(struct sm_ca_made *made, struct sm_ca_generation *g,
                        const Sealmill__Record__V1__CaGeneration *from)
{
    struct sm_cert last;
    g->chain = sm_arena_alloc(&made->arena, (from->n_chain + 1) * sizeof(*g->chain));
    if (g->chain == NULL) {
        return SM_ERR(NO_MEMORY);
    }
    for (size_t i = 0; i < from->n_chain; i++) {
        g->chain[g->chain_count++] = sm_slice_of(from->chain[i].data, from->chain[i].len);
    }
    g->chain_sent = g->chain_count;
    if (g->chain_count > 0 && sm_ok(sm_cert_parse(g->chain[g->chain_count - 1], &last, NULL)) &&
        sm_slice_equal(last.subject, last.issuer)) {
        g->chain_sent--; /* relying parties have their own (RFC 8446 4.4.2) */
    }
    return SM_NO_ERR;
}

static sm_err add_generation(struct builder *b, struct sm_ca_made *made,
                             const Sealmill__Record__V1__CaGeneration *from)
{
    const Sealmill__Record__V1__CaRecord *r = made->record;
    struct sm_ca_generation *g = &made->generations[made->generation_count++];
    g->ca_id = r->id;
    g->number = from->number;
    g->key = sm_world_try_key(b, from->key_uri, r->ca->name);
    g->ocsp_key = sm_world_try_key(b, from->ocsp_key_uri, r->ca->name);
    if (from->certificate.len > 0) {
        SM_TRY(sm_cert_parse(sm_slice_of(from->certificate.data, from->certificate.len), &g->cert,
                             b->diag));
        SM_TRY(fill_hashes(g));
    }
    if (from->ocsp_certificate.len > 0) {
        SM_TRY(sm_cert_parse(sm_slice_of(from->ocsp_certificate.data, from->ocsp_certificate.len),
                             &g->ocsp_cert, b->diag));
    }
    SM_TRY(add_further(b, made, g, from));
    g->new_with_old = sm_slice_of(from->new_with_old.data, from->new_with_old.len);
    g->old_with_new = sm_slice_of(from->old_with_new.data, from->old_with_new.len);
    SM_TRY(add_chain(made, g, from));
    return sm_ocsp_responder_make(b->world->config, r->ca->name, r->foreign, from, g, &made->arena,
                                  &g->ocsp);
}

/* ---- verify_after_sign ---- */

typedef void (*sm_check_fn)(sm_key *key, uint64_t round);

static void on_keys_of(const struct sm_ca *ca, sm_check_fn fn, uint64_t round)
{
    for (size_t i = 0; i < ca->generation_count; i++) {
        const struct sm_ca_generation *g = &ca->generations[i];
        sm_key *keys[2 + SM_OCSP_FURTHER_MAX] = {g->key, g->ocsp_key};
        for (size_t j = 0; j < g->further_count; j++) {
            keys[2 + j] = g->further[j].key;
        }
        for (size_t j = 0; j < 2 + g->further_count; j++) {
            if (keys[j] != NULL) {
                fn(keys[j], round);
            }
        }
    }
}

/* A key may be several CAs' and a signing key's: it is checked if one of them wants it. */
void sm_world_set_checks(const sm_world *w)
{
    const Sealmill__Config__V1__Crypto *crypto = w->config->crypto;
    const bool all = crypto != NULL && crypto->verify_after_sign;
    for (size_t i = 0; i < w->ca_count; i++) {
        const Sealmill__V1__CreateCaRequest *r = w->cas[i].record->request;
        if (all || (r != NULL && r->verify_after_sign)) {
            on_keys_of(&w->cas[i], sm_key_want_check, w->number);
        }
    }
    for (size_t i = 0; i < w->signing_key_count; i++) {
        if (w->signing_key_handles[i] != NULL && (all || w->signing_keys[i]->verify_after_sign)) {
            sm_key_want_check(w->signing_key_handles[i], w->number);
        }
    }
    for (size_t i = 0; i < w->ca_count; i++) {
        on_keys_of(&w->cas[i], sm_key_settle_check, w->number);
    }
    for (size_t i = 0; i < w->signing_key_count; i++) {
        if (w->signing_key_handles[i] != NULL) {
            sm_key_settle_check(w->signing_key_handles[i], w->number);
        }
    }
}

/* ---- keys that are never certified ---- */

static sm_err hash_key(struct sm_ca_made *made, const struct sm_cert *cert)
{
    uint8_t digest[SM_DIGEST_MAX];
    if (cert->der.len == 0) {
        return SM_NO_ERR;
    }
    SM_TRY(sm_digest_compute(SM_SHA256, cert->spki, digest));
    memcpy(made->key_hashes[made->key_count++], digest, 32);
    return SM_NO_ERR;
}

static sm_err hash_keys(struct sm_ca_made *made)
{
    size_t most = made->generation_count * (2 + SM_OCSP_FURTHER_MAX);
    made->key_hashes = sm_arena_alloc(&made->arena, (most + 1) * sizeof(*made->key_hashes));
    if (made->key_hashes == NULL) {
        return SM_ERR(NO_MEMORY);
    }
    for (size_t i = 0; i < made->generation_count; i++) {
        const struct sm_ca_generation *g = &made->generations[i];
        SM_TRY(hash_key(made, &g->cert));
        SM_TRY(hash_key(made, &g->ocsp_cert));
        for (size_t j = 0; j < g->further_count; j++) {
            SM_TRY(hash_key(made, &g->further[j].cert));
        }
    }
    return SM_NO_ERR;
}

sm_err sm_world_deny_keys(const struct sm_ca *ca, struct sm_denied_keys *out)
{
    for (size_t i = 0; i < ca->made->key_count; i++) {
        SM_TRY(sm_denied_keys_add(out, ca->made->key_hashes[i]));
    }
    return SM_NO_ERR;
}

/* ---- the whole ---- */

static void detach_made(struct sm_ca_made **made)
{
    struct sm_ca_made *m = *made;
    *made = NULL;
    if (m == NULL || atomic_fetch_sub(&m->refs, 1) != 1) {
        return;
    }
    for (size_t i = 0; i < m->generation_count; i++) {
        struct sm_ca_generation *g = &m->generations[i];
        sm_anchors *anchors = atomic_load_explicit(&g->anchors, memory_order_relaxed);
        sm_anchors_free(&anchors);
        sm_key_detach(&g->key);
        sm_key_detach(&g->ocsp_key);
        for (size_t j = 0; j < g->further_count; j++) {
            sm_key_detach(&g->further[j].key);
        }
    }
    sm_arena_deinit(&m->arena);
    sm_free(m->row);
    sm_free(m);
}

static sm_err fill_made(struct builder *b, sm_slice value, struct sm_ca_made *made)
{
    ProtobufCMessage *m;
    size_t opened = b->opened;
    made->row = sm_malloc(value.len);
    if (made->row == NULL) {
        return SM_ERR(NO_MEMORY);
    }
    memcpy(made->row, value.ptr, value.len);
    made->row_len = value.len;
    SM_TRY(
        sm_message_unpack(&sealmill__record__v1__ca_record__descriptor, value, &made->arena, &m));
    made->record = (Sealmill__Record__V1__CaRecord *)(void *)m;
    size_t n = made->record->n_generations;
    made->generations = sm_arena_zalloc(&made->arena, n * sizeof(*made->generations));
    if (made->generations == NULL) {
        return SM_ERR(NO_MEMORY);
    }
    b->key_missed = false;
    for (size_t i = 0; i < n; i++) {
        SM_TRY(add_generation(b, made, made->record->generations[i]));
    }
    made->opened = b->opened - opened;
    made->complete = !b->key_missed;
    return hash_keys(made);
}

static sm_err make(struct builder *b, sm_slice value, struct sm_ca_made **out)
{
    struct sm_ca_made *made = sm_calloc(1, sizeof(*made));
    if (made == NULL) {
        return SM_ERR(NO_MEMORY);
    }
    atomic_init(&made->refs, 1);
    sm_arena_init(&made->arena, CA_MEMORY);
    sm_err err = fill_made(b, value, made);
    if (!sm_ok(err)) {
        detach_made(&made);
        return err;
    }
    *out = made;
    return SM_NO_ERR;
}

/* The same record's, of the world before; NULL: there is none. `key` ends in the CA's name. */
static struct sm_ca_made *find_made(struct builder *b, sm_slice key, sm_slice value)
{
    sm_slice name = sm_slice_from(key, strlen("ca/"));
    const struct sm_ca *ca = b->before == NULL ? NULL : sm_world_ca_named(b->before, name);
    struct sm_ca_made *made = ca == NULL ? NULL : ca->made;
    if (made == NULL || !made->complete ||
        !sm_slice_equal(sm_slice_of(made->row, made->row_len), value)) {
        return NULL;
    }
    atomic_fetch_add(&made->refs, 1);
    b->opened += made->opened;
    return made;
}

sm_err sm_world_add_ca(struct builder *b, sm_slice key, sm_slice value)
{
    sm_world *w = b->world;
    struct sm_ca_made *made = find_made(b, key, value);
    if (made == NULL) {
        SM_TRY(make(b, value, &made));
    }
    Sealmill__Record__V1__CaRecord *record = made->record;
    w->last_ca_id = record->id > w->last_ca_id ? record->id : w->last_ca_id;
    if (w->ca_count == SM_CAS_MAX) {
        sm_err err = sm_world_over_limit(b, "CAs", record->ca->name, SM_CAS_MAX);
        detach_made(&made);
        return err;
    }
    w->cas[w->ca_count++] = (struct sm_ca){
        .name = record->ca->name,
        .id = record->id,
        .record = record,
        .generations = made->generations,
        .generation_count = made->generation_count,
        .active = record->ca->state == SEALMILL__V1__CA_STATE__CA_STATE_ACTIVE,
        .made = made,
    };
    return SM_NO_ERR;
}

void sm_world_free_ca(struct sm_ca *ca)
{
    detach_made(&ca->made);
}
