/* SPDX-License-Identifier: Apache-2.0 */
/* Calls that do not come to their end: unary ones have a time-out, streams have none; nor a limit of
 * octets. */
#include "base/check.h"
#include "gen/grpc/health/v1/health.pb-c.h"
#include "tests/support/api_server.h"
#include "tests/support/grpc_raw.h"

#include <stdio.h>
#include <unistd.h>

#define CHECK "/grpc.health.v1.Health/Check"
#define WATCH "/grpc.health.v1.Health/Watch"
#define ISSUE_STREAM "/sealmill.v1.CertificateService/IssueStream"
#define REQUEST_TIMEOUT_MS 1000
#define BODY_MAX 500

static struct sm_api_server server;
static const char *admin;
static struct h2_frame frame;

static int set_up(void **state)
{
    struct sm_http_limits limits;
    (void)state;
    sm_http_limits_default(&limits);
    limits.request_timeout_ms = REQUEST_TIMEOUT_MS;
    limits.body_bytes = BODY_MAX;
    sm_api_server_start_limited(&server, "profiles:\n- name: device\n", &limits);
    admin = sm_api_server_token(&server, "admin", "[{\"role\":\"admin\"}]", 0);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    sm_api_server_stop(&server);
    return 0;
}

/* A hundred, without credentials; each is open on both sides. */
static void deadlines__unfinished_unary_calls_end(void **state)
{
    (void)state;
    int fd = h2_raw_open(server.port);
    for (uint32_t stream = 1; stream < 200; stream += 2) {
        grpc_raw_call(fd, stream, "POST", CHECK, NULL, NULL);
    }
    for (unsigned resets = 0; resets < 100;) { /* in 10 s, or the read fails */
        assert_true(h2_raw_read(fd, &frame));
        resets += frame.type == H2_RST_STREAM ? 1 : 0;
    }
    h2_raw_expect_alive(fd);
}

static void deadlines__unfinished_json_ends(void **state)
{
    (void)state;
    static struct h2_block block;
    int fd = h2_raw_open(server.port);
    h2_raw_request(&block, "POST", "/v1/certificates");
    char bearer[160];
    (void)snprintf(bearer, sizeof(bearer), "Bearer %s", admin);
    h2_raw_field(&block, "authorization", bearer);
    h2_raw_headers(fd, 1, H2_END_HEADERS, &block);
    h2_raw_frame(fd, H2_DATA, 0, 1, "{", 1);
    h2_raw_read_frame(fd, H2_RST_STREAM, 1, &frame);
    h2_raw_expect_alive(fd);
}

/* Who streams requests, or watches, may be silent for as long as it likes. */
static void deadlines__streams_stay_open(void **state)
{
    (void)state;
    Grpc__Health__V1__HealthCheckRequest request;
    grpc__health__v1__health_check_request__init(&request);
    int fd = h2_raw_open(server.port);
    grpc_raw_call(fd, 1, "POST", ISSUE_STREAM, admin, NULL);
    grpc_raw_call(fd, 3, "POST", WATCH, NULL, NULL);
    grpc_raw_message(fd, 3, H2_END_STREAM, &request.base);
    h2_raw_read_frame(fd, H2_DATA, 3, &frame);
    (void)usleep(REQUEST_TIMEOUT_MS * 3500);
    h2_raw_frame(fd, H2_DATA, H2_END_STREAM, 1, "", 0);
    assert_int_equal(grpc_raw_status(fd, 1, NULL), 0);
    h2_raw_expect_alive(fd);
}

static void deadlines__streams_have_no_limit_of_octets(void **state)
{
    (void)state;
    static const uint8_t item[] = {0, 0, 0, 0, 2, 0x08, 1}; /* id 1, no request */
    int fd = h2_raw_open(server.port);
    grpc_raw_call(fd, 1, "POST", ISSUE_STREAM, admin, NULL);
    for (size_t sent = 0; sent < 4UL * BODY_MAX; sent += sizeof(item)) {
        h2_raw_frame(fd, H2_DATA, 0, 1, item, sizeof(item));
    }
    h2_raw_frame(fd, H2_DATA, H2_END_STREAM, 1, item, sizeof(item));
    assert_int_equal(grpc_raw_status(fd, 1, NULL), 0);
    (void)close(fd);
}

/* Who needs no credentials gets no room for a large message. */
static void deadlines__large_anonymous_messages_are_refused_at_once(void **state)
{
    (void)state;
    int fd = h2_raw_open(server.port);
    grpc_raw_call(fd, 1, "POST", CHECK, NULL, NULL);
    h2_raw_frame(fd, H2_DATA, 0, 1, "\0\0\1\0\0", 5);  /* 65,536 octets are to come */
    assert_int_equal(grpc_raw_status(fd, 1, NULL), 8); /* RESOURCE_EXHAUSTED */
    (void)close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(deadlines__unfinished_unary_calls_end),
        cmocka_unit_test(deadlines__unfinished_json_ends),
        cmocka_unit_test(deadlines__streams_stay_open),
        cmocka_unit_test(deadlines__streams_have_no_limit_of_octets),
        cmocka_unit_test(deadlines__large_anonymous_messages_are_refused_at_once),
    };
    return cmocka_run_group_tests_name("deadlines", tests, set_up, tear_down);
}
