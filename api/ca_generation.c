/* SPDX-License-Identifier: Apache-2.0 */
/* A CA's generations: keys, certificates, OCSP responders. */
#include "api/api_p.h"
#include "api/ca_p.h"
#include "api/record.h"
#include "base/clock.h"
#include "base/rand.h"
#include "base/text.h"

#include <stdio.h>

#define RESPONDER_VALIDITY_DEFAULT "30d"

/* ---- keys ---- */

static sm_err note(const struct sm_admin *a, struct sm_ca_key_use **list, const char *uri)
{
    struct sm_ca_key_use *use = SM_ARENA_NEW(a->arena, struct sm_ca_key_use);
    char *copy = sm_arena_strdup(a->arena, sm_slice_str(uri));
    if (use == NULL || copy == NULL) {
        return SM_ERR(NO_MEMORY);
    }
    *use = (struct sm_ca_key_use){copy, *list};
    *list = use;
    return SM_NO_ERR;
}

static void drop(const struct sm_admin *a, const struct sm_ca_key_use *list)
{
    for (; list != NULL; list = list->next) {
        sm_api_drop_key(a->api, list->uri);
    }
}

sm_err sm_ca_operation_end(struct sm_ca_operation *op, sm_err err)
{
    if (sm_ok(err)) {
        drop(op->a, op->superseded);
    } else if (!op->uncertain) {
        drop(op->a, op->made);
    }
    op->made = NULL;
    op->superseded = NULL;
    return err;
}

/* A key of the operation's own; the cache and the caller share it. */
static sm_err create_key(struct sm_ca_operation *op, const char *key_name, const char *uri,
                         enum sm_key_type type, sm_key **out)
{
    const struct sm_admin *a = op->a;
    sm_key *key;
    SM_TRY(sm_keystore_create(a->api->config.keystore, key_name, uri, type, &key, a->diag));
    sm_err err = note(a, &op->made, sm_key_uri(key));
    err = sm_ok(err) ? sm_map_put(a->api->keys, sm_slice_str(sm_key_uri(key)), key, NULL) : err;
    if (!sm_ok(err)) {
        sm_keystore_discard(a->api->config.keystore, sm_key_uri(key));
        sm_key_detach(&key);
        return err;
    }
    *out = sm_key_attach(key);
    return SM_NO_ERR;
}

sm_err sm_ca_make_key(struct sm_ca_operation *op, const char *name, uint32_t number,
                      const char *uri, bool existing, enum sm_key_type type, sm_key **out)
{
    char key_name[96];
    if (existing) {
        return sm_api_load_key(op->a->api, uri, out, op->a->diag);
    }
    type = type == SM_KEY_NONE ? SM_KEY_P256 : type;
    (void)snprintf(key_name, sizeof(key_name), "%.63s-%u", name, number);
    sm_err err = create_key(op, key_name, uri, type, out);
    if (sm_err_is(err, SM_E_EXISTS) && number > 1 && uri[0] == '\0') {
        /* Left by a rollover that was broken off, or another CA's: nobody chose this name. */
        (void)snprintf(key_name, sizeof(key_name), "%.63s-%u-%08x", name, number,
                       (unsigned)(sm_rand_u64() & 0xffffffffU));
        sm_diag_clear(op->a->diag);
        err = create_key(op, key_name, uri, type, out);
    }
    return err;
}

/* ---- the responder ---- */

static int64_t responder_validity(const sm_api *api)
{
    const Sealmill__Config__V1__Ocsp *ocsp = api->config.config->ocsp;
    const char *text = ocsp == NULL || ocsp->responder_validity[0] == '\0'
                           ? RESPONDER_VALIDITY_DEFAULT
                           : ocsp->responder_validity;
    int64_t s = 30 * 86400;
    return sm_ok(sm_duration_parse(sm_slice_str(text), &s)) ? s : 30 * 86400;
}

sm_err sm_ca_make_responder(struct sm_ca_operation *op, const ca_record *record, ca_generation *g,
                            sm_key *ca_key)
{
    const struct sm_admin *a = op->a;
    char key_name[128];
    struct sm_cert issuer;
    sm_key *key;
    sm_slice der;
    SM_TRY(sm_cert_parse(sm_slice_of(g->certificate.data, g->certificate.len), &issuer, a->diag));
    /* The responder signs for every relying party: a fast key, except under a post-quantum CA. */
    enum sm_key_type type = sm_key_get_type(ca_key) >= SM_KEY_ML_DSA_44 ? sm_key_get_type(ca_key)
                                                                        : SM_KEY_P256;
    (void)snprintf(key_name, sizeof(key_name), "%.63s-ocsp-%u-%08x", record->ca->name, g->number,
                   (unsigned)(sm_rand_u64() & 0xffffffffU));
    SM_TRY(create_key(op, key_name, "", type, &key));
    sm_err err = sm_ocsp_cert_make(&issuer, ca_key, key, responder_validity(a->api), a->arena,
                                   &der);
    if (sm_ok(err) && g->ocsp_key_uri[0] != '\0') {
        err = note(a, &op->superseded, g->ocsp_key_uri);
    }
    if (sm_ok(err)) {
        g->ocsp_certificate = sm_binary(der);
        g->ocsp_key_uri = sm_text(a->arena, sm_slice_str(sm_key_uri(key)));
    }
    sm_key_detach(&key);
    return err;
}

/* ---- the generation ---- */

sm_err sm_ca_append_generation(const struct sm_admin *a, ca_record *record, ca_generation **out)
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

sm_err sm_ca_describe(const struct sm_admin *a, ca_record *record)
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

sm_err sm_ca_fill_generation(struct sm_ca_operation *op, ca_record *record, ca_generation *g,
                             sm_key *key, sm_slice subject, int64_t validity_s)
{
    const struct sm_admin *a = op->a;
    const Sealmill__V1__CreateCaRequest *r = record->request;
    sm_slice der;
    g->key_uri = sm_text(a->arena, sm_slice_str(sm_key_uri(key)));
    g->key_type = (uint32_t)sm_key_get_type(key);
    if (r->parent[0] == '\0' && !r->self_signed) {
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
    return sm_ca_make_responder(op, record, g, key);
}
