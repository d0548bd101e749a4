/* SPDX-License-Identifier: Apache-2.0 */
#include "io/h2_client_p.h"

#include "base/mem.h"

#include <nghttp2/nghttp2.h>
#include <stdio.h>

#define CALL_OUT_CAP (64U << 20)
#define CLIENT_WINDOW (16 << 20)
#define FIELDS_MAX 64

struct h2_client {
    sm_session base;
    nghttp2_session *ng;
    sm_list calls;
    size_t active;
    bool tls;
    bool failed;
    bool draining;
    char authority[128];
};

struct sm_http_call {
    sm_list node;
    struct h2_client *client; /* NULL when closed */
    int32_t stream_id;
    const struct sm_http_call_ops *ops;
    void *ctx;
    sm_buf out;
    size_t out_at;
    bool ended;
    bool headers_seen;
    sm_arena arena; /* answer's fields */
    sm_http_header *fields;
    size_t field_count;
    unsigned status;
};

static struct h2_client *of(sm_session *s)
{
    return SM_CONTAINER_OF(s, struct h2_client, base);
}

static void want_output(struct h2_client *c)
{
    c->base.host->want_output(c->base.host);
}

static void close_call(sm_http_call *call, sm_err err)
{
    sm_list_remove(&call->node);
    call->client->active--;
    call->client = NULL;
    call->ops->on_close(call->ctx, call, err);
    sm_buf_deinit(&call->out);
    sm_arena_deinit(&call->arena);
    sm_free(call);
}

/* ---- callbacks ---- */

static int on_begin_headers(nghttp2_session *ng, const nghttp2_frame *frame, void *ctx)
{
    sm_http_call *call = nghttp2_session_get_stream_user_data(ng, frame->hd.stream_id);
    (void)ctx;
    if (call != NULL) {
        sm_arena_reset(&call->arena);
        call->field_count = 0;
        call->fields = sm_arena_alloc(&call->arena, FIELDS_MAX * sizeof(*call->fields));
    }
    return call != NULL && call->fields == NULL ? NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE : 0;
}

static int on_header(nghttp2_session *ng, const nghttp2_frame *frame, const uint8_t *name,
                     size_t name_len, const uint8_t *value, size_t value_len, uint8_t flags,
                     void *ctx)
{
    sm_http_call *call = nghttp2_session_get_stream_user_data(ng, frame->hd.stream_id);
    (void)flags;
    (void)ctx;
    if (call == NULL || call->field_count == FIELDS_MAX) {
        return 0;
    }
    if (sm_slice_equal(sm_slice_of(name, name_len), SM_LIT(":status"))) {
        call->status = 0;
        for (size_t i = 0; i < value_len; i++) {
            call->status = call->status * 10 + (unsigned)(value[i] - '0');
        }
        return 0;
    }
    sm_http_header *field = &call->fields[call->field_count];
    if (sm_ok(sm_arena_copy(&call->arena, sm_slice_of(name, name_len), &field->name)) &&
        sm_ok(sm_arena_copy(&call->arena, sm_slice_of(value, value_len), &field->value))) {
        call->field_count++;
    }
    return 0;
}

static int on_frame_recv(nghttp2_session *ng, const nghttp2_frame *frame, void *ctx)
{
    sm_http_call *call = nghttp2_session_get_stream_user_data(ng, frame->hd.stream_id);
    (void)ctx;
    if (call == NULL || frame->hd.type != NGHTTP2_HEADERS ||
        (call->status < 200 && call->status != 0)) {
        return 0;
    }
    if (!call->headers_seen) {
        call->headers_seen = true;
        if (call->ops->on_headers != NULL) {
            call->ops->on_headers(call->ctx, call, call->status, call->fields, call->field_count);
        }
    } else if (call->ops->on_trailers != NULL) {
        call->ops->on_trailers(call->ctx, call, call->fields, call->field_count);
    }
    return 0;
}

static int on_data_chunk(nghttp2_session *ng, uint8_t flags, int32_t stream_id, const uint8_t *data,
                         size_t len, void *ctx)
{
    sm_http_call *call = nghttp2_session_get_stream_user_data(ng, stream_id);
    (void)flags;
    (void)ctx;
    if (call != NULL && call->ops->on_body != NULL) {
        call->ops->on_body(call->ctx, call, sm_slice_of(data, len));
    }
    return 0;
}

static int on_stream_close(nghttp2_session *ng, int32_t stream_id, uint32_t error_code, void *ctx)
{
    sm_http_call *call = nghttp2_session_get_stream_user_data(ng, stream_id);
    (void)ctx;
    if (call != NULL) {
        (void)nghttp2_session_set_stream_user_data(ng, stream_id, NULL);
        close_call(call, error_code == NGHTTP2_NO_ERROR         ? SM_NO_ERR
                         : error_code == NGHTTP2_REFUSED_STREAM ? SM_ERR(UNAVAILABLE)
                                                                : SM_ERR(CANCELLED));
    }
    return 0;
}

static ssize_t read_body(nghttp2_session *ng, int32_t stream_id, uint8_t *to, size_t len,
                         uint32_t *flags, nghttp2_data_source *source, void *ctx)
{
    sm_http_call *call = source->ptr;
    (void)ng;
    (void)stream_id;
    (void)ctx;
    sm_slice part = sm_slice_first(sm_slice_from(sm_buf_slice(&call->out), call->out_at), len);
    if (part.len > 0) {
        memcpy(to, part.ptr, part.len);
        call->out_at += part.len;
    }
    if (call->out_at == call->out.len) {
        sm_buf_reset(&call->out);
        call->out_at = 0;
        if (call->ended) {
            *flags |= NGHTTP2_DATA_FLAG_EOF;
            return (ssize_t)part.len;
        }
    }
    return part.len == 0 ? NGHTTP2_ERR_DEFERRED : (ssize_t)part.len;
}

/* ---- session ---- */

static sm_err client_receive(sm_session *s, sm_slice bytes)
{
    struct h2_client *c = of(s);
    ssize_t n = nghttp2_session_mem_recv(c->ng, bytes.ptr, bytes.len);
    want_output(c);
    c->failed = c->failed || n < 0;
    return n < 0 ? SM_ERR(MALFORMED) : SM_NO_ERR;
}

static void client_on_eof(sm_session *s)
{
    of(s)->failed = true;
}

static bool client_produce(sm_session *s, sm_buf *out, size_t max)
{
    struct h2_client *c = of(s);
    size_t start = out->len;
    while (out->len - start < max) {
        const uint8_t *data;
        ssize_t n = nghttp2_session_mem_send(c->ng, &data);
        if (n <= 0) {
            c->failed = c->failed || n < 0;
            return false;
        }
        sm_buf_put(out, sm_slice_of(data, (size_t)n));
    }
    return true;
}

static bool client_is_done(const sm_session *s)
{
    const struct h2_client *c = SM_CONTAINER_OF_CONST(s, struct h2_client, base);
    return c->failed ||
           (nghttp2_session_want_read(c->ng) == 0 && nghttp2_session_want_write(c->ng) == 0) ||
           (c->draining && c->active == 0 && nghttp2_session_want_write(c->ng) == 0);
}

static size_t client_active(const sm_session *s)
{
    return SM_CONTAINER_OF_CONST(s, struct h2_client, base)->active;
}

static void client_on_tick(sm_session *s, uint64_t now_ns)
{
    (void)s;
    (void)now_ns;
}

static void client_drain(sm_session *s)
{
    struct h2_client *c = of(s);
    c->draining = true;
    (void)nghttp2_submit_goaway(c->ng, NGHTTP2_FLAG_NONE, 0, NGHTTP2_NO_ERROR, NULL, 0);
    want_output(c);
}

static void client_free(sm_session *s, sm_err err)
{
    struct h2_client *c = of(s);
    c->failed = true;
    while (!sm_list_empty(&c->calls)) {
        sm_http_call *call = SM_CONTAINER_OF(c->calls.next, sm_http_call, node);
        (void)nghttp2_session_set_stream_user_data(c->ng, call->stream_id, NULL);
        close_call(call, sm_ok(err) ? SM_ERR(CLOSED) : err);
    }
    nghttp2_session_del(c->ng);
    sm_free(c);
}

static const struct sm_session_ops client_ops = {
    .receive = client_receive,
    .on_eof = client_on_eof,
    .produce = client_produce,
    .is_done = client_is_done,
    .active = client_active,
    .on_tick = client_on_tick,
    .drain = client_drain,
    .free = client_free,
};

static int make_session(struct h2_client *c)
{
    nghttp2_session_callbacks *callbacks;
    if (nghttp2_session_callbacks_new(&callbacks) != 0) {
        return -1;
    }
    nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks, on_begin_headers);
    nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
    nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_frame_recv);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data_chunk);
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_stream_close);
    int rc = nghttp2_session_client_new(&c->ng, callbacks, c);
    nghttp2_session_callbacks_del(callbacks);
    const nghttp2_settings_entry settings[] = {{NGHTTP2_SETTINGS_ENABLE_PUSH, 0},
                                               {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, 1 << 20}};
    if (rc == 0) {
        rc = nghttp2_submit_settings(c->ng, NGHTTP2_FLAG_NONE, settings, 2);
    }
    if (rc == 0) {
        rc = nghttp2_session_set_local_window_size(c->ng, NGHTTP2_FLAG_NONE, 0, CLIENT_WINDOW);
    }
    return rc;
}

sm_err sm_h2_client_new(sm_session_host *host, bool tls, sm_slice authority, sm_session **out)
{
    struct h2_client *c = sm_calloc(1, sizeof(*c));
    if (c == NULL) {
        return SM_ERR(NO_MEMORY);
    }
    c->base.ops = &client_ops;
    c->base.host = host;
    c->tls = tls;
    sm_list_init(&c->calls);
    (void)snprintf(c->authority, sizeof(c->authority), "%.*s", (int)authority.len,
                   (const char *)authority.ptr);
    if (make_session(c) != 0) {
        nghttp2_session_del(c->ng);
        sm_free(c);
        return SM_ERR(NO_MEMORY);
    }
    *out = &c->base;
    return SM_NO_ERR;
}

/* ---- calls ---- */

static nghttp2_nv make_nv(sm_slice name, sm_slice value)
{
    union {
        const uint8_t *in;
        uint8_t *out;
    } n = {name.ptr}, v = {value.ptr};
    return (nghttp2_nv){n.out, v.out, name.len, value.len, NGHTTP2_NV_FLAG_NONE};
}

sm_err sm_h2_client_start(sm_session *s, sm_slice method, sm_slice path,
                          const sm_http_header *headers, size_t count, sm_slice body, bool end,
                          const struct sm_http_call_ops *ops, void *ctx, sm_http_call **out)
{
    struct h2_client *c = of(s);
    if (c->failed || c->draining || count > FIELDS_MAX) {
        return SM_ERR(CLOSED);
    }
    sm_http_call *call = sm_calloc(1, sizeof(*call));
    if (call == NULL) {
        return SM_ERR(NO_MEMORY);
    }
    nghttp2_nv fields[FIELDS_MAX + 4];
    fields[0] = make_nv(SM_LIT(":method"), method);
    fields[1] = make_nv(SM_LIT(":scheme"), c->tls ? SM_LIT("https") : SM_LIT("http"));
    fields[2] = make_nv(SM_LIT(":authority"), sm_slice_str(c->authority));
    fields[3] = make_nv(SM_LIT(":path"), path);
    for (size_t i = 0; i < count; i++) {
        fields[i + 4] = make_nv(headers[i].name, headers[i].value);
    }
    call->client = c;
    call->ops = ops;
    call->ctx = ctx;
    call->ended = end;
    call->out = sm_buf_init(CALL_OUT_CAP);
    sm_arena_init(&call->arena, SM_HTTP_ARENA_CAP);
    sm_buf_put(&call->out, body);
    nghttp2_data_provider provider = {.source = {.ptr = call}, .read_callback = read_body};
    bool bodiless = end && body.len == 0;
    call->stream_id = nghttp2_submit_request(c->ng, NULL, fields, count + 4,
                                             bodiless ? NULL : &provider, call);
    if (call->stream_id < 0 || !sm_ok(sm_buf_err(&call->out))) {
        sm_buf_deinit(&call->out);
        sm_free(call);
        return SM_ERR(CLOSED);
    }
    sm_list_push_back(&c->calls, &call->node);
    c->active++;
    want_output(c);
    *out = call;
    return SM_NO_ERR;
}

bool sm_http_call_write(sm_http_call *call, sm_slice bytes)
{
    if (call->client == NULL || call->ended) {
        return true;
    }
    sm_buf_put(&call->out, bytes);
    (void)nghttp2_session_resume_data(call->client->ng, call->stream_id);
    want_output(call->client);
    return call->out.len - call->out_at <= SM_HTTP_OUT_HIGH;
}

void sm_http_call_end(sm_http_call *call)
{
    if (call->client != NULL && !call->ended) {
        call->ended = true;
        (void)nghttp2_session_resume_data(call->client->ng, call->stream_id);
        want_output(call->client);
    }
}

void sm_http_call_cancel(sm_http_call *call)
{
    if (call->client != NULL) {
        (void)nghttp2_submit_rst_stream(call->client->ng, NGHTTP2_FLAG_NONE, call->stream_id,
                                        NGHTTP2_CANCEL);
        want_output(call->client);
    }
}
