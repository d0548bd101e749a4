/* SPDX-License-Identifier: Apache-2.0 */
/* StatusService: LoadResponses. Each answer is verified as a relying party would, and kept whole; the one with the
 * later thisUpdate stands. */
#include "api/api_p.h"
#include "api/ca_import.h"
#include "api/record.h"
#include "api/status_import.h"
#include "api/status_p.h"
#include "base/clock.h"
#include "ocsp-cache/ocsp_response_read.h"
#include "sign/batch.h"

#include <stdio.h>

#define LOAD_WRITE_MAX 32 /* answers in one write: a megabyte of them */

/* One answer on its way to the store. */
struct row {
    struct sm_ocsp_loaded loaded; /* borrows the message */
    enum sm_ocsp_hash hash;
    uint8_t serial[SM_OCSP_SERIAL_MAX];
    size_t serial_len;
    uint8_t key[SM_OCSP_FOREIGN_KEY_MAX];
    size_t key_len;
    sm_slice old; /* as it is stored; ptr NULL: absent */
};

struct loading {
    sm_call *call;
    const struct sm_ca_generation *g;
    Sealmill__V1__LoadResponsesResponse *out;
    sm_arena arena; /* of a write */
    struct row rows[LOAD_WRITE_MAX];
    size_t row_count;
};

/* ---- whether it is the CA's ---- */

static bool is_responder(const struct sm_ocsp_response_read *r, const struct sm_cert *cert,
                         const struct sm_public_key *key)
{
    uint8_t id[20];
    if (r->by_name.len > 0) {
        return sm_slice_equal(r->by_name, cert->subject);
    }
    return sm_ok(sm_public_key_id(key, id)) && sm_slice_equal(r->by_key, sm_slice_of(id, 20));
}

/* RFC 6960 4.2.2.2: the CA itself, or a delegated responder of its; `out` borrows from the response or the CA. */
static bool find_signer(const struct loading *l, const struct sm_ocsp_response_read *r,
                        struct sm_cert *out, struct sm_public_key *key, sm_diag *diag)
{
    *out = l->g->cert;
    if (sm_ok(sm_public_key_parse(out->spki, key, NULL)) && is_responder(r, out, key)) {
        return true;
    }
    for (size_t i = 0; i < r->certificate_count; i++) {
        if (sm_ok(sm_cert_parse(r->certificates[i], out, NULL)) &&
            sm_ok(sm_public_key_parse(out->spki, key, NULL)) && is_responder(r, out, key)) {
            return sm_ok(
                sm_ca_responder_check(out, &l->g->cert, SM_SLICE_NONE, sm_clock_wall_s(), diag));
        }
    }
    return sm_ok(
        sm_diag_set(diag, SM_ERR(INVALID), "response", "its responder's certificate is not in it"));
}

static bool is_about(const struct sm_ca_generation *g, const struct sm_ocsp_cert_id *id)
{
    bool sha1 = id->hash == SM_OCSP_SHA1;
    sm_slice name = sha1 ? sm_slice_of(g->name_sha1, 20) : sm_slice_of(g->name_sha256, 32);
    sm_slice key = sha1 ? sm_slice_of(g->key_sha1, 20) : sm_slice_of(g->key_sha256, 32);
    return id->hash != SM_OCSP_OTHER && sm_slice_equal(id->name_hash, name) &&
           sm_slice_equal(id->key_hash, key) && id->serial.len > 0 &&
           id->serial.len <= SM_OCSP_SERIAL_MAX;
}

static sm_err verify(const struct loading *l, sm_slice der, struct sm_ocsp_response_read *r,
                     sm_diag *diag)
{
    int64_t now = sm_clock_wall_s();
    struct sm_cert signer;
    struct sm_public_key key;
    if (der.len > SM_OCSP_LOADED_MAX) {
        return sm_diag_set(diag, SM_ERR(TOO_LARGE), "response", "more than %u octets",
                           SM_OCSP_LOADED_MAX);
    }
    SM_TRY(sm_ocsp_response_read(der, r, diag));
    if (!is_about(l->g, &r->cert_id)) {
        return sm_diag_set(diag, SM_ERR(INVALID), "response",
                           "its CertID is not of this CA, or not by SHA-1 or SHA-256");
    }
    if (r->said.this_update > now + SM_IMPORT_CLOCK_S || r->said.next_update <= now) {
        return sm_diag_set(diag, SM_ERR(INVALID), "response",
                           "it is stale, or its thisUpdate is in the future");
    }
    if (!find_signer(l, r, &signer, &key, diag)) {
        return SM_ERR(INVALID);
    }
    if (!sm_ok(sm_verify_now(&key, r->sig_alg, r->data, r->signature))) {
        return sm_diag_set(diag, SM_ERR(BAD_SIGNATURE), "response",
                           "its signature does not verify");
    }
    if (r->said.next_update > signer.not_after) {
        r->said.next_update = signer.not_after;
    }
    return SM_NO_ERR;
}

/* ---- its row ---- */

static bool is_newer(const struct sm_ocsp_said *a, const struct sm_ocsp_said *b)
{
    return a->this_update != b->this_update ? a->this_update > b->this_update
                                            : a->produced_at > b->produced_at;
}

/* Reads what is there: whether this one is to take its place. */
static sm_err look(const struct loading *l, struct row *row, sm_arena *arena, bool *older)
{
    const struct sm_ocsp_key key = {l->g->ca_id, l->g->number, row->hash,
                                    sm_slice_of(row->serial, row->serial_len)};
    struct sm_ocsp_loaded there;
    sm_buf octets = sm_buf_init(SM_OCSP_LOADED_MAX * 2);
    row->key_len = sm_ocsp_loaded_key(&key, row->key);
    row->old = SM_SLICE_NONE;
    *older = false;
    sm_err err = sm_store_get_sync(sm_api_store(sm_api_of(l->call->loop)), SM_FAMILY_OCSP,
                                   sm_slice_of(row->key, row->key_len), &octets);
    if (sm_ok(err)) {
        err = sm_arena_copy(arena, sm_buf_slice(&octets), &row->old);
        err = sm_ok(err) ? sm_ocsp_loaded_unpack(row->old, arena, &there) : err;
        *older = sm_ok(err) && !is_newer(&row->loaded.said, &there.said);
    } else if (sm_err_is(err, SM_E_NOT_FOUND)) {
        err = SM_NO_ERR;
    }
    sm_buf_deinit(&octets);
    return err;
}

static sm_err pack_log(const struct loading *l, size_t count, sm_arena *arena, sm_slice *out)
{
    char detail[40];
    (void)snprintf(detail, sizeof(detail), "%zu answers", count);
    const struct sm_audit audit = {.caller = l->call->caller.name,
                                   .action = "status.load",
                                   .outcome = "ok",
                                   .target = sm_world_ca_by_id(l->call->world, l->g->ca_id)->name,
                                   .detail = detail,
                                   .correlation_id = l->call->correlation_id,
                                   .ca_id = l->g->ca_id};
    return sm_audit_pack(&audit, arena, out);
}

static sm_err write_rows(const struct loading *l, const struct row *rows, size_t count,
                         sm_arena *arena)
{
    struct sm_store_put puts[LOAD_WRITE_MAX];
    struct sm_store_cond conds[LOAD_WRITE_MAX];
    sm_slice log;
    for (size_t i = 0; i < count; i++) {
        const struct row *row = &rows[i];
        sm_slice key = sm_slice_of(row->key, row->key_len);
        puts[i] = (struct sm_store_put){SM_PUT, SM_FAMILY_OCSP, key, SM_SLICE_NONE};
        SM_TRY(sm_ocsp_loaded_pack(&row->loaded, arena, &puts[i].value));
        conds[i] = (struct sm_store_cond){row->old.ptr == NULL ? SM_COND_ABSENT : SM_COND_EQUALS,
                                          SM_FAMILY_OCSP, key, row->old};
    }
    SM_TRY(pack_log(l, count, arena, &log));
    sm_store_write op = {.puts = puts,
                         .put_count = count,
                         .conds = conds,
                         .cond_count = count,
                         .log = &log,
                         .log_count = 1};
    return sm_store_write_sync(sm_api_store(sm_api_of(l->call->loop)), &op);
}

static bool is_overtaken(sm_err err)
{
    return sm_err_is(err, SM_E_CONFLICT) || sm_err_is(err, SM_E_EXISTS);
}

/* Others load the same at this time: one by one. */
static sm_err write_singly(struct loading *l, struct row *row, sm_arena *arena)
{
    sm_err err = SM_ERR(CONFLICT);
    for (int i = 0; i < SM_IMPORT_TRIES && is_overtaken(err); i++) {
        bool older;
        SM_TRY(look(l, row, arena, &older));
        if (older) {
            l->out->older++;
            return SM_NO_ERR;
        }
        err = write_rows(l, row, 1, arena);
    }
    l->out->loaded += sm_ok(err) ? 1 : 0;
    return err;
}

static sm_err flush(struct loading *l)
{
    sm_err err = l->row_count == 0 ? SM_NO_ERR : write_rows(l, l->rows, l->row_count, &l->arena);
    if (sm_ok(err)) {
        l->out->loaded += (uint32_t)l->row_count;
    } else if (is_overtaken(err)) {
        err = SM_NO_ERR;
        for (size_t i = 0; i < l->row_count && sm_ok(err); i++) {
            err = write_singly(l, &l->rows[i], &l->arena);
        }
    }
    l->row_count = 0;
    sm_arena_deinit(&l->arena);
    return err;
}

static bool is_pending(const struct loading *l, const struct row *row)
{
    for (size_t i = 0; i < l->row_count; i++) {
        if (sm_slice_equal(sm_slice_of(l->rows[i].key, l->rows[i].key_len),
                           sm_slice_of(row->key, row->key_len))) {
            return true;
        }
    }
    return false;
}

static sm_err add_row(struct loading *l, const struct sm_ocsp_response_read *r, sm_slice der)
{
    struct row row = {.loaded = {r->said, der}, .hash = r->cert_id.hash};
    bool older;
    memcpy(row.serial, r->cert_id.serial.ptr, r->cert_id.serial.len);
    row.serial_len = r->cert_id.serial.len;
    SM_TRY(look(l, &row, &l->arena, &older));
    if (l->row_count == LOAD_WRITE_MAX || is_pending(l, &row)) {
        SM_TRY(flush(l));
        SM_TRY(look(l, &row, &l->arena, &older));
    }
    if (older) {
        l->out->older++;
    } else {
        l->rows[l->row_count++] = row;
    }
    return SM_NO_ERR;
}

/* ---- the method ---- */

static sm_err note_refusal(struct loading *l, size_t index, const char *why)
{
    Sealmill__V1__ImportRefusal *r = SM_ARENA_NEW(&l->call->arena, Sealmill__V1__ImportRefusal);
    if (r == NULL) {
        return SM_ERR(NO_MEMORY);
    }
    sealmill__v1__import_refusal__init(r);
    r->index = (uint32_t)index;
    r->reason = sm_text(&l->call->arena, sm_slice_str(why));
    l->out->refusals[l->out->n_refusals++] = r;
    return SM_NO_ERR;
}

static sm_err load_one(struct loading *l, size_t index, sm_slice der)
{
    struct sm_ocsp_response_read r;
    sm_diag diag = {.reason = ""};
    sm_err err = verify(l, der, &r, &diag);
    if (!sm_ok(err)) {
        return note_refusal(l, index, diag.reason[0] == '\0' ? sm_err_words(err) : diag.reason);
    }
    return add_row(l, &r, der);
}

static sm_err begin(struct loading *l, const Sealmill__V1__LoadResponsesRequest *q)
{
    sm_call *call = l->call;
    const struct sm_ca *ca = sm_world_ca(call->world, q->ca);
    if (ca == NULL) {
        return sm_diag_set(&call->diag, SM_ERR(NOT_FOUND), "ca", "there is no CA %.63s", q->ca);
    }
    l->g = sm_ca_current(ca);
    if (l->g->ocsp == NULL || !l->g->ocsp->offline) {
        return sm_diag_set(&call->diag, SM_ERR(PRECONDITION), "ca",
                           "%.63s is not an offline CA: its answers are made here", q->ca);
    }
    if (q->n_responses > SM_STATUS_LOAD_MAX) {
        return sm_diag_set(&call->diag, SM_ERR(TOO_LARGE), "responses", "more than %d",
                           SM_STATUS_LOAD_MAX);
    }
    l->out = SM_ARENA_NEW(&call->arena, Sealmill__V1__LoadResponsesResponse);
    if (l->out == NULL) {
        return SM_ERR(NO_MEMORY);
    }
    sealmill__v1__load_responses_response__init(l->out);
    l->out->refusals = sm_arena_alloc(&call->arena,
                                      (q->n_responses + 1) * sizeof(*l->out->refusals));
    return l->out->refusals == NULL ? SM_ERR(NO_MEMORY) : SM_NO_ERR;
}

sm_err sm_work_load_responses(sm_call *call, const ProtobufCMessage *request,
                              ProtobufCMessage **response)
{
    const Sealmill__V1__LoadResponsesRequest *q =
        (const Sealmill__V1__LoadResponsesRequest *)(const void *)request;
    static _Thread_local struct loading l;
    sm_err err = SM_NO_ERR;
    l = (struct loading){.call = call};
    SM_TRY(begin(&l, q));
    sm_arena_init(&l.arena, 8U << 20);
    for (size_t i = 0; i < q->n_responses && sm_ok(err); i++) {
        err = load_one(&l, i, sm_slice_of(q->responses[i].data, q->responses[i].len));
    }
    err = sm_ok(err) ? flush(&l) : err;
    sm_arena_deinit(&l.arena);
    SM_TRY(err);
    *response = &l.out->base;
    return SM_NO_ERR;
}
