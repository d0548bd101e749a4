/* SPDX-License-Identifier: Apache-2.0 */
#include "api/ocsp_query.h"

#include "api/api_p.h"
#include "api/ocsp_query_p.h"
#include "base/clock.h"
#include "base/metrics.h"

#include <pthread.h>

static struct {
    sm_metric memory;
    sm_metric store;
    sm_metric errors;
    sm_metric said[SM_OCSP_UNKNOWN + 1];
} metrics;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void register_metrics(void)
{
    static const char *const labels[] = {"status=\"good\"", "status=\"revoked\"",
                                         "status=\"unknown\""};
    static const char name[] = "sealmill_ocsp_answers_total";
    static const char help[] = "Signed OCSP answers by status";
    static const char kept_name[] = "sealmill_ocsp_kept_total";
    static const char kept_help[] = "Pre-signed OCSP answers by where they were";
    for (int i = 0; i <= SM_OCSP_UNKNOWN; i++) {
        metrics.said[i] = sm_metric_register(SM_COUNTER, name, help, labels[i]);
    }
    metrics.memory = sm_metric_register(SM_COUNTER, kept_name, kept_help, "from=\"memory\"");
    metrics.store = sm_metric_register(SM_COUNTER, kept_name, kept_help, "from=\"store\"");
    metrics.errors = sm_metric_register(SM_COUNTER, "sealmill_ocsp_errors_total",
                                        "Unsigned OCSP error answers", NULL);
}

void sm_ocsp_query_count(const sm_ocsp_query *q)
{
    sm_metric_inc(metrics.said[q->said.status]);
}

/* ---- the end ---- */

static void leave(sm_ocsp_query *q)
{
    sm_world_detach(&q->world);
    sm_buf_deinit(&q->row.bytes);
}

bool sm_ocsp_query_fail(sm_ocsp_query *q, enum sm_ocsp_error error)
{
    sm_metric_inc(metrics.errors);
    q->error = error;
    q->cacheable = false;
    sm_buf_reset(&q->response);
    sm_buf_put(&q->response, sm_ocsp_error_response(error));
    return true;
}

void sm_ocsp_query_done(sm_ocsp_query *q)
{
    leave(q);
    q->done(q);
}

sm_err sm_ocsp_query_use(sm_ocsp_query *q, const struct sm_ocsp_signer *signer,
                         const struct sm_ocsp_kept *kept)
{
    SM_TRY(sm_ocsp_single_response(&q->responder->issuer, q->key.hash, q->key.serial, signer, kept,
                                   &q->response));
    q->cacheable = true;
    q->max_age_s = q->responder->rules.max_age_s;
    q->said = kept->said;
    memcpy(&q->tag, kept->signature.ptr, kept->signature.len < 8 ? kept->signature.len : 8);
    sm_metric_inc(metrics.said[kept->said.status]);
    return SM_NO_ERR;
}

/* ---- what is kept ---- */

/* Fresh, not from a time to come (a clock was set back), and by somebody whose certificate we still have. */
static bool use_if_good(sm_ocsp_query *q, const struct sm_ocsp_kept *kept, int64_t now)
{
    const struct sm_ocsp_signer *signer = sm_ocsp_signer_of(q->responder, kept->signer);
    return signer != NULL && kept->said.next_update > now + q->min_left_s &&
           kept->said.this_update <= now && sm_ok(sm_ocsp_query_use(q, signer, kept));
}

static bool use_memory(sm_ocsp_query *q, sm_ocsp_cache *cache, int64_t now)
{
    uint8_t room[SM_OCSP_TABLE_SIGNATURE_MAX];
    struct sm_ocsp_kept kept;
    bool found = (sm_ocsp_cache_get(cache, q->signer, &q->key, &kept, room) &&
                  use_if_good(q, &kept, now)) ||
                 (sm_ocsp_cache_get_unknown(cache, &q->key, &kept, room) &&
                  use_if_good(q, &kept, now));
    if (found) {
        sm_metric_inc(metrics.memory);
    }
    return found;
}

static bool use_row(sm_ocsp_query *q, sm_slice value)
{
    struct sm_ocsp_row row;
    if (!sm_ok(sm_ocsp_row_unpack(value, &row)) || !use_if_good(q, &row.kept, sm_clock_wall_s())) {
        return false;
    }
    sm_metric_inc(metrics.store);
    sm_ocsp_cache_put(sm_api_of(q->loop)->ocsp_cache, q->signer, &q->key, &row.kept, q->epoch);
    return true;
}

static void on_row(sm_store_read *read)
{
    sm_ocsp_query *q = SM_CONTAINER_OF(read, sm_ocsp_query, row);
    bool found = sm_ok(read->err) && q->row_value.ptr != NULL && use_row(q, q->row_value);
    if (found || sm_ocsp_live_start(q)) {
        sm_ocsp_query_done(q);
    }
}

static bool read_row(sm_ocsp_query *q)
{
    q->row = (sm_store_read){.home = sm_api_loop_home(q->loop),
                             .family = SM_FAMILY_OCSP,
                             .keys = &q->row_key_slice,
                             .count = 1,
                             .done = on_row,
                             .bytes = sm_buf_init(SM_OCSP_ROW_MAX),
                             .values = &q->row_value};
    return sm_ok(sm_store_submit_read(sm_api_store(sm_api_of(q->loop)), &q->row))
               ? false
               : sm_ocsp_query_fail(q, SM_OCSP_TRY_LATER);
}

static bool look_in_store(sm_ocsp_query *q)
{
    size_t len = sm_ocsp_row_key(&q->key, q->row_key);
    q->row_key_slice = sm_slice_of(q->row_key, len);
    if (len == 0) { /* no CA has such serial numbers */
        return sm_ocsp_live_start(q);
    }
    sm_buf value = sm_buf_init(SM_OCSP_ROW_MAX);
    sm_err err = sm_store_try_get(sm_api_store(sm_api_of(q->loop)), SM_FAMILY_OCSP,
                                  q->row_key_slice, &value);
    bool found = sm_ok(err) && use_row(q, sm_buf_slice(&value));
    sm_buf_deinit(&value);
    if (found) {
        return true;
    }
    return sm_err_is(err, SM_E_EXHAUSTED) ? read_row(q) : sm_ocsp_live_start(q);
}

/* One certificate, nothing of the client's own in the answer. */
bool sm_ocsp_query_kept(sm_ocsp_query *q)
{
    sm_ocsp_cache *cache = sm_api_of(q->loop)->ocsp_cache;
    q->key = (struct sm_ocsp_key){q->responder->issuer.ca_id, q->responder->issuer.generation,
                                  q->request.certs[0].hash, q->request.certs[0].serial};
    if (use_memory(q, cache, sm_clock_wall_s())) {
        return true;
    }
    q->epoch = sm_ocsp_cache_epoch(cache, q->signer);
    q->unknown_epoch = sm_ocsp_cache_unknown_epoch(cache);
    return look_in_store(q);
}

/* ---- the request ---- */

static const struct sm_ca_generation *find_generation(const sm_world *w,
                                                      const struct sm_ocsp_cert_id *id)
{
    size_t len = id->hash == SM_OCSP_SHA1 ? 20 : 32;
    return id->hash == SM_OCSP_OTHER || id->name_hash.len != len || id->key_hash.len != len
               ? NULL
               : sm_world_by_cert_id(w, id->name_hash, id->key_hash);
}

static bool can_answer(const struct sm_ocsp_responder *r)
{
    return r != NULL && (r->signer_count > 0 || r->offline);
}

/* Not ours, or of several CAs at once: 0 says neither. */
static enum sm_ocsp_error choose_responder(sm_ocsp_query *q)
{
    const struct sm_ca_generation *g = find_generation(q->world, &q->request.certs[0]);
    for (size_t i = 0; i < q->request.count; i++) {
        if (g == NULL || find_generation(q->world, &q->request.certs[i]) != g) {
            return SM_OCSP_UNAUTHORIZED;
        }
    }
    q->responder = g->ocsp;
    q->ca_id = g->ca_id;
    return can_answer(q->responder) ? 0 : SM_OCSP_TRY_LATER;
}

/* RFC 9654 2.1 leaves those that are short or long to the responder. */
static void judge_nonce(sm_ocsp_query *q)
{
    const Sealmill__Config__V1__Ocsp *ocsp = q->world->config->ocsp;
    size_t len = q->request.nonce.len;
    if ((len < 16 || len > 32) && ocsp != NULL && strcmp(ocsp->odd_nonces, "ignore") == 0) {
        q->request.nonce = SM_SLICE_NONE;
    }
}

static bool go(sm_ocsp_query *q)
{
    if (q->responder->offline) {
        return sm_ocsp_loaded_start(q);
    }
    q->signer = &q->responder->signers[0];
    q->wanted = sm_ocsp_preferred_signer(q->responder, q->request.preferred,
                                         q->request.preferred_count, sm_clock_wall_s());
    bool kept_may_do = q->request.count == 1 && q->request.nonce.ptr == NULL && q->wanted == NULL;
    return kept_may_do ? sm_ocsp_query_kept(q) : sm_ocsp_live_start(q);
}

static void begin(sm_ocsp_query *q)
{
    (void)pthread_once(&once, register_metrics);
    q->error = 0;
    q->cacheable = false;
    q->tag = 0;
    q->ca_id = 0;
    q->live = NULL;
    q->key = (struct sm_ocsp_key){0, 0, SM_OCSP_OTHER, SM_SLICE_NONE};
    q->row_key_slice = SM_SLICE_NONE;
    q->row_value = SM_SLICE_NONE;
    q->row.bytes = sm_buf_init(0);
    q->world = sm_world_attach(sm_api_of(q->loop));
}

static bool end_if(sm_ocsp_query *q, bool finished)
{
    if (finished) {
        leave(q);
    }
    return finished;
}

bool sm_ocsp_query_start(sm_ocsp_query *q, sm_slice der)
{
    begin(q);
    if (!sm_ok(sm_ocsp_request_parse(der, &q->request))) {
        return end_if(q, sm_ocsp_query_fail(q, SM_OCSP_MALFORMED));
    }
    judge_nonce(q);
    enum sm_ocsp_error error = choose_responder(q);
    return end_if(q, error != 0 ? sm_ocsp_query_fail(q, error) : go(q));
}

static sm_err write_cert_id(sm_ocsp_query *q, struct sm_ocsp_cert_id *id)
{
    sm_buf der = sm_buf_init(SM_OCSP_DATA_MAX);
    sm_err err = sm_ocsp_cert_id_write(&q->responder->issuer, id->hash, id->serial, &der);
    err = sm_ok(err) ? sm_arena_copy(q->arena, sm_buf_slice(&der), &id->der) : err;
    sm_buf_deinit(&der);
    return err;
}

bool sm_ocsp_query_start_for(sm_ocsp_query *q, const struct sm_ca_generation *g,
                             enum sm_ocsp_hash hash, sm_slice serial)
{
    begin(q);
    q->request.count = 1;
    q->request.nonce = SM_SLICE_NONE;
    q->request.preferred_count = 0;
    q->request.certs[0] = (struct sm_ocsp_cert_id){.hash = hash, .serial = serial};
    q->responder = g->ocsp;
    q->ca_id = g->ca_id;
    if (!can_answer(q->responder) || !sm_ok(write_cert_id(q, &q->request.certs[0]))) {
        return end_if(q, sm_ocsp_query_fail(q, SM_OCSP_TRY_LATER));
    }
    return end_if(q, go(q));
}
