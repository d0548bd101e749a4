/* SPDX-License-Identifier: Apache-2.0 */
/* Unary gRPC calls over HTTP/2: each way to be refused has its status, and what is refused is not
 * done. */
#include "base/check.h"
#include "proto/grpc.h"
#include "tests/support/api_server.h"
#include "tests/support/h2_raw.h"

#include <string.h>
#include <unistd.h>

#define DISABLE "/sealmill.v1.CaService/Disable"
#define WHO_AM_I "/sealmill.v1.CallerService/WhoAmI"
#define ISSUING "\0\0\0\0\x09\x0a\x07issuing" /* { name: "issuing" }, framed */
#define EMPTY "\0\0\0\0\0"

static struct sm_api_server server;
static const char *admin;
static const char *reader;

static int set_up(void **state)
{
    (void)state;
    sm_api_server_start(&server, "profiles:\n- name: device\n");
    admin = sm_api_server_token(&server, "admin", "[{\"role\":\"admin\"}]", 0);
    reader = sm_api_server_token(&server, "reader", "[{\"role\":\"reader\"}]", 0);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    sm_api_server_stop(&server);
    return 0;
}

/* ---- a call ---- */

struct field {
    const char *name;
    const char *value;
};

/* Sends the call as it is; returns grpc-status, or -1 for an answer without one. */
static int call_with(const char *path, const char *token, const struct field *more, sm_slice body,
                     size_t *octets)
{
    static struct h2_block b;
    static struct h2_frame f;
    char authorization[128];
    int fd = h2_raw_open(server.port);
    b.len = 0;
    h2_raw_request(&b, "POST", path);
    h2_raw_field(&b, "content-type", "application/grpc");
    h2_raw_field(&b, "te", "trailers");
    if (token != NULL) {
        (void)snprintf(authorization, sizeof(authorization), "Bearer %s", token);
        h2_raw_field(&b, "authorization", authorization);
    }
    for (; more != NULL && more->name != NULL; more++) {
        h2_raw_field(&b, more->name, more->value);
    }
    h2_raw_headers(fd, 1, H2_END_HEADERS, &b);
    h2_raw_frame(fd, H2_DATA, H2_END_STREAM, 1, body.ptr, body.len);
    int status = -1;
    bool ended = false;
    *octets = 0;
    while (!ended) {
        assert_true(h2_raw_read(fd, &f));
        if (f.stream != 1) {
            continue;
        }
        assert_int_not_equal(f.type, H2_RST_STREAM);
        *octets += f.type == H2_DATA ? f.len : 0;
        if (f.type == H2_HEADERS && f.grpc_status[0] != '\0') {
            status = (int)strtol(f.grpc_status, NULL, 10);
        }
        ended = (f.flags & H2_END_STREAM) != 0;
    }
    (void)close(fd);
    return status;
}

static int call(const char *path, const char *token, sm_slice body)
{
    size_t octets;
    return call_with(path, token, NULL, body, &octets);
}

static void assert_ca_is_active(void)
{
    unsigned status;
    json_t *ca = sm_api_server_json(&server, "GET", "/v1/cas/issuing", admin, NULL, &status);
    assert_string_equal(json_string_value(json_object_get(ca, "state")), "CA_STATE_ACTIVE");
    json_decref(ca);
}

/* ---- */

static void call__good_one_is_answered(void **state)
{
    (void)state;
    size_t octets;
    assert_int_equal(call_with(WHO_AM_I, reader, NULL, SM_LIT(EMPTY), &octets), SM_GRPC_OK);
    assert_true(octets > 5);
    static const struct field timeout[] = {{"grpc-timeout", "10S"}, {NULL, NULL}};
    assert_int_equal(call_with(WHO_AM_I, reader, timeout, SM_LIT(EMPTY), &octets), SM_GRPC_OK);
    static const struct field identity[] = {{"grpc-encoding", "identity"}, {NULL, NULL}};
    assert_int_equal(call_with(WHO_AM_I, reader, identity, SM_LIT(EMPTY), &octets), SM_GRPC_OK);
}

static void call__refused_callers_do_nothing(void **state)
{
    (void)state;
    assert_int_equal(call(DISABLE, NULL, SM_LIT(ISSUING)), SM_GRPC_UNAUTHENTICATED);
    assert_int_equal(call(DISABLE, "sealmill_x", SM_LIT(ISSUING)), SM_GRPC_UNAUTHENTICATED);
    assert_int_equal(call(DISABLE, reader, SM_LIT(ISSUING)), SM_GRPC_PERMISSION_DENIED);
    assert_ca_is_active();
    assert_int_equal(call(DISABLE, admin, SM_LIT(ISSUING)), SM_GRPC_OK);
    assert_int_equal(call("/sealmill.v1.CaService/Enable", admin, SM_LIT(ISSUING)), SM_GRPC_OK);
    assert_ca_is_active();
}

/* A call that is not one whole message is not run, whoever sends it. */
static void call__broken_ones_do_nothing(void **state)
{
    (void)state;
    assert_int_equal(call(DISABLE, admin, SM_LIT(ISSUING ISSUING)), SM_GRPC_INVALID_ARGUMENT);
    assert_ca_is_active();
    for (size_t len = 0; len < sizeof(ISSUING) - 1; len++) {
        sm_slice part = sm_slice_first(SM_LIT(ISSUING), len);
        assert_int_not_equal(call(DISABLE, admin, part), SM_GRPC_OK);
    }
    assert_int_not_equal(call(DISABLE, admin, SM_LIT(ISSUING "\0")), SM_GRPC_OK);
    assert_int_not_equal(call(DISABLE, admin, SM_LIT("\2\0\0\0\x09\x0a\x07issuing")), SM_GRPC_OK);
    assert_int_not_equal(call(DISABLE, admin, SM_LIT("\0\0\0\0\x09\x0a\x08issuing")), SM_GRPC_OK);
    assert_int_not_equal(call(DISABLE, admin, SM_LIT("\0\0\0\0\3\x0a\1\xff")), SM_GRPC_OK);
    /* compressed, though nothing was said of it */
    assert_int_not_equal(call(DISABLE, admin, SM_LIT("\1\0\0\0\x09\x0a\x07issuing")), SM_GRPC_OK);
    assert_ca_is_active();
}

static void call__larger_than_a_message_may_be(void **state)
{
    (void)state;
    assert_int_equal(call(WHO_AM_I, reader, SM_LIT("\0\xff\xff\xff\xff")),
                     SM_GRPC_RESOURCE_EXHAUSTED);
    assert_int_equal(call(WHO_AM_I, reader, SM_LIT("\0\0\x40\0\1")), SM_GRPC_RESOURCE_EXHAUSTED);
    assert_int_not_equal(call(WHO_AM_I, reader, SM_LIT("\0\0\x40\0\0")),
                         SM_GRPC_RESOURCE_EXHAUSTED); /* 4 MiB is allowed; but it is cut short */
}

static void call__methods_that_there_are_not(void **state)
{
    (void)state;
    static const char *const paths[] = {"/sealmill.v1.CaService/disable",
                                        "/sealmill.v1.CaService/",
                                        "/sealmill.v1.CaService",
                                        "/CaService/Disable",
                                        "/",
                                        "//",
                                        "/sealmill.v1.CaService/Disable/",
                                        "/sealmill.v1.CaService/Disable%20",
                                        "/v1/cas/issuing:disable"};
    for (size_t i = 0; i < SM_ARRAY_LEN(paths); i++) {
        assert_int_equal(call(paths[i], admin, SM_LIT(ISSUING)), SM_GRPC_UNIMPLEMENTED);
    }
    assert_ca_is_active();
}

static void call__headers_that_cannot_be_kept(void **state)
{
    (void)state;
    static const struct {
        struct field fields[2];
        int status;
    } cases[] = {
        {{{"grpc-encoding", "br"}, {NULL, NULL}}, SM_GRPC_UNIMPLEMENTED},
        {{{"grpc-encoding", "gzip, br"}, {NULL, NULL}}, SM_GRPC_UNIMPLEMENTED},
        {{{"grpc-timeout", "10"}, {NULL, NULL}}, SM_GRPC_INVALID_ARGUMENT},
        {{{"grpc-timeout", "-1S"}, {NULL, NULL}}, SM_GRPC_INVALID_ARGUMENT},
        {{{"grpc-timeout", "123456789S"}, {NULL, NULL}}, SM_GRPC_INVALID_ARGUMENT},
    };
    for (size_t i = 0; i < SM_ARRAY_LEN(cases); i++) {
        size_t octets;
        int status = call_with(DISABLE, admin, cases[i].fields, SM_LIT(ISSUING), &octets);
        if (status != cases[i].status) {
            print_error("%s: %s: %d\n", cases[i].fields[0].name, cases[i].fields[0].value, status);
        }
        assert_int_equal(status, cases[i].status);
        assert_int_equal(octets, 0);
    }
    assert_ca_is_active();
}

static void call__gzip_both_ways(void **state)
{
    (void)state;
    static const struct field gzip[] = {
        {"grpc-encoding", "gzip"}, {"grpc-accept-encoding", "gzip"}, {NULL, NULL}};
    sm_buf zipped = sm_buf_init(4096);
    sm_buf body = sm_buf_init(4096);
    size_t octets;
    assert_sm_ok(sm_gzip_deflate(SM_LIT("\x0a\x07issuing"), &zipped));
    sm_grpc_frame_header(&body, (uint32_t)zipped.len, true);
    sm_buf_put(&body, sm_buf_slice(&zipped));
    assert_int_equal(
        call_with("/sealmill.v1.CaService/Get", admin, gzip, sm_buf_slice(&body), &octets),
        SM_GRPC_OK);
    assert_true(octets > 5);
    body.ptr[body.len - 1] ^= 1; /* its length */
    assert_int_not_equal(
        call_with("/sealmill.v1.CaService/Get", admin, gzip, sm_buf_slice(&body), &octets),
        SM_GRPC_OK);
    sm_buf_deinit(&body);
    sm_buf_deinit(&zipped);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(call__good_one_is_answered),
        cmocka_unit_test(call__refused_callers_do_nothing),
        cmocka_unit_test(call__broken_ones_do_nothing),
        cmocka_unit_test(call__larger_than_a_message_may_be),
        cmocka_unit_test(call__methods_that_there_are_not),
        cmocka_unit_test(call__headers_that_cannot_be_kept),
        cmocka_unit_test(call__gzip_both_ways),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
