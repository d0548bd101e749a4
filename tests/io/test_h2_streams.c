/* SPDX-License-Identifier: Apache-2.0 */
/* RFC 9113 4.3, 5 and 6.10: stream states, stream identifiers, field sections in several frames. */
#include "tests/support/h2_raw.h"
#include "tests/support/io_server.h"

#include <string.h>
#include <unistd.h>

#define PRIORITY_OF_3 "\0\0\0\3\x10"

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

static void put_headers(int fd, uint32_t stream, uint8_t flags, const char *method,
                        const char *path)
{
    h2_raw_request(&block, method, path);
    h2_raw_headers(fd, stream, flags, &block);
}

/* A stream whose request has ended and whose answer is still to come. */
static int half_closed(void)
{
    int fd = h2_raw_open(server.port);
    put_headers(fd, 1, H2_END_STREAM | H2_END_HEADERS, "GET", "/never");
    return fd;
}

/* A stream that ended on both sides. */
static int closed(void)
{
    int fd = h2_raw_open(server.port);
    h2_raw_get(fd, 1, "/hello");
    h2_raw_expect_status(fd, 1, "200");
    return fd;
}

/* A stream that the peer reset. */
static int reset(void)
{
    int fd = h2_raw_open(server.port);
    put_headers(fd, 1, H2_END_HEADERS, "POST", "/never");
    h2_raw_reset(fd, 1, H2_CANCEL);
    return fd;
}

/* ---- 5.1 idle ---- */

static void h2__refuses_frames_of_idle_streams(void **state)
{
    (void)state;
    static const struct {
        uint8_t type;
        const char *payload;
        size_t len;
    } frames[] = {{H2_DATA, "test", 4},
                  {H2_RST_STREAM, "\0\0\0\x8", 4},
                  {H2_WINDOW_UPDATE, "\0\0\0\x64", 4},
                  {H2_CONTINUATION, "\x82", 1}};
    for (size_t i = 0; i < sizeof(frames) / sizeof(frames[0]); i++) {
        int fd = h2_raw_open(server.port);
        h2_raw_frame(fd, frames[i].type, 0, 1, frames[i].payload, frames[i].len);
        h2_raw_expect_goaway(fd, H2_ONE(H2_PROTOCOL_ERROR));
    }
}

/* 5.1, 6.3: PRIORITY comes in any state. */
static void h2__passes_over_priority_in_any_state(void **state)
{
    (void)state;
    int fd = h2_raw_open(server.port);
    h2_raw_frame(fd, H2_PRIORITY, 0, 1, PRIORITY_OF_3, 5);
    put_headers(fd, 1, H2_END_HEADERS, "POST", "/never");
    h2_raw_frame(fd, H2_PRIORITY, 0, 1, PRIORITY_OF_3, 5);
    h2_raw_frame(fd, H2_DATA, H2_END_STREAM, 1, "x", 1);
    h2_raw_frame(fd, H2_PRIORITY, 0, 1, PRIORITY_OF_3, 5);
    h2_raw_reset(fd, 1, H2_CANCEL);
    h2_raw_frame(fd, H2_PRIORITY, 0, 1, PRIORITY_OF_3, 5);
    h2_raw_get(fd, 5, "/hello");
    h2_raw_expect_status(fd, 5, "200");
    h2_raw_frame(fd, H2_PRIORITY, 0, 5, PRIORITY_OF_3, 5);
    h2_raw_expect_alive(fd);
}

/* ---- 5.1 half-closed (remote) ---- */

static void h2__takes_what_half_closed_streams_may_bring(void **state)
{
    (void)state;
    int fd = half_closed();
    h2_raw_window_update(fd, 1, 100);
    h2_raw_reset(fd, 1, H2_CANCEL);
    h2_raw_expect_alive(fd);
}

static void h2__refuses_more_of_a_half_closed_stream(void **state)
{
    (void)state;
    int fd = half_closed();
    h2_raw_frame(fd, H2_DATA, H2_END_STREAM, 1, "test", 4);
    h2_raw_expect_error(fd, 1, H2_ONE(H2_STREAM_CLOSED));
    fd = half_closed();
    put_headers(fd, 1, H2_END_STREAM | H2_END_HEADERS, "GET", "/hello");
    h2_raw_expect_error(fd, 1, H2_ONE(H2_STREAM_CLOSED));
    fd = half_closed();
    h2_raw_frame(fd, H2_CONTINUATION, H2_END_HEADERS, 1, "\x82", 1);
    h2_raw_expect_goaway(fd, H2_ONE(H2_STREAM_CLOSED) | H2_ONE(H2_PROTOCOL_ERROR));
}

/* ---- 5.1 closed ---- */

static void h2__takes_what_closed_streams_may_bring(void **state)
{
    (void)state;
    int fd = closed();
    h2_raw_window_update(fd, 1, 100);
    h2_raw_reset(fd, 1, H2_CANCEL);
    h2_raw_expect_alive(fd);
}

static void h2__refuses_more_of_a_closed_stream(void **state)
{
    (void)state;
    int fd = closed();
    h2_raw_frame(fd, H2_DATA, H2_END_STREAM, 1, "test", 4);
    h2_raw_expect_error(fd, 1, H2_ONE(H2_STREAM_CLOSED));
    fd = closed();
    put_headers(fd, 1, H2_END_STREAM | H2_END_HEADERS, "GET", "/hello");
    h2_raw_expect_goaway(fd, H2_ONE(H2_STREAM_CLOSED));
    fd = closed();
    h2_raw_frame(fd, H2_CONTINUATION, H2_END_HEADERS, 1, "\x82", 1);
    h2_raw_expect_goaway(fd, H2_ONE(H2_STREAM_CLOSED) | H2_ONE(H2_PROTOCOL_ERROR));
}

static void h2__refuses_more_of_a_stream_that_the_peer_reset(void **state)
{
    (void)state;
    int fd = reset();
    h2_raw_frame(fd, H2_DATA, H2_END_STREAM, 1, "test", 4);
    h2_raw_expect_error(fd, 1, H2_ONE(H2_STREAM_CLOSED));
    fd = reset();
    put_headers(fd, 1, H2_END_STREAM | H2_END_HEADERS, "GET", "/hello");
    h2_raw_expect_error(fd, 1, H2_ONE(H2_STREAM_CLOSED));
    fd = reset();
    h2_raw_frame(fd, H2_CONTINUATION, H2_END_HEADERS, 1, "\x82", 1);
    h2_raw_expect_goaway(fd, H2_ONE(H2_STREAM_CLOSED) | H2_ONE(H2_PROTOCOL_ERROR));
}

/* 5.1: what was under way when we reset a stream is passed over. */
static void h2__passes_over_what_comes_after_its_own_reset(void **state)
{
    (void)state;
    static struct h2_frame frame;
    int fd = h2_raw_open(server.port);
    h2_raw_request(&block, "POST", "/never");
    h2_raw_field(&block, "connection", "close"); /* 8.2.2: malformed */
    h2_raw_headers(fd, 1, H2_END_HEADERS, &block);
    h2_raw_read_frame(fd, H2_RST_STREAM, 1, &frame);
    h2_raw_frame(fd, H2_DATA, 0, 1, "on its way", 10);
    h2_raw_window_update(fd, 1, 100);
    block.len = 0;
    h2_raw_field(&block, "x-trailer", "late");
    h2_raw_headers(fd, 1, H2_END_STREAM | H2_END_HEADERS, &block);
    h2_raw_get(fd, 3, "/hello");
    h2_raw_expect_status(fd, 3, "200");
    h2_raw_expect_alive(fd);
}

/* ---- 5.1.1 identifiers ---- */

static void h2__refuses_even_identifiers(void **state)
{
    (void)state;
    int fd = h2_raw_open(server.port);
    h2_raw_get(fd, 2, "/hello");
    h2_raw_expect_goaway(fd, H2_ONE(H2_PROTOCOL_ERROR));
}

static void h2__refuses_identifiers_that_were_passed(void **state)
{
    (void)state;
    int fd = h2_raw_open(server.port);
    h2_raw_get(fd, 5, "/hello");
    h2_raw_expect_status(fd, 5, "200");
    h2_raw_get(fd, 3, "/hello");
    h2_raw_expect_goaway(fd, H2_ONE(H2_PROTOCOL_ERROR));
}

static void h2__takes_identifiers_with_gaps(void **state)
{
    (void)state;
    int fd = h2_raw_open(server.port);
    for (uint32_t stream = 1; stream < 200; stream += 14) {
        h2_raw_get(fd, stream, "/hello");
        h2_raw_expect_status(fd, stream, "200");
    }
    h2_raw_get(fd, 0x7fffffff, "/hello");
    h2_raw_expect_status(fd, 0x7fffffff, "200");
    h2_raw_expect_alive(fd);
}

/* 5.1.2 */
static void h2__refuses_streams_over_the_limit(void **state)
{
    (void)state;
    struct sm_http_limits limits;
    struct sm_io_server small;
    sm_http_limits_default(&limits);
    limits.streams = 3;
    sm_io_server_start(&small, 0, NULL, &limits, NULL);
    int fd = h2_raw_open(small.port);
    for (uint32_t stream = 1; stream <= 7; stream += 2) {
        put_headers(fd, stream, H2_END_HEADERS | H2_END_STREAM, "GET", "/never");
    }
    h2_raw_expect_error(fd, 7, H2_ONE(H2_REFUSED_STREAM) | H2_ONE(H2_PROTOCOL_ERROR));
    sm_io_server_stop(&small);
}

/* 5.3.1 of RFC 7540, which peers may still check. */
static void h2__refuses_a_stream_that_depends_on_itself(void **state)
{
    (void)state;
    uint8_t payload[300] = {0, 0, 0, 1, 0x10};
    int fd = h2_raw_open(server.port);
    h2_raw_request(&block, "GET", "/hello");
    memcpy(payload + 5, block.octets, block.len);
    h2_raw_frame(fd, H2_HEADERS, H2_END_HEADERS | H2_END_STREAM | H2_WITH_PRIORITY, 1, payload,
                 5 + block.len);
    h2_raw_expect_error(fd, 1, H2_ONE(H2_PROTOCOL_ERROR));
}

/* ---- 4.3, 6.10: field sections ---- */

static void h2__takes_a_section_in_many_frames(void **state)
{
    (void)state;
    int fd = h2_raw_open(server.port);
    h2_raw_request(&block, "GET", "/hello");
    h2_raw_frame(fd, H2_HEADERS, H2_END_STREAM, 1, block.octets, 5);
    h2_raw_frame(fd, H2_CONTINUATION, 0, 1, block.octets + 5, 1);
    h2_raw_frame(fd, H2_CONTINUATION, 0, 1, block.octets + 6, 10);
    h2_raw_frame(fd, H2_CONTINUATION, H2_END_HEADERS, 1, block.octets + 16, block.len - 16);
    h2_raw_expect_status(fd, 1, "200");
    h2_raw_expect_alive(fd);
}

static void h2__lets_nothing_into_an_open_section(void **state)
{
    (void)state;
    static const struct {
        uint8_t type;
        uint8_t flags;
        uint32_t stream;
        const char *payload;
        size_t len;
    } frames[] = {
        {H2_DATA, 0, 1, "test", 4},
        {H2_HEADERS, H2_END_HEADERS, 3, "\x82", 1},
        {H2_HEADERS, H2_END_HEADERS, 1, "\x82", 1},
        {H2_PRIORITY, 0, 1, PRIORITY_OF_3, 5},
        {H2_RST_STREAM, 0, 1, "\0\0\0\x8", 4},
        {H2_SETTINGS, 0, 0, "", 0},
        {H2_PING, 0, 0, "12345678", 8},
        {H2_GOAWAY, 0, 0, "\0\0\0\0\0\0\0\0", 8},
        {H2_WINDOW_UPDATE, 0, 0, "\0\0\0\1", 4},
        {H2_CONTINUATION, H2_END_HEADERS, 3, "\x82", 1},
    };
    for (size_t i = 0; i < sizeof(frames) / sizeof(frames[0]); i++) {
        int fd = h2_raw_open(server.port);
        put_headers(fd, 1, H2_END_STREAM, "GET", "/hello");
        h2_raw_frame(fd, frames[i].type, frames[i].flags, frames[i].stream, frames[i].payload,
                     frames[i].len);
        h2_raw_expect_goaway(fd, H2_ONE(H2_PROTOCOL_ERROR));
    }
}

static void h2__refuses_continuation_after_the_end(void **state)
{
    (void)state;
    int fd = h2_raw_open(server.port);
    h2_raw_request(&block, "POST", "/never");
    h2_raw_frame(fd, H2_HEADERS, 0, 1, block.octets, 10);
    h2_raw_frame(fd, H2_CONTINUATION, H2_END_HEADERS, 1, block.octets + 10, block.len - 10);
    h2_raw_frame(fd, H2_CONTINUATION, H2_END_HEADERS, 1, "\x82", 1);
    h2_raw_expect_goaway(fd, H2_ONE(H2_PROTOCOL_ERROR));
    fd = h2_raw_open(server.port);
    put_headers(fd, 1, H2_END_HEADERS, "POST", "/never");
    h2_raw_frame(fd, H2_DATA, 0, 1, "test", 4);
    h2_raw_frame(fd, H2_CONTINUATION, H2_END_HEADERS, 1, "\x82", 1);
    h2_raw_expect_goaway(fd, H2_ONE(H2_PROTOCOL_ERROR));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(h2__refuses_frames_of_idle_streams),
        cmocka_unit_test(h2__passes_over_priority_in_any_state),
        cmocka_unit_test(h2__takes_what_half_closed_streams_may_bring),
        cmocka_unit_test(h2__refuses_more_of_a_half_closed_stream),
        cmocka_unit_test(h2__takes_what_closed_streams_may_bring),
        cmocka_unit_test(h2__refuses_more_of_a_closed_stream),
        cmocka_unit_test(h2__refuses_more_of_a_stream_that_the_peer_reset),
        cmocka_unit_test(h2__passes_over_what_comes_after_its_own_reset),
        cmocka_unit_test(h2__refuses_even_identifiers),
        cmocka_unit_test(h2__refuses_identifiers_that_were_passed),
        cmocka_unit_test(h2__takes_identifiers_with_gaps),
        cmocka_unit_test(h2__refuses_streams_over_the_limit),
        cmocka_unit_test(h2__refuses_a_stream_that_depends_on_itself),
        cmocka_unit_test(h2__takes_a_section_in_many_frames),
        cmocka_unit_test(h2__lets_nothing_into_an_open_section),
        cmocka_unit_test(h2__refuses_continuation_after_the_end),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
