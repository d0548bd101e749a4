/* SPDX-License-Identifier: Apache-2.0 */
/* CertificateService.Renew: the old record is read on a service thread, then it is an issuance that
 * must come to the same names. */
#include "api/api_p.h"
#include "api/certificate_p.h"
#include "api/record.h"
#include "api/world.h"
#include "sign/der.h"
#include "sign/oids.h"

struct renewal {
    sm_errand errand;
    sm_call *call;
    const Sealmill__V1__RenewRequest *request;
    Sealmill__V1__IssueRequest issue_request;
    struct sm_renewed old;
    struct sm_cert cert;
    bool same_key;
    bool is_revoked;
    sm_err err;
};

/* ---- the old certificate ---- */

/* What the old one was issued with: templates of the profile may need it. */
static sm_err take_metadata(struct renewal *r,
                            const Sealmill__Record__V1__CertificateRecord *record)
{
    sm_arena *arena = &r->call->arena;
    Sealmill__V1__IssueRequest *to = &r->issue_request;
    to->metadata = sm_arena_alloc(arena, (record->n_metadata + 1) * sizeof(*to->metadata));
    if (to->metadata == NULL) {
        return SM_ERR(NO_MEMORY);
    }
    for (size_t i = 0; i < record->n_metadata; i++) {
        Sealmill__V1__IssueRequest__MetadataEntry *e = SM_ARENA_NEW(
            arena, Sealmill__V1__IssueRequest__MetadataEntry);
        if (e == NULL) {
            return SM_ERR(NO_MEMORY);
        }
        sealmill__v1__issue_request__metadata_entry__init(e);
        e->key = record->metadata[i]->key;
        e->value = record->metadata[i]->value;
        to->metadata[to->n_metadata++] = e;
    }
    return SM_NO_ERR;
}

static sm_err take_record(struct renewal *r, const Sealmill__Record__V1__CertificateRecord *record)
{
    const struct sm_ca *ca = sm_world_ca_by_id(r->call->world, record->ca_id);
    if (ca == NULL) {
        return SM_ERR(CORRUPT);
    }
    union {
        const char *in;
        char *out;
    } name = {ca->name};
    r->old.ca_id = record->ca_id;
    r->old.generation = record->ca_generation;
    r->issue_request.ca = name.out;
    r->issue_request.profile = record->profile;
    SM_TRY(take_metadata(r, record));
    return sm_cert_parse(sm_slice_of(record->certificate.data, record->certificate.len), &r->cert,
                         &r->call->diag);
}

/* Its state as it is now: the write will insist on it. */
static sm_err take_state(struct renewal *r)
{
    sm_call *call = r->call;
    sm_buf packed = sm_buf_init(4096);
    ProtobufCMessage *m = NULL;
    sm_err err = sm_store_get_sync(sm_api_store(sm_api_of(call->loop)), SM_FAMILY_STATE,
                                   r->old.serial, &packed);
    bool found = sm_ok(err);
    if (found) {
        err = sm_arena_copy(&call->arena, sm_buf_slice(&packed), &r->old.state);
    }
    sm_buf_deinit(&packed);
    if (!found || !sm_ok(err)) {
        return sm_err_is(err, SM_E_NOT_FOUND) ? SM_NO_ERR : err;
    }
    SM_TRY(sm_record_unpack(r->old.state, &sealmill__record__v1__state_record__descriptor,
                            &call->arena, &m));
    uint32_t state = ((const Sealmill__Record__V1__StateRecord *)(void *)m)->state;
    r->is_revoked = state == SEALMILL__V1__CERTIFICATE_STATE__CERTIFICATE_STATE_REVOKED;
    if (state == SEALMILL__V1__CERTIFICATE_STATE__CERTIFICATE_STATE_ON_HOLD) {
        return sm_diag_set(&call->diag, SM_ERR(PRECONDITION), "serial",
                           "the certificate is on hold: release it first");
    }
    return SM_NO_ERR;
}

static sm_err load_old(struct renewal *r)
{
    sm_call *call = r->call;
    ProtobufCMessage *m;
    SM_TRY(sm_serial_parse(r->request->serial, &call->arena, &r->old.serial, &call->diag));
    sm_err err = sm_record_get(sm_api_store(sm_api_of(call->loop)), SM_FAMILY_CERT, r->old.serial,
                               &sealmill__record__v1__certificate_record__descriptor, &call->arena,
                               &m);
    if (!sm_ok(err)) {
        return sm_diag_set(&call->diag, err, "serial",
                           "there is no certificate of this serial number");
    }
    SM_TRY(take_record(r, (const Sealmill__Record__V1__CertificateRecord *)(void *)m));
    SM_TRY(take_state(r));
    r->old.cert = &r->cert;
    /* With an idempotency key this may be the renewal that revoked it, asked for again. */
    if (r->is_revoked && r->request->idempotency_key[0] == '\0') {
        return sm_diag_set(&call->diag, SM_ERR(PRECONDITION), "serial",
                           "the certificate is revoked");
    }
    return SM_NO_ERR;
}

/* ---- its key again ---- */

/* A CertificationRequest without a valid signature. */
static void write_csr(sm_buf *out, sm_slice subject, sm_slice spki, sm_slice san_value,
                      enum sm_sig_alg alg)
{
    sm_der_block request = sm_der_begin(out, SM_DER_SEQUENCE);
    sm_der_block info = sm_der_begin(out, SM_DER_SEQUENCE);
    sm_der_write_u64(out, 0);
    sm_buf_put(out, subject);
    sm_buf_put(out, spki);
    sm_der_block attributes = sm_der_begin(out, SM_DER_CTX_CONS(0));
    if (san_value.len > 0) {
        sm_der_block attribute = sm_der_begin(out, SM_DER_SEQUENCE);
        sm_der_write_oid(out, SM_OID_EXTENSION_REQUEST);
        sm_der_block set = sm_der_begin(out, SM_DER_SET);
        sm_der_block list = sm_der_begin(out, SM_DER_SEQUENCE);
        sm_der_block ext = sm_der_begin(out, SM_DER_SEQUENCE);
        sm_der_write_oid(out, SM_OID_SUBJECT_ALT_NAME);
        sm_der_write(out, SM_DER_OCTET_STRING, san_value);
        sm_der_end(out, ext);
        sm_der_end(out, list);
        sm_der_end(out, set);
        sm_der_end(out, attribute);
    }
    sm_der_end(out, attributes);
    sm_der_end(out, info);
    sm_buf_put(out, sm_sig_alg_identifier(alg));
    sm_der_write_bits(out, SM_LIT("\0"));
    sm_der_end(out, request);
}

/* The old certificate as a CSR: same subject, key and SANs, without a proof (the old one was
 * proven, and the caller has the right). */
static sm_err csr_of_old(struct renewal *r)
{
    sm_call *call = r->call;
    const struct sm_extension *san = sm_cert_extension(&r->cert, SM_OID_SUBJECT_ALT_NAME);
    struct sm_public_key key;
    sm_slice copy;
    SM_TRY(sm_public_key_parse(r->cert.spki, &key, &call->diag));
    sm_buf der = sm_buf_init(SM_CSR_MAX);
    write_csr(&der, r->cert.subject, r->cert.spki, san == NULL ? SM_SLICE_NONE : san->value,
              sm_sig_alg_for(key.type, SM_DIGEST_NONE, false));
    sm_err err = sm_buf_err(&der);
    err = sm_ok(err) ? sm_arena_copy(&call->arena, sm_buf_slice(&der), &copy) : err;
    sm_buf_deinit(&der);
    SM_TRY(err);
    r->issue_request.csr = sm_binary(copy);
    r->same_key = true;
    return SM_NO_ERR;
}

/* ---- the call ---- */

static void renew_work(sm_errand *errand)
{
    struct renewal *r = SM_CONTAINER_OF(errand, struct renewal, errand);
    sealmill__v1__issue_request__init(&r->issue_request);
    r->issue_request.validity_seconds = r->request->validity_seconds;
    r->issue_request.idempotency_key = r->request->idempotency_key;
    r->err = load_old(r);
    if (!sm_ok(r->err)) {
        return;
    }
    if (r->request->csr.len > 0) {
        r->issue_request.csr = r->request->csr;
        return;
    }
    const struct sm_profile *profile = sm_world_profile(r->call->world, r->issue_request.profile);
    if (profile == NULL || !profile->message->allow_same_key_renewal) {
        r->err = sm_diag_set(&r->call->diag, SM_ERR(POLICY), "csr",
                             "the profile wants a new key: send a CSR with the same subject");
        return;
    }
    r->err = csr_of_old(r);
}

static void renew_done(sm_errand *errand)
{
    struct renewal *r = SM_CONTAINER_OF(errand, struct renewal, errand);
    r->call->loop->errands--;
    if (r->call->gone || r->call->finished) {
        r->err = SM_ERR(CANCELLED);
    }
    sm_issue *issue = sm_ok(r->err) ? sm_issue_new(r->call, &r->issue_request) : NULL;
    if (issue == NULL) {
        sm_call_finish(r->call, sm_ok(r->err) ? SM_ERR(NO_MEMORY) : r->err);
        sm_call_release(r->call);
        return;
    }
    issue->renewed = &r->old;
    issue->revoke_renewed = r->request->revoke_old;
    issue->repeat_only = r->is_revoked;
    issue->without_proof = r->same_key;
    r->call->user = issue;
    sm_issue_start(issue); /* its end releases the hold */
}

void sm_start_renew(sm_call *call, const ProtobufCMessage *request)
{
    struct renewal *r = SM_ARENA_NEW(&call->arena, struct renewal);
    if (r == NULL) {
        sm_call_finish(call, SM_ERR(NO_MEMORY));
        return;
    }
    r->call = call;
    r->request = (const Sealmill__V1__RenewRequest *)(const void *)request;
    r->errand.work = renew_work;
    r->errand.done = renew_done;
    sm_call_hold(call);
    call->loop->errands++;
    sm_errand_run(sm_api_of(call->loop), sm_api_loop_home(call->loop), &r->errand);
}
