/* SPDX-License-Identifier: Apache-2.0 */
#include "io/conn_p.h"

#include "base/clock.h"
#include "base/mem.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <unistd.h>

static void maybe_free(sm_conn *conn);
static void arm_recv(sm_conn *conn);

static sm_conn *of_host(sm_session_host *host)
{
    return SM_CONTAINER_OF(host, sm_conn, host);
}

static void schedule_flush(sm_conn *conn)
{
    sm_task_schedule(conn->host.loop, &conn->flush, SM_PHASE_FLUSH);
}

static void want_output(sm_session_host *host)
{
    schedule_flush(of_host(host));
}

/* ---- closing ---- */

static void cancel_recv(sm_conn *conn)
{
    if (conn->recv_armed && !conn->cancelling) {
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
    if (conn->aborted && conn->recv_armed) {
        cancel_recv(conn); /* it was armed again in between */
    }
    maybe_free(conn);
}

void sm_conn_close(sm_conn *conn, sm_err why)
{
    if (conn->aborted) {
        return;
    }
    conn->aborted = true;
    conn->closing = true;
    conn->why = why;
    (void)shutdown(conn->fd, SHUT_RDWR); /* a send or receive in flight ends now */
    cancel_recv(conn);
    schedule_flush(conn); /* which frees it: never inside a callback */
}

void sm_conn_finish(sm_conn *conn)
{
    if (!conn->closing) {
        conn->closing = true;
        schedule_flush(conn);
    }
}

static void maybe_free(sm_conn *conn)
{
    if (!conn->aborted || conn->recv_armed || conn->sending || conn->cancelling) {
        return;
    }
    if (conn->session != NULL) {
        sm_session *session = conn->session;
        conn->session = NULL;
        session->ops->free(session, conn->why);
    }
    sm_task_cancel(&conn->flush);
    sm_list_remove(&conn->node);
    conn->ops->on_closed(conn, conn->why);
    sm_tls_conn_free(&conn->tls);
    (void)close(conn->fd);
    sm_buf_deinit(&conn->out);
    sm_buf_deinit(&conn->first);
    sm_free(conn->recv_buffer);
    sm_free(conn);
}

/* ---- output ---- */

static void send_out(sm_conn *conn)
{
    struct io_uring_sqe *sqe = sm_loop_sqe(conn->host.loop);
    io_uring_prep_send(sqe, conn->fd, conn->out.ptr + conn->sent, conn->out.len - conn->sent, MSG_NOSIGNAL);
    sm_loop_set_op(sqe, &conn->send_op);
    conn->sending = true;
    conn->send_ns = sm_loop_now_ns(conn->host.loop);
}

static void on_sent(sm_op *op, int32_t res, uint32_t flags)
{
    sm_conn *conn = SM_CONTAINER_OF(op, sm_conn, send_op);
    (void)flags;
    conn->sending = false;
    if (res < 0 && res != -EAGAIN && res != -EINTR) {
        sm_conn_close(conn, SM_ERR(CLOSED));
        maybe_free(conn);
        return;
    }
    conn->sent += res > 0 ? (size_t)res : 0;
    if (conn->sent < conn->out.len && !conn->aborted) {
        send_out(conn);
        return;
    }
    conn->sent = 0;
    sm_buf_reset(&conn->out);
    schedule_flush(conn); /* more, or the end */
}

/* Fills `out` from the session, through TLS where there is one. True: more waits. */
static bool produce(sm_conn *conn)
{
    if (conn->session == NULL) {
        return false;
    }
    if (conn->tls == NULL) {
        return conn->session->ops->produce(conn->session, &conn->out, CONN_FLUSH_MAX);
    }
    sm_buf *plain = &conn->host.loop->scratch;
    sm_buf_reset(plain);
    bool more = conn->session->ops->produce(conn->session, plain, CONN_FLUSH_MAX);
    if (plain->len > 0 && !sm_ok(sm_tls_conn_write(conn->tls, sm_buf_slice(plain), &conn->out))) {
        sm_conn_close(conn, SM_ERR(CLOSED));
        return false;
    }
    return more;
}

static void finish_if_done(sm_conn *conn, bool more)
{
    bool done = conn->session != NULL && conn->session->ops->is_done(conn->session);
    if (conn->out.len > 0 || conn->sending || (more && !conn->closing) || !(done || conn->closing || conn->eof)) {
        return;
    }
    if (conn->tls != NULL && !conn->aborted && !conn->eof) {
        sm_tls_conn_shutdown(conn->tls, &conn->out);
        conn->eof = true;
        if (conn->out.len > 0) {
            conn->closing = true;
            send_out(conn);
            return;
        }
    }
    sm_conn_close(conn, conn->why);
}

static void run_flush(sm_task *task)
{
    sm_conn *conn = SM_CONTAINER_OF(task, sm_conn, flush);
    if (conn->aborted) {
        maybe_free(conn);
        return;
    }
    if (conn->sending) {
        return;
    }
    bool more = produce(conn);
    if (conn->aborted) {
        return; /* closed meanwhile: scheduled again */
    }
    if (!sm_ok(sm_buf_err(&conn->out))) {
        sm_conn_close(conn, SM_ERR(NO_MEMORY));
        return;
    }
    if (conn->out.len > 0) {
        send_out(conn);
        return;
    }
    sm_buf_deinit(&conn->out); /* an idle connection keeps no buffer */
    finish_if_done(conn, more);
}

/* ---- input ---- */

static void session_receive(sm_conn *conn, sm_slice bytes)
{
    if (conn->session == NULL) {
        sm_conn_open_session(conn, bytes);
        return;
    }
    sm_err err = conn->session->ops->receive(conn->session, bytes);
    if (!sm_ok(err)) {
        conn->why = err;
        sm_conn_finish(conn); /* what the session still says leaves first */
    }
}

/* A cleartext server does not know the protocol before the first octets. */
static void sniff(sm_conn *conn, sm_slice bytes)
{
    sm_slice preface = SM_H2_PREFACE;
    sm_buf_put(&conn->first, bytes);
    sm_slice so_far = sm_buf_slice(&conn->first);
    bool may_be_h2 = sm_slice_equal(sm_slice_first(so_far, preface.len), sm_slice_first(preface, so_far.len));
    if (may_be_h2 && so_far.len < preface.len) {
        return;
    }
    sm_buf held = conn->first;
    conn->first = sm_buf_init(held.cap);
    sm_conn_open_session(conn, sm_buf_slice(&held));
    sm_buf_deinit(&held);
}

void sm_conn_open_session(sm_conn *conn, sm_slice first)
{
    sm_slice alpn = conn->tls == NULL ? SM_SLICE_NONE : sm_tls_conn_alpn(conn->tls);
    sm_err err = conn->ops->open_session(conn, alpn, first, &conn->session);
    if (!sm_ok(err)) {
        sm_conn_close(conn, err);
        return;
    }
    schedule_flush(conn);
    if (first.len > 0) {
        session_receive(conn, first);
    }
}

static void receive_tls(sm_conn *conn, sm_slice bytes)
{
    sm_tls_conn_feed(conn->tls, bytes);
    if (!sm_tls_conn_is_up(conn->tls)) {
        sm_err err = sm_tls_conn_handshake(conn->tls, &conn->out);
        schedule_flush(conn);
        if (!sm_ok(err)) {
            conn->why = err;
            sm_conn_finish(conn); /* the alert leaves first */
            return;
        }
        if (!sm_tls_conn_is_up(conn->tls)) {
            return;
        }
        sm_conn_open_session(conn, SM_SLICE_NONE);
    }
    while (!conn->closing) {
        uint8_t plain[16384];
        size_t len = 0;
        sm_err err = sm_tls_conn_read(conn->tls, plain, sizeof(plain), &len, &conn->out);
        if (!sm_ok(err)) {
            sm_conn_close(conn, SM_ERR(CLOSED));
            return;
        }
        if (len == 0) {
            break;
        }
        session_receive(conn, sm_slice_of(plain, len));
    }
    if (conn->out.len > 0) {
        schedule_flush(conn);
    }
    if (sm_tls_conn_peer_closed(conn->tls) && conn->session != NULL) {
        conn->session->ops->on_eof(conn->session);
        schedule_flush(conn);
    }
}

static void receive(sm_conn *conn, sm_slice bytes)
{
    conn->active_ns = sm_loop_now_ns(conn->host.loop);
    if (conn->closing) {
        return;
    }
    if (conn->tls != NULL) {
        receive_tls(conn, bytes);
    } else if (conn->session == NULL) {
        sniff(conn, bytes);
    } else {
        session_receive(conn, bytes);
    }
}

static void receive_eof(sm_conn *conn)
{
    if (conn->session == NULL) {
        sm_conn_close(conn, SM_ERR(CLOSED));
        return;
    }
    conn->session->ops->on_eof(conn->session);
    schedule_flush(conn);
}

static void on_received(sm_op *op, int32_t res, uint32_t flags)
{
    sm_conn *conn = SM_CONTAINER_OF(op, sm_conn, recv_op);
    sm_loop *loop = conn->host.loop;
    conn->recv_armed = (flags & IORING_CQE_F_MORE) != 0;
    if (res > 0) {
        bool provided = (flags & IORING_CQE_F_BUFFER) != 0;
        sm_slice bytes = provided ? sm_loop_buffer(loop, flags, res) : sm_slice_of(conn->recv_buffer, (size_t)res);
        if (!conn->aborted) {
            receive(conn, bytes);
        }
        if (provided) {
            sm_loop_buffer_return(loop, flags);
        }
    } else if (res == 0 && !conn->aborted) {
        receive_eof(conn);
    } else if (res < 0 && res != -ENOBUFS && res != -ECANCELED && res != -EINTR && res != -EAGAIN && !conn->aborted) {
        sm_conn_close(conn, SM_ERR(CLOSED));
    }
    if (!conn->recv_armed && res != 0 && !conn->aborted && !conn->paused) {
        arm_recv(conn); /* ENOBUFS too: buffers are back by the time that the kernel looks again */
    }
    maybe_free(conn);
}

static void arm_recv(sm_conn *conn)
{
    sm_loop *loop = conn->host.loop;
    struct io_uring_sqe *sqe = sm_loop_sqe(loop);
    if (!loop->features.provided_buffers) {
        io_uring_prep_recv(sqe, conn->fd, conn->recv_buffer, RING_BUFFER_SIZE, 0);
    } else {
        if (loop->features.multishot_recv) {
            io_uring_prep_recv_multishot(sqe, conn->fd, NULL, 0, 0);
        } else {
            io_uring_prep_recv(sqe, conn->fd, NULL, RING_BUFFER_SIZE, 0);
        }
        sqe->flags |= IOSQE_BUFFER_SELECT;
        sqe->buf_group = 0;
    }
    sm_loop_set_op(sqe, &conn->recv_op);
    conn->recv_armed = true;
}

static void pause_reading(sm_session_host *host, bool pause)
{
    sm_conn *conn = of_host(host);
    conn->paused = pause;
    if (conn->aborted) {
        return;
    }
    if (pause) {
        cancel_recv(conn);
    } else if (!conn->recv_armed) {
        arm_recv(conn);
    }
}

/* ---- keys ---- */

static sm_err export_keys(sm_session_host *host, sm_slice label, sm_slice context, uint8_t *out, size_t out_len)
{
    return sm_tls_conn_export(of_host(host)->tls, label, context, out, out_len);
}

static sm_err tls_unique(sm_session_host *host, uint8_t *out, size_t room, size_t *len)
{
    return sm_tls_conn_unique(of_host(host)->tls, out, room, len);
}

/* ---- life ---- */

#define OUT_CAP (4U << 20)

sm_err sm_conn_new(sm_loop *loop, int fd, sm_tls_conn *tls, const struct sm_http_limits *limits,
                   const struct conn_owner_ops *ops, void *owner, sm_conn **out)
{
    sm_conn *conn = sm_calloc(1, sizeof(*conn));
    if (conn != NULL && !loop->features.provided_buffers) {
        conn->recv_buffer = sm_malloc(RING_BUFFER_SIZE);
        if (conn->recv_buffer == NULL) {
            sm_free(conn);
            conn = NULL;
        }
    }
    if (conn == NULL) {
        (void)close(fd);
        return SM_ERR(NO_MEMORY);
    }
    int one = 1;
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    conn->host.loop = loop;
    conn->host.limits = limits;
    conn->host.want_output = want_output;
    conn->host.pause_reading = pause_reading;
    conn->ops = ops;
    conn->owner = owner;
    conn->fd = fd;
    conn->tls = tls;
    conn->out = sm_buf_init(OUT_CAP);
    conn->first = sm_buf_init(RING_BUFFER_SIZE + 64);
    conn->recv_op.on_complete = on_received;
    conn->send_op.on_complete = on_sent;
    conn->cancel_op.on_complete = on_cancelled;
    conn->born_ns = sm_loop_now_ns(loop);
    conn->active_ns = conn->born_ns;
    sm_list_init(&conn->node);
    sm_task_init(&conn->flush, run_flush);
    if (tls != NULL) {
        conn->host.tls = sm_tls_conn_info(tls);
        conn->host.export_keys = export_keys;
        conn->host.tls_unique = tls_unique;
    }
    *out = conn;
    return SM_NO_ERR;
}

void sm_conn_start(sm_conn *conn)
{
    arm_recv(conn);
    if (conn->tls != NULL && sm_tls_conn_is_client(conn->tls)) {
        sm_err err = sm_tls_conn_handshake(conn->tls, &conn->out); /* the ClientHello */
        if (!sm_ok(err)) {
            sm_conn_close(conn, err);
            return;
        }
        schedule_flush(conn);
    }
}

void sm_conn_set_peer(sm_conn *conn, const struct sockaddr_storage *address)
{
    char text[INET6_ADDRSTRLEN] = "";
    conn->host.peer_address = *address;
    if (address->ss_family == AF_INET) {
        const struct sockaddr_in *in = (const struct sockaddr_in *)(const void *)address;
        (void)inet_ntop(AF_INET, &in->sin_addr, text, sizeof(text));
        (void)snprintf(conn->peer_text, sizeof(conn->peer_text), "%s:%u", text, ntohs(in->sin_port));
    } else if (address->ss_family == AF_INET6) {
        const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)(const void *)address;
        (void)inet_ntop(AF_INET6, &in6->sin6_addr, text, sizeof(text));
        (void)snprintf(conn->peer_text, sizeof(conn->peer_text), "[%s]:%u", text, ntohs(in6->sin6_port));
    } else {
        (void)snprintf(conn->peer_text, sizeof(conn->peer_text), "unix");
    }
    conn->host.peer = sm_slice_str(conn->peer_text);
}

static bool older(uint64_t now_ns, uint64_t then_ns, uint32_t ms)
{
    return ms != 0 && now_ns > then_ns && now_ns - then_ns > ms * SM_NS_PER_MS;
}

void sm_conn_tick(sm_conn *conn, uint64_t now_ns)
{
    const struct sm_http_limits *limits = conn->host.limits;
    if (conn->aborted) {
        return;
    }
    if (conn->sending && older(now_ns, conn->send_ns, limits->write_timeout_ms)) {
        sm_conn_close(conn, SM_ERR(TIMED_OUT)); /* it takes nothing */
    } else if (conn->session == NULL) {
        if (older(now_ns, conn->born_ns, limits->handshake_timeout_ms)) {
            sm_conn_close(conn, SM_ERR(TIMED_OUT));
        }
    } else {
        conn->session->ops->on_tick(conn->session, now_ns);
        if (conn->session->ops->active(conn->session) == 0 && older(now_ns, conn->active_ns, limits->idle_timeout_ms)) {
            conn->session->ops->drain(conn->session);
        }
    }
}
