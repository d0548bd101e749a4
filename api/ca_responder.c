/* SPDX-License-Identifier: Apache-2.0 */
/* CaService: CAs that sealmill does not run, for which it answers OCSP. */
#include "api/api_p.h"
#include "api/ca_import.h"
#include "api/ca_p.h"
#include "base/clock.h"

#include <stdio.h>

static sm_err read_certificate(const struct sm_admin *a, const ProtobufCBinaryData *in,
                               const char *field, sm_slice *out)
{
    sm_slice der;
    sm_diag diag = {.reason = ""};
    sm_buf scratch = sm_buf_init(SM_CERT_MAX);
    sm_err err = sm_cert_from_pem_or_der(sm_slice_of(in->data, in->len), &scratch, &der, &diag);
    err = sm_ok(err) ? sm_arena_copy(a->arena, der, out)
                     : sm_diag_set(a->diag, err, field, "%s", diag.reason);
    sm_buf_deinit(&scratch);
    return err;
}

/* The CertID says the issuer by name and key: two CAs with both the same could not be told apart. */
static sm_err check_is_new(const struct sm_admin *a, const struct sm_cert *cert)
{
    const sm_world *w = a->api->world;
    const struct sm_same_subject *s = sm_world_by_subject(w, cert->subject);
    while (s != NULL && !sm_slice_equal(s->g->cert.spki, cert->spki)) {
        s = s->next;
    }
    return s == NULL
               ? SM_NO_ERR
               : sm_diag_set(a->diag, SM_ERR(EXISTS), "certificate", "CA %s has this name and key",
                             sm_world_ca_by_id(w, s->g->ca_id)->name);
}

static sm_err check_request(const struct sm_admin *a, const Sealmill__V1__CreateResponderRequest *r)
{
    if (!sm_ca_name_is_good(r->name)) {
        return sm_diag_set(a->diag, SM_ERR(INVALID), "name",
                           "1 to 63 lower-case letters, digits and '-' are wanted");
    }
    if (sm_world_ca(a->api->world, r->name) != NULL) {
        return sm_diag_set(a->diag, SM_ERR(EXISTS), "name", "there is a CA %s already", r->name);
    }
    if (r->offline && (r->key_uri[0] != '\0' || r->use_existing_key || r->key_type != 0 ||
                       r->responder_certificate.len > 0 || r->unknown_is_good)) {
        return sm_diag_set(
            a->diag, SM_ERR(INVALID), "offline",
            "the answers of an offline CA are loaded: no key, nothing that is signed");
    }
    if (r->use_existing_key && r->key_uri[0] == '\0') {
        return sm_diag_set(a->diag, SM_ERR(INVALID), "key_uri", "where the key is must be said");
    }
    if (!r->use_existing_key && r->responder_certificate.len > 0) {
        return sm_diag_set(a->diag, SM_ERR(INVALID), "responder_certificate",
                           "a key that is made now has none yet");
    }
    return SM_NO_ERR;
}

/* The CA's certificate and chain. */
static sm_err fill_issuer(const struct sm_admin *a, const Sealmill__V1__CreateResponderRequest *r,
                          ca_generation *g, struct sm_cert *cert)
{
    sm_slice der;
    struct sm_public_key key;
    sm_slice *chain = sm_arena_alloc(a->arena, (r->n_chain + 1) * sizeof(*chain));
    if (chain == NULL) {
        return SM_ERR(NO_MEMORY);
    }
    for (size_t i = 0; i < r->n_chain; i++) {
        chain[i] = sm_slice_of(r->chain[i].data, r->chain[i].len);
    }
    SM_TRY(read_certificate(a, &r->certificate, "certificate", &der));
    sm_err err = sm_cert_parse(der, cert, NULL);
    if (!sm_ok(err)) {
        return sm_diag_set(a->diag, err, "certificate", "it is not a certificate");
    }
    SM_TRY(sm_ca_foreign_check(cert, chain, r->n_chain, sm_clock_wall_s(), a->arena, a->diag));
    if (!sm_ok(sm_public_key_parse(cert->spki, &key, NULL))) {
        return sm_diag_set(a->diag, SM_ERR(UNSUPPORTED), "certificate",
                           "its key is of a type or size that is not supported");
    }
    SM_TRY(check_is_new(a, cert));
    g->certificate = sm_binary(der);
    g->key_type = (uint32_t)key.type;
    g->chain = r->chain;
    g->n_chain = r->n_chain;
    return SM_NO_ERR;
}

static sm_err set_responder(const struct sm_admin *a, ca_generation *g,
                            const ProtobufCBinaryData *in, const char *field,
                            const struct sm_cert *ca, sm_slice spki)
{
    struct sm_cert cert;
    sm_slice der;
    SM_TRY(read_certificate(a, in, field, &der));
    sm_err err = sm_cert_parse(der, &cert, NULL);
    if (!sm_ok(err)) {
        return sm_diag_set(a->diag, err, field, "it is not a certificate");
    }
    SM_TRY(sm_ca_responder_check(&cert, ca, spki, sm_clock_wall_s(), a->diag));
    SM_TRY(sm_ca_keep_past_responder(a, g));
    g->ocsp_certificate = sm_binary(der);
    return SM_NO_ERR;
}

/* The responder's key, and its certificate where it has one. */
static sm_err fill_responder(struct sm_ca_operation *op,
                             const Sealmill__V1__CreateResponderRequest *r, ca_generation *g,
                             const struct sm_cert *ca)
{
    const struct sm_admin *a = op->a;
    char key_name[80];
    sm_key *key;
    (void)snprintf(key_name, sizeof(key_name), "%.63s-ocsp", r->name);
    SM_TRY(sm_ca_make_key(op, key_name, g->number, r->key_uri, r->use_existing_key,
                          (enum sm_key_type)r->key_type, &key));
    g->ocsp_key_uri = sm_text(a->arena, sm_slice_str(sm_key_uri(key)));
    sm_err err = r->responder_certificate.len == 0
                     ? SM_NO_ERR
                     : set_responder(a, g, &r->responder_certificate, "responder_certificate", ca,
                                     sm_key_public(key)->spki);
    sm_key_detach(&key);
    return err;
}

static sm_err create(struct sm_ca_operation *op, const Sealmill__V1__CreateResponderRequest *r,
                     Sealmill__V1__Ca **out)
{
    const struct sm_admin *a = op->a;
    ca_record record;
    Sealmill__Record__V1__ForeignCa foreign;
    struct sm_cert cert;
    ca_generation *g;
    Sealmill__V1__Ca *ca = SM_ARENA_NEW(a->arena, Sealmill__V1__Ca);
    if (ca == NULL) {
        return SM_ERR(NO_MEMORY);
    }
    SM_TRY(check_request(a, r));
    sealmill__record__v1__ca_record__init(&record);
    sealmill__record__v1__foreign_ca__init(&foreign);
    sealmill__v1__ca__init(ca);
    foreign.offline = r->offline;
    foreign.unknown_is_good = r->unknown_is_good;
    record.version = SM_RECORD_VERSION;
    record.id = sm_ca_next_id(a->api);
    record.ca = ca;
    record.foreign = &foreign;
    ca->name = r->name;
    ca->state = SEALMILL__V1__CA_STATE__CA_STATE_ACTIVE;
    ca->responder_only = true;
    SM_TRY(sm_ca_append_generation(a, &record, &g));
    SM_TRY(fill_issuer(a, r, g, &cert));
    ca->root = sm_slice_equal(cert.subject, cert.issuer);
    if (!r->offline) {
        SM_TRY(fill_responder(op, r, g, &cert));
    }
    SM_TRY(sm_ca_describe(a, &record));
    *out = ca;
    return sm_ca_record_save(op, &record, SM_SLICE_NONE, "ca.create_responder");
}

static sm_err import(struct sm_ca_operation *op,
                     const Sealmill__V1__ImportResponderCertificateRequest *r,
                     Sealmill__V1__Ca **out)
{
    const struct sm_admin *a = op->a;
    ca_record *record;
    sm_slice old;
    struct sm_cert ca;
    sm_key *key;
    SM_TRY(sm_ca_record_load(a, r->name, &record, &old));
    if (record->foreign == NULL || record->foreign->offline) {
        return sm_diag_set(a->diag, SM_ERR(PRECONDITION), "name",
                           "%s is no CA for which we have a responder's key alone", r->name);
    }
    ca_generation *g = record->generations[record->n_generations - 1];
    SM_TRY(sm_cert_parse(sm_slice_of(g->certificate.data, g->certificate.len), &ca, a->diag));
    SM_TRY(sm_api_load_key(a->api, g->ocsp_key_uri, &key, a->diag));
    sm_err err = set_responder(a, g, &r->certificate, "certificate", &ca, sm_key_public(key)->spki);
    sm_key_detach(&key);
    SM_TRY(err);
    *out = record->ca;
    return sm_ca_record_save(op, record, old, "ca.import_responder");
}

sm_err sm_ca_create_responder(const struct sm_admin *a,
                              const Sealmill__V1__CreateResponderRequest *r, Sealmill__V1__Ca **out)
{
    SM_CA_LOCKED(create(&op, r, out));
}

sm_err sm_ca_import_responder(const struct sm_admin *a,
                              const Sealmill__V1__ImportResponderCertificateRequest *r,
                              Sealmill__V1__Ca **out)
{
    SM_CA_LOCKED(import(&op, r, out));
}
