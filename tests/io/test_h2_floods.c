/* SPDX-License-Identifier: Apache-2.0 */
/* Floods of cheap frames: each ends the connection with ENHANCE_YOUR_CALM and is counted; what
 * clients do every day does not. */
#include "base/buf.h"
#include "base/metrics.h"
#include "tests/support/h2_raw.h"
#include "tests/support/io_server.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CALM H2_ONE(H2_ENHANCE_YOUR_CALM)

static struct sm_io_server server;
static struct h2_block block;

static int start(void **state)
{
    (void)state;
    sm_io_server_start(&server, 0, NULL, NULL, NULL);
    return 0;
}

static int stop(void **state)
{
    (void)state;
    sm_io_server_stop(&server);
    return 0;
}

static unsigned long counted(const char *reason)
{
    char label[128];
    sm_buf text = sm_buf_init(1U << 20);
    sm_metrics_render(&text);
    sm_buf_put_byte(&text, 0);
    (void)snprintf(label, sizeof(label), "sealmill_http2_defence_total{reason=\"%s\"} ", reason);
    const char *at = strstr((const char *)text.ptr, label);
    unsigned long n = at == NULL ? 0 : strtoul(at + strlen(label), NULL, 10);
    sm_buf_deinit(&text);
    return n;
}

typedef void flood_fn(int fd, uint32_t i);

static void check_flood(const char *reason, uint32_t frames, flood_fn *send_one)
{
    unsigned long before = counted(reason);
    int fd = h2_raw_open(server.port);
    for (uint32_t i = 0; i < frames; i++) {
        send_one(fd, i);
    }
    h2_raw_expect_goaway(fd, CALM);
    assert_true(counted(reason) > before);
}

static void send_reset(int fd, uint32_t i)
{
    h2_raw_request(&block, "GET", "/never");
    h2_raw_headers(fd, 2 * i + 1, H2_END_STREAM | H2_END_HEADERS, &block);
    h2_raw_reset(fd, 2 * i + 1, H2_CANCEL);
}

static void send_settings(int fd, uint32_t i)
{
    (void)i;
    h2_raw_frame(fd, H2_SETTINGS, 0, 0, NULL, 0);
}

static void send_ping(int fd, uint32_t i)
{
    (void)i;
    h2_raw_frame(fd, H2_PING, 0, 0, "12345678", 8);
}

static void send_priority(int fd, uint32_t i)
{
    h2_raw_frame(fd, H2_PRIORITY, 0, 2 * i + 1, "\0\0\0\0\x10", 5);
}

static void send_window_update(int fd, uint32_t i)
{
    (void)i;
    h2_raw_window_update(fd, 0, 1);
}

static void send_empty_data(int fd, uint32_t i)
{
    if (i == 0) {
        h2_raw_request(&block, "POST", "/echo");
        h2_raw_headers(fd, 1, H2_END_HEADERS, &block);
    }
    h2_raw_frame(fd, H2_DATA, 0, 1, NULL, 0);
}

static void send_unknown(int fd, uint32_t i)
{
    (void)i;
    h2_raw_frame(fd, 0xfe, 0, 0, NULL, 0);
}

static void send_continuation(int fd, uint32_t i)
{
    if (i == 0) {
        h2_raw_request(&block, "GET", "/hello");
        h2_raw_headers(fd, 1, H2_END_STREAM, &block);
    }
    block.len = 0;
    h2_raw_field(&block, "x", "y");
    h2_raw_frame(fd, H2_CONTINUATION, 0, 1, block.octets, block.len);
}

/* Frames that are wrong on purpose, so that the server resets stream after stream. */
static void send_malformed(int fd, uint32_t i)
{
    h2_raw_request(&block, "GET", "/hello");
    h2_raw_field(&block, "connection", "close");
    h2_raw_headers(fd, 2 * i + 1, H2_END_STREAM | H2_END_HEADERS, &block);
}

static void floods__of_resets(void **state)
{
    (void)state;
    check_flood("rapid_reset", 700, send_reset);
}

static void floods__of_settings(void **state)
{
    (void)state;
    check_flood("settings_flood", 100, send_settings);
}

static void floods__of_pings(void **state)
{
    (void)state;
    check_flood("ping_flood", 400, send_ping);
}

static void floods__of_priorities(void **state)
{
    (void)state;
    check_flood("priority_flood", 1500, send_priority);
}

static void floods__of_window_updates(void **state)
{
    (void)state;
    check_flood("window_update_flood", 400000, send_window_update);
}

static void floods__of_empty_frames(void **state)
{
    (void)state;
    check_flood("empty_frame_flood", 100, send_empty_data);
}

static void floods__of_unknown_frames(void **state)
{
    (void)state;
    check_flood("unknown_frame_flood", 400, send_unknown);
}

static void floods__of_continuations(void **state)
{
    (void)state;
    check_flood("continuation_flood", 20, send_continuation);
}

static void floods__of_malformed_requests(void **state)
{
    (void)state;
    check_flood("invalid_frame_flood", 300, send_malformed);
}

/* A header section that does not end: CVE-2024-27316 with large frames. */
static void floods__of_fields(void **state)
{
    (void)state;
    static char value[16000];
    memset(value, 'v', sizeof(value) - 1);
    unsigned long before = counted("header_size");
    int fd = h2_raw_open(server.port);
    h2_raw_request(&block, "GET", "/hello");
    h2_raw_headers(fd, 1, H2_END_STREAM, &block);
    block.len = 0;
    h2_raw_field(&block, "x", value);
    for (int i = 0; i < 3; i++) {
        h2_raw_frame(fd, H2_CONTINUATION, i == 2 ? H2_END_HEADERS : 0, 1, block.octets, block.len);
    }
    h2_raw_expect_status(fd, 1, "431");
    assert_true(counted("header_size") > before);
    h2_raw_expect_alive(fd);
}

/* What gRPC clients do: a burst of cancelled calls, a ping here and there, a window for each
 * message. */
static void floods__are_not_what_clients_do(void **state)
{
    (void)state;
    int fd = h2_raw_open(server.port);
    for (uint32_t i = 0; i < 200; i++) {
        send_reset(fd, i);
    }
    for (uint32_t i = 0; i < 20; i++) {
        h2_raw_frame(fd, H2_PING, H2_ACK, 0, "12345678", 8);
        h2_raw_window_update(fd, 0, 1000);
        h2_raw_setting(fd, 4, 65535 + i);
    }
    h2_raw_get(fd, 1001, "/hello");
    h2_raw_expect_status(fd, 1001, "200");
    h2_raw_expect_alive(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(floods__of_resets),
        cmocka_unit_test(floods__of_settings),
        cmocka_unit_test(floods__of_pings),
        cmocka_unit_test(floods__of_priorities),
        cmocka_unit_test(floods__of_window_updates),
        cmocka_unit_test(floods__of_empty_frames),
        cmocka_unit_test(floods__of_unknown_frames),
        cmocka_unit_test(floods__of_continuations),
        cmocka_unit_test(floods__of_malformed_requests),
        cmocka_unit_test(floods__of_fields),
        cmocka_unit_test(floods__are_not_what_clients_do),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
