/* SPDX-License-Identifier: Apache-2.0 */
/* The transport half of the HTTP/2 client: connecting, TLS, closing. */
#include "base/mem.h"
#include "io/address.h"
#include "io/conn_p.h"
#include "io/h2_client_p.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

struct sm_http_client {
    sm_loop *loop;
    sm_conn *conn; /* NULL before and after */
    sm_tls_client *tls;
    int fd;
    struct sockaddr_storage address;
    socklen_t address_len;
    char authority[128];
    sm_op connect_op;
    sm_task report; /* an error is never told inside connect */
    struct sm_http_limits limits;
    const struct sm_http_client_ops *ops;
    void *ctx;
    sm_err err;
    sm_diag diag;
    bool connected;
    bool closing;
};

static sm_err open_session(sm_conn *conn, sm_slice alpn, sm_slice first, sm_session **out)
{
    sm_http_client *client = conn->owner;
    (void)first;
    if (client->tls != NULL && !sm_slice_equal(alpn, SM_LIT("h2"))) {
        return SM_ERR(UNSUPPORTED);
    }
    SM_TRY(sm_h2_client_new(&conn->host, client->tls != NULL, sm_slice_str(client->authority), out));
    conn->session = *out;
    client->connected = true;
    client->ops->on_connected(client->ctx, SM_NO_ERR, &client->diag);
    return SM_NO_ERR;
}

static void on_closed(sm_conn *conn, sm_err err)
{
    sm_http_client *client = conn->owner;
    client->conn = NULL;
    if (!client->connected) {
        sm_err why = sm_ok(err) ? SM_ERR(CLOSED) : err;
        why = sm_diag_set(&client->diag, why, "server", "%s refused the TLS handshake, or is no HTTP/2 server",
                          client->authority);
        client->ops->on_connected(client->ctx, why, &client->diag);
    }
    client->ops->on_closed(client->ctx, err);
}

static const struct conn_owner_ops owner_ops = {open_session, on_closed};

static void run_report(sm_task *task)
{
    sm_http_client *client = SM_CONTAINER_OF(task, sm_http_client, report);
    client->ops->on_connected(client->ctx, client->err, &client->diag);
    client->ops->on_closed(client->ctx, client->err);
}

static void fail(sm_http_client *client, sm_err err)
{
    client->err = err;
    sm_task_schedule(client->loop, &client->report, SM_PHASE_WORK);
}

static void on_connect(sm_op *op, int32_t res, uint32_t flags)
{
    sm_http_client *client = SM_CONTAINER_OF(op, sm_http_client, connect_op);
    (void)flags;
    if (res < 0 || client->closing) {
        (void)close(client->fd);
        fail(client, sm_diag_set(&client->diag, SM_ERR(UNAVAILABLE), "server", "cannot connect to %s: %s",
                                 client->authority, strerror(res < 0 ? -res : ECANCELED)));
        return;
    }
    sm_tls_conn *tls = NULL;
    sm_err err = client->tls == NULL ? SM_NO_ERR : sm_tls_client_open(client->tls, &tls);
    if (!sm_ok(err)) {
        (void)close(client->fd);
        fail(client, err);
        return;
    }
    err = sm_conn_new(client->loop, client->fd, tls, &client->limits, &owner_ops, client, &client->conn);
    if (!sm_ok(err)) {
        sm_tls_conn_free(&tls);
        fail(client, err);
        return;
    }
    sm_conn_set_peer(client->conn, &client->address);
    sm_conn_start(client->conn);
    if (client->tls == NULL) {
        sm_conn_open_session(client->conn, SM_SLICE_NONE);
    }
}

sm_err sm_http_client_connect(sm_loop *loop, const char *address, sm_tls_client *tls,
                              const struct sm_http_client_ops *ops, void *ctx, sm_http_client **out, sm_diag *diag)
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
    sm_http_limits_default(&client->limits);
    (void)snprintf(client->authority, sizeof(client->authority), "%s", address);
    if (!sm_ok(sm_address_parse(address, &client->address, &client->address_len))) {
        sm_free(client);
        return sm_diag_set(diag, SM_ERR(INVALID), "server", "%s is not an address such as 127.0.0.1:9000", address);
    }
    client->fd = socket(client->address.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (client->fd < 0) {
        sm_free(client);
        return sm_diag_set(diag, SM_ERR(OS), "server", "no socket: %s", strerror(errno));
    }
    struct io_uring_sqe *sqe = sm_loop_sqe(loop);
    io_uring_prep_connect(sqe, client->fd, (const struct sockaddr *)&client->address, client->address_len);
    sm_loop_set_op(sqe, &client->connect_op);
    *out = client;
    return SM_NO_ERR;
}

void sm_http_client_close(sm_http_client *client)
{
    client->closing = true;
    if (client->conn != NULL && client->conn->session != NULL) {
        client->conn->session->ops->drain(client->conn->session);
    } else if (client->conn != NULL) {
        sm_conn_close(client->conn, SM_ERR(CLOSED));
    }
}

void sm_http_client_free(sm_http_client **client)
{
    if (*client != NULL) {
        SM_CHECK((*client)->conn == NULL);
        sm_free(*client);
        *client = NULL;
    }
}

sm_err sm_http_call_start(sm_http_client *client, sm_slice method, sm_slice path, const sm_http_header *headers,
                          size_t count, sm_slice body, bool end, const struct sm_http_call_ops *ops, void *ctx,
                          sm_http_call **out)
{
    if (client->conn == NULL || client->conn->session == NULL) {
        return SM_ERR(CLOSED);
    }
    return sm_h2_client_start(client->conn->session, method, path, headers, count, body, end, ops, ctx, out);
}
