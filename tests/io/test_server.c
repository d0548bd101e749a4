/* SPDX-License-Identifier: Apache-2.0 */
/* A server on real sockets: protocols by their first octets, limits, slow peers, drain. */
#include "base/check.h"
#include "base/clock.h"
#include "base/mem.h"
#include "base/metrics.h"
#include "io/ring_p.h"
#include "tests/support/io_server.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#define GET_HELLO "GET /hello HTTP/1.1\r\nHost: x\r\n\r\n"
#define GET_HELLO_CLOSE "GET /hello HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"

static struct sm_io_server server;
static char text[1 << 16];

static unsigned without_of(void **state)
{
    return (unsigned)(uintptr_t)*state;
}

static struct sm_http_limits limits(void)
{
    struct sm_http_limits l;
    sm_http_limits_default(&l);
    return l;
}

static void check_hello(uint16_t port)
{
    int fd = sm_io_connect(port);
    assert_true(fd >= 0);
    sm_io_send(fd, GET_HELLO);
    (void)sm_io_read_until(fd, "hello\n", text, sizeof(text));
    assert_non_null(strstr(text, "HTTP/1.1 200 OK\r\n"));
    (void)close(fd);
}

/* ---- serving ---- */

static void server__answers_and_keeps_the_connection(void **state)
{
    sm_io_server_start(&server, without_of(state), NULL, NULL, NULL);
    int fd = sm_io_connect(server.port);
    for (int i = 0; i < 3; i++) {
        sm_io_send(fd, GET_HELLO);
        (void)sm_io_read_until(fd, "hello\n", text, sizeof(text));
        assert_non_null(strstr(text, "HTTP/1.1 200 OK\r\n"));
    }
    sm_io_send(fd, GET_HELLO_CLOSE);
    assert_true(sm_io_read_to_end(fd, text, sizeof(text)) > 0);
    assert_non_null(strstr(text, "Connection: close"));
    sm_io_server_stop(&server);
}

static void server__answers_requests_sent_ahead(void **state)
{
    sm_io_server_start(&server, without_of(state), NULL, NULL, NULL);
    int fd = sm_io_connect(server.port);
    for (int i = 0; i < 50; i++) {
        sm_io_send(fd, GET_HELLO);
    }
    sm_io_send(fd, GET_HELLO_CLOSE);
    assert_true(sm_io_read_to_end(fd, text, sizeof(text)) > 0);
    size_t answers = 0;
    for (const char *at = text; (at = strstr(at, "hello\n")) != NULL; at++) {
        answers++;
    }
    assert_int_equal(answers, 51);
    sm_io_server_stop(&server);
}

static void server__takes_requests_octet_by_octet(void **state)
{
    sm_io_server_start(&server, without_of(state), NULL, NULL, NULL);
    int fd = sm_io_connect(server.port);
    for (const char *at = GET_HELLO; *at != 0; at++) {
        char one[2] = {*at, 0};
        sm_io_send(fd, one);
        (void)usleep(200);
    }
    (void)sm_io_read_until(fd, "hello\n", text, sizeof(text));
    assert_non_null(strstr(text, "200 OK"));
    (void)close(fd);
    sm_io_server_stop(&server);
}

static void server__answers_a_peer_that_closed_its_side(void **state)
{
    sm_io_server_start(&server, without_of(state), NULL, NULL, NULL);
    int fd = sm_io_connect(server.port);
    sm_io_send(fd, "GET /wait HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_int_equal(shutdown(fd, SHUT_WR), 0);
    (void)usleep(20000);
    sm_io_server_answer_waiting(&server);
    assert_true(sm_io_read_to_end(fd, text, sizeof(text)) > 0);
    assert_non_null(strstr(text, "waited\n"));
    sm_io_server_stop(&server);
}

/* 32 MB through sockets that hold far less: the session's back-pressure and partial sends. */
static void server__streams_more_than_any_buffer_holds(void **state)
{
    sm_io_server_start(&server, without_of(state), NULL, NULL, NULL);
    int fd = sm_io_connect(server.port);
    const size_t size = 32U << 20;
    char *all = sm_malloc(size + (4U << 20));
    assert_non_null(all);
    sm_io_send(fd, "GET /big?33554432 HTTP/1.0\r\n\r\n");
    long n = sm_io_read_to_end(fd, all, size + (4U << 20));
    assert_true(n > (long)size);
    const char *body = strstr(all, "\r\n\r\n");
    assert_non_null(body);
    assert_int_equal((size_t)n - (size_t)(body + 4 - all), size);
    sm_free(all);
    sm_io_server_stop(&server);
}

static void server__takes_a_large_body(void **state)
{
    enum { BODY = 6 << 20 };
    sm_io_server_start(&server, without_of(state), NULL, NULL, NULL);
    int fd = sm_io_connect(server.port);
    char *body = sm_malloc(BODY);
    char *back = sm_malloc(BODY + 4096);
    assert_true(body != NULL && back != NULL);
    for (size_t i = 0; i < BODY; i++) {
        body[i] = (char)('a' + i % 23);
    }
    (void)snprintf(
        text, sizeof(text),
        "POST /echo HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: %d\r\n\r\n", BODY);
    sm_io_send(fd, text);
    for (size_t at = 0; at < BODY;) {
        ssize_t n = send(fd, body + at, BODY - at, MSG_NOSIGNAL);
        assert_true(n > 0);
        at += (size_t)n;
    }
    long n = sm_io_read_to_end(fd, back, BODY + 4096);
    const char *start = strstr(back, "\r\n\r\n");
    assert_non_null(start);
    assert_int_equal((size_t)n - (size_t)(start + 4 - back), BODY);
    assert_memory_equal(start + 4, body, BODY);
    sm_free(body);
    sm_free(back);
    sm_io_server_stop(&server);
}

/* A handler that takes nothing: the sender is held back, and nothing is lost. */
static void server__holds_back_a_sender_that_is_too_fast(void **state)
{
    enum { BODY = 40 << 20 };
    static char junk[1 << 20];
    struct sm_http_limits l = limits();
    l.body_bytes = BODY;
    sm_io_server_start(&server, without_of(state), NULL, &l, NULL);
    int fd = sm_io_connect(server.port);
    const struct timeval patience = {.tv_usec = 300000};
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience)), 0);
    (void)snprintf(text, sizeof(text),
                   "POST /hold HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
                   "Content-Length: %d\r\n\r\n",
                   BODY);
    sm_io_send(fd, text);
    size_t sent = 0;
    ssize_t n;
    while (sent < BODY &&
           (n = send(fd, junk, BODY - sent < sizeof(junk) ? BODY - sent : sizeof(junk),
                     MSG_NOSIGNAL)) > 0) {
        sent += (size_t)n;
    }
    assert_true(sent > 0 && sent < BODY); /* held back, not cut off */
    assert_int_equal(errno, EAGAIN);
    sm_io_server_answer_waiting(&server);
    while (sent < BODY &&
           (n = send(fd, junk, BODY - sent < sizeof(junk) ? BODY - sent : sizeof(junk),
                     MSG_NOSIGNAL)) > 0) {
        sent += (size_t)n;
    }
    assert_int_equal(sent, BODY);
    (void)snprintf(junk, sizeof(junk), "took %d\n", BODY);
    assert_true(sm_io_read_to_end(fd, text, sizeof(text)) > 0);
    assert_non_null(strstr(text, junk));
    sm_io_server_stop(&server);
}

/* RFC 9112 9.6: the refusal must be readable although the body is still on its way. */
static void server__its_last_words_reach_a_peer_that_is_still_sending(void **state)
{
    struct sm_http_limits l = limits();
    l.body_bytes = 1000;
    sm_io_server_start(&server, without_of(state), NULL, &l, NULL);
    static char junk[65536];
    memset(junk, 'x', sizeof(junk));
    for (int round = 0; round < 20; round++) {
        int fd = sm_io_connect(server.port);
        sm_io_send(fd, "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 2000000\r\n\r\n");
        for (int i = 0; i < 8; i++) {
            (void)send(fd, junk, sizeof(junk), MSG_NOSIGNAL);
        }
        (void)usleep(3000);
        for (int i = 0; i < 4; i++) {
            (void)send(fd, junk, sizeof(junk), MSG_NOSIGNAL);
        }
        assert_true(sm_io_read_to_end(fd, text, sizeof(text)) > 0); /* not -1: reset */
        assert_non_null(strstr(text, "HTTP/1.1 413 "));
    }
    sm_io_server_stop(&server);
}

static void server__tells_the_peers_address(void **state)
{
    sm_io_server_start(&server, without_of(state), NULL, NULL, NULL);
    struct sockaddr_in mine;
    socklen_t len = sizeof(mine);
    char expected[64];
    int fd = sm_io_connect(server.port);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&mine, &len), 0);
    (void)snprintf(expected, sizeof(expected), "\r\n\r\n127.0.0.1:%u", ntohs(mine.sin_port));
    sm_io_send(fd, "GET /peer HTTP/1.0\r\n\r\n");
    assert_true(sm_io_read_to_end(fd, text, sizeof(text)) > 0);
    assert_non_null(strstr(text, expected));
    sm_io_server_stop(&server);
}

static void server__an_ipv4_peer_of_an_ipv6_socket_is_an_ipv4_peer(void **state)
{
    (void)state;
    int probe = socket(AF_INET6, SOCK_STREAM, 0);
    if (probe < 0) {
        print_message("skipped: no IPv6 here\n");
        skip();
    }
    (void)close(probe);
    sm_io_server_start(&server, 0, NULL, NULL, "[::]:0");
    int fd = sm_io_connect(server.port);
    sm_io_send(fd, "GET /peer HTTP/1.0\r\n\r\n");
    assert_true(sm_io_read_to_end(fd, text, sizeof(text)) > 0);
    assert_non_null(strstr(text, "\r\n\r\n127.0.0.1:"));
    sm_io_server_stop(&server);
}

/* ---- limits ---- */

static int64_t refused(const char *labels)
{
    return sm_metric_value(
        sm_metric_register(SM_COUNTER, "sealmill_connections_refused_total", "", labels));
}

static int64_t open_connections(void)
{
    return sm_metric_value(
        sm_metric_register(SM_GAUGE, "sealmill_connections", "", "listener=\"test\""));
}

static void check_limit(const struct sm_http_limits *l, const char *labels)
{
    sm_io_server_start(&server, 0, NULL, l, NULL);
    int64_t before = refused(labels);
    int held[5];
    for (int i = 0; i < 5; i++) {
        held[i] = sm_io_connect(server.port);
        sm_io_send(held[i], GET_HELLO);
        (void)sm_io_read_until(held[i], "hello\n", text, sizeof(text));
        assert_non_null(strstr(text, "200 OK"));
    }
    assert_int_equal(open_connections(), 5);
    int over = sm_io_connect(server.port);
    assert_true(over < 0 || sm_io_is_closed_within(over, 2000));
    assert_int_equal(refused(labels), before + 1);
    (void)close(over);
    (void)close(held[0]);
    for (int i = 0; i < 1000 && open_connections() > 4; i++) {
        (void)usleep(1000);
    }
    assert_int_equal(open_connections(), 4);
    check_hello(server.port); /* there is room again */
    for (int i = 1; i < 5; i++) {
        (void)close(held[i]);
    }
    sm_io_server_stop(&server);
    assert_int_equal(open_connections(), 0);
}

static void server__refuses_connections_over_the_limit(void **state)
{
    (void)state;
    struct sm_http_limits l = limits();
    l.connections = 5;
    check_limit(&l, "reason=\"connections\"");
}

static void server__refuses_connections_over_an_addresss_limit(void **state)
{
    (void)state;
    struct sm_http_limits l = limits();
    l.connections_per_address = 5;
    check_limit(&l, "reason=\"address\"");
}

/* ---- slow peers ---- */

static struct sm_http_limits hasty(void)
{
    struct sm_http_limits l = limits();
    l.handshake_timeout_ms = 500;
    l.idle_timeout_ms = 500;
    l.request_timeout_ms = 500;
    l.write_timeout_ms = 500;
    return l;
}

static void server__closes_who_says_nothing(void **state)
{
    struct sm_http_limits l = hasty();
    sm_io_server_start(&server, without_of(state), NULL, &l, NULL);
    int silent = sm_io_connect(server.port);
    int half = sm_io_connect(server.port);
    sm_io_send(half, "PRI * HT"); /* a part of the preface */
    assert_true(sm_io_is_closed_within(silent, 4000));
    assert_true(sm_io_is_closed_within(half, 4000));
    (void)close(silent);
    (void)close(half);
    sm_io_server_stop(&server);
}

static void server__closes_who_is_idle_but_not_who_waits(void **state)
{
    struct sm_http_limits l = hasty();
    sm_io_server_start(&server, without_of(state), NULL, &l, NULL);
    int idle = sm_io_connect(server.port);
    int waits = sm_io_connect(server.port);
    sm_io_send(idle, GET_HELLO);
    (void)sm_io_read_until(idle, "hello\n", text, sizeof(text));
    sm_io_send(waits, "GET /wait HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_true(sm_io_is_closed_within(idle, 4000));
    sm_io_server_answer_waiting(&server);
    (void)sm_io_read_until(waits, "waited\n", text, sizeof(text));
    assert_non_null(strstr(text, "200 OK"));
    assert_true(sm_io_is_closed_within(waits, 4000));
    (void)close(idle);
    (void)close(waits);
    sm_io_server_stop(&server);
}

static void server__answers_408_to_who_is_slow_to_ask(void **state)
{
    struct sm_http_limits l = hasty();
    sm_io_server_start(&server, without_of(state), NULL, &l, NULL);
    int fd = sm_io_connect(server.port);
    sm_io_send(fd, "GET /hello HTTP/1.1\r\nHo");
    assert_true(sm_io_read_to_end(fd, text, sizeof(text)) > 0);
    assert_non_null(strstr(text, "HTTP/1.1 408 "));
    sm_io_server_stop(&server);
}

static void server__closes_who_never_reads(void **state)
{
    struct sm_http_limits l = hasty();
    sm_io_server_start(&server, without_of(state), NULL, &l, NULL);
    int fd = sm_io_connect(server.port);
    sm_io_send(fd, "GET /big?100000000 HTTP/1.1\r\nHost: x\r\n\r\n");
    (void)sm_io_read_until(fd, "HTTP/1.1 200", text, 64);
    for (int i = 0; i < 500 && open_connections() > 0; i++) {
        (void)usleep(10000); /* reads nothing */
    }
    assert_int_equal(open_connections(), 0);
    assert_int_equal(atomic_load(&server.closed_early), 1);
    (void)close(fd);
    sm_io_server_stop(&server);
}

static void server__a_peer_that_vanishes_ends_its_exchange(void **state)
{
    sm_io_server_start(&server, without_of(state), NULL, NULL, NULL);
    const struct linger now = {.l_onoff = 1};
    int fd = sm_io_connect(server.port);
    sm_io_send(fd, "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nabc");
    (void)usleep(20000);
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now)), 0);
    (void)close(fd); /* RST */
    for (int i = 0; i < 2000 && open_connections() > 0; i++) {
        (void)usleep(1000);
    }
    assert_int_equal(open_connections(), 0);
    check_hello(server.port);
    sm_io_server_stop(&server);
}

/* ---- descriptors ---- */

static struct rlimit files_before;

/* The kernel takes the limit when an accept is submitted, so it is low before the loop starts. */
static void allow_few_files(void)
{
    int next = dup(0);
    assert_true(next >= 0);
    (void)close(next);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &files_before), 0);
    struct rlimit few = {.rlim_cur = (rlim_t)next + 8, .rlim_max = files_before.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
}

static int64_t loop_turns(void)
{
    return sm_metric_value(sm_metric_register(SM_COUNTER, "sealmill_loop_turns_total", "", NULL));
}

static void server__waits_when_descriptors_are_used_up(void **state)
{
    sm_io_server_before_loop = allow_few_files;
    sm_io_server_start(&server, without_of(state), NULL, NULL, NULL);
    int64_t before = refused("reason=\"files\"");
    int fd = sm_io_connect(server.port);
    int spare[16];
    int count = 0;
    assert_true(fd >= 0);
    sm_io_send(fd, GET_HELLO);
    (void)sm_io_read_until(fd, "hello\n", text, sizeof(text));
    (void)close(fd);
    while (open_connections() > 0) {
        (void)usleep(1000);
    }
    int second = socket(AF_INET, SOCK_STREAM, 0);
    while (count < 16 && (spare[count] = dup(0)) >= 0) {
        count++;
    }
    assert_true(count > 0 && count < 16);
    const struct sockaddr_in to = {.sin_family = AF_INET,
                                   .sin_port = htons(server.port),
                                   .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int64_t turns = loop_turns();
    assert_int_equal(connect(second, (const struct sockaddr *)&to, sizeof(to)), 0);
    sm_io_send(second, GET_HELLO);
    (void)usleep(350000);
    turns = loop_turns() - turns;
    assert_true(refused("reason=\"files\"") > before);
    assert_true(turns < 100); /* it waits, it does not spin */
    while (count > 0) {
        (void)close(spare[--count]);
    }
    (void)sm_io_read_until(second, "hello\n", text, sizeof(text));
    assert_non_null(strstr(text, "200 OK"));
    (void)close(second);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &files_before), 0);
    sm_io_server_stop(&server);
}

/* ---- drain ---- */

static void server__drain_lets_exchanges_end(void **state)
{
    sm_io_server_start(&server, without_of(state), NULL, NULL, NULL);
    int idle = sm_io_connect(server.port);
    int busy = sm_io_connect(server.port);
    sm_io_send(idle, GET_HELLO);
    (void)sm_io_read_until(idle, "hello\n", text, sizeof(text));
    sm_io_send(busy, "GET /wait HTTP/1.1\r\nHost: x\r\n\r\n");
    (void)usleep(20000);
    sm_io_server_drain(&server);
    assert_true(sm_io_is_closed_within(idle, 2000));
    (void)close(idle);
    int late = sm_io_connect(server.port); /* refused by the kernel, or closed at once */
    assert_true(late < 0 || sm_io_is_closed_within(late, 1000));
    (void)close(late);
    assert_false(sm_io_server_is_drained_within(&server, 50));
    sm_io_server_answer_waiting(&server);
    assert_true(sm_io_read_to_end(busy, text, sizeof(text)) > 0);
    assert_non_null(strstr(text, "waited\n"));
    assert_non_null(strstr(text, "Connection: close"));
    assert_true(sm_io_server_is_drained_within(&server, 2000));
    sm_io_server_stop(&server);
}

static void server__drain_ends_in_time(void **state)
{
    struct sm_http_limits l = limits();
    l.drain_timeout_ms = 500;
    sm_io_server_start(&server, without_of(state), NULL, &l, NULL);
    int fd = sm_io_connect(server.port);
    sm_io_send(fd, "GET /never HTTP/1.1\r\nHost: x\r\n\r\n");
    (void)usleep(20000);
    sm_io_server_drain(&server);
    assert_true(sm_io_server_is_drained_within(&server, 4000));
    assert_int_equal(atomic_load(&server.closed_early), 1);
    (void)close(fd);
    sm_io_server_stop(&server);
}

static void server__drain_of_nobody_is_done_at_once(void **state)
{
    sm_io_server_start(&server, without_of(state), NULL, NULL, NULL);
    sm_io_server_drain(&server);
    assert_true(sm_io_server_is_drained_within(&server, 1000));
    sm_io_server_stop(&server);
}

static void server__stops_with_connections_in_every_state(void **state)
{
    sm_io_server_start(&server, without_of(state), NULL, NULL, NULL);
    int fds[4];
    for (int i = 0; i < 4; i++) {
        fds[i] = sm_io_connect(server.port);
    }
    sm_io_send(fds[1], "GET /never HTTP/1.1\r\nHost: x\r\n\r\n");
    sm_io_send(fds[2], "GET /big?100000000 HTTP/1.1\r\nHost: x\r\n\r\n");
    sm_io_send(fds[3], "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nabc");
    (void)usleep(20000);
    sm_io_server_stop(&server);
    assert_int_equal(open_connections(), 0);
    for (int i = 0; i < 4; i++) {
        assert_true(sm_io_is_closed_within(fds[i], 1000));
        (void)close(fds[i]);
    }
}

/* ---- many ---- */

#define MANY 2000

static void server__holds_two_thousand_connections(void **state)
{
    struct sm_http_limits l = limits();
    l.connections_per_address = MANY + 1;
    sm_io_server_start(&server, without_of(state), NULL, &l, NULL);
    struct rlimit files;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &files), 0);
    if (files.rlim_cur < 2 * MANY + 100) {
        print_message("skipped: %d descriptors are wanted\n", 2 * MANY + 100);
        sm_io_server_stop(&server);
        skip();
    }
    int *fds = sm_calloc(MANY, sizeof(*fds));
    assert_non_null(fds);
    for (int i = 0; i < MANY; i++) {
        fds[i] = sm_io_connect(server.port);
        assert_true(fds[i] >= 0);
    }
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < MANY; i++) {
            sm_io_send(fds[i], GET_HELLO); /* all at once: more than there are buffers */
        }
        for (int i = 0; i < MANY; i++) {
            (void)sm_io_read_until(fds[i], "hello\n", text, sizeof(text));
            assert_non_null(strstr(text, "200 OK"));
        }
    }
    assert_int_equal(open_connections(), MANY);
    for (int i = 0; i < MANY; i++) {
        (void)close(fds[i]);
    }
    for (int i = 0; i < 5000 && open_connections() > 0; i++) {
        (void)usleep(1000);
    }
    assert_int_equal(open_connections(), 0);
    sm_free(fds);
    sm_io_server_stop(&server);
}

#define EVERY_WAY(test)                                                                \
    cmocka_unit_test_prestate(test, NULL),                                             \
        cmocka_unit_test_prestate(test, (void *)(uintptr_t)1U /* no deferred work */), \
        cmocka_unit_test_prestate(test, (void *)(uintptr_t)3U /* and no multishot */), \
        cmocka_unit_test_prestate(test, (void *)(uintptr_t)4U /* no provided buffers */)

int main(void)
{
    const struct CMUnitTest tests[] = {
        EVERY_WAY(server__answers_and_keeps_the_connection),
        EVERY_WAY(server__answers_requests_sent_ahead),
        EVERY_WAY(server__takes_requests_octet_by_octet),
        EVERY_WAY(server__answers_a_peer_that_closed_its_side),
        EVERY_WAY(server__streams_more_than_any_buffer_holds),
        EVERY_WAY(server__takes_a_large_body),
        EVERY_WAY(server__holds_back_a_sender_that_is_too_fast),
        EVERY_WAY(server__its_last_words_reach_a_peer_that_is_still_sending),
        EVERY_WAY(server__tells_the_peers_address),
        cmocka_unit_test(server__an_ipv4_peer_of_an_ipv6_socket_is_an_ipv4_peer),
        cmocka_unit_test(server__refuses_connections_over_the_limit),
        cmocka_unit_test(server__refuses_connections_over_an_addresss_limit),
        cmocka_unit_test(server__closes_who_says_nothing),
        cmocka_unit_test(server__closes_who_is_idle_but_not_who_waits),
        cmocka_unit_test(server__answers_408_to_who_is_slow_to_ask),
        cmocka_unit_test(server__closes_who_never_reads),
        EVERY_WAY(server__a_peer_that_vanishes_ends_its_exchange),
        EVERY_WAY(server__waits_when_descriptors_are_used_up),
        EVERY_WAY(server__drain_lets_exchanges_end),
        cmocka_unit_test(server__drain_ends_in_time),
        EVERY_WAY(server__drain_of_nobody_is_done_at_once),
        EVERY_WAY(server__stops_with_connections_in_every_state),
        EVERY_WAY(server__holds_two_thousand_connections),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
