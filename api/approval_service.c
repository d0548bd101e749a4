/* SPDX-License-Identifier: Apache-2.0 */
/* ApprovalService. */
#include "api/approval_p.h"
#include "api/method.h"
#include "api/record.h"
#include "api/renewal_source.h"
#include "base/check.h"
#include "base/clock.h"
#include "base/text.h"
#include "gen/sealmill/v1/approval.pb-c.h"
#include "sign/csr_attributes.h"

#define PAGE_DEFAULT 100
#define PAGE_MAX 1000
#define PAGE_ROWS 1000         /* looked at for one page, whatever fits: bounds its time */
#define PAGE_OCTETS (1U << 20) /* of their records: bounds its memory */

static sm_err show(sm_call *call, const struct sm_approval *a, bool with_csr)
{
    Sealmill__V1__Approval *m = a->record->approval;
    m->id = sm_approval_id_text(a->id, &call->arena);
    m->state = a->state;
    if (!with_csr) {
        m->csr = sm_binary(SM_SLICE_NONE);
    }
    return m->id == NULL ? SM_ERR(NO_MEMORY) : SM_NO_ERR;
}

static sm_err load(sm_call *call, const char *text, struct sm_approval *out)
{
    sm_slice id;
    sm_err err = SM_ERR(NOT_FOUND);
    if (sm_approval_id_parse(text, &call->arena, &id)) {
        err = sm_approval_load(sm_api_store(sm_api_of(call->loop)), id, &call->arena, out);
    }
    return sm_err_is(err, SM_E_NOT_FOUND)
               ? sm_diag_set(&call->diag, err, "id", "there is no request of this id")
               : err;
}

/* ---- List, Get ---- */

struct page {
    sm_call *call;
    Sealmill__V1__ListApprovalsResponse *response;
    size_t wanted;
    size_t rows;
    size_t octets;
    Sealmill__V1__ApprovalState state;
    sm_err err;
};

static sm_err end_page(struct page *p, sm_slice id)
{
    char *token = sm_approval_id_text(id, &p->call->arena);
    p->response->next_page_token = token == NULL ? p->response->next_page_token : token;
    return token == NULL ? SM_ERR(NO_MEMORY) : SM_NO_ERR;
}

static bool on_row(void *ctx, sm_slice key, sm_slice value)
{
    struct page *p = ctx;
    struct sm_approval a;
    sm_slice id = sm_slice_from(key, key.len - SM_APPROVAL_ID_LEN);
    if (p->response->n_approvals == p->wanted || p->rows == PAGE_ROWS || p->octets > PAGE_OCTETS) {
        p->err = end_page(p, id);
        return false;
    }
    p->rows++;
    p->octets += value.len;
    p->err = sm_approval_read(id, value, &p->call->arena, &a);
    bool fits = sm_ok(p->err) && (p->state == 0 || a.state == p->state);
    p->err = fits ? show(p->call, &a, false) : p->err;
    if (fits) {
        p->response->approvals[p->response->n_approvals++] = a.record->approval;
    }
    return sm_ok(p->err);
}

static sm_err choose_range(sm_call *call, const Sealmill__V1__ListApprovalsRequest *q,
                           sm_slice *from, sm_slice *to)
{
    sm_slice id;
    const char *label = q->label[0] == '\0' ? NULL : q->label;
    SM_TRY(sm_approval_range(label, &call->arena, from, to));
    if (q->page_token[0] == '\0') {
        return SM_NO_ERR;
    }
    sm_slice first = *from;
    if (!sm_approval_id_parse(q->page_token, &call->arena, &id)) {
        return sm_diag_set(&call->diag, SM_ERR(INVALID), "page_token", "it is of another list");
    }
    SM_TRY(sm_approval_key(id, &call->arena, from));
    return sm_slice_starts_with(*from, first)
               ? SM_NO_ERR
               : sm_diag_set(&call->diag, SM_ERR(INVALID), "page_token", "it is of another list");
}

static sm_err list(sm_call *call, const ProtobufCMessage *request, ProtobufCMessage **response)
{
    const Sealmill__V1__ListApprovalsRequest *q =
        (const Sealmill__V1__ListApprovalsRequest *)(const void *)request;
    struct page p = {.call = call, .state = q->state};
    sm_slice from;
    sm_slice to;
    if (q->page_size < 0 || q->page_size > PAGE_MAX) {
        return sm_diag_set(&call->diag, SM_ERR(OUT_OF_RANGE), "page_size", "1 to %d", PAGE_MAX);
    }
    SM_TRY(choose_range(call, q, &from, &to));
    p.wanted = q->page_size == 0 ? PAGE_DEFAULT : (size_t)q->page_size;
    p.response = SM_ARENA_NEW(&call->arena, Sealmill__V1__ListApprovalsResponse);
    if (p.response == NULL) {
        return SM_ERR(NO_MEMORY);
    }
    sealmill__v1__list_approvals_response__init(p.response);
    p.response->approvals = sm_arena_alloc(&call->arena, p.wanted * sizeof(*p.response->approvals));
    if (p.response->approvals == NULL) {
        return SM_ERR(NO_MEMORY);
    }
    SM_TRY(sm_store_scan_sync(sm_api_store(sm_api_of(call->loop)), SM_FAMILY_META, from, to, on_row,
                              &p));
    *response = &p.response->base;
    return p.err;
}

static sm_err get(sm_call *call, const ProtobufCMessage *request, ProtobufCMessage **response)
{
    const Sealmill__V1__GetApprovalRequest *q =
        (const Sealmill__V1__GetApprovalRequest *)(const void *)request;
    struct sm_approval a;
    SM_TRY(load(call, q->id, &a));
    SM_TRY(show(call, &a, true));
    *response = &a.record->approval->base;
    return SM_NO_ERR;
}

/* ---- decisions ---- */

/* Who asked does not decide: another pair of eyes is the point. */
static sm_err check_decider(sm_call *call, const struct sm_approval *a)
{
    return strcmp(call->caller.name, a->record->approval->requester) == 0
               ? sm_diag_set(&call->diag, SM_ERR(FORBIDDEN), "id",
                             "who sent a request does not decide about it")
               : SM_NO_ERR;
}

static sm_err check_open(sm_call *call, const struct sm_approval *a, bool also_approved)
{
    bool open = a->state == SEALMILL__V1__APPROVAL_STATE__APPROVAL_STATE_PENDING ||
                a->state == SEALMILL__V1__APPROVAL_STATE__APPROVAL_STATE_EXPIRED ||
                (also_approved &&
                 a->state == SEALMILL__V1__APPROVAL_STATE__APPROVAL_STATE_APPROVED);
    return open ? SM_NO_ERR
                : sm_diag_set(&call->diag, SM_ERR(PRECONDITION), "id",
                              "it has been decided about already");
}

static sm_err check_reason(sm_call *call, const char *reason)
{
    return strlen(reason) <= SM_APPROVAL_REASON_MAX
               ? SM_NO_ERR
               : sm_diag_set(&call->diag, SM_ERR(TOO_LARGE), "reason", "more than %d octets",
                             SM_APPROVAL_REASON_MAX);
}

/* An approved one has its time anew, as long as the first, and no longer than it is kept. */
static sm_err begin_time(sm_call *call, struct sm_approval *a)
{
    Sealmill__V1__Approval *m = a->record->approval;
    int64_t length = m->expires_at->seconds - m->created_at->seconds;
    int64_t until = sm_clock_wall_s() + length;
    int64_t last = a->record->forgotten_at;
    m->expires_at = sm_timestamp(&call->arena, until < last ? until : last);
    return m->expires_at == NULL ? SM_ERR(NO_MEMORY) : SM_NO_ERR;
}

static sm_err decide(sm_call *call, const char *id, const char *reason, bool approve,
                     ProtobufCMessage **response)
{
    struct sm_approval a;
    SM_TRY(check_reason(call, reason));
    SM_TRY(load(call, id, &a));
    SM_TRY(check_decider(call, &a));
    SM_TRY(check_open(call, &a, !approve));
    Sealmill__V1__Approval *m = a.record->approval;
    m->state = approve ? SEALMILL__V1__APPROVAL_STATE__APPROVAL_STATE_APPROVED
                       : SEALMILL__V1__APPROVAL_STATE__APPROVAL_STATE_DENIED;
    m->decided_at = sm_timestamp(&call->arena, sm_clock_wall_s());
    m->decided_by = sm_text(&call->arena, sm_slice_str(call->caller.name));
    m->reason = sm_text(&call->arena, sm_slice_str(reason));
    if (approve) {
        SM_TRY(begin_time(call, &a));
    }
    SM_TRY(sm_approval_write(sm_api_of(call->loop), &a, call->caller.name,
                             approve ? "approval.approve" : "approval.deny", call->correlation_id,
                             &call->arena));
    a.state = m->state;
    SM_TRY(show(call, &a, true));
    *response = &m->base;
    return SM_NO_ERR;
}

static sm_err approve(sm_call *call, const ProtobufCMessage *request, ProtobufCMessage **response)
{
    const Sealmill__V1__ApproveRequest *q = (const Sealmill__V1__ApproveRequest *)(const void *)
        request;
    return decide(call, q->id, q->reason, true, response);
}

static sm_err deny(sm_call *call, const ProtobufCMessage *request, ProtobufCMessage **response)
{
    const Sealmill__V1__DenyRequest *q = (const Sealmill__V1__DenyRequest *)(const void *)request;
    return decide(call, q->id, q->reason, false, response);
}

/* ---- Edit ---- */

/* RFC 4514 has the last RDN first; attributes of one RDN stay together. */
static void reverse(struct sm_name *name)
{
    struct sm_name out = {.count = 0};
    size_t end = name->count;
    while (end > 0) {
        size_t start = end - 1;
        while (start > 0 && name->at[start].with_previous) {
            start--;
        }
        for (size_t i = start; i < end; i++) {
            out.at[out.count++] = name->at[i];
        }
        end = start;
    }
    *name = out;
}

static sm_err edit_subject(sm_call *call, const char *text, Sealmill__Record__V1__ApprovalRecord *r)
{
    struct sm_name name;
    sm_slice copy;
    if (text[0] == '\0') {
        return SM_NO_ERR;
    }
    SM_TRY(sm_name_from_text(sm_slice_str(text), &call->arena, &name, &call->diag));
    reverse(&name);
    sm_buf der = sm_buf_init(65536);
    sm_name_write(&der, &name);
    sm_err err = sm_buf_err(&der);
    err = sm_ok(err) ? sm_arena_copy(&call->arena, sm_buf_slice(&der), &copy) : err;
    sm_buf_deinit(&der);
    SM_TRY(err);
    r->subject = sm_binary(copy);
    return SM_NO_ERR;
}

static sm_err edit_sans(sm_call *call, const Sealmill__V1__EditApprovalRequest *q,
                        Sealmill__Record__V1__ApprovalRecord *r)
{
    sm_slice copy;
    if (q->n_sans == 0 && !q->no_sans) {
        return SM_NO_ERR;
    }
    if (q->n_sans > SM_SANS_MAX || (q->n_sans > 0 && q->no_sans)) {
        return sm_diag_set(&call->diag, SM_ERR(INVALID), "sans",
                           "at most %d names, and none with no_sans", SM_SANS_MAX);
    }
    struct sm_san *sans = sm_arena_alloc(&call->arena, (q->n_sans + 1) * sizeof(*sans));
    if (sans == NULL) {
        return SM_ERR(NO_MEMORY);
    }
    for (size_t i = 0; i < q->n_sans; i++) {
        SM_TRY(sm_san_from_message(q->sans[i], &call->arena, &sans[i], &call->diag));
    }
    sm_buf der = sm_buf_init(65536);
    sm_sans_write(&der, sans, q->n_sans);
    sm_err err = sm_buf_err(&der);
    err = sm_ok(err) ? sm_arena_copy(&call->arena, sm_buf_slice(&der), &copy) : err;
    sm_buf_deinit(&der);
    SM_TRY(err);
    r->sans = sm_binary(copy);
    return SM_NO_ERR;
}

/* What the profile's templates may need of the certificate that is renewed. */
static sm_err take_metadata(sm_call *call, const Sealmill__V1__Approval *m,
                            Sealmill__V1__IssueRequest *out)
{
    sm_slice serial;
    struct sm_renewal_source *source = SM_ARENA_NEW(&call->arena, struct sm_renewal_source);
    if (source == NULL) {
        return SM_ERR(NO_MEMORY);
    }
    if (m->renews[0] == '\0') {
        return SM_NO_ERR;
    }
    SM_TRY(sm_serial_parse(m->renews, &call->arena, &serial, &call->diag));
    SM_TRY(sm_renewal_source_load(sm_api_store(sm_api_of(call->loop)), call->world, serial,
                                  &call->arena, source, &call->diag));
    out->metadata = source->request.metadata;
    out->n_metadata = source->request.n_metadata;
    return SM_NO_ERR;
}

/* As issuance will do it: what comes of the edit is shown, and what the profile does not allow is refused now. */
static sm_err try_edit(sm_call *call, struct sm_approval *a)
{
    Sealmill__V1__Approval *m = a->record->approval;
    const struct sm_profile *profile = sm_world_profile(call->world, m->profile);
    const struct sm_ca *ca = sm_world_ca(call->world, m->ca);
    const struct sm_ca_generation *g = ca == NULL ? NULL : sm_ca_current(ca);
    struct sm_csr *csr = SM_ARENA_NEW(&call->arena, struct sm_csr);
    struct sm_cert_params params = {.sans_critical = false};
    Sealmill__V1__IssueRequest request;
    if (profile == NULL || g == NULL || !sm_world_issues(ca, profile) || csr == NULL) {
        return csr == NULL ? SM_ERR(NO_MEMORY)
                           : sm_diag_set(&call->diag, SM_ERR(INVALID), "profile",
                                         "%.60s is not issued by %.60s", m->profile, m->ca);
    }
    const struct sm_csr_names names = {
        .has_subject = a->record->subject.len > 0,
        .has_sans = a->record->sans.len > 0,
        .subject = sm_slice_of(a->record->subject.data, a->record->subject.len),
        .sans = sm_slice_of(a->record->sans.data, a->record->sans.len),
    };
    struct sm_csr_names asked;
    sealmill__v1__issue_request__init(&request);
    request.validity_seconds = m->validity_seconds;
    SM_TRY(take_metadata(call, m, &request));
    SM_TRY(sm_csr_parse(sm_slice_of(m->csr.data, m->csr.len), csr, &call->diag));
    SM_TRY(sm_csr_read_names(csr, &call->arena, &asked, &call->diag));
    SM_TRY(sm_csr_set_names(csr, &asked, &call->diag));
    SM_TRY(sm_csr_set_names(csr, &names, &call->diag));
    const struct sm_profile_input input = {.csr = csr,
                                           .request = &request,
                                           .caller = m->requester,
                                           .now = sm_clock_wall_s(),
                                           .ca_not_before = g->cert.not_before,
                                           .ca_not_after = g->cert.not_after};
    SM_TRY(sm_profile_apply(profile, &input, &call->arena, &params, &call->diag));
    return sm_approval_describe(m, &params, &call->arena);
}

static sm_err edit(sm_call *call, const ProtobufCMessage *request, ProtobufCMessage **response)
{
    const Sealmill__V1__EditApprovalRequest *q =
        (const Sealmill__V1__EditApprovalRequest *)(const void *)request;
    struct sm_approval a;
    SM_TRY(load(call, q->id, &a));
    SM_TRY(check_decider(call, &a));
    SM_TRY(check_open(call, &a, false));
    Sealmill__V1__Approval *m = a.record->approval;
    if (q->validity_seconds < 0) {
        return sm_diag_set(&call->diag, SM_ERR(OUT_OF_RANGE), "validity_seconds", "it is negative");
    }
    if (q->profile[0] != '\0') {
        m->profile = q->profile;
        a.record->new_profile = true;
    }
    m->validity_seconds = q->validity_seconds == 0 ? m->validity_seconds : q->validity_seconds;
    m->edited = true;
    SM_TRY(edit_subject(call, q->subject, a.record));
    SM_TRY(edit_sans(call, q, a.record));
    SM_TRY(try_edit(call, &a));
    SM_TRY(sm_approval_write(sm_api_of(call->loop), &a, call->caller.name, "approval.edit",
                             call->correlation_id, &call->arena));
    SM_TRY(show(call, &a, true));
    *response = &m->base;
    return SM_NO_ERR;
}

#define READERS (SM_ROLE_ADMIN | SM_ROLE_OPERATOR | SM_ROLE_AUDITOR)
#define DECIDERS (SM_ROLE_ADMIN | SM_ROLE_OPERATOR)

const struct sm_method sm_approval_methods[] = {
    {.service = "sealmill.v1.ApprovalService",
     .name = "List",
     .request = &sealmill__v1__list_approvals_request__descriptor,
     .response = &sealmill__v1__list_approvals_response__descriptor,
     .roles = READERS,
     .http_method = "GET",
     .http_path = "/v1/approvals",
     .work = list},
    {.service = "sealmill.v1.ApprovalService",
     .name = "Get",
     .request = &sealmill__v1__get_approval_request__descriptor,
     .response = &sealmill__v1__approval__descriptor,
     .roles = READERS,
     .http_method = "GET",
     .http_path = "/v1/approvals/{id}",
     .work = get},
    {.service = "sealmill.v1.ApprovalService",
     .name = "Approve",
     .request = &sealmill__v1__approve_request__descriptor,
     .response = &sealmill__v1__approval__descriptor,
     .roles = DECIDERS,
     .http_method = "POST",
     .http_path = "/v1/approvals/{id}:approve",
     .body = true,
     .work = approve},
    {.service = "sealmill.v1.ApprovalService",
     .name = "Deny",
     .request = &sealmill__v1__deny_request__descriptor,
     .response = &sealmill__v1__approval__descriptor,
     .roles = DECIDERS,
     .http_method = "POST",
     .http_path = "/v1/approvals/{id}:deny",
     .body = true,
     .work = deny},
    {.service = "sealmill.v1.ApprovalService",
     .name = "Edit",
     .request = &sealmill__v1__edit_approval_request__descriptor,
     .response = &sealmill__v1__approval__descriptor,
     .roles = DECIDERS,
     .http_method = "POST",
     .http_path = "/v1/approvals/{id}:edit",
     .body = true,
     .work = edit},
};
const size_t sm_approval_method_count = SM_ARRAY_LEN(sm_approval_methods);
