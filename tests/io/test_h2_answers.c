/* SPDX-License-Identifier: Apache-2.0 */
/* Answers that their client does not take: RFC 9113 5.2, 6.9 from the wrong side. */
#include "base/clock.h"
#include "io/ring_p.h"
#include "tests/support/h2_raw.h"
#include "tests/support/io_server.h"

#include <unistd.h>

#define WRITE_TIMEOUT_MS 1000
#define WINDOW_OF_A_STREAM (256U * 1024U)

static struct sm_io_server server;
static struct h2_frame frame;

static int start(void **state)
{
    struct sm_http_limits limits;
    (void)state;
    sm_http_limits_default(&limits);
    limits.write_timeout_ms = WRITE_TIMEOUT_MS;
    limits.request_timeout_ms = WRITE_TIMEOUT_MS;
    sm_io_server_start(&server, 0, NULL, &limits, NULL);
    return 0;
}

static int stop(void **state)
{
    (void)state;
    sm_io_server_stop(&server);
    return 0;
}

static void post(int fd, uint32_t stream, const char *path)
{
    static struct h2_block block;
    h2_raw_request(&block, "POST", path);
    h2_raw_headers(fd, stream, H2_END_HEADERS, &block);
}

/* Reads until that many streams were reset by the server. */
static void expect_resets(int fd, unsigned count)
{
    while (count > 0) {
        assert_true(h2_raw_read(fd, &frame));
        count -= frame.type == H2_RST_STREAM ? 1 : 0;
    }
}

/* The connection is busy, so that neither its own time-out nor an idle one ends it. */
static void h2__ends_an_answer_that_nobody_takes(void **state)
{
    (void)state;
    int fd = h2_raw_open_window(server.port, 0);
    h2_raw_get(fd, 1, "/big?1000000");
    h2_raw_get(fd, 3, "/hello");
    h2_raw_window_update(fd, 3, 100);
    h2_raw_expect_status(fd, 3, "200");
    h2_raw_read_frame(fd, H2_RST_STREAM, 1, &frame);
    h2_raw_expect_alive(fd);
}

/* Complete, but for the DATA frame without octets that would say so. */
static void h2__ends_a_complete_answer_whose_end_nobody_takes(void **state)
{
    (void)state;
    int fd = h2_raw_open_window(server.port, 6);
    h2_raw_get(fd, 1, "/big?6");
    h2_raw_get(fd, 3, "/big?7");
    h2_raw_read_frame(fd, H2_RST_STREAM, 3, &frame);
    h2_raw_expect_alive(fd);
}

/* A client that takes little by little is none that takes nothing. */
static void h2__keeps_an_answer_that_is_taken_slowly(void **state)
{
    (void)state;
    int fd = h2_raw_open_window(server.port, 0);
    size_t got = 0;
    h2_raw_get(fd, 1, "/big?1000");
    for (unsigned i = 0; i < 10; i++) {
        (void)usleep(300 * 1000);
        h2_raw_window_update(fd, 1, 100);
        h2_raw_read_frame(fd, H2_DATA, 1, &frame);
        got += frame.len;
    }
    assert_int_equal(got, 1000);
    (void)close(fd);
}

/* Eight streams fill the connection's share; the others wait, and go on when it is free again. */
static void h2__a_connections_answers_share_their_room(void **state)
{
    (void)state;
    enum { STALLED = 20, LAST = 2 * STALLED + 1 };
    int fd = h2_raw_open_window(server.port, 0);
    size_t got = 0;
    for (uint32_t stream = 1; stream < LAST; stream += 2) {
        h2_raw_get(fd, stream, "/big?1000000");
    }
    h2_raw_get(fd, LAST, "/big?100000");
    h2_raw_window_update(fd, LAST, 1U << 20);
    h2_raw_window_update(fd, 0, 1U << 20);
    uint64_t start_ns = sm_clock_mono_ns();
    unsigned resets = 0;
    do {
        assert_true(h2_raw_read(fd, &frame));
        resets += frame.type == H2_RST_STREAM ? 1 : 0;
        got += frame.type == H2_DATA && frame.stream == LAST ? frame.len : 0;
    } while (got < 100000);
    assert_true(resets > 0); /* it waited for them */
    assert_true(sm_clock_mono_ns() - start_ns < 8 * SM_NS_PER_S);
    expect_resets(fd, STALLED - resets);
    (void)close(fd);
}

static size_t queued_in_loop;

static void look_at_loop(struct sm_io_server *s)
{
    queued_in_loop = s->loop->queued;
}

/* Connections that all take nothing: beyond a loop's share each gets little; who reads is served. */
static void h2__many_connections_share_a_loops_room(void **state)
{
    (void)state;
    enum { CONNECTIONS = 80, STREAMS = 12 };
    int fds[CONNECTIONS];
    size_t got = 0;
    struct sm_io_server patient; /* its time-outs are long */
    sm_io_server_start(&patient, 0, NULL, NULL, NULL);
    for (unsigned i = 0; i < CONNECTIONS; i++) {
        fds[i] = h2_raw_open_window(patient.port, 0);
        for (uint32_t stream = 1; stream < 2 * STREAMS; stream += 2) {
            h2_raw_get(fds[i], stream, "/big?1000000");
        }
    }
    int fd = h2_raw_open(patient.port);
    h2_raw_get(fd, 1, "/big?1000000");
    h2_raw_window_update(fd, 0, 1U << 20);
    h2_raw_window_update(fd, 1, 1U << 20);
    while (got < 1000000) {
        assert_true(h2_raw_read(fd, &frame));
        got += frame.type == H2_DATA ? frame.len : 0;
    }
    sm_io_server_call(&patient, look_at_loop);
    assert_true(queued_in_loop > SM_HTTP_LOOP_HIGH / 2);
    assert_true(queued_in_loop < SM_HTTP_LOOP_HIGH + CONNECTIONS * 256UL * 1024UL);
    for (unsigned i = 0; i < CONNECTIONS; i++) {
        (void)close(fds[i]);
    }
    (void)close(fd);
    for (unsigned ms = 0; queued_in_loop > 0 && ms < 5000; ms += 10) {
        (void)usleep(10000);
        sm_io_server_call(&patient, look_at_loop);
    }
    assert_int_equal(queued_in_loop, 0); /* every octet was counted twice: in and out */
    sm_io_server_stop(&patient);
}

/* RFC 9113 6.9.1: octets of a stream that ended are the connection's again. */
static void h2__gives_back_what_a_reset_stream_held(void **state)
{
    (void)state;
    static const uint8_t zeros[H2_RAW_FRAME];
    int fd = h2_raw_open(server.port);
    uint32_t stream = 1;
    for (; stream < 80; stream += 2) { /* 40 times 256 KiB, over a connection window of 4 MiB */
        post(fd, stream, "/hold");
        for (size_t sent = 0; sent < WINDOW_OF_A_STREAM; sent += sizeof(zeros)) {
            h2_raw_frame(fd, H2_DATA, 0, stream, zeros, sizeof(zeros));
        }
        h2_raw_reset(fd, stream, H2_CANCEL);
    }
    post(fd, stream, "/echo");
    h2_raw_frame(fd, H2_DATA, H2_END_STREAM, stream, zeros, 1000);
    h2_raw_expect_status(fd, stream, "200");
    h2_raw_expect_alive(fd);
}

/* A request whose body is collected has an end, though HTTP/2 does not say which. */
static void h2__ends_a_collected_request_that_does_not_come(void **state)
{
    (void)state;
    int fd = h2_raw_open(server.port);
    post(fd, 1, "/echo");
    post(fd, 3, "/never"); /* a stream, for all we know */
    h2_raw_read_frame(fd, H2_RST_STREAM, 1, &frame);
    h2_raw_get(fd, 5, "/hello");
    h2_raw_expect_status(fd, 5, "200");
    h2_raw_reset(fd, 3, H2_CANCEL);
    h2_raw_expect_alive(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(h2__ends_an_answer_that_nobody_takes),
        cmocka_unit_test(h2__ends_a_complete_answer_whose_end_nobody_takes),
        cmocka_unit_test(h2__keeps_an_answer_that_is_taken_slowly),
        cmocka_unit_test(h2__a_connections_answers_share_their_room),
        cmocka_unit_test(h2__many_connections_share_a_loops_room),
        cmocka_unit_test(h2__gives_back_what_a_reset_stream_held),
        cmocka_unit_test(h2__ends_a_collected_request_that_does_not_come),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
