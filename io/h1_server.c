/* SPDX-License-Identifier: Apache-2.0 */
/* HTTP/1.0 and 1.1 for servers, on llhttp, without I/O. One exchange at a time: what a client
 * sends ahead waits. */
#include "base/clock.h"
#include "base/mem.h"
#include "io/h1_server_p.h"

#include <pthread.h>

static struct h1_server *of(sm_session *s)
{
    return SM_CONTAINER_OF(s, struct h1_server, base);
}

static struct h1_server *server(llhttp_t *parser)
{
    return parser->data;
}

static void want_output(struct h1_server *h)
{
    h->base.host->want_output(h->base.host);
}

/* ---- parsing ---- */

static int on_message_begin(llhttp_t *parser)
{
    struct h1_server *h = server(parser);
    h->current = sm_exchange_new(&h->base, &sm_h1_transport);
    if (h->current == NULL) {
        return -1;
    }
    sm_buf_reset(&h->field);
    sm_buf_reset(&h->value);
    sm_buf_reset(&h->target);
    h->error_status = 0;
    h->in_value = false;
    h->in_trailers = false;
    return 0;
}

/* Stops the parser with this answer. */
static int refuse(struct h1_server *h, unsigned status)
{
    h->error_status = status;
    return HPE_USER;
}

static int on_url(llhttp_t *parser, const char *at, size_t len)
{
    struct h1_server *h = server(parser);
    sm_buf_put(&h->target, sm_slice_of(at, len));
    return h->target.len > h->base.host->limits->header_bytes ? refuse(h, 414) : 0;
}

/* The field whose name and value are complete. */
static int flush_field(struct h1_server *h)
{
    if (h->field.len == 0) {
        return 0;
    }
    for (size_t i = 0; i < h->field.len; i++) {
        uint8_t c = h->field.ptr[i];
        h->field.ptr[i] = (uint8_t)(c >= 'A' && c <= 'Z' ? c + 32 : c);
    }
    sm_slice value = sm_slice_trim(sm_buf_slice(&h->value));
    sm_err err = sm_exchange_add_header(h->current, sm_buf_slice(&h->field), value, h->in_trailers);
    sm_buf_reset(&h->field);
    sm_buf_reset(&h->value);
    h->in_value = false;
    return sm_ok(err) ? 0 : refuse(h, 431);
}

static int on_header_field(llhttp_t *parser, const char *at, size_t len)
{
    struct h1_server *h = server(parser);
    if (h->in_value) {
        int rc = flush_field(h);
        if (rc != 0) {
            return rc;
        }
    }
    sm_buf_put(&h->field, sm_slice_of(at, len));
    return sm_ok(sm_buf_err(&h->field)) ? 0 : refuse(h, 431);
}

static int on_header_value(llhttp_t *parser, const char *at, size_t len)
{
    struct h1_server *h = server(parser);
    h->in_value = true;
    sm_buf_put(&h->value, sm_slice_of(at, len));
    return sm_ok(sm_buf_err(&h->value)) ? 0 : refuse(h, 431);
}

/* absolute-form "http://host/path" (RFC 9112 3.2.2), origin-form, or '*'. */
static bool set_target(sm_http_exchange *x, sm_slice target)
{
    size_t scheme = sm_slice_search(target, SM_LIT("://"));
    if (target.len > 0 && target.ptr[0] != '/' && scheme < target.len) {
        x->scheme = sm_slice_first(target, scheme);
        sm_slice rest = sm_slice_from(target, scheme + 3);
        size_t slash = sm_slice_find(rest, '/');
        x->authority = sm_slice_first(rest, slash);
        target = slash < rest.len ? sm_slice_from(rest, slash) : SM_LIT("/");
    }
    if (target.len == 0 || (target.ptr[0] != '/' && !sm_slice_equal(target, SM_LIT("*")))) {
        return false;
    }
    for (size_t i = 0; i < target.len; i++) {
        if (target.ptr[i] <= 0x20 || target.ptr[i] == 0x7f || target.ptr[i] == '#') {
            return false;
        }
    }
    sm_exchange_set_target(x, target);
    return true;
}

/* RFC 9112 3.2: exactly one Host in HTTP/1.1. */
static bool take_host(sm_http_exchange *x)
{
    size_t hosts = 0;
    for (size_t i = 0; i < x->header_count; i++) {
        hosts += sm_slice_equal(x->headers[i].name, SM_LIT("host"));
    }
    if (hosts > 1 || (hosts == 0 && x->version == SM_HTTP_1_1)) {
        return false;
    }
    if (x->authority.len == 0) {
        x->authority = sm_http_header_get(x, SM_LIT("host"));
    }
    return true;
}

/* RFC 9110 10.1.1: who waits to be told so before it sends the body is told, unless the answer is
 * known already; then nobody can say whether the body still comes, and the connection ends. */
static void begin(struct h1_server *h, sm_http_exchange *x, bool keep_alive)
{
    bool expects = sm_h1_expects_continue(h);
    h->keep_alive = keep_alive && !expects;
    sm_exchange_begin(x);
    if (expects && !x->started && !x->closed) {
        h->keep_alive = keep_alive;
        sm_h1_put_continue(h);
    }
}

static int on_headers_complete(llhttp_t *parser)
{
    struct h1_server *h = server(parser);
    sm_http_exchange *x = h->current;
    int rc = flush_field(h);
    if (rc != 0) {
        return rc;
    }
    sm_slice target;
    if (!sm_ok(sm_arena_copy(&x->arena, sm_buf_slice(&h->target), &target))) {
        return refuse(h, 503);
    }
    x->version = parser->http_major == 1 && parser->http_minor == 0 ? SM_HTTP_1_0 : SM_HTTP_1_1;
    if (parser->http_major != 1 || parser->http_minor > 1) {
        return refuse(h, 505);
    }
    x->method = sm_slice_str(llhttp_method_name((llhttp_method_t)parser->method));
    x->scheme = x->tls != NULL && x->tls->used ? SM_LIT("https") : SM_LIT("http");
    if (!set_target(x, target) || !take_host(x)) {
        return refuse(h, 400);
    }
    /* Both lengths at once are a smuggler's (RFC 9112 6.1). */
    bool chunked = (parser->flags & F_CHUNKED) != 0;
    bool has_coding = sm_http_header_get(x, SM_LIT("transfer-encoding")).ptr != NULL;
    if ((parser->flags & F_CONTENT_LENGTH) != 0) {
        if (has_coding) {
            return refuse(h, 400);
        }
        x->content_length = parser->content_length > INT64_MAX ? INT64_MAX
                                                               : (int64_t)parser->content_length;
    }
    if (has_coding && (!chunked || x->version == SM_HTTP_1_0)) {
        return refuse(h, has_coding && !chunked ? 501 : 400);
    }
    h->in_trailers = true;
    sm_list_push_back(&h->exchanges, &x->node);
    x->holds++;
    begin(h, x, llhttp_should_keep_alive(parser) != 0 && !h->draining);
    sm_http_release(x);
    return 0;
}

static int on_body(llhttp_t *parser, const char *at, size_t len)
{
    struct h1_server *h = server(parser);
    sm_http_exchange *x = h->current;
    if (x == NULL || x->closed) {
        return 0;
    }
    h->unconsumed += len;
    x->holds++;
    bool good = sm_exchange_body(x, sm_slice_of(at, len));
    sm_http_release(x);
    if (!good) {
        h->keep_alive = false; /* what is left of the body is not worth reading */
        return HPE_PAUSED;
    }
    return h->unconsumed > h->base.host->limits->stream_window ? HPE_PAUSED : 0;
}

static int on_message_complete(llhttp_t *parser)
{
    struct h1_server *h = server(parser);
    int rc = flush_field(h);
    if (rc != 0) {
        return rc;
    }
    h->request_done = true;
    sm_http_exchange *x = h->current;
    x->holds++;
    sm_exchange_end(x);
    sm_http_release(x);
    return HPE_PAUSED; /* the next request waits for this answer */
}

static llhttp_settings_t settings;
static pthread_once_t settings_once = PTHREAD_ONCE_INIT;

static void make_settings(void)
{
    llhttp_settings_init(&settings);
    settings.on_message_begin = on_message_begin;
    settings.on_url = on_url;
    settings.on_header_field = on_header_field;
    settings.on_header_value = on_header_value;
    settings.on_headers_complete = on_headers_complete;
    settings.on_body = on_body;
    settings.on_message_complete = on_message_complete;
}

/* ---- input ---- */

/* A request that cannot be parsed: one answer, then the end. */
static void fail(struct h1_server *h)
{
    unsigned status = h->error_status == 0 ? 400 : h->error_status;
    sm_http_exchange *x = h->current;
    if (x != NULL && !x->started) {
        h->current = NULL;
        sm_exchange_close(x, SM_ERR(MALFORMED));
        sm_h1_bare_answer(h, status);
    } else if (x == NULL) {
        sm_h1_bare_answer(h, status);
    } else if (!x->finished) {
        x->user = x; /* it may wait for the rest of the body: produce ends it */
    }
    h->keep_alive = false;
    h->failed = true;
    want_output(h);
}

static void parse_waiting(struct h1_server *h)
{
    while (h->input.len > 0 && !h->failed && !h->closing) {
        if (h->request_done || h->unconsumed > h->base.host->limits->stream_window) {
            return; /* until the answer has left, or the handler has consumed */
        }
        if (h->current == NULL && h->draining) {
            return;
        }
        h->parsing = true;
        llhttp_errno_t rc = llhttp_execute(&h->parser, (const char *)h->input.ptr, h->input.len);
        h->parsing = false;
        size_t used = h->input.len;
        if (rc != HPE_OK) {
            const char *stop = llhttp_get_error_pos(&h->parser);
            used = stop == NULL ? h->input.len : (size_t)((const uint8_t *)stop - h->input.ptr);
        }
        sm_buf_consume(&h->input, used);
        if (rc == HPE_PAUSED) {
            llhttp_resume(&h->parser);
        } else if (rc == HPE_PAUSED_UPGRADE) {
            llhttp_resume_after_upgrade(
                &h->parser); /* h2c and others: not taken up (RFC 9110 7.8) */
        } else if (rc != HPE_OK) {
            fail(h);
        }
    }
}

/* The peer has closed its side: what it sent whole is answered, what broke off is not. */
static void end_of_input(struct h1_server *h)
{
    if (!h->eof || h->input.len > 0 || (h->current != NULL && h->request_done)) {
        return;
    }
    h->keep_alive = false;
    h->failed = true;
    if (h->current != NULL && !h->current->started) {
        h->current->user = h->current; /* produce ends it */
    }
}

static void update_pause(struct h1_server *h)
{
    bool pause = h->input.len > 0;
    if (pause != h->paused && h->base.host->pause_reading != NULL) {
        h->paused = pause;
        h->base.host->pause_reading(h->base.host, pause);
    }
}

void sm_h1_continue_parsing(struct h1_server *h)
{
    if (!h->parsing) {
        parse_waiting(h);
        end_of_input(h);
        update_pause(h);
    }
}

static sm_err h1_receive(sm_session *s, sm_slice bytes)
{
    struct h1_server *h = of(s);
    if (h->failed) {
        return SM_NO_ERR; /* only the answer has still to leave */
    }
    sm_buf_put(&h->input, bytes);
    if (!sm_ok(sm_buf_err(&h->input))) {
        h->failed = true;
        return SM_ERR(TOO_LARGE);
    }
    parse_waiting(h);
    update_pause(h);
    want_output(h);
    return SM_NO_ERR;
}

static void h1_on_eof(sm_session *s)
{
    struct h1_server *h = of(s);
    h->eof = true;
    end_of_input(h);
    want_output(h);
}

static bool h1_is_done(const sm_session *s)
{
    const struct h1_server *h = SM_CONTAINER_OF_CONST(s, struct h1_server, base);
    bool quiet = h->current == NULL && h->out.len == 0;
    return quiet && (h->failed || h->ended || (h->draining && h->input.len == 0));
}

static size_t h1_active(const sm_session *s)
{
    return SM_CONTAINER_OF_CONST(s, struct h1_server, base)->current == NULL ? 0 : 1;
}

static void h1_on_tick(sm_session *s, uint64_t now_ns)
{
    struct h1_server *h = of(s);
    sm_http_exchange *x = h->current;
    if (x == NULL || !sm_exchange_is_late(x, s->host->limits, now_ns)) {
        return;
    }
    h->keep_alive = false;
    if (!x->started && sm_list_empty(&x->node)) {
        h->error_status = 408;
        fail(h);
    } else if (!x->started) {
        sm_exchange_refuse(x, 408, "the request did not come in time\n");
    } else {
        sm_http_abort(x, 0);
    }
}

static void h1_drain(sm_session *s)
{
    struct h1_server *h = of(s);
    h->draining = true;
    h->keep_alive = false;
    want_output(h);
}

static void h1_free(sm_session *s, sm_err err)
{
    struct h1_server *h = of(s);
    h->closing = true;
    if (h->current != NULL) {
        sm_exchange_close(h->current, sm_ok(err) ? SM_ERR(CLOSED) : err);
    }
    sm_buf_deinit(&h->input);
    sm_buf_deinit(&h->out);
    sm_buf_deinit(&h->field);
    sm_buf_deinit(&h->value);
    sm_buf_deinit(&h->target);
    sm_free(h);
}

static const struct sm_session_ops h1_ops = {
    .receive = h1_receive,
    .on_eof = h1_on_eof,
    .produce = sm_h1_produce,
    .is_done = h1_is_done,
    .active = h1_active,
    .on_tick = h1_on_tick,
    .drain = h1_drain,
    .free = h1_free,
};

#define INPUT_MAX (4U << 20) /* twice what a loop's buffers hold: all may come after a pause */

sm_err sm_h1_server_new(sm_session_host *host, sm_session **out)
{
    struct h1_server *h = sm_calloc(1, sizeof(*h));
    if (h == NULL) {
        return SM_ERR(NO_MEMORY);
    }
    h->base.ops = &h1_ops;
    h->base.host = host;
    h->input = sm_buf_init_secret(INPUT_MAX); /* requests have passwords */
    h->out = sm_buf_init(INPUT_MAX);
    h->field = sm_buf_init(host->limits->header_bytes);
    h->value = sm_buf_init_secret(host->limits->header_bytes);
    h->target = sm_buf_init(2UL * host->limits->header_bytes);
    sm_list_init(&h->exchanges);
    (void)pthread_once(&settings_once, make_settings);
    llhttp_init(&h->parser, HTTP_REQUEST, &settings);
    h->parser.data = h;
    *out = &h->base;
    return SM_NO_ERR;
}
