/* SPDX-License-Identifier: Apache-2.0 */
/* RFC 9113 3.4, 4, 6 and 7, frame by frame: what a peer may not send, and what is to be passed over. */
#include "tests/support/h2_raw.h"
#include "tests/support/io_server.h"

#include <string.h>
#include <unistd.h>

#define MAX_FRAME 16384U /* SETTINGS_MAX_FRAME_SIZE's first value, which we do not raise */

static struct sm_io_server server;
static struct h2_block block;
static uint8_t zeros[MAX_FRAME + 64];

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

/* A POST whose body is still to come. */
static int open_post(const char *path)
{
    int fd = h2_raw_open(server.port);
    h2_raw_request(&block, "POST", path);
    h2_raw_headers(fd, 1, H2_END_HEADERS, &block);
    return fd;
}

/* ---- 3.4 preface ---- */

static void h2__answers_settings_first(void **state)
{
    (void)state;
    static struct h2_frame frame;
    int fd = h2_raw_connect(server.port);
    h2_raw_write(fd, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 24);
    h2_raw_frame(fd, H2_SETTINGS, 0, 0, NULL, 0);
    assert_true(h2_raw_read(fd, &frame));
    assert_int_equal(frame.type, H2_SETTINGS);
    assert_int_equal(frame.flags, 0);
    (void)close(fd);
}

static void h2__ends_at_a_wrong_preface(void **state)
{
    (void)state;
    int fd = h2_raw_connect(server.port);
    h2_raw_write(fd, "PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n", 24);
    assert_true(sm_io_is_closed_within(fd, 5000));
    (void)close(fd);
}

static void h2__wants_settings_after_the_preface(void **state)
{
    (void)state;
    int fd = h2_raw_connect(server.port);
    h2_raw_write(fd, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 24);
    h2_raw_frame(fd, H2_PING, 0, 0, zeros, 8);
    h2_raw_expect_goaway(fd, H2_ONE(H2_PROTOCOL_ERROR));
}

/* ---- 4.1 format, 5.5 extensions ---- */

static void h2__passes_over_unknown_types_flags_and_reserved_bits(void **state)
{
    (void)state;
    static struct h2_frame frame;
    int fd = h2_raw_open(server.port);
    h2_raw_frame(fd, 0xff, 0xff, 0, zeros, 8);
    h2_raw_frame(fd, 0xff, 0, 77, zeros, 8);
    h2_raw_frame(fd, H2_PING, 0x16, 0, "12345678", 8);
    h2_raw_read_frame(fd, H2_PING, 0, &frame);
    assert_int_equal(frame.flags, H2_ACK);
    h2_raw_frame(fd, H2_PING, 0, 1U << 31, "12345678", 8);
    h2_raw_read_frame(fd, H2_PING, 0, &frame);
    assert_int_equal(frame.stream, 0); /* the bit is sent unset */
    h2_raw_expect_alive(fd);
}

static void h2__takes_no_unknown_frame_inside_a_field_section(void **state)
{
    (void)state;
    int fd = h2_raw_open(server.port);
    h2_raw_request(&block, "GET", "/hello");
    h2_raw_headers(fd, 1, H2_END_STREAM, &block);
    h2_raw_frame(fd, 0xff, 0, 1, zeros, 8);
    h2_raw_expect_goaway(fd, H2_ONE(H2_PROTOCOL_ERROR));
}

/* ---- 4.2 size ---- */

static void h2__takes_the_largest_frame(void **state)
{
    (void)state;
    int fd = open_post("/echo");
    h2_raw_frame(fd, H2_DATA, H2_END_STREAM, 1, zeros, MAX_FRAME);
    h2_raw_expect_status(fd, 1, "200");
    (void)close(fd);
}

static void h2__refuses_a_larger_frame_of_any_type(void **state)
{
    (void)state;
    static const uint8_t types[] = {H2_DATA,     H2_HEADERS, H2_PRIORITY,      H2_RST_STREAM,
                                    H2_SETTINGS, H2_PING,    H2_WINDOW_UPDATE, 0xfe};
    for (size_t i = 0; i < sizeof(types); i++) {
        int fd = open_post("/echo");
        bool of_stream = types[i] != H2_SETTINGS && types[i] != H2_PING;
        h2_raw_frame(fd, types[i], types[i] == H2_HEADERS ? H2_END_HEADERS : 0, of_stream ? 1 : 0,
                     zeros, MAX_FRAME + 1);
        h2_raw_expect_error(fd, 1, H2_ONE(H2_FRAME_SIZE_ERROR));
    }
}

/* ---- 6: a frame on the wrong kind of stream, or of the wrong length ---- */

static const struct {
    const char *what;
    uint8_t type;
    uint8_t flags;
    uint32_t stream;
    const char *payload;
    size_t len;
    unsigned errors;
} wrong[] = {
    {"6.1 DATA on the connection", H2_DATA, 0, 0, "test", 4, H2_ONE(H2_PROTOCOL_ERROR)},
    {"6.1 padding as long as the frame", H2_DATA, H2_PADDED, 1, "\4pad", 4,
     H2_ONE(H2_PROTOCOL_ERROR)},
    {"6.1 padding longer than the frame", H2_DATA, H2_PADDED, 1, "\xff", 1,
     H2_ONE(H2_PROTOCOL_ERROR)},
    {"6.1 no room for the padding's length", H2_DATA, H2_PADDED, 1, "", 0,
     H2_ONE(H2_PROTOCOL_ERROR) | H2_ONE(H2_FRAME_SIZE_ERROR)},
    {"6.2 HEADERS on the connection", H2_HEADERS, H2_END_HEADERS, 0, "\x82", 1,
     H2_ONE(H2_PROTOCOL_ERROR)},
    {"6.2 padding longer than the frame", H2_HEADERS, H2_END_HEADERS | H2_PADDED, 3, "\x08\x82", 2,
     H2_ONE(H2_PROTOCOL_ERROR)},
    {"6.2 no room for the priority", H2_HEADERS, H2_END_HEADERS | H2_WITH_PRIORITY, 3, "\0\0\0", 3,
     H2_ONE(H2_PROTOCOL_ERROR) | H2_ONE(H2_FRAME_SIZE_ERROR)},
    {"6.3 PRIORITY on the connection", H2_PRIORITY, 0, 0, "\0\0\0\0\0", 5,
     H2_ONE(H2_PROTOCOL_ERROR)},
    {"6.3 PRIORITY of 4 octets", H2_PRIORITY, 0, 1, "\0\0\0\0", 4, H2_ONE(H2_FRAME_SIZE_ERROR)},
    {"6.4 RST_STREAM on the connection", H2_RST_STREAM, 0, 0, "\0\0\0\0", 4,
     H2_ONE(H2_PROTOCOL_ERROR)},
    {"6.4 RST_STREAM of an idle stream", H2_RST_STREAM, 0, 9, "\0\0\0\0", 4,
     H2_ONE(H2_PROTOCOL_ERROR)},
    {"6.4 RST_STREAM of 3 octets", H2_RST_STREAM, 0, 1, "\0\0\0", 3, H2_ONE(H2_FRAME_SIZE_ERROR)},
    {"6.4 RST_STREAM of 5 octets", H2_RST_STREAM, 0, 1, "\0\0\0\0\0", 5,
     H2_ONE(H2_FRAME_SIZE_ERROR)},
    {"6.5 ACK with a payload", H2_SETTINGS, H2_ACK, 0, "\0\3\0\0\0\1", 6,
     H2_ONE(H2_FRAME_SIZE_ERROR)},
    {"6.5 SETTINGS on a stream", H2_SETTINGS, 0, 1, "\0\3\0\0\0\1", 6, H2_ONE(H2_PROTOCOL_ERROR)},
    {"6.5 SETTINGS of 3 octets", H2_SETTINGS, 0, 0, "\0\3\0", 3, H2_ONE(H2_FRAME_SIZE_ERROR)},
    {"6.5.2 ENABLE_PUSH of 2", H2_SETTINGS, 0, 0, "\0\2\0\0\0\2", 6, H2_ONE(H2_PROTOCOL_ERROR)},
    {"6.5.2 INITIAL_WINDOW_SIZE over 2^31-1", H2_SETTINGS, 0, 0, "\0\4\x80\0\0\0", 6,
     H2_ONE(H2_FLOW_CONTROL_ERROR)},
    {"6.5.2 MAX_FRAME_SIZE under 2^14", H2_SETTINGS, 0, 0, "\0\5\0\0\x3f\xff", 6,
     H2_ONE(H2_PROTOCOL_ERROR)},
    {"6.5.2 MAX_FRAME_SIZE over 2^24-1", H2_SETTINGS, 0, 0, "\0\5\1\0\0\0", 6,
     H2_ONE(H2_PROTOCOL_ERROR)},
    {"6.6 PUSH_PROMISE by a client", H2_PUSH_PROMISE, H2_END_HEADERS, 1, "\0\0\0\2\x82", 5,
     H2_ONE(H2_PROTOCOL_ERROR)},
    {"6.7 PING on a stream", H2_PING, 0, 1, "12345678", 8, H2_ONE(H2_PROTOCOL_ERROR)},
    {"6.7 PING of 6 octets", H2_PING, 0, 0, "123456", 6, H2_ONE(H2_FRAME_SIZE_ERROR)},
    {"6.8 GOAWAY on a stream", H2_GOAWAY, 0, 1, "\0\0\0\0\0\0\0\0", 8, H2_ONE(H2_PROTOCOL_ERROR)},
    {"6.8 GOAWAY of 7 octets", H2_GOAWAY, 0, 0, "\0\0\0\0\0\0\0", 7, H2_ONE(H2_FRAME_SIZE_ERROR)},
    {"6.9 increment of 0 for the connection", H2_WINDOW_UPDATE, 0, 0, "\0\0\0\0", 4,
     H2_ONE(H2_PROTOCOL_ERROR)},
    {"6.9 increment of 0 for a stream", H2_WINDOW_UPDATE, 0, 1, "\0\0\0\0", 4,
     H2_ONE(H2_PROTOCOL_ERROR)},
    {"6.9 WINDOW_UPDATE of 3 octets", H2_WINDOW_UPDATE, 0, 0, "\0\0\1", 3,
     H2_ONE(H2_FRAME_SIZE_ERROR)},
    {"6.9 WINDOW_UPDATE of 5 octets", H2_WINDOW_UPDATE, 0, 1, "\0\0\0\1\0", 5,
     H2_ONE(H2_FRAME_SIZE_ERROR)},
    {"6.10 CONTINUATION on the connection", H2_CONTINUATION, H2_END_HEADERS, 0, "\x82", 1,
     H2_ONE(H2_PROTOCOL_ERROR)},
    {"6.10 CONTINUATION after a complete section", H2_CONTINUATION, H2_END_HEADERS, 1, "\x82", 1,
     H2_ONE(H2_PROTOCOL_ERROR)},
};

static void h2__refuses_wrong_frames(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        print_message("%s\n", wrong[i].what);
        int fd = open_post("/echo"); /* stream 1 is open */
        h2_raw_frame(fd, wrong[i].type, wrong[i].flags, wrong[i].stream, wrong[i].payload,
                     wrong[i].len);
        h2_raw_expect_error(fd, wrong[i].stream, wrong[i].errors);
    }
}

/* 4.2: a frame that may change the whole connection's state is an error of the connection. */
static void h2__ends_the_connection_where_the_state_is_lost(void **state)
{
    (void)state;
    int fd = open_post("/echo");
    h2_raw_frame(fd, H2_SETTINGS, 0, 0, "\0\3\0", 3);
    h2_raw_expect_goaway(fd, H2_ONE(H2_FRAME_SIZE_ERROR));
    fd = open_post("/echo");
    h2_raw_frame(fd, H2_HEADERS, H2_END_HEADERS, 3, zeros, MAX_FRAME + 1);
    h2_raw_expect_goaway(fd, H2_ONE(H2_FRAME_SIZE_ERROR));
    fd = open_post("/echo");
    h2_raw_frame(fd, H2_WINDOW_UPDATE, 0, 0, "\0\0\0\0", 4);
    h2_raw_expect_goaway(fd, H2_ONE(H2_PROTOCOL_ERROR));
}

/* ---- 6.1, 6.2 padding and priority that are right ---- */

static void h2__takes_padding_and_priority(void **state)
{
    (void)state;
    uint8_t payload[256] = {3}; /* 3 octets of padding */
    int fd = h2_raw_open(server.port);
    h2_raw_request(&block, "POST", "/echo");
    memcpy(payload + 1, "\0\0\0\0\x10", 5);
    memcpy(payload + 6, block.octets, block.len);
    h2_raw_frame(fd, H2_HEADERS, H2_END_HEADERS | H2_PADDED | H2_WITH_PRIORITY, 1, payload,
                 6 + block.len + 3);
    h2_raw_frame(fd, H2_DATA, H2_PADDED, 1, "\2ab\0\0", 5);
    h2_raw_frame(fd, H2_DATA, H2_PADDED | H2_END_STREAM, 1, "\0cd", 3);
    static struct h2_frame frame;
    h2_raw_read_frame(fd, H2_HEADERS, 1, &frame);
    assert_string_equal(frame.status, "200");
    h2_raw_read_frame(fd, H2_DATA, 1, &frame);
    assert_int_equal(frame.len, 4);
    assert_memory_equal(frame.payload, "abcd", 4);
    (void)close(fd);
}

/* ---- 6.5 settings ---- */

static void h2__acknowledges_settings_and_passes_over_unknown_ones(void **state)
{
    (void)state;
    static struct h2_frame frame;
    int fd = h2_raw_open(server.port);
    h2_raw_setting(fd, 0xff, 1);
    h2_raw_read_frame(fd, H2_SETTINGS, 0, &frame);
    assert_int_equal(frame.flags, H2_ACK);
    assert_int_equal(frame.len, 0);
    h2_raw_expect_alive(fd);
}

/* 6.5.3: values are taken in the order in which they stand. */
static void h2__takes_the_last_of_several_values(void **state)
{
    (void)state;
    static struct h2_frame frame;
    int fd = h2_raw_open(server.port);
    h2_raw_frame(fd, H2_SETTINGS, 0, 0, "\0\4\0\0\0\x64\0\4\0\0\0\1", 12);
    h2_raw_get(fd, 1, "/hello");
    h2_raw_read_frame(fd, H2_DATA, 1, &frame);
    assert_int_equal(frame.len, 1);
    h2_raw_expect_alive(fd);
}

/* ---- 6.7 to 6.9, 7 ---- */

static void h2__does_not_answer_an_answer_to_ping(void **state)
{
    (void)state;
    static struct h2_frame frame;
    int fd = h2_raw_open(server.port);
    h2_raw_frame(fd, H2_PING, H2_ACK, 0, "invalid!", 8);
    h2_raw_frame(fd, H2_PING, 0, 0, "genuine!", 8);
    h2_raw_read_frame(fd, H2_PING, 0, &frame);
    assert_memory_equal(frame.payload, "genuine!", 8);
    (void)close(fd);
}

static void h2__passes_over_unknown_error_codes(void **state)
{
    (void)state;
    int fd = open_post("/echo");
    h2_raw_reset(fd, 1, 0xff);
    h2_raw_expect_alive(fd);
    fd = open_post("/echo");
    h2_raw_frame(fd, H2_GOAWAY, 0, 0, "\0\0\0\0\0\0\0\xff", 8);
    h2_raw_frame(fd, H2_DATA, H2_END_STREAM, 1, "late", 4);
    h2_raw_expect_status(fd, 1, "200"); /* what is under way is finished */
    (void)close(fd);
}

static void h2__holds_data_to_the_stream_window(void **state)
{
    (void)state;
    static struct h2_frame frame;
    int fd = h2_raw_open_window(server.port, 1);
    h2_raw_get(fd, 1, "/hello");
    h2_raw_read_frame(fd, H2_DATA, 1, &frame);
    assert_int_equal(frame.len, 1);
    h2_raw_window_update(fd, 1, 2);
    h2_raw_read_frame(fd, H2_DATA, 1, &frame);
    assert_int_equal(frame.len, 2);
    h2_raw_window_update(fd, 1, 100);
    h2_raw_read_frame(fd, H2_DATA, 1, &frame);
    assert_int_equal(frame.len, 3);
    assert_int_equal(frame.flags & H2_END_STREAM, H2_END_STREAM);
    h2_raw_expect_alive(fd);
}

/* 6.9.2: open streams' windows move with the setting, below zero too. */
static void h2__moves_open_windows_with_the_setting(void **state)
{
    (void)state;
    static struct h2_frame frame;
    int fd = h2_raw_open_window(server.port, 0);
    h2_raw_get(fd, 1, "/hello");
    h2_raw_read_frame(fd, H2_HEADERS, 1, &frame);
    h2_raw_setting(fd, 4, 3);
    h2_raw_read_frame(fd, H2_DATA, 1, &frame);
    assert_int_equal(frame.len, 3);
    h2_raw_setting(fd, 4, 2); /* the window is -1 now */
    h2_raw_read_frame(fd, H2_SETTINGS, 0, &frame);
    h2_raw_window_update(fd, 1, 2);
    h2_raw_read_frame(fd, H2_DATA, 1, &frame);
    assert_int_equal(frame.len, 1);
    h2_raw_expect_alive(fd);
}

static void h2__holds_data_to_the_connection_window(void **state)
{
    (void)state;
    static struct h2_frame frame;
    size_t got = 0;
    int fd = h2_raw_open_window(server.port, 1U << 20);
    h2_raw_get(fd, 1, "/big?100000");
    h2_raw_frame(fd, H2_PING, 0, 0, "12345678", 8);
    while (got < 65535) {
        h2_raw_read_frame(fd, H2_DATA, 1, &frame);
        got += frame.len;
    }
    assert_int_equal(got, 65535); /* 6.9.2: the connection's first window */
    h2_raw_window_update(fd, 0, 10);
    h2_raw_read_frame(fd, H2_DATA, 1, &frame);
    assert_int_equal(frame.len, 10);
    h2_raw_expect_alive(fd);
}

static void h2__refuses_windows_over_2_31(void **state)
{
    (void)state;
    int fd = open_post("/echo");
    h2_raw_window_update(fd, 0, 0x7fffffff);
    h2_raw_expect_goaway(fd, H2_ONE(H2_FLOW_CONTROL_ERROR));
    fd = open_post("/echo");
    h2_raw_window_update(fd, 1, 0x7fffffff);
    h2_raw_expect_reset(fd, 1, H2_ONE(H2_FLOW_CONTROL_ERROR));
    fd = open_post("/echo");
    h2_raw_window_update(fd, 1, 0x7fff0000); /* 6.9.2: made too large by the setting */
    h2_raw_setting(fd, 4, 0x7fffffff);
    h2_raw_expect_goaway(fd, H2_ONE(H2_FLOW_CONTROL_ERROR));
}

/* 6.9: DATA over the window that we gave. */
static void h2__refuses_data_over_the_window(void **state)
{
    (void)state;
    int fd = open_post("/hold");
    for (size_t sent = 0; sent <= 8U << 20; sent += MAX_FRAME) {
        h2_raw_frame(fd, H2_DATA, 0, 1, zeros, MAX_FRAME);
    }
    h2_raw_expect_error(fd, 1, H2_ONE(H2_FLOW_CONTROL_ERROR));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(h2__answers_settings_first),
        cmocka_unit_test(h2__ends_at_a_wrong_preface),
        cmocka_unit_test(h2__wants_settings_after_the_preface),
        cmocka_unit_test(h2__passes_over_unknown_types_flags_and_reserved_bits),
        cmocka_unit_test(h2__takes_no_unknown_frame_inside_a_field_section),
        cmocka_unit_test(h2__takes_the_largest_frame),
        cmocka_unit_test(h2__refuses_a_larger_frame_of_any_type),
        cmocka_unit_test(h2__refuses_wrong_frames),
        cmocka_unit_test(h2__ends_the_connection_where_the_state_is_lost),
        cmocka_unit_test(h2__takes_padding_and_priority),
        cmocka_unit_test(h2__acknowledges_settings_and_passes_over_unknown_ones),
        cmocka_unit_test(h2__takes_the_last_of_several_values),
        cmocka_unit_test(h2__does_not_answer_an_answer_to_ping),
        cmocka_unit_test(h2__passes_over_unknown_error_codes),
        cmocka_unit_test(h2__holds_data_to_the_stream_window),
        cmocka_unit_test(h2__moves_open_windows_with_the_setting),
        cmocka_unit_test(h2__holds_data_to_the_connection_window),
        cmocka_unit_test(h2__refuses_windows_over_2_31),
        cmocka_unit_test(h2__refuses_data_over_the_window),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
