/* SPDX-License-Identifier: Apache-2.0 */
/* Answers of the HTTP/2 server session. */
#include "io/h2_server_p.h"

#include "base/check.h"

#include <stdio.h>

static struct h2_server *server_of(sm_http_exchange *x)
{
    return SM_CONTAINER_OF(x->session, struct h2_server, base);
}

static void want_output(struct h2_server *h)
{
    h->base.host->want_output(h->base.host);
}

/* nghttp2's list type is not constant, but with the NO_COPY flags it only reads. The fields live
 * in the exchange's arena, which outlives the stream. */
static nghttp2_nv make_nv(sm_slice name, sm_slice value)
{
    union {
        const uint8_t *in;
        uint8_t *out;
    } n = {name.ptr}, v = {value.ptr};
    /* Never the same twice: in the peer's table it would only push out what comes again (RFC 7541
     * 6.2.3). */
    bool once = sm_slice_equal(name, SM_LIT("x-request-id"));
    return (nghttp2_nv){n.out, v.out, name.len, value.len,
                        (uint8_t)(NGHTTP2_NV_FLAG_NO_COPY_NAME | NGHTTP2_NV_FLAG_NO_COPY_VALUE |
                                  (once ? NGHTTP2_NV_FLAG_NO_INDEX : NGHTTP2_NV_FLAG_NONE))};
}

static void submit_trailers(struct h2_server *h, sm_http_exchange *x)
{
    nghttp2_nv fields[SM_HTTP_HEADERS_MAX];
    size_t count = x->out_trailer_count < SM_HTTP_HEADERS_MAX ? x->out_trailer_count
                                                              : SM_HTTP_HEADERS_MAX;
    for (size_t i = 0; i < count; i++) {
        fields[i] = make_nv(x->out_trailers[i].name, x->out_trailers[i].value);
    }
    (void)nghttp2_submit_trailer(h->ng, x->stream_id, fields, count);
}

static ssize_t read_body(nghttp2_session *ng, int32_t stream_id, uint8_t *to, size_t len,
                         uint32_t *flags, nghttp2_data_source *source, void *ctx)
{
    struct h2_server *h = ctx;
    sm_http_exchange *x = source->ptr;
    (void)ng;
    (void)stream_id;
    sm_slice part = sm_exchange_take_out(x, len);
    if (part.len > 0) {
        memcpy(to, part.ptr, part.len);
    }
    sm_exchange_drained(x);
    if (part.len == 0 && sm_http_queued(x) > 0) { /* on_writable has written */
        part = sm_exchange_take_out(x, len);
        memcpy(to, part.ptr, part.len);
    }
    if (x->finished && sm_http_queued(x) == 0) {
        *flags |= NGHTTP2_DATA_FLAG_EOF;
        if (x->out_trailer_count > 0) {
            *flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
            submit_trailers(h, x);
        }
        return (ssize_t)part.len;
    }
    return part.len == 0 ? NGHTTP2_ERR_DEFERRED : (ssize_t)part.len;
}

static void start(sm_http_exchange *x)
{
    struct h2_server *h = server_of(x);
    nghttp2_nv fields[SM_HTTP_HEADERS_MAX + 1];
    char *status = sm_arena_printf(&x->arena, "%u", x->status);
    size_t count = x->response_count < SM_HTTP_HEADERS_MAX ? x->response_count
                                                           : SM_HTTP_HEADERS_MAX;
    if (status == NULL) {
        sm_h2_transport.abort(x, NGHTTP2_INTERNAL_ERROR);
        return;
    }
    fields[0] = make_nv(SM_LIT(":status"), sm_slice_str(status));
    for (size_t i = 0; i < count; i++) {
        fields[i + 1] = make_nv(x->response[i].name, x->response[i].value);
    }
    nghttp2_data_provider provider = {.source = {.ptr = x}, .read_callback = read_body};
    bool bodiless = x->headers_only && x->finished;
    if (nghttp2_submit_response(h->ng, x->stream_id, fields, count + 1,
                                bodiless ? NULL : &provider) != 0) {
        sm_h2_transport.abort(x, NGHTTP2_INTERNAL_ERROR);
    }
    want_output(h);
}

static void resume(sm_http_exchange *x)
{
    struct h2_server *h = server_of(x);
    (void)nghttp2_session_resume_data(
        h->ng, x->stream_id); /* fails when it was not deferred: nothing to do */
    want_output(h);
}

static void break_off(sm_http_exchange *x, uint32_t h2_error)
{
    struct h2_server *h = server_of(x);
    (void)nghttp2_submit_rst_stream(h->ng, NGHTTP2_FLAG_NONE, x->stream_id, h2_error);
    want_output(h);
}

static void consume(sm_http_exchange *x, size_t n)
{
    struct h2_server *h = server_of(x);
    x->unconsumed -= n < x->unconsumed ? n : x->unconsumed;
    (void)nghttp2_session_consume(h->ng, x->stream_id, n);
    want_output(h);
}

const struct exchange_transport sm_h2_transport = {start, resume, break_off, consume};
