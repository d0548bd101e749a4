/* SPDX-License-Identifier: Apache-2.0 */
/* CertificateService: Revoke and Release. */
#include "api/api_p.h"
#include "api/certificate_p.h"
#include "api/crl_partition.h"
#include "api/ocsp_presign.h"
#include "api/record.h"
#include "api/world.h"
#include "base/clock.h"

#define TRIES 8 /* of a read and conditional write, when others change the same certificate */

struct transition {
    sm_call *call;
    sm_slice serial;
    sm_slice old; /* the state record as it stands; ptr NULL: none */
    uint32_t old_state;
    uint32_t ca_id;
    uint32_t generation;
    uint32_t partition; /* of its CRL; 0: none */
    int64_t not_after;
    char *profile;
};

/* The certificate says it; one that cannot be read has no CRL but the complete one. */
static sm_err find_partition(struct transition *t, const struct sm_ca *ca, sm_slice der)
{
    struct sm_cert *cert = SM_ARENA_NEW(&t->call->arena, struct sm_cert);
    if (cert == NULL) {
        return SM_ERR(NO_MEMORY);
    }
    t->partition = ca != NULL && sm_ok(sm_cert_parse(der, cert, NULL))
                       ? sm_crl_partition_of(cert, ca->name, t->generation)
                       : 0;
    return SM_NO_ERR;
}

static sm_err load(struct transition *t, const char *serial)
{
    sm_call *call = t->call;
    sm_store *store = sm_api_store(sm_api_of(call->loop));
    ProtobufCMessage *m;
    SM_TRY(sm_serial_parse(serial, &call->arena, &t->serial, &call->diag));
    sm_err err = sm_record_get(store, SM_FAMILY_CERT, t->serial,
                               &sealmill__record__v1__certificate_record__descriptor, &call->arena,
                               &m);
    if (!sm_ok(err)) {
        return sm_diag_set(&call->diag, err, "serial",
                           "there is no certificate of this serial number");
    }
    const Sealmill__Record__V1__CertificateRecord *r =
        (const Sealmill__Record__V1__CertificateRecord *)(void *)m;
    const struct sm_ca *ca = sm_world_ca_by_id(call->world, r->ca_id);
    t->ca_id = r->ca_id;
    t->generation = r->ca_generation;
    t->not_after = r->not_after;
    SM_TRY(find_partition(t, ca, sm_slice_of(r->certificate.data, r->certificate.len)));
    t->profile = r->profile;
    if (r->profile[0] == '\0') { /* a CA's own, or its responder's */
        return sm_caller_require(&call->caller, SM_ROLE_ADMIN, &call->diag);
    }
    return sm_caller_require_ra(&call->caller, ca == NULL ? "?" : ca->name, r->profile,
                                &call->diag);
}

static sm_err load_state(struct transition *t)
{
    sm_call *call = t->call;
    sm_buf bytes = sm_buf_init(4096);
    sm_err err = sm_store_get_sync(sm_api_store(sm_api_of(call->loop)), SM_FAMILY_STATE, t->serial,
                                   &bytes);
    t->old = SM_SLICE_NONE;
    t->old_state = SEALMILL__V1__CERTIFICATE_STATE__CERTIFICATE_STATE_VALID;
    if (sm_ok(err)) {
        err = sm_arena_copy(&call->arena, sm_buf_slice(&bytes), &t->old);
    } else if (sm_err_is(err, SM_E_NOT_FOUND)) {
        err = SM_NO_ERR;
    }
    sm_buf_deinit(&bytes);
    SM_TRY(err);
    if (t->old.ptr != NULL) {
        Sealmill__Record__V1__StateRecord *s = sealmill__record__v1__state_record__unpack(
            NULL, t->old.len, t->old.ptr);
        if (s == NULL) {
            return SM_ERR(CORRUPT);
        }
        t->old_state = s->state;
        sealmill__record__v1__state_record__free_unpacked(s, NULL);
    }
    return SM_NO_ERR;
}

/* What OCSP says of the new state. */
static void sign_answers(const struct transition *t, const Sealmill__Record__V1__StateRecord *state,
                         struct sm_ocsp_change *out)
{
    const struct sm_ca *ca = sm_world_ca_by_id(t->call->world, t->ca_id);
    const struct sm_ca_generation *g = ca == NULL ? NULL : sm_ca_generation(ca, t->generation);
    bool valid = state->state == SEALMILL__V1__CERTIFICATE_STATE__CERTIFICATE_STATE_VALID;
    sm_ocsp_change_init(out, g == NULL ? NULL : g->ocsp, t->ca_id, t->generation, t->serial,
                        t->not_after, valid ? SM_OCSP_GOOD : SM_OCSP_REVOKED,
                        valid ? 0 : state->changed_at, valid ? -1 : (int)state->reason,
                        &t->call->arena);
    sm_ocsp_change_sign_now(out);
}

/* What CRLs say of it. */
static sm_err note_for_crls(const struct transition *t,
                            const Sealmill__Record__V1__StateRecord *state,
                            struct sm_store_put out[SM_CRL_ENTRY_PUTS], size_t *count)
{
    const struct sm_crl_scope scope = {t->ca_id, t->generation, t->partition};
    bool valid = state->state == SEALMILL__V1__CERTIFICATE_STATE__CERTIFICATE_STATE_VALID;
    const struct sm_crl_entry entry = {valid ? SM_CRL_RELEASED : SM_CRL_REVOKED, (int)state->reason,
                                       state->changed_at, state->invalidity_date, t->not_after};
    return sm_crl_entry_put(&scope, t->serial, &entry, &t->call->arena, out, count);
}

/* Writes the new state if the old one still stands. */
static sm_err write_state(struct transition *t, const Sealmill__Record__V1__StateRecord *state,
                          uint32_t kind, const char *action)
{
    sm_call *call = t->call;
    sm_slice value;
    sm_slice log;
    const struct sm_audit audit = {
        .caller = call->caller.name,
        .action = action,
        .outcome = "ok",
        .profile = t->profile,
        .correlation_id = call->correlation_id,
        .serial = t->serial,
        .ca_id = t->ca_id,
        .kind = kind,
        .reason = state->reason,
    };
    SM_TRY(sm_record_pack(&state->base, &call->arena, &value));
    SM_TRY(sm_audit_pack(&audit, &call->arena, &log));
    const struct sm_store_cond cond = {t->old.ptr == NULL ? SM_COND_ABSENT : SM_COND_EQUALS,
                                       SM_FAMILY_STATE, t->serial, t->old};
    struct sm_ocsp_change *ocsp = SM_ARENA_NEW(&call->arena, struct sm_ocsp_change);
    if (ocsp == NULL) {
        return SM_ERR(NO_MEMORY);
    }
    struct sm_store_put puts[1 + SM_OCSP_HASHES + SM_CRL_ENTRY_PUTS] = {
        {SM_PUT, SM_FAMILY_STATE, t->serial, value}};
    size_t count = 1;
    SM_TRY(note_for_crls(t, state, puts + count, &count));
    sign_answers(t, state, ocsp);
    sm_api *api = sm_api_of(call->loop);
    SM_TRY(sm_ocsp_change_puts(ocsp, api->ocsp_cache));
    for (size_t i = 0; i < SM_OCSP_HASHES; i++) {
        puts[count++] = ocsp->puts[i];
    }
    sm_store_write op = {.conds = &cond,
                         .cond_count = 1,
                         .puts = puts,
                         .put_count = count,
                         .log = &log,
                         .log_count = 1};
    sm_err err = sm_store_write_sync(sm_api_store(api), &op);
    if (!sm_ok(err)) {
        sm_doubt_add(api, t->ca_id, t->generation, t->serial, err);
        return err;
    }
    sm_ocsp_change_apply(ocsp, api->ocsp_cache);
    sm_api_count_state_change(api);
    return SM_NO_ERR;
}

static bool lost_race(sm_err err)
{
    return sm_err_is(err, SM_E_CONFLICT) || sm_err_is(err, SM_E_EXISTS);
}

static sm_err answer(struct transition *t, ProtobufCMessage **response)
{
    Sealmill__V1__Certificate *c;
    SM_TRY(sm_describe_certificate(t->call, t->serial, false, &t->call->arena, &c));
    *response = &c->base;
    return SM_NO_ERR;
}

static sm_err check_reason(sm_call *call, Sealmill__V1__RevocationReason reason)
{
    if (reason == SEALMILL__V1__REVOCATION_REASON__REVOCATION_REASON_REMOVE_FROM_CRL) {
        return sm_diag_set(&call->diag, SM_ERR(INVALID), "reason",
                           "removeFromCRL is said by Release");
    }
    if (protobuf_c_enum_descriptor_get_value(&sealmill__v1__revocation_reason__descriptor,
                                             (int)reason) == NULL) {
        return sm_diag_set(&call->diag, SM_ERR(INVALID), "reason",
                           "%d is not a CRLReason (RFC 5280 5.3.1)", (int)reason);
    }
    return SM_NO_ERR;
}

/* Who hears that it is so already may rely on it. Memory can still say what was so before: another's change is durable before
 * it is there, and one whose write failed may be durable all the same. */
static void forget_answers(const struct transition *t)
{
    for (int hash = 0; hash < SM_OCSP_HASHES; hash++) {
        const struct sm_ocsp_key key = {t->ca_id, t->generation, (enum sm_ocsp_hash)hash,
                                        t->serial};
        sm_ocsp_cache_change(sm_api_of(t->call->loop)->ocsp_cache, NULL, &key, NULL, 0);
    }
    sm_api_count_state_change(sm_api_of(t->call->loop)); /* connections look it up again */
}

static sm_err revoke_once(struct transition *t, const Sealmill__V1__RevokeRequest *r)
{
    bool hold = r->reason == SEALMILL__V1__REVOCATION_REASON__REVOCATION_REASON_CERTIFICATE_HOLD;
    SM_TRY(load_state(t));
    if (t->old_state == SEALMILL__V1__CERTIFICATE_STATE__CERTIFICATE_STATE_REVOKED ||
        (hold && t->old_state == SEALMILL__V1__CERTIFICATE_STATE__CERTIFICATE_STATE_ON_HOLD)) {
        forget_answers(t);
        return sm_diag_set(&t->call->diag, SM_ERR(PRECONDITION), "serial",
                           "the certificate is %s already", hold ? "on hold" : "revoked");
    }
    Sealmill__Record__V1__StateRecord state;
    sealmill__record__v1__state_record__init(&state);
    state.version = SM_RECORD_VERSION;
    state.state = hold ? SEALMILL__V1__CERTIFICATE_STATE__CERTIFICATE_STATE_ON_HOLD
                       : SEALMILL__V1__CERTIFICATE_STATE__CERTIFICATE_STATE_REVOKED;
    state.changed_at = sm_clock_wall_s();
    state.reason = (uint32_t)r->reason;
    state.invalidity_date = r->invalidity_date == NULL ? 0 : r->invalidity_date->seconds;
    state.ca_id = t->ca_id;
    return write_state(t, &state,
                       hold ? SEALMILL__V1__INVENTORY_EVENT__KIND__KIND_HELD
                            : SEALMILL__V1__INVENTORY_EVENT__KIND__KIND_REVOKED,
                       hold ? "certificate.hold" : "certificate.revoke");
}

sm_err sm_work_revoke(sm_call *call, const ProtobufCMessage *request, ProtobufCMessage **response)
{
    const Sealmill__V1__RevokeRequest *r = (const Sealmill__V1__RevokeRequest *)(const void *)
        request;
    struct transition t = {.call = call};
    SM_TRY(check_reason(call, r->reason));
    SM_TRY(load(&t, r->serial));
    sm_err err = SM_ERR(CONFLICT);
    for (int i = 0; i < TRIES && lost_race(err); i++) {
        err = revoke_once(&t, r);
    }
    SM_TRY(err);
    return answer(&t, response);
}

static sm_err release_once(struct transition *t)
{
    SM_TRY(load_state(t));
    if (t->old_state != SEALMILL__V1__CERTIFICATE_STATE__CERTIFICATE_STATE_ON_HOLD) {
        forget_answers(t);
        return sm_diag_set(&t->call->diag, SM_ERR(PRECONDITION), "serial",
                           "the certificate is not on hold");
    }
    Sealmill__Record__V1__StateRecord state;
    sealmill__record__v1__state_record__init(&state);
    state.version = SM_RECORD_VERSION;
    state.state = SEALMILL__V1__CERTIFICATE_STATE__CERTIFICATE_STATE_VALID;
    state.changed_at = sm_clock_wall_s();
    state.reason = SEALMILL__V1__REVOCATION_REASON__REVOCATION_REASON_REMOVE_FROM_CRL;
    state.ca_id = t->ca_id;
    return write_state(t, &state, SEALMILL__V1__INVENTORY_EVENT__KIND__KIND_RELEASED,
                       "certificate.release");
}

sm_err sm_work_release(sm_call *call, const ProtobufCMessage *request, ProtobufCMessage **response)
{
    const Sealmill__V1__ReleaseRequest *r = (const Sealmill__V1__ReleaseRequest *)(const void *)
        request;
    struct transition t = {.call = call};
    SM_TRY(load(&t, r->serial));
    sm_err err = SM_ERR(CONFLICT);
    for (int i = 0; i < TRIES && lost_race(err); i++) {
        err = release_once(&t);
    }
    SM_TRY(err);
    return answer(&t, response);
}
