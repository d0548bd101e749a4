/* SPDX-License-Identifier: Apache-2.0 */
#include "api/ca.h"

#include "api/api_p.h"
#include "api/ca_cert.h"
#include "api/ca_import.h"
#include "api/record.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/rand.h"
#include "proto/message.h"

#include <stdio.h>

#define RESPONDER_VALIDITY_DEFAULT "30d"

typedef Sealmill__Record__V1__CaRecord ca_record;
typedef Sealmill__Record__V1__CaGeneration ca_generation;

static bool name_is_good(const char *name)
{
    size_t len = strlen(name);
    for (size_t i = 0; i < len; i++) {
        bool word = (name[i] >= 'a' && name[i] <= 'z') || (name[i] >= '0' && name[i] <= '9') ||
                    name[i] == '-';
        if (!word) {
            return false;
        }
    }
    return len > 0 && len <= 63;
}

/* ---- records ---- */

static sm_err load(const struct sm_admin *a, const char *name, ca_record **out, sm_slice *old)
{
    sm_slice key;
    ProtobufCMessage *m;
    sm_buf bytes = sm_buf_init(4U << 20);
    SM_TRY(sm_record_key("ca/", sm_slice_str(name), a->arena, &key));
    sm_err err = sm_store_get_sync(a->api->config.store, SM_FAMILY_META, key, &bytes);
    if (sm_err_is(err, SM_E_NOT_FOUND)) {
        err = sm_diag_set(a->diag, err, "name", "there is no CA %.63s", name);
    }
    err = sm_ok(err) ? sm_arena_copy(a->arena, sm_buf_slice(&bytes), old) : err;
    sm_buf_deinit(&bytes);
    SM_TRY(err);
    SM_TRY(sm_message_unpack(&sealmill__record__v1__ca_record__descriptor, *old, a->arena, &m));
    *out = (ca_record *)(void *)m;
    return SM_NO_ERR;
}

/* Writes the record if it is still as it was read (`old`), and puts the new world in place.
 * `uncertain`: after an error, whether the record may be on the disk. */
static sm_err save(const struct sm_admin *a, ca_record *record, sm_slice old, const char *action,
                   bool *uncertain)
{
    sm_slice key;
    sm_slice value;
    const struct sm_audit audit = {
        .caller = a->caller,
        .action = action,
        .outcome = "ok",
        .target = record->ca->name,
        .correlation_id = a->correlation_id,
        .ca_id = record->id,
    };
    SM_TRY(sm_record_key("ca/", sm_slice_str(record->ca->name), a->arena, &key));
    SM_TRY(sm_record_pack(&record->base, a->arena, &value));
    const struct sm_store_cond cond = {old.ptr == NULL ? SM_COND_ABSENT : SM_COND_EQUALS,
                                       SM_FAMILY_META, key, old};
    struct sm_change change = {
        .key = key, .value = value, .conds = &cond, .cond_count = 1, .audit = &audit};
    sm_err err = sm_api_commit(a->api, &change, a->arena, a->diag);
    *uncertain = change.uncertain;
    return err;
}

static uint32_t next_id(sm_api *api)
{
    return api->world->last_ca_id + 1;
}

/* ---- generations ---- */

static int64_t responder_validity(const sm_api *api)
{
    const Sealmill__Config__V1__Ocsp *ocsp = api->config.config->ocsp;
    const char *text = ocsp == NULL || ocsp->responder_validity[0] == '\0'
                           ? RESPONDER_VALIDITY_DEFAULT
                           : ocsp->responder_validity;
    int64_t s = 30 * 86400;
    return sm_ok(sm_duration_parse(sm_slice_str(text), &s)) ? s : 30 * 86400;
}

/* A new key and certificate for the generation's responder, signed by the CA's own key (RFC 6960
 * 4.2.2.2). */
static sm_err make_responder(const struct sm_admin *a, const char *name, ca_generation *g,
                             sm_key *ca_key)
{
    char key_name[128];
    struct sm_cert issuer;
    sm_key *key;
    sm_slice der;
    SM_TRY(sm_cert_parse(sm_slice_of(g->certificate.data, g->certificate.len), &issuer, a->diag));
    /* The responder signs for every relying party: a fast key, except under a post-quantum CA. */
    enum sm_key_type type = sm_key_get_type(ca_key) >= SM_KEY_ML_DSA_44 ? sm_key_get_type(ca_key)
                                                                        : SM_KEY_P256;
    (void)snprintf(key_name, sizeof(key_name), "%.63s-ocsp-%u-%08x", name, g->number,
                   (unsigned)(sm_rand_u64() & 0xffffffffU));
    SM_TRY(sm_keystore_create(a->api->config.keystore, key_name, "", type, &key, a->diag));
    sm_err err = sm_ocsp_cert_make(&issuer, ca_key, key, responder_validity(a->api), a->arena,
                                   &der);
    if (sm_ok(err)) {
        g->ocsp_certificate = sm_binary(der);
        g->ocsp_key_uri = sm_text(a->arena, sm_slice_str(sm_key_uri(key)));
        err = sm_map_put(a->api->keys, sm_slice_str(sm_key_uri(key)), key,
                         NULL); /* the cache holds it now */
    }
    if (!sm_ok(err)) {
        sm_keystore_discard(a->api->config.keystore, sm_key_uri(key));
        sm_key_detach(&key);
    }
    return err;
}

static sm_err make_key(const struct sm_admin *a, const char *name, uint32_t number, const char *uri,
                       bool existing, enum sm_key_type type, sm_key **out)
{
    char key_name[96];
    if (existing) {
        return sm_api_load_key(a->api, uri, out, a->diag);
    }
    (void)snprintf(key_name, sizeof(key_name), "%.63s-%u", name, number);
    SM_TRY(sm_keystore_create(a->api->config.keystore, key_name, uri,
                              type == SM_KEY_NONE ? SM_KEY_P256 : type, out, a->diag));
    sm_err err = sm_map_put(a->api->keys, sm_slice_str(sm_key_uri(*out)), *out, NULL);
    if (!sm_ok(err)) {
        sm_keystore_discard(a->api->config.keystore, sm_key_uri(*out));
        sm_key_detach(out);
        return err;
    }
    *out = sm_key_attach(*out);
    return SM_NO_ERR;
}

static sm_err append_generation(const struct sm_admin *a, ca_record *record, ca_generation **out)
{
    ca_generation **list = sm_arena_alloc(a->arena, (record->n_generations + 1) * sizeof(*list));
    ca_generation *g = SM_ARENA_NEW(a->arena, ca_generation);
    if (list == NULL || g == NULL) {
        return SM_ERR(NO_MEMORY);
    }
    sealmill__record__v1__ca_generation__init(g);
    for (size_t i = 0; i < record->n_generations; i++) {
        list[i] = record->generations[i];
    }
    list[record->n_generations++] = g;
    record->generations = list;
    g->number = (uint32_t)record->n_generations;
    *out = g;
    return SM_NO_ERR;
}

/* The public description follows the last generation. */
static sm_err describe(const struct sm_admin *a, ca_record *record)
{
    const ca_generation *g = record->generations[record->n_generations - 1];
    Sealmill__V1__Ca *ca = record->ca;
    struct sm_cert cert;
    ca->generation = (int32_t)g->number;
    ca->key_type = (Sealmill__V1__KeyType)g->key_type;
    ca->key_uri = g->key_uri;
    if (g->certificate.len == 0) {
        return SM_NO_ERR;
    }
    SM_TRY(sm_cert_parse(sm_slice_of(g->certificate.data, g->certificate.len), &cert, a->diag));
    ca->certificate = g->certificate;
    ca->not_before = sm_timestamp(a->arena, cert.not_before);
    ca->not_after = sm_timestamp(a->arena, cert.not_after);
    sm_buf text = sm_buf_init(8192);
    sm_err err = sm_name_to_text(cert.subject, &text);
    ca->subject = sm_text(a->arena, sm_buf_slice(&text));
    sm_buf_deinit(&text);
    return err;
}

/* ---- signing a generation's certificate ---- */

static sm_err use_parent(const struct sm_admin *a, const char *parent, ca_generation *g,
                         struct sm_ca_cert_request *out)
{
    const struct sm_ca *ca = sm_world_ca(a->api->world, parent);
    const struct sm_ca_generation *p = ca == NULL ? NULL : sm_ca_current(ca);
    if (p == NULL || !ca->active || p->key == NULL || p->cert.der.len == 0) {
        return sm_diag_set(a->diag, SM_ERR(PRECONDITION), "parent",
                           "%.63s is not a CA that can sign", parent);
    }
    if (p->cert.not_after <= sm_clock_wall_s()) {
        return sm_diag_set(a->diag, SM_ERR(PRECONDITION), "parent",
                           "the certificate of %.63s has expired", parent);
    }
    if (p->cert.path_length == 0) {
        return sm_diag_set(a->diag, SM_ERR(POLICY), "parent",
                           "the path length of %.63s allows no CA below it", parent);
    }
    out->issuer = &p->cert;
    out->issuer_key = p->key;
    g->chain = sm_arena_alloc(a->arena, (p->chain_count + 1) * sizeof(*g->chain));
    if (g->chain == NULL) {
        return SM_ERR(NO_MEMORY);
    }
    g->chain[g->n_chain++] = sm_binary(p->cert.der);
    for (size_t i = 0; i < p->chain_count; i++) {
        g->chain[g->n_chain++] = sm_binary(p->chain[i]);
    }
    return SM_NO_ERR;
}

static sm_err fill_generation(const struct sm_admin *a, ca_record *record, ca_generation *g,
                              sm_key *key, sm_slice subject, int64_t validity_s)
{
    const Sealmill__V1__CreateCaRequest *r = record->request;
    sm_slice der;
    g->key_uri = sm_text(a->arena, sm_slice_str(sm_key_uri(key)));
    g->key_type = (uint32_t)sm_key_get_type(key);
    if (r->parent[0] == '\0' && !r->self_signed) {
        sm_slice copy;
        SM_TRY(sm_arena_copy(a->arena, subject, &copy));
        record->ca->state = record->n_generations == 1 ? SEALMILL__V1__CA_STATE__CA_STATE_PENDING
                                                       : record->ca->state;
        return SM_NO_ERR;
    }
    struct sm_ca_cert_request request = {
        .request = r, .subject = subject, .key = key, .issuer_key = key, .validity_s = validity_s};
    if (r->parent[0] != '\0') {
        SM_TRY(use_parent(a, r->parent, g, &request));
    }
    SM_TRY(sm_ca_cert_make(&request, a->arena, &der, a->diag));
    g->certificate = sm_binary(der);
    record->ca->state = SEALMILL__V1__CA_STATE__CA_STATE_ACTIVE;
    return make_responder(a, record->ca->name, g, key);
}

/* ---- operations ---- */

static sm_err create(const struct sm_admin *a, const Sealmill__V1__CreateCaRequest *r,
                     Sealmill__V1__Ca **out)
{
    ca_record record;
    Sealmill__V1__Ca *ca = SM_ARENA_NEW(a->arena, Sealmill__V1__Ca);
    ProtobufCMessage *kept;
    ca_generation *g;
    sm_key *key;
    sm_slice subject;
    if (ca == NULL) {
        return SM_ERR(NO_MEMORY);
    }
    if (!name_is_good(r->name)) {
        return sm_diag_set(a->diag, SM_ERR(INVALID), "name",
                           "1 to 63 lower-case letters, digits and '-' are wanted");
    }
    if (sm_world_ca(a->api->world, r->name) != NULL) {
        return sm_diag_set(a->diag, SM_ERR(EXISTS), "name", "there is a CA %s already", r->name);
    }
    if (r->subject == NULL || r->subject->n_attributes == 0) {
        return sm_diag_set(a->diag, SM_ERR(INVALID), "subject",
                           "a CA needs a subject (RFC 5280 4.1.2.6)");
    }
    SM_TRY(sm_name_from_message(r->subject, a->arena, &subject, a->diag));
    SM_TRY(sm_ca_request_check(r, r->validity_seconds, a->diag));
    SM_TRY(sm_message_copy(&r->base, a->arena, &kept));
    sealmill__record__v1__ca_record__init(&record);
    sealmill__v1__ca__init(ca);
    record.version = SM_RECORD_VERSION;
    record.id = next_id(a->api);
    record.ca = ca;
    record.request = (Sealmill__V1__CreateCaRequest *)(void *)kept;
    ca->name = record.request->name;
    ca->parent = record.request->parent;
    ca->root = r->self_signed && r->parent[0] == '\0';
    SM_TRY(append_generation(a, &record, &g));
    SM_TRY(make_key(a, r->name, g->number, r->key_uri, r->use_existing_key,
                    (enum sm_key_type)r->key_type, &key));
    sm_err err = fill_generation(a, &record, g, key, subject, r->validity_seconds);
    err = sm_ok(err) ? describe(a, &record) : err;
    bool uncertain = false;
    err = sm_ok(err) ? save(a, &record, SM_SLICE_NONE, "ca.create", &uncertain) : err;
    if (!sm_ok(err) && !r->use_existing_key && !uncertain) {
        sm_api_drop_key(a->api, sm_key_uri(key));
    }
    sm_key_detach(&key);
    *out = ca;
    return err;
}

static sm_err rollover(const struct sm_admin *a, const Sealmill__V1__RolloverCaRequest *r,
                       Sealmill__V1__Ca **out)
{
    ca_record *record;
    ca_generation *g;
    sm_slice old;
    sm_slice subject;
    sm_key *key;
    SM_TRY(load(a, r->name, &record, &old));
    if (record->ca->state != SEALMILL__V1__CA_STATE__CA_STATE_ACTIVE) {
        return sm_diag_set(a->diag, SM_ERR(PRECONDITION), "name",
                           "only an active CA can be rolled over");
    }
    if (record->request->parent[0] == '\0' && !record->request->self_signed) {
        return sm_diag_set(a->diag, SM_ERR(UNSUPPORTED), "name",
                           "a CA signed outside is rolled over by creating its successor");
    }
    SM_TRY(sm_name_from_message(record->request->subject, a->arena, &subject, a->diag));
    SM_TRY(append_generation(a, record, &g));
    enum sm_key_type type = r->key_type == 0 ? (enum sm_key_type)record->ca->key_type
                                             : (enum sm_key_type)r->key_type;
    int64_t validity = r->validity_seconds == 0 ? record->request->validity_seconds
                                                : r->validity_seconds;
    SM_TRY(sm_ca_request_check(record->request, validity, a->diag));
    SM_TRY(make_key(a, r->name, g->number, r->key_uri, false, type, &key));
    sm_err err = fill_generation(a, record, g, key, subject, validity);
    err = sm_ok(err) ? describe(a, record) : err;
    bool uncertain = false;
    err = sm_ok(err) ? save(a, record, old, "ca.rollover", &uncertain) : err;
    sm_key_detach(&key);
    *out = record->ca;
    return err;
}

static sm_err check_import(const struct sm_admin *a, const ca_record *record,
                           const struct sm_cert *cert, sm_slice spki,
                           const Sealmill__V1__ImportCaCertificateRequest *r)
{
    sm_slice subject;
    sm_slice *chain = sm_arena_alloc(a->arena, (r->n_chain + 1) * sizeof(*chain));
    if (chain == NULL) {
        return SM_ERR(NO_MEMORY);
    }
    for (size_t i = 0; i < r->n_chain; i++) {
        chain[i] = sm_slice_of(r->chain[i].data, r->chain[i].len);
    }
    SM_TRY(sm_name_from_message(record->request->subject, a->arena, &subject, a->diag));
    return sm_ca_import_check(cert, subject, spki, chain, r->n_chain, sm_clock_wall_s(), a->arena,
                              a->diag);
}

static sm_err import(const struct sm_admin *a, const Sealmill__V1__ImportCaCertificateRequest *r,
                     Sealmill__V1__Ca **out)
{
    ca_record *record;
    sm_slice old;
    sm_slice der;
    sm_slice copy;
    struct sm_cert cert;
    sm_key *key;
    SM_TRY(load(a, r->name, &record, &old));
    ca_generation *g = record->generations[record->n_generations - 1];
    if (g->certificate.len > 0) {
        return sm_diag_set(a->diag, SM_ERR(PRECONDITION), "name", "%s has its certificate already",
                           r->name);
    }
    sm_buf scratch = sm_buf_init(SM_CERT_MAX);
    sm_err err = sm_cert_from_pem_or_der(sm_slice_of(r->certificate.data, r->certificate.len),
                                         &scratch, &der, a->diag);
    err = sm_ok(err) ? sm_arena_copy(a->arena, der, &copy) : err;
    sm_buf_deinit(&scratch);
    SM_TRY(err);
    SM_TRY(sm_cert_parse(copy, &cert, a->diag));
    SM_TRY(sm_api_load_key(a->api, g->key_uri, &key, a->diag));
    err = check_import(a, record, &cert, sm_key_public(key)->spki, r);
    if (sm_ok(err)) {
        g->certificate = sm_binary(copy);
        g->chain = r->chain;
        g->n_chain = r->n_chain;
        record->ca->state = SEALMILL__V1__CA_STATE__CA_STATE_ACTIVE;
        err = make_responder(a, record->ca->name, g, key);
    }
    sm_key_detach(&key);
    SM_TRY(err);
    SM_TRY(describe(a, record));
    *out = record->ca;
    bool uncertain = false;
    return save(a, record, old, "ca.import", &uncertain);
}

static sm_err set_state(const struct sm_admin *a, const char *name, bool active,
                        Sealmill__V1__Ca **out)
{
    ca_record *record;
    sm_slice old;
    SM_TRY(load(a, name, &record, &old));
    if (record->ca->state == SEALMILL__V1__CA_STATE__CA_STATE_PENDING) {
        return sm_diag_set(a->diag, SM_ERR(PRECONDITION), "name", "%s waits for its certificate",
                           name);
    }
    record->ca->state = active ? SEALMILL__V1__CA_STATE__CA_STATE_ACTIVE
                               : SEALMILL__V1__CA_STATE__CA_STATE_DISABLED;
    *out = record->ca;
    bool uncertain = false;
    return save(a, record, old, active ? "ca.enable" : "ca.disable", &uncertain);
}

static sm_err renew_one(const struct sm_admin *a, const struct sm_ca *ca)
{
    ca_record *record;
    sm_slice old;
    bool changed = false;
    int64_t now = sm_clock_wall_s();
    SM_TRY(load(a, ca->name, &record, &old));
    for (size_t i = 0; i < ca->generation_count; i++) {
        const struct sm_ca_generation *g = &ca->generations[i];
        bool due = g->ocsp_cert.der.len == 0 || g->ocsp_key == NULL ||
                   now > g->ocsp_cert.not_after -
                             (g->ocsp_cert.not_after - g->ocsp_cert.not_before) / 4;
        if (g->key != NULL && g->cert.der.len > 0 && due && now < g->cert.not_after) {
            SM_TRY(make_responder(a, ca->name, record->generations[i], g->key));
            changed = true;
        }
    }
    bool uncertain = false;
    return changed ? save(a, record, old, "ca.renew_responder", &uncertain) : SM_NO_ERR;
}

static sm_err renew_responders(const struct sm_admin *a)
{
    sm_world *world = sm_world_attach(a->api);
    sm_err err = SM_NO_ERR;
    for (size_t i = 0; i < world->ca_count && sm_ok(err); i++) {
        err = renew_one(a, &world->cas[i]);
    }
    sm_world_detach(&world);
    return err;
}

/* Each change of the world holds the administration's lock from its first read to the new world. */
#define LOCKED(call)                                 \
    (void)pthread_mutex_lock(&a->api->admin_lock);   \
    sm_err err = (call);                             \
    (void)pthread_mutex_unlock(&a->api->admin_lock); \
    return err

sm_err sm_ca_create(const struct sm_admin *a, const Sealmill__V1__CreateCaRequest *r,
                    Sealmill__V1__Ca **out)
{
    LOCKED(create(a, r, out));
}

sm_err sm_ca_import(const struct sm_admin *a, const Sealmill__V1__ImportCaCertificateRequest *r,
                    Sealmill__V1__Ca **out)
{
    LOCKED(import(a, r, out));
}

sm_err sm_ca_rollover(const struct sm_admin *a, const Sealmill__V1__RolloverCaRequest *r,
                      Sealmill__V1__Ca **out)
{
    LOCKED(rollover(a, r, out));
}

sm_err sm_ca_set_state(const struct sm_admin *a, const char *name, bool active,
                       Sealmill__V1__Ca **out)
{
    LOCKED(set_state(a, name, active, out));
}

sm_err sm_ca_renew_responders(const struct sm_admin *a)
{
    LOCKED(renew_responders(a));
}
