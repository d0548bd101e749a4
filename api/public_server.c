/* SPDX-License-Identifier: Apache-2.0 */
#include "api/public_server.h"

#include "api/api_p.h"
#include "api/ca_publish.h"
#include "api/crl_server.h"
#include "api/health.h"
#include "api/ocsp_schedule.h"
#include "api/ocsp_server.h"
#include "base/metrics.h"

#define METRICS_MAX (4U << 20)

static void reply_text(sm_http_exchange *x, unsigned status, sm_slice type, sm_slice body)
{
    const sm_http_header headers[] = {SM_HEADER("content-type", type)};
    sm_http_reply(x, status, headers, 1, body);
}

static bool is_get(const sm_http_exchange *x)
{
    return sm_slice_equal(sm_http_method(x), SM_LIT("GET")) ||
           sm_slice_equal(sm_http_method(x), SM_LIT("HEAD"));
}

/* Below /ca/. A certificate never changes, but which one is current does. */
static void serve_ca(sm_api_loop *loop, sm_http_exchange *x, sm_slice file)
{
    sm_world *world = sm_world_attach(sm_api_of(loop));
    sm_buf made = sm_buf_init(SM_PUBLISHED_MAX);
    sm_slice bytes;
    const char *type;
    sm_err err = sm_ca_published(world, file, &made, &bytes, &type);
    if (sm_ok(err)) {
        const sm_http_header headers[] = {
            SM_HEADER("content-type", sm_slice_str(type)),
            SM_HEADER("cache-control", SM_LIT("public, max-age=3600"))};
        sm_http_reply(x, 200, headers, 2, bytes);
    } else if (sm_err_is(err, SM_E_NOT_FOUND)) {
        reply_text(x, 404, SM_LIT("text/plain"), SM_LIT("there is no such CA\n"));
    } else {
        reply_text(x, 503, SM_LIT("text/plain"), SM_LIT("try later\n"));
    }
    sm_buf_deinit(&made);
    sm_world_detach(&world);
}

bool sm_public_serve(sm_api_loop *loop, sm_http_exchange *x)
{
    sm_slice path = sm_http_path(x);
    if (sm_slice_equal(path, SM_LIT("/ocsp")) || sm_slice_starts_with(path, SM_LIT("/ocsp/"))) {
        sm_ocsp_serve(loop, x, sm_slice_from(path, 6));
        return true;
    }
    if (sm_slice_starts_with(path, SM_LIT("/crl/")) && is_get(x)) {
        sm_crl_serve(loop, x, sm_slice_from(path, 5));
        return true;
    }
    if (sm_slice_starts_with(path, SM_LIT("/ca/")) && is_get(x)) {
        serve_ca(loop, x, sm_slice_from(path, 4));
        return true;
    }
    return false;
}

static void serve_metrics(sm_api_loop *loop, sm_http_exchange *x)
{
    sm_buf text = sm_buf_init(METRICS_MAX);
    sm_ocsp_cache_measure(sm_api_of(loop)->ocsp_cache);
    sm_metrics_render(&text);
    sm_crls_tell(sm_api_of(loop)->crls, &text);
    reply_text(x, 200, SM_LIT("text/plain; version=0.0.4; charset=utf-8"), sm_buf_slice(&text));
    sm_buf_deinit(&text);
}

/* The first line is the verdict; then one for each token that does not sign: others may, so that
 * the verdict stands. */
static void serve_readiness(sm_api_loop *loop, sm_http_exchange *x)
{
    sm_api *api = sm_api_of(loop);
    sm_buf text = sm_buf_init(16384);
    const char *trouble = sm_health_trouble(api);
    sm_buf_printf(&text, "%s%s\n",
                  trouble == NULL ? "ready" : "not ready: ", trouble == NULL ? "" : trouble);
    for (size_t i = 0; i < sm_tokens_count(sm_api_tokens(api)); i++) {
        struct sm_token_status token;
        sm_tokens_status(sm_api_tokens(api), i, &token);
        if (!token.up) {
            sm_buf_printf(&text, "token %s does not sign: %s\n", token.name, token.why);
        }
    }
    sm_ocsp_schedule_tell(api, &text);
    reply_text(x, trouble == NULL ? 200 : 503, SM_LIT("text/plain"), sm_buf_slice(&text));
    sm_buf_deinit(&text);
}

bool sm_operations_serve(sm_api_loop *loop, sm_http_exchange *x)
{
    sm_slice path = sm_http_path(x);
    if (!is_get(x)) {
        return false;
    }
    if (sm_slice_equal(path, SM_LIT("/healthz"))) {
        reply_text(x, 200, SM_LIT("text/plain"), SM_LIT("ok\n"));
    } else if (sm_slice_equal(path, SM_LIT("/readyz"))) {
        serve_readiness(loop, x);
    } else if (sm_slice_equal(path, SM_LIT("/metrics"))) {
        serve_metrics(loop, x);
    } else {
        return false;
    }
    return true;
}
