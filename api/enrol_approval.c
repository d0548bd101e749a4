/* SPDX-License-Identifier: Apache-2.0 */
/* Enrolment: requests that wait for a person. */
#include "api/api_p.h"
#include "api/enrol_p.h"
#include "api/record.h"
#include "base/text.h"
#include "sign/csr_attributes.h"
#include "sign/sha.h"

/* One that began to wait goes on to, whatever its label has become. */
bool sm_enrol_wants_approval(const sm_enrolment *e)
{
    const struct sm_approval_rules *rules = &e->label->approval;
    return (rules->used && (!e->again || rules->reenroll)) ||
           (e->by_otp && e->otp.approval.len > 0);
}

/* ---- how it ends ---- */

static void finish_waiting(sm_enrolment *e)
{
    char shown[2 * SM_APPROVAL_ID_LEN + 1];
    e->retry_after_s = sm_approval_retry_s(&e->label->approval);
    sm_diag_clear(&e->diag);
    sm_enrol_finish(e, sm_diag_set(&e->diag, SM_ERR(PENDING), "",
                                   "the request waits for approval as %s",
                                   sm_hex_format(e->approval_id, shown)));
}

/* 403: no other credentials would help. */
static void finish_refused(sm_enrolment *e, const struct sm_approval *a)
{
    const char *reason = a->record->approval->reason;
    char shown[SM_APPROVAL_REASON_MAX];
    e->scheme_helps = false;
    if (a->state == SEALMILL__V1__APPROVAL_STATE__APPROVAL_STATE_DENIED) {
        sm_enrol_finish(e, sm_diag_set(&e->diag, SM_ERR(FORBIDDEN), "",
                                       "the request was denied%s%s", reason[0] == '\0' ? "" : ": ",
                                       sm_diag_escape(sm_slice_str(reason), shown, sizeof(shown))));
        return;
    }
    sm_enrol_finish(e, sm_diag_set(&e->diag, SM_ERR(FORBIDDEN), "",
                                   "the time for the request's approval is over"));
}

/* ---- a new request ---- */

static sm_err describe(sm_enrolment *e, Sealmill__V1__Approval *a)
{
    uint8_t digest[SM_DIGEST_MAX];
    const struct sm_public_key *key = &e->issue.csr.key;
    sealmill__v1__approval__init(a);
    SM_TRY(sm_digest_compute(SM_SHA256, key->spki, digest));
    SM_TRY(sm_approval_describe(a, &e->issue.params, e->arena));
    a->label = e->label->message->name;
    a->ca = e->request.ca;
    a->profile = e->request.profile;
    a->requester = sm_text(e->arena, sm_slice_str(e->caller.name));
    a->address = sm_text(e->arena, sm_enrol_address(e));
    a->validity_seconds = e->request.validity_seconds;
    a->key_type = (Sealmill__V1__KeyType)key->type;
    a->key_sha256 = sm_approval_id_text(sm_slice_of(digest, 32), e->arena);
    a->renews = e->again ? sm_approval_id_text(e->source.old.serial, e->arena) : a->renews;
    a->csr = sm_binary(e->csr);
    return a->key_sha256 == NULL || a->renews == NULL ? SM_ERR(NO_MEMORY) : SM_NO_ERR;
}

/* The password is used by the request that begins to wait, in its write. */
static sm_err keep(sm_enrolment *e)
{
    Sealmill__V1__Approval a;
    struct sm_approval_beside otp;
    SM_TRY(describe(e, &a));
    if (e->by_otp) {
        SM_TRY(sm_otp_use_for_approval(&e->otp, e->csr_sha256, e->approval_id, e->arena, &otp.cond,
                                       &otp.put));
    }
    return sm_approval_request(sm_api_of(e->loop), &e->label->approval, e->approval_id, &a,
                               e->by_otp ? &otp : NULL, e->issue.correlation_id, e->arena,
                               &e->diag);
}

static void keep_work(sm_errand *errand)
{
    sm_enrolment *e = SM_CONTAINER_OF(errand, sm_enrolment, errand);
    e->err = keep(e);
}

static void keep_done(sm_errand *errand)
{
    sm_enrolment *e = SM_CONTAINER_OF(errand, sm_enrolment, errand);
    bool raced = sm_err_is(e->err, SM_E_EXISTS) || sm_err_is(e->err, SM_E_CONFLICT);
    e->loop->errands--;
    if (raced && e->tries < SM_ENROL_TRIES && e->by_otp) {
        sm_enrol_look_again(e); /* another request used the password, or this very one came twice */
    } else if (raced && e->tries < SM_ENROL_TRIES) {
        sm_enrol_ask(e);
    } else if (sm_ok(e->err)) {
        finish_waiting(e);
    } else {
        e->retry_after_s = sm_approval_retry_s(&e->label->approval); /* of a full queue */
        sm_enrol_finish(e, e->err);
    }
}

static void run(sm_enrolment *e, void (*work)(sm_errand *errand), void (*done)(sm_errand *errand))
{
    e->errand.work = work;
    e->errand.done = done;
    e->loop->errands++;
    sm_errand_run(sm_api_of(e->loop), sm_api_loop_home(e->loop), &e->errand);
}

/* It could be issued as it is: then a person may see it. */
static void on_checked(sm_issue *issue)
{
    sm_enrolment *e = issue->ctx;
    if (sm_ok(issue->err)) {
        run(e, keep_work, keep_done);
    } else {
        sm_enrol_finish_issued(e, issue);
    }
}

/* ---- one that was approved ---- */

sm_err sm_enrol_use_approval(sm_issue *issue, struct sm_store_cond *cond, struct sm_store_put *put)
{
    const sm_enrolment *e = issue->ctx;
    return sm_approval_use(&e->approval, sm_slice_of(issue->serial, SM_SERIAL_LEN), e->arena, cond,
                           put);
}

sm_err sm_enrol_set_approved_names(sm_issue *issue)
{
    const sm_enrolment *e = issue->ctx;
    const Sealmill__Record__V1__ApprovalRecord *r = e->approval.record;
    const struct sm_csr_names names = {
        .has_subject = r->subject.len > 0,
        .has_sans = r->sans.len > 0,
        .subject = sm_slice_of(r->subject.data, r->subject.len),
        .sans = sm_slice_of(r->sans.data, r->sans.len),
    };
    issue->renames = issue->renames || names.has_subject || names.has_sans;
    return sm_csr_set_names(&issue->csr, &names, &issue->diag);
}

void sm_enrol_on_approved(sm_issue *issue)
{
    sm_enrolment *e = issue->ctx;
    if (issue->added_failed && e->tries < SM_ENROL_TRIES) {
        sm_enrol_ask(e); /* it was issued, or denied, a moment ago */
        return;
    }
    if (sm_ok(issue->err)) {
        sm_approval_count_issued();
    }
    sm_enrol_finish_issued(e, issue);
}

/* Another profile was given by someone with the right to; who asks has it from him. */
static void issue_approved(sm_enrolment *e)
{
    Sealmill__Record__V1__ApprovalRecord *r = e->approval.record;
    if (r->new_profile) {
        sealmill__v1__grant__init(&e->approved_grant);
        e->approved_grant.role = SEALMILL__V1__ROLE__ROLE_RA;
        e->approved_grant.cas = &r->approval->ca;
        e->approved_grant.n_cas = 1;
        e->approved_grant.profiles = &r->approval->profile;
        e->approved_grant.n_profiles = 1;
        e->approved_grants[0] = &e->approved_grant;
        e->caller.grants = e->approved_grants;
        e->caller.grant_count = 1;
    }
    sm_enrol_submit(e, false, sm_enrol_on_approved);
}

/* ---- what became of it ---- */

static sm_err find(sm_enrolment *e)
{
    const struct sm_approval_claim claim = {
        .label = e->label->message->name,
        .requester = e->caller.name,
        .renews = e->again ? e->source.old.serial : SM_SLICE_NONE,
        .csr = e->csr,
    };
    struct sm_approval *a = &e->approval;
    SM_TRY(sm_approval_id(&claim, e->arena, &e->approval_id));
    SM_TRY(sm_approval_load(sm_api_store(sm_api_of(e->loop)), e->approval_id, e->arena, a));
    if (a->state != SEALMILL__V1__APPROVAL_STATE__APPROVAL_STATE_ISSUED) {
        return SM_NO_ERR;
    }
    sm_slice serial;
    SM_TRY(sm_serial_parse(a->record->approval->serial, e->arena, &serial, &e->diag));
    return sm_enrol_repeat(e, serial);
}

static void find_work(sm_errand *errand)
{
    sm_enrolment *e = SM_CONTAINER_OF(errand, sm_enrolment, errand);
    e->approval.record = NULL;
    e->err = find(e);
}

static void find_done(sm_errand *errand)
{
    sm_enrolment *e = SM_CONTAINER_OF(errand, sm_enrolment, errand);
    const struct sm_approval *a = &e->approval;
    e->loop->errands--;
    if (sm_err_is(e->err, SM_E_NOT_FOUND) && a->record == NULL && e->otp.approval.len == 0) {
        sm_enrol_submit(e, true, on_checked);
    } else if (sm_err_is(e->err, SM_E_NOT_FOUND) && a->record == NULL) {
        sm_enrol_finish(e, sm_diag_set(&e->diag, SM_ERR(UNAUTHENTICATED), "authorization",
                                       "the one-time password was used, and by whom is forgotten"));
    } else if (!sm_ok(e->err) || e->response != NULL) {
        sm_enrol_finish(e, e->err);
    } else if (a->state == SEALMILL__V1__APPROVAL_STATE__APPROVAL_STATE_PENDING) {
        finish_waiting(e);
    } else if (a->state == SEALMILL__V1__APPROVAL_STATE__APPROVAL_STATE_APPROVED) {
        issue_approved(e);
    } else {
        finish_refused(e, a);
    }
}

void sm_enrol_ask(sm_enrolment *e)
{
    e->tries++;
    sm_diag_clear(&e->diag);
    run(e, find_work, find_done);
}
