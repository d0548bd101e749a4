/* SPDX-License-Identifier: Apache-2.0 */
#include "api/ocsp_server.h"

#include "api/http_cache.h"
#include "api/ocsp_query.h"
#include "base/clock.h"
#include "base/text.h"

struct serving {
    sm_ocsp_query query;
    sm_http_exchange *x;
    sm_api_loop *loop;
    bool later; /* the answer did not come at once: the exchange is held */
};

/* ---- answers ---- */

/* RFC 9919 5: an OCSP error is a good HTTP answer that nobody keeps. */
static void reply_uncached(sm_http_exchange *x, sm_slice body)
{
    const sm_http_header headers[] = {
        SM_HEADER("content-type", SM_LIT("application/ocsp-response")),
        SM_HEADER("cache-control", SM_LIT("no-store"))};
    sm_http_reply(x, 200, headers, 2, body);
}

static bool is_read(const sm_http_exchange *x)
{
    return sm_slice_equal(sm_http_method(x), SM_LIT("GET")) ||
           sm_slice_equal(sm_http_method(x), SM_LIT("HEAD"));
}

static void reply_cached(const struct serving *s)
{
    const sm_ocsp_query *q = &s->query;
    sm_http_header headers[1 + SM_HTTP_CACHE_HEADERS];
    struct sm_http_cache cache;
    sm_http_cache_init(&cache, q->said.this_update, q->said.next_update, q->tag, q->max_age_s,
                       sm_clock_wall_s());
    headers[0] = SM_HEADER("content-type", SM_LIT("application/ocsp-response"));
    sm_http_cache_headers(&cache, headers + 1);
    if (is_read(s->x) && sm_http_cache_is_known(&cache, s->x)) {
        sm_http_reply(s->x, 304, headers + 1, SM_HTTP_CACHE_HEADERS, SM_SLICE_NONE);
        return;
    }
    sm_http_reply(s->x, 200, headers, 1 + SM_HTTP_CACHE_HEADERS, sm_buf_slice(&q->response));
}

static void reply(struct serving *s)
{
    if (!sm_ok(sm_buf_err(&s->query.response))) {
        reply_uncached(s->x, sm_ocsp_error_response(SM_OCSP_TRY_LATER));
    } else if (s->query.cacheable) {
        reply_cached(s);
    } else {
        reply_uncached(s->x, sm_buf_slice(&s->query.response));
    }
    sm_buf_deinit(&s->query.response);
    if (s->later) {
        sm_http_release(s->x);
    }
}

static void on_done(sm_ocsp_query *q)
{
    reply(q->ctx);
}

/* ---- requests ---- */

/* `der` lives as long as the exchange. */
static void answer(struct serving *s, sm_slice der)
{
    s->query.loop = s->loop;
    s->query.arena = sm_http_arena(s->x);
    s->query.response = sm_buf_init(1U << 20);
    s->query.min_left_s = 0;
    s->query.done = on_done;
    s->query.ctx = s;
    if (sm_ocsp_query_start(&s->query, der)) {
        reply(s);
        return;
    }
    s->later = true;
    sm_http_hold(s->x);
}

static void on_body(void *ctx, sm_http_exchange *x, sm_slice body, sm_err err)
{
    (void)x;
    if (sm_ok(err)) {
        answer(ctx, body);
    }
}

static void ignore_close(void *ctx, sm_http_exchange *x, sm_err err)
{
    (void)ctx;
    (void)x;
    (void)err;
}

/* The request's base64, percent-encoded or not (RFC 6960 A.1.1). '+' is never a space; padding may be
 * missing; slashes between the responder's URL and the request are the URL's, since no request begins with
 * one. */
static void serve_get(struct serving *s, sm_slice text)
{
    sm_arena *arena = sm_http_arena(s->x);
    while (text.len > 0 && text.ptr[0] == '/') {
        text = sm_slice_from(text, 1);
    }
    sm_buf plain = sm_buf_init(SM_OCSP_REQUEST_MAX * 2);
    sm_buf der = sm_buf_init(SM_OCSP_REQUEST_MAX);
    sm_slice request;
    sm_err err = sm_percent_decode(&plain, text);
    err = sm_ok(err)
              ? sm_base64_decode(&der, sm_buf_slice(&plain), SM_BASE64_NO_PAD | SM_BASE64_URL)
              : err;
    err = sm_ok(err) ? sm_arena_copy(arena, sm_buf_slice(&der), &request) : err;
    sm_buf_deinit(&plain);
    sm_buf_deinit(&der);
    if (sm_ok(err)) {
        answer(s, request);
    } else {
        reply_uncached(s->x, sm_ocsp_error_response(SM_OCSP_MALFORMED));
    }
}

void sm_ocsp_serve(sm_api_loop *loop, sm_http_exchange *x, sm_slice rest)
{
    static const struct sm_http_stream_ops get_ops = {.on_close = ignore_close};
    struct serving *s = sm_arena_alloc(sm_http_arena(x), sizeof(*s));
    if (s == NULL) {
        sm_http_abort(x, 2);
        return;
    }
    s->x = x;
    s->loop = loop;
    s->later = false;
    if (sm_slice_equal(sm_http_method(x), SM_LIT("POST"))) {
        sm_http_collect(x, SM_OCSP_REQUEST_MAX, on_body, NULL, s);
        return;
    }
    sm_http_accept(x, &get_ops, NULL);
    if (!is_read(x)) {
        const sm_http_header allow[] = {SM_HEADER("allow", SM_LIT("GET, HEAD, POST"))};
        sm_http_reply(x, 405, allow, 1, SM_SLICE_NONE);
        return;
    }
    serve_get(s, rest);
}
