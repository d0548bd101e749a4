/* SPDX-License-Identifier: Apache-2.0 */
/* RFC 9113 8 and RFC 7541: what a request is, and how its fields are coded. */
#include "tests/support/h2_raw.h"
#include "tests/support/io_server.h"

#include <string.h>
#include <unistd.h>

#define WHOLE (H2_END_STREAM | H2_END_HEADERS)

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

/* ---- RFC 9113 8.1 messages ---- */

static void h2__answers_each_method(void **state)
{
    (void)state;
    static const char *const methods[] = {"GET", "HEAD", "OPTIONS", "DELETE", "PUT", "X-OWN"};
    int fd = h2_raw_open(server.port);
    for (uint32_t i = 0; i < sizeof(methods) / sizeof(methods[0]); i++) {
        h2_raw_request(&block, methods[i], "/hello");
        h2_raw_headers(fd, 2 * i + 1, WHOLE, &block);
        h2_raw_expect_status(fd, 2 * i + 1, "200");
    }
    h2_raw_expect_alive(fd);
}

static void h2__takes_a_body_and_trailers(void **state)
{
    (void)state;
    int fd = h2_raw_open(server.port);
    h2_raw_request(&block, "POST", "/echo");
    h2_raw_field(&block, "trailer", "x-sum");
    h2_raw_headers(fd, 1, H2_END_HEADERS, &block);
    h2_raw_frame(fd, H2_DATA, 0, 1, "test", 4);
    block.len = 0;
    h2_raw_field(&block, "x-sum", "4");
    h2_raw_headers(fd, 1, WHOLE, &block);
    h2_raw_expect_status(fd, 1, "200");
    h2_raw_expect_alive(fd);
}

static void h2__says_continue_to_who_waits_for_it(void **state)
{
    (void)state;
    static struct h2_frame frame;
    int fd = h2_raw_open(server.port);
    h2_raw_request(&block, "POST", "/echo");
    h2_raw_field(&block, "expect", "100-continue");
    h2_raw_headers(fd, 1, H2_END_HEADERS, &block);
    h2_raw_read_frame(fd, H2_HEADERS, 1, &frame);
    assert_string_equal(frame.status, "100");
    assert_int_equal(frame.flags & H2_END_STREAM, 0);
    h2_raw_frame(fd, H2_DATA, H2_END_STREAM, 1, "test", 4);
    h2_raw_expect_status(fd, 1, "200");
    h2_raw_request(&block, "POST", "/hello"); /* answered at once: the body is not wanted */
    h2_raw_field(&block, "expect", "100-continue");
    h2_raw_headers(fd, 3, H2_END_HEADERS, &block);
    h2_raw_expect_status(fd, 3, "200");
    h2_raw_expect_alive(fd);
}

/* 8.1: an answer may come before the request's end; the rest is read and checked nevertheless. */
static void h2__answers_before_the_end_of_the_request(void **state)
{
    (void)state;
    static struct h2_frame frame;
    int fd = h2_raw_open(server.port);
    h2_raw_request(&block, "POST", "/hello");
    h2_raw_headers(fd, 1, H2_END_HEADERS, &block);
    h2_raw_expect_status(fd, 1, "200");
    h2_raw_frame(fd, H2_DATA, 0, 1, "rest", 4);
    h2_raw_frame(fd, H2_DATA, H2_END_STREAM, 1, "rest", 4);
    h2_raw_get(fd, 3, "/hello");
    h2_raw_read_frame(fd, H2_HEADERS, 3, &frame);
    assert_string_equal(frame.status, "200");
    h2_raw_expect_alive(fd);
}

static void h2__takes_no_second_head(void **state)
{
    (void)state;
    int fd = h2_raw_open(server.port);
    h2_raw_request(&block, "POST", "/echo");
    h2_raw_headers(fd, 1, H2_END_HEADERS, &block);
    block.len = 0;
    h2_raw_field(&block, "x-more", "1");
    h2_raw_headers(fd, 1, H2_END_HEADERS, &block); /* trailers without END_STREAM */
    h2_raw_expect_error(fd, 1, H2_ONE(H2_PROTOCOL_ERROR));
}

/* ---- 8.2, 8.3: malformed requests ---- */

struct field {
    const char *name;
    const char *value;
};

static const struct {
    const char *what;
    struct field fields[8];
} malformed[] = {
    {"8.2.1 capital letters in a name",
     {{":method", "GET"},
      {":scheme", "http"},
      {":path", "/hello"},
      {":authority", "x"},
      {"X-Test", "ok"}}},
    {"8.2.1 a space in a name",
     {{":method", "GET"},
      {":scheme", "http"},
      {":path", "/hello"},
      {":authority", "x"},
      {"x test", "ok"}}},
    {"8.2.1 a line break in a value",
     {{":method", "GET"},
      {":scheme", "http"},
      {":path", "/hello"},
      {":authority", "x"},
      {"x-test", "a\r\nb: c"}}},
    {"8.2.1 a name of no octets",
     {{":method", "GET"},
      {":scheme", "http"},
      {":path", "/hello"},
      {":authority", "x"},
      {"", "empty"}}},
    {"8.3 an unknown pseudo-header field",
     {{":method", "GET"},
      {":scheme", "http"},
      {":path", "/hello"},
      {":authority", "x"},
      {":test", "ok"}}},
    {"8.3 an answer's pseudo-header field",
     {{":method", "GET"},
      {":scheme", "http"},
      {":path", "/hello"},
      {":authority", "x"},
      {":status", "200"}}},
    {"8.3 a pseudo-header field after a regular one",
     {{":method", "GET"},
      {":scheme", "http"},
      {"x-test", "ok"},
      {":path", "/hello"},
      {":authority", "x"}}},
    {"8.3.1 an empty path",
     {{":method", "GET"}, {":scheme", "http"}, {":path", ""}, {":authority", "x"}}},
    {"8.3.1 a path without a slash",
     {{":method", "GET"}, {":scheme", "http"}, {":path", "hello"}, {":authority", "x"}}},
    {"8.3.1 no method", {{":scheme", "http"}, {":path", "/hello"}, {":authority", "x"}}},
    {"8.3.1 no scheme", {{":method", "GET"}, {":path", "/hello"}, {":authority", "x"}}},
    {"8.3.1 no path", {{":method", "GET"}, {":scheme", "http"}, {":authority", "x"}}},
    {"8.3.1 two methods",
     {{":method", "GET"},
      {":method", "GET"},
      {":scheme", "http"},
      {":path", "/hello"},
      {":authority", "x"}}},
    {"8.3.1 two schemes",
     {{":method", "GET"},
      {":scheme", "http"},
      {":scheme", "http"},
      {":path", "/hello"},
      {":authority", "x"}}},
    {"8.3.1 two paths",
     {{":method", "GET"},
      {":scheme", "http"},
      {":path", "/hello"},
      {":path", "/hello"},
      {":authority", "x"}}},
    {"8.2.2 connection",
     {{":method", "GET"},
      {":scheme", "http"},
      {":path", "/hello"},
      {":authority", "x"},
      {"connection", "keep-alive"}}},
    {"8.2.2 transfer-encoding",
     {{":method", "GET"},
      {":scheme", "http"},
      {":path", "/hello"},
      {":authority", "x"},
      {"transfer-encoding", "chunked"}}},
    {"8.2.2 keep-alive",
     {{":method", "GET"},
      {":scheme", "http"},
      {":path", "/hello"},
      {":authority", "x"},
      {"keep-alive", "5"}}},
    {"8.2.2 upgrade",
     {{":method", "GET"},
      {":scheme", "http"},
      {":path", "/hello"},
      {":authority", "x"},
      {"upgrade", "h2c"}}},
    {"8.2.2 TE that is not trailers",
     {{":method", "GET"},
      {":scheme", "http"},
      {":path", "/hello"},
      {":authority", "x"},
      {"te", "trailers, deflate"}}},
    {"8.1.1 content-length of a request without content",
     {{":method", "GET"},
      {":scheme", "http"},
      {":path", "/hello"},
      {":authority", "x"},
      {"content-length", "5"}}},
    {"8.1.1 two content-lengths",
     {{":method", "GET"},
      {":scheme", "http"},
      {":path", "/hello"},
      {":authority", "x"},
      {"content-length", "0"},
      {"content-length", "0"}}},
    {"8.1.1 content-length that is no number",
     {{":method", "GET"},
      {":scheme", "http"},
      {":path", "/hello"},
      {":authority", "x"},
      {"content-length", "-1"}}},
};

static void h2__resets_malformed_requests(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(malformed) / sizeof(malformed[0]); i++) {
        print_message("%s\n", malformed[i].what);
        int fd = h2_raw_open(server.port);
        block.len = 0;
        for (const struct field *f = malformed[i].fields; f->name != NULL; f++) {
            h2_raw_field(&block, f->name, f->value);
        }
        h2_raw_headers(fd, 1, WHOLE, &block);
        h2_raw_expect_error(fd, 1, H2_ONE(H2_PROTOCOL_ERROR));
    }
}

static void h2__takes_te_trailers(void **state)
{
    (void)state;
    int fd = h2_raw_open(server.port);
    h2_raw_request(&block, "GET", "/hello");
    h2_raw_field(&block, "te", "trailers");
    h2_raw_headers(fd, 1, WHOLE, &block);
    h2_raw_expect_status(fd, 1, "200");
    h2_raw_expect_alive(fd);
}

static void h2__takes_no_pseudo_header_field_in_trailers(void **state)
{
    (void)state;
    int fd = h2_raw_open(server.port);
    h2_raw_request(&block, "POST", "/echo");
    h2_raw_headers(fd, 1, H2_END_HEADERS, &block);
    h2_raw_frame(fd, H2_DATA, 0, 1, "test", 4);
    block.len = 0;
    h2_raw_field(&block, ":method", "GET");
    h2_raw_headers(fd, 1, WHOLE, &block);
    h2_raw_expect_error(fd, 1, H2_ONE(H2_PROTOCOL_ERROR));
}

/* 8.1.1: also where the answer was given before the body came. */
static void h2__holds_the_body_to_its_length(void **state)
{
    (void)state;
    static const char *const paths[] = {"/echo", "/hello", "/none"};
    for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
        for (int parts = 1; parts <= 2; parts++) {
            int fd = h2_raw_open(server.port);
            h2_raw_request(&block, "POST", paths[i]);
            h2_raw_field(&block, "content-length", "1");
            h2_raw_headers(fd, 1, H2_END_HEADERS, &block);
            if (parts == 2) {
                h2_raw_frame(fd, H2_DATA, 0, 1, "te", 2);
            }
            h2_raw_frame(fd, H2_DATA, H2_END_STREAM, 1, "st", 2);
            h2_raw_expect_error(fd, 1, H2_ONE(H2_PROTOCOL_ERROR));
        }
    }
}

static void h2__holds_a_short_body_to_its_length(void **state)
{
    (void)state;
    int fd = h2_raw_open(server.port);
    h2_raw_request(&block, "POST", "/echo");
    h2_raw_field(&block, "content-length", "9");
    h2_raw_headers(fd, 1, H2_END_HEADERS, &block);
    h2_raw_frame(fd, H2_DATA, H2_END_STREAM, 1, "test", 4);
    h2_raw_expect_error(fd, 1, H2_ONE(H2_PROTOCOL_ERROR));
}

/* ---- RFC 7541 ---- */

static void send_raw_block(int fd, const char *octets, size_t len)
{
    h2_raw_frame(fd, H2_HEADERS, WHOLE, 1, octets, len);
}

/* :method GET, :scheme http, :path /hello (literal), :authority x */
#define OCTETS(literal) literal, sizeof(literal) - 1
#define INDEXED "\x82\x86\x44\x06/hello\x41\x01x"

static void hpack__takes_every_representation(void **state)
{
    (void)state;
    static const struct {
        const char *octets;
        size_t len;
    } good[] = {
        {OCTETS(INDEXED)},
        {OCTETS(INDEXED "\x40\x04user\x04test")},                 /* 6.2.1, new name */
        {OCTETS(INDEXED "\x00\x04user\x04test")},                 /* 6.2.2 */
        {OCTETS(INDEXED "\x10\x04user\x04test")},                 /* 6.2.3 */
        {OCTETS(INDEXED "\x40\x83\xb5\x05\xb3\x83\x49\x50\x9f")}, /* Huffman: "user", "test" */
        {OCTETS(INDEXED "\x40\x04user\x04test\xbe")},             /* 6.1, of the dynamic table */
        {OCTETS("\x20" INDEXED)},                                 /* 6.3, size 0 */
        {OCTETS("\x20\x3f\xe1\x1f" INDEXED)},                     /* 4.2, two updates: 0, 4096 */
    };
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        int fd = h2_raw_open(server.port);
        send_raw_block(fd, good[i].octets, good[i].len);
        h2_raw_expect_status(fd, 1, "200");
        h2_raw_expect_alive(fd);
    }
}

static void hpack__ends_the_connection_at_a_coding_error(void **state)
{
    (void)state;
    static const struct {
        const char *what;
        const char *octets;
        size_t len;
    } bad[] = {
        {"2.3.3 an index behind both tables", OCTETS(INDEXED "\xc6")},
        {"2.3.3 a name's index behind both tables", OCTETS(INDEXED "\x7f\x80\x01\x01x")},
        {"4.2 a size update at the end", OCTETS(INDEXED "\x20")},
        {"4.2 a size update in the middle", OCTETS("\x82\x20\x86\x44\x06/hello\x41\x01x")},
        {"5.1 an integer without end",
         OCTETS(INDEXED "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff")},
        {"5.2 a string longer than the block", OCTETS(INDEXED "\x00\x04user\x7ftest")},
        {"5.2 padding of more than 7 bits",
         OCTETS(INDEXED "\x00\x85\xf2\xb2\x4a\x84\xff\x84\x49\x50\x9f\xff")},
        {"5.2 padding of zeros", OCTETS(INDEXED "\x00\x85\xf2\xb2\x4a\x84\xff\x83\x49\x50\x90")},
        {"5.2 EOS inside",
         OCTETS(INDEXED "\x00\x85\xf2\xb2\x4a\x84\xff\x87\x49\x51\xff\xff\xff\xfa\x7f")},
        {"6.1 index 0", OCTETS(INDEXED "\x80")},
        {"6.3 a size over the setting", OCTETS("\x3f\xe2\x1f" INDEXED)},
        {"4.3 a section that breaks off", OCTETS(INDEXED "\x00\x04us")},
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        print_message("%s\n", bad[i].what);
        int fd = h2_raw_open(server.port);
        send_raw_block(fd, bad[i].octets, bad[i].len);
        h2_raw_expect_goaway(fd, H2_ONE(H2_COMPRESSION_ERROR));
    }
}

/* RFC 9113 4.3: the table is the connection's, also for sections whose stream is refused. */
static void hpack__keeps_the_table_over_refused_requests(void **state)
{
    (void)state;
    static struct h2_frame frame;
    int fd = h2_raw_open(server.port);
    block.len = 0;
    for (const char *c = "\x82\x86\x41\x01x\x44\x06/hello\x40\x0a"
                         "connection\x05"
                         "close";
         *c != 0; c++) {
        h2_raw_octet(&block, (uint8_t)*c);
    }
    h2_raw_headers(fd, 1, WHOLE, &block); /* malformed; :authority, :path and connection are in */
    h2_raw_read_frame(fd, H2_RST_STREAM, 1, &frame);
    h2_raw_frame(fd, H2_HEADERS, WHOLE, 3, "\x82\x86\xbf\xc0", 4);
    h2_raw_expect_status(fd, 3, "200");
    h2_raw_expect_alive(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(h2__answers_each_method),
        cmocka_unit_test(h2__takes_a_body_and_trailers),
        cmocka_unit_test(h2__says_continue_to_who_waits_for_it),
        cmocka_unit_test(h2__answers_before_the_end_of_the_request),
        cmocka_unit_test(h2__takes_no_second_head),
        cmocka_unit_test(h2__resets_malformed_requests),
        cmocka_unit_test(h2__takes_te_trailers),
        cmocka_unit_test(h2__takes_no_pseudo_header_field_in_trailers),
        cmocka_unit_test(h2__holds_the_body_to_its_length),
        cmocka_unit_test(h2__holds_a_short_body_to_its_length),
        cmocka_unit_test(hpack__takes_every_representation),
        cmocka_unit_test(hpack__ends_the_connection_at_a_coding_error),
        cmocka_unit_test(hpack__keeps_the_table_over_refused_requests),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
