/* SPDX-License-Identifier: Apache-2.0 */
/* StatusService: Import. One message is worked off at a time, on a service thread; the next one waits in the
 * client's window. A CRL is collected, and worked off in steps, between which others get their turn. */
#include "api/api_p.h"
#include "api/known_caller.h"
#include "api/record.h"
#include "api/status_import.h"
#include "api/status_p.h"

#define REFUSALS_MAX 100

struct import {
    sm_call *call;
    struct sm_import in;
    struct sm_import_crl crl;
    sm_buf octets; /* of a CRL */
    bool is_list;
    bool busy;
    bool half_closed;
    uint64_t messages;
    /* of the work in hand */
    sm_errand errand;
    sm_arena arena; /* the message's */
    const Sealmill__V1__ImportStatusesRequest *message;
    Sealmill__V1__ImportRefusal **refusals;
    size_t refusal_count;
    bool more;
    sm_err err;
};

/* ---- answers ---- */

static void send_progress(struct import *m)
{
    const struct sm_import_counts *c = &m->in.counts;
    Sealmill__V1__ImportStatusesResponse r;
    sealmill__v1__import_statuses_response__init(&r);
    r.messages = m->messages;
    r.entries = c->entries;
    r.added = c->added;
    r.changed = c->changed;
    r.unchanged = c->unchanged;
    r.kept_revoked = c->kept_revoked;
    r.released = c->released;
    r.refused = c->refused;
    r.refusals = m->refusals;
    r.n_refusals = m->refusal_count;
    (void)sm_call_send(m->call, &r.base);
}

/* ---- work on a service thread ---- */

static sm_err refuse(struct import *m, size_t index, const char *why)
{
    Sealmill__V1__ImportRefusal *r = SM_ARENA_NEW(&m->arena, Sealmill__V1__ImportRefusal);
    m->in.counts.refused++;
    if (m->refusal_count == REFUSALS_MAX) {
        return SM_NO_ERR;
    }
    if (m->refusals == NULL) {
        m->refusals = sm_arena_alloc(&m->arena,
                                     REFUSALS_MAX * sizeof(struct Sealmill__V1__ImportRefusal *));
    }
    if (r == NULL || m->refusals == NULL) {
        return SM_ERR(NO_MEMORY);
    }
    sealmill__v1__import_refusal__init(r);
    r->index = (uint32_t)index;
    r->reason = sm_text(&m->arena, sm_slice_str(why));
    m->refusals[m->refusal_count++] = r;
    return SM_NO_ERR;
}

static int64_t seconds(const Google__Protobuf__Timestamp *t)
{
    return t == NULL ? 0 : t->seconds;
}

static const char *read_serial(const Sealmill__V1__ImportEntry *e, struct sm_import_entry *out)
{
    sm_slice serial = sm_slice_of(e->serial.data, e->serial.len);
    bool hold = e->state == SEALMILL__V1__CERTIFICATE_STATE__CERTIFICATE_STATE_ON_HOLD;
    bool revoked = e->state == SEALMILL__V1__CERTIFICATE_STATE__CERTIFICATE_STATE_REVOKED;
    while (serial.len > 1 && serial.ptr[0] == 0) {
        serial = sm_slice_from(serial, 1);
    }
    if (serial.len == 0 || serial.len > SM_OCSP_SERIAL_MAX) {
        return "a serial number has 1 to 20 octets";
    }
    if (!hold && !revoked && e->state != SEALMILL__V1__CERTIFICATE_STATE__CERTIFICATE_STATE_VALID) {
        return "its state is none of valid, revoked and on-hold";
    }
    if ((hold || revoked) && e->revoked_at == NULL) {
        return "it is not said when it was revoked";
    }
    if (protobuf_c_enum_descriptor_get_value(&sealmill__v1__revocation_reason__descriptor,
                                             (int)e->reason) == NULL) {
        return "its reason is none (RFC 5280 5.3.1)";
    }
    *out = (struct sm_import_entry){.serial = serial,
                                    .what = {.reason = -1, .not_after = seconds(e->not_after)}};
    out->what.state = revoked ? SM_OCSP_IMPORTED_REVOKED
                      : hold  ? SM_OCSP_IMPORTED_ON_HOLD
                              : SM_OCSP_IMPORTED_VALID;
    if (hold || revoked) {
        out->what.revoked_at = e->revoked_at->seconds;
        out->what.reason = hold
                               ? SEALMILL__V1__REVOCATION_REASON__REVOCATION_REASON_CERTIFICATE_HOLD
                           : e->reason == 0 ? -1
                                            : (int)e->reason;
    }
    return NULL;
}

static sm_err read_entry(struct import *m, size_t index, const Sealmill__V1__ImportEntry *e,
                         struct sm_import_entry *entries, size_t *n)
{
    sm_diag diag = {.reason = ""};
    const char *why = "it has neither a serial nor a certificate";
    if (e->about_case == SEALMILL__V1__IMPORT_ENTRY__ABOUT_SERIAL) {
        why = read_serial(e, &entries[*n]);
    } else if (e->about_case == SEALMILL__V1__IMPORT_ENTRY__ABOUT_CERTIFICATE) {
        sm_err err = sm_import_certificate(
            &m->in, sm_slice_of(e->certificate.data, e->certificate.len), &entries[*n], &diag);
        why = sm_ok(err) ? NULL : diag.reason;
    }
    if (why != NULL) {
        return refuse(m, index, why);
    }
    (*n)++;
    return SM_NO_ERR;
}

static sm_err apply_list(struct import *m)
{
    size_t n = 0;
    size_t all = m->message->n_entries;
    struct sm_import_entry *entries = sm_arena_alloc(&m->arena, (all + 1) * sizeof(*entries));
    if (entries == NULL) {
        return SM_ERR(NO_MEMORY);
    }
    for (size_t i = 0; i < all; i++) {
        SM_TRY(read_entry(m, i, m->message->entries[i], entries, &n));
    }
    return sm_import_apply(&m->in, entries, n);
}

static sm_err apply_crl(struct import *m)
{
    if (m->crl.state == SM_IMPORT_BEGIN) {
        m->more = true;
        return sm_import_crl_begin(&m->in, &m->crl, sm_buf_slice(&m->octets), &m->call->diag);
    }
    return sm_import_crl_step(&m->in, &m->crl, &m->more);
}

static void work(sm_errand *errand)
{
    struct import *m = SM_CONTAINER_OF(errand, struct import, errand);
    m->more = false;
    m->err = sm_import_attach(&m->in, &m->call->diag);
    if (sm_ok(m->err)) {
        m->err = m->message != NULL ? apply_list(m) : apply_crl(m);
        sm_import_detach(&m->in);
    }
}

/* ---- on the loop ---- */

static void run_on(struct import *m)
{
    m->call->loop->errands++;
    sm_errand_run(sm_api_of(m->call->loop), sm_api_loop_home(m->call->loop), &m->errand);
}

static void maybe_end(struct import *m);

static void forget_message(struct import *m)
{
    m->refusals = NULL;
    m->refusal_count = 0;
    m->message = NULL;
    sm_arena_deinit(&m->arena);
}

/* A list's message is done, or the whole CRL. */
static void conclude(struct import *m)
{
    sm_call *call = m->call;
    bool crl_done = m->message == NULL;
    m->busy = false;
    if (sm_ok(m->err)) {
        send_progress(m);
    }
    forget_message(m);
    if (!sm_ok(m->err) || crl_done) {
        sm_call_finish(call, m->err);
    } else if (!call->finished && !call->gone) {
        sm_call_resume(call);
        maybe_end(m);
    }
    sm_call_release(call);
}

static void on_done(sm_errand *errand)
{
    struct import *m = SM_CONTAINER_OF(errand, struct import, errand);
    m->call->loop->errands--;
    if (sm_ok(m->err) && m->more && m->call->gone) {
        m->err = SM_ERR(CANCELLED); /* what is done is done; the same CRL again does the rest */
    }
    if (sm_ok(m->err) && m->more) {
        run_on(m);
    } else {
        conclude(m);
    }
}

static void begin_work(struct import *m, const Sealmill__V1__ImportStatusesRequest *message)
{
    m->busy = true;
    m->message = message;
    m->errand.work = work;
    m->errand.done = on_done;
    m->call->paused = true;
    sm_call_hold(m->call);
    run_on(m);
}

static void maybe_end(struct import *m)
{
    if (!m->half_closed || m->busy || m->call->finished) {
        return;
    }
    if (m->octets.len > 0) {
        sm_arena_init(&m->arena, 1U << 20);
        begin_work(m, NULL);
    } else {
        sm_call_finish(m->call, SM_NO_ERR);
    }
}

/* ---- handlers ---- */

static sm_err start(sm_call *call, const Sealmill__V1__ImportStatusesRequest *r)
{
    struct import *m = call->user;
    if (m->in.ca_name != NULL) {
        return r->start == NULL ? SM_NO_ERR
                                : sm_diag_set(&call->diag, SM_ERR(INVALID), "start",
                                              "it belongs into the first message alone");
    }
    if (r->start == NULL) {
        return sm_diag_set(&call->diag, SM_ERR(INVALID), "start", "the first message has it");
    }
    m->in.api = sm_api_of(call->loop);
    m->in.ca_name = sm_text(&call->arena, sm_slice_str(r->start->ca));
    m->in.source = sm_text(&call->arena,
                           sm_slice_str(r->start->source[0] == '\0' ? "-" : r->start->source));
    m->in.caller = call->caller.name;
    m->in.correlation_id = call->correlation_id;
    SM_TRY(sm_import_attach(&m->in, &call->diag)); /* said before anything is sent */
    sm_import_detach(&m->in);
    return SM_NO_ERR;
}

static sm_err check(sm_call *call, const Sealmill__V1__ImportStatusesRequest *r)
{
    struct import *m = call->user;
    SM_TRY(sm_known_caller_confirm(call));
    SM_TRY(start(call, r));
    m->is_list = m->is_list || r->n_entries > 0;
    if (r->n_entries > SM_STATUS_IMPORT_MAX) {
        return sm_diag_set(&call->diag, SM_ERR(TOO_LARGE), "entries", "more than %d in a message",
                           SM_STATUS_IMPORT_MAX);
    }
    if (m->is_list && (r->crl.len > 0 || m->octets.len > 0)) {
        return sm_diag_set(&call->diag, SM_ERR(INVALID), "crl", "either entries or a CRL");
    }
    if (m->octets.len + r->crl.len > SM_IMPORT_CRL_MAX) {
        return sm_diag_set(&call->diag, SM_ERR(TOO_LARGE), "crl", "more than %u octets",
                           SM_IMPORT_CRL_MAX);
    }
    return SM_NO_ERR;
}

void sm_status_import_start(sm_call *call, const ProtobufCMessage *request)
{
    (void)request;
    struct import *m = SM_ARENA_NEW(&call->arena, struct import);
    if (m == NULL) {
        sm_call_finish(call, SM_ERR(NO_MEMORY));
        return;
    }
    m->call = call;
    m->octets = sm_buf_init(SM_IMPORT_CRL_MAX);
    call->user = m;
}

void sm_status_import_message(sm_call *call, const ProtobufCMessage *message, sm_arena *arena)
{
    struct import *m = call->user;
    const Sealmill__V1__ImportStatusesRequest *r =
        (const Sealmill__V1__ImportStatusesRequest *)(const void *)message;
    sm_err err = check(call, r);
    if (sm_ok(err)) {
        sm_buf_put(&m->octets, sm_slice_of(r->crl.data, r->crl.len));
        err = sm_buf_err(&m->octets);
    }
    if (!sm_ok(err)) {
        sm_call_finish(call, err);
        return;
    }
    m->messages++;
    if (r->n_entries == 0) {
        send_progress(m);
        return;
    }
    m->arena = *arena; /* taken over: the message lives in it */
    sm_arena_init(arena, 0);
    begin_work(m, r);
}

void sm_status_import_half_close(sm_call *call)
{
    struct import *m = call->user;
    m->half_closed = true;
    maybe_end(m);
}

void sm_status_import_end(sm_call *call)
{
    struct import *m = call->user;
    sm_buf_deinit(&m->octets);
}
