/* SPDX-License-Identifier: Apache-2.0 */
/* A listener on a loop: accepting, limits, the coarse clock, drain. */
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "io/conn_p.h"
#include "io/listener_p.h"

#include <errno.h>
#include <unistd.h>

#define TICK_MS 1000
#define ACCEPT_PAUSE_MS 100 /* when the process has no descriptors left */
#define FREE_TIMEOUT_NS (10 * SM_NS_PER_S)

struct sm_http_server {
    sm_loop *loop;
    sm_listener *listener;
    unsigned index; /* of its socket */
    struct sm_http_handler handler;
    sm_op accept_op;
    sm_list conns;
    size_t conn_count;
    sm_timer tick;
    sm_timer retry;
    uint64_t drain_until_ns;
    void (*drained)(void *ctx);
    void *drained_ctx;
    bool accepting; /* an accept is in flight */
    bool starved;   /* of descriptors or memory, and said so */
    bool draining;
};

/* ---- sessions ---- */

static sm_err open_session(sm_conn *conn, sm_slice alpn, sm_slice first, sm_session **out)
{
    sm_http_server *s = conn->owner;
    conn->host.handler = s->handler;
    conn->host.listener = sm_slice_str(s->listener->name);
    /* Without ALPN a client may know by other means that we speak HTTP/2 (RFC 9113 3.3). */
    bool h2 = alpn.len == 0 ? sm_slice_starts_with(first, SM_H2_PREFACE)
                            : sm_slice_equal(alpn, SM_LIT("h2"));
    return h2 ? sm_h2_server_new(&conn->host, out) : sm_h1_server_new(&conn->host, out);
}

static void maybe_drained(sm_http_server *s)
{
    if (!s->draining || s->accepting || s->conn_count > 0) {
        return;
    }
    sm_timer_stop(s->loop, &s->tick);
    sm_timer_stop(s->loop, &s->retry);
    if (s->drained != NULL) {
        void (*drained)(void *ctx) = s->drained;
        s->drained = NULL;
        drained(s->drained_ctx); /* may free the server */
    }
}

static void on_closed(sm_conn *conn, sm_err err)
{
    sm_http_server *s = conn->owner;
    if (conn->session == NULL && conn->tls != NULL && !sm_tls_conn_is_up(conn->tls)) {
        sm_log(SM_LOG_DEBUG, "tls_handshake_failed", SM_KS("listener", s->listener->name),
               SM_KB("peer", conn->host.peer), SM_KE("error", err),
               SM_KS("reason", sm_tls_conn_why(conn->tls)), SM_KEND);
    }
    sm_listener_release(s->listener, &conn->host.peer_address);
    s->conn_count--;
    maybe_drained(s);
}

static const struct conn_owner_ops owner_ops = {open_session, on_closed};

/* ---- accepting ---- */

static void arm_accept(sm_http_server *s)
{
    struct io_uring_sqe *sqe = sm_loop_sqe(s->loop);
    int fd = s->listener->sockets[s->index];
    if (s->loop->features.multishot_accept) {
        io_uring_prep_multishot_accept(sqe, fd, NULL, NULL, SOCK_CLOEXEC);
    } else {
        io_uring_prep_accept(sqe, fd, NULL, NULL, SOCK_CLOEXEC);
    }
    sm_loop_set_op(sqe, &s->accept_op);
    s->accepting = true;
}

static void refuse(sm_http_server *s, int fd, enum io_refusal why)
{
    static const char *const reasons[IO_REFUSED_COUNT] = {
        "connections", "address", "memory", "draining", "files",
    };
    sm_metric_inc(sm_io_metrics.refused[why]);
    if (why != IO_REFUSED_DRAINING) {
        sm_log(SM_LOG_WARN, "connection_refused", SM_KS("listener", s->listener->name),
               SM_KS("reason", reasons[why]), SM_KEND);
    }
    (void)close(fd);
}

/* An IPv4 peer of an IPv6 socket is an IPv4 peer. */
static void peer_of(int fd, struct sockaddr_storage *address)
{
    socklen_t len = sizeof(*address);
    struct sockaddr_in6 in6;
    memset(address, 0, sizeof(*address));
    if (getpeername(fd, (struct sockaddr *)address, &len) != 0) {
        address->ss_family = AF_UNSPEC; /* it has gone already */
        return;
    }
    memcpy(&in6, address, sizeof(in6));
    if (in6.sin6_family == AF_INET6 && IN6_IS_ADDR_V4MAPPED(&in6.sin6_addr)) {
        struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = in6.sin6_port};
        memcpy(&in.sin_addr, &in6.sin6_addr.s6_addr[12], sizeof(in.sin_addr));
        memset(address, 0, sizeof(*address));
        memcpy(address, &in, sizeof(in));
    }
}

/* The socket is taken. */
static sm_err make_conn(sm_http_server *s, int fd, sm_conn **out)
{
    sm_tls_conn *tls = NULL;
    sm_err err = s->listener->tls == NULL ? SM_NO_ERR : sm_tls_server_open(s->listener->tls, &tls);
    if (!sm_ok(err)) {
        (void)close(fd);
        return err;
    }
    err = sm_conn_new(s->loop, fd, tls, &s->listener->limits, &owner_ops, s, out);
    if (!sm_ok(err)) {
        sm_tls_conn_free(&tls);
    }
    return err;
}

static void take_socket(sm_http_server *s, int fd)
{
    struct sockaddr_storage address;
    enum io_refusal why = IO_REFUSED_DRAINING;
    sm_conn *conn = NULL;
    peer_of(fd, &address);
    if (s->draining || !sm_listener_admit(s->listener, &address, &why)) {
        refuse(s, fd, why);
        return;
    }
    if (!sm_ok(make_conn(s, fd, &conn))) {
        sm_metric_inc(sm_io_metrics.refused[IO_REFUSED_MEMORY]);
        sm_listener_release(s->listener, &address);
        return;
    }
    s->starved = false;
    sm_conn_set_peer(conn, &address);
    sm_list_push_back(&s->conns, &conn->node);
    s->conn_count++;
    sm_metric_inc(sm_io_metrics.accepted);
    sm_conn_start(conn);
}

/* What says nothing about the next connection: this one has gone already, or its network has
 * (accept(2)). */
static bool is_passing(int32_t res)
{
    return res >= 0 || res == -ECONNABORTED || res == -EINTR || res == -EAGAIN ||
           res == -ECANCELED || res == -EPROTO || res == -ENETDOWN || res == -ENETUNREACH ||
           res == -EHOSTDOWN || res == -EHOSTUNREACH || res == -ENOPROTOOPT || res == -EOPNOTSUPP ||
           res == -EPERM || res == -ETIMEDOUT;
}

/* No descriptor or memory is left: connections wait in the kernel's queue until some of ours have
 * ended. Never a spinning loop. */
static void accept_later(sm_http_server *s, int32_t res)
{
    sm_metric_inc(sm_io_metrics.refused[IO_REFUSED_FILES]);
    if (!s->starved) {
        s->starved = true;
        sm_log(SM_LOG_ERROR, "accept_failed", SM_KS("listener", s->listener->name),
               SM_KS("reason", strerror(-res)), SM_KU("connections", s->conn_count), SM_KEND);
    }
    if (!sm_ok(sm_timer_start(s->loop, &s->retry, ACCEPT_PAUSE_MS))) {
        arm_accept(s);
    }
}

static void stop_listening(sm_http_server *s)
{
    sm_listener_close_socket(s->listener, s->index);
    maybe_drained(s);
}

static void on_accepted(sm_op *op, int32_t res, uint32_t flags)
{
    sm_http_server *s = SM_CONTAINER_OF(op, sm_http_server, accept_op);
    s->accepting = (flags & IORING_CQE_F_MORE) != 0;
    if (res >= 0) {
        take_socket(s, res);
    }
    if (s->accepting) {
        return;
    }
    if (s->draining) {
        stop_listening(s);
    } else if (res == -EINVAL && s->loop->features.multishot_accept) {
        s->loop->features.multishot_accept = false; /* this kernel cannot */
        arm_accept(s);
    } else if (is_passing(res)) {
        arm_accept(s);
    } else {
        accept_later(s, res);
    }
}

static void on_retry(sm_timer *timer)
{
    sm_http_server *s = SM_CONTAINER_OF(timer, sm_http_server, retry);
    if (!s->draining && !s->accepting) {
        arm_accept(s);
    }
}

/* ---- time ---- */

static void on_tick(sm_timer *timer)
{
    sm_http_server *s = SM_CONTAINER_OF(timer, sm_http_server, tick);
    uint64_t now_ns = sm_loop_now_ns(s->loop);
    bool over = s->draining && now_ns >= s->drain_until_ns;
    SM_LIST_FOR_SAFE(node, tmp, &s->conns)
    {
        sm_conn *conn = SM_CONTAINER_OF(node, sm_conn, node);
        if (over) {
            sm_conn_close(conn, SM_ERR(DRAINING));
        } else {
            sm_conn_tick(conn, now_ns);
        }
    }
    /* Its place in the heap was just freed, so this takes no memory. */
    sm_err err = sm_timer_start(s->loop, &s->tick, TICK_MS);
    SM_CHECK(sm_ok(err));
}

/* ---- life ---- */

sm_err sm_http_server_start(sm_loop *loop, sm_listener *listener, unsigned index,
                            struct sm_http_handler handler, sm_http_server **out)
{
    sm_http_server *s = sm_calloc(1, sizeof(*s));
    if (s == NULL) {
        return SM_ERR(NO_MEMORY);
    }
    s->loop = loop;
    s->listener = listener;
    s->index = index % listener->socket_count;
    s->handler = handler;
    s->accept_op.on_complete = on_accepted;
    sm_list_init(&s->conns);
    sm_timer_init(&s->tick, on_tick);
    sm_timer_init(&s->retry, on_retry);
    sm_err err = sm_timer_start(loop, &s->tick, TICK_MS);
    if (!sm_ok(err)) {
        sm_free(s);
        return err;
    }
    arm_accept(s);
    *out = s;
    return SM_NO_ERR;
}

void sm_http_server_drain(sm_http_server *s, void (*done)(void *ctx), void *ctx)
{
    s->draining = true;
    s->drained = done;
    s->drained_ctx = ctx;
    s->drain_until_ns = sm_clock_mono_ns() + s->listener->limits.drain_timeout_ms * SM_NS_PER_MS;
    SM_LIST_FOR_SAFE(node, tmp, &s->conns)
    {
        sm_conn_drain(SM_CONTAINER_OF(node, sm_conn, node));
    }
    if (!s->accepting) {
        stop_listening(s);
        return;
    }
    struct io_uring_sqe *sqe = sm_loop_sqe(s->loop);
    io_uring_prep_cancel(sqe, &s->accept_op, 0);
    sm_loop_set_op(sqe, NULL);
}

/* Turns the loop until the kernel has given everything back. */
static bool close_all(sm_http_server *s)
{
    uint64_t until_ns = sm_clock_mono_ns() + FREE_TIMEOUT_NS;
    SM_LIST_FOR_SAFE(node, tmp, &s->conns)
    {
        sm_conn_close(SM_CONTAINER_OF(node, sm_conn, node), SM_ERR(DRAINING));
    }
    while ((s->conn_count > 0 || s->accepting) && sm_clock_mono_ns() < until_ns) {
        sm_loop_turn(s->loop, 1);
    }
    return s->conn_count == 0 && !s->accepting;
}

void sm_http_server_free(sm_http_server **out)
{
    sm_http_server *s = *out;
    if (s == NULL) {
        return;
    }
    *out = NULL;
    s->drained = NULL;
    if (!s->draining) {
        sm_http_server_drain(s, NULL, NULL);
    }
    if (!close_all(s)) {
        sm_log(SM_LOG_ERROR, "server_stuck", SM_KS("listener", s->listener->name),
               SM_KU("connections", s->conn_count), SM_KEND);
        return; /* the kernel still holds its memory: better lost than used twice */
    }
    sm_timer_stop(s->loop, &s->tick);
    sm_timer_stop(s->loop, &s->retry);
    sm_free(s);
}
