/* SPDX-License-Identifier: Apache-2.0 */
/* The OCSP responder: finds the CA and the state, signs live through the batcher. */
#include "api/ocsp_server.h"

#include "api/record.h"
#include "api/world.h"
#include "base/clock.h"
#include "base/metrics.h"
#include "base/text.h"
#include "ocsp-cache/ocsp.h"
#include "proto/message.h"

#include <pthread.h>

#define VALIDITY_DEFAULT_S (12 * 3600)
#define BACKDATE_DEFAULT_S 300

struct query {
    sm_http_exchange *x;
    sm_api_loop *loop;
    sm_world *world;
    sm_arena *arena;
    struct sm_ocsp_request request;
    const struct sm_ca_generation *generation; /* that answers */
    struct sm_ocsp_single singles[SM_OCSP_CERTS_MAX];
    sm_store_read certs;
    sm_store_read states;
    sm_slice keys[SM_OCSP_CERTS_MAX];
    sm_slice cert_values[SM_OCSP_CERTS_MAX];
    sm_slice state_values[SM_OCSP_CERTS_MAX];
    sm_crypt_job job;
    sm_buf data;
    bool get;
};

static sm_metric answers[3];
static sm_metric errors;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void register_metrics(void)
{
    static const char *const labels[] = {"status=\"good\"", "status=\"revoked\"",
                                         "status=\"unknown\""};
    for (int i = 0; i < 3; i++) {
        answers[i] = sm_metric_register(SM_COUNTER, "sealmill_ocsp_answers_total",
                                        "Signed OCSP answers by status", labels[i]);
    }
    errors = sm_metric_register(SM_COUNTER, "sealmill_ocsp_errors_total",
                                "Unsigned OCSP error answers", NULL);
}

/* ---- answers ---- */

static void end_query(struct query *q)
{
    sm_world_detach(&q->world);
    sm_buf_deinit(&q->data);
    sm_buf_deinit(&q->certs.bytes);
    sm_buf_deinit(&q->states.bytes);
    sm_http_release(q->x);
}

static void reply_error(sm_http_exchange *x, enum sm_ocsp_error error)
{
    const sm_http_header headers[] = {
        SM_HEADER("content-type", SM_LIT("application/ocsp-response")),
        SM_HEADER("cache-control", SM_LIT("no-store"))};
    sm_metric_inc(errors);
    sm_http_reply(x, 200, headers, 2, sm_ocsp_error_response(error));
}

static void fail(struct query *q, enum sm_ocsp_error error)
{
    reply_error(q->x, error);
    end_query(q);
}

static void on_signed(sm_crypt_job *job)
{
    struct query *q = SM_CONTAINER_OF(job, struct query, job);
    const sm_http_header headers[] = {
        SM_HEADER("content-type", SM_LIT("application/ocsp-response")),
        SM_HEADER("cache-control", SM_LIT("no-store"))};
    sm_buf out = sm_buf_init(1U << 20);
    sm_err err = job->err;
    if (sm_ok(err)) {
        err = sm_ocsp_write_response(&out, sm_buf_slice(&q->data), job->alg,
                                     sm_slice_of(job->out, job->out_len),
                                     q->generation->ocsp_cert.der);
    }
    if (sm_ok(err)) {
        for (size_t i = 0; i < q->request.count; i++) {
            sm_metric_inc(answers[q->singles[i].status]);
        }
        sm_http_reply(q->x, 200, headers, 2, sm_buf_slice(&out));
        end_query(q);
    } else {
        fail(q, SM_OCSP_TRY_LATER);
    }
    sm_buf_deinit(&out);
}

static int64_t setting(const char *text, int64_t fallback)
{
    int64_t s;
    return text != NULL && text[0] != '\0' && sm_ok(sm_duration_parse(sm_slice_str(text), &s))
               ? s
               : fallback;
}

static sm_err sign(struct query *q)
{
    uint8_t key_id[20];
    const struct sm_ca_generation *g = q->generation;
    const Sealmill__Config__V1__Ocsp *ocsp = q->world->config->ocsp;
    int64_t now = sm_clock_wall_s();
    int64_t this_update = now - setting(ocsp == NULL ? NULL : ocsp->backdate, BACKDATE_DEFAULT_S);
    int64_t next_update = now + setting(ocsp == NULL ? NULL : ocsp->validity, VALIDITY_DEFAULT_S);
    if (next_update > g->ocsp_cert.not_after) {
        next_update = g->ocsp_cert.not_after;
    }
    for (size_t i = 0; i < q->request.count; i++) {
        q->singles[i].this_update = this_update;
        q->singles[i].next_update = next_update;
    }
    SM_TRY(sm_public_key_id(sm_key_public(g->ocsp_key), key_id));
    const struct sm_ocsp_response_data data = {key_id, now, q->singles, q->request.count,
                                               q->request.nonce};
    SM_TRY(sm_ocsp_write_data(&q->data, &data));
    enum sm_sig_alg alg = sm_sig_alg_for(sm_key_get_type(g->ocsp_key), SM_DIGEST_NONE, false);
    size_t room = sm_sig_size_max(alg, sm_key_get_type(g->ocsp_key));
    q->job = (sm_crypt_job){.op = SM_CRYPT_SIGN,
                            .alg = alg,
                            .message = sm_buf_slice(&q->data),
                            .key = g->ocsp_key,
                            .out = sm_arena_alloc(q->arena, room),
                            .out_room = room,
                            .done = on_signed};
    return q->job.out == NULL ? SM_ERR(NO_MEMORY)
                              : sm_batcher_submit(sm_api_loop_batcher(q->loop), &q->job);
}

/* ---- states ---- */

/* The inventory knows it, and from this issuer: serial numbers of others say nothing (RFC 6960
 * 2.2). */
static bool is_known(const struct query *q, size_t i)
{
    uint32_t ca_id;
    uint32_t generation;
    return q->cert_values[i].ptr != NULL &&
           sm_record_issuer(q->cert_values[i], &ca_id, &generation) &&
           ca_id == q->generation->ca_id && generation == q->generation->number;
}

static void fill_state(struct query *q, size_t i)
{
    struct sm_ocsp_single *s = &q->singles[i];
    s->cert_id = q->request.certs[i].der;
    s->reason = -1;
    s->status = is_known(q, i) ? SM_OCSP_GOOD : SM_OCSP_UNKNOWN;
    if (s->status == SM_OCSP_UNKNOWN || q->state_values[i].ptr == NULL) {
        return;
    }
    Sealmill__Record__V1__StateRecord *r = sealmill__record__v1__state_record__unpack(
        NULL, q->state_values[i].len, q->state_values[i].ptr);
    if (r == NULL) {
        s->status = SM_OCSP_UNKNOWN; /* never good by mistake */
        return;
    }
    if (r->state != SEALMILL__V1__CERTIFICATE_STATE__CERTIFICATE_STATE_VALID) {
        s->status = SM_OCSP_REVOKED;
        s->revoked_at = r->changed_at;
        s->reason = (int)r->reason;
    }
    sealmill__record__v1__state_record__free_unpacked(r, NULL);
}

static void on_states(sm_store_read *read)
{
    struct query *q = SM_CONTAINER_OF(read, struct query, states);
    if (!sm_ok(read->err)) {
        fail(q, SM_OCSP_TRY_LATER);
        return;
    }
    for (size_t i = 0; i < q->request.count; i++) {
        fill_state(q, i);
    }
    if (!sm_ok(sign(q))) {
        fail(q, SM_OCSP_TRY_LATER);
    }
}

static void on_certs(sm_store_read *read)
{
    struct query *q = SM_CONTAINER_OF(read, struct query, certs);
    sm_err err = read->err;
    if (sm_ok(err)) {
        err = sm_store_submit_read(sm_api_store(sm_api_of(q->loop)), &q->states);
    }
    if (!sm_ok(err)) {
        fail(q, SM_OCSP_TRY_LATER);
    }
}

/* ---- which CA ---- */

static bool matches(const struct sm_ca_generation *g, const struct sm_ocsp_cert_id *id)
{
    if (g->cert.der.len == 0) {
        return false;
    }
    if (id->hash == SM_OCSP_SHA1) {
        return sm_slice_equal(id->name_hash, sm_slice_of(g->name_sha1, 20)) &&
               sm_slice_equal(id->key_hash, sm_slice_of(g->key_sha1, 20));
    }
    return id->hash == SM_OCSP_SHA256 &&
           sm_slice_equal(id->name_hash, sm_slice_of(g->name_sha256, 32)) &&
           sm_slice_equal(id->key_hash, sm_slice_of(g->key_sha256, 32));
}

static const struct sm_ca_generation *find_generation(const sm_world *w,
                                                      const struct sm_ocsp_cert_id *id)
{
    for (size_t i = 0; i < w->ca_count; i++) {
        for (size_t j = 0; j < w->cas[i].generation_count; j++) {
            if (matches(&w->cas[i].generations[j], id)) {
                return &w->cas[i].generations[j];
            }
        }
    }
    return NULL;
}

static sm_store_read make_read(struct query *q, enum sm_store_family family, sm_slice *values,
                               void (*done)(sm_store_read *op))
{
    return (sm_store_read){.home = sm_api_loop_home(q->loop),
                           .family = family,
                           .keys = q->keys,
                           .count = q->request.count,
                           .done = done,
                           .bytes = sm_buf_init(8U << 20),
                           .values = values};
}

static enum sm_ocsp_error begin(struct query *q, sm_slice der)
{
    sm_slice copy;
    sm_err err = sm_arena_copy(q->arena, der, &copy);
    err = sm_ok(err) ? sm_ocsp_request_parse(copy, &q->request) : err;
    if (!sm_ok(err)) {
        return SM_OCSP_MALFORMED;
    }
    q->generation = find_generation(q->world, &q->request.certs[0]);
    for (size_t i = 0; i < q->request.count; i++) {
        if (q->generation == NULL ||
            find_generation(q->world, &q->request.certs[i]) != q->generation) {
            return SM_OCSP_UNAUTHORIZED; /* not ours, or of several CAs at once */
        }
        q->keys[i] = q->request.certs[i].serial;
    }
    if (q->generation->ocsp_key == NULL || q->generation->ocsp_cert.der.len == 0 ||
        q->generation->ocsp_cert.not_after <= sm_clock_wall_s()) {
        return SM_OCSP_TRY_LATER;
    }
    q->certs = make_read(q, SM_FAMILY_CERT, q->cert_values, on_certs);
    q->states = make_read(q, SM_FAMILY_STATE, q->state_values, on_states);
    return sm_ok(sm_store_submit_read(sm_api_store(sm_api_of(q->loop)), &q->certs))
               ? 0
               : SM_OCSP_TRY_LATER;
}

static void answer(sm_api_loop *loop, sm_http_exchange *x, sm_slice der)
{
    (void)pthread_once(&once, register_metrics);
    struct query *q = SM_ARENA_NEW(sm_http_arena(x), struct query);
    if (q == NULL) {
        reply_error(x, SM_OCSP_TRY_LATER);
        return;
    }
    q->x = x;
    q->loop = loop;
    q->arena = sm_http_arena(x);
    q->world = sm_world_attach(sm_api_of(loop));
    q->data = sm_buf_init(1U << 20);
    sm_http_hold(x);
    enum sm_ocsp_error error = begin(q, der);
    if (error != 0) {
        fail(q, error);
    }
}

/* ---- HTTP ---- */

struct collecting {
    sm_api_loop *loop;
};

static void on_body(void *ctx, sm_http_exchange *x, sm_slice body, sm_err err)
{
    struct collecting *c = ctx;
    if (sm_ok(err)) {
        answer(c->loop, x, body);
    }
}

/* GET: the request's base64, percent-encoded, behind /ocsp/ (RFC 6960 A.1.1). '+' is never a
 * space; padding may be missing. */
static void serve_get(sm_api_loop *loop, sm_http_exchange *x, sm_slice text)
{
    sm_buf plain = sm_buf_init(SM_OCSP_REQUEST_MAX * 2);
    sm_buf der = sm_buf_init(SM_OCSP_REQUEST_MAX);
    sm_err err = sm_percent_decode(&plain, text);
    err = sm_ok(err)
              ? sm_base64_decode(&der, sm_buf_slice(&plain), SM_BASE64_NO_PAD | SM_BASE64_URL)
              : err;
    if (sm_ok(err)) {
        answer(loop, x, sm_buf_slice(&der));
    } else {
        reply_error(x, SM_OCSP_MALFORMED);
    }
    sm_buf_deinit(&plain);
    sm_buf_deinit(&der);
}

static void ignore_close(void *ctx, sm_http_exchange *x, sm_err err)
{
    (void)ctx;
    (void)x;
    (void)err;
}

static const struct sm_http_stream_ops get_ops = {.on_close = ignore_close};

void sm_ocsp_serve(sm_api_loop *loop, sm_http_exchange *x, sm_slice rest)
{
    if (sm_slice_equal(sm_http_method(x), SM_LIT("POST"))) {
        struct collecting *c = SM_ARENA_NEW(sm_http_arena(x), struct collecting);
        if (c == NULL) {
            sm_http_abort(x, 2);
            return;
        }
        c->loop = loop;
        sm_http_collect(x, SM_OCSP_REQUEST_MAX, on_body, NULL, c);
        return;
    }
    sm_http_accept(x, &get_ops, NULL);
    bool get = sm_slice_equal(sm_http_method(x), SM_LIT("GET")) ||
               sm_slice_equal(sm_http_method(x), SM_LIT("HEAD"));
    if (!get) {
        const sm_http_header allow[] = {SM_HEADER("allow", SM_LIT("GET, HEAD, POST"))};
        sm_http_reply(x, 405, allow, 1, SM_SLICE_NONE);
        return;
    }
    serve_get(loop, x, rest);
}
