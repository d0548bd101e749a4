/* SPDX-License-Identifier: Apache-2.0 */
/* What every answer has, whatever was asked: a correlation id, and a body or status of one kind. */
#include "base/check.h"
#include "base/text.h"
#include "gen/grpc/health/v1/health.pb-c.h"
#include "gen/sealmill/v1/certificate.pb-c.h"
#include "proto/grpc.h"
#include "proto/message.h"
#include "tests/support/api_server.h"
#include "tests/support/grpc_raw.h"
#include "tests/support/io_server.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define CHECK "/grpc.health.v1.Health/Check"
#define REFLECT "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo"
#define ISSUE_STREAM "/sealmill.v1.CertificateService/IssueStream"

static struct sm_api_server server;
static const char *admin;
static struct h2_frame frame;

static int set_up(void **state)
{
    (void)state;
    sm_api_server_start(&server, "profiles:\n- name: device\n");
    admin = sm_api_server_token(&server, "admin", "[{\"role\":\"admin\"}]", 0);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    sm_api_server_stop(&server);
    return 0;
}

/* ---- gRPC ---- */

static void answers__grpc_wants_post(void **state)
{
    (void)state;
    static const char *const methods[] = {"GET", "HEAD", "PUT", "DELETE"};
    for (size_t i = 0; i < SM_ARRAY_LEN(methods); i++) {
        int fd = h2_raw_open(server.port);
        grpc_raw_call(fd, 1, methods[i], CHECK, NULL, NULL);
        h2_raw_frame(fd, H2_DATA, H2_END_STREAM, 1, "\0\0\0\0", 5);
        h2_raw_read_frame(fd, H2_HEADERS, 1, &frame);
        assert_string_equal(frame.status, "405");
        (void)close(fd);
    }
}

static void expect_request_id(const char *path, const char *message, size_t len)
{
    int fd = h2_raw_open(server.port);
    grpc_raw_call(fd, 1, "POST", path, NULL, NULL);
    h2_raw_frame(fd, H2_DATA, H2_END_STREAM, 1, message, len);
    h2_raw_read_frame(fd, H2_HEADERS, 1, &frame);
    assert_string_equal(frame.status, "200");
    assert_int_equal(strlen(frame.request_id), 16);
    (void)close(fd);
}

static void answers__grpc_has_a_correlation_id(void **state)
{
    (void)state;
    expect_request_id(CHECK, "\0\0\0\0", 5);
    expect_request_id(CHECK, "\0\0\0\0\3\x0a\1x", 8); /* no such service: trailers alone */
    expect_request_id(REFLECT, "\0\0\0\0\2\x3a", 7);
    expect_request_id("/no.Service/Method", "\0\0\0\0", 5);
}

/* ---- items of a stream ---- */

static char ids[4][96];

static void keep_answer(sm_slice message, sm_arena *arena)
{
    ProtobufCMessage *m;
    assert_sm_ok(
        sm_message_unpack(&sealmill__v1__issue_stream_response__descriptor, message, arena, &m));
    const Sealmill__V1__IssueStreamResponse *r =
        (const Sealmill__V1__IssueStreamResponse *)(const void *)m;
    bool good = r->result_case == SEALMILL__V1__ISSUE_STREAM_RESPONSE__RESULT_RESPONSE;
    const char *id = good ? r->response->correlation_id : r->error->correlation_id;
    assert_true(r->id < SM_ARRAY_LEN(ids));
    assert_int_equal(good, r->id % 2 == 0);
    (void)snprintf(ids[r->id], sizeof(ids[0]), "%s", id);
}

static void read_answers(int fd)
{
    sm_arena arena;
    sm_grpc_reader reader;
    sm_slice message;
    sm_err err = SM_NO_ERR;
    sm_arena_init(&arena, 1U << 20);
    sm_grpc_reader_init(&reader, 1U << 20, false);
    do {
        assert_true(h2_raw_read(fd, &frame));
        sm_slice rest = sm_slice_of(frame.payload, frame.type == H2_DATA ? frame.len : 0);
        while (sm_grpc_reader_next(&reader, &rest, &message, &err)) {
            keep_answer(message, &arena);
        }
        assert_sm_ok(err);
    } while (frame.type != H2_HEADERS || (frame.flags & H2_END_STREAM) == 0);
    assert_string_equal(frame.grpc_status, "0");
    sm_grpc_reader_deinit(&reader);
    sm_arena_deinit(&arena);
}

/* Even ones are good, odd ones name a profile that there is not, or bring nothing. */
static void send_items(int fd, Sealmill__V1__IssueStreamRequest *item)
{
    static char good[] = "device", bad[] = "none";
    Sealmill__V1__IssueRequest *request = item->request;
    for (item->id = 0; item->id < 4; item->id++) {
        request->profile = item->id % 2 == 0 ? good : bad;
        item->request = item->id == 3 ? NULL : request;
        grpc_raw_message(fd, 1, item->id == 3 ? H2_END_STREAM : 0, &item->base);
    }
}

static void answers__items_of_a_stream_have_their_own_ids(void **state)
{
    (void)state;
    Sealmill__V1__IssueRequest request;
    Sealmill__V1__IssueStreamRequest item = SEALMILL__V1__ISSUE_STREAM_REQUEST__INIT;
    sm_buf der = sm_buf_init(16384);
    assert_sm_ok(sm_base64_decode(&der, sm_slice_str(sm_api_csr("dev", NULL)), 0));
    sealmill__v1__issue_request__init(&request);
    request.csr = (ProtobufCBinaryData){der.len, der.ptr};
    item.request = &request;
    memset(ids, 0, sizeof(ids));
    int fd = h2_raw_open(server.port);
    grpc_raw_call(fd, 1, "POST", ISSUE_STREAM, admin, NULL);
    send_items(fd, &item);
    h2_raw_read_frame(fd, H2_HEADERS, 1, &frame);
    char stream_id[80], want[96];
    (void)snprintf(stream_id, sizeof(stream_id), "%s", frame.request_id);
    assert_int_equal(strlen(stream_id), 16);
    read_answers(fd);
    for (unsigned i = 0; i < 4; i++) {
        (void)snprintf(want, sizeof(want), "%s-%u", stream_id, i);
        assert_string_equal(ids[i], want);
    }
    /* The inventory and the audit records say the same. */
    const char *answer;
    assert_int_equal(
        sm_api_server_ask(&server, "GET", "/v1/audit?pageSize=1000", admin, NULL, &answer), 200);
    assert_non_null(strstr(answer, ids[0]));
    assert_non_null(strstr(answer, ids[2]));
    (void)close(fd);
    sm_buf_deinit(&der);
}

/* ---- JSON ---- */

#define KEYS "%F0%9F%94%91%F0%9F%94%91%F0%9F%94%91%F0%9F%94%91%F0%9F%94%91"

static void answers__json_errors_are_json(void **state)
{
    (void)state;
    static const char *const paths[] = {
        "/v1/certificates?%22x%5C=1",
        "/v1/certificates?%0A%00%7F=1",
        "/v1/certificates?%C3=1",
        "/v1/certificates?" KEYS KEYS KEYS "=1", /* cut inside a character */
        "/v1/certificates/%22%5C:renew",
    };
    for (size_t i = 0; i < SM_ARRAY_LEN(paths); i++) {
        unsigned status;
        json_t *json = sm_api_server_json(&server, i == 4 ? "POST" : "GET", paths[i], admin,
                                          i == 4 ? "{}" : NULL, &status);
        assert_int_equal(status / 100, 4);
        assert_int_equal(strlen(sm_api_error(json, "requestId")), 16);
        json_decref(json);
    }
}

static void expect_common(const char *verb, const char *path, unsigned want, const char *name)
{
    unsigned status;
    json_t *json = sm_api_server_json(&server, verb, path, NULL, NULL, &status);
    const json_t *error = json_object_get(json, "error");
    assert_int_equal(status, want);
    assert_int_equal(json_integer_value(json_object_get(error, "code")), want);
    assert_string_equal(sm_api_error(json, "status"), name);
    assert_true(strlen(sm_api_error(json, "reason")) > 0);
    assert_int_equal(strlen(sm_api_error(json, "requestId")), 16);
    json_decref(json);
}

static void answers__unknown_paths_and_verbs_are_the_common_error(void **state)
{
    (void)state;
    expect_common("GET", "/v1/nothing", 404, "NOT_FOUND");
    expect_common("POST", "/", 404, "NOT_FOUND");
    expect_common("DELETE", "/v1/cas", 405, "UNIMPLEMENTED");
}

/* RFC 9110 15.5.6. */
static void answers__refused_verbs_come_with_those_that_are_not(void **state)
{
    (void)state;
    static const char *const rows[][3] = {
        {"DELETE", "/v1/cas", "\r\nAllow: GET, HEAD, POST\r\n"},
        {"DELETE", "/v1/certificates", "\r\nAllow: POST, GET, HEAD\r\n"},
        {"PUT", "/v1/whoami", "\r\nAllow: GET, HEAD\r\n"},
    };
    for (size_t i = 0; i < SM_ARRAY_LEN(rows); i++) {
        char text[256], answer[4096];
        int fd = sm_io_connect(server.port);
        (void)snprintf(
            text, sizeof(text),
            "%s %s HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 0\r\n\r\n",
            rows[i][0], rows[i][1]);
        sm_io_send(fd, text);
        assert_true(sm_io_read_to_end(fd, answer, sizeof(answer)) > 0);
        assert_int_equal(strncmp(answer, "HTTP/1.1 405 ", 13), 0);
        assert_non_null(strstr(answer, rows[i][2]));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(answers__grpc_wants_post),
        cmocka_unit_test(answers__grpc_has_a_correlation_id),
        cmocka_unit_test(answers__items_of_a_stream_have_their_own_ids),
        cmocka_unit_test(answers__json_errors_are_json),
        cmocka_unit_test(answers__unknown_paths_and_verbs_are_the_common_error),
        cmocka_unit_test(answers__refused_verbs_come_with_those_that_are_not),
    };
    return cmocka_run_group_tests_name("answers", tests, set_up, tear_down);
}
