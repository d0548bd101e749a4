/* SPDX-License-Identifier: Apache-2.0 */
#include "api/enrol.h"

#include "api/api_p.h"
#include "api/enrol_p.h"
#include "api/record.h"
#include "base/clock.h"
#include "base/log.h"

/* ---- the end ---- */

void sm_enrol_finish(sm_enrolment *e, sm_err err)
{
    e->err = err;
    if (!sm_ok(err)) {
        sm_log(SM_LOG_INFO, sm_err_is(err, SM_E_PENDING) ? "enrolment_waits" : "enrolment_refused",
               SM_KS("label", e->label->message->name), SM_KE("error", err),
               SM_KS("field", e->diag.field), SM_KS("reason", e->diag.reason), SM_KEND);
    }
    e->done(e);
}

static void run_deferred(sm_msg *msg)
{
    sm_enrolment *e = SM_CONTAINER_OF(msg, sm_enrolment, defer);
    sm_enrol_finish(e, e->err);
}

static void defer(sm_enrolment *e, sm_err err)
{
    e->err = err;
    e->defer.run = run_deferred;
    sm_mailbox_post(sm_api_loop_home(e->loop), &e->defer);
}

/* ---- issuance ---- */

/* A label whose CA or profile is not there, is disabled or does not fit is no fault of who asks: he may come again. */
static sm_err blame(const sm_issue *issue)
{
    bool before_request = issue->template == NULL;
    return before_request && sm_err_category(issue->err) == SM_INPUT ? SM_ERR(UNAVAILABLE)
                                                                     : issue->err;
}

void sm_enrol_finish_issued(sm_enrolment *e, const sm_issue *issue)
{
    e->diag = issue->diag;
    e->response = &issue->response;
    e->retry_after_s = issue->retry_after_s;
    sm_enrol_finish(e, blame(issue));
}

static sm_err use_otp(sm_issue *issue, struct sm_store_cond *cond, struct sm_store_put *put)
{
    sm_enrolment *e = issue->ctx;
    return sm_otp_use(&e->otp, e->csr_sha256, sm_slice_of(issue->serial, SM_SERIAL_LEN), e->arena,
                      cond, put);
}

/* Another CA of the group takes the request over. */
static bool fails_over(sm_enrolment *e, sm_err err)
{
    struct sm_ca_group *group = e->label->group;
    if (group == NULL || e->member < 0 ||
        !sm_ca_group_tell(group, e->member, err, sm_clock_mono_ns() - e->started_ns)) {
        return false;
    }
    e->tried |= 1U << (unsigned)e->member;
    return sm_ca_group_look(group, e->world, e->tried) >= 0;
}

static void run_again(sm_msg *msg)
{
    sm_enrol_issue(SM_CONTAINER_OF(msg, sm_enrolment, defer));
}

static void on_issued(sm_issue *issue)
{
    sm_enrolment *e = issue->ctx;
    if (fails_over(e, issue->err)) {
        e->defer.run = run_again; /* not within the issuance that ends here */
        sm_mailbox_post(sm_api_loop_home(e->loop), &e->defer);
        return;
    }
    if (issue->added_failed && e->tries < SM_ENROL_TRIES) {
        sm_enrol_look_again(e); /* another request used the password: which one? */
        return;
    }
    sm_enrol_finish_issued(e, issue);
}

/* A profile that is not there is issuance's to refuse. A person's word counts more than the label's. */
static int64_t validity_of(const sm_enrolment *e)
{
    const struct sm_profile *p = sm_world_profile(e->world, e->request.profile);
    if (e->approval.record != NULL && e->approval.record->approval->validity_seconds != 0) {
        return e->approval.record->approval->validity_seconds;
    }
    return p == NULL ? 0
                     : sm_label_rules_validity(&e->label->rules, p, e->request.validity_seconds);
}

/* Where none can, the first one says why. What a person has approved is of the CA that he saw. */
static void choose_member(sm_enrolment *e, bool dry_run)
{
    struct sm_ca_group *group = e->label->group;
    e->member = group == NULL || e->approval.record != NULL ? -1
                : dry_run ? sm_ca_group_look(group, e->world, e->tried)
                          : sm_ca_group_choose(group, e->world, e->tried);
    if (e->member >= 0) {
        e->request.ca = e->label->cas[e->member];
    } else if (e->approval.record != NULL) {
        e->request.ca = e->approval.record->approval->ca;
    }
    e->started_ns = sm_clock_mono_ns();
}

static void make_request(sm_enrolment *e, bool dry_run)
{
    if (!e->again) {
        sealmill__v1__issue_request__init(&e->request);
        e->request.ca = e->label->cas[0];
        e->request.profile = e->label->grant.profiles[0];
    } else {
        e->request = e->source.request;
    }
    choose_member(e, dry_run);
    if (e->approval.record != NULL) {
        e->request.profile = e->approval.record->approval->profile;
    }
    e->request.csr = sm_binary(e->csr);
    e->request.validity_seconds = validity_of(e);
}

static void submit(sm_enrolment *e, bool dry_run, bool without_proof, void (*done)(sm_issue *issue))
{
    make_request(e, dry_run);
    e->issue = (sm_issue){.loop = e->loop,
                          .arena = e->arena,
                          .request = &e->request,
                          .caller = &e->caller,
                          .correlation_id = sm_http_correlation_id(e->x),
                          .renewed = e->again ? &e->source.old : NULL,
                          .revoke_renewed = e->again && e->label->message->revoke_renewed,
                          .dry_run = dry_run,
                          .without_proof = without_proof,
                          .examine = sm_enrol_examine,
                          .add = e->approval.record != NULL ? sm_enrol_use_approval
                                 : e->by_otp                ? use_otp
                                                            : NULL,
                          .done = done,
                          .ctx = e};
    sm_issue_start(&e->issue);
}

void sm_enrol_submit(sm_enrolment *e, bool dry_run, void (*done)(sm_issue *issue))
{
    submit(e, dry_run, false, done);
}

void sm_enrol_try(sm_enrolment *e, void (*done)(sm_issue *issue))
{
    submit(e, true, true, done);
}

void sm_enrol_issue(sm_enrolment *e)
{
    if (e->authenticate_only) {
        sm_enrol_finish(e, SM_NO_ERR); /* it was about who asks */
    } else if (sm_enrol_wants_approval(e)) {
        sm_enrol_ask(e);
    } else {
        sm_enrol_submit(e, false, on_issued);
    }
}

/* ---- who asks: what needs no store ---- */

static void take_label_rights(sm_enrolment *e)
{
    e->caller.grants = e->label->grants;
    e->caller.grant_count = 1;
}

static sm_err refuse_peer(sm_enrolment *e, const char *otherwise)
{
    return sm_diag_set(&e->diag, SM_ERR(FORBIDDEN), "client certificate", "%s",
                       e->peer.reason != NULL ? e->peer.reason : otherwise);
}

/* For every CA that may issue by it. */
static bool has_rights(const struct sm_caller *caller, const struct sm_label *l)
{
    bool all = true;
    for (size_t i = 0; i < l->ca_count; i++) {
        all = all && sm_ok(sm_caller_require_ra(caller, l->cas[i], l->message->profile, NULL));
    }
    return all;
}

/* A certificate that may enrol by itself. */
static bool peer_suffices(sm_enrolment *e)
{
    const struct sm_label *l = e->label;
    if ((e->access->auth & SM_LABEL_CERTIFICATE) != 0 && e->peer.kind == SM_PEER_OWN &&
        !e->peer.expired && has_rights(&e->peer.caller, l)) {
        e->caller = e->peer.caller;
        return true;
    }
    if ((e->access->auth & SM_LABEL_DEVICE) != 0 && e->peer.kind == SM_PEER_DEVICE) {
        e->caller = e->peer.caller;
        take_label_rights(e);
        return true;
    }
    return false;
}

/* Bearer: a token with the ra role. */
static sm_err by_token(sm_enrolment *e, sm_slice authorization)
{
    const struct sm_credentials credentials = {.authorization = authorization};
    const Sealmill__Config__V1__Label *m = e->label->message;
    if ((e->access->auth & SM_LABEL_TOKEN) == 0) {
        return sm_diag_set(&e->diag, SM_ERR(UNAUTHENTICATED), "authorization",
                           "bearer tokens are not taken here");
    }
    SM_TRY(sm_caller_identify(e->world, &credentials, e->arena, &e->caller, &e->diag));
    for (size_t i = 0; i < e->label->ca_count; i++) {
        SM_TRY(sm_caller_require_ra(&e->caller, e->label->cas[i], m->profile, &e->diag));
    }
    return SM_NO_ERR;
}

bool sm_enrol_is_scheme(sm_slice authorization, sm_slice scheme)
{
    return sm_slice_equal_nocase(sm_slice_first(authorization, sm_slice_find(authorization, ' ')),
                                 scheme);
}

/* Sets `*later` when a service thread has to look. */
static sm_err authenticate_new(sm_enrolment *e, bool *later)
{
    sm_slice authorization = e->authorization;
    if (e->access->certificates == SM_LABEL_CERT_REQUIRED &&
        (e->peer.kind == SM_PEER_NONE || e->peer.expired)) {
        return refuse_peer(e, "a client certificate is wanted");
    }
    if (peer_suffices(e)) {
        return SM_NO_ERR;
    }
    e->scheme_helps = (e->access->auth &
                       (SM_LABEL_NEGOTIATE | SM_LABEL_OTP | SM_LABEL_USER | SM_LABEL_TOKEN)) != 0;
    if (authorization.len == 0) {
        return e->scheme_helps
                   ? sm_diag_set(&e->diag, SM_ERR(UNAUTHENTICATED), "authorization",
                                 "credentials are wanted")
                   : refuse_peer(e, "a client certificate with the right to enrol is wanted");
    }
    if (sm_enrol_is_scheme(authorization, SM_LIT("negotiate"))) {
        *later = true;
        return sm_enrol_prepare_negotiate(e);
    }
    if (sm_enrol_is_scheme(authorization, SM_LIT("basic"))) {
        *later = true;
        return SM_NO_ERR;
    }
    return by_token(e, authorization);
}

/* The certificate in memory of our own: the connection, which has it, may end while a service thread looks. */
static sm_err keep_peer(sm_enrolment *e)
{
    sm_slice der;
    SM_TRY(sm_arena_copy(e->arena, e->peer.cert.der, &der));
    return sm_cert_parse(der, &e->peer.cert, &e->diag);
}

/* A re-enrolment is of the client certificate, whatever else is shown. */
static sm_err authenticate_again(sm_enrolment *e)
{
    if (e->peer.kind != SM_PEER_OWN) {
        return refuse_peer(e, "re-enrolment needs the client certificate that it renews");
    }
    if (e->label->renewal_window_s > 0 &&
        e->peer.cert.not_after - e->label->renewal_window_s > sm_clock_wall_s()) {
        return sm_diag_set(&e->diag, SM_ERR(POLICY), "client certificate",
                           "it is too early to renew it");
    }
    e->caller = e->peer.caller;
    take_label_rights(e);
    return keep_peer(e);
}

static sm_err authenticate(sm_enrolment *e, bool *later)
{
    sm_api *api = sm_api_of(e->loop);
    e->peer = (struct sm_peer){.kind = SM_PEER_NONE};
    if (e->access->certificates != SM_LABEL_CERT_NONE || e->again) {
        SM_TRY(sm_peer_identify(e->x, e->world, e->label, sm_api_store(api),
                                sm_api_state_changes(api), e->arena, &e->peer));
    }
    e->authorization = sm_http_header_get(e->x, SM_LIT("authorization"));
    SM_TRY(sm_arena_copy(e->arena, sm_http_peer(e->x), &e->address));
    *later = e->again;
    return e->again ? authenticate_again(e) : authenticate_new(e, later);
}

static void start(sm_enrolment *e)
{
    bool later = false;
    e->by_otp = false;
    e->tries = 0;
    e->tried = 0;
    e->member = -1;
    e->scheme_helps = false;
    e->retry_after_s = 0;
    e->response = NULL;
    e->challenge = NULL;
    e->otp = (struct sm_otp_found){.record = NULL};
    e->approval_id = SM_SLICE_NONE;
    e->approval = (struct sm_approval){.record = NULL};
    sm_diag_clear(&e->diag);
    sm_err err = authenticate(e, &later);
    if (!sm_ok(err)) {
        defer(e, err);
    } else if (later) {
        sm_enrol_look(e);
    } else if (e->authenticate_only) {
        defer(e, SM_NO_ERR);
    } else {
        sm_enrol_issue(e);
    }
}

static void start_with_csr(sm_enrolment *e)
{
    uint8_t digest[SM_DIGEST_MAX];
    if (!sm_ok(sm_digest_compute(SM_SHA256, e->csr, digest)) ||
        !sm_ok(sm_arena_copy(e->arena, sm_slice_of(digest, 32), &e->csr_sha256))) {
        defer(e, SM_ERR(NO_MEMORY));
        return;
    }
    start(e);
}

void sm_enrol_start(sm_enrolment *e)
{
    e->authenticate_only = false;
    start_with_csr(e);
}

void sm_enrol_authenticate_for(sm_enrolment *e, sm_slice csr)
{
    e->csr = csr;
    e->again = false;
    e->authenticate_only = true;
    start_with_csr(e);
}

void sm_enrol_authenticate(sm_enrolment *e)
{
    e->authenticate_only = true;
    e->csr = SM_SLICE_NONE;
    e->csr_sha256 = SM_SLICE_NONE;
    e->again = false;
    start(e);
}
