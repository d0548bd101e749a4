/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/support/io_server.h"

#include "base/mem.h"
#include "base/text.h"
#include "io/ring_p.h"

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/time.h>
#include <unistd.h>

/* ---- the handler ---- */

void (*sm_io_server_before_loop)(void);

#define WAITING_MAX 4096
static sm_http_exchange *waiting[WAITING_MAX]; /* the loop's thread alone */
static size_t waiting_count;

static void reply_text(sm_http_exchange *x, sm_slice text)
{
    const sm_http_header fields[] = {SM_HEADER("content-type", SM_LIT("text/plain"))};
    sm_http_reply(x, 200, fields, 1, text);
}

static void count_close(void *ctx, sm_http_exchange *x, sm_err err)
{
    struct sm_io_server *s = ctx;
    if (!sm_ok(err)) {
        atomic_fetch_add(&s->closed_early, 1);
    }
    for (size_t i = 0; i < waiting_count; i++) {
        if (waiting[i] == x) {
            waiting[i] = waiting[--waiting_count];
            return;
        }
    }
}

static const struct sm_http_stream_ops silent_ops = {.on_close = count_close};

/* /hold: body octets count against the window until somebody says go. */
static struct {
    sm_http_exchange *x;
    size_t held;
    size_t total;
    bool go;
} hold;

static void hold_body(void *ctx, sm_http_exchange *x, sm_slice bytes)
{
    (void)ctx;
    hold.total += bytes.len;
    if (hold.go) {
        sm_http_consume(x, bytes.len);
    } else {
        hold.held += bytes.len;
    }
}

static void hold_end(void *ctx, sm_http_exchange *x)
{
    (void)ctx;
    char *text = sm_arena_printf(sm_http_arena(x), "took %zu\n", hold.total);
    reply_text(x, sm_slice_str(text));
}

static void hold_closed(void *ctx, sm_http_exchange *x, sm_err err)
{
    hold.x = NULL;
    count_close(ctx, x, err);
}

static const struct sm_http_stream_ops hold_ops = {
    .on_body = hold_body, .on_end = hold_end, .on_close = hold_closed};

static void start_hold(struct sm_io_server *s, sm_http_exchange *x)
{
    hold.x = x;
    hold.held = hold.total = 0;
    hold.go = false;
    sm_http_limit_body(x, 64U << 20);
    sm_http_accept(x, &hold_ops, s);
}

struct big {
    struct sm_io_server *server;
    uint64_t left;
};

static void write_more(void *ctx, sm_http_exchange *x)
{
    struct big *big = ctx;
    static const uint8_t zeros[8192];
    bool room = true;
    while (big->left > 0 && room) {
        size_t n = big->left < sizeof(zeros) ? (size_t)big->left : sizeof(zeros);
        big->left -= n;
        room = sm_http_write(x, sm_slice_of(zeros, n));
    }
    if (big->left == 0) {
        sm_http_finish(x, NULL, 0);
    }
}

static void big_closed(void *ctx, sm_http_exchange *x, sm_err err)
{
    struct big *big = ctx;
    count_close(big->server, x, err);
}

static void start_big(struct sm_io_server *s, sm_http_exchange *x)
{
    static const struct sm_http_stream_ops ops = {.on_writable = write_more,
                                                  .on_close = big_closed};
    struct big *big = sm_arena_alloc(sm_http_arena(x), sizeof(*big));
    if (big == NULL || !sm_ok(sm_decimal_parse(sm_http_query(x), &big->left))) {
        sm_http_reply(x, 400, NULL, 0, SM_SLICE_NONE);
        return;
    }
    big->server = s;
    sm_http_accept(x, &ops, big);
    sm_http_start(x, 200, NULL, 0);
    write_more(big, x);
}

static void echo(void *ctx, sm_http_exchange *x, sm_slice body, sm_err err)
{
    (void)ctx;
    if (sm_ok(err)) {
        reply_text(x, body);
    }
}

static void reply_tls(sm_http_exchange *x)
{
    const struct sm_tls_info *info = sm_http_tls(x);
    char *text = sm_arena_printf(
        sm_http_arena(x), "used=%d resumed=%d version=%x group=%s certificate=%d\n", info->used,
        info->resumed, (unsigned)info->version, info->group == NULL ? "" : info->group,
        info->peer_certificate.len > 0);
    reply_text(x, sm_slice_str(text));
}

/* In hex, or the error's name. */
static void reply_binding(sm_http_exchange *x)
{
    uint8_t binding[SM_HTTP_BINDING_MAX];
    char hex[2 * SM_HTTP_BINDING_MAX + 1];
    size_t len;
    sm_err err = sm_http_channel_binding(x, binding, &len);
    const char *said = sm_ok(err) ? sm_hex_format(sm_slice_of(binding, len), hex)
                                  : sm_err_name(err);
    reply_text(x, sm_slice_str(sm_arena_printf(sm_http_arena(x), "binding=%s.\n", said)));
}

static void reply_end_point(sm_http_exchange *x)
{
    uint8_t hash[SM_HTTP_END_POINT_MAX];
    char hex[2 * SM_HTTP_END_POINT_MAX + 1];
    size_t len;
    sm_err err = sm_http_server_end_point(x, hash, &len);
    const char *said = sm_ok(err) ? sm_hex_format(sm_slice_of(hash, len), hex) : sm_err_name(err);
    reply_text(x, sm_slice_str(sm_arena_printf(sm_http_arena(x), "end_point=%s.\n", said)));
}

static void on_request(void *ctx, sm_http_exchange *x)
{
    struct sm_io_server *s = ctx;
    sm_slice path = sm_http_path(x);
    if (sm_slice_equal(path, SM_LIT("/hello"))) {
        reply_text(x, SM_LIT("hello\n"));
    } else if (sm_slice_equal(path, SM_LIT("/echo"))) {
        sm_http_collect(x, 64U << 20, echo, NULL, NULL);
    } else if (sm_slice_equal(path, SM_LIT("/big"))) {
        start_big(s, x);
    } else if (sm_slice_equal(path, SM_LIT("/hold"))) {
        start_hold(s, x);
    } else if (sm_slice_equal(path, SM_LIT("/tls"))) {
        reply_tls(x);
    } else if (sm_slice_equal(path, SM_LIT("/binding"))) {
        reply_binding(x);
    } else if (sm_slice_equal(path, SM_LIT("/end_point"))) {
        reply_end_point(x);
    } else if (sm_slice_equal(path, SM_LIT("/peer"))) {
        reply_text(x, sm_http_peer(x));
    } else if (sm_slice_equal(path, SM_LIT("/wait")) && waiting_count < WAITING_MAX) {
        sm_http_accept(x, &silent_ops, s);
        waiting[waiting_count++] = x;
    } else if (sm_slice_equal(path, SM_LIT("/never"))) {
        sm_http_accept(x, &silent_ops, s);
    } else {
        sm_http_reply(x, 404, NULL, 0, SM_SLICE_NONE);
    }
}

/* ---- life ---- */

static void server_main(void *ctx)
{
    struct sm_io_server *s = ctx;
    const struct sm_http_handler handler = {on_request, s};
    assert_sm_ok(sm_loop_new_without(s->without, &s->loop, NULL));
    assert_sm_ok(sm_http_server_start(s->loop, s->listener, 0, handler, &s->server));
    atomic_store(&s->ready, true);
    sm_loop_run(s->loop);
    sm_http_server_free(&s->server);
    sm_loop_free(&s->loop);
}

void sm_io_server_start(struct sm_io_server *s, unsigned without, sm_tls_server *tls,
                        const struct sm_http_limits *limits, const char *address)
{
    struct sm_listener_config config = {
        .name = "test",
        .address = address == NULL ? "127.0.0.1:0" : address,
        .inherited_fd = -1,
        .tls = tls,
        .loops = 1,
    };
    sm_http_limits_default(&config.limits);
    if (limits != NULL) {
        config.limits = *limits;
    }
    *s = (struct sm_io_server){.without = without};
    assert_sm_ok(sm_listener_new(&config, &s->listener, NULL));
    s->port = sm_listener_port(s->listener);
    if (sm_io_server_before_loop != NULL) {
        sm_io_server_before_loop();
        sm_io_server_before_loop = NULL;
    }
    assert_sm_ok(sm_thread_start(&s->thread, "server", server_main, s));
    while (!atomic_load(&s->ready)) {
        (void)usleep(200);
    }
}

void sm_io_server_stop(struct sm_io_server *s)
{
    sm_loop_stop(s->loop);
    sm_thread_join(&s->thread);
    sm_listener_free(&s->listener);
}

struct call {
    sm_msg msg;
    struct sm_io_server *server;
    void (*run)(struct sm_io_server *s);
    _Atomic bool done;
};

static void run_call(sm_msg *msg)
{
    struct call *call = SM_CONTAINER_OF(msg, struct call, msg);
    call->run(call->server);
    atomic_store(&call->done, true);
}

void sm_io_server_call(struct sm_io_server *s, void (*run)(struct sm_io_server *s))
{
    struct call call = {.msg.run = run_call, .server = s, .run = run};
    sm_mailbox_post(sm_loop_mailbox(s->loop), &call.msg);
    while (!atomic_load(&call.done)) {
        (void)usleep(100);
    }
}

static void on_drained(void *ctx)
{
    struct sm_io_server *s = ctx;
    atomic_store(&s->drained, true);
}

static void drain(struct sm_io_server *s)
{
    sm_http_server_drain(s->server, on_drained, s);
}

void sm_io_server_drain(struct sm_io_server *s)
{
    sm_io_server_call(s, drain);
}

bool sm_io_server_is_drained_within(struct sm_io_server *s, unsigned ms)
{
    for (unsigned i = 0; i < ms && !atomic_load(&s->drained); i++) {
        (void)usleep(1000);
    }
    return atomic_load(&s->drained);
}

static void answer_waiting(struct sm_io_server *s)
{
    (void)s;
    for (size_t i = 0; i < waiting_count; i++) {
        reply_text(waiting[i], SM_LIT("waited\n"));
    }
    if (hold.x != NULL) {
        hold.go = true;
        sm_http_consume(hold.x, hold.held);
    }
}

void sm_io_server_answer_waiting(struct sm_io_server *s)
{
    sm_io_server_call(s, answer_waiting);
}

/* ---- blocking sockets ---- */

int sm_io_connect(uint16_t port)
{
    const struct sockaddr_in to = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    const struct timeval timeout = {.tv_sec = 10};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout)), 0);
    if (connect(fd, (const struct sockaddr *)&to, sizeof(to)) != 0) {
        (void)close(fd);
        return -1;
    }
    return fd;
}

void sm_io_send(int fd, const char *text)
{
    size_t len = strlen(text);
    assert_int_equal(send(fd, text, len, MSG_NOSIGNAL), (ssize_t)len);
}

size_t sm_io_read_until(int fd, const char *needle, char *to, size_t room)
{
    size_t len = 0;
    to[0] = 0;
    while (len + 1 < room && strstr(to, needle) == NULL) {
        ssize_t n = recv(fd, to + len, room - len - 1, 0);
        if (n <= 0) {
            break;
        }
        len += (size_t)n;
        to[len] = 0;
    }
    return len;
}

long sm_io_read_to_end(int fd, char *to, size_t room)
{
    size_t len = 0;
    ssize_t n = 1;
    while (n > 0 && len + 1 < room) {
        n = recv(fd, to + len, room - len - 1, 0);
        len += n > 0 ? (size_t)n : 0;
    }
    to[len] = 0;
    (void)close(fd);
    return n < 0 ? -1 : (long)len;
}

bool sm_io_is_closed_within(int fd, unsigned ms)
{
    char octets[4096];
    unsigned waited = 0;
    while (waited <= ms) {
        struct pollfd p = {.fd = fd, .events = POLLIN};
        if (poll(&p, 1, 10) == 0) {
            waited += 10;
            continue;
        }
        ssize_t n = recv(fd, octets, sizeof(octets), MSG_DONTWAIT);
        if (n == 0 || (n < 0 && errno != EAGAIN)) {
            return true;
        }
    }
    return false;
}
