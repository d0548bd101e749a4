/* SPDX-License-Identifier: Apache-2.0 */
#include "io/exchange_p.h"

#include "base/clock.h"
#include "base/mem.h"
#include "base/metrics.h"
#include "base/rand.h"
#include "base/text.h"

#define POOL_MAX 256

/* Spare exchanges of this thread, with their arenas' first blocks: the steady state allocates
 * nothing. */
static _Thread_local sm_http_exchange *pool[POOL_MAX];
static _Thread_local size_t pool_count;

static sm_http_exchange *take_from_pool(void)
{
    if (pool_count > 0) {
        return pool[--pool_count];
    }
    sm_http_exchange *x = sm_calloc(1, sizeof(*x));
    if (x != NULL) {
        sm_arena_init(&x->arena, SM_HTTP_ARENA_CAP);
        x->out = sm_buf_init(SM_HTTP_REPLY_MAX + SM_HTTP_OUT_MAX);
        x->body = sm_buf_init(0);
    }
    return x;
}

static void destroy(sm_http_exchange *x)
{
    sm_arena_deinit(&x->arena);
    sm_buf_deinit(&x->out);
    sm_buf_deinit(&x->body);
    sm_free(x);
}

#define OUT_KEEP 16384 /* larger buffers are not kept */

/* Passwords and tokens are in the arena, which nobody wipes. */
static void wipe_credentials(const sm_http_exchange *x)
{
    for (size_t i = 0; i < x->header_count; i++) {
        if (sm_slice_equal(x->headers[i].name, SM_LIT("authorization"))) {
            union {
                const uint8_t *in;
                uint8_t *out;
            } octets = {x->headers[i].value.ptr};
            sm_wipe(octets.out, x->headers[i].value.len);
        }
    }
}

static void give_to_pool(sm_http_exchange *x)
{
    wipe_credentials(x);
    if (pool_count == POOL_MAX || x->out.room > OUT_KEEP || x->body.room > OUT_KEEP) {
        destroy(x);
        return;
    }
    sm_arena_reset(&x->arena);
    sm_buf_reset(&x->out); /* wipes them, if they were secret */
    sm_buf_reset(&x->body);
    x->out.secret = false;
    x->body.secret = false;
    pool[pool_count++] = x;
}

void sm_exchange_pool_drain(void)
{
    while (pool_count > 0) {
        destroy(pool[--pool_count]);
    }
}

sm_http_exchange *sm_exchange_new(sm_session *s, const struct exchange_transport *transport)
{
    sm_http_exchange *x = take_from_pool();
    if (x == NULL) {
        return NULL;
    }
    sm_arena arena = x->arena;
    sm_buf out = x->out;
    sm_buf body = x->body;
    sm_session_host *host = s->host;
    *x = (sm_http_exchange){
        .session = s,
        .transport = transport,
        .arena = arena,
        .out = out,
        .body = body,
        .content_length = -1,
        .loop = host->loop,
        .tls = host->tls,
        .peer = host->peer,
        .peer_address = host->peer_address,
        .listener = host->listener,
        .body_max = host->limits->body_bytes,
        .started_ns = host->loop == NULL ? sm_clock_mono_ns() : sm_loop_now_ns(host->loop),
    };
    sm_list_init(&x->node);
    return x;
}

static void maybe_free(sm_http_exchange *x)
{
    if (x->closed && x->holds == 0) {
        if (x->on_free != NULL) {
            x->on_free(x->on_free_ctx);
        }
        give_to_pool(x);
    }
}

void sm_exchange_close(sm_http_exchange *x, sm_err err)
{
    if (x->closed) {
        return;
    }
    sm_list_remove(&x->node);
    x->closed = true;
    sm_exchange_drop_out(x);
    x->session = NULL;
    x->holds++; /* the handler may release its own hold in on_close */
    if (x->ops != NULL) {
        x->ops->on_close(x->ctx, x, err);
    }
    x->tls = NULL;
    x->peer = SM_SLICE_NONE;
    sm_http_release(x);
}

void sm_http_hold(sm_http_exchange *x)
{
    x->holds++;
}

void sm_http_release(sm_http_exchange *x)
{
    SM_CHECK(x->holds > 0);
    x->holds--;
    maybe_free(x);
}

void sm_http_on_free(sm_http_exchange *x, void (*fn)(void *ctx), void *ctx)
{
    x->on_free = fn;
    x->on_free_ctx = ctx;
}

bool sm_http_is_open(const sm_http_exchange *x)
{
    return !x->closed;
}

/* ---- the request ---- */

/* Grows a list of fields in the arena. */
static bool make_field_room(sm_arena *arena, sm_http_header **list, size_t count, size_t *room)
{
    if (count < *room) {
        return true;
    }
    size_t bigger = *room == 0 ? 16 : *room * 2;
    sm_http_header *to = sm_arena_alloc(arena, bigger * sizeof(*to));
    if (to == NULL) {
        return false;
    }
    if (count > 0) {
        memcpy(to, *list, count * sizeof(*to));
    }
    *list = to;
    *room = bigger;
    return true;
}

#define FIELD_OVERHEAD 32 /* RFC 9113 6.5.2 */

sm_err sm_exchange_add_header(sm_http_exchange *x, sm_slice name, sm_slice value, bool trailer)
{
    size_t *count = trailer ? &x->trailer_count : &x->header_count;
    sm_http_header **list = trailer ? &x->trailers : &x->headers;
    x->header_octets += name.len + value.len + FIELD_OVERHEAD;
    if (*count == SM_HTTP_HEADERS_MAX ||
        (x->session != NULL && x->header_octets > x->session->host->limits->header_bytes)) {
        return SM_ERR(TOO_LARGE);
    }
    sm_http_header field;
    if (!make_field_room(&x->arena, list, *count, trailer ? &x->trailer_room : &x->header_room)) {
        return SM_ERR(NO_MEMORY);
    }
    SM_TRY(sm_arena_copy(&x->arena, name, &field.name));
    SM_TRY(sm_arena_copy(&x->arena, value, &field.value));
    (*list)[(*count)++] = field;
    return SM_NO_ERR;
}

void sm_exchange_set_target(sm_http_exchange *x, sm_slice target)
{
    size_t mark = sm_slice_find(target, '?');
    x->path = sm_slice_first(target, mark);
    x->query = mark < target.len ? sm_slice_from(target, mark + 1) : SM_SLICE_NONE;
}

void sm_exchange_begin(sm_http_exchange *x)
{
    x->head = sm_slice_equal(x->method, SM_LIT("HEAD"));
    if (x->content_length > 0 && (uint64_t)x->content_length > x->body_max) {
        sm_exchange_refuse(x, 413, "the body is larger than this server takes\n");
        return;
    }
    struct sm_http_handler handler = x->session->host->handler;
    handler.on_request(handler.ctx, x);
}

bool sm_exchange_body(sm_http_exchange *x, sm_slice bytes)
{
    x->body_seen += bytes.len;
    if (x->refused || x->closed) {
        sm_http_consume(x, bytes.len);
        return !x->refused;
    }
    if (x->body_seen > x->body_max) {
        sm_http_consume(x, bytes.len);
        sm_exchange_refuse(x, 413, "the body is larger than this server takes\n");
        return false;
    }
    if (x->ops != NULL && x->ops->on_body != NULL) {
        x->ops->on_body(x->ctx, x, bytes);
    } else {
        sm_http_consume(x, bytes.len);
    }
    return true;
}

void sm_exchange_end(sm_http_exchange *x)
{
    if (x->in_ended || x->closed) {
        return;
    }
    x->in_ended = true;
    if (!x->refused && x->ops != NULL && x->ops->on_end != NULL) {
        x->ops->on_end(x->ctx, x);
    }
}

/* Slow readers: HTTP/2 gives each stream a window of its own, so a connection that moves may hold
 * answers that do not. Over HTTP/2 a complete answer also waits for the request's end. */
static bool answer_is_stuck(const sm_http_exchange *x, const struct sm_http_limits *limits,
                            uint64_t now_ns)
{
    bool waits = sm_http_queued(x) > 0 || (x->finished && x->version == SM_HTTP_2);
    return x->started && waits && limits->write_timeout_ms != 0 && now_ns > x->moved_ns &&
           now_ns - x->moved_ns > limits->write_timeout_ms * SM_NS_PER_MS;
}

bool sm_exchange_is_late(const sm_http_exchange *x, const struct sm_http_limits *limits,
                         uint64_t now_ns)
{
    if (x->deadline_ns != 0 && now_ns >= x->deadline_ns) {
        return true;
    }
    if (answer_is_stuck(x, limits, now_ns)) {
        return true;
    }
    if (x->in_ended || now_ns < x->started_ns) {
        return false;
    }
    uint64_t age_ns = now_ns - x->started_ns;
    uint64_t timeout_ns = limits->request_timeout_ms * SM_NS_PER_MS;
    bool streaming = x->content_length < 0 && x->version == SM_HTTP_2 && !x->ends;
    if (timeout_ns != 0 && age_ns > timeout_ns && !streaming) {
        return true;
    }
    return limits->minimum_rate != 0 && age_ns > timeout_ns &&
           x->body_seen < (uint64_t)limits->minimum_rate * (age_ns / SM_NS_PER_S);
}

/* ---- accessors ---- */

enum sm_http_version sm_http_get_version(const sm_http_exchange *x)
{
    return x->version;
}

sm_slice sm_http_method(const sm_http_exchange *x)
{
    return x->method;
}

sm_slice sm_http_scheme(const sm_http_exchange *x)
{
    return x->scheme;
}

sm_slice sm_http_authority(const sm_http_exchange *x)
{
    return x->authority;
}

sm_slice sm_http_path(const sm_http_exchange *x)
{
    return x->path;
}

sm_slice sm_http_query(const sm_http_exchange *x)
{
    return x->query;
}

static sm_slice find_field(const sm_http_header *list, size_t count, sm_slice name)
{
    for (size_t i = 0; i < count; i++) {
        if (sm_slice_equal(list[i].name, name)) {
            return list[i].value;
        }
    }
    return SM_SLICE_NONE;
}

sm_slice sm_http_header_get(const sm_http_exchange *x, sm_slice name)
{
    return find_field(x->headers, x->header_count, name);
}

size_t sm_http_header_count(const sm_http_exchange *x)
{
    return x->header_count;
}

sm_http_header sm_http_header_at(const sm_http_exchange *x, size_t at)
{
    return x->headers[at];
}

sm_slice sm_http_trailer(const sm_http_exchange *x, sm_slice name)
{
    return find_field(x->trailers, x->trailer_count, name);
}

int64_t sm_http_content_length(const sm_http_exchange *x)
{
    return x->content_length;
}

const struct sm_tls_info *sm_http_tls(const sm_http_exchange *x)
{
    static const struct sm_tls_info none;
    return x->tls == NULL ? &none : x->tls;
}

struct sm_http_note *sm_http_connection_note(sm_http_exchange *x)
{
    return x->session == NULL ? NULL : &x->session->host->note;
}

sm_slice sm_http_peer(const sm_http_exchange *x)
{
    return x->peer;
}

const struct sockaddr_storage *sm_http_peer_address(const sm_http_exchange *x)
{
    return &x->peer_address;
}

sm_slice sm_http_listener(const sm_http_exchange *x)
{
    return x->listener;
}

sm_arena *sm_http_arena(sm_http_exchange *x)
{
    return &x->arena;
}

sm_loop *sm_http_loop(const sm_http_exchange *x)
{
    return x->loop;
}

sm_err sm_http_export_keying_material(const sm_http_exchange *x, sm_slice label, sm_slice context,
                                      uint8_t *out, size_t out_len)
{
    if (x->session == NULL || x->session->host->export_keys == NULL) {
        return SM_ERR(PRECONDITION);
    }
    return x->session->host->export_keys(x->session->host, label, context, out, out_len);
}

sm_err sm_http_tls_unique(const sm_http_exchange *x, uint8_t *out, size_t room, size_t *len)
{
    if (x->session == NULL || x->session->host->tls_unique == NULL) {
        return SM_ERR(PRECONDITION);
    }
    return x->session->host->tls_unique(x->session->host, out, room, len);
}

sm_err sm_http_tls_pair(const sm_http_exchange *x, struct sm_tls_pair *out)
{
    if (x->session == NULL || x->session->host->tls_pair == NULL) {
        return SM_ERR(PRECONDITION);
    }
    return x->session->host->tls_pair(x->session->host, out);
}

sm_err sm_http_server_end_point(const sm_http_exchange *x, uint8_t *out, size_t *len)
{
    if (x->session == NULL || x->session->host->server_end_point == NULL) {
        return SM_ERR(PRECONDITION);
    }
    return x->session->host->server_end_point(x->session->host, out, len);
}

#define TLS_1_3 0x0304
#define EXPORTER_LEN 32 /* RFC 9266 2 */

sm_err sm_http_channel_binding(const sm_http_exchange *x, uint8_t *out, size_t *len)
{
    const struct sm_tls_info *tls = sm_http_tls(x);
    if (!tls->used || tls->version < TLS_1_3) {
        return sm_http_tls_unique(x, out, SM_HTTP_BINDING_MAX, len);
    }
    SM_TRY(sm_http_export_keying_material(x, SM_LIT("EXPORTER-Channel-Binding"), SM_LIT(""), out,
                                          EXPORTER_LEN));
    *len = EXPORTER_LEN;
    return SM_NO_ERR;
}

static bool id_is_good(sm_slice id)
{
    for (size_t i = 0; i < id.len; i++) {
        uint8_t c = id.ptr[i];
        bool word = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        if (!word && c != '.' && c != '_' && c != '-') {
            return false;
        }
    }
    return id.len > 0 && id.len <= 64;
}

sm_slice sm_http_correlation_id(const sm_http_exchange *cx)
{
    /* Made at the first question; the exchange is the caller's, and not constant in memory. */
    union {
        const sm_http_exchange *in;
        sm_http_exchange *out;
    } x = {cx};
    if (cx->correlation_id.len > 0) {
        return cx->correlation_id;
    }
    sm_slice given = sm_http_header_get(cx, SM_LIT("x-request-id"));
    if (id_is_good(given)) {
        x.out->correlation_id = given;
        return given;
    }
    uint64_t v = sm_rand_u64();
    char *text = sm_arena_alloc(&x.out->arena, 17);
    if (text == NULL) {
        return SM_LIT("0000000000000000");
    }
    x.out->correlation_id = sm_slice_of(sm_hex_format(sm_slice_of(&v, sizeof(v)), text), 16);
    return x.out->correlation_id;
}

/* ---- handler's side ---- */

void sm_http_accept(sm_http_exchange *x, const struct sm_http_stream_ops *ops, void *ctx)
{
    x->ops = ops;
    x->ctx = ctx;
}

void sm_http_consume(sm_http_exchange *x, size_t n)
{
    if (x->session != NULL && n > 0) {
        x->transport->consume(x, n);
    }
}

void sm_http_limit_body(sm_http_exchange *x, uint64_t max)
{
    x->body_max = max;
}

void sm_http_expect_end(sm_http_exchange *x)
{
    x->ends = true;
}

void sm_http_set_deadline(sm_http_exchange *x, uint64_t ms)
{
    x->deadline_ns = ms == 0 ? 0 : sm_clock_mono_ns() + ms * SM_NS_PER_MS;
}
