/* SPDX-License-Identifier: Apache-2.0 */
/* What goes to a peer: once a turn, whatever its session has produced, in one send. */
#include "io/conn_p.h"

#include "io/metrics_p.h"

#include <errno.h>

static void submit_send(sm_conn *conn)
{
    struct io_uring_sqe *sqe = sm_loop_sqe(conn->host.loop);
    io_uring_prep_send(sqe, conn->fd, conn->wire.ptr + conn->sent, conn->wire.len - conn->sent,
                       MSG_NOSIGNAL);
    sm_loop_set_op(sqe, &conn->send_op);
    conn->sending = true;
    conn->send_ns = sm_loop_now_ns(conn->host.loop);
}

/* What waits becomes the send in flight; the kernel reads it until on_sent, so nothing may be added
 * to it. */
static void send_out(sm_conn *conn)
{
    sm_buf empty = conn->wire;
    conn->wire = conn->out;
    conn->out = empty;
    conn->sent = 0;
    submit_send(conn);
}

static void on_sent(sm_op *op, int32_t res, uint32_t flags)
{
    sm_conn *conn = SM_CONTAINER_OF(op, sm_conn, send_op);
    (void)flags;
    conn->sending = false;
    if (res > 0) {
        conn->sent += (size_t)res;
        sm_metric_add(sm_io_metrics.bytes_out, (size_t)res);
    } else if (res != -EAGAIN && res != -EINTR) {
        sm_conn_close(conn, SM_ERR(CLOSED));
    }
    if (conn->state == CONN_DEAD) {
        sm_conn_maybe_free(conn);
    } else if (conn->sent < conn->wire.len) {
        submit_send(conn);
    } else {
        sm_loop_give_spare(conn->host.loop, &conn->wire);
        sm_conn_schedule_flush(conn); /* more, or the end */
    }
}

/* Fills `out` from the session, through TLS where there is one. True: more waits. */
static bool produce(sm_conn *conn)
{
    sm_session *session = conn->session;
    if (session == NULL) {
        return false;
    }
    if (conn->tls == NULL) {
        return session->ops->produce(session, &conn->out, CONN_FLUSH_MAX);
    }
    sm_buf *plain = &conn->host.loop->scratch;
    sm_buf_reset(plain);
    plain->secret = conn->host.secret;
    bool more = session->ops->produce(session, plain, CONN_FLUSH_MAX);
    sm_err err = sm_buf_err(plain);
    if (sm_ok(err) && plain->len > 0) {
        err = sm_tls_conn_write(conn->tls, sm_buf_slice(plain), &conn->out);
    }
    if (plain->secret) {
        sm_buf_reset(plain);
        plain->secret = false;
    }
    if (!sm_ok(err)) {
        sm_conn_close(conn, err);
    }
    return more;
}

/* Our side is closed; the peer may still be sending. */
static void linger(sm_conn *conn)
{
    if (conn->session != NULL) {
        sm_session *session = conn->session;
        conn->session = NULL;
        session->ops->free(session, conn->why);
    }
    if (conn->eof || shutdown(conn->fd, SHUT_WR) != 0) {
        sm_conn_close(conn, conn->why);
        return;
    }
    conn->state = CONN_LINGERING;
    conn->born_ns = sm_loop_now_ns(conn->host.loop);
    sm_conn_pause(&conn->host, false);
}

/* Everything has left. */
static void end_if_over(sm_conn *conn)
{
    bool done = conn->session != NULL && conn->session->ops->is_done(conn->session);
    if (conn->state == CONN_OPEN && !done) {
        return;
    }
    conn->state = CONN_ENDING;
    if (conn->tls != NULL && !conn->said_bye) {
        conn->said_bye = true;
        sm_tls_conn_shutdown(conn->tls, &conn->out);
        if (conn->out.len > 0) {
            send_out(conn);
            return;
        }
    }
    linger(conn);
}

static void run_flush(sm_task *task)
{
    sm_conn *conn = SM_CONTAINER_OF(task, sm_conn, flush);
    if (conn->state == CONN_DEAD) {
        sm_conn_maybe_free(conn);
        return;
    }
    if (conn->sending || conn->state == CONN_LINGERING) {
        return;
    }
    if (conn->out.ptr == NULL) {
        conn->out = sm_loop_take_spare(conn->host.loop, CONN_OUT_MAX);
    }
    bool more = produce(conn);
    if (conn->state == CONN_DEAD) {
        return; /* closed meanwhile: scheduled again */
    }
    if (!sm_ok(sm_buf_err(&conn->out))) {
        sm_conn_close(conn, sm_buf_err(&conn->out));
        return;
    }
    if (conn->out.len > 0) {
        send_out(conn);
        return;
    }
    sm_loop_give_spare(conn->host.loop, &conn->out); /* an idle connection keeps no buffer */
    if (!more || conn->state != CONN_OPEN) {
        end_if_over(conn);
    }
}

void sm_conn_send_init(sm_conn *conn)
{
    conn->send_op.on_complete = on_sent;
    sm_task_init(&conn->flush, run_flush);
}
