/* SPDX-License-Identifier: Apache-2.0 */
/* HTTP/2 for servers, on nghttp2, without I/O. */
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/text.h"
#include "io/h2_guard_p.h"
#include "io/h2_server_p.h"

#include <pthread.h>

static struct h2_server *of(sm_session *s)
{
    return SM_CONTAINER_OF(s, struct h2_server, base);
}

static void want_output(struct h2_server *h)
{
    h->base.host->want_output(h->base.host);
}

/* ---- requests ---- */

static int on_begin_headers(nghttp2_session *ng, const nghttp2_frame *frame, void *ctx)
{
    struct h2_server *h = ctx;
    if (frame->hd.type != NGHTTP2_HEADERS || frame->headers.cat != NGHTTP2_HCAT_REQUEST) {
        return 0;
    }
    sm_http_exchange *x = h->draining ? NULL : sm_exchange_new(&h->base, &sm_h2_transport);
    if (x == NULL) {
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE; /* resets this stream alone */
    }
    x->version = SM_HTTP_2;
    x->stream_id = frame->hd.stream_id;
    sm_list_push_back(&h->exchanges, &x->node);
    h->active++;
    (void)nghttp2_session_set_stream_user_data(ng, x->stream_id, x);
    return 0;
}

static bool take_pseudo(sm_http_exchange *x, sm_slice name, sm_slice value)
{
    sm_slice *to = sm_slice_equal(name, SM_LIT(":method"))      ? &x->method
                   : sm_slice_equal(name, SM_LIT(":scheme"))    ? &x->scheme
                   : sm_slice_equal(name, SM_LIT(":authority")) ? &x->authority
                                                                : NULL;
    sm_slice copy;
    x->header_octets += name.len + value.len + 32;
    if (x->header_octets > x->session->host->limits->header_bytes ||
        !sm_ok(sm_arena_copy(&x->arena, value, &copy))) {
        return false;
    }
    if (to != NULL) {
        *to = copy;
    } else if (sm_slice_equal(name, SM_LIT(":path"))) {
        sm_exchange_set_target(x, copy);
    }
    return true;
}

static int on_header(nghttp2_session *ng, const nghttp2_frame *frame, const uint8_t *name,
                     size_t name_len, const uint8_t *value, size_t value_len, uint8_t flags,
                     void *ctx)
{
    (void)flags;
    (void)ctx;
    sm_http_exchange *x = nghttp2_session_get_stream_user_data(ng, frame->hd.stream_id);
    if (x == NULL || x->refused) {
        return 0;
    }
    sm_slice n = sm_slice_of(name, name_len);
    sm_slice v = sm_slice_of(value, value_len);
    bool trailer = frame->headers.cat != NGHTTP2_HCAT_REQUEST;
    bool good = name_len > 0 && name[0] == ':' ? take_pseudo(x, n, v)
                                               : sm_ok(sm_exchange_add_header(x, n, v, trailer));
    if (!good) {
        x->user = x; /* too large: answered when the section is complete */
        sm_h2_count_defence(SM_H2_DEFENCE_HEADERS);
    }
    if (x->header_octets > 4UL * x->session->host->limits->header_bytes) {
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE; /* it does not stop: no answer either */
    }
    return 0;
}

/* RFC 9110 10.1.1: who waits to be told so before it sends the body, unless the answer is known
 * already. */
static void expect_continue(struct h2_server *h, sm_http_exchange *x)
{
    static const char name[] = ":status", value[] = "100";
    union {
        const char *in;
        uint8_t *out; /* nghttp2 only reads it */
    } n = {name}, v = {value};
    const nghttp2_nv status = {n.out, v.out, sizeof(name) - 1, sizeof(value) - 1,
                               NGHTTP2_NV_FLAG_NO_COPY_NAME | NGHTTP2_NV_FLAG_NO_COPY_VALUE};
    sm_slice expect = sm_http_header_get(x, SM_LIT("expect"));
    if (!x->started && !x->closed && sm_slice_equal_nocase(expect, SM_LIT("100-continue"))) {
        (void)nghttp2_submit_headers(h->ng, NGHTTP2_FLAG_NONE, x->stream_id, NULL, &status, 1,
                                     NULL);
        want_output(h);
    }
}

static void begin_request(sm_http_exchange *x)
{
    sm_slice length = sm_http_header_get(x, SM_LIT("content-length"));
    uint64_t n;
    if (length.ptr != NULL && sm_ok(sm_decimal_parse(length, &n)) && n <= INT64_MAX) {
        x->content_length = (int64_t)n; /* nghttp2 checks it against the DATA that comes */
    }
    if (x->user != NULL) {
        x->user = NULL;
        sm_exchange_refuse(x, 431, "the header section is larger than this server takes\n");
        return;
    }
    sm_exchange_begin(x);
}

static int on_settings(struct h2_server *h, const nghttp2_frame *frame)
{
    uint32_t error = (frame->hd.flags & NGHTTP2_FLAG_ACK) != 0
                         ? NGHTTP2_NO_ERROR
                         : sm_h2_strict_settings(&h->strict, h->ng);
    if (error != NGHTTP2_NO_ERROR) {
        (void)nghttp2_session_terminate_session(h->ng, error);
    }
    return 0;
}

static int on_frame_recv(nghttp2_session *ng, const nghttp2_frame *frame, void *ctx)
{
    struct h2_server *h = ctx;
    if (frame->hd.type == NGHTTP2_SETTINGS) {
        return on_settings(h, frame);
    }
    sm_http_exchange *x = nghttp2_session_get_stream_user_data(ng, frame->hd.stream_id);
    if (x == NULL || (frame->hd.type != NGHTTP2_HEADERS && frame->hd.type != NGHTTP2_DATA)) {
        return 0;
    }
    x->holds++; /* the handler may close it inside */
    if (frame->hd.type == NGHTTP2_HEADERS && frame->headers.cat == NGHTTP2_HCAT_REQUEST) {
        begin_request(x);
        if ((frame->hd.flags & NGHTTP2_FLAG_END_STREAM) == 0) {
            expect_continue(h, x);
        }
    }
    if ((frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0) {
        sm_exchange_end(x);
    }
    sm_http_release(x);
    return 0;
}

static int on_data_chunk(nghttp2_session *ng, uint8_t flags, int32_t stream_id, const uint8_t *data,
                         size_t len, void *ctx)
{
    (void)flags;
    struct h2_server *h = ctx;
    sm_http_exchange *x = nghttp2_session_get_stream_user_data(ng, stream_id);
    if (x == NULL) {
        (void)nghttp2_session_consume(ng, stream_id, len);
        want_output(h);
        return 0;
    }
    x->holds++;
    x->unconsumed += len;
    (void)sm_exchange_body(x, sm_slice_of(data, len));
    sm_http_release(x);
    return 0;
}

static int on_stream_close(nghttp2_session *ng, int32_t stream_id, uint32_t error_code, void *ctx)
{
    struct h2_server *h = ctx;
    sm_http_exchange *x = nghttp2_session_get_stream_user_data(ng, stream_id);
    if (x == NULL) {
        return 0;
    }
    h->active--;
    (void)nghttp2_session_consume_connection(ng, x->unconsumed); /* the handler cannot any more */
    (void)nghttp2_session_set_stream_user_data(ng, stream_id, NULL);
    bool complete = error_code == NGHTTP2_NO_ERROR && x->finished;
    sm_exchange_close(x, complete ? SM_NO_ERR : SM_ERR(CANCELLED));
    return 0;
}

static int on_begin_frame(nghttp2_session *ng, const nghttp2_frame_hd *hd, void *ctx)
{
    struct h2_server *h = ctx;
    uint32_t error = sm_h2_strict_begin(&h->strict, ng, hd, &h->exchanges);
    if (!sm_h2_guard_frame(&h->guard, hd, h->now_ns)) {
        error = NGHTTP2_ENHANCE_YOUR_CALM; /* RFC 9113 7: said, then the connection ends */
    }
    if (error != NGHTTP2_NO_ERROR) {
        (void)nghttp2_session_terminate_session(ng, error);
    }
    return 0;
}

static int on_invalid_frame(nghttp2_session *ng, const nghttp2_frame *frame, int code, void *ctx)
{
    struct h2_server *h = ctx;
    (void)frame;
    (void)code;
    if (!sm_h2_guard_invalid(&h->guard, h->now_ns)) {
        (void)nghttp2_session_terminate_session(ng, NGHTTP2_ENHANCE_YOUR_CALM);
    }
    return 0;
}

/* ---- session ---- */

static uint64_t now_of(const struct h2_server *h)
{
    return h->base.host->loop == NULL ? sm_clock_mono_ns() : sm_loop_now_ns(h->base.host->loop);
}

static sm_err h2_receive(sm_session *s, sm_slice bytes)
{
    struct h2_server *h = of(s);
    h->now_ns = now_of(h);
    ssize_t n = nghttp2_session_mem_recv(h->ng, bytes.ptr, bytes.len);
    want_output(h);
    if (n >= 0) {
        return SM_NO_ERR;
    }
    /* nghttp2 gives up here; the peer still hears why (RFC 9113 5.4.1). */
    bool flood = n == NGHTTP2_ERR_FLOODED || n == NGHTTP2_ERR_TOO_MANY_CONTINUATIONS;
    if (n == NGHTTP2_ERR_TOO_MANY_CONTINUATIONS) {
        sm_h2_count_defence(SM_H2_DEFENCE_CONTINUATION);
    }
    (void)nghttp2_session_terminate_session(h->ng, flood ? NGHTTP2_ENHANCE_YOUR_CALM
                                                         : NGHTTP2_PROTOCOL_ERROR);
    h->failed = true;
    return n == NGHTTP2_ERR_NOMEM ? SM_ERR(NO_MEMORY) : SM_ERR(MALFORMED);
}

static void h2_on_eof(sm_session *s)
{
    of(s)->failed = true;
}

static bool h2_produce(sm_session *s, sm_buf *out, size_t max)
{
    struct h2_server *h = of(s);
    size_t start = out->len;
    while (out->len - start < max) {
        const uint8_t *data;
        ssize_t n = nghttp2_session_mem_send(h->ng, &data);
        if (n <= 0) {
            h->failed = h->failed || n < 0;
            sm_exchange_drained_all(s->host, &h->exchanges);
            return false;
        }
        sm_buf_put(out, sm_slice_of(data, (size_t)n));
        if (!sm_ok(sm_buf_err(out))) {
            h->failed = true;
            return false;
        }
    }
    return true;
}

static bool h2_is_done(const sm_session *s)
{
    const struct h2_server *h = SM_CONTAINER_OF_CONST(s, struct h2_server, base);
    return h->failed ||
           (nghttp2_session_want_read(h->ng) == 0 && nghttp2_session_want_write(h->ng) == 0) ||
           (h->draining && h->active == 0 && nghttp2_session_want_write(h->ng) == 0);
}

static size_t h2_active(const sm_session *s)
{
    return SM_CONTAINER_OF_CONST(s, struct h2_server, base)->active;
}

static void h2_on_tick(sm_session *s, uint64_t now_ns)
{
    struct h2_server *h = of(s);
    SM_LIST_FOR_SAFE(node, tmp, &h->exchanges)
    {
        sm_http_exchange *x = SM_CONTAINER_OF(node, sm_http_exchange, node);
        if (sm_exchange_is_late(x, s->host->limits, now_ns)) {
            sm_h2_count_defence(SM_H2_DEFENCE_LATE);
            (void)nghttp2_submit_rst_stream(h->ng, NGHTTP2_FLAG_NONE, x->stream_id, NGHTTP2_CANCEL);
            want_output(h);
        }
    }
    sm_exchange_drained_all(s->host, &h->exchanges); /* other connections may have left room */
}

static void h2_drain(sm_session *s)
{
    struct h2_server *h = of(s);
    if (!h->draining) {
        h->draining = true;
        /* Streams up to the last that was opened are still answered (RFC 9113 6.8). */
        (void)nghttp2_submit_goaway(h->ng, NGHTTP2_FLAG_NONE,
                                    nghttp2_session_get_last_proc_stream_id(h->ng),
                                    NGHTTP2_NO_ERROR, NULL, 0);
        want_output(h);
    }
}

static void h2_free(sm_session *s, sm_err err)
{
    struct h2_server *h = of(s);
    h->closing = true;
    while (!sm_list_empty(&h->exchanges)) {
        sm_http_exchange *x = SM_CONTAINER_OF(h->exchanges.next, sm_http_exchange, node);
        (void)nghttp2_session_set_stream_user_data(h->ng, x->stream_id, NULL);
        sm_exchange_close(x, sm_ok(err) ? SM_ERR(CLOSED) : err);
    }
    nghttp2_session_del(h->ng);
    sm_free(h);
}

static const struct sm_session_ops h2_ops = {
    .receive = h2_receive,
    .on_eof = h2_on_eof,
    .produce = h2_produce,
    .is_done = h2_is_done,
    .active = h2_active,
    .on_tick = h2_on_tick,
    .drain = h2_drain,
    .free = h2_free,
};

/* Read-only once they are made: every session of every loop shares them. */
static nghttp2_session_callbacks *callbacks;
static pthread_once_t callbacks_once = PTHREAD_ONCE_INIT;

/* Frames of unknown types are passed over (RFC 9113 5.5), but nghttp2 tells of them only if
 * somebody wants them. */
static int on_extension(nghttp2_session *ng, void **payload, const nghttp2_frame_hd *hd, void *ctx)
{
    (void)ng;
    (void)payload;
    (void)hd;
    (void)ctx;
    return NGHTTP2_ERR_CANCEL; /* on_begin_frame has counted it */
}

static void make_callbacks(void)
{
    if (nghttp2_session_callbacks_new(&callbacks) != 0) {
        return;
    }
    nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks, on_begin_headers);
    nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
    nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_frame_recv);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data_chunk);
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_stream_close);
    nghttp2_session_callbacks_set_on_begin_frame_callback(callbacks, on_begin_frame);
    nghttp2_session_callbacks_set_unpack_extension_callback(callbacks, on_extension);
    nghttp2_session_callbacks_set_on_invalid_frame_recv_callback(callbacks, on_invalid_frame);
}

static bool submit_settings(struct h2_server *h)
{
    const struct sm_http_limits *limits = h->base.host->limits;
    const nghttp2_settings_entry settings[] = {
        {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, limits->streams},
        {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, limits->stream_window},
        {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, limits->header_bytes},
        {NGHTTP2_SETTINGS_ENABLE_CONNECT_PROTOCOL, 0},
    };
    return nghttp2_submit_settings(h->ng, NGHTTP2_FLAG_NONE, settings, 3) == 0 &&
           nghttp2_session_set_local_window_size(h->ng, NGHTTP2_FLAG_NONE, 0,
                                                 (int32_t)limits->connection_window) == 0;
}

#define CONTINUATIONS_MAX 8   /* 9 frames of 16 KiB hold any header section that we take */
#define FIRST_EXTENSION 0x0aU /* RFC 9113 6 ends with 0x09 */

sm_err sm_h2_server_new(sm_session_host *host, sm_session **out)
{
    struct h2_server *h = sm_calloc(1, sizeof(*h));
    if (h == NULL) {
        return SM_ERR(NO_MEMORY);
    }
    h->base.ops = &h2_ops;
    h->base.host = host;
    sm_list_init(&h->exchanges);
    sm_h2_guard_init(&h->guard, now_of(h));
    sm_h2_strict_init(&h->strict);
    (void)pthread_once(&callbacks_once, make_callbacks);
    nghttp2_option *option = NULL;
    int rc = callbacks == NULL ? NGHTTP2_ERR_NOMEM : nghttp2_option_new(&option);
    if (rc == 0) {
        nghttp2_option_set_no_auto_window_update(option, 1);
        nghttp2_option_set_max_settings(option, 32);
        nghttp2_option_set_max_continuations(option, CONTINUATIONS_MAX);
        for (unsigned type = FIRST_EXTENSION; type <= UINT8_MAX; type++) {
            nghttp2_option_set_user_recv_extension_type(option, (uint8_t)type);
        }
        sm_h2_memory_init(&h->memory);
        rc = nghttp2_session_server_new3(&h->ng, callbacks, h, option, &h->memory.mem);
        nghttp2_option_del(option);
    }
    if (rc != 0 || !submit_settings(h)) {
        nghttp2_session_del(h->ng);
        sm_free(h);
        return SM_ERR(NO_MEMORY);
    }
    *out = &h->base;
    host->want_output(host);
    return SM_NO_ERR;
}
