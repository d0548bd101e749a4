/* SPDX-License-Identifier: Apache-2.0 */
/* A CA's generations: keys, certificates, OCSP responders. */
#include "api/api_p.h"
#include "api/ca_p.h"
#include "api/ocsp_responder.h"
#include "api/record.h"
#include "base/clock.h"
#include "base/log.h"
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

/* ---- the inventory ---- */

sm_err sm_ca_note_issued(struct sm_ca_operation *op, sm_slice der, uint32_t ca_id,
                         uint32_t generation)
{
    struct sm_ca_issued *issued = SM_ARENA_NEW(op->a->arena, struct sm_ca_issued);
    if (issued == NULL) {
        return SM_ERR(NO_MEMORY);
    }
    *issued = (struct sm_ca_issued){der, ca_id, generation, op->issued};
    op->issued = issued;
    op->issued_count++;
    return SM_NO_ERR;
}

static sm_err add_certificate(const struct sm_admin *a, const struct sm_ca_issued *issued,
                              struct sm_store_put *put, sm_slice *log)
{
    Sealmill__Record__V1__CertificateRecord r;
    struct sm_cert cert;
    SM_TRY(sm_cert_parse(issued->der, &cert, a->diag));
    sealmill__record__v1__certificate_record__init(&r);
    r.version = SM_RECORD_VERSION;
    r.ca_id = issued->ca_id;
    r.ca_generation = issued->generation;
    r.certificate = sm_binary(issued->der);
    r.not_before = cert.not_before;
    r.not_after = cert.not_after;
    r.issued_at = sm_clock_wall_s();
    r.requester = sm_text(a->arena, sm_slice_str(a->caller));
    r.correlation_id = sm_text(a->arena, a->correlation_id);
    const struct sm_audit audit = {
        .caller = a->caller,
        .action = "certificate.issue",
        .outcome = "ok",
        .correlation_id = a->correlation_id,
        .serial = cert.serial,
        .ca_id = issued->ca_id,
        .kind = SEALMILL__V1__INVENTORY_EVENT__KIND__KIND_ISSUED,
    };
    put->kind = SM_PUT;
    put->family = SM_FAMILY_CERT;
    SM_TRY(sm_arena_copy(a->arena, cert.serial, &put->key));
    SM_TRY(sm_record_pack(&r.base, a->arena, &put->value));
    return sm_audit_pack(&audit, a->arena, log);
}

sm_err sm_ca_add_issued(const struct sm_ca_operation *op, struct sm_change *change)
{
    const struct sm_admin *a = op->a;
    struct sm_store_put *puts = sm_arena_alloc(a->arena, (op->issued_count + 1) * sizeof(*puts));
    sm_slice *logs = sm_arena_alloc(a->arena, (op->issued_count + 1) * sizeof(*logs));
    size_t n = op->issued_count;
    if (puts == NULL || logs == NULL) {
        return SM_ERR(NO_MEMORY);
    }
    for (const struct sm_ca_issued *at = op->issued; at != NULL; at = at->next) {
        n--; /* the list's head is the newest */
        SM_TRY(add_certificate(a, at, &puts[n], &logs[n]));
    }
    change->more = puts;
    change->more_log = logs;
    change->more_count = change->more_log_count = op->issued_count;
    return SM_NO_ERR;
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

sm_err sm_ca_keep_past_responder(const struct sm_admin *a, ca_generation *g)
{
    ProtobufCBinaryData *kept = sm_arena_alloc(a->arena,
                                               (g->n_past_ocsp_certificates + 1) * sizeof(*kept));
    size_t n = 0;
    if (kept == NULL) {
        return SM_ERR(NO_MEMORY);
    }
    for (size_t i = 0; i <= g->n_past_ocsp_certificates; i++) {
        bool last = i == g->n_past_ocsp_certificates;
        ProtobufCBinaryData der = last ? g->ocsp_certificate : g->past_ocsp_certificates[i];
        struct sm_cert cert;
        if (der.len > 0 && sm_ok(sm_cert_parse(sm_slice_of(der.data, der.len), &cert, a->diag)) &&
            cert.not_after > sm_clock_wall_s()) {
            kept[n++] = der;
        }
    }
    size_t over = n > SM_OCSP_PAST_MAX ? n - SM_OCSP_PAST_MAX : 0;
    g->past_ocsp_certificates = kept + over;
    g->n_past_ocsp_certificates = n - over;
    return SM_NO_ERR;
}

/* A new key of this type, and a certificate for it. Shared. */
static sm_err make_responder(struct sm_ca_operation *op, const ca_record *record,
                             const ca_generation *g, sm_key *ca_key, enum sm_key_type type,
                             sm_key **out, sm_slice *der)
{
    const struct sm_admin *a = op->a;
    char key_name[128];
    struct sm_cert issuer;
    SM_TRY(sm_cert_parse(sm_slice_of(g->certificate.data, g->certificate.len), &issuer, a->diag));
    (void)snprintf(key_name, sizeof(key_name), "%.63s-ocsp-%u-%08x", record->ca->name, g->number,
                   (unsigned)(sm_rand_u64() & 0xffffffffU));
    SM_TRY(create_key(op, key_name, "", type, out));
    sm_err err = sm_ocsp_cert_make(&issuer, ca_key, *out, responder_validity(a->api), a->arena,
                                   der);
    err = sm_ok(err) ? sm_ca_note_issued(op, *der, record->id, g->number) : err;
    if (!sm_ok(err)) {
        sm_key_detach(out);
    }
    return err;
}

static sm_err supersede(struct sm_ca_operation *op, const char *uri)
{
    return uri[0] == '\0' ? SM_NO_ERR : note(op->a, &op->superseded, uri);
}

sm_err sm_ca_make_responder(struct sm_ca_operation *op, const ca_record *record, ca_generation *g,
                            sm_key *ca_key)
{
    const struct sm_admin *a = op->a;
    sm_key *key;
    sm_slice der;
    /* The responder signs for every relying party: a fast key, except under a post-quantum CA. */
    enum sm_key_type type = sm_key_get_type(ca_key) >= SM_KEY_ML_DSA_44 ? sm_key_get_type(ca_key)
                                                                        : SM_KEY_P256;
    SM_TRY(make_responder(op, record, g, ca_key, type, &key, &der));
    sm_err err = supersede(op, g->ocsp_key_uri);
    err = sm_ok(err) ? sm_ca_keep_past_responder(a, g) : err;
    if (sm_ok(err)) {
        g->ocsp_certificate = sm_binary(der);
        g->ocsp_key_uri = sm_text(a->arena, sm_slice_str(sm_key_uri(key)));
    }
    sm_key_detach(&key);
    return err;
}

/* The generation's responder of this type, an empty one if there is none; it leaves the list. */
static Sealmill__Record__V1__FurtherResponder *take_further(const struct sm_admin *a,
                                                            ca_generation *g, enum sm_key_type type)
{
    for (size_t i = 0; i < g->n_further_responders; i++) {
        Sealmill__Record__V1__FurtherResponder *f = g->further_responders[i];
        if (f->key_type == (uint32_t)type) {
            g->further_responders[i] = g->further_responders[--g->n_further_responders];
            return f;
        }
    }
    Sealmill__Record__V1__FurtherResponder *f = SM_ARENA_NEW(
        a->arena, Sealmill__Record__V1__FurtherResponder);
    if (f != NULL) {
        sealmill__record__v1__further_responder__init(f);
        f->key_type = (uint32_t)type;
    }
    return f;
}

static sm_err renew_further(struct sm_ca_operation *op, const ca_record *record,
                            const ca_generation *g, sm_key *ca_key,
                            Sealmill__Record__V1__FurtherResponder *f)
{
    sm_key *key;
    sm_slice der;
    SM_TRY(make_responder(op, record, g, ca_key, (enum sm_key_type)f->key_type, &key, &der));
    sm_err err = supersede(op, f->key_uri);
    if (sm_ok(err)) {
        f->certificate = sm_binary(der);
        f->key_uri = sm_text(op->a->arena, sm_slice_str(sm_key_uri(key)));
    }
    sm_key_detach(&key);
    return err;
}

sm_err sm_ca_make_further(struct sm_ca_operation *op, const ca_record *record, ca_generation *g,
                          sm_key *ca_key, const struct sm_ca_wanted_responder *wanted, size_t count)
{
    Sealmill__Record__V1__FurtherResponder **list = sm_arena_alloc(op->a->arena,
                                                                   (count + 1) * sizeof(*list));
    if (list == NULL) {
        return SM_ERR(NO_MEMORY);
    }
    for (size_t i = 0; i < count; i++) {
        list[i] = take_further(op->a, g, wanted[i].type);
        if (list[i] == NULL) {
            return SM_ERR(NO_MEMORY);
        }
        if (wanted[i].due) {
            SM_TRY(renew_further(op, record, g, ca_key, list[i]));
        }
    }
    for (size_t i = 0; i < g->n_further_responders; i++) { /* nobody wants them any more */
        SM_TRY(supersede(op, g->further_responders[i]->key_uri));
    }
    g->further_responders = list;
    g->n_further_responders = count;
    return SM_NO_ERR;
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
    out->issuer_name = ca->name;
    out->issuer_generation = p->number;
    out->issuer_id = ca->id;
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
    struct sm_ca_cert_request request = {.request = r,
                                         .subject = subject,
                                         .key = key,
                                         .issuer_key = key,
                                         .issuer_id = record->id,
                                         .issuer_generation = g->number,
                                         .validity_s = validity_s};
    if (r->parent[0] != '\0') {
        SM_TRY(use_parent(a, r->parent, g, &request));
    }
    SM_TRY(sm_ca_cert_make(&request, a->arena, &der, a->diag));
    SM_TRY(sm_ca_note_issued(op, der, request.issuer_id, request.issuer_generation));
    g->certificate = sm_binary(der);
    record->ca->state = SEALMILL__V1__CA_STATE__CA_STATE_ACTIVE;
    return sm_ca_make_responder(op, record, g, key);
}

/* ---- links ---- */

struct link {
    const struct sm_cert *issuer;
    sm_key *issuer_key;
    uint32_t issuer_generation;
    const struct sm_cert *linked; /* the generation whose key is certified */
    int64_t not_before;
    int64_t not_after;
};

static sm_err make_link(struct sm_ca_operation *op, const ca_record *record,
                        const struct link *link, ProtobufCBinaryData *out)
{
    const struct sm_admin *a = op->a;
    struct sm_public_key key;
    sm_slice der;
    SM_TRY(sm_public_key_parse(link->linked->spki, &key, a->diag));
    const struct sm_ca_cert_request request = {
        .request = record->request,
        .subject = link->linked->subject,
        .issuer = link->issuer,
        .issuer_key = link->issuer_key,
        .linked_key = &key,
        .not_before = link->not_before,
        .not_after = link->not_after,
    };
    SM_TRY(sm_ca_cert_make(&request, a->arena, &der, a->diag));
    SM_TRY(sm_ca_note_issued(op, der, record->id, link->issuer_generation));
    *out = sm_binary(der);
    return SM_NO_ERR;
}

sm_err sm_ca_make_links(struct sm_ca_operation *op, ca_record *record, sm_key *new_key)
{
    const struct sm_admin *a = op->a;
    ca_generation *new = record->generations[record->n_generations - 1];
    const ca_generation *old = record->generations[record->n_generations - 2];
    struct sm_cert n;
    struct sm_cert o;
    sm_key *old_key;
    SM_TRY(sm_cert_parse(sm_slice_of(new->certificate.data, new->certificate.len), &n, a->diag));
    SM_TRY(sm_cert_parse(sm_slice_of(old->certificate.data, old->certificate.len), &o, a->diag));
    if (o.not_after <= sm_clock_wall_s()) {
        return SM_NO_ERR; /* nobody relies on it any more */
    }
    /* RFC 4210 4.4.1: both end with the old key; the old one's begins with it. */
    const struct link old_with_new = {&n, new_key, new->number, &o, o.not_before, o.not_after};
    SM_TRY(make_link(op, record, &old_with_new, &new->old_with_new));
    sm_err err = sm_api_load_key(a->api, old->key_uri, &old_key, a->diag);
    if (!sm_ok(err)) {
        sm_log(SM_LOG_WARN, "link_not_made", SM_KS("ca", record->ca->name), SM_KE("error", err),
               SM_KS("reason", "the old key is not at hand"), SM_KEND);
        sm_diag_clear(a->diag);
        return SM_NO_ERR;
    }
    const struct link new_with_old = {&o, old_key, old->number, &n, n.not_before, o.not_after};
    err = make_link(op, record, &new_with_old, &new->new_with_old);
    sm_key_detach(&old_key);
    return err;
}
