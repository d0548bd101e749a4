/* SPDX-License-Identifier: Apache-2.0 */
#include "api/json_server.h"

#include "api/method.h"
#include "base/text.h"
#include "proto/grpc.h"
#include "proto/message.h"
#include "proto/utf8.h"

#define VARIABLES_MAX 4
#define ANSWER_MAX SM_HTTP_REPLY_MAX
#define ALLOW_MAX 128 /* every verb there is */

struct route_match {
    const struct sm_method *method;
    sm_slice names[VARIABLES_MAX];
    sm_slice values[VARIABLES_MAX]; /* still percent-encoded */
    size_t count;
};

struct json_call {
    sm_call call;
    struct route_match match;
    bool started; /* a stream */
    sm_buf allow; /* 405: the verbs that the path takes */
};

static struct json_call *of(sm_call *call)
{
    return SM_CONTAINER_OF(call, struct json_call, call);
}

/* ---- routes ---- */

/* "{name}" takes one segment (up to '/', or up to the verb behind ':'). */
static bool match_path(const char *template, sm_slice path, struct route_match *out)
{
    sm_slice t = sm_slice_str(template);
    out->count = 0;
    while (t.len > 0) {
        if (t.ptr[0] != '{') {
            if (path.len == 0 || path.ptr[0] != t.ptr[0]) {
                return false;
            }
            t = sm_slice_from(t, 1);
            path = sm_slice_from(path, 1);
            continue;
        }
        size_t close = sm_slice_find(t, '}');
        size_t end = 0;
        bool verb = close + 1 < t.len && t.ptr[close + 1] == ':';
        while (end < path.len && path.ptr[end] != '/' &&
               !(verb && path.ptr[end] == ':' &&
                 sm_slice_equal(sm_slice_from(path, end), sm_slice_from(t, close + 1)))) {
            end++;
        }
        if (end == 0 || out->count == VARIABLES_MAX) {
            return false;
        }
        out->names[out->count] = sm_slice_from(sm_slice_first(t, close), 1);
        out->values[out->count++] = sm_slice_first(path, end);
        t = sm_slice_from(t, close + 1);
        path = sm_slice_from(path, end);
    }
    return path.len == 0;
}

/* More text outside braces is the better match: "/v1/certificates:watch" before "/v1/{x}". */
static size_t fixed_length(const char *template)
{
    size_t n = 0;
    bool inside = false;
    for (; *template != '\0'; template ++) {
        inside = *template == '{' || (inside && *template != '}');
        n += inside ? 0 : 1;
    }
    return n;
}

/* "GET, HEAD, POST": each once. */
static void add_verb(sm_buf *list, sm_slice verb)
{
    if (sm_slice_search(sm_buf_slice(list), verb) < list->len) {
        return;
    }
    sm_buf_put(list, list->len == 0 ? SM_SLICE_NONE : SM_LIT(", "));
    sm_buf_put(list, verb);
    if (sm_slice_equal(verb, SM_LIT("GET"))) {
        add_verb(list, SM_LIT("HEAD"));
    }
}

/* The verbs of rows whose path fits, but not the verb, are added to `allow`. */
static const struct sm_method *find_route(sm_slice verb, sm_slice path, struct route_match *out,
                                          sm_buf *allow)
{
    const struct sm_method *best = NULL;
    size_t best_fixed = 0;
    bool head = sm_slice_equal(verb, SM_LIT("HEAD"));
    for (size_t i = 0; i < sm_method_count(); i++) {
        const struct sm_method *m = sm_method_at(i);
        struct route_match match;
        if (m->http_path == NULL || !match_path(m->http_path, path, &match)) {
            continue;
        }
        sm_slice want = sm_slice_str(m->http_method);
        if (!sm_slice_equal(verb, want) && !(head && sm_slice_equal(want, SM_LIT("GET")))) {
            add_verb(allow, want);
            continue;
        }
        if (best == NULL || fixed_length(m->http_path) > best_fixed) {
            best = m;
            best_fixed = fixed_length(m->http_path);
            *out = match;
        }
    }
    out->method = best;
    return best;
}

/* ---- answers ---- */

static size_t common_headers(sm_call *call, sm_slice type, sm_http_header out[4])
{
    out[0] = SM_HEADER("content-type", type);
    out[1] = SM_HEADER("cache-control", SM_LIT("no-store"));
    out[2] = SM_HEADER("x-request-id",
                       call->correlation_id.len > 0 ? call->correlation_id : SM_LIT("-"));
    return 3;
}

/* RFC 8259 7. Texts are cut at a number of octets, which may be inside a character. */
static void put_member(sm_buf *out, const char *name, sm_slice text)
{
    bool whole = sm_utf8_is_valid(text);
    sm_buf_printf(out, ",\"%s\":\"", name);
    for (size_t i = 0; i < text.len; i++) {
        uint8_t c = text.ptr[i];
        if (c == '"' || c == '\\') {
            sm_buf_put_byte(out, '\\');
        }
        sm_buf_put_byte(out, c < 0x20 ? ' ' : !whole && c >= 0x80 ? '?' : c);
    }
    sm_buf_put_byte(out, '"');
}

static unsigned status_of(sm_call *call, sm_err err)
{
    return of(call)->allow.len > 0 ? 405 : sm_grpc_http_status(sm_grpc_status_of(err));
}

static void write_error(sm_call *call, sm_err err, sm_buf *out)
{
    sm_buf text = sm_buf_init(1024);
    sm_grpc_message(err, &call->diag, &text);
    sm_buf_printf(out, "{\"error\":{\"code\":%u", status_of(call, err));
    put_member(out, "status", sm_slice_str(sm_grpc_status_name(sm_grpc_status_of(err))));
    put_member(out, "reason", sm_slice_str(sm_err_name(err)));
    put_member(out, "field", sm_slice_str(call->diag.field));
    put_member(out, "message", sm_buf_slice(&text));
    put_member(out, "requestId", call->correlation_id);
    sm_buf_put_str(out, "}}\n");
    sm_buf_deinit(&text);
}

static void finish_call(sm_call *call, sm_err err)
{
    struct json_call *j = of(call);
    sm_http_header headers[6];
    if (sm_ok(err) && j->started) {
        sm_http_finish(call->x, NULL, 0);
        return;
    }
    if (sm_ok(err)) {
        return; /* the answer was the message */
    }
    sm_buf body = sm_buf_init(8192);
    write_error(call, err, &body);
    if (j->started) {
        (void)sm_http_write(call->x, sm_buf_slice(&body));
        sm_http_finish(call->x, NULL, 0);
    } else {
        size_t count = common_headers(call, SM_LIT("application/json"), headers);
        unsigned status = status_of(call, err);
        if (status == 401) {
            headers[count++] = SM_HEADER("www-authenticate", SM_LIT("Bearer realm=\"sealmill\""));
        }
        if (status == 405) { /* RFC 9110 15.5.6 */
            headers[count++] = SM_HEADER("allow", sm_buf_slice(&of(call)->allow));
        }
        if (sm_err_category(err) == SM_BUSY) {
            headers[count++] = SM_HEADER("retry-after", SM_LIT("1"));
        }
        sm_http_reply(call->x, status, headers, count, sm_buf_slice(&body));
    }
    sm_buf_deinit(&body);
}

static bool send_message(sm_call *call, const ProtobufCMessage *message)
{
    struct json_call *j = of(call);
    sm_http_header headers[4];
    bool stream = call->method->server_streaming;
    sm_slice query = sm_http_query(call->x);
    const struct sm_json_options options = {
        .pretty = !stream && sm_slice_search(query, SM_LIT("pretty=true")) < query.len,
        .all_fields = false,
    };
    sm_buf body = sm_buf_init(ANSWER_MAX);
    body.secret = call->method->secret;
    bool room = true;
    if (!sm_ok(sm_message_to_json(message, &options, &body))) {
        sm_http_abort(call->x, 2);
    } else {
        sm_buf_put_byte(&body, '\n');
        size_t count = common_headers(
            call, stream ? SM_LIT("application/x-ndjson") : SM_LIT("application/json"), headers);
        if (!stream) {
            sm_http_reply(call->x, 200, headers, count, sm_buf_slice(&body));
        } else {
            if (!j->started) {
                j->started = true;
                sm_http_start(call->x, 200, headers, count);
            }
            room = sm_http_write(call->x, sm_buf_slice(&body));
        }
    }
    sm_buf_deinit(&body);
    return room;
}

static const struct sm_call_skin json_skin = {.send = send_message, .finish = finish_call};

/* ---- requests ---- */

static sm_err decode(sm_call *call, sm_slice in, sm_slice *out)
{
    sm_buf text = sm_buf_init(in.len + 1);
    sm_err err = sm_percent_decode(&text, in);
    err = sm_ok(err)
              ? sm_arena_copy(&call->arena, sm_buf_slice(&text), out)
              : sm_diag_set(&call->diag, SM_ERR(MALFORMED), "path", "a broken percent escape");
    sm_buf_deinit(&text);
    return err;
}

static sm_err apply_query(sm_call *call, ProtobufCMessage *m)
{
    sm_slice rest = sm_http_query(call->x);
    while (rest.len > 0) {
        sm_slice value = sm_slice_split(&rest, '&');
        sm_slice name = sm_slice_split(&value, '=');
        if (name.len == 0 || sm_slice_equal(name, SM_LIT("pretty"))) {
            continue;
        }
        sm_slice plain_name;
        sm_slice plain_value;
        SM_TRY(decode(call, name, &plain_name));
        SM_TRY(decode(call, value, &plain_value));
        SM_TRY(sm_message_set_text(m, plain_name, plain_value, &call->arena, &call->diag));
    }
    return SM_NO_ERR;
}

/* The body is the whole message, or one message field of it. */
static sm_err apply_body(struct json_call *j, sm_slice body, ProtobufCMessage **out)
{
    sm_call *call = &j->call;
    const struct sm_method *method = j->match.method;
    if (method->body_field == NULL) {
        return sm_message_from_json(method->request, method->body ? body : SM_SLICE_NONE,
                                    &call->arena, out, &call->diag);
    }
    SM_TRY(sm_message_from_json(method->request, SM_SLICE_NONE, &call->arena, out, &call->diag));
    const ProtobufCFieldDescriptor *f = protobuf_c_message_descriptor_get_field_by_name(
        method->request, method->body_field);
    ProtobufCMessage *inner;
    SM_TRY(sm_message_from_json(f->descriptor, body, &call->arena, &inner, &call->diag));
    memcpy((uint8_t *)*out + f->offset, &inner, sizeof(inner));
    return SM_NO_ERR;
}

static sm_err build_request(struct json_call *j, sm_slice body, ProtobufCMessage **out)
{
    sm_call *call = &j->call;
    SM_TRY(apply_body(j, body, out));
    for (size_t i = 0; i < j->match.count; i++) {
        sm_slice value;
        SM_TRY(decode(call, j->match.values[i], &value));
        SM_TRY(sm_message_set_text(*out, j->match.names[i], value, &call->arena, &call->diag));
    }
    return apply_query(call, *out);
}

static void on_body(void *ctx, sm_http_exchange *x, sm_slice body, sm_err err)
{
    struct json_call *j = ctx;
    ProtobufCMessage *request;
    (void)x;
    if (!sm_ok(err)) {
        j->call.gone = true; /* 413 was answered, or nobody is there */
        return;
    }
    err = build_request(j, body, &request);
    if (!sm_ok(err)) {
        sm_call_finish(&j->call, err);
        return;
    }
    sm_call_run(&j->call, request);
}

static void on_close(void *ctx, sm_http_exchange *x, sm_err err)
{
    struct json_call *j = ctx;
    (void)x;
    (void)err;
    j->call.gone = true;
    if (!j->call.finished && j->call.method->on_gone != NULL) {
        j->call.method->on_gone(&j->call);
    }
}

static void on_writable(void *ctx, sm_http_exchange *x)
{
    struct json_call *j = ctx;
    (void)x;
    if (j->call.method->on_writable != NULL && !j->call.finished) {
        j->call.method->on_writable(&j->call);
    }
}

static void on_memory_end(void *ctx)
{
    struct json_call *j = ctx;
    sm_buf_deinit(&j->allow);
    sm_call_deinit(&j->call);
}

static const struct sm_method no_method = {
    .service = "-", .name = "-", .roles = SM_ROLE_NONE_NEEDED};

/* Not counted, nor logged, as a call of the API: it is none. */
static void refuse_path(struct json_call *j)
{
    sm_call *call = &j->call;
    finish_call(call, j->allow.len > 0 ? sm_diag_set(&call->diag, SM_ERR(UNIMPLEMENTED), "",
                                                     "this path wants another method: %.*s",
                                                     (int)j->allow.len, (const char *)j->allow.ptr)
                                       : sm_diag_set(&call->diag, SM_ERR(NOT_FOUND), "",
                                                     "there is nothing at this path"));
}

void sm_json_serve(sm_api_loop *loop, sm_http_exchange *x, uint64_t body_max)
{
    struct json_call *j = SM_ARENA_NEW(sm_http_arena(x), struct json_call);
    if (j == NULL) {
        sm_http_abort(x, 2);
        return;
    }
    j->allow = sm_buf_init(ALLOW_MAX);
    const struct sm_method *method = find_route(sm_http_method(x), sm_http_path(x), &j->match,
                                                &j->allow);
    sm_err err = sm_call_init(&j->call, &json_skin, method == NULL ? &no_method : method, loop, x);
    sm_http_on_free(x, on_memory_end, j);
    if (method == NULL) {
        refuse_path(j);
        return;
    }
    sm_buf_reset(&j->allow);
    if (!sm_ok(err)) {
        sm_call_finish(&j->call, err); /* its body is passed over: nothing of it may be done */
        return;
    }
    sm_http_collect_stream(x, body_max, on_body, on_close, on_writable, j);
}
