/* SPDX-License-Identifier: Apache-2.0 */
/* Answers of the HTTP/1 server session. */
#include "io/h1_server_p.h"

#include "base/check.h"
#include "base/clock.h"

#include <stdio.h>

static struct h1_server *server_of(sm_http_exchange *x)
{
    return SM_CONTAINER_OF(x->session, struct h1_server, base);
}

static void want_output(struct h1_server *h)
{
    h->base.host->want_output(h->base.host);
}

static const char *reason_of(unsigned status)
{
    static const struct {
        unsigned status;
        const char *words;
    } rows[] = {
        {100, "Continue"},
        {200, "OK"},
        {201, "Created"},
        {202, "Accepted"},
        {204, "No Content"},
        {304, "Not Modified"},
        {400, "Bad Request"},
        {401, "Unauthorized"},
        {403, "Forbidden"},
        {404, "Not Found"},
        {405, "Method Not Allowed"},
        {408, "Request Timeout"},
        {409, "Conflict"},
        {411, "Length Required"},
        {413, "Content Too Large"},
        {414, "URI Too Long"},
        {415, "Unsupported Media Type"},
        {429, "Too Many Requests"},
        {431, "Request Header Fields Too Large"},
        {499, "Client Closed Request"},
        {500, "Internal Server Error"},
        {501, "Not Implemented"},
        {503, "Service Unavailable"},
        {504, "Gateway Timeout"},
        {505, "HTTP Version Not Supported"},
    };
    for (size_t i = 0; i < SM_ARRAY_LEN(rows); i++) {
        if (rows[i].status == status) {
            return rows[i].words;
        }
    }
    return "Unknown";
}

/* "content-type" as "Content-Type": some HTTP/1 clients look for the canonical case. */
static void put_name(sm_buf *out, sm_slice name)
{
    bool upper = true;
    for (size_t i = 0; i < name.len; i++) {
        uint8_t c = name.ptr[i];
        sm_buf_put_byte(out, (uint8_t)(upper && c >= 'a' && c <= 'z' ? c - 32 : c));
        upper = c == '-';
    }
}

static void put_field(sm_buf *out, sm_slice name, sm_slice value)
{
    put_name(out, name);
    sm_buf_put_str(out, ": ");
    sm_buf_put(out, value);
    sm_buf_put_str(out, "\r\n");
}

/* RFC 9110 5.6.7 and 6.6.1. */
static void put_date(sm_buf *out)
{
    static const char *const days[] = {"Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"};
    static const char *const months[] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                         "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
    static _Thread_local int64_t cached_for;
    static _Thread_local char cached[40];
    int64_t now = sm_clock_wall_s();
    if (now != cached_for) {
        struct sm_civil c;
        sm_civil_from_unix(now, &c);
        (void)snprintf(cached, sizeof(cached), "Date: %s, %02d %s %04d %02d:%02d:%02d GMT\r\n",
                       days[(now / 86400) % 7], c.day % 100, months[(c.month - 1) % 12],
                       c.year % 10000, c.hour % 100, c.minute % 100, c.second % 100);
        cached_for = now;
    }
    sm_buf_put_str(out, cached);
}

static void put_status(sm_buf *out, enum sm_http_version version, unsigned status)
{
    sm_buf_printf(out, "HTTP/1.%d %u %s\r\n", version == SM_HTTP_1_0 ? 0 : 1, status,
                  reason_of(status));
}

static bool has_length(const sm_http_exchange *x)
{
    for (size_t i = 0; i < x->response_count; i++) {
        if (sm_slice_equal(x->response[i].name, SM_LIT("content-length"))) {
            return true;
        }
    }
    return false;
}

static void start(sm_http_exchange *x)
{
    struct h1_server *h = server_of(x);
    bool bodiless = x->head || x->status == 204 || x->status == 304;
    bool framed = bodiless || has_length(x);
    h->chunked = !framed && !(x->finished && x->headers_only) && x->version == SM_HTTP_1_1;
    if (!framed && !h->chunked && !(x->finished && x->headers_only)) {
        h->keep_alive = false; /* HTTP/1.0: the end of the connection is the end of the body */
    }
    if ((x->refused && !x->in_ended) || (h->eof && h->input.len == 0)) {
        h->keep_alive = false;
    }
    put_status(&h->out, x->version, x->status);
    put_date(&h->out);
    for (size_t i = 0; i < x->response_count; i++) {
        put_field(&h->out, x->response[i].name, x->response[i].value);
    }
    if (h->chunked) {
        sm_buf_put_str(&h->out, "Transfer-Encoding: chunked\r\n");
    } else if (!framed && x->finished && x->headers_only) {
        sm_buf_put_str(&h->out, "Content-Length: 0\r\n");
    }
    if (!h->keep_alive) {
        sm_buf_put_str(&h->out, "Connection: close\r\n");
    } else if (x->version == SM_HTTP_1_0) {
        sm_buf_put_str(&h->out, "Connection: keep-alive\r\n");
    }
    sm_buf_put_str(&h->out, "\r\n");
    want_output(h);
}

static void resume(sm_http_exchange *x)
{
    want_output(server_of(x));
}

static void break_off(sm_http_exchange *x, uint32_t h2_error)
{
    struct h1_server *h = server_of(x);
    (void)h2_error;
    h->keep_alive = false;
    h->failed = true;
    x->user = x; /* produce ends it: never inside a call of the handler */
    want_output(h);
}

static void consume(sm_http_exchange *x, size_t n)
{
    struct h1_server *h = server_of(x);
    h->unconsumed -= n < h->unconsumed ? n : h->unconsumed;
    want_output(h); /* produce goes on with the parsing */
}

const struct exchange_transport sm_h1_transport = {start, resume, break_off, consume};

void sm_h1_bare_answer(struct h1_server *h, unsigned status)
{
    const char *words = reason_of(status);
    put_status(&h->out, SM_HTTP_1_1, status);
    put_date(&h->out);
    sm_buf_printf(&h->out,
                  "Content-Type: text/plain; charset=utf-8\r\nContent-Length: %zu\r\nConnection: "
                  "close\r\n\r\n%s\n",
                  strlen(words) + 1, words);
}

bool sm_h1_expects_continue(const struct h1_server *h)
{
    const sm_http_exchange *x = h->current;
    sm_slice expect = sm_http_header_get(x, SM_LIT("expect"));
    return x->version == SM_HTTP_1_1 && sm_slice_equal_nocase(expect, SM_LIT("100-continue"));
}

void sm_h1_put_continue(struct h1_server *h)
{
    sm_buf_put_str(&h->out, "HTTP/1.1 100 Continue\r\n\r\n");
}

#define CHUNK_MAX 16384 /* one TLS record */

static void put_chunk(struct h1_server *h, sm_buf *out, sm_slice part)
{
    if (h->chunked && part.len > 0) {
        sm_buf_printf(out, "%zx\r\n", part.len);
    }
    sm_buf_put(out, part);
    if (h->chunked && part.len > 0) {
        sm_buf_put_str(out, "\r\n");
    }
}

/* RFC 9112 7.1.2: trailers only where the client says that it reads them. */
static void put_end(struct h1_server *h, sm_http_exchange *x, sm_buf *out)
{
    if (!h->chunked) {
        return;
    }
    sm_buf_put_str(out, "0\r\n");
    sm_slice te = sm_http_header_get(x, SM_LIT("te"));
    if (sm_slice_search(te, SM_LIT("trailers")) < te.len) {
        for (size_t i = 0; i < x->out_trailer_count; i++) {
            put_field(out, x->out_trailers[i].name, x->out_trailers[i].value);
        }
    }
    sm_buf_put_str(out, "\r\n");
}

/* The answer has been handed over whole. */
static void end_exchange(struct h1_server *h, sm_http_exchange *x)
{
    bool whole_request = h->request_done;
    h->current = NULL;
    h->request_done = false;
    h->unconsumed = 0;
    if (!h->keep_alive || !whole_request || (h->eof && h->input.len == 0)) {
        h->ended = true;
        h->failed = true;
    }
    sm_exchange_close(x, SM_NO_ERR);
}

static void produce_exchange(struct h1_server *h, sm_http_exchange *x, sm_buf *out, size_t max)
{
    x->holds++;
    while (x->started && out->len < max && sm_http_queued(x) > 0) {
        put_chunk(h, out, sm_exchange_take_out(x, CHUNK_MAX));
        sm_exchange_drained(x);
    }
    bool ready = !x->closed && x->finished && sm_http_queued(x) == 0;
    /* An early answer to a request whose body still comes waits for it (the client may not read
     * before it has written), unless the connection is to end anyway. */
    if (ready && (h->request_done || !h->keep_alive || h->failed)) {
        put_end(h, x, out);
        end_exchange(h, x);
    }
    sm_http_release(x);
}

bool sm_h1_produce(sm_session *s, sm_buf *out, size_t max)
{
    struct h1_server *h = SM_CONTAINER_OF(s, struct h1_server, base);
    for (;;) {
        sm_buf_put(out, sm_buf_slice(&h->out));
        sm_buf_reset(&h->out);
        sm_http_exchange *x = h->current;
        if (x != NULL && x->user != NULL) {
            h->current = NULL;
            sm_exchange_close(x, SM_ERR(CANCELLED));
            return false;
        }
        if (x != NULL) {
            produce_exchange(h, x, out, max);
        }
        size_t before = h->input.len;
        sm_h1_continue_parsing(h);
        bool moved = h->input.len != before || h->out.len > 0;
        if (out->len >= max || !moved) {
            return h->out.len > 0 ||
                   (h->current != NULL && sm_http_queued(h->current) > 0 && h->current->started);
        }
    }
}
