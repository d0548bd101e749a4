/* SPDX-License-Identifier: Apache-2.0 */
/* A connection with a session that does as it is told, over a socket pair. */
#include "io/conn_p.h"

#include "base/check.h"
#include "base/clock.h"
#include "base/mem.h"
#include "tests/support/support.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* ---- a session on strings ---- */

struct script {
    sm_session base;
    sm_buf in;
    sm_buf out;   /* what produce gives */
    size_t chunk; /* at most so much at once; 0: all */
    bool done;
    bool pause; /* after the next octets */
    sm_err receive_err;
    int eofs;
    int drains;
    int freed;
    size_t active;
    sm_err freed_with;
};

static struct script script; /* outlives its connection */

static struct script *of(sm_session *s)
{
    return SM_CONTAINER_OF(s, struct script, base);
}

static sm_err script_receive(sm_session *s, sm_slice bytes)
{
    sm_buf_put(&of(s)->in, bytes);
    if (of(s)->pause) {
        s->host->pause_reading(s->host, true);
    }
    return of(s)->receive_err;
}

static void script_eof(sm_session *s)
{
    of(s)->eofs++;
}

static bool script_produce(sm_session *s, sm_buf *out, size_t max)
{
    struct script *t = of(s);
    size_t n = t->out.len < max ? t->out.len : max;
    n = t->chunk != 0 && n > t->chunk ? t->chunk : n;
    sm_buf_put(out, sm_slice_first(sm_buf_slice(&t->out), n));
    sm_buf_consume(&t->out, n);
    return t->out.len > 0;
}

static bool script_is_done(const sm_session *s)
{
    return SM_CONTAINER_OF_CONST(s, struct script, base)->done;
}

static size_t script_active(const sm_session *s)
{
    return SM_CONTAINER_OF_CONST(s, struct script, base)->active;
}

static void script_tick(sm_session *s, uint64_t now_ns)
{
    (void)s;
    (void)now_ns;
}

static void script_drain(sm_session *s)
{
    of(s)->drains++;
    of(s)->done = true;
}

static void script_free(sm_session *s, sm_err err)
{
    of(s)->freed++;
    of(s)->freed_with = err;
}

static const struct sm_session_ops script_ops = {
    .receive = script_receive,
    .on_eof = script_eof,
    .produce = script_produce,
    .is_done = script_is_done,
    .active = script_active,
    .on_tick = script_tick,
    .drain = script_drain,
    .free = script_free,
};

/* ---- its owner ---- */

static sm_loop *loop;
static sm_conn *conn;
static int peer; /* the other end */
static struct sm_http_limits limits;
static int closed;
static sm_err closed_with;
static sm_err open_err;

static sm_err open_session(sm_conn *c, sm_slice alpn, sm_slice first, sm_session **out)
{
    assert_int_equal(alpn.len, 0);
    (void)first;
    if (sm_ok(open_err)) {
        script.base.host = &c->host;
        *out = &script.base;
    }
    return open_err;
}

static void on_closed(sm_conn *c, sm_err err)
{
    assert_ptr_equal(c, conn);
    closed++;
    closed_with = err;
    conn = NULL;
}

static const struct conn_owner_ops owner_ops = {open_session, on_closed};

static int set_up(void **state)
{
    int pair[2];
    script = (struct script){
        .base.ops = &script_ops, .in = sm_buf_init(64U << 20), .out = sm_buf_init(64U << 20)};
    closed = 0;
    open_err = SM_NO_ERR;
    sm_http_limits_default(&limits);
    if (!sm_ok(sm_loop_new_without((unsigned)(uintptr_t)*state, &loop, NULL)) ||
        socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0) {
        return -1;
    }
    peer = pair[1];
    (void)fcntl(peer, F_SETFL, O_NONBLOCK);
    if (!sm_ok(sm_conn_new(loop, pair[0], NULL, &limits, &owner_ops, NULL, &conn))) {
        return -1;
    }
    sm_conn_start(conn);
    return 0;
}

static void turns(int n)
{
    for (int i = 0; i < n; i++) {
        sm_loop_turn(loop, 2);
    }
}

static int tear_down(void **state)
{
    (void)state;
    (void)close(peer);
    if (conn != NULL) {
        sm_conn_close(conn, SM_ERR(DRAINING));
        turns(5);
    }
    assert_null(conn);
    assert_int_equal(closed, 1);
    sm_buf_deinit(&script.in);
    sm_buf_deinit(&script.out);
    sm_loop_free(&loop);
    return 0;
}

static void say(const char *text)
{
    assert_int_equal(send(peer, text, strlen(text), MSG_NOSIGNAL), (ssize_t)strlen(text));
    turns(3);
}

static void give(const char *text)
{
    sm_buf_put_str(&script.out, text);
    conn->host.want_output(&conn->host);
}

static void expect(const char *text)
{
    char got[256] = "";
    turns(3);
    ssize_t n = recv(peer, got, sizeof(got) - 1, 0);
    assert_int_equal(n, (ssize_t)strlen(text));
    assert_string_equal(got, text);
}

static void expect_eof(void)
{
    char octet;
    turns(3);
    assert_int_equal(recv(peer, &octet, 1, 0), 0);
}

static bool heard(const char *text)
{
    return sm_slice_equal(sm_buf_slice(&script.in), sm_slice_str(text));
}

/* ---- tests ---- */

static void conn__delivers_both_ways(void **state)
{
    (void)state;
    say("hello");
    assert_true(heard("hello"));
    give("wor");
    give("ld");
    expect("world"); /* one send for a turn */
    say(" again");
    assert_true(heard("hello again"));
}

static void conn__holds_back_what_may_be_a_preface(void **state)
{
    (void)state;
    say("PRI * HT");
    assert_int_equal(script.in.len, 0);
    say("TP/2.0\r\n\r\nSM\r\n\r");
    assert_int_equal(script.in.len, 0);
    say("\nx");
    assert_true(heard("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\nx"));
}

static void conn__gives_up_on_the_preface_at_the_first_other_octet(void **state)
{
    (void)state;
    say("PR");
    say("INT / HTTP/1.1");
    assert_true(heard("PRINT / HTTP/1.1"));
}

static void conn__an_owner_that_opens_no_session_ends_it(void **state)
{
    (void)state;
    open_err = SM_ERR(NO_MEMORY);
    say("hello");
    assert_int_equal(closed, 1);
    assert_sm_err(closed_with, NO_MEMORY);
}

/* More than the socket holds: many partial sends, all octets in order. */
static void conn__sends_a_great_deal_to_a_slow_reader(void **state)
{
    (void)state;
    enum { SIZE = 3000000 };
    say("go");
    for (size_t i = 0; i < SIZE; i++) {
        sm_buf_put_byte(&script.out, (uint8_t)(i * 31 + i / 256));
    }
    conn->host.want_output(&conn->host);
    size_t got = 0;
    uint8_t octets[10000];
    for (int idle = 0; got < SIZE && idle < 1000; idle++) {
        sm_loop_turn(loop, 1);
        ssize_t n = recv(peer, octets, sizeof(octets), 0);
        for (ssize_t i = 0; i < n; i++, got++) {
            assert_int_equal(octets[i], (uint8_t)(got * 31 + got / 256));
            idle = 0;
        }
        /* No more is taken from the session than one flush beside the send in flight. */
        assert_true(conn->out.len <= CONN_FLUSH_MAX && conn->wire.len <= CONN_FLUSH_MAX);
    }
    assert_int_equal(got, SIZE);
    turns(2);
    assert_null(conn->out.ptr); /* idle: no buffer */
    assert_null(conn->wire.ptr);
}

static void conn__a_pause_keeps_octets_in_the_kernel(void **state)
{
    (void)state;
    say("one");
    script.pause = true;
    say("two");
    say("three"); /* may still come */
    script.pause = false;
    size_t before = script.in.len;
    say("four");
    assert_int_equal(script.in.len, before);
    sm_conn_pause(&conn->host, false);
    turns(3);
    assert_true(heard("onetwothreefour"));
    for (int i = 0; i < 20; i++) { /* back and forth while a cancel is under way */
        sm_conn_pause(&conn->host, true);
        sm_conn_pause(&conn->host, false);
    }
    say("five");
    assert_true(heard("onetwothreefourfive"));
}

static void conn__ends_when_the_session_is_done_and_lingers(void **state)
{
    (void)state;
    say("x");
    give("bye");
    script.done = true;
    expect("bye");
    expect_eof();
    assert_int_equal(closed, 0); /* the peer has not closed its side */
    assert_int_equal(script.freed, 1);
    say("still talking");
    assert_true(heard("x"));
    (void)shutdown(peer, SHUT_WR);
    turns(3);
    assert_int_equal(closed, 1);
    assert_sm_ok(closed_with);
}

static void conn__does_not_linger_for_ever(void **state)
{
    (void)state;
    say("x");
    script.done = true;
    conn->host.want_output(&conn->host);
    expect_eof();
    assert_int_equal(closed, 0);
    sm_conn_tick(conn, sm_loop_now_ns(loop) + (CONN_LINGER_MS - 500) * SM_NS_PER_MS);
    turns(3);
    assert_int_equal(closed, 0);
    sm_conn_tick(conn, sm_loop_now_ns(loop) + (CONN_LINGER_MS + 500) * SM_NS_PER_MS);
    turns(3);
    assert_int_equal(closed, 1);
}

static void conn__an_input_error_lets_the_last_words_out(void **state)
{
    (void)state;
    script.receive_err = SM_ERR(MALFORMED);
    sm_buf_put_str(&script.out, "400");
    say("bad");
    expect("400");
    expect_eof();
    assert_int_equal(script.freed, 1);
    assert_sm_err(script.freed_with, MALFORMED);
}

static void conn__tells_the_end_once(void **state)
{
    (void)state;
    say("x");
    (void)shutdown(peer, SHUT_WR);
    turns(3);
    assert_int_equal(script.eofs, 1);
    assert_int_equal(closed, 0);
    give("an answer after all");
    expect("an answer after all");
    script.done = true;
    conn->host.want_output(&conn->host);
    turns(3);
    assert_int_equal(script.eofs, 1);
    assert_int_equal(closed, 1);
}

static void conn__an_end_before_any_octet_closes_it(void **state)
{
    (void)state;
    (void)shutdown(peer, SHUT_WR);
    turns(3);
    assert_int_equal(closed, 1);
    assert_sm_err(closed_with, CLOSED);
    assert_int_equal(script.freed, 0);
}

static void conn__a_peer_that_has_gone_ends_the_send(void **state)
{
    (void)state;
    say("x");
    (void)close(peer);
    peer = -1;
    for (int i = 0; i < 100 && conn != NULL; i++) {
        give("nobody reads this");
        turns(1);
    }
    turns(3);
    assert_int_equal(closed, 1);
    assert_int_equal(script.freed, 1);
}

static void conn__close_inside_receive_is_safe(void **state)
{
    (void)state;
    say("x");
    sm_conn_close(conn, SM_ERR(DRAINING));
    sm_conn_close(conn, SM_ERR(CLOSED)); /* the first reason stays */
    give("too late");
    turns(4);
    assert_int_equal(closed, 1);
    assert_sm_err(closed_with, DRAINING);
    assert_sm_err(script.freed_with, DRAINING);
}

/* ---- time ---- */

static void conn__times_out_a_reader_that_takes_nothing(void **state)
{
    (void)state;
    say("x");
    for (int i = 0; i < 200000; i++) {
        sm_buf_put_str(&script.out, "0123456789");
    }
    conn->host.want_output(&conn->host);
    turns(3);
    assert_true(conn->sending);
    uint64_t now_ns = sm_loop_now_ns(loop);
    sm_conn_tick(conn, now_ns + (limits.write_timeout_ms - 1000) * SM_NS_PER_MS);
    turns(2);
    assert_int_equal(closed, 0);
    sm_conn_tick(conn, now_ns + (limits.write_timeout_ms + 1000) * SM_NS_PER_MS);
    turns(3);
    assert_int_equal(closed, 1);
    assert_sm_err(closed_with, TIMED_OUT);
}

static void conn__an_exchange_under_way_is_not_idle(void **state)
{
    (void)state;
    say("x");
    uint64_t later_ns = sm_loop_now_ns(loop) + 2ULL * limits.idle_timeout_ms * SM_NS_PER_MS;
    script.active = 1;
    sm_conn_tick(conn, later_ns);
    assert_int_equal(script.drains, 0);
    script.active = 0;
    sm_conn_tick(conn, later_ns + SM_NS_PER_S); /* it has just ended: idle from here on */
    assert_int_equal(script.drains, 0);
    later_ns += 2ULL * limits.idle_timeout_ms * SM_NS_PER_MS;
    sm_conn_tick(conn, later_ns);
    sm_conn_tick(conn, later_ns + SM_NS_PER_S);
    assert_int_equal(script.drains, 1);
    expect_eof();
}

/* ---- what the kernel may say ---- */

static void conn__goes_on_after_passing_ring_errors(void **state)
{
    (void)state;
    static const int32_t passing[] = {-ENOBUFS, -EINTR, -EAGAIN, -ECANCELED};
    say("a");
    for (size_t i = 0; i < SM_ARRAY_LEN(passing); i++) {
        /* As if the receive in flight had ended so; it is cancelled so that there is one. */
        struct io_uring_sqe *sqe = sm_loop_sqe(loop);
        io_uring_prep_cancel(sqe, &conn->recv_op, 0);
        sm_loop_set_op(sqe, NULL);
        script.pause = false;
        conn->paused = true; /* not armed again by itself */
        turns(3);
        assert_false(conn->receiving);
        conn->paused = false;
        conn->recv_op.on_complete(&conn->recv_op, passing[i], 0);
        assert_true(conn->receiving);
    }
    say("b");
    assert_true(heard("ab"));
}

static void conn__a_kernel_without_multishot_gets_single_shots(void **state)
{
    (void)state;
    say("a");
    if (!loop->features.multishot_recv) {
        print_message("skipped: this kernel has no multishot receive\n");
        skip();
    }
    struct io_uring_sqe *sqe = sm_loop_sqe(loop);
    io_uring_prep_cancel(sqe, &conn->recv_op, 0);
    sm_loop_set_op(sqe, NULL);
    conn->paused = true;
    turns(3);
    conn->paused = false;
    conn->recv_op.on_complete(&conn->recv_op, -EINVAL, 0);
    assert_false(loop->features.multishot_recv);
    say("b");
    say("c");
    assert_true(heard("abc"));
}

static void conn__other_ring_errors_end_it(void **state)
{
    (void)state;
    say("a");
    struct io_uring_sqe *sqe = sm_loop_sqe(loop);
    io_uring_prep_cancel(sqe, &conn->recv_op, 0);
    sm_loop_set_op(sqe, NULL);
    conn->paused = true;
    turns(3);
    conn->recv_op.on_complete(&conn->recv_op, -ECONNRESET, 0);
    turns(3);
    assert_int_equal(closed, 1);
    assert_sm_err(closed_with, CLOSED);
}

static void conn__without_memory_is_not_made(void **state)
{
    (void)state;
    sm_conn *other = NULL;
    int pair[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    sm_mem_fail_at(1);
    sm_err err = sm_conn_new(loop, pair[0], NULL, &limits, &owner_ops, NULL, &other);
    sm_mem_fail_at(0);
    assert_sm_err(err, NO_MEMORY);
    assert_int_equal(fcntl(pair[0], F_GETFD), -1); /* the socket was taken, and closed */
    (void)close(pair[1]);
}

static void conn__without_memory_for_output_ends(void **state)
{
    (void)state;
    say("x");
    for (int i = 0; i < 100000; i++) {
        sm_buf_put_byte(&script.out, 'x');
    }
    sm_mem_fail_at(1);
    conn->host.want_output(&conn->host);
    turns(4);
    sm_mem_fail_at(0);
    assert_int_equal(closed, 1);
    assert_sm_err(closed_with, NO_MEMORY);
}

#define ONCE(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
#define EVERY_WAY(test)                                                                \
    {#test, test, set_up, tear_down, NULL},                                            \
        {#test " (no multishot)", test, set_up, tear_down, (void *)(uintptr_t)3U},     \
    {                                                                                  \
#test " (no provided buffers)", test, set_up, tear_down, (void *)(uintptr_t)4U \
    }

int main(void)
{
    const struct CMUnitTest tests[] = {
        EVERY_WAY(conn__delivers_both_ways),
        EVERY_WAY(conn__holds_back_what_may_be_a_preface),
        EVERY_WAY(conn__gives_up_on_the_preface_at_the_first_other_octet),
        EVERY_WAY(conn__an_owner_that_opens_no_session_ends_it),
        EVERY_WAY(conn__sends_a_great_deal_to_a_slow_reader),
        EVERY_WAY(conn__a_pause_keeps_octets_in_the_kernel),
        EVERY_WAY(conn__ends_when_the_session_is_done_and_lingers),
        EVERY_WAY(conn__does_not_linger_for_ever),
        EVERY_WAY(conn__an_input_error_lets_the_last_words_out),
        EVERY_WAY(conn__tells_the_end_once),
        EVERY_WAY(conn__an_end_before_any_octet_closes_it),
        EVERY_WAY(conn__a_peer_that_has_gone_ends_the_send),
        EVERY_WAY(conn__close_inside_receive_is_safe),
        EVERY_WAY(conn__times_out_a_reader_that_takes_nothing),
        EVERY_WAY(conn__an_exchange_under_way_is_not_idle),
        ONCE(conn__goes_on_after_passing_ring_errors),
        ONCE(conn__a_kernel_without_multishot_gets_single_shots),
        ONCE(conn__other_ring_errors_end_it),
        ONCE(conn__without_memory_is_not_made),
        ONCE(conn__without_memory_for_output_ends),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
