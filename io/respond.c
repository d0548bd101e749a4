/* SPDX-License-Identifier: Apache-2.0 */
/* The answer's half of an exchange. */
#include "io/exchange_p.h"

#include "base/clock.h"
#include "io/ring_p.h"

#include <stdio.h>

#define ENHANCE_YOUR_CALM 11 /* RFC 9113 7 */

/* Copies fields into the arena, leaving `spare` places behind them. */
static sm_http_header *copy_fields(sm_http_exchange *x, const sm_http_header *fields, size_t count,
                                   size_t spare)
{
    sm_http_header *to = sm_arena_alloc(&x->arena, (count + spare) * sizeof(*to));
    for (size_t i = 0; i < count && to != NULL; i++) {
        if (!sm_ok(sm_arena_copy(&x->arena, fields[i].name, &to[i].name)) ||
            !sm_ok(sm_arena_copy(&x->arena, fields[i].value, &to[i].value))) {
            return NULL;
        }
    }
    return to;
}

/* False: the exchange cannot answer any more (closed, answered, or without memory: then it is
 * broken off). */
static bool set_head(sm_http_exchange *x, unsigned status, const sm_http_header *headers,
                     size_t count, size_t spare)
{
    if (x->closed || x->started) {
        return false;
    }
    x->started = true;
    x->status = status;
    x->response = copy_fields(x, headers, count, spare);
    x->response_count = count;
    if (x->response == NULL) {
        x->transport->abort(x, 2); /* INTERNAL_ERROR */
        return false;
    }
    return true;
}

void sm_http_start(sm_http_exchange *x, unsigned status, const sm_http_header *headers,
                   size_t count)
{
    if (set_head(x, status, headers, count, 0)) {
        x->transport->start(x);
    }
}

static void add_content_length(sm_http_exchange *x, size_t len)
{
    char *text = sm_arena_printf(&x->arena, "%zu", len);
    if (text != NULL) {
        x->response[x->response_count++] = (sm_http_header){SM_LIT("content-length"),
                                                            sm_slice_str(text)};
    }
}

void sm_http_mark_secret(sm_http_exchange *x)
{
    x->out.secret = true;
    x->body.secret = true;
    if (x->session != NULL) {
        x->session->host->secret = true;
    }
}

/* From now on the peer has write_timeout to take something. */
static void start_wait(sm_http_exchange *x)
{
    x->moved_ns = x->loop == NULL ? sm_clock_mono_ns() : sm_loop_now_ns(x->loop);
}

static void count_queued(sm_session_host *host, size_t more, size_t less)
{
    host->queued = host->queued + more - less;
    if (host->loop != NULL) {
        host->loop->queued = host->loop->queued + more - less;
    }
}

static bool break_off(sm_http_exchange *x, uint32_t h2_error)
{
    x->finished = true; /* nothing more is taken */
    x->transport->abort(x, h2_error);
    return false;
}

/* False: there is no memory for it, or too much waits already; then the stream is broken off. */
static bool put_out(sm_http_exchange *x, sm_slice bytes)
{
    sm_session_host *host = x->session->host;
    if (sm_http_queued(x) >= SM_HTTP_OUT_MAX || host->queued >= SM_HTTP_CONNECTION_MAX ||
        bytes.len > SM_HTTP_REPLY_MAX) {
        return break_off(x, ENHANCE_YOUR_CALM);
    }
    if (sm_http_queued(x) == 0) {
        start_wait(x);
    }
    sm_buf_put(&x->out, bytes);
    if (!sm_ok(sm_buf_err(&x->out))) {
        return break_off(x, 2);
    }
    count_queued(host, bytes.len, 0);
    return true;
}

void sm_http_reply(sm_http_exchange *x, unsigned status, const sm_http_header *headers,
                   size_t count, sm_slice body)
{
    if (!set_head(x, status, headers, count, 1)) {
        return;
    }
    bool bodiless = status == 204 || status == 304 || status < 200; /* RFC 9110 6.4.1 */
    if (!bodiless) {
        add_content_length(x, body.len);
    }
    start_wait(x);
    if (!bodiless && !x->head && !put_out(x, body)) {
        return;
    }
    x->finished = true;
    x->headers_only = x->out.len == 0;
    x->transport->start(x);
}

void sm_http_reply_headers_only(sm_http_exchange *x, unsigned status, const sm_http_header *headers,
                                size_t count)
{
    if (set_head(x, status, headers, count, 0)) {
        start_wait(x);
        x->finished = true;
        x->headers_only = true;
        x->transport->start(x);
    }
}

bool sm_http_write(sm_http_exchange *x, sm_slice bytes)
{
    if (x->closed || x->finished || !x->started) {
        return true;
    }
    if (!x->head && !put_out(x, bytes)) {
        return true;
    }
    x->transport->resume(x);
    return sm_http_has_room(x);
}

static bool finds_room(const sm_http_exchange *x)
{
    const sm_session_host *host = x->session->host;
    bool tight = host->loop != NULL && host->loop->queued > SM_HTTP_LOOP_HIGH;
    return sm_http_queued(x) <= (tight ? SM_HTTP_SMALL_OUT_HIGH : SM_HTTP_OUT_HIGH) &&
           host->queued <= (tight ? SM_HTTP_SMALL_CONNECTION_HIGH : SM_HTTP_CONNECTION_HIGH);
}

bool sm_http_has_room(sm_http_exchange *x)
{
    if (x->closed) {
        return true;
    }
    x->over_high = !finds_room(x);
    if (x->over_high && sm_http_queued(x) <= SM_HTTP_OUT_LOW) {
        x->session->host->room_wanted = true; /* its own queue will not tell */
    }
    return !x->over_high;
}

void sm_http_finish(sm_http_exchange *x, const sm_http_header *trailers, size_t count)
{
    if (x->closed || x->finished || !x->started) {
        return;
    }
    x->finished = true;
    if (sm_http_queued(x) == 0) {
        start_wait(x);
    }
    if (count > 0) {
        x->out_trailers = copy_fields(x, trailers, count, 0);
        x->out_trailer_count = x->out_trailers == NULL ? 0 : count;
    }
    x->transport->resume(x);
}

void sm_http_abort(sm_http_exchange *x, uint32_t h2_error)
{
    if (!x->closed) {
        x->transport->abort(x, h2_error);
    }
}

size_t sm_http_queued(const sm_http_exchange *x)
{
    return x->out.len - x->out_at;
}

sm_slice sm_exchange_take_out(sm_http_exchange *x, size_t max)
{
    sm_slice part = sm_slice_first(sm_slice_from(sm_buf_slice(&x->out), x->out_at), max);
    x->out_at += part.len;
    if (part.len > 0 && x->session != NULL) {
        count_queued(x->session->host, 0, part.len);
        start_wait(x);
    }
    return part;
}

void sm_exchange_drop_out(sm_http_exchange *x)
{
    if (x->session != NULL) {
        count_queued(x->session->host, 0, sm_http_queued(x));
    }
    sm_buf_consume(&x->out, x->out.len);
    x->out_at = 0;
}

static void tell_writable(sm_http_exchange *x)
{
    x->over_high = false;
    if (x->ops != NULL && x->ops->on_writable != NULL) {
        x->ops->on_writable(x->ctx, x);
    }
}

void sm_exchange_drained(sm_http_exchange *x)
{
    if (x->out_at == x->out.len) {
        sm_buf_reset(&x->out);
        x->out_at = 0;
    } else if (x->out_at > SM_HTTP_OUT_LOW) {
        sm_buf_consume(&x->out, x->out_at);
        x->out_at = 0;
    }
    if (!x->over_high || sm_http_queued(x) > SM_HTTP_OUT_LOW || x->closed) {
        return;
    }
    if (!finds_room(x)) {
        x->session->host->room_wanted = true;
        return;
    }
    tell_writable(x);
}

void sm_exchange_drained_all(sm_session_host *host, sm_list *exchanges)
{
    if (!host->room_wanted || host->queued > SM_HTTP_CONNECTION_HIGH / 2) {
        return;
    }
    bool waits = false;
    host->room_wanted = false; /* who writes and finds none sets it again */
    SM_LIST_FOR_SAFE(node, tmp, exchanges)
    {
        sm_http_exchange *x = SM_CONTAINER_OF(node, sm_http_exchange, node);
        if (!x->over_high || sm_http_queued(x) > SM_HTTP_OUT_LOW) {
            continue;
        }
        if (finds_room(x)) {
            tell_writable(x);
        } else {
            waits = true;
        }
    }
    host->room_wanted = host->room_wanted || waits;
}

void sm_exchange_refuse(sm_http_exchange *x, unsigned status, const char *text)
{
    const sm_http_header headers[] = {
        SM_HEADER("content-type", SM_LIT("text/plain; charset=utf-8"))};
    x->refused = true;
    if (x->started) {
        sm_http_abort(x, 0);
        return;
    }
    sm_http_reply(x, status, headers, 1, sm_slice_str(text));
}
