/* SPDX-License-Identifier: Apache-2.0 */
#include "api/issue_ocsp.h"

#include "api/api_p.h"
#include "api/crl_partition.h"
#include "api/ocsp_presign.h"
#include "base/clock.h"

struct sm_issue_ocsp {
    void (*on_each)(sm_issue *issue);
    sm_ocsp_presign first; /* about the new certificate */
    bool has_first;
    uint64_t epoch;            /* of the memory, before the write */
    struct sm_ocsp_change old; /* about the one that is revoked */
    bool has_old;
};

static void on_signed(sm_ocsp_presign *p)
{
    sm_issue *issue = p->ctx;
    issue->ocsp->on_each(issue);
}

static bool start_one(sm_issue *issue, sm_ocsp_presign *p)
{
    p->done = on_signed;
    p->ctx = issue;
    p->err = p->signer == NULL ? SM_ERR(UNAVAILABLE)
                               : sm_ocsp_presign_start(p, sm_api_loop_batcher(issue->loop),
                                                       issue->caller->number);
    issue->signing += sm_ok(p->err) ? 1 : 0;
    return sm_ok(p->err);
}

static void start_first(sm_issue *issue, const struct sm_ca_generation *g)
{
    struct sm_issue_ocsp *o = issue->ocsp;
    int64_t now = sm_clock_wall_s();
    const struct sm_ocsp_signer *signer = sm_ocsp_current_signer(g->ocsp, now);
    o->first = (sm_ocsp_presign){
        .responder = g->ocsp,
        .signer = signer,
        .key = {g->ca_id, g->number, SM_OCSP_SHA1, sm_slice_of(issue->serial, SM_SERIAL_LEN)},
        .said = {.status = SM_OCSP_GOOD, .reason = -1},
        .not_after = issue->params.not_after,
        .arena = issue->arena,
    };
    if (signer != NULL) {
        sm_ocsp_times(g->ocsp, signer, now, &o->first.said);
    }
    o->has_first = start_one(issue, &o->first);
}

static void start_old(sm_issue *issue)
{
    struct sm_issue_ocsp *o = issue->ocsp;
    const struct sm_renewed *old = issue->renewed;
    const struct sm_ca *ca = sm_world_ca_by_id(issue->world, old->ca_id);
    const struct sm_ca_generation *g = ca == NULL ? NULL : sm_ca_generation(ca, old->generation);
    o->has_old = true;
    issue->revoked_at = sm_clock_wall_s();
    sm_ocsp_change_init(&o->old, g == NULL ? NULL : g->ocsp, old->ca_id, old->generation,
                        old->serial, old->cert->not_after, SM_OCSP_REVOKED, issue->revoked_at,
                        SEALMILL__V1__REVOCATION_REASON__REVOCATION_REASON_SUPERSEDED,
                        issue->arena);
    for (int i = 0; i < SM_OCSP_HASHES; i++) {
        (void)start_one(issue, &o->old.answers[i]);
    }
}

void sm_issue_ocsp_start(sm_issue *issue, void (*on_each)(sm_issue *issue))
{
    const struct sm_ca_generation *g = sm_ca_current(issue->ca);
    bool eager = g->ocsp != NULL && g->ocsp->rules.eager;
    bool revokes = issue->renewed != NULL && issue->revoke_renewed;
    if (!eager && !revokes) {
        return;
    }
    issue->ocsp = SM_ARENA_NEW(issue->arena, struct sm_issue_ocsp);
    if (issue->ocsp == NULL) {
        return; /* the arena is full: the write will say so */
    }
    issue->ocsp->on_each = on_each;
    if (eager) {
        start_first(issue, g);
    }
    if (revokes) {
        start_old(issue);
    }
}

static bool is_signed(const sm_ocsp_presign *answers)
{
    bool all = true;
    for (int i = 0; i < SM_OCSP_HASHES; i++) {
        all = all && sm_ok(answers[i].err);
    }
    return all;
}

sm_err sm_issue_ocsp_puts(sm_issue *issue)
{
    struct sm_issue_ocsp *o = issue->ocsp;
    bool revokes = issue->renewed != NULL && issue->revoke_renewed;
    if (o == NULL) {
        return revokes ? SM_ERR(NO_MEMORY) : SM_NO_ERR;
    }
    const struct sm_ocsp_responder *responder = sm_ca_current(issue->ca)->ocsp;
    bool wanted = responder != NULL && responder->rules.eager;
    o->has_first = o->has_first && sm_ok(o->first.err);
    if (wanted && !o->has_first && sm_api_of(issue->loop)->ocsp_refresh != NULL) {
        sm_ocsp_refresh_missing(sm_api_of(issue->loop)->ocsp_refresh);
    }
    if (o->has_first) {
        o->epoch = sm_ocsp_cache_epoch(sm_api_of(issue->loop)->ocsp_cache, o->first.signer);
        SM_TRY(sm_ocsp_presign_put(&o->first, &issue->puts[issue->write.put_count++]));
    }
    if (o->has_old) {
        const struct sm_renewed *old = issue->renewed;
        const struct sm_crl_entry entry = {
            SM_CRL_REVOKED, SEALMILL__V1__REVOCATION_REASON__REVOCATION_REASON_SUPERSEDED,
            issue->revoked_at, 0, old->cert->not_after};
        const struct sm_ca *ca = sm_world_ca_by_id(issue->world, old->ca_id);
        const struct sm_crl_scope scope = {
            old->ca_id, old->generation,
            ca == NULL ? 0 : sm_crl_partition_of(old->cert, ca->name, old->generation)};
        SM_TRY(sm_crl_entry_put(&scope, old->serial, &entry, issue->arena,
                                &issue->puts[issue->write.put_count], &issue->write.put_count));
        o->old.is_signed = is_signed(o->old.answers);
        SM_TRY(sm_ocsp_change_puts(&o->old, sm_api_of(issue->loop)->ocsp_cache));
        for (int i = 0; i < SM_OCSP_HASHES; i++) {
            issue->puts[issue->write.put_count++] = o->old.puts[i];
        }
    }
    return SM_NO_ERR;
}

void sm_issue_ocsp_written(sm_issue *issue)
{
    struct sm_issue_ocsp *o = issue->ocsp;
    sm_ocsp_cache *cache = sm_api_of(issue->loop)->ocsp_cache;
    const struct sm_ca_generation *g = sm_ca_current(issue->ca);
    sm_ocsp_cache_issued(cache, g->ca_id, g->number, sm_slice_of(issue->serial, SM_SERIAL_LEN));
    if (o != NULL && o->has_first) {
        /* Who reads the log knows the serial number before this comes, and may have revoked it. */
        sm_ocsp_cache_put(cache, o->first.signer, &o->first.key, &o->first.kept, o->epoch);
    }
    if (o != NULL && o->has_old) {
        sm_ocsp_change_apply(&o->old, cache);
    }
}
