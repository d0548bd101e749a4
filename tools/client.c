/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/client.h"

#include "base/check.h"
#include "base/file.h"
#include "base/text.h"
#include "proto/grpc.h"
#include "proto/message.h"

#include <stdio.h>
#include <string.h>

#define CALL_TIMEOUT_TURNS 60000 /* of 1 ms */

/* ---- where and who ---- */

static void read_env(const char *dir, const char *name, char *out, size_t size)
{
    char path[4096];
    sm_buf text = sm_buf_init(65536);
    sm_diag diag = {.reason = ""};
    (void)snprintf(path, sizeof(path), "%s/env", dir);
    if (!sm_ok(sm_file_read(path, &text, &diag))) {
        cli_usage("%s is not the folder of a dev instance (%s)", dir, diag.reason);
    }
    sm_slice rest = sm_buf_slice(&text);
    while (rest.len > 0) {
        sm_slice line = sm_slice_split(&rest, '\n');
        sm_slice value = line;
        sm_slice key = sm_slice_split(&value, '=');
        if (sm_slice_equal(key, sm_slice_str(name))) {
            bool quoted = value.len >= 2 && value.ptr[0] == '\'';
            value = quoted ? sm_slice_first(sm_slice_from(value, 1), value.len - 2) : value;
            (void)snprintf(out, size, "%.*s", (int)value.len, (const char *)value.ptr);
        }
    }
    sm_buf_deinit(&text);
}

static void set(char *out, size_t size, const char *value)
{
    if (value != NULL) {
        (void)snprintf(out, size, "%s", value);
    }
}

static void read_token(const char *path, char *out, size_t size)
{
    sm_buf text = sm_buf_init_secret(1024);
    sm_diag diag = {.reason = ""};
    if (!sm_ok(sm_file_read(path, &text, &diag))) {
        cli_usage("%s", diag.reason);
    }
    sm_slice token = sm_slice_trim(sm_buf_slice(&text));
    if (token.len == 0 || token.len >= size) {
        cli_usage(
            "--token-file: %s holds no token (one line, as `sealmill token create` prints it)",
            path);
    }
    (void)snprintf(out, size, "%.*s", (int)token.len, (const char *)token.ptr);
    sm_buf_deinit(&text);
}

void client_target_from(const struct cli_args *args, bool admin, struct client_target *out)
{
    const char *dir = cli_get(args, "dir");
    memset(out, 0, sizeof(*out));
    if (dir != NULL) {
        read_env(dir, "SEALMILL_API", out->server, sizeof(out->server));
        read_env(dir, "SEALMILL_CA_FILE", out->ca_file, sizeof(out->ca_file));
        read_env(dir, admin ? "SEALMILL_ADMIN_CERT" : "SEALMILL_CERT", out->cert,
                 sizeof(out->cert));
        read_env(dir, admin ? "SEALMILL_ADMIN_KEY" : "SEALMILL_KEY", out->key, sizeof(out->key));
    }
    set(out->server, sizeof(out->server), cli_get(args, "server"));
    set(out->ca_file, sizeof(out->ca_file), cli_get(args, "ca-file"));
    set(out->cert, sizeof(out->cert), cli_get(args, "cert"));
    set(out->key, sizeof(out->key), cli_get(args, "key"));
    if (cli_get(args, "token-file") != NULL) {
        read_token(cli_get(args, "token-file"), out->token, sizeof(out->token));
        if (!cli_has(args, "cert")) { /* instead of the dev instance's identity */
            out->cert[0] = '\0';
            out->key[0] = '\0';
        }
    }
    if (out->server[0] == '\0') {
        cli_usage("say which server: --dir DIR for a dev instance, or --server ADDRESS --ca-file "
                  "FILE --cert FILE --key FILE");
    }
}

sm_err client_open_tls(const struct client_target *target, sm_tls_client **out, sm_diag *diag)
{
    char host[128];
    (void)snprintf(host, sizeof(host), "%s", target->server);
    char *colon = strrchr(host, ':');
    if (colon != NULL) {
        *colon = '\0';
    }
    const struct sm_tls_client_config config = {
        .ca_file = target->ca_file[0] == '\0' ? NULL : target->ca_file,
        .certificate_file = target->cert[0] == '\0' ? NULL : target->cert,
        .key_file = target->key[0] == '\0' ? NULL : target->key,
        .server_name = host,
    };
    return sm_tls_client_new(&config, out, diag);
}

/* ---- one call ---- */

struct call {
    sm_http_client *client;
    const char *path;
    const struct client_target *target;
    sm_buf request;
    sm_buf answer;
    sm_err err;
    sm_diag *diag;
    bool answered; /* the server said something: it took the connection */
    bool has_status;
    bool closed;
};

static const struct {
    enum sm_grpc_status status;
    uint32_t code;
} codes[] = {
    {SM_GRPC_CANCELLED, SM_E_CANCELLED},
    {SM_GRPC_INVALID_ARGUMENT, SM_E_INVALID},
    {SM_GRPC_DEADLINE_EXCEEDED, SM_E_TIMED_OUT},
    {SM_GRPC_NOT_FOUND, SM_E_NOT_FOUND},
    {SM_GRPC_ALREADY_EXISTS, SM_E_EXISTS},
    {SM_GRPC_PERMISSION_DENIED, SM_E_FORBIDDEN},
    {SM_GRPC_RESOURCE_EXHAUSTED, SM_E_EXHAUSTED},
    {SM_GRPC_FAILED_PRECONDITION, SM_E_PRECONDITION},
    {SM_GRPC_ABORTED, SM_E_CONFLICT},
    {SM_GRPC_UNIMPLEMENTED, SM_E_UNIMPLEMENTED},
    {SM_GRPC_UNAVAILABLE, SM_E_UNAVAILABLE},
    {SM_GRPC_UNAUTHENTICATED, SM_E_UNAUTHENTICATED},
};

sm_err client_status(const sm_http_header *trailers, size_t count, sm_diag *diag)
{
    uint64_t status = 2;
    sm_slice message = SM_SLICE_NONE;
    for (size_t i = 0; i < count; i++) {
        if (sm_slice_equal(trailers[i].name, SM_LIT("grpc-status"))) {
            if (!sm_ok(sm_decimal_parse(trailers[i].value, &status))) {
                status = 2;
            }
        } else if (sm_slice_equal(trailers[i].name, SM_LIT("grpc-message"))) {
            message = trailers[i].value;
        }
    }
    if (status == 0) {
        return SM_NO_ERR;
    }
    sm_err err = SM_ERR(INTERNAL);
    for (size_t i = 0; i < SM_ARRAY_LEN(codes); i++) {
        err.code = (uint64_t)codes[i].status == status ? codes[i].code : err.code;
    }
    sm_buf text = sm_buf_init(4096);
    if (sm_ok(sm_percent_decode(&text, message))) {
        /* The server has escaped what came from outside already; sm_diag_set keeps printable ASCII
         * alone, whoever the server is. */
        err = sm_diag_set(diag, err, "", "%.*s", (int)text.len, (const char *)text.ptr);
    }
    sm_buf_deinit(&text);
    return err;
}

/* TLS 1.3 lets a client speak before the server has looked at its certificate: a refusal comes as
 * the end of a connection that had begun (RFC 8446 4.4.2.4, 6.2). */
sm_err client_no_status(const struct client_target *target, bool answered, sm_err err,
                        sm_diag *diag)
{
    err = sm_ok(err) ? SM_ERR(CLOSED) : err;
    if (!answered && target->cert[0] != '\0') {
        return sm_diag_set(diag, err, "server",
                           "it closed the connection without an answer: it may not accept the "
                           "client certificate %.160s (its client_ca_file must have the issuer)",
                           target->cert);
    }
    return sm_diag_set(diag, err, "server", "the call ended without a status");
}

sm_err client_no_connection(const struct client_target *target, sm_err err, const sm_diag *why,
                            sm_diag *diag)
{
    bool untrusted = target->ca_file[0] == '\0' && strstr(why->reason, "certificate") != NULL;
    return sm_diag_set(diag, err, why->field, "%s%s", why->reason,
                       untrusted ? " (--ca-file FILE says which CAs are trusted)" : "");
}

static void on_headers(void *ctx, sm_http_call *http, unsigned status,
                       const sm_http_header *headers, size_t count)
{
    struct call *c = ctx;
    (void)http;
    (void)status;
    c->answered = true;
    for (size_t i = 0; i < count; i++) {
        if (sm_slice_equal(headers[i].name, SM_LIT("grpc-status"))) { /* trailers-only */
            c->err = client_status(headers, count, c->diag);
            c->has_status = true;
        }
    }
}

static void on_body(void *ctx, sm_http_call *http, sm_slice bytes)
{
    struct call *c = ctx;
    (void)http;
    sm_buf_put(&c->answer, bytes);
}

static void on_trailers(void *ctx, sm_http_call *http, const sm_http_header *trailers, size_t count)
{
    struct call *c = ctx;
    (void)http;
    c->err = client_status(trailers, count, c->diag);
    c->has_status = true;
}

static void on_call_close(void *ctx, sm_http_call *http, sm_err err)
{
    struct call *c = ctx;
    (void)http;
    if (!c->has_status) {
        c->err = client_no_status(c->target, c->answered, err, c->diag);
    }
    sm_http_client_close(c->client);
}

static const struct sm_http_call_ops call_ops = {on_headers, on_body, on_trailers, on_call_close};

static void on_connected(void *ctx, sm_err err, const sm_diag *diag)
{
    struct call *c = ctx;
    sm_http_call *http;
    char authorization[300];
    if (!sm_ok(err)) {
        c->err = client_no_connection(c->target, err, diag, c->diag);
        c->has_status = true;
        return;
    }
    (void)snprintf(authorization, sizeof(authorization), "Bearer %s", c->target->token);
    const sm_http_header headers[] = {SM_HEADER("content-type", SM_LIT("application/grpc")),
                                      SM_HEADER("te", SM_LIT("trailers")),
                                      SM_HEADER("authorization", sm_slice_str(authorization))};
    size_t count = c->target->token[0] == '\0' ? 2 : 3;
    c->err = sm_http_call_start(c->client, SM_LIT("POST"), sm_slice_str(c->path), headers, count,
                                sm_buf_slice(&c->request), true, &call_ops, c, &http);
}

static void on_closed(void *ctx, sm_err err)
{
    struct call *c = ctx;
    (void)err;
    c->closed = true;
}

static const struct sm_http_client_ops client_ops = {on_connected, on_closed};

static sm_err read_answer(struct call *c, const ProtobufCMessageDescriptor *type, sm_arena *arena,
                          ProtobufCMessage **out)
{
    sm_grpc_reader reader;
    sm_slice in = sm_buf_slice(&c->answer);
    sm_slice message;
    sm_err err;
    sm_grpc_reader_init(&reader, CLIENT_ANSWER_MAX, false);
    bool whole = sm_grpc_reader_next(&reader, &in, &message, &err);
    if (whole) {
        err = sm_message_unpack(type, message, arena, out);
    } else if (sm_ok(err)) {
        err = sm_diag_set(c->diag, SM_ERR(TRUNCATED), "server", "the answer is incomplete");
    }
    sm_grpc_reader_deinit(&reader);
    return err;
}

static sm_err run_call(struct call *c, sm_tls_client *tls)
{
    sm_loop *loop;
    SM_TRY(sm_loop_new(&loop, c->diag));
    sm_err err = sm_http_client_connect(loop, c->target->server, tls, &client_ops, c, &c->client,
                                        c->diag);
    for (int i = 0; sm_ok(err) && !c->closed && i < CALL_TIMEOUT_TURNS; i++) {
        sm_loop_turn(loop, 1000);
    }
    if (sm_ok(err) && c->closed) {
        sm_http_client_free(&c->client);
    }
    sm_loop_free(&loop);
    return sm_ok(err) ? c->err : err;
}

sm_err client_call(const struct client_target *target, const char *path,
                   const ProtobufCMessage *request, const ProtobufCMessageDescriptor *type,
                   sm_arena *arena, ProtobufCMessage **out, sm_diag *diag)
{
    struct call c = {.path = path, .target = target, .diag = diag};
    sm_tls_client *tls;
    c.request = sm_buf_init(CLIENT_ANSWER_MAX);
    c.answer = sm_buf_init(CLIENT_ANSWER_MAX);
    SM_TRY(client_open_tls(target, &tls, diag));
    sm_grpc_frame_header(&c.request, (uint32_t)protobuf_c_message_get_packed_size(request), false);
    sm_err err = sm_message_pack(request, &c.request);
    err = sm_ok(err) ? run_call(&c, tls) : err;
    err = sm_ok(err) ? read_answer(&c, type, arena, out) : err;
    sm_buf_deinit(&c.request);
    sm_buf_deinit(&c.answer);
    sm_tls_client_free(&tls);
    return err;
}

sm_err client_print_json(const ProtobufCMessage *message)
{
    const struct sm_json_options options = {.pretty = true, .all_fields = false};
    sm_buf out = sm_buf_init(CLIENT_ANSWER_MAX);
    sm_err err = sm_message_to_json(message, &options, &out);
    if (sm_ok(err)) {
        (void)printf("%.*s\n", (int)out.len, (const char *)out.ptr);
    }
    sm_buf_deinit(&out);
    return err;
}
