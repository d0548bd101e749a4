/* SPDX-License-Identifier: Apache-2.0 */
#include "api/issue.h"

#include "api/api_p.h"
#include "api/crl_partition.h"
#include "api/issue_ocsp.h"
#include "api/issue_p.h"
#include "api/record.h"
#include "api/same_names.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/text.h"
#include "sign/oids.h"

#include <limits.h>

/* Kept with every certificate for as long as it is: 32 KiB and their names at the most. */
#define METADATA_MAX 32
#define METADATA_VALUE_MAX 1024
#define IDEMPOTENCY_KEY_MAX 64 /* a UUID, or a hash in hexadecimal */

static void run_deferred(sm_msg *msg)
{
    sm_issue *issue = SM_CONTAINER_OF(msg, sm_issue, defer);
    sm_issue_complete(issue);
}

/* Ends it on the next turn: done never runs inside start. */
static void defer(sm_issue *issue, sm_err err)
{
    issue->err = err;
    issue->defer.run = run_deferred;
    sm_mailbox_post(sm_api_loop_home(issue->loop), &issue->defer);
}

static void finish(sm_issue *issue, sm_err err)
{
    issue->err = err;
    sm_issue_complete(issue);
}

/* ---- who, where, by which rules ---- */

static sm_err choose_profile(sm_issue *issue)
{
    const char *name = issue->request->profile;
    if (name[0] == '\0') {
        if (issue->world->profile_count != 1) {
            return sm_diag_set(&issue->diag, SM_ERR(INVALID), "profile",
                               "it is needed: there are %zu profiles", issue->world->profile_count);
        }
        issue->profile = &issue->world->profiles[0];
        return SM_NO_ERR;
    }
    issue->profile = sm_world_profile(issue->world, name);
    return issue->profile != NULL ? SM_NO_ERR
                                  : sm_diag_set(&issue->diag, SM_ERR(NOT_FOUND), "profile",
                                                "there is no profile %.60s", name);
}

/* The CA named, or the only active one with a template for the profile that is no root. */
static sm_err choose_ca(sm_issue *issue)
{
    const char *name = issue->request->ca;
    if (name[0] != '\0') {
        issue->ca = sm_world_ca(issue->world, name);
        return issue->ca != NULL ? SM_NO_ERR
                                 : sm_diag_set(&issue->diag, SM_ERR(NOT_FOUND), "ca",
                                               "there is no CA %.60s", name);
    }
    bool several;
    issue->ca = sm_world_sole_ca(issue->world, issue->profile, &several);
    if (several) {
        return sm_diag_set(&issue->diag, SM_ERR(INVALID), "ca",
                           "it is needed: several CAs issue this profile");
    }
    return issue->ca != NULL
               ? SM_NO_ERR
               : sm_diag_set(&issue->diag, SM_ERR(NOT_FOUND), "ca", "no CA issues this profile");
}

static sm_err check_ca(sm_issue *issue)
{
    const struct sm_ca_generation *g = sm_ca_current(issue->ca);
    if (!issue->ca->active || g == NULL || g->cert.der.len == 0) {
        return sm_diag_set(&issue->diag, SM_ERR(PRECONDITION), "ca",
                           "%s is disabled, or waits for its certificate", issue->ca->name);
    }
    if (g->key == NULL) {
        return sm_diag_set(&issue->diag, SM_ERR(UNAVAILABLE), "ca", "the key of %s is not at hand",
                           issue->ca->name);
    }
    sm_err err = sm_world_template(issue->world, issue->ca, issue->profile, &issue->template);
    return sm_err_is(err, SM_E_POLICY)
               ? sm_diag_set(&issue->diag, err, "profile", "%s is not issued by %s",
                             issue->profile->message->name, issue->ca->name)
               : err;
}

static sm_err check_request(sm_issue *issue)
{
    const Sealmill__V1__IssueRequest *r = issue->request;
    if (r->n_metadata > METADATA_MAX) {
        return sm_diag_set(&issue->diag, SM_ERR(TOO_LARGE), "metadata", "more than %d entries",
                           METADATA_MAX);
    }
    for (size_t i = 0; i < r->n_metadata; i++) {
        if (strlen(r->metadata[i]->key) > 64 ||
            strlen(r->metadata[i]->value) > METADATA_VALUE_MAX) {
            return sm_diag_set(&issue->diag, SM_ERR(TOO_LARGE), "metadata",
                               "keys have at most 64 octets, values %d", METADATA_VALUE_MAX);
        }
    }
    if (strlen(r->idempotency_key) > IDEMPOTENCY_KEY_MAX) {
        return sm_diag_set(&issue->diag, SM_ERR(TOO_LARGE), "idempotency_key",
                           "more than %d octets", IDEMPOTENCY_KEY_MAX);
    }
    return SM_NO_ERR;
}

/* A clock that jumped back would give certificates wrong dates, and OCSP stale answers. */
static sm_err check_clock(sm_issue *issue, int64_t now_ms)
{
    sm_api *api = sm_api_of(issue->loop);
    int64_t last = atomic_load_explicit(&api->last_issue_ms, memory_order_relaxed);
    if (now_ms + SM_CLOCK_BACK_MAX_MS < last) {
        return sm_diag_set(&issue->diag, SM_ERR(CLOCK), "",
                           "the clock ran %lld s backwards: nothing is issued until it is right",
                           (long long)((last - now_ms) / 1000));
    }
    if (now_ms > last) {
        atomic_store_explicit(&api->last_issue_ms, now_ms, memory_order_relaxed);
    }
    return SM_NO_ERR;
}

static sm_err parse_csr(sm_issue *issue)
{
    sm_buf scratch = sm_buf_init(SM_CSR_MAX);
    sm_slice in = sm_slice_of(issue->request->csr.data, issue->request->csr.len);
    sm_slice der;
    sm_err err = sm_csr_from_pem_or_der(in, &scratch, &der, &issue->diag);
    if (sm_ok(err) && der.ptr != in.ptr) {
        err = sm_arena_copy(issue->arena, der, &der);
    }
    sm_buf_deinit(&scratch);
    SM_TRY(err);
    SM_TRY(sm_csr_parse(der, &issue->csr, &issue->diag));
    bool denied;
    SM_TRY(sm_denied_keys_find(&issue->world->denied, issue->csr.key.spki, &denied));
    return denied ? sm_diag_set(&issue->diag, SM_ERR(POLICY), "csr.key",
                                "this public key is denied: it is a CA's, or listed as compromised")
                  : SM_NO_ERR;
}

static sm_err apply_profile(sm_issue *issue)
{
    int64_t now_ms = sm_clock_wall_ms();
    SM_TRY(check_clock(issue, now_ms));
    const struct sm_ca_generation *g = sm_ca_current(issue->ca);
    const struct sm_profile_input input = {
        .csr = &issue->csr,
        .request = issue->request,
        .caller = issue->caller->name,
        .now = now_ms / 1000,
        .ca_not_before = g->cert.not_before,
        .ca_not_after = g->cert.not_after,
    };
    SM_TRY(sm_profile_apply(issue->profile, &input, issue->arena, &issue->params, &issue->diag));
    if (issue->renewed != NULL && !issue->renames) {
        const struct sm_cert_params *now = &issue->params;
        SM_TRY(sm_same_names_check(issue->renewed->cert, now->subject, now->sans, now->san_count,
                                   issue->arena, &issue->diag));
    }
    sm_serial_make(issue->serial);
    issue->params.serial = sm_slice_of(issue->serial, sizeof(issue->serial));
    issue->params.key = &issue->csr.key;
    return SM_NO_ERR;
}

static sm_err over_rate(sm_issue *issue, const char *whose, uint64_t wait_ns)
{
    const uint64_t wait_s = wait_ns / SM_NS_PER_S + 1;
    issue->retry_after_s = wait_s < UINT_MAX ? (unsigned)wait_s : UINT_MAX;
    return sm_diag_set(&issue->diag, SM_ERR(RATE_LIMITED), whose,
                       "its rate of certificates is used up: the next one in %llu s",
                       (unsigned long long)wait_s);
}

/* A client in a loop must not fill the store: limits.issue_per_caller and issue_per_subject. */
static sm_err check_caller_rate(sm_issue *issue)
{
    sm_api *api = sm_api_of(issue->loop);
    uint64_t wait;
    return sm_rate_table_take(&api->issue_rates, sm_slice_str(issue->caller->name),
                              &issue->world->per_caller, issue->start_ns, &wait)
               ? SM_NO_ERR
               : over_rate(issue, "caller", wait);
}

static sm_err check_subject_rate(sm_issue *issue)
{
    sm_api *api = sm_api_of(issue->loop);
    const struct sm_cert_params *p = &issue->params;
    uint64_t wait = 0;
    if (issue->world->per_subject.count == 0) {
        return SM_NO_ERR;
    }
    sm_buf key = sm_buf_init(SM_CERT_MAX);
    sm_buf_put_u32be(&key, issue->ca->id);
    sm_buf_put(&key, p->subject);
    for (size_t i = 0; i < p->san_count; i++) {
        sm_buf_put_byte(&key, (uint8_t)p->sans[i].kind);
        sm_buf_put(&key, p->sans[i].value);
    }
    sm_err err = sm_buf_err(&key);
    if (sm_ok(err) && !sm_rate_table_take(&api->issue_rates, sm_buf_slice(&key),
                                          &issue->world->per_subject, issue->start_ns, &wait)) {
        err = over_rate(issue, "subject", wait);
    }
    sm_buf_deinit(&key);
    return err;
}

static sm_err prepare(sm_issue *issue)
{
    if (issue->loop->pending >= issue->world->pending_max) {
        return sm_diag_set(&issue->diag, SM_ERR(QUEUE_FULL), "",
                           "%zu requests are under way: try again later", issue->loop->pending);
    }
    SM_TRY(check_request(issue));
    SM_TRY(choose_profile(issue));
    SM_TRY(choose_ca(issue));
    SM_TRY(sm_caller_require_ra(issue->caller, issue->ca->name, issue->profile->message->name,
                                &issue->diag));
    SM_TRY(check_ca(issue));
    SM_TRY(parse_csr(issue));
    if (issue->examine != NULL) {
        SM_TRY(issue->examine(issue));
    }
    SM_TRY(apply_profile(issue));
    if (issue->dry_run) {
        return SM_NO_ERR;
    }
    SM_TRY(check_subject_rate(issue));
    return check_caller_rate(issue);
}

/* ---- proof of possession, then the signature ---- */

/* One of the signatures is made, or is not to be had. The last one goes on. */
static void on_one_signed(sm_issue *issue)
{
    if (--issue->signing > 0) {
        return;
    }
    sm_issue_stage(issue, SM_STAGE_SIGN);
    sm_err err = issue->sign_err;
    if (sm_ok(err)) {
        err = sm_issue_commit(issue);
    }
    if (!sm_ok(err)) {
        finish(issue, err);
    }
}

/* A signature that was made is stored, cancelled or not: none leaves the key without a record. */
static void on_signed(sm_crypt_job *job)
{
    sm_issue *issue = SM_CONTAINER_OF(job, sm_issue, job);
    issue->sign_err = job->err;
    if (sm_ok(job->err)) {
        issue->sign_err = sm_signed_write(&issue->cert, sm_buf_slice(&issue->tbs), job->alg,
                                          sm_slice_of(job->out, job->out_len));
    }
    on_one_signed(issue);
}

static sm_err submit_signature(sm_issue *issue)
{
    if (issue->cancelled) {
        return SM_ERR(CANCELLED);
    }
    const struct sm_ca_generation *g = sm_ca_current(issue->ca);
    const sm_cert_template *t = issue->template;
    sm_slice slot = sm_cert_template_slot(t);
    if (slot.len > 0) {
        SM_TRY(sm_crl_partition_fill(slot, issue->params.serial, issue->world->crl_partitions,
                                     issue->arena, &issue->params.slot));
    }
    SM_TRY(sm_cert_write_tbs(t, &issue->params, &issue->tbs));
    enum sm_sig_alg alg = sm_cert_template_sig_alg(t);
    size_t room = sm_sig_size_max(alg, sm_key_get_type(g->key));
    issue->job = (sm_crypt_job){
        .op = SM_CRYPT_SIGN,
        .alg = alg,
        .message = sm_buf_slice(&issue->tbs),
        .key = g->key, /* the world holds it */
        .out = sm_arena_alloc(issue->arena, room),
        .out_room = room,
        .caller = issue->caller->number,
        .done = on_signed,
    };
    if (issue->job.out == NULL) {
        return SM_ERR(NO_MEMORY);
    }
    SM_TRY(sm_batcher_submit(sm_api_loop_batcher(issue->loop), &issue->job));
    issue->signing = 1;
    sm_issue_ocsp_start(issue, on_one_signed);
    return SM_NO_ERR;
}

static void on_verified(sm_crypt_job *job)
{
    sm_issue *issue = SM_CONTAINER_OF(job, sm_issue, job);
    sm_issue_stage(issue, SM_STAGE_VERIFY);
    sm_err err = job->err;
    if (sm_err_is(err, SM_E_BAD_SIGNATURE)) {
        err = sm_diag_set(&issue->diag, err, "csr.signature",
                          "the proof of possession does not verify");
    }
    if (sm_ok(err) && !issue->dry_run) {
        err = submit_signature(issue);
    }
    if (!sm_ok(err) || issue->dry_run) {
        finish(issue, err);
    }
}

static sm_err submit_proof(sm_issue *issue)
{
    issue->job = (sm_crypt_job){
        .op = SM_CRYPT_VERIFY,
        .alg = issue->csr.sig_alg,
        .message = issue->csr.info,
        .public_key = &issue->csr.key,
        .signature = issue->csr.signature,
        .caller = issue->caller->number,
        .done = on_verified,
    };
    return sm_batcher_submit(sm_api_loop_batcher(issue->loop), &issue->job);
}

void sm_issue_start(sm_issue *issue)
{
    issue->world = sm_world_attach(sm_api_of(issue->loop));
    issue->ca = NULL;
    issue->profile = NULL;
    issue->tbs = sm_buf_init(SM_CERT_MAX);
    issue->cert = sm_buf_init(SM_CERT_MAX);
    issue->params = (struct sm_cert_params){.sans_critical = false};
    issue->diag.field[0] = '\0';
    issue->diag.reason[0] = '\0';
    issue->request_hash = SM_SLICE_NONE;
    issue->repeated = false;
    issue->added_failed = false;
    issue->renames = false;
    issue->signing = 0;
    issue->ocsp = NULL;
    issue->start_ns = sm_clock_mono_ns();
    issue->stage_ns = issue->start_ns;
    sealmill__v1__issue_response__init(&issue->response);
    sm_issue_register_metrics();
    sm_err err = prepare(issue);
    issue->loop->pending++;
    sm_issue_stage(issue, SM_STAGE_PARSE);
    bool ends = !sm_ok(err) || (issue->without_proof && issue->dry_run);
    if (!ends) {
        err = issue->without_proof ? submit_signature(issue) : submit_proof(issue);
    }
    if (ends || !sm_ok(err)) {
        defer(issue, err);
    }
}

void sm_issue_cancel(sm_issue *issue)
{
    issue->cancelled = true;
    sm_batcher_cancel(sm_api_loop_batcher(issue->loop), &issue->job);
}
