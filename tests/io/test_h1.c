/* SPDX-License-Identifier: Apache-2.0 */
/* RFC 9112 and 9110: what HTTP/1.1 requests are taken, and how others are answered. */
#include "tests/support/io_server.h"

#include <string.h>
#include <unistd.h>

#define HOST "Host: x\r\n"
#define HELLO "GET /hello HTTP/1.1\r\n" HOST "\r\n"

static struct sm_io_server server;
static char text[1 << 16];

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

static size_t count(const char *needle)
{
    size_t n = 0;
    for (const char *at = text; (at = strstr(at, needle)) != NULL; at += strlen(needle)) {
        n++;
    }
    return n;
}

/* Sends `request`, then says that nothing more comes, and reads to the end. */
static void ask(const char *request)
{
    int fd = sm_io_connect(server.port);
    assert_true(fd >= 0);
    sm_io_send(fd, request);
    assert_int_equal(shutdown(fd, SHUT_WR), 0);
    assert_true(sm_io_read_to_end(fd, text, sizeof(text)) >= 0);
}

/* ---- refused: one answer, then the connection ends, whatever else was sent ---- */

static const struct {
    const char *what;
    const char *request;
    const char *status;
} refused[] = {
    {"9112 3.2 no Host", "GET /hello HTTP/1.1\r\n\r\n", "400"},
    {"9112 3.2 two Hosts", "GET /hello HTTP/1.1\r\n" HOST HOST "\r\n", "400"},
    {"9112 3 no version", "GET /hello\r\n\r\n", "400|505"},
    {"9112 2.3 a version that is none", "GET /hello HTTP/1.x\r\n" HOST "\r\n", "400"},
    {"9110 15.6.6 a version not served", "GET /hello HTTP/3.0\r\n" HOST "\r\n", "505|400"},
    {"9112 3.2 a space in the target", "GET /he llo HTTP/1.1\r\n" HOST "\r\n", "400"},
    {"9112 3.2 a target without slash", "GET hello HTTP/1.1\r\n" HOST "\r\n", "400"},
    {"9112 3.2 a fragment", "GET /hello#part HTTP/1.1\r\n" HOST "\r\n", "400"},
    {"9112 3.2.3 authority-form", "GET example.org:80 HTTP/1.1\r\n" HOST "\r\n", "400"},
    {"9112 5.1 space before the colon", "GET /hello HTTP/1.1\r\n" HOST "X : 1\r\n\r\n", "400"},
    {"9112 5.2 a folded line", "GET /hello HTTP/1.1\r\n" HOST "X: 1\r\n 2\r\n\r\n", "400"},
    {"9112 2.2 a line before the fields", "GET /hello HTTP/1.1\r\n X: 1\r\n" HOST "\r\n", "400"},
    {"9110 5.1 a name with a space", "GET /hello HTTP/1.1\r\n" HOST "X Y: 1\r\n\r\n", "400"},
    {"9110 5.1 no name", "GET /hello HTTP/1.1\r\n" HOST ": 1\r\n\r\n", "400"},
    {"9110 5.5 a control character", "GET /hello HTTP/1.1\r\n" HOST "X: a\001b\r\n\r\n", "400"},
    {"9112 2.2 a bare CR", "GET /hello HTTP/1.1\r\n" HOST "X: a\rb\r\n\r\n", "400"},
    {"9112 6.3 both lengths",
     "POST /echo HTTP/1.1\r\n" HOST "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n"
     "0\r\n\r\n",
     "400"},
    {"9112 6.3 both lengths, the other way",
     "POST /echo HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n"
     "0\r\n\r\n",
     "400"},
    {"9112 6.3 two lengths that differ",
     "POST /echo HTTP/1.1\r\n" HOST "Content-Length: 5\r\nContent-Length: 6\r\n\r\nabcde", "400"},
    {"9112 6.3 a list of lengths",
     "POST /echo HTTP/1.1\r\n" HOST "Content-Length: 5, 5\r\n\r\nabcde", "400"},
    {"9110 8.6 a length with a sign",
     "POST /echo HTTP/1.1\r\n" HOST "Content-Length: +5\r\n\r\nabcde", "400"},
    {"9110 8.6 a negative length", "POST /echo HTTP/1.1\r\n" HOST "Content-Length: -1\r\n\r\n",
     "400"},
    {"9110 8.6 a length in hexadecimal",
     "POST /echo HTTP/1.1\r\n" HOST "Content-Length: 0x5\r\n\r\nabcde", "400"},
    {"9110 8.6 a length over 64 bits",
     "POST /echo HTTP/1.1\r\n" HOST "Content-Length: 18446744073709551617\r\n\r\n", "400"},
    {"9110 8.6 a length over the limit",
     "POST /none HTTP/1.1\r\n" HOST "Content-Length: 9223372036854775807\r\n\r\n", "413"},
    {"9112 6.1 a coding that is not chunked last",
     "POST /echo HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
     "400|501"},
    {"9112 6.1 an unknown coding",
     "POST /echo HTTP/1.1\r\n" HOST "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", "400|501"},
    {"9112 6.1 a coding in HTTP/1.0",
     "POST /echo HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "400"},
    {"9112 7.1 a chunk's length that is none",
     "POST /echo HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\nxyz\r\nabc\r\n0\r\n\r\n",
     "400"},
    {"9112 7.1 a chunk's length over 64 bits",
     "POST /echo HTTP/1.1\r\n" HOST
     "Transfer-Encoding: chunked\r\n\r\n10000000000000000\r\nabc\r\n0\r\n\r\n",
     "400"},
    {"9112 7.1 a chunk without its line end",
     "POST /echo HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n3\r\nabcde\r\n0\r\n\r\n",
     "400"},
};

static void check_status(const char *what, const char *wanted)
{
    char status[4] = "";
    assert_memory_equal(text, "HTTP/1.", 7);
    memcpy(status, text + 9, 3);
    if (strstr(wanted, status) == NULL) {
        fail_msg("%s: status %s, not %s", what, status, wanted);
    }
}

static void h1__refuses_and_ends_the_connection(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
        static char request[4096];
        (void)snprintf(request, sizeof(request), "%s" HELLO, refused[i].request);
        ask(request);
        print_message("%s\n", refused[i].what);
        check_status(refused[i].what, refused[i].status);
        assert_int_equal(count("HTTP/1."), 1); /* what follows is not taken for a request */
        assert_non_null(strstr(text, "Connection: close"));
        assert_null(strstr(text, "hello\n"));
    }
}

static void h1__says_what_is_too_large(void **state)
{
    (void)state;
    enum { BIG = 40000 };
    static char request[BIG + 200];
    size_t n = (size_t)snprintf(request, sizeof(request), "GET /");
    memset(request + n, 'a', BIG);
    (void)snprintf(request + n + BIG, 100, " HTTP/1.1\r\n" HOST "\r\n");
    ask(request);
    check_status("a long target", "414");
    n = (size_t)snprintf(request, sizeof(request), "GET /hello HTTP/1.1\r\n" HOST "X: ");
    memset(request + n, 'a', BIG);
    (void)snprintf(request + n + BIG, 100, "\r\n\r\n");
    ask(request);
    check_status("a long field", "431");
}

static void h1__refuses_too_many_fields(void **state)
{
    (void)state;
    static char request[1 << 14];
    size_t n = (size_t)snprintf(request, sizeof(request), "GET /hello HTTP/1.1\r\n" HOST);
    for (unsigned i = 0; i < SM_HTTP_HEADERS_MAX; i++) {
        n += (size_t)snprintf(request + n, sizeof(request) - n, "A: 1\r\n");
    }
    (void)snprintf(request + n, sizeof(request) - n, "\r\n");
    ask(request);
    check_status("many fields", "431");
}

/* ---- taken ---- */

static const struct {
    const char *what;
    const char *request;
    const char *status;
    const char *body;
} taken[] = {
    {"9112 2.2 empty lines before a request", "\r\n\r\n" HELLO, "200", "hello\n"},
    {"9112 3.2.2 absolute-form", "GET http://x/hello HTTP/1.1\r\n" HOST "\r\n", "200", "hello\n"},
    {"9112 3.2.4 asterisk-form", "OPTIONS * HTTP/1.1\r\n" HOST "\r\n", "404", ""},
    {"9110 5.1 names in any case", "GET /hello HTTP/1.1\r\nhOST: x\r\n\r\n", "200", "hello\n"},
    {"9110 5.5 white space around a value", "GET /hello HTTP/1.1\r\nHost: \t x \t\r\n\r\n", "200",
     "hello\n"},
    {"9110 5.5 octets over 127", "GET /hello HTTP/1.1\r\n" HOST "X: \xc3\xa4\r\n\r\n", "200",
     "hello\n"},
    {"9110 8.6 the same length twice is one",
     "POST /echo HTTP/1.1\r\n" HOST "Content-Length: 5\r\n\r\nabcde", "200", "abcde"},
    {"9112 7.1 chunks, extensions, trailers",
     "POST /echo HTTP/1.1\r\n" HOST
     "Transfer-Encoding: Chunked\r\n\r\n3;name=\"v\"\r\nabc\r\n00002\r\nde\r\n0\r\nX-Sum: "
     "5\r\n\r\n",
     "200", "abcde"},
    {"HTTP/1.0 without Host", "GET /hello HTTP/1.0\r\n\r\n", "200", "hello\n"},
    {"9110 7.8 an upgrade that is not taken up",
     "GET /hello HTTP/1.1\r\n" HOST
     "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n\r\n",
     "200", "hello\n"},
};

static void h1__takes(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(taken) / sizeof(taken[0]); i++) {
        print_message("%s\n", taken[i].what);
        ask(taken[i].request);
        check_status(taken[i].what, taken[i].status);
        const char *body = strstr(text, "\r\n\r\n");
        assert_non_null(body);
        assert_string_equal(body + 4, taken[i].body);
        assert_int_equal(count("HTTP/1."), 1);
    }
}

static void h1__sends_no_body_to_head(void **state)
{
    (void)state;
    ask("HEAD /hello HTTP/1.1\r\n" HOST "\r\n" HELLO);
    assert_int_equal(count("HTTP/1.1 200 OK"), 2);
    assert_int_equal(count("Content-Length: 6\r\n"), 2); /* RFC 9110 9.3.2 */
    assert_int_equal(count("hello\n"), 1);
}

/* RFC 9112 9.3.2: answers come in the order of the requests. */
static void h1__answers_in_order(void **state)
{
    (void)state;
    ask("POST /echo HTTP/1.1\r\n" HOST "Content-Length: 5\r\n\r\nfirst"
        "POST /echo HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n6\r\nsecond\r\n0\r\n\r\n"
        "GET /hello HTTP/1.1\r\n" HOST "\r\n"
        "POST /echo HTTP/1.1\r\n" HOST "Content-Length: 6\r\n\r\nfourth");
    const char *at = text;
    static const char *const bodies[] = {"first", "second", "hello\n", "fourth"};
    for (size_t i = 0; i < sizeof(bodies) / sizeof(bodies[0]); i++) {
        at = strstr(at, bodies[i]);
        assert_non_null(at);
    }
    assert_int_equal(count("HTTP/1.1 200 OK"), 4);
}

/* RFC 9112 8: what broke off is not answered, and costs no time. */
static void h1__ends_where_the_peer_broke_off(void **state)
{
    (void)state;
    static const char *const parts[] = {
        "GET /hello HT", "GET /hello HTTP/1.1\r\n" HOST,
        "POST /echo HTTP/1.1\r\n" HOST "Content-Length: 5\r\n\r\nabc",
        HELLO "POST /echo HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n5\r\nabc"};
    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
        ask(parts[i]);
        assert_int_equal(count("HTTP/1."), i == 3 ? 1 : 0);
    }
}

/* ---- RFC 9110 10.1.1 ---- */

static void h1__says_continue_to_who_waits_for_it(void **state)
{
    (void)state;
    int fd = sm_io_connect(server.port);
    sm_io_send(fd,
               "POST /echo HTTP/1.1\r\n" HOST "Content-Length: 5\r\nExpect: 100-continue\r\n\r\n");
    (void)sm_io_read_until(fd, "\r\n\r\n", text, sizeof(text));
    assert_string_equal(text, "HTTP/1.1 100 Continue\r\n\r\n");
    sm_io_send(fd, "abcde");
    (void)sm_io_read_until(fd, "abcde", text, sizeof(text));
    assert_non_null(strstr(text, "HTTP/1.1 200 OK\r\n"));
    sm_io_send(fd, HELLO); /* the connection lives on */
    (void)sm_io_read_until(fd, "hello\n", text, sizeof(text));
    assert_non_null(strstr(text, "HTTP/1.1 200 OK\r\n"));
    (void)close(fd);
}

/* Whether the body still comes nobody can say, so nothing more is read. */
static void h1__ends_where_the_answer_comes_before_an_expected_body(void **state)
{
    (void)state;
    ask("POST /hello HTTP/1.1\r\n" HOST "Content-Length: 5\r\nExpect: 100-continue\r\n\r\n" HELLO);
    assert_null(strstr(text, "100 Continue"));
    assert_int_equal(count("HTTP/1.1 200 OK"), 1);
    assert_non_null(strstr(text, "Connection: close"));
}

static void h1__says_continue_to_no_http_1_0(void **state)
{
    (void)state;
    ask("POST /echo HTTP/1.0\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\nabcde");
    assert_null(strstr(text, "100 Continue"));
    assert_non_null(strstr(text, "abcde"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(h1__refuses_and_ends_the_connection),
        cmocka_unit_test(h1__says_what_is_too_large),
        cmocka_unit_test(h1__refuses_too_many_fields),
        cmocka_unit_test(h1__takes),
        cmocka_unit_test(h1__sends_no_body_to_head),
        cmocka_unit_test(h1__answers_in_order),
        cmocka_unit_test(h1__ends_where_the_peer_broke_off),
        cmocka_unit_test(h1__says_continue_to_who_waits_for_it),
        cmocka_unit_test(h1__ends_where_the_answer_comes_before_an_expected_body),
        cmocka_unit_test(h1__says_continue_to_no_http_1_0),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
