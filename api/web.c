/* SPDX-License-Identifier: Apache-2.0 */
#include "api/web.h"

#include "base/check.h"
#include "io/http.h"

#define H2_INTERNAL_ERROR 2 /* RFC 9113 7 */

sm_slice sm_web_method(const sm_web *w)
{
    return sm_http_method(w);
}

sm_slice sm_web_path(const sm_web *w)
{
    return sm_http_path(w);
}

sm_slice sm_web_header(const sm_web *w, sm_slice name)
{
    return sm_http_header_get(w, name);
}

sm_arena *sm_web_arena(sm_web *w)
{
    return sm_http_arena(w);
}

void sm_web_collect(sm_web *w, uint64_t max,
                    void (*done)(void *ctx, sm_web *w, sm_slice body, sm_err err), void *ctx)
{
    sm_http_collect(w, max, done, NULL, ctx);
}

static void ignore_close(void *ctx, sm_http_exchange *x, sm_err err)
{
    (void)ctx;
    (void)x;
    (void)err;
}

void sm_web_accept(sm_web *w)
{
    static const struct sm_http_stream_ops ops = {.on_close = ignore_close};
    sm_http_accept(w, &ops, NULL);
}

void sm_web_mark_secret(sm_web *w)
{
    sm_http_mark_secret(w);
}

void sm_web_reply(sm_web *w, unsigned status, const struct sm_web_header *headers, size_t count,
                  sm_slice body)
{
    sm_http_header out[SM_WEB_HEADERS_MAX];
    SM_CHECK(count <= SM_WEB_HEADERS_MAX);
    for (size_t i = 0; i < count; i++) {
        out[i] = (sm_http_header){headers[i].name, headers[i].value};
    }
    sm_http_reply(w, status, out, count, body);
}

void sm_web_abort(sm_web *w)
{
    sm_http_abort(w, H2_INTERNAL_ERROR);
}

void sm_web_hold(sm_web *w)
{
    sm_http_hold(w);
}

void sm_web_release(sm_web *w)
{
    sm_http_release(w);
}
