/* SPDX-License-Identifier: Apache-2.0 */
/* What a peer sends: from the kernel's buffer through TLS into the session. */
#include "io/conn_p.h"

#include "base/mem.h"
#include "io/metrics_p.h"

#include <errno.h>
#include <poll.h>

#define READS_MAX 4       /* without provided buffers: reads of one connection in one turn */
#define PLAIN_SIZE 16384U /* one TLS record */

/* ---- octets ---- */

static void session_receive(sm_conn *conn, sm_slice bytes)
{
    if (conn->session == NULL) {
        sm_conn_open_session(conn, bytes);
        return;
    }
    sm_err err = conn->session->ops->receive(conn->session, bytes);
    if (!sm_ok(err)) {
        sm_conn_finish(conn, err); /* what the session still says leaves first */
    }
}

void sm_conn_open_session(sm_conn *conn, sm_slice first)
{
    sm_slice alpn = conn->tls == NULL ? SM_SLICE_NONE : sm_tls_conn_alpn(conn->tls);
    sm_err err = conn->ops->open_session(conn, alpn, first, &conn->session);
    if (!sm_ok(err)) {
        sm_conn_close(conn, err);
        return;
    }
    sm_conn_schedule_flush(conn);
    if (first.len > 0 && conn->state == CONN_OPEN) {
        session_receive(conn, first);
    }
}

/* A cleartext server does not know the protocol before the first octets. */
static void sniff(sm_conn *conn, sm_slice bytes)
{
    sm_slice preface = SM_H2_PREFACE;
    sm_buf_put(&conn->first, bytes);
    sm_slice so_far = sm_buf_slice(&conn->first);
    bool may_be_h2 = sm_slice_equal(sm_slice_first(so_far, preface.len),
                                    sm_slice_first(preface, so_far.len));
    if (!sm_ok(sm_buf_err(&conn->first))) {
        sm_conn_close(conn, sm_buf_err(&conn->first));
        return;
    }
    if (may_be_h2 && so_far.len < preface.len) {
        return;
    }
    sm_buf held = conn->first;
    conn->first = sm_buf_init(held.cap);
    sm_conn_open_session(conn, sm_buf_slice(&held));
    sm_buf_deinit(&held);
}

/* "http://" where "https://" was meant: said in words, since a browser shows no alert. */
static bool speaks_http(sm_slice bytes)
{
    static const char *const methods[] = {"GET /", "POST /", "HEAD /", "PUT /"};
    for (size_t i = 0; i < SM_ARRAY_LEN(methods); i++) {
        if (sm_slice_starts_with(bytes, sm_slice_str(methods[i]))) {
            return true;
        }
    }
    return false;
}

static void answer_http(sm_conn *conn)
{
    sm_buf_put_str(&conn->out, "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\n"
                               "Content-Length: 34\r\nConnection: close\r\n\r\n"
                               "this port speaks TLS: use https://");
    sm_conn_finish(conn, SM_ERR(MALFORMED));
}

/* False: no plain octets can come yet. */
static bool shake_hands(sm_conn *conn)
{
    sm_err err = sm_tls_conn_handshake(conn->tls, &conn->out);
    sm_conn_schedule_flush(conn);
    if (!sm_ok(err)) {
        sm_conn_finish(conn, err); /* the alert leaves first */
        return false;
    }
    /* A client speaks first, so it has its session at once; a server's comes with the first octets:
     * until then a connection that was opened in advance costs no protocol state. */
    if (sm_tls_conn_is_up(conn->tls) && sm_tls_conn_is_client(conn->tls)) {
        sm_conn_open_session(conn, SM_SLICE_NONE);
    }
    return sm_tls_conn_is_up(conn->tls) && conn->state == CONN_OPEN;
}

static void tell_eof(sm_conn *conn)
{
    if (!conn->eof_told && conn->session != NULL) {
        conn->eof_told = true;
        conn->session->ops->on_eof(conn->session);
        sm_conn_schedule_flush(conn);
    }
}

static void receive_tls(sm_conn *conn, sm_slice bytes)
{
    uint8_t plain[PLAIN_SIZE];
    size_t len = 1;
    sm_tls_conn_feed(conn->tls, bytes);
    if (!sm_tls_conn_is_up(conn->tls) && !shake_hands(conn)) {
        return;
    }
    while (conn->state == CONN_OPEN && len > 0) {
        sm_err err = sm_tls_conn_read(conn->tls, plain, sizeof(plain), &len, &conn->out);
        if (!sm_ok(err)) {
            sm_conn_finish(conn, err); /* with an alert */
            return;
        }
        if (len > 0) {
            session_receive(conn, sm_slice_of(plain, len));
            sm_wipe(plain, len); /* requests have passwords */
        }
    }
    if (conn->out.len > 0) {
        sm_conn_schedule_flush(conn);
    }
    if (conn->state == CONN_OPEN && sm_tls_conn_peer_closed(conn->tls)) {
        if (conn->session == NULL) {
            sm_conn_finish(conn, SM_ERR(CLOSED));
        } else {
            tell_eof(conn);
        }
    }
}

static void receive(sm_conn *conn, sm_slice bytes)
{
    bool first = !conn->heard;
    conn->heard = true;
    conn->active_ns = sm_loop_now_ns(conn->host.loop);
    sm_metric_add(sm_io_metrics.bytes_in, bytes.len);
    if (conn->state != CONN_OPEN) {
        return; /* lingering: thrown away */
    }
    if (conn->tls == NULL) {
        if (conn->session == NULL) {
            sniff(conn, bytes);
        } else {
            session_receive(conn, bytes);
        }
    } else if (first && !sm_tls_conn_is_client(conn->tls) && speaks_http(bytes)) {
        answer_http(conn);
    } else {
        receive_tls(conn, bytes);
    }
}

static void receive_eof(sm_conn *conn)
{
    conn->eof = true;
    if (conn->state == CONN_LINGERING) {
        sm_conn_close(conn, conn->why);
    } else if (conn->state == CONN_OPEN && conn->session == NULL) {
        sm_conn_close(conn, SM_ERR(CLOSED));
    } else if (conn->state == CONN_OPEN) {
        tell_eof(conn); /* an answer may still leave: the peer may have closed its side alone */
    } else {
        sm_conn_schedule_flush(conn);
    }
}

static bool is_transient(int32_t res)
{
    return res == -ENOBUFS || res == -ECANCELED || res == -EINTR || res == -EAGAIN;
}

static void receive_error(sm_conn *conn, int32_t res)
{
    struct sm_loop_features *features = &conn->host.loop->features;
    if (res == -EINVAL && features->multishot_recv) {
        features->multishot_recv = false; /* this kernel cannot */
    } else if (!is_transient(res)) {
        sm_conn_close(conn, SM_ERR(CLOSED));
    }
}

/* ---- the kernel ---- */

static void rearm(sm_conn *conn)
{
    if (!conn->receiving && !conn->eof && !conn->paused && conn->state != CONN_DEAD) {
        sm_conn_arm_receive(conn); /* after ENOBUFS too: by then buffers are back */
    }
}

static void cancel_receive(sm_conn *conn)
{
    if (conn->receiving && !conn->cancelling) {
        struct io_uring_sqe *sqe = sm_loop_sqe(conn->host.loop);
        io_uring_prep_cancel(sqe, &conn->recv_op, 0);
        sm_loop_set_op(sqe, &conn->cancel_op);
        conn->cancelling = true;
    }
}

static void on_cancelled(sm_op *op, int32_t res, uint32_t flags)
{
    sm_conn *conn = SM_CONTAINER_OF(op, sm_conn, cancel_op);
    (void)res;
    (void)flags;
    conn->cancelling = false;
    sm_conn_maybe_free(conn);
}

static void on_received(sm_op *op, int32_t res, uint32_t flags)
{
    sm_conn *conn = SM_CONTAINER_OF(op, sm_conn, recv_op);
    sm_loop *loop = conn->host.loop;
    conn->receiving = (flags & IORING_CQE_F_MORE) != 0;
    if (res > 0) {
        bool was_paused = conn->paused;
        receive(conn, sm_loop_buffer(loop, flags, res));
        if (was_paused && conn->paused) {
            cancel_receive(conn); /* not before: most sessions go on by the end of the turn */
        }
    } else if (res == 0) {
        receive_eof(conn);
    } else {
        receive_error(conn, res);
    }
    if ((flags & IORING_CQE_F_BUFFER) != 0) {
        sm_loop_buffer_return(loop, flags);
    }
    rearm(conn);
    sm_conn_maybe_free(conn);
}

/* Without provided buffers: the kernel says "readable", and the loop's one buffer is filled. */
static void on_readable(sm_op *op, int32_t res, uint32_t flags)
{
    sm_conn *conn = SM_CONTAINER_OF(op, sm_conn, recv_op);
    sm_loop *loop = conn->host.loop;
    (void)flags;
    conn->receiving = false;
    for (int i = 0; i < READS_MAX && res >= 0 && !conn->paused && !conn->eof; i++) {
        ssize_t n = recv(conn->fd, loop->buffers, RING_BUFFER_SIZE, MSG_DONTWAIT);
        if (n > 0) {
            receive(conn, sm_slice_of(loop->buffers, (size_t)n));
        } else if (n == 0) {
            receive_eof(conn);
        } else {
            res = -errno;
        }
    }
    if (res < 0) {
        receive_error(conn, res);
    }
    rearm(conn);
    sm_conn_maybe_free(conn);
}

void sm_conn_receive_init(sm_conn *conn)
{
    bool provided = conn->host.loop->features.provided_buffers;
    conn->recv_op.on_complete = provided ? on_received : on_readable;
    conn->cancel_op.on_complete = on_cancelled;
}

void sm_conn_arm_receive(sm_conn *conn)
{
    const struct sm_loop_features *features = &conn->host.loop->features;
    struct io_uring_sqe *sqe = sm_loop_sqe(conn->host.loop);
    if (!features->provided_buffers) {
        io_uring_prep_poll_add(sqe, conn->fd, POLLIN);
    } else {
        if (features->multishot_recv) {
            io_uring_prep_recv_multishot(sqe, conn->fd, NULL, 0, 0);
        } else {
            io_uring_prep_recv(sqe, conn->fd, NULL, RING_BUFFER_SIZE, 0);
        }
        sqe->flags |= IOSQE_BUFFER_SELECT;
        sqe->buf_group = 0;
    }
    sm_loop_set_op(sqe, &conn->recv_op);
    conn->receiving = true;
}

void sm_conn_pause(sm_session_host *host, bool pause)
{
    sm_conn *conn = SM_CONTAINER_OF(host, sm_conn, host);
    conn->paused = pause;
    rearm(conn);
}
