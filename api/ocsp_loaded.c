/* SPDX-License-Identifier: Apache-2.0 */
/* Answers of a CA whose key is offline: whole, as they were signed there. */
#include "api/api_p.h"
#include "api/ocsp_query_p.h"
#include "base/clock.h"
#include "base/metrics.h"
#include "ocsp-cache/ocsp_foreign.h"

#include <pthread.h>

static sm_metric from_loaded;
static sm_metric stale;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void register_metrics(void)
{
    from_loaded = sm_metric_register(SM_COUNTER, "sealmill_ocsp_kept_total",
                                     "Pre-signed OCSP answers by where they were",
                                     "from=\"loaded\"");
    stale = sm_metric_register(SM_COUNTER, "sealmill_ocsp_loaded_stale_total",
                               "Queries to offline CAs whose loaded answer was past its nextUpdate",
                               NULL);
}

static sm_err use(sm_ocsp_query *q, const struct sm_ocsp_loaded *loaded)
{
    uint8_t digest[20];
    SM_TRY(sm_sha1(loaded->response, digest)); /* for the ETag alone */
    memcpy(&q->tag, digest, sizeof(q->tag));
    sm_buf_put(&q->response, loaded->response);
    q->cacheable = true;
    q->max_age_s = q->responder->rules.max_age_s;
    q->said = loaded->said;
    sm_ocsp_query_count(q);
    sm_metric_inc(from_loaded);
    return sm_buf_err(&q->response);
}

/* RFC 9919 5: what is not here is unauthorized; what is not fresh will be, perhaps. */
static bool conclude(sm_ocsp_query *q, sm_err err, sm_slice row)
{
    struct sm_ocsp_loaded loaded;
    if (!sm_ok(err)) {
        return sm_ocsp_query_fail(q, SM_OCSP_TRY_LATER);
    }
    if (row.ptr == NULL) {
        return sm_ocsp_query_fail(q, SM_OCSP_UNAUTHORIZED);
    }
    err = sm_ocsp_loaded_unpack(row, q->arena, &loaded);
    if (sm_ok(err) && loaded.said.next_update <= sm_clock_wall_s()) {
        sm_metric_inc(stale);
        return sm_ocsp_query_fail(q, SM_OCSP_TRY_LATER);
    }
    err = sm_ok(err) ? use(q, &loaded) : err;
    return sm_ok(err) || sm_ocsp_query_fail(q, SM_OCSP_INTERNAL);
}

static void on_row(sm_store_read *read)
{
    sm_ocsp_query *q = SM_CONTAINER_OF(read, sm_ocsp_query, row);
    q->loop->ocsp_pending--;
    (void)conclude(q, read->err, q->row_value);
    sm_ocsp_query_done(q);
}

static bool read_row(sm_ocsp_query *q)
{
    q->row = (sm_store_read){.home = sm_api_loop_home(q->loop),
                             .family = SM_FAMILY_OCSP,
                             .keys = &q->row_key_slice,
                             .count = 1,
                             .done = on_row,
                             .bytes = sm_buf_init(SM_OCSP_LOADED_MAX * 2),
                             .values = &q->row_value};
    if (!sm_ok(sm_store_submit_read(sm_api_store(sm_api_of(q->loop)), &q->row))) {
        return sm_ocsp_query_fail(q, SM_OCSP_TRY_LATER);
    }
    q->loop->ocsp_pending++;
    return false;
}

/* A nonce is passed over, as RFC 9654 lets us; several CertIDs have no answer signed together. */
bool sm_ocsp_loaded_start(sm_ocsp_query *q)
{
    (void)pthread_once(&once, register_metrics);
    q->key = (struct sm_ocsp_key){q->responder->issuer.ca_id, q->responder->issuer.generation,
                                  q->request.certs[0].hash, q->request.certs[0].serial};
    size_t len = sm_ocsp_loaded_key(&q->key, q->row_key);
    if (len == 0 || q->request.count != 1) {
        return sm_ocsp_query_fail(q, SM_OCSP_UNAUTHORIZED);
    }
    q->row_key_slice = sm_slice_of(q->row_key, len);
    sm_buf value = sm_buf_init(SM_OCSP_LOADED_MAX * 2);
    sm_err err = sm_store_try_get(sm_api_store(sm_api_of(q->loop)), SM_FAMILY_OCSP,
                                  q->row_key_slice, &value);
    bool absent = sm_err_is(err, SM_E_NOT_FOUND);
    bool here = sm_ok(err) || absent;
    if (here) {
        (void)conclude(q, SM_NO_ERR, absent ? SM_SLICE_NONE : sm_buf_slice(&value));
    }
    sm_buf_deinit(&value);
    return here || read_row(q);
}
