/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/client_stream.h"

#include "base/clock.h"
#include "base/mem.h"
#include "proto/grpc.h"
#include "proto/message.h"

#include <stdio.h>

#define TURN_MS 100
#define ANSWER_MEMORY (32U << 20)

struct client_stream {
    struct client_stream_config config;
    sm_tls_client *tls;
    sm_loop *loop;
    sm_http_client *client;
    sm_http_call *call; /* NULL: not begun, or over */
    sm_grpc_reader reader;
    sm_buf out;
    uint64_t answers;
    bool answered;
    bool has_status;
    bool ended; /* half-closed by us */
    bool over;
    bool closed;
    sm_err err;
};

/* ---- the call ---- */

static void on_headers(void *ctx, sm_http_call *http, unsigned status,
                       const sm_http_header *headers, size_t count)
{
    client_stream *s = ctx;
    (void)http;
    (void)status;
    s->answered = true;
    for (size_t i = 0; i < count; i++) {
        if (sm_slice_equal(headers[i].name, SM_LIT("grpc-status"))) { /* trailers-only */
            s->err = client_status(headers, count, s->config.diag);
            s->has_status = true;
        }
    }
}

static void take_answer(client_stream *s, sm_slice octets)
{
    ProtobufCMessage *m;
    sm_arena arena;
    sm_arena_init(&arena, ANSWER_MEMORY);
    if (sm_ok(sm_message_unpack(s->config.answer, octets, &arena, &m))) {
        s->config.on_answer(s->config.ctx, m);
    }
    s->answers++;
    sm_arena_deinit(&arena);
}

static void on_body(void *ctx, sm_http_call *http, sm_slice bytes)
{
    client_stream *s = ctx;
    sm_slice message;
    sm_err err = SM_NO_ERR;
    (void)http;
    while (sm_grpc_reader_next(&s->reader, &bytes, &message, &err)) {
        take_answer(s, message);
    }
}

static void on_trailers(void *ctx, sm_http_call *http, const sm_http_header *trailers, size_t count)
{
    client_stream *s = ctx;
    (void)http;
    s->err = client_status(trailers, count, s->config.diag);
    s->has_status = true;
}

static void on_call_close(void *ctx, sm_http_call *http, sm_err err)
{
    client_stream *s = ctx;
    (void)http;
    if (!s->has_status) {
        s->err = client_no_status(s->config.target, s->answered, err, s->config.diag);
    }
    s->call = NULL;
    s->over = true;
    sm_http_client_close(s->client);
}

static const struct sm_http_call_ops call_ops = {on_headers, on_body, on_trailers, on_call_close};

/* ---- the connection ---- */

static void on_connected(void *ctx, sm_err err, const sm_diag *diag)
{
    client_stream *s = ctx;
    char authorization[300];
    if (!sm_ok(err)) {
        s->err = client_no_connection(s->config.target, err, diag, s->config.diag);
        s->over = true;
        return;
    }
    (void)snprintf(authorization, sizeof(authorization), "Bearer %s", s->config.target->token);
    const sm_http_header headers[] = {SM_HEADER("content-type", SM_LIT("application/grpc")),
                                      SM_HEADER("te", SM_LIT("trailers")),
                                      SM_HEADER("authorization", sm_slice_str(authorization))};
    size_t count = s->config.target->token[0] == '\0' ? 2 : 3;
    s->err = sm_http_call_start(s->client, SM_LIT("POST"), sm_slice_str(s->config.path), headers,
                                count, SM_SLICE_NONE, false, &call_ops, s, &s->call);
    s->over = !sm_ok(s->err);
}

static void on_closed(void *ctx, sm_err err)
{
    client_stream *s = ctx;
    (void)err;
    s->over = true;
    s->closed = true;
}

static const struct sm_http_client_ops client_ops = {on_connected, on_closed};

/* Turns the loop until the stream is over or `done` says true. */
static sm_err turn_until(client_stream *s, bool (*done)(const client_stream *s, uint64_t n),
                         uint64_t n)
{
    uint64_t until = sm_clock_mono_ns() + CLIENT_STREAM_TIMEOUT_S * SM_NS_PER_S;
    while (!s->over && !done(s, n)) {
        if (sm_clock_mono_ns() > until) {
            return sm_diag_set(s->config.diag, SM_ERR(TIMED_OUT), "server", "no answer for %d s",
                               CLIENT_STREAM_TIMEOUT_S);
        }
        sm_loop_turn(s->loop, TURN_MS);
    }
    if (!s->over || done(s, n)) {
        return SM_NO_ERR;
    }
    return sm_ok(s->err)
               ? sm_diag_set(s->config.diag, SM_ERR(CLOSED), "server", "the stream ended too early")
               : s->err;
}

/* ---- public ---- */

static bool has_call(const client_stream *s, uint64_t n)
{
    (void)n;
    return s->call != NULL;
}

sm_err client_stream_open(const struct client_stream_config *config, client_stream **out)
{
    client_stream *s = sm_calloc(1, sizeof(*s));
    if (s == NULL) {
        return SM_ERR(NO_MEMORY);
    }
    s->config = *config;
    s->out = sm_buf_init(CLIENT_ANSWER_MAX);
    sm_grpc_reader_init(&s->reader, CLIENT_STREAM_ANSWER_MAX, false);
    sm_err err = client_open_tls(config->target, &s->tls, config->diag);
    err = sm_ok(err) ? sm_loop_new(&s->loop, config->diag) : err;
    err = sm_ok(err) ? sm_http_client_connect(s->loop, config->target->server, s->tls, &client_ops,
                                              s, &s->client, config->diag)
                     : err;
    err = sm_ok(err) ? turn_until(s, has_call, 0) : err;
    if (!sm_ok(err)) {
        client_stream_free(&s);
        return err;
    }
    *out = s;
    return SM_NO_ERR;
}

sm_err client_stream_send(client_stream *s, const ProtobufCMessage *message)
{
    sm_buf_reset(&s->out);
    sm_grpc_frame_header(&s->out, (uint32_t)protobuf_c_message_get_packed_size(message), false);
    SM_TRY(sm_message_pack(message, &s->out));
    SM_TRY(turn_until(s, has_call, 0));
    (void)sm_http_call_write(s->call, sm_buf_slice(&s->out));
    sm_loop_turn(s->loop, 0);
    return SM_NO_ERR;
}

static bool has_answers(const client_stream *s, uint64_t n)
{
    return s->answers >= n;
}

sm_err client_stream_wait(client_stream *s, uint64_t answers)
{
    return turn_until(s, has_answers, answers);
}

static bool never(const client_stream *s, uint64_t n)
{
    (void)s;
    (void)n;
    return false;
}

sm_err client_stream_finish(client_stream *s)
{
    if (s->call != NULL && !s->ended) {
        s->ended = true;
        sm_http_call_end(s->call);
    }
    sm_err err = turn_until(s, never, 0);
    return s->over && s->has_status ? s->err : err;
}

void client_stream_free(client_stream **out)
{
    client_stream *s = *out;
    if (s == NULL) {
        return;
    }
    *out = NULL;
    if (s->client != NULL && !s->closed) {
        sm_http_client_close(s->client);
    }
    for (int i = 0; s->client != NULL && !s->closed && i < 100; i++) {
        sm_loop_turn(s->loop, TURN_MS);
    }
    if (s->closed) {
        sm_http_client_free(&s->client);
    }
    sm_loop_free(&s->loop);
    sm_tls_client_free(&s->tls);
    sm_grpc_reader_deinit(&s->reader);
    sm_buf_deinit(&s->out);
    sm_free(s);
}
