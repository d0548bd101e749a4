/* SPDX-License-Identifier: Apache-2.0 */
#include "api/grpc_server.h"

#include "api/method.h"
#include "base/clock.h"
#include "base/text.h"
#include "proto/grpc.h"
#include "proto/message.h"

struct grpc_call {
    sm_call call;
    sm_grpc_reader reader;
    sm_buf out;  /* one message under way */
    sm_buf held; /* of the body: not looked at, nor given back to the peer's window */
    bool started;
    bool got_message;
    bool accepts_gzip;
    bool reading; /* inside read_on */
    bool ended;   /* the request is complete */
    sm_timer deadline;
    bool has_deadline;
};

#define HELD_MAX (64U << 20) /* the peer's window ends long before */
#define GZIP_FROM 1024       /* smaller messages gain nothing */

static struct grpc_call *of(sm_call *call)
{
    return SM_CONTAINER_OF(call, struct grpc_call, call);
}

/* ---- answers ---- */

static const sm_http_header content_type = {{(const uint8_t *)"content-type", 12},
                                            {(const uint8_t *)"application/grpc", 16}};

static void start_answer(struct grpc_call *g)
{
    sm_http_header headers[4] = {content_type};
    size_t count = 1;
    headers[count++] = SM_HEADER("x-request-id", g->call.correlation_id);
    if (g->accepts_gzip) {
        headers[count++] = SM_HEADER("grpc-encoding", SM_LIT("gzip"));
        headers[count++] = SM_HEADER("grpc-accept-encoding", SM_LIT("identity,gzip"));
    }
    g->started = true;
    sm_http_start(g->call.x, 200, headers, count);
}

static bool send_message(sm_call *call, const ProtobufCMessage *message)
{
    struct grpc_call *g = of(call);
    sm_buf_reset(&g->out);
    sm_grpc_frame_header(&g->out, 0, false);
    sm_err err = sm_message_pack(message, &g->out);
    size_t len = g->out.len - SM_GRPC_FRAME_HEADER;
    if (sm_ok(err) && g->accepts_gzip && len >= GZIP_FROM) {
        sm_buf packed = sm_buf_init(len + 1024);
        packed.secret = g->out.secret;
        sm_slice plain = sm_slice_from(sm_buf_slice(&g->out), SM_GRPC_FRAME_HEADER);
        sm_grpc_frame_header(&packed, 0, true);
        if (sm_ok(sm_gzip_deflate(plain, &packed)) && packed.len < g->out.len) {
            sm_buf_deinit(&g->out);
            g->out = packed;
        } else {
            sm_buf_deinit(&packed);
        }
        len = g->out.len - SM_GRPC_FRAME_HEADER;
    }
    if (!sm_ok(err)) {
        sm_http_abort(call->x, 2);
        return true;
    }
    for (size_t i = 0; i < 4; i++) {
        g->out.ptr[1 + i] = (uint8_t)(len >> (8 * (3 - i)));
    }
    if (!g->started) {
        start_answer(g);
    }
    return sm_http_write(call->x, sm_buf_slice(&g->out));
}

/* grpc-status and what goes with it. Values live in `scratch`. */
static size_t make_trailers(sm_call *call, sm_err err, sm_buf *scratch, sm_http_header out[4])
{
    static const char *const codes[] = {"0", "1",  "2",  "3",  "4",  "5",  "6",  "7", "8",
                                        "9", "10", "11", "12", "13", "14", "15", "16"};
    size_t count = 0;
    out[count++] = SM_HEADER("grpc-status", sm_slice_str(codes[sm_grpc_status_of(err)]));
    if (sm_ok(err)) {
        return count;
    }
    sm_buf text = sm_buf_init(1024);
    sm_buf details = sm_buf_init(4096);
    sm_grpc_message(err, &call->diag, &text);
    sm_percent_encode(scratch, sm_buf_slice(&text));
    size_t message_len = scratch->len;
    if (sm_ok(sm_grpc_details(err, &call->diag, call->correlation_id, &details))) {
        sm_base64url_encode(scratch, SM_SLICE_NONE);
        sm_base64_encode(scratch, sm_buf_slice(&details));
    }
    while (scratch->len > message_len && scratch->ptr[scratch->len - 1] == '=') {
        scratch->len--; /* binary metadata goes without padding (PROTOCOL-HTTP2) */
    }
    if (sm_ok(sm_buf_err(scratch)) && scratch->len > 0) {
        out[count++] = SM_HEADER("grpc-message", sm_slice_of(scratch->ptr, message_len));
        out[count++] = SM_HEADER("grpc-status-details-bin",
                                 sm_slice_from(sm_buf_slice(scratch), message_len));
    }
    sm_buf_deinit(&text);
    sm_buf_deinit(&details);
    return count;
}

static void finish_call(sm_call *call, sm_err err)
{
    struct grpc_call *g = of(call);
    sm_buf scratch = sm_buf_init(16384);
    sm_http_header trailers[6];
    if (g->started) {
        size_t count = make_trailers(call, err, &scratch, trailers);
        sm_http_finish(call->x, trailers, count);
    } else if (!sm_ok(err)) {
        trailers[0] = content_type; /* Trailers-Only */
        trailers[1] = SM_HEADER("x-request-id", call->correlation_id);
        size_t count = make_trailers(call, err, &scratch, trailers + 2);
        sm_http_reply_headers_only(call->x, 200, trailers, count + 2);
    } else {
        start_answer(g);
        size_t count = make_trailers(call, err, &scratch, trailers);
        sm_http_finish(call->x, trailers, count);
    }
    sm_buf_deinit(&scratch);
}

/* ---- requests ---- */

static void take_message(struct grpc_call *g, sm_slice bytes)
{
    sm_call *call = &g->call;
    ProtobufCMessage *m;
    sm_arena arena;
    bool stream = call->method->client_streaming;
    if (!stream && g->got_message) {
        sm_call_finish(
            call, sm_diag_set(&call->diag, SM_ERR(MALFORMED), "", "a unary call has one message"));
        return;
    }
    g->got_message = true;
    sm_arena_init(&arena, 32U << 20);
    sm_err err = sm_message_unpack(call->method->request, bytes, stream ? &arena : &call->arena,
                                   &m);
    if (!sm_ok(err)) {
        sm_call_finish(call, sm_diag_set(&call->diag, err, "", "the message is not a %s",
                                         call->method->request->name));
    } else if (stream) {
        call->method->on_message(call, m, &arena); /* which may take the arena over */
    } else {
        call->request = m;
    }
    sm_arena_deinit(&arena);
}

/* The messages in `*rest`, as long as the answers to them find room. */
static void take_messages(struct grpc_call *g, sm_slice *rest)
{
    sm_call *call = &g->call;
    sm_slice message;
    sm_err err = SM_NO_ERR;
    while (!call->finished && !call->paused && sm_http_has_room(call->x) &&
           sm_grpc_reader_next(&g->reader, rest, &message, &err)) {
        take_message(g, message);
    }
    if (!call->finished && !sm_ok(err)) {
        err = sm_err_is(err, SM_E_TOO_LARGE)
                  ? sm_diag_set(&call->diag, SM_ERR(EXHAUSTED), "",
                                "the message is larger than %u octets", g->reader.max)
                  : sm_diag_set(&call->diag, err, "", "a broken gRPC frame");
        sm_call_finish(call, err);
    }
    if (call->finished) {
        *rest = SM_SLICE_NONE;
    }
}

static void end_request(struct grpc_call *g)
{
    sm_call *call = &g->call;
    if (sm_grpc_reader_is_partial(&g->reader)) {
        sm_call_finish(call, sm_diag_set(&call->diag, SM_ERR(TRUNCATED), "",
                                         "the stream ended inside a message"));
    } else if (call->method->client_streaming) {
        if (call->method->on_half_close != NULL) {
            call->method->on_half_close(call);
        }
    } else if (!g->got_message) {
        sm_call_finish(call, sm_diag_set(&call->diag, SM_ERR(MALFORMED), "",
                                         "a unary call without its message"));
    } else {
        sm_call_run(call, call->request);
    }
}

/* What was held, then the request's end if it has come. */
static void read_on(struct grpc_call *g)
{
    if (g->reading) {
        return; /* it looks again by itself */
    }
    g->reading = true;
    sm_slice rest = sm_buf_slice(&g->held);
    take_messages(g, &rest);
    size_t taken = g->held.len - rest.len;
    sm_buf_consume(&g->held, taken);
    g->reading = false;
    sm_http_consume(g->call.x, taken);
    if (g->ended && g->held.len == 0 && !g->call.finished) {
        g->ended = false;
        end_request(g);
    }
}

/* A peer that takes no answers may not go on asking: what it sends stays in its window. */
static void on_body(void *ctx, sm_http_exchange *x, sm_slice bytes)
{
    struct grpc_call *g = ctx;
    sm_slice rest = bytes;
    if (g->held.len == 0) {
        g->reading = true;
        take_messages(g, &rest);
        g->reading = false;
    }
    sm_buf_put(&g->held, rest);
    if (!sm_ok(sm_buf_err(&g->held))) {
        sm_http_abort(x, 2);
        return;
    }
    sm_http_consume(x, bytes.len - rest.len);
}

static void on_end(void *ctx, sm_http_exchange *x)
{
    struct grpc_call *g = ctx;
    (void)x;
    g->ended = true;
    read_on(g);
}

static void resume(sm_call *call)
{
    if (!call->gone) {
        read_on(of(call));
    }
}

static const struct sm_call_skin grpc_skin = {send_message, finish_call, resume};

static void on_writable(void *ctx, sm_http_exchange *x)
{
    struct grpc_call *g = ctx;
    (void)x;
    if (g->call.method->on_writable != NULL && !g->call.finished) {
        g->call.method->on_writable(&g->call);
    }
    read_on(g);
}

static void on_close(void *ctx, sm_http_exchange *x, sm_err err)
{
    struct grpc_call *g = ctx;
    (void)x;
    (void)err;
    g->call.gone = true;
    if (g->has_deadline) {
        sm_timer_stop(sm_http_loop(g->call.x), &g->deadline);
    }
    if (!g->call.finished && g->call.method->on_gone != NULL) {
        g->call.method->on_gone(&g->call);
    }
}

static const struct sm_http_stream_ops stream_ops = {on_body, on_end, on_writable, on_close};

/* The exchange's memory ends: so does the call's own. */
static void on_memory_end(void *ctx)
{
    struct grpc_call *g = ctx;
    sm_grpc_reader_deinit(&g->reader);
    sm_buf_deinit(&g->out);
    sm_buf_deinit(&g->held);
    sm_call_deinit(&g->call);
}

static void on_deadline(sm_timer *timer)
{
    struct grpc_call *g = SM_CONTAINER_OF(timer, struct grpc_call, deadline);
    sm_call *call = &g->call;
    if (call->finished) {
        return;
    }
    sm_call_finish(call, sm_diag_set(&call->diag, SM_ERR(TIMED_OUT), "",
                                     "the deadline of the call has passed"));
    if (call->method->on_gone != NULL) {
        call->method->on_gone(call);
    }
}

static sm_err set_deadline(struct grpc_call *g, sm_http_exchange *x)
{
    uint64_t ns;
    sm_slice text = sm_http_header_get(x, SM_LIT("grpc-timeout"));
    if (text.ptr == NULL || sm_http_loop(x) == NULL) {
        return SM_NO_ERR;
    }
    if (!sm_ok(sm_grpc_timeout_parse(text, &ns))) {
        return sm_diag_set(&g->call.diag, SM_ERR(MALFORMED), "grpc-timeout",
                           "1 to 8 digits and a unit are wanted");
    }
    uint64_t ms = ns / SM_NS_PER_MS;
    sm_timer_init(&g->deadline, on_deadline);
    g->has_deadline = true;
    return sm_timer_start(sm_http_loop(x), &g->deadline, ms > UINT32_MAX ? UINT32_MAX : ms);
}

/* Of what anybody may send: names of services and files. 256 streams of a connection that all stop
 * inside a message then hold 4 MiB, not a gigabyte. */
#define ANONYMOUS_MESSAGE_MAX 16384U

static void mark_secret(struct grpc_call *g, bool secret)
{
    g->out.secret = secret;
    g->held.secret = secret;
    g->reader.buf.secret = secret;
    g->reader.plain.secret = secret;
}

static sm_err set_encoding(struct grpc_call *g, sm_http_exchange *x, const struct sm_method *method,
                           uint32_t message_max)
{
    bool anonymous = method == NULL || method->roles == SM_ROLE_NONE_NEEDED;
    bool less = anonymous && message_max > ANONYMOUS_MESSAGE_MAX;
    sm_slice encoding = sm_http_header_get(x, SM_LIT("grpc-encoding"));
    sm_slice accepts = sm_http_header_get(x, SM_LIT("grpc-accept-encoding"));
    bool gzip = sm_slice_equal(encoding, SM_LIT("gzip"));
    g->accepts_gzip = gzip &&
                      sm_slice_search(accepts, SM_LIT("gzip")) < accepts.len; /* answered in kind */
    sm_grpc_reader_init(&g->reader, less ? ANONYMOUS_MESSAGE_MAX : message_max, gzip);
    g->out = sm_buf_init((size_t)message_max * 4);
    g->held = sm_buf_init(HELD_MAX);
    mark_secret(g, method != NULL && method->secret);
    bool known = gzip || encoding.len == 0 || sm_slice_equal(encoding, SM_LIT("identity"));
    return known ? SM_NO_ERR
                 : sm_diag_set(&g->call.diag, SM_ERR(UNIMPLEMENTED), "grpc-encoding",
                               "only identity and gzip are known");
}

#define ANONYMOUS_STREAM_MS 300000 /* nobody needs as long to ask for descriptors */

/* How long the request may take, and how large it may be: its messages have a limit of their own. */
static void limit_request(sm_http_exchange *x, const struct sm_method *method)
{
    if (method == NULL || !method->client_streaming) {
        sm_http_expect_end(x);
    } else if (method->roles == SM_ROLE_NONE_NEEDED) {
        sm_http_set_deadline(x, ANONYMOUS_STREAM_MS);
    } else {
        sm_http_limit_body(x, UINT64_MAX);
    }
}

static const struct sm_method unknown_method = {
    .service = "-", .name = "-", .roles = SM_ROLE_NONE_NEEDED};

bool sm_grpc_is_request(const sm_http_exchange *x)
{
    sm_slice type = sm_http_header_get(x, SM_LIT("content-type"));
    sm_slice grpc = SM_LIT("application/grpc");
    return sm_slice_starts_with(type, grpc) &&
           (type.len == grpc.len || type.ptr[grpc.len] == '+' || type.ptr[grpc.len] == ';');
}

/* PROTOCOL-HTTP2, Requests: the method is POST. */
static bool refuse_method(sm_http_exchange *x)
{
    const sm_http_header allow = SM_HEADER("allow", SM_LIT("POST")); /* RFC 9110 15.5.6 */
    if (sm_slice_equal(sm_http_method(x), SM_LIT("POST"))) {
        return false;
    }
    sm_http_reply_headers_only(x, 405, &allow, 1);
    return true;
}

void sm_grpc_serve(sm_api_loop *loop, sm_http_exchange *x, uint32_t message_max)
{
    if (refuse_method(x)) {
        return;
    }
    struct grpc_call *g = SM_ARENA_NEW(sm_http_arena(x), struct grpc_call);
    if (g == NULL) {
        sm_http_abort(x, 2);
        return;
    }
    const struct sm_method *method = sm_method_by_path(sm_http_path(x));
    sm_err err = set_encoding(g, x, method, message_max);
    sm_err init = sm_call_init(&g->call, &grpc_skin, method == NULL ? &unknown_method : method,
                               loop, x);
    sm_http_on_free(x, on_memory_end, g);
    sm_http_accept(x, &stream_ops, g);
    limit_request(x, method);
    if (method == NULL) {
        char shown[120];
        err = sm_diag_set(&g->call.diag, SM_ERR(UNIMPLEMENTED), "", "there is no method %s",
                          sm_diag_escape(sm_http_path(x), shown, sizeof(shown)));
    } else if (sm_ok(err)) {
        err = init;
    }
    if (sm_ok(err)) {
        err = set_deadline(g, x);
    }
    if (!sm_ok(err)) {
        sm_call_finish(&g->call, err);
    } else if (method->client_streaming && method->start != NULL) {
        method->start(&g->call, NULL);
    }
}
