/* SPDX-License-Identifier: Apache-2.0 */
/* The durable write of a certificate, and what to do when one of its conditions fails. */
#include "api/api_p.h"
#include "api/indexer.h"
#include "api/issue_ocsp.h"
#include "api/issue_p.h"
#include "api/record.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/metrics.h"
#include "base/text.h"
#include "proto/message.h"

#include <stdio.h>
#include <stdlib.h>

#define IDEMPOTENCY_LIFE_S (24 * 3600)

static struct {
    sm_metric issued;
    sm_metric repeated;
    sm_metric refused[SM_INTERNAL + 1];
    sm_metric stages[SM_STAGE_COUNT];
} metrics;
static pthread_once_t metrics_once = PTHREAD_ONCE_INIT;

static void register_metrics(void)
{
    static const char *const stage_labels[SM_STAGE_COUNT] = {
        "stage=\"parse\"", "stage=\"verify\"", "stage=\"sign\"",
        "stage=\"store\"", "stage=\"total\"",
    };
    static const char *const reason_labels[SM_INTERNAL + 1] = {
        NULL,
        "reason=\"input\"",
        "reason=\"denied\"",
        "reason=\"busy\"",
        "reason=\"upstream\"",
        "reason=\"internal\"",
    };
    metrics.issued = sm_metric_register(SM_COUNTER, "sealmill_certificates_issued_total",
                                        "Certificates issued", NULL);
    metrics.repeated = sm_metric_register(SM_COUNTER, "sealmill_certificates_repeated_total",
                                          "Answers given again by their idempotency key", NULL);
    for (int i = SM_INPUT; i <= SM_INTERNAL; i++) {
        metrics.refused[i] = sm_metric_register(SM_COUNTER, "sealmill_certificates_refused_total",
                                                "Requests for certificates that were refused",
                                                reason_labels[i]);
    }
    for (int i = 0; i < SM_STAGE_COUNT; i++) {
        metrics.stages[i] = sm_metric_register(SM_HISTOGRAM, "sealmill_issue_seconds",
                                               "Time of issuance by stage", stage_labels[i]);
    }
}

void sm_issue_register_metrics(void)
{
    (void)pthread_once(&metrics_once, register_metrics);
}

void sm_issue_stage(sm_issue *issue, enum sm_issue_stage stage)
{
    uint64_t now = sm_clock_mono_ns();
    sm_metric_observe_ns(metrics.stages[stage], now - issue->stage_ns);
    issue->stage_ns = now;
}

/* ---- the answer ---- */

static sm_err fill_response(sm_issue *issue, const struct sm_ca_generation *g, sm_slice cert,
                            sm_slice serial, int64_t not_before, int64_t not_after)
{
    Sealmill__V1__IssueResponse *r = &issue->response;
    char *hex = sm_arena_alloc(issue->arena, 2 * serial.len + 1);
    r->chain = sm_arena_alloc(issue->arena, (g->chain_count + 1) * sizeof(*r->chain));
    if (hex == NULL || r->chain == NULL) {
        return SM_ERR(NO_MEMORY);
    }
    r->certificate = sm_binary(cert);
    r->serial = sm_hex_format(serial, hex);
    r->n_chain = 0;
    r->chain[r->n_chain++] = sm_binary(g->cert.der);
    for (size_t i = 0; i < g->chain_sent; i++) {
        r->chain[r->n_chain++] = sm_binary(g->chain[i]);
    }
    r->not_before = sm_timestamp(issue->arena, not_before);
    r->not_after = sm_timestamp(issue->arena, not_after);
    r->correlation_id = sm_text(issue->arena, issue->correlation_id);
    return SM_NO_ERR;
}

static void log_line(const sm_issue *issue)
{
    if (sm_ok(issue->err) && issue->dry_run) {
        return;
    }
    if (sm_ok(issue->err)) {
        sm_log(SM_LOG_DEBUG, issue->repeated ? "certificate_repeated" : "certificate_issued",
               SM_KS("serial", issue->response.serial), SM_KS("ca", issue->ca->name),
               SM_KS("profile", issue->profile->message->name),
               SM_KS("caller", issue->caller->name), SM_KB("correlation_id", issue->correlation_id),
               SM_KEND);
        return;
    }
    sm_log(SM_LOG_INFO, "certificate_refused", SM_KE("error", issue->err),
           SM_KS("field", issue->diag.field), SM_KS("reason", issue->diag.reason),
           SM_KS("caller", issue->caller->name), SM_KB("correlation_id", issue->correlation_id),
           SM_KEND);
}

void sm_issue_complete(sm_issue *issue)
{
    issue->loop->pending--;
    if (sm_ok(issue->err) && !issue->dry_run) {
        sm_metric_inc(issue->repeated ? metrics.repeated : metrics.issued);
    } else if (!sm_ok(issue->err)) {
        sm_metric_inc(metrics.refused[sm_err_category(issue->err)]);
    }
    issue->stage_ns = issue->start_ns;
    sm_issue_stage(issue, SM_STAGE_TOTAL);
    log_line(issue);
    sm_buf_deinit(&issue->tbs);
    if (sm_ok(issue->err) && !issue->dry_run) {
        /* The certificate's octets must outlive this: the answer points to them. */
        sm_slice copy;
        sm_err err = sm_arena_copy(
            issue->arena,
            sm_slice_of(issue->response.certificate.data, issue->response.certificate.len), &copy);
        issue->err = err;
        if (sm_ok(err)) {
            issue->response.certificate = sm_binary(copy);
        }
        for (size_t i = 0; sm_ok(issue->err) && i < issue->response.n_chain; i++) {
            sm_slice der = sm_slice_of(issue->response.chain[i].data, issue->response.chain[i].len);
            issue->err = sm_arena_copy(issue->arena, der,
                                       &copy); /* the world may change before the answer leaves */
            issue->response.chain[i] = sm_binary(copy);
        }
    }
    sm_buf_deinit(&issue->cert);
    sm_world_detach(&issue->world);
    issue->done(issue);
}

/* ---- the record ---- */

static sm_slice serial_of_renewed(const sm_issue *issue)
{
    return issue->renewed == NULL ? SM_SLICE_NONE : issue->renewed->serial;
}

static sm_err pack_certificate(sm_issue *issue, sm_slice *out)
{
    Sealmill__Record__V1__CertificateRecord r;
    sealmill__record__v1__certificate_record__init(&r);
    r.version = SM_RECORD_VERSION;
    r.ca_id = issue->ca->id;
    r.ca_generation = sm_ca_current(issue->ca)->number;
    r.profile = issue->profile->message->name;
    r.certificate = sm_binary(sm_buf_slice(&issue->cert));
    r.not_before = issue->params.not_before;
    r.not_after = issue->params.not_after;
    r.issued_at = sm_clock_wall_s();
    r.requester = sm_text(issue->arena, sm_slice_str(issue->caller->name));
    r.correlation_id = sm_text(issue->arena, issue->correlation_id);
    r.renews = sm_binary(serial_of_renewed(issue));
    size_t n = issue->request->n_metadata;
    if (n > 0) {
        r.metadata = sm_arena_alloc(issue->arena, n * sizeof(*r.metadata));
        for (size_t i = 0; i < n && r.metadata != NULL; i++) {
            r.metadata[i] = SM_ARENA_NEW(issue->arena,
                                         Sealmill__Record__V1__CertificateRecord__MetadataEntry);
            if (r.metadata[i] == NULL) {
                return SM_ERR(NO_MEMORY);
            }
            sealmill__record__v1__certificate_record__metadata_entry__init(r.metadata[i]);
            r.metadata[i]->key = issue->request->metadata[i]->key;
            r.metadata[i]->value = issue->request->metadata[i]->value;
        }
        r.n_metadata = r.metadata == NULL ? 0 : n;
    }
    return sm_record_pack(&r.base, issue->arena, out);
}

static sm_err pack_log(sm_issue *issue, sm_slice *out)
{
    const struct sm_cert_params *params = &issue->params;
    sm_buf keys = sm_buf_init(SM_CERT_MAX);
    sm_err err = sm_index_keys(params->subject, params->key->spki, params->sans, params->san_count,
                               &keys);
    const struct sm_audit audit = {
        .caller = issue->caller->name,
        .action = issue->renewed != NULL ? "certificate.renew" : "certificate.issue",
        .outcome = "ok",
        .profile = issue->profile->message->name,
        .correlation_id = issue->correlation_id,
        .serial = sm_slice_of(issue->serial, sizeof(issue->serial)),
        .ca_id = issue->ca->id,
        .kind = SEALMILL__V1__INVENTORY_EVENT__KIND__KIND_ISSUED,
        .index_keys = sm_buf_slice(&keys),
        .detail = issue->caller->detail,
        .not_after = params->not_after,
    };
    err = sm_ok(err) ? sm_audit_pack(&audit, issue->arena, out) : err;
    sm_buf_deinit(&keys);
    return err;
}

/* ---- conditions: idempotency, duplicates ---- */

/* A record under META that says: this serial holds this key. Used for idempotency keys and for
 * uniqueness by subject or key. */
static sm_err add_guard(sm_issue *issue, sm_slice key)
{
    Sealmill__Record__V1__IdempotencyRecord r;
    sealmill__record__v1__idempotency_record__init(&r);
    r.version = SM_RECORD_VERSION;
    r.request_sha256 = sm_binary(issue->request_hash);
    r.serial = sm_binary(sm_slice_of(issue->serial, sizeof(issue->serial)));
    bool idempotency = sm_slice_starts_with(key, SM_LIT("idem/"));
    r.expires_at = idempotency ? sm_clock_wall_s() + IDEMPOTENCY_LIFE_S : issue->params.not_after;
    sm_slice value;
    SM_TRY(sm_record_pack(&r.base, issue->arena, &value));
    issue->conds[issue->write.cond_count++] = (struct sm_store_cond){SM_COND_ABSENT, SM_FAMILY_META,
                                                                     key, SM_SLICE_NONE};
    if (issue->repeat_only) {
        /* No record is empty: the write never happens, and resolve looks for the earlier one. */
        issue->conds[issue->write.cond_count - 1].kind = SM_COND_EQUALS;
    }
    issue->puts[issue->write.put_count++] = (struct sm_store_put){SM_PUT, SM_FAMILY_META, key,
                                                                  value};
    return SM_NO_ERR;
}

static sm_err hashed_key(sm_issue *issue, const char *prefix, sm_slice a, sm_slice b, sm_slice *out)
{
    uint8_t digest[SM_DIGEST_MAX];
    sm_buf text = sm_buf_init(1U << 20);
    sm_buf_put_u32be(&text, (uint32_t)a.len);
    sm_buf_put(&text, a);
    sm_buf_put(&text, b);
    sm_err err = sm_buf_err(&text);
    err = sm_ok(err) ? sm_digest_compute(SM_SHA256, sm_buf_slice(&text), digest) : err;
    sm_buf_deinit(&text);
    SM_TRY(err);
    return sm_record_key(prefix, sm_slice_of(digest, 32), issue->arena, out);
}

static int compare_entries(const void *a, const void *b)
{
    const Sealmill__V1__IssueRequest__MetadataEntry *x = *(
        Sealmill__V1__IssueRequest__MetadataEntry *const *)a;
    const Sealmill__V1__IssueRequest__MetadataEntry *y = *(
        Sealmill__V1__IssueRequest__MetadataEntry *const *)b;
    int order = strcmp(x->key, y->key);
    return order != 0 ? order : strcmp(x->value, y->value);
}

/* The request's octets, with its map in one order: protobuf has none, and clients send it in
 * another one each time. */
static sm_err pack_request(const sm_issue *issue, sm_slice *out)
{
    Sealmill__V1__IssueRequest r = *issue->request;
    if (r.n_metadata > 1) {
        size_t size = r.n_metadata * sizeof(*r.metadata);
        r.metadata = sm_arena_alloc(issue->arena, size);
        if (r.metadata == NULL) {
            return SM_ERR(NO_MEMORY);
        }
        memcpy(r.metadata, issue->request->metadata, size);
        qsort(r.metadata, r.n_metadata, sizeof(*r.metadata), compare_entries);
    }
    return sm_record_pack(&r.base, issue->arena, out);
}

/* A renewal is another request when it renews another certificate, or revokes it too. */
static sm_err hash_request(sm_issue *issue)
{
    uint8_t digest[SM_DIGEST_MAX];
    sm_slice packed;
    SM_TRY(pack_request(issue, &packed));
    sm_slice renewed = serial_of_renewed(issue);
    sm_buf text = sm_buf_init(packed.len + renewed.len + 8);
    sm_buf_put_u32be(&text, (uint32_t)packed.len);
    sm_buf_put(&text, packed);
    sm_buf_put(&text, renewed);
    sm_buf_put_byte(&text, issue->revoke_renewed ? 1 : 0);
    sm_err err = sm_buf_err(&text);
    err = sm_ok(err) ? sm_digest_compute(SM_SHA256, sm_buf_slice(&text), digest) : err;
    sm_buf_deinit(&text);
    SM_TRY(err);
    return sm_arena_copy(issue->arena, sm_slice_of(digest, 32), &issue->request_hash);
}

static sm_err add_guards(sm_issue *issue)
{
    const Sealmill__V1__Profile *p = issue->profile->message;
    sm_slice ca = sm_slice_str(issue->ca->name);
    sm_slice key;
    if (issue->request->idempotency_key[0] != '\0') {
        SM_TRY(hash_request(issue));
        SM_TRY(hashed_key(issue, "idem/", sm_slice_str(issue->caller->name),
                          sm_slice_str(issue->request->idempotency_key), &key));
        SM_TRY(add_guard(issue, key));
    }
    if (p->refuse_duplicate_subject) {
        SM_TRY(hashed_key(issue, "uniq-subject/", ca, issue->params.subject, &key));
        SM_TRY(add_guard(issue, key));
    }
    if (p->refuse_duplicate_key) {
        SM_TRY(hashed_key(issue, "uniq-key/", ca, issue->csr.key.spki, &key));
        SM_TRY(add_guard(issue, key));
    }
    return SM_NO_ERR;
}

/* ---- a condition failed: look at who holds the key (on a service thread) ---- */

static sm_err holder_is_live(sm_store *store, const Sealmill__Record__V1__IdempotencyRecord *holder,
                             sm_arena *arena, bool *live)
{
    ProtobufCMessage *m;
    *live = holder->expires_at > sm_clock_wall_s();
    if (!*live) {
        return SM_NO_ERR;
    }
    sm_err err = sm_record_get(store, SM_FAMILY_STATE,
                               sm_slice_of(holder->serial.data, holder->serial.len),
                               &sealmill__record__v1__state_record__descriptor, arena, &m);
    if (sm_err_is(err, SM_E_NOT_FOUND)) {
        return SM_NO_ERR;
    }
    SM_TRY(err);
    *live = ((const Sealmill__Record__V1__StateRecord *)(void *)m)->state !=
            SEALMILL__V1__CERTIFICATE_STATE__CERTIFICATE_STATE_REVOKED;
    return SM_NO_ERR;
}

/* The same request again: the same certificate. */
static sm_err repeat_answer(sm_issue *issue, sm_store *store,
                            const Sealmill__Record__V1__IdempotencyRecord *holder)
{
    ProtobufCMessage *m;
    if (!sm_slice_equal(sm_slice_of(holder->request_sha256.data, holder->request_sha256.len),
                        issue->request_hash)) {
        return sm_diag_set(&issue->diag, SM_ERR(EXISTS), "idempotency_key",
                           "it was used with another request");
    }
    sm_slice serial = sm_slice_of(holder->serial.data, holder->serial.len);
    SM_TRY(sm_record_get(store, SM_FAMILY_CERT, serial,
                         &sealmill__record__v1__certificate_record__descriptor, issue->arena, &m));
    const Sealmill__Record__V1__CertificateRecord *r =
        (const Sealmill__Record__V1__CertificateRecord *)(void *)m;
    const struct sm_ca_generation *g = sm_ca_generation(issue->ca, r->ca_generation);
    if (g == NULL) {
        return SM_ERR(CORRUPT);
    }
    issue->repeated = true;
    return fill_response(issue, g, sm_slice_of(r->certificate.data, r->certificate.len), serial,
                         r->not_before, r->not_after);
}

static sm_err nothing_to_repeat(sm_issue *issue)
{
    return sm_diag_set(&issue->diag, SM_ERR(PRECONDITION), "serial", "the certificate is revoked");
}

static sm_err resolve(sm_issue *issue, bool *retry)
{
    sm_store *store = sm_api_store(sm_api_of(issue->loop));
    struct sm_store_cond *cond = &issue->conds[issue->write.failed_cond];
    sm_buf bytes = sm_buf_init(1U << 16);
    ProtobufCMessage *m = NULL;
    sm_slice old = SM_SLICE_NONE;
    bool live = true;
    *retry = false;
    sm_err err = sm_store_get_sync(store, SM_FAMILY_META, cond->key, &bytes);
    if (sm_ok(err)) {
        err = sm_arena_copy(issue->arena, sm_buf_slice(&bytes), &old);
    }
    sm_buf_deinit(&bytes);
    if (sm_err_is(err, SM_E_NOT_FOUND)) { /* gone meanwhile */
        if (issue->repeat_only) {
            return nothing_to_repeat(issue);
        }
        cond->kind = SM_COND_ABSENT;
        *retry = true;
        return SM_NO_ERR;
    }
    SM_TRY(err);
    SM_TRY(sm_message_unpack(&sealmill__record__v1__idempotency_record__descriptor, old,
                             issue->arena, &m));
    const Sealmill__Record__V1__IdempotencyRecord *holder =
        (const Sealmill__Record__V1__IdempotencyRecord *)(void *)m;
    bool idempotency = sm_slice_starts_with(cond->key, SM_LIT("idem/"));
    if (idempotency) {
        live = holder->expires_at > sm_clock_wall_s();
    } else if (sm_slice_equal(sm_slice_of(holder->serial.data, holder->serial.len),
                              serial_of_renewed(issue))) {
        live = false; /* the new one takes the old one's place */
    } else {
        SM_TRY(holder_is_live(store, holder, issue->arena, &live));
    }
    if (!live && issue->repeat_only) {
        return nothing_to_repeat(issue);
    }
    if (!live) { /* its time is over: replaced, unless another does so first */
        cond->kind = SM_COND_EQUALS;
        cond->value = old;
        *retry = true;
        return SM_NO_ERR;
    }
    if (idempotency) {
        return repeat_answer(issue, store, holder);
    }
    bool subject = sm_slice_starts_with(cond->key, SM_LIT("uniq-subject/"));
    return sm_diag_set(
        &issue->diag, SM_ERR(EXISTS), subject ? "subject" : "csr.key",
        "a valid certificate of this CA has the same %s, and the profile refuses duplicates",
        subject ? "subject" : "key");
}

static sm_err submit(sm_issue *issue);

static void resolve_work(sm_errand *errand)
{
    sm_issue *issue = SM_CONTAINER_OF(errand, sm_issue, errand);
    issue->err = resolve(issue, &issue->retry);
}

static void resolve_done(sm_errand *errand)
{
    sm_issue *issue = SM_CONTAINER_OF(errand, sm_issue, errand);
    if (sm_ok(issue->err) && issue->retry) {
        issue->err = submit(issue);
        if (sm_ok(issue->err)) {
            return;
        }
    }
    sm_issue_complete(issue);
}

/* ---- the write ---- */

static void on_written(sm_store_write *op)
{
    sm_issue *issue = SM_CONTAINER_OF(op, sm_issue, write);
    sm_issue_stage(issue, SM_STAGE_STORE);
    issue->err = op->err;
    bool refused = sm_err_is(op->err, SM_E_EXISTS) || sm_err_is(op->err, SM_E_CONFLICT);
    if (refused && issue->conds[op->failed_cond].family == SM_FAMILY_STATE) {
        issue->err = sm_diag_set(&issue->diag, SM_ERR(CONFLICT), "serial",
                                 "the certificate's state changed just now: look at it first");
        sm_issue_complete(issue);
        return;
    }
    if (refused && issue->add != NULL && op->failed_cond == issue->added_cond) {
        issue->added_failed = true;
        issue->err = SM_ERR(CONFLICT);
        sm_issue_complete(issue);
        return;
    }
    if (refused) {
        issue->errand.work = resolve_work;
        issue->errand.done = resolve_done;
        sm_errand_run(sm_api_of(issue->loop), sm_api_loop_home(issue->loop), &issue->errand);
        return;
    }
    if (sm_ok(op->err)) {
        sm_issue_ocsp_written(issue);
    }
    if (sm_ok(op->err) && issue->revoke_renewed) {
        sm_api_count_state_change(sm_api_of(issue->loop));
    }
    if (issue->revoke_renewed && issue->renewed != NULL) {
        sm_doubt_add(sm_api_of(issue->loop), issue->renewed->ca_id, issue->renewed->generation,
                     issue->renewed->serial, op->err);
    }
    if (sm_ok(op->err)) {
        issue->err = fill_response(issue, sm_ca_current(issue->ca), sm_buf_slice(&issue->cert),
                                   sm_slice_of(issue->serial, sizeof(issue->serial)),
                                   issue->params.not_before, issue->params.not_after);
    } else {
        issue->err = sm_diag_set(&issue->diag, op->err, "",
                                 "the certificate could not be stored, so it is not given out");
    }
    sm_issue_complete(issue);
}

static sm_err submit(sm_issue *issue)
{
    return sm_store_submit_write(sm_api_store(sm_api_of(issue->loop)), &issue->write);
}

/* The renewed certificate's state, in the same write. */
static sm_err add_revocation(sm_issue *issue)
{
    Sealmill__Record__V1__StateRecord state;
    sealmill__record__v1__state_record__init(&state);
    state.version = SM_RECORD_VERSION;
    state.state = SEALMILL__V1__CERTIFICATE_STATE__CERTIFICATE_STATE_REVOKED;
    state.changed_at = issue->revoked_at;
    state.reason = SEALMILL__V1__REVOCATION_REASON__REVOCATION_REASON_SUPERSEDED;
    state.ca_id = issue->ca->id;
    sm_slice value;
    SM_TRY(sm_record_pack(&state.base, issue->arena, &value));
    issue->puts[issue->write.put_count++] = (struct sm_store_put){SM_PUT, SM_FAMILY_STATE,
                                                                  issue->renewed->serial, value};
    const struct sm_audit audit = {
        .caller = issue->caller->name,
        .action = "certificate.revoke",
        .outcome = "ok",
        .correlation_id = issue->correlation_id,
        .serial = issue->renewed->serial,
        .ca_id = issue->ca->id,
        .kind = SEALMILL__V1__INVENTORY_EVENT__KIND__KIND_REVOKED,
        .reason = state.reason,
    };
    return sm_audit_pack(&audit, issue->arena, &issue->log[issue->write.log_count++]);
}

/* Who revokes the old certificate or puts it on hold meanwhile is not overruled. */
static void add_state_condition(sm_issue *issue)
{
    const struct sm_renewed *old = issue->renewed;
    issue->conds[issue->write.cond_count++] = (struct sm_store_cond){
        old->state.len == 0 ? SM_COND_ABSENT : SM_COND_EQUALS, SM_FAMILY_STATE, old->serial,
        old->state};
}

sm_err sm_issue_commit(sm_issue *issue)
{
    issue->write = (sm_store_write){
        .home = sm_api_loop_home(issue->loop),
        .conds = issue->conds,
        .puts = issue->puts,
        .log = issue->log,
        .log_count = 1,
        .done = on_written,
    };
    sm_slice value;
    SM_TRY(pack_certificate(issue, &value));
    SM_TRY(pack_log(issue, &issue->log[0]));
    sm_slice serial = sm_slice_of(issue->serial, sizeof(issue->serial));
    issue->puts[issue->write.put_count++] = (struct sm_store_put){SM_PUT, SM_FAMILY_CERT, serial,
                                                                  value};
    SM_TRY(add_guards(issue));
    if (issue->renewed != NULL && !issue->repeat_only) {
        add_state_condition(issue);
    }
    if (issue->renewed != NULL && issue->revoke_renewed) {
        SM_TRY(add_revocation(issue));
    }
    SM_TRY(sm_issue_ocsp_puts(issue));
    if (issue->add != NULL) {
        issue->added_cond = issue->write.cond_count++;
        SM_TRY(issue->add(issue, &issue->conds[issue->added_cond],
                          &issue->puts[issue->write.put_count++]));
    }
    return submit(issue);
}
