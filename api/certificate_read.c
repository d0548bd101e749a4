/* SPDX-License-Identifier: Apache-2.0 */
/* CertificateService.Get, and what a certificate looks like to callers. */
#include "api/certificate_p.h"
#include "api/record.h"
#include "api/world.h"
#include "base/clock.h"
#include "base/text.h"
#include "sign/der.h"
#include "sign/oids.h"

/* ---- one certificate ---- */

static void describe_state(Sealmill__V1__Certificate *c,
                           const Sealmill__Record__V1__StateRecord *state, sm_arena *arena)
{
    c->state = SEALMILL__V1__CERTIFICATE_STATE__CERTIFICATE_STATE_VALID;
    if (state != NULL && state->state != SEALMILL__V1__CERTIFICATE_STATE__CERTIFICATE_STATE_VALID) {
        c->state = (Sealmill__V1__CertificateState)state->state;
        c->revoked_at = sm_timestamp(arena, state->changed_at);
        c->revocation_reason = (Sealmill__V1__RevocationReason)state->reason;
        if (state->invalidity_date != 0) {
            c->invalidity_date = sm_timestamp(arena, state->invalidity_date);
        }
    } else if (c->not_after != NULL && c->not_after->seconds < sm_clock_wall_s()) {
        c->state = SEALMILL__V1__CERTIFICATE_STATE__CERTIFICATE_STATE_EXPIRED;
    }
}

static sm_err describe_names(Sealmill__V1__Certificate *c, const struct sm_cert *cert,
                             sm_arena *arena)
{
    uint8_t digest[SM_DIGEST_MAX];
    char hex[65];
    sm_buf text = sm_buf_init(65536);
    sm_err err = sm_name_to_text(cert->subject, &text);
    c->subject = sm_text(arena, sm_buf_slice(&text));
    sm_buf_deinit(&text);
    SM_TRY(err);
    SM_TRY(sm_digest_compute(SM_SHA256, cert->spki, digest));
    c->key_sha256 = sm_text(arena, sm_slice_str(sm_hex_format(sm_slice_of(digest, 32), hex)));
    const struct sm_extension *ext = sm_cert_extension(cert, SM_OID_SUBJECT_ALT_NAME);
    struct sm_san *sans;
    size_t count = 0;
    if (ext == NULL || !sm_ok(sm_sans_parse(ext->value, true, arena, &sans, &count, NULL))) {
        return SM_NO_ERR;
    }
    c->sans = sm_arena_alloc(arena, (count + 1) * sizeof(*c->sans));
    for (size_t i = 0; i < count && c->sans != NULL; i++) {
        c->sans[c->n_sans] = sm_san_to_message(&sans[i], arena);
        c->n_sans += c->sans[c->n_sans] != NULL;
    }
    return SM_NO_ERR;
}

static sm_err describe_metadata(Sealmill__V1__Certificate *c,
                                const Sealmill__Record__V1__CertificateRecord *r, sm_arena *arena)
{
    c->metadata = sm_arena_alloc(arena, (r->n_metadata + 1) * sizeof(*c->metadata));
    for (size_t i = 0; i < r->n_metadata && c->metadata != NULL; i++) {
        Sealmill__V1__Certificate__MetadataEntry *e = SM_ARENA_NEW(
            arena, Sealmill__V1__Certificate__MetadataEntry);
        if (e == NULL) {
            return SM_ERR(NO_MEMORY);
        }
        sealmill__v1__certificate__metadata_entry__init(e);
        e->key = r->metadata[i]->key;
        e->value = r->metadata[i]->value;
        c->metadata[c->n_metadata++] = e;
    }
    return SM_NO_ERR;
}

static sm_err describe(sm_call *call, sm_slice serial, bool brief,
                       const Sealmill__Record__V1__CertificateRecord *r, sm_arena *arena,
                       Sealmill__V1__Certificate **out)
{
    sm_store *store = sm_api_store(sm_api_of(call->loop));
    ProtobufCMessage *m;
    struct sm_cert cert;
    SM_TRY(sm_cert_parse(sm_slice_of(r->certificate.data, r->certificate.len), &cert, NULL));
    Sealmill__V1__Certificate *c = SM_ARENA_NEW(arena, Sealmill__V1__Certificate);
    char *hex = sm_arena_alloc(arena, 2 * serial.len + 1);
    if (c == NULL || hex == NULL) {
        return SM_ERR(NO_MEMORY);
    }
    sealmill__v1__certificate__init(c);
    const struct sm_ca *ca = sm_world_ca_by_id(call->world, r->ca_id);
    c->serial = sm_hex_format(serial, hex);
    c->ca = sm_text(arena, ca == NULL ? SM_LIT("?") : sm_slice_str(ca->name));
    c->profile = r->profile;
    if (!brief) {
        c->certificate = r->certificate;
    }
    c->not_before = sm_timestamp(arena, r->not_before);
    c->not_after = sm_timestamp(arena, r->not_after);
    c->issued_at = sm_timestamp(arena, r->issued_at);
    if (c->not_before == NULL || c->not_after == NULL || c->issued_at == NULL) {
        return SM_ERR(NO_MEMORY);
    }
    c->requester = r->requester;
    c->correlation_id = r->correlation_id;
    SM_TRY(describe_names(c, &cert, arena));
    SM_TRY(describe_metadata(c, r, arena));
    sm_err err = sm_record_get(store, SM_FAMILY_STATE, serial,
                               &sealmill__record__v1__state_record__descriptor, arena, &m);
    if (!sm_ok(err) && !sm_err_is(err, SM_E_NOT_FOUND)) {
        return err;
    }
    describe_state(c, sm_ok(err) ? (const Sealmill__Record__V1__StateRecord *)(void *)m : NULL,
                   arena);
    *out = c;
    return SM_NO_ERR;
}

sm_err sm_describe_certificate(sm_call *call, sm_slice serial, bool brief, sm_arena *arena,
                               Sealmill__V1__Certificate **out)
{
    ProtobufCMessage *m;
    SM_TRY(sm_record_get(sm_api_store(sm_api_of(call->loop)), SM_FAMILY_CERT, serial,
                         &sealmill__record__v1__certificate_record__descriptor, arena, &m));
    return describe(call, serial, brief, (const Sealmill__Record__V1__CertificateRecord *)(void *)m,
                    arena, out);
}

sm_err sm_describe_record(sm_call *call, sm_slice serial, bool brief, sm_slice packed,
                          sm_arena *arena, Sealmill__V1__Certificate **out)
{
    ProtobufCMessage *m;
    SM_TRY(
        sm_record_unpack(packed, &sealmill__record__v1__certificate_record__descriptor, arena, &m));
    return describe(call, serial, brief, (const Sealmill__Record__V1__CertificateRecord *)(void *)m,
                    arena, out);
}

sm_err sm_work_get(sm_call *call, const ProtobufCMessage *request, ProtobufCMessage **response)
{
    const Sealmill__V1__GetCertificateRequest *r =
        (const Sealmill__V1__GetCertificateRequest *)(const void *)request;
    Sealmill__V1__Certificate *c;
    ProtobufCMessage *m;
    sm_slice serial;
    SM_TRY(sm_serial_parse(r->serial, &call->arena, &serial, &call->diag));
    sm_err err = sm_record_get(sm_api_store(sm_api_of(call->loop)), SM_FAMILY_CERT, serial,
                               &sealmill__record__v1__certificate_record__descriptor, &call->arena,
                               &m);
    if (sm_err_is(err, SM_E_NOT_FOUND)) {
        return sm_diag_set(&call->diag, err, "serial",
                           "there is no certificate of this serial number");
    }
    SM_TRY(err);
    const Sealmill__Record__V1__CertificateRecord *record =
        (const Sealmill__Record__V1__CertificateRecord *)(void *)m;
    SM_TRY(describe(call, serial, false, record, &call->arena, &c));
    const struct sm_ca *ca = sm_world_ca_by_id(call->world, record->ca_id);
    const struct sm_ca_generation *g = ca == NULL ? NULL
                                                  : sm_ca_generation(ca, record->ca_generation);
    if (g != NULL && g->cert.der.len > 0) {
        c->chain = sm_arena_alloc(&call->arena, (g->chain_count + 1) * sizeof(*c->chain));
        if (c->chain == NULL) {
            return SM_ERR(NO_MEMORY);
        }
        c->chain[c->n_chain++] = sm_binary(g->cert.der);
        for (size_t i = 0; i < g->chain_sent; i++) {
            c->chain[c->n_chain++] = sm_binary(g->chain[i]);
        }
    }
    *response = &c->base;
    return SM_NO_ERR;
}
