/* SPDX-License-Identifier: Apache-2.0 */
/* Answers that are signed now: the first about a certificate, those with a nonce, about several
 * certificates, about expired ones and about serial numbers of nobody. */
#include "api/api_p.h"
#include "api/ocsp_keep.h"
#include "api/ocsp_presign.h"
#include "api/ocsp_query_p.h"
#include "api/record.h"
#include "base/clock.h"
#include "base/metrics.h"
#include "ocsp-cache/ocsp_foreign.h"

#include <pthread.h>

#define READ_BYTES (8U << 20) /* of SM_OCSP_CERTS_MAX records */

struct sm_ocsp_live {
    sm_ocsp_query *q;
    sm_store_read certs;
    sm_store_read states;
    sm_slice keys[SM_OCSP_CERTS_MAX]; /* serial numbers; of a foreign CA: its rows' keys */
    uint8_t row_keys[SM_OCSP_CERTS_MAX][SM_OCSP_FOREIGN_KEY_MAX];
    sm_slice cert_values[SM_OCSP_CERTS_MAX];
    sm_slice state_values[SM_OCSP_CERTS_MAX];
    struct sm_ocsp_single singles[SM_OCSP_CERTS_MAX];
    int64_t not_after; /* of the one certificate */
    bool of_nobody;    /* one of the serial numbers is */
    bool expired;      /* one of the certificates is */
    bool extended;     /* one is revoked that was never issued */
    sm_ocsp_presign presign;
    sm_crypt_job job;
    sm_buf data;
};

static sm_metric live_answers;
static sm_metric refused;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void register_metrics(void)
{
    live_answers = sm_metric_register(SM_COUNTER, "sealmill_ocsp_live_total",
                                      "OCSP answers signed while somebody waits", NULL);
    refused = sm_metric_register(SM_COUNTER, "sealmill_ocsp_busy_total",
                                 "OCSP queries answered tryLater by a limit", NULL);
}

/* ---- the end ---- */

static void finish(struct sm_ocsp_live *live)
{
    sm_ocsp_query *q = live->q;
    q->loop->ocsp_pending--;
    sm_buf_deinit(&live->certs.bytes);
    sm_buf_deinit(&live->states.bytes);
    sm_buf_deinit(&live->data);
    sm_ocsp_query_done(q);
}

static void fail(struct sm_ocsp_live *live, enum sm_ocsp_error error)
{
    (void)sm_ocsp_query_fail(live->q, error);
    finish(live);
}

/* ---- one certificate: an answer that is kept ---- */

/* The row that says the certificate's state, as it was read. */
static struct sm_store_cond made_of(const struct sm_ocsp_live *live)
{
    bool foreign = live->q->responder->foreign;
    sm_slice state = foreign ? live->cert_values[0] : live->state_values[0];
    return (struct sm_store_cond){state.ptr == NULL ? SM_COND_ABSENT : SM_COND_EQUALS,
                                  foreign ? SM_FAMILY_OCSP : SM_FAMILY_STATE, live->keys[0], state};
}

static void on_presigned(sm_ocsp_presign *p)
{
    struct sm_ocsp_live *live = p->ctx;
    sm_ocsp_query *q = live->q;
    sm_ocsp_cache *cache = sm_api_of(q->loop)->ocsp_cache;
    if (!sm_ok(p->err) || !sm_ok(sm_ocsp_query_use(q, p->signer, &p->kept))) {
        fail(live, SM_OCSP_TRY_LATER);
        return;
    }
    if (live->of_nobody && p->said.status != SM_OCSP_GOOD) {
        sm_ocsp_cache_put_unknown(cache, &q->key, &p->kept, q->unknown_epoch);
    } else {
        sm_ocsp_cache_put(cache, p->signer, &q->key, &p->kept, q->epoch);
    }
    if (!live->of_nobody) { /* who asks for what does not exist fills no store */
        const struct sm_store_cond so_far = made_of(live);
        sm_ocsp_keep(q->loop, p, &so_far);
    }
    finish(live);
}

/* How long it is good: of a serial number of nobody it is said already, in every kind of answer. */
static void set_times(struct sm_ocsp_single *s, const struct sm_ocsp_said *times)
{
    bool is_brief = s->next_update != 0 && s->status != SM_OCSP_GOOD &&
                    s->next_update < times->next_update;
    s->this_update = times->this_update;
    s->next_update = is_brief ? s->next_update : times->next_update;
}

static sm_err sign_to_keep(struct sm_ocsp_live *live, int64_t now)
{
    sm_ocsp_query *q = live->q;
    struct sm_ocsp_single *s = &live->singles[0];
    live->presign = (sm_ocsp_presign){
        .responder = q->responder,
        .signer = q->signer,
        .key = q->key,
        .said = {.status = s->status, .reason = s->reason, .revoked_at = s->revoked_at},
        .not_after = live->not_after,
        .arena = q->arena,
        .done = on_presigned,
        .ctx = live,
    };
    sm_ocsp_times(q->responder, q->signer, now, &live->presign.said);
    set_times(s, &live->presign.said);
    live->presign.said.next_update = s->next_update;
    return sm_ocsp_presign_start(&live->presign, sm_api_loop_batcher(q->loop), 0);
}

/* ---- everything else: an answer for this client alone ---- */

static void on_signed(sm_crypt_job *job)
{
    struct sm_ocsp_live *live = SM_CONTAINER_OF(job, struct sm_ocsp_live, job);
    sm_ocsp_query *q = live->q;
    sm_err err = job->err;
    if (sm_ok(err)) {
        err = sm_ocsp_write_response(&q->response, sm_buf_slice(&live->data), job->alg,
                                     sm_slice_of(job->out, job->out_len), q->signer->certificate);
    }
    if (!sm_ok(err)) {
        fail(live, SM_OCSP_TRY_LATER);
        return;
    }
    q->said = (struct sm_ocsp_said){.status = live->singles[0].status,
                                    .reason = live->singles[0].reason,
                                    .revoked_at = live->singles[0].revoked_at,
                                    .this_update = live->singles[0].this_update,
                                    .next_update = live->singles[0].next_update};
    sm_ocsp_query_count(q);
    finish(live);
}

static sm_err sign_for_one(struct sm_ocsp_live *live, int64_t now)
{
    sm_ocsp_query *q = live->q;
    struct sm_ocsp_said times;
    sm_ocsp_times(q->responder, q->signer, now, &times);
    for (size_t i = 0; i < q->request.count; i++) {
        set_times(&live->singles[i], &times);
        live->singles[i].cert_id = q->request.certs[i].der;
    }
    const struct sm_ocsp_response_data data = {
        .responder = q->signer->responder,
        .produced_at = now,
        .singles = live->singles,
        .count = q->request.count,
        .nonce = q->request.nonce,
        .extended_revoked = live->extended,
    };
    SM_TRY(sm_ocsp_write_data(&live->data, &data));
    size_t room = sm_sig_size_max(q->signer->alg, q->signer->type);
    live->job = (sm_crypt_job){.op = SM_CRYPT_SIGN,
                               .alg = q->signer->alg,
                               .message = sm_buf_slice(&live->data),
                               .key = q->signer->key,
                               .out = sm_arena_alloc(q->arena, room),
                               .out_room = room,
                               .done = on_signed};
    return live->job.out == NULL ? SM_ERR(NO_MEMORY)
                                 : sm_batcher_submit(sm_api_loop_batcher(q->loop), &live->job);
}

/* ---- what is so ---- */

/* Never issued by this issuer: serial numbers of others say nothing (RFC 6960 2.2). */
static void say_of_nobody(struct sm_ocsp_live *live, struct sm_ocsp_single *s, int64_t now)
{
    enum sm_ocsp_of_nobody how = live->q->responder->rules.of_nobody;
    live->of_nobody = true;
    s->next_update = now + SM_OCSP_UNKNOWN_VALIDITY_S;
    s->status = how == SM_OCSP_SAY_GOOD ? SM_OCSP_GOOD : SM_OCSP_UNKNOWN;
    if (how == SM_OCSP_SAY_REVOKED) { /* RFC 6960 2.2 */
        s->status = SM_OCSP_REVOKED;
        s->reason = SEALMILL__V1__REVOCATION_REASON__REVOCATION_REASON_CERTIFICATE_HOLD;
        s->revoked_at = 0;
        live->extended = true;
    }
}

/* False: it cannot be read, and nothing is said of it. */
static bool read_state(sm_slice value, struct sm_ocsp_single *s)
{
    s->status = SM_OCSP_GOOD;
    if (value.ptr == NULL) {
        return true;
    }
    Sealmill__Record__V1__StateRecord *r = sealmill__record__v1__state_record__unpack(
        NULL, value.len, value.ptr);
    if (r == NULL || r->version != SM_RECORD_VERSION) {
        sealmill__record__v1__state_record__free_unpacked(r, NULL);
        return false;
    }
    if (r->state != SEALMILL__V1__CERTIFICATE_STATE__CERTIFICATE_STATE_VALID) {
        s->status = SM_OCSP_REVOKED;
        s->revoked_at = r->changed_at;
        s->reason = (int)r->reason;
    }
    sealmill__record__v1__state_record__free_unpacked(r, NULL);
    return true;
}

static void note_expiry(struct sm_ocsp_live *live, struct sm_ocsp_single *s, int64_t not_after,
                        int64_t now)
{
    live->not_after = not_after;
    if (not_after <= now) {
        live->expired = true;
        s->archive_cutoff = now - live->q->responder->rules.keep_expired_s;
    }
}

/* Of a CA that sealmill does not run. What is forgotten is never good. */
static bool fill_imported(struct sm_ocsp_live *live, size_t i, int64_t now)
{
    struct sm_ocsp_single *s = &live->singles[i];
    struct sm_ocsp_imported cert;
    if (live->cert_values[i].ptr == NULL) {
        say_of_nobody(live, s, now);
        return true;
    }
    if (!sm_ok(sm_ocsp_imported_unpack(live->cert_values[i], &cert))) {
        return false;
    }
    if (cert.not_after != 0 && cert.not_after + live->q->responder->rules.keep_expired_s <= now) {
        say_of_nobody(live, s, now);
        s->status = s->status == SM_OCSP_GOOD ? SM_OCSP_UNKNOWN : s->status;
        return true;
    }
    if (cert.not_after != 0) {
        note_expiry(live, s, cert.not_after, now);
    }
    s->status = cert.state == SM_OCSP_IMPORTED_VALID ? SM_OCSP_GOOD : SM_OCSP_REVOKED;
    s->revoked_at = cert.revoked_at;
    s->reason = s->status == SM_OCSP_GOOD ? -1 : cert.reason;
    return true;
}

static bool fill_issued(struct sm_ocsp_live *live, size_t i, int64_t now)
{
    const struct sm_ocsp_responder *responder = live->q->responder;
    struct sm_ocsp_single *s = &live->singles[i];
    struct sm_record_brief cert;
    if (live->cert_values[i].ptr == NULL) {
        say_of_nobody(live, s, now);
        return true;
    }
    if (!sm_record_read_brief(live->cert_values[i], &cert)) {
        return false;
    }
    bool forgotten = cert.not_after + responder->rules.keep_expired_s <= now;
    if (cert.ca_id != responder->issuer.ca_id || cert.generation != responder->issuer.generation ||
        forgotten) {
        say_of_nobody(live, s, now);
        return true;
    }
    note_expiry(live, s, cert.not_after, now);
    return read_state(live->state_values[i], s);
}

static bool fill_single(struct sm_ocsp_live *live, size_t i, int64_t now)
{
    live->singles[i] = (struct sm_ocsp_single){.status = SM_OCSP_UNKNOWN, .reason = -1};
    return live->q->responder->foreign ? fill_imported(live, i, now) : fill_issued(live, i, now);
}

/* Whether answers about serial numbers of nobody are within their rate. */
static bool may_say_unknown(sm_ocsp_query *q)
{
    const Sealmill__Config__V1__Ocsp *ocsp = q->world->config->ocsp;
    uint32_t rate = ocsp == NULL || ocsp->unknown_per_second == 0 ? SM_OCSP_UNKNOWN_DEFAULT
                                                                  : ocsp->unknown_per_second;
    return sm_rate_take(&q->loop->ocsp_unknown, rate, sm_clock_mono_ns());
}

static enum sm_ocsp_error decide(struct sm_ocsp_live *live)
{
    sm_ocsp_query *q = live->q;
    int64_t now = sm_clock_wall_s();
    for (size_t i = 0; i < q->request.count; i++) {
        if (!fill_single(live, i, now)) {
            return SM_OCSP_INTERNAL;
        }
    }
    if (live->of_nobody && q->responder->rules.of_nobody == SM_OCSP_SAY_UNAUTHORIZED) {
        return SM_OCSP_UNAUTHORIZED;
    }
    if (live->of_nobody && q->responder->rules.of_nobody != SM_OCSP_SAY_GOOD &&
        !may_say_unknown(q)) {
        sm_metric_inc(refused);
        return SM_OCSP_TRY_LATER;
    }
    sm_metric_inc(live_answers);
    bool can_be_kept = q->request.count == 1 && q->request.nonce.ptr == NULL && !live->expired &&
                       !live->extended && q->row_key_slice.len > 0;
    return sm_ok(can_be_kept ? sign_to_keep(live, now) : sign_for_one(live, now))
               ? 0
               : SM_OCSP_TRY_LATER;
}

static void conclude(struct sm_ocsp_live *live, sm_err err)
{
    enum sm_ocsp_error error = sm_ok(err) ? decide(live) : SM_OCSP_TRY_LATER;
    if (error != 0) {
        fail(live, error);
    }
}

static void on_states(sm_store_read *read)
{
    conclude(SM_CONTAINER_OF(read, struct sm_ocsp_live, states), read->err);
}

static void on_certs(sm_store_read *read)
{
    struct sm_ocsp_live *live = SM_CONTAINER_OF(read, struct sm_ocsp_live, certs);
    if (live->q->responder->foreign) { /* a row says all */
        conclude(live, read->err);
        return;
    }
    sm_err err = read->err;
    if (sm_ok(err)) {
        err = sm_store_submit_read(sm_api_store(sm_api_of(live->q->loop)), &live->states);
    }
    if (!sm_ok(err)) {
        fail(live, SM_OCSP_TRY_LATER);
    }
}

/* ---- the start ---- */

static void make_keys(struct sm_ocsp_live *live)
{
    const sm_ocsp_query *q = live->q;
    const struct sm_ocsp_issuer *issuer = &q->responder->issuer;
    for (size_t i = 0; i < q->request.count; i++) {
        live->keys[i] = q->request.certs[i].serial;
        if (q->responder->foreign) { /* of an impossible serial number: no row */
            size_t len = sm_ocsp_imported_key(issuer->ca_id, issuer->generation, live->keys[i],
                                              live->row_keys[i]);
            live->keys[i] = len == 0 ? SM_LIT("i") : sm_slice_of(live->row_keys[i], len);
        }
    }
}

static sm_store_read make_read(struct sm_ocsp_live *live, enum sm_store_family family,
                               sm_slice *values, void (*done)(sm_store_read *op))
{
    return (sm_store_read){.home = sm_api_loop_home(live->q->loop),
                           .family = family,
                           .keys = live->keys,
                           .count = live->q->request.count,
                           .done = done,
                           .bytes = sm_buf_init(READ_BYTES),
                           .values = values};
}

static bool is_over_limit(sm_ocsp_query *q)
{
    const Sealmill__Config__V1__Ocsp *ocsp = q->world->config->ocsp;
    uint32_t max = ocsp == NULL || ocsp->pending == 0 ? SM_OCSP_PENDING_DEFAULT : ocsp->pending;
    return q->loop->ocsp_pending >= max;
}

static bool refuse(sm_ocsp_query *q)
{
    sm_metric_inc(refused);
    if (q->request.count == 1 && (q->request.nonce.ptr != NULL || q->wanted != NULL)) {
        q->request.nonce = SM_SLICE_NONE; /* RFC 9654 lets us answer without it */
        q->wanted = NULL;                 /* RFC 6960 4.4.7: a wish */
        return sm_ocsp_query_kept(q);
    }
    return sm_ocsp_query_fail(q, SM_OCSP_TRY_LATER);
}

bool sm_ocsp_live_start(sm_ocsp_query *q)
{
    (void)pthread_once(&once, register_metrics);
    if (is_over_limit(q)) {
        return refuse(q);
    }
    q->signer = q->wanted != NULL ? q->wanted
                                  : sm_ocsp_current_signer(q->responder, sm_clock_wall_s());
    struct sm_ocsp_live *live = SM_ARENA_NEW(q->arena, struct sm_ocsp_live);
    if (q->signer == NULL || live == NULL) {
        return sm_ocsp_query_fail(q, SM_OCSP_TRY_LATER);
    }
    live->q = q;
    live->data = sm_buf_init(1U << 20);
    make_keys(live);
    live->certs = make_read(live, q->responder->foreign ? SM_FAMILY_OCSP : SM_FAMILY_CERT,
                            live->cert_values, on_certs);
    live->states = make_read(live, SM_FAMILY_STATE, live->state_values, on_states);
    if (!sm_ok(sm_store_submit_read(sm_api_store(sm_api_of(q->loop)), &live->certs))) {
        return sm_ocsp_query_fail(q, SM_OCSP_TRY_LATER);
    }
    q->loop->ocsp_pending++;
    return false;
}
