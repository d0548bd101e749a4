/* SPDX-License-Identifier: Apache-2.0 */
#include "io/exchange_p.h"

struct collector {
    void (*done)(void *ctx, sm_http_exchange *x, sm_slice body, sm_err err);
    void (*on_close)(void *ctx, sm_http_exchange *x, sm_err err);
    void (*on_writable)(void *ctx, sm_http_exchange *x);
    void *ctx;
    bool called;
};

static void call_done(struct collector *c, sm_http_exchange *x, sm_err err)
{
    if (!c->called) {
        c->called = true;
        c->done(c->ctx, x, sm_ok(err) ? sm_buf_slice(&x->body) : SM_SLICE_NONE, err);
    }
}

static void on_body(void *ctx, sm_http_exchange *x, sm_slice bytes)
{
    (void)ctx;
    sm_buf_put(&x->body, bytes);
    sm_http_consume(x, bytes.len);
}

static void on_end(void *ctx, sm_http_exchange *x)
{
    struct collector *c = ctx;
    call_done(c, x, sm_buf_err(&x->body));
}

static void on_close(void *ctx, sm_http_exchange *x, sm_err err)
{
    struct collector *c = ctx;
    bool before = !c->called;
    call_done(c, x, x->refused ? SM_ERR(TOO_LARGE) : (sm_ok(err) ? SM_ERR(CLOSED) : err));
    if (!before && c->on_close != NULL) {
        c->on_close(c->ctx, x, err);
    }
}

static void on_writable(void *ctx, sm_http_exchange *x)
{
    struct collector *c = ctx;
    if (c->on_writable != NULL) {
        c->on_writable(c->ctx, x);
    }
}

static const struct sm_http_stream_ops collect_ops = {
    .on_body = on_body,
    .on_end = on_end,
    .on_writable = on_writable,
    .on_close = on_close,
};

void sm_http_collect_stream(sm_http_exchange *x, uint64_t max,
                            void (*done)(void *ctx, sm_http_exchange *x, sm_slice body, sm_err err),
                            void (*closed)(void *ctx, sm_http_exchange *x, sm_err err),
                            void (*writable)(void *ctx, sm_http_exchange *x), void *ctx)
{
    struct collector *c = SM_ARENA_NEW(&x->arena, struct collector);
    if (c == NULL) {
        sm_http_abort(x, 2);
        done(ctx, x, SM_SLICE_NONE, SM_ERR(NO_MEMORY));
        return;
    }
    x->body.cap = max;
    *c = (struct collector){done, closed, writable, ctx, false};
    sm_http_limit_body(x, max);
    sm_http_expect_end(x);
    sm_http_accept(x, &collect_ops, c);
}

void sm_http_collect(sm_http_exchange *x, uint64_t max,
                     void (*done)(void *ctx, sm_http_exchange *x, sm_slice body, sm_err err),
                     void (*closed)(void *ctx, sm_http_exchange *x, sm_err err), void *ctx)
{
    sm_http_collect_stream(x, max, done, closed, NULL, ctx);
}
