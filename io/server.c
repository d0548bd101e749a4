/* SPDX-License-Identifier: Apache-2.0 */
#include "base/log.h"
#include "base/mem.h"
#include "base/metrics.h"
#include "io/conn_p.h"
#include "io/listener_p.h"

#include <errno.h>
#include <unistd.h>

#define TICK_MS 1000
#define ACCEPT_PAUSE_MS 100 /* when the process has no descriptors left */

struct sm_http_server {
    sm_loop *loop;
    sm_listener *listener;
    int fd;
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
    bool draining;
    bool freeing;
};

static struct {
    sm_metric connections;
    sm_metric accepted;
    sm_metric refused;
} metrics;

static void arm_accept(sm_http_server *s)
{
    struct io_uring_sqe *sqe = sm_loop_sqe(s->loop);
    if (s->loop->features.multishot_accept) {
        io_uring_prep_multishot_accept(sqe, s->fd, NULL, NULL, SOCK_CLOEXEC);
    } else {
        io_uring_prep_accept(sqe, s->fd, NULL, NULL, SOCK_CLOEXEC);
    }
    sm_loop_set_op(sqe, &s->accept_op);
    s->accepting = true;
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
        drained(s->drained_ctx);
    }
}

/* ---- connections ---- */

static sm_err open_session(sm_conn *conn, sm_slice alpn, sm_slice first, sm_session **out)
{
    sm_http_server *s = conn->owner;
    conn->host.handler = s->handler;
    conn->host.listener = sm_slice_str(s->listener->name);
    sm_slice preface = SM_H2_PREFACE;
    bool h2 = conn->tls == NULL ? sm_slice_starts_with(first, preface) : sm_slice_equal(alpn, SM_LIT("h2"));
    return h2 ? sm_h2_server_new(&conn->host, out) : sm_h1_server_new(&conn->host, out);
}

static void on_closed(sm_conn *conn, sm_err err)
{
    sm_http_server *s = conn->owner;
    (void)err;
    sm_listener_release(s->listener, &conn->host.peer_address);
    s->conn_count--;
    sm_metric_sub(metrics.connections, 1);
    maybe_drained(s);
}

static const struct conn_owner_ops owner_ops = {open_session, on_closed};

static void take_socket(sm_http_server *s, int fd)
{
    struct sockaddr_storage address = {.ss_family = AF_UNSPEC};
    socklen_t len = sizeof(address);
    (void)getpeername(fd, (struct sockaddr *)&address, &len);
    if (s->draining || !sm_listener_admit(s->listener, &address)) {
        sm_metric_inc(metrics.refused);
        (void)close(fd);
        return;
    }
    sm_tls_conn *tls = NULL;
    sm_conn *conn = NULL;
    sm_err err = s->listener->tls == NULL ? SM_NO_ERR : sm_tls_server_open(s->listener->tls, &tls);
    if (!sm_ok(err)) {
        (void)close(fd);
    } else {
        err = sm_conn_new(s->loop, fd, tls, &s->listener->limits, &owner_ops, s, &conn);
        if (!sm_ok(err)) {
            sm_tls_conn_free(&tls);
        }
    }
    if (!sm_ok(err)) {
        sm_listener_release(s->listener, &address);
        return;
    }
    sm_conn_set_peer(conn, &address);
    sm_list_push_back(&s->conns, &conn->node);
    s->conn_count++;
    sm_metric_inc(metrics.accepted);
    sm_metric_add(metrics.connections, 1);
    sm_conn_start(conn);
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
        maybe_drained(s);
    } else if (res == -EMFILE || res == -ENFILE || res == -ENOMEM || res == -ENOBUFS) {
        sm_log(SM_LOG_WARN, "accept_failed", SM_KS("listener", s->listener->name), SM_KS("reason", strerror(-res)),
               SM_KEND);
        if (!sm_ok(sm_timer_start(s->loop, &s->retry, ACCEPT_PAUSE_MS))) {
            arm_accept(s);
        }
    } else {
        arm_accept(s);
    }
}

static void on_retry(sm_timer *timer)
{
    sm_http_server *s = SM_CONTAINER_OF(timer, sm_http_server, retry);
    if (!s->draining && !s->accepting) {
        arm_accept(s);
    }
}

static void on_tick(sm_timer *timer)
{
    sm_http_server *s = SM_CONTAINER_OF(timer, sm_http_server, tick);
    uint64_t now = sm_loop_now_ns(s->loop);
    bool over = s->draining && now >= s->drain_until_ns;
    SM_LIST_FOR_SAFE(node, tmp, &s->conns)
    {
        sm_conn *conn = SM_CONTAINER_OF(node, sm_conn, node);
        if (over) {
            sm_conn_close(conn, SM_ERR(DRAINING));
        } else {
            sm_conn_tick(conn, now);
        }
    }
    /* Without memory for a timer time-outs pause; the next accept or drain starts them again. */
    sm_err err = sm_timer_start(s->loop, &s->tick, TICK_MS);
    (void)err;
}

/* ---- life ---- */

sm_err sm_http_server_start(sm_loop *loop, sm_listener *listener, unsigned index, struct sm_http_handler handler,
                            sm_http_server **out)
{
    sm_http_server *s = sm_calloc(1, sizeof(*s));
    if (s == NULL) {
        return SM_ERR(NO_MEMORY);
    }
    metrics.connections = sm_metric_register(SM_GAUGE, "sealmill_connections", "Open connections", NULL);
    metrics.accepted = sm_metric_register(SM_COUNTER, "sealmill_connections_accepted_total", "Connections accepted", NULL);
    metrics.refused =
        sm_metric_register(SM_COUNTER, "sealmill_connections_refused_total", "Connections over a limit, closed at once", NULL);
    s->loop = loop;
    s->listener = listener;
    s->fd = listener->sockets[index % listener->socket_count];
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
    s->drain_until_ns = sm_loop_now_ns(s->loop) + s->listener->limits.drain_timeout_ms * 1000000ULL;
    if (s->accepting) {
        struct io_uring_sqe *sqe = sm_loop_sqe(s->loop);
        io_uring_prep_cancel(sqe, &s->accept_op, 0);
        sm_loop_set_op(sqe, NULL);
    }
    SM_LIST_FOR_SAFE(node, tmp, &s->conns)
    {
        sm_conn *conn = SM_CONTAINER_OF(node, sm_conn, node);
        if (conn->session != NULL) {
            conn->session->ops->drain(conn->session);
            conn->host.want_output(&conn->host);
        } else {
            sm_conn_close(conn, SM_ERR(DRAINING));
        }
    }
    maybe_drained(s);
}

/* Turns the loop until the kernel has given everything back. */
#define FREE_TURNS 1000

void sm_http_server_free(sm_http_server **out)
{
    sm_http_server *s = *out;
    if (s == NULL) {
        return;
    }
    *out = NULL;
    if (!s->draining) {
        sm_http_server_drain(s, NULL, NULL);
    }
    SM_LIST_FOR_SAFE(node, tmp, &s->conns)
    {
        sm_conn_close(SM_CONTAINER_OF(node, sm_conn, node), SM_ERR(DRAINING));
    }
    for (int i = 0; i < FREE_TURNS && (s->conn_count > 0 || s->accepting); i++) {
        sm_loop_turn(s->loop, 1);
    }
    sm_timer_stop(s->loop, &s->tick);
    sm_timer_stop(s->loop, &s->retry);
    sm_free(s);
}
