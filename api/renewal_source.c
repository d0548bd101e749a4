/* SPDX-License-Identifier: Apache-2.0 */
#include "api/renewal_source.h"

#include "api/record.h"

/* What the old one was issued with: templates of the profile may need it. */
static sm_err take_metadata(struct sm_renewal_source *out,
                            const Sealmill__Record__V1__CertificateRecord *record, sm_arena *arena)
{
    Sealmill__V1__IssueRequest *to = &out->request;
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

static sm_err take_record(struct sm_renewal_source *out, const sm_world *world,
                          const Sealmill__Record__V1__CertificateRecord *record, sm_arena *arena,
                          sm_diag *diag)
{
    const struct sm_ca *ca = sm_world_ca_by_id(world, record->ca_id);
    if (ca == NULL) {
        return SM_ERR(CORRUPT);
    }
    union {
        const char *in;
        char *out;
    } name = {ca->name};
    out->old.ca_id = record->ca_id;
    out->old.generation = record->ca_generation;
    out->request.ca = name.out;
    out->request.profile = record->profile;
    SM_TRY(take_metadata(out, record, arena));
    return sm_cert_parse(sm_slice_of(record->certificate.data, record->certificate.len), &out->cert,
                         diag);
}

/* Its state as it is now: the write will insist on it. */
static sm_err take_state(struct sm_renewal_source *out, sm_store *store, sm_arena *arena,
                         sm_diag *diag)
{
    sm_buf packed = sm_buf_init(4096);
    ProtobufCMessage *m = NULL;
    sm_err err = sm_store_get_sync(store, SM_FAMILY_STATE, out->old.serial, &packed);
    bool found = sm_ok(err);
    if (found) {
        err = sm_arena_copy(arena, sm_buf_slice(&packed), &out->old.state);
    }
    sm_buf_deinit(&packed);
    if (!found || !sm_ok(err)) {
        return sm_err_is(err, SM_E_NOT_FOUND) ? SM_NO_ERR : err;
    }
    SM_TRY(sm_record_unpack(out->old.state, &sealmill__record__v1__state_record__descriptor, arena,
                            &m));
    uint32_t state = ((const Sealmill__Record__V1__StateRecord *)(void *)m)->state;
    out->is_revoked = state == SEALMILL__V1__CERTIFICATE_STATE__CERTIFICATE_STATE_REVOKED;
    if (state == SEALMILL__V1__CERTIFICATE_STATE__CERTIFICATE_STATE_ON_HOLD) {
        return sm_diag_set(diag, SM_ERR(PRECONDITION), "serial",
                           "the certificate is on hold: release it first");
    }
    return SM_NO_ERR;
}

sm_err sm_renewal_source_load(sm_store *store, const sm_world *world, sm_slice serial,
                              sm_arena *arena, struct sm_renewal_source *out, sm_diag *diag)
{
    ProtobufCMessage *m;
    *out = (struct sm_renewal_source){.old = {.serial = serial}};
    out->old.cert = &out->cert;
    sealmill__v1__issue_request__init(&out->request);
    sm_err err = sm_record_get(store, SM_FAMILY_CERT, serial,
                               &sealmill__record__v1__certificate_record__descriptor, arena, &m);
    if (!sm_ok(err)) {
        return sm_diag_set(diag, err, "serial", "there is no certificate of this serial number");
    }
    SM_TRY(take_record(out, world, (const Sealmill__Record__V1__CertificateRecord *)(void *)m,
                       arena, diag));
    return take_state(out, store, arena, diag);
}
