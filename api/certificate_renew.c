/* SPDX-License-Identifier: Apache-2.0 */
/* CertificateService.Renew: the old record is read on a service thread, then it is an issuance that
 * must come to the same names. */
#include "api/api_p.h"
#include "api/certificate_p.h"
#include "api/record.h"
#include "api/renewal_source.h"
#include "api/world.h"
#include "sign/der.h"
#include "sign/oids.h"

struct renewal {
    sm_errand errand;
    sm_call *call;
    const Sealmill__V1__RenewRequest *request;
    struct sm_renewal_source source;
    bool same_key;
    sm_err err;
};

/* ---- the old certificate ---- */

static sm_err load_old(struct renewal *r)
{
    sm_call *call = r->call;
    sm_slice serial;
    SM_TRY(sm_serial_parse(r->request->serial, &call->arena, &serial, &call->diag));
    SM_TRY(sm_renewal_source_load(sm_api_store(sm_api_of(call->loop)), call->world, serial,
                                  &call->arena, &r->source, &call->diag));
    /* With an idempotency key this may be the renewal that revoked it, asked for again. */
    if (r->source.is_revoked && r->request->idempotency_key[0] == '\0') {
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
    const struct sm_extension *san = sm_cert_extension(&r->source.cert, SM_OID_SUBJECT_ALT_NAME);
    struct sm_public_key key;
    sm_slice copy;
    SM_TRY(sm_public_key_parse(r->source.cert.spki, &key, &call->diag));
    sm_buf der = sm_buf_init(SM_CSR_MAX);
    write_csr(&der, r->source.cert.subject, r->source.cert.spki,
              san == NULL ? SM_SLICE_NONE : san->value,
              sm_sig_alg_for(key.type, SM_DIGEST_NONE, false));
    sm_err err = sm_buf_err(&der);
    err = sm_ok(err) ? sm_arena_copy(&call->arena, sm_buf_slice(&der), &copy) : err;
    sm_buf_deinit(&der);
    SM_TRY(err);
    r->source.request.csr = sm_binary(copy);
    r->same_key = true;
    return SM_NO_ERR;
}

/* ---- the call ---- */

static void renew_work(sm_errand *errand)
{
    struct renewal *r = SM_CONTAINER_OF(errand, struct renewal, errand);
    r->err = load_old(r);
    if (!sm_ok(r->err)) {
        return;
    }
    r->source.request.validity_seconds = r->request->validity_seconds;
    r->source.request.idempotency_key = r->request->idempotency_key;
    if (r->request->csr.len > 0) {
        r->source.request.csr = r->request->csr;
        return;
    }
    const struct sm_profile *profile = sm_world_profile(r->call->world, r->source.request.profile);
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
    sm_issue *issue = sm_ok(r->err) ? sm_issue_new(r->call, &r->source.request) : NULL;
    if (issue == NULL) {
        sm_call_finish(r->call, sm_ok(r->err) ? SM_ERR(NO_MEMORY) : r->err);
        sm_call_release(r->call);
        return;
    }
    issue->renewed = &r->source.old;
    issue->revoke_renewed = r->request->revoke_old;
    issue->repeat_only = r->source.is_revoked;
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
