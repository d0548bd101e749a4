/* SPDX-License-Identifier: Apache-2.0 */
/* The transport half of the HTTP/2 client: connecting, TLS, time, closing. */
#include "base/clock.h"
#include "base/mem.h"
#include "io/address.h"
#include "io/conn_p.h"
#include "io/h2_client_p.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <unistd.h>

#define TICK_MS 500

struct sm_http_client {
    sm_loop *loop;
    sm_conn *conn; /* NULL before and after */
    sm_tls_client *tls;
    int fd;
    struct sockaddr_storage address;
    socklen_t address_len;
    char authority[128];
    sm_op connect_op;
    sm_timer tick;
    sm_task report; /* an error is never told inside connect */
    struct sm_http_limits limits;
    const struct sm_http_client_ops *ops;
    void *ctx;
    sm_err err;
    sm_diag diag;
    uint64_t give_up_ns; /* of connecting, then of closing */
    bool connecting;     /* connect_op is in flight */
    bool connected;
    bool closing;
};

/* ---- ends ---- */

static void tell_failure(sm_http_client *client, sm_err err)
{
    sm_timer_stop(client->loop, &client->tick);
    client->ops->on_connected(client->ctx, err, &client->diag);
    client->ops->on_closed(client->ctx, err); /* may free the client */
}

static void run_report(sm_task *task)
{
    sm_http_client *client = SM_CONTAINER_OF(task, sm_http_client, report);
    tell_failure(client, client->err);
}

static void fail(sm_http_client *client, sm_err err)
{
    client->err = err;
    sm_task_schedule(client->loop, &client->report, SM_PHASE_WORK);
}

static sm_err why_no_session(sm_http_client *client, const sm_conn *conn, sm_err err)
{
    sm_err why = sm_ok(err) ? SM_ERR(CLOSED) : err;
    const char *reason = conn->tls == NULL ? "" : sm_tls_conn_why(conn->tls);
    if (sm_err_is(why, SM_E_TIMED_OUT)) {
        return sm_diag_set(&client->diag, why, "server", "%s did not finish the TLS handshake",
                           client->authority);
    }
    if (sm_err_is(why, SM_E_UNSUPPORTED)) {
        return sm_diag_set(&client->diag, why, "server", "%s does not speak HTTP/2",
                           client->authority);
    }
    return sm_diag_set(&client->diag, why, "server", "the TLS handshake with %s failed: %s",
                       client->authority, *reason == 0 ? "it closed the connection" : reason);
}

/* ---- the connection's owner ---- */

static sm_err open_session(sm_conn *conn, sm_slice alpn, sm_slice first, sm_session **out)
{
    sm_http_client *client = conn->owner;
    (void)first;
    if (client->tls != NULL && !sm_slice_equal(alpn, SM_LIT("h2"))) {
        return SM_ERR(UNSUPPORTED);
    }
    SM_TRY(
        sm_h2_client_new(&conn->host, client->tls != NULL, sm_slice_str(client->authority), out));
    conn->session = *out; /* calls may start inside on_connected */
    client->connected = true;
    client->ops->on_connected(client->ctx, SM_NO_ERR, &client->diag);
    return SM_NO_ERR;
}

static void on_closed(sm_conn *conn, sm_err err)
{
    sm_http_client *client = conn->owner;
    client->conn = NULL;
    if (!client->connected) {
        tell_failure(client, why_no_session(client, conn, err));
        return;
    }
    sm_timer_stop(client->loop, &client->tick);
    client->ops->on_closed(client->ctx, err); /* may free the client */
}

static const struct conn_owner_ops owner_ops = {open_session, on_closed};

/* ---- connecting ---- */

static void cancel_connect(sm_http_client *client)
{
    struct io_uring_sqe *sqe = sm_loop_sqe(client->loop);
    io_uring_prep_cancel(sqe, &client->connect_op, 0);
    sm_loop_set_op(sqe, NULL);
}

static sm_err connect_error(sm_http_client *client, int32_t res)
{
    int number = res < 0 ? -res : ECANCELED;
    if (number == ECANCELED && !client->closing) {
        number = ETIMEDOUT;
    }
    return sm_diag_set(&client->diag, client->closing ? SM_ERR(CANCELLED) : SM_ERR(UNAVAILABLE),
                       "server", "cannot connect to %s: %s", client->authority, strerror(number));
}

static sm_err begin(sm_http_client *client)
{
    sm_tls_conn *tls = NULL;
    int one = 1;
    (void)setsockopt(client->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    sm_err err = client->tls == NULL ? SM_NO_ERR : sm_tls_client_open(client->tls, &tls);
    if (!sm_ok(err)) {
        (void)close(client->fd);
        return err;
    }
    err = sm_conn_new(client->loop, client->fd, tls, &client->limits, &owner_ops, client,
                      &client->conn);
    if (!sm_ok(err)) {
        sm_tls_conn_free(&tls);
        return err;
    }
    sm_conn_set_peer(client->conn, &client->address);
    sm_conn_start(client->conn);
    if (client->tls == NULL) {
        sm_conn_open_session(client->conn, SM_SLICE_NONE);
    }
    return SM_NO_ERR;
}

static void on_connect(sm_op *op, int32_t res, uint32_t flags)
{
    sm_http_client *client = SM_CONTAINER_OF(op, sm_http_client, connect_op);
    (void)flags;
    client->connecting = false;
    if (res < 0 || client->closing) {
        (void)close(client->fd);
        fail(client, connect_error(client, res));
        return;
    }
    sm_err err = begin(client);
    if (!sm_ok(err)) {
        fail(client, err);
    }
}

/* ---- time ---- */

static void on_tick(sm_timer *timer)
{
    sm_http_client *client = SM_CONTAINER_OF(timer, sm_http_client, tick);
    uint64_t now_ns = sm_loop_now_ns(client->loop);
    sm_err err = sm_timer_start(client->loop, timer, TICK_MS);
    SM_CHECK(sm_ok(err)); /* its place in the heap was just freed */
    if (client->connecting && now_ns >= client->give_up_ns) {
        cancel_connect(client);
    } else if (client->conn != NULL && client->closing && now_ns >= client->give_up_ns) {
        sm_conn_close(client->conn, SM_ERR(CANCELLED));
    } else if (client->conn != NULL) {
        sm_conn_tick(client->conn, now_ns);
    }
}

/* ---- life ---- */

static sm_err open_socket(sm_http_client *client, sm_diag *diag)
{
    const char *address = client->authority;
    if (!sm_ok(sm_address_parse(address, &client->address, &client->address_len))) {
        return sm_diag_set(diag, SM_ERR(INVALID), "server",
                           "%s is not an address such as 127.0.0.1:9000", address);
    }
    client->fd = socket(client->address.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (client->fd < 0) {
        return sm_diag_set(diag, SM_ERR(OS), "server", "no socket: %s", strerror(errno));
    }
    return SM_NO_ERR;
}

static void set_limits(struct sm_http_limits *limits)
{
    sm_http_limits_default(limits);
    limits->idle_timeout_ms = 0; /* a client closes when it is done */
}

sm_err sm_http_client_connect(sm_loop *loop, const char *address, sm_tls_client *tls,
                              const struct sm_http_client_ops *ops, void *ctx, sm_http_client **out,
                              sm_diag *diag)
{
    sm_http_client *client = sm_calloc(1, sizeof(*client));
    if (client == NULL) {
        return SM_ERR(NO_MEMORY);
    }
    client->loop = loop;
    client->tls = tls;
    client->ops = ops;
    client->ctx = ctx;
    client->connect_op.on_complete = on_connect;
    sm_task_init(&client->report, run_report);
    sm_timer_init(&client->tick, on_tick);
    set_limits(&client->limits);
    (void)snprintf(client->authority, sizeof(client->authority), "%s", address);
    sm_err err = open_socket(client, diag);
    if (sm_ok(err)) {
        err = sm_timer_start(loop, &client->tick, TICK_MS);
        if (!sm_ok(err)) {
            (void)close(client->fd);
        }
    }
    if (!sm_ok(err)) {
        sm_free(client);
        return err;
    }
    client->give_up_ns = sm_clock_mono_ns() + client->limits.handshake_timeout_ms * SM_NS_PER_MS;
    struct io_uring_sqe *sqe = sm_loop_sqe(loop);
    io_uring_prep_connect(sqe, client->fd, (const struct sockaddr *)&client->address,
                          client->address_len);
    sm_loop_set_op(sqe, &client->connect_op);
    client->connecting = true;
    *out = client;
    return SM_NO_ERR;
}

void sm_http_client_close(sm_http_client *client)
{
    if (client->closing) {
        return;
    }
    client->closing = true;
    client->give_up_ns = sm_clock_mono_ns() + client->limits.drain_timeout_ms * SM_NS_PER_MS;
    if (client->connecting) {
        cancel_connect(client);
    } else if (client->conn != NULL) {
        sm_conn_drain(client->conn);
    }
}

void sm_http_client_free(sm_http_client **out)
{
    sm_http_client *client = *out;
    if (client != NULL) {
        SM_CHECK(client->conn == NULL && !client->connecting);
        *out = NULL;
        sm_timer_stop(client->loop, &client->tick);
        sm_task_cancel(&client->report);
        sm_free(client);
    }
}

sm_err sm_http_call_start(sm_http_client *client, sm_slice method, sm_slice path,
                          const sm_http_header *headers, size_t count, sm_slice body, bool end,
                          const struct sm_http_call_ops *ops, void *ctx, sm_http_call **out)
{
    if (client->conn == NULL || client->conn->session == NULL) {
        return SM_ERR(CLOSED);
    }
    return sm_h2_client_start(client->conn->session, method, path, headers, count, body, end, ops,
                              ctx, out);
}
