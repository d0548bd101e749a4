/* SPDX-License-Identifier: Apache-2.0 */
/* A connection's life: birth, time, end. */
#include "io/conn_p.h"

#include "base/clock.h"
#include "base/mem.h"
#include "io/metrics_p.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <unistd.h>

#define FIRST_MAX (RING_BUFFER_SIZE + 64U) /* one receive behind a part of the preface */

static sm_conn *of_host(sm_session_host *host)
{
    return SM_CONTAINER_OF(host, sm_conn, host);
}

void sm_conn_schedule_flush(sm_conn *conn)
{
    sm_task_schedule(conn->host.loop, &conn->flush, SM_PHASE_FLUSH);
}

static void want_output(sm_session_host *host)
{
    sm_conn_schedule_flush(of_host(host));
}

static sm_err export_keys(sm_session_host *host, sm_slice label, sm_slice context, uint8_t *out,
                          size_t out_len)
{
    return sm_tls_conn_export(of_host(host)->tls, label, context, out, out_len);
}

static sm_err tls_unique(sm_session_host *host, uint8_t *out, size_t room, size_t *len)
{
    return sm_tls_conn_unique(of_host(host)->tls, out, room, len);
}

static sm_err tls_pair(sm_session_host *host, struct sm_tls_pair *out)
{
    return sm_tls_conn_pair(of_host(host)->tls, out);
}

static sm_err server_end_point(sm_session_host *host, uint8_t *out, size_t *len)
{
    return sm_tls_conn_end_point(of_host(host)->tls, out, len);
}

/* ---- birth ---- */

static void init_host(sm_conn *conn, sm_loop *loop, const struct sm_http_limits *limits)
{
    conn->host.loop = loop;
    conn->host.limits = limits;
    conn->host.want_output = want_output;
    conn->host.pause_reading = sm_conn_pause;
    if (conn->tls != NULL) {
        conn->host.tls = sm_tls_conn_info(conn->tls);
        conn->host.export_keys = export_keys;
        conn->host.tls_unique = tls_unique;
        conn->host.tls_pair = tls_pair;
        conn->host.server_end_point = server_end_point;
    }
}

sm_err sm_conn_new(sm_loop *loop, int fd, sm_tls_conn *tls, const struct sm_http_limits *limits,
                   const struct conn_owner_ops *ops, void *owner, sm_conn **out)
{
    sm_conn *conn = sm_calloc(1, sizeof(*conn));
    if (conn == NULL) {
        (void)close(fd);
        return SM_ERR(NO_MEMORY);
    }
    conn->tls = tls;
    init_host(conn, loop, limits);
    conn->ops = ops;
    conn->owner = owner;
    conn->fd = fd;
    conn->out = sm_buf_init(CONN_OUT_MAX);
    conn->wire = sm_buf_init(CONN_OUT_MAX);
    conn->first = sm_buf_init(FIRST_MAX);
    conn->born_ns = sm_loop_now_ns(loop);
    conn->active_ns = conn->born_ns;
    sm_list_init(&conn->node);
    sm_conn_receive_init(conn);
    sm_conn_send_init(conn);
    *out = conn;
    return SM_NO_ERR;
}

void sm_conn_start(sm_conn *conn)
{
    sm_conn_arm_receive(conn);
    if (conn->tls != NULL && sm_tls_conn_is_client(conn->tls)) {
        sm_err err = sm_tls_conn_handshake(conn->tls, &conn->out); /* the ClientHello */
        if (!sm_ok(err)) {
            sm_conn_close(conn, err);
            return;
        }
        sm_conn_schedule_flush(conn);
    }
}

void sm_conn_set_peer(sm_conn *conn, const struct sockaddr_storage *address)
{
    char text[INET6_ADDRSTRLEN] = "";
    char *to = conn->peer_text;
    size_t size = sizeof(conn->peer_text);
    struct sockaddr_in in;
    struct sockaddr_in6 in6;
    conn->host.peer_address = *address;
    if (address->ss_family == AF_INET) {
        memcpy(&in, address, sizeof(in));
        (void)inet_ntop(AF_INET, &in.sin_addr, text, sizeof(text));
        (void)snprintf(to, size, "%s:%u", text, ntohs(in.sin_port));
    } else if (address->ss_family == AF_INET6) {
        memcpy(&in6, address, sizeof(in6));
        (void)inet_ntop(AF_INET6, &in6.sin6_addr, text, sizeof(text));
        (void)snprintf(to, size, "[%s]:%u", text, ntohs(in6.sin6_port));
    } else {
        (void)snprintf(to, size, "unix");
    }
    conn->host.peer = sm_slice_str(to);
}

/* ---- end ---- */

/* The kernel shall not keep on trying to deliver to who does not read. */
static void reset_on_close(const sm_conn *conn)
{
    const struct linger now = {.l_onoff = 1, .l_linger = 0};
    (void)setsockopt(conn->fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
}

void sm_conn_close(sm_conn *conn, sm_err why)
{
    if (conn->state == CONN_DEAD) {
        return;
    }
    conn->state = CONN_DEAD;
    conn->why = why;
    if (sm_err_is(why, SM_E_TIMED_OUT)) {
        reset_on_close(conn);
    }
    (void)shutdown(conn->fd, SHUT_RDWR); /* a send or receive in flight ends now */
    sm_conn_schedule_flush(conn);        /* which frees it */
}

void sm_conn_finish(sm_conn *conn, sm_err why)
{
    if (conn->state == CONN_OPEN) {
        conn->state = CONN_ENDING;
        conn->why = why;
        sm_conn_schedule_flush(conn);
    }
}

void sm_conn_maybe_free(sm_conn *conn)
{
    if (conn->state != CONN_DEAD || conn->receiving || conn->sending || conn->cancelling) {
        return;
    }
    if (conn->session != NULL) {
        sm_session *session = conn->session;
        conn->session = NULL;
        session->ops->free(session, conn->why);
    }
    sm_task_cancel(&conn->flush);
    sm_list_remove(&conn->node);
    (void)close(conn->fd);
    conn->ops->on_closed(conn, conn->why);
    if (conn->host.note.free != NULL) {
        conn->host.note.free(conn->host.note.value);
    }
    sm_tls_conn_free(&conn->tls);
    sm_buf_deinit(&conn->out);
    sm_buf_deinit(&conn->wire);
    sm_buf_deinit(&conn->first);
    sm_free(conn);
}

/* ---- time ---- */

static bool is_older(uint64_t now_ns, uint64_t then_ns, uint32_t ms)
{
    return ms != 0 && now_ns > then_ns && now_ns - then_ns > ms * SM_NS_PER_MS;
}

static void time_out(sm_conn *conn, enum io_timeout reason)
{
    sm_metric_inc(sm_io_metrics.timed_out[reason]);
    sm_conn_close(conn, SM_ERR(TIMED_OUT));
}

static void tick_open(sm_conn *conn, uint64_t now_ns)
{
    sm_session *session = conn->session;
    if (session != NULL) {
        session->ops->on_tick(session, now_ns);
        if (session->ops->active(session) > 0) {
            conn->active_ns = now_ns;
            return;
        }
    }
    if (conn->idle || !is_older(now_ns, conn->active_ns, conn->host.limits->idle_timeout_ms)) {
        return;
    }
    conn->idle = true;
    sm_metric_inc(sm_io_metrics.timed_out[IO_TIMEOUT_IDLE]);
    sm_conn_drain(conn);
}

/* The protocol is known, or will be with the first octets of a peer that has shaken hands. */
static bool is_up(const sm_conn *conn)
{
    return conn->session != NULL || (conn->tls != NULL && sm_tls_conn_is_up(conn->tls));
}

void sm_conn_drain(sm_conn *conn)
{
    if (conn->session != NULL) {
        conn->session->ops->drain(conn->session);
        sm_conn_schedule_flush(conn);
    } else if (is_up(conn)) {
        sm_conn_finish(conn, SM_NO_ERR);
    } else if (conn->state == CONN_OPEN) {
        sm_conn_close(conn, SM_ERR(DRAINING));
    }
}

void sm_conn_tick(sm_conn *conn, uint64_t now_ns)
{
    const struct sm_http_limits *limits = conn->host.limits;
    if (conn->state == CONN_LINGERING && is_older(now_ns, conn->born_ns, CONN_LINGER_MS)) {
        sm_conn_close(conn, conn->why);
    }
    if (conn->state == CONN_DEAD || conn->state == CONN_LINGERING) {
        return;
    }
    if (conn->sending && is_older(now_ns, conn->send_ns, limits->write_timeout_ms)) {
        time_out(conn, IO_TIMEOUT_WRITE); /* it takes nothing */
    } else if (is_up(conn)) {
        tick_open(conn, now_ns);
    } else if (is_older(now_ns, conn->born_ns, limits->handshake_timeout_ms)) {
        time_out(conn, IO_TIMEOUT_HANDSHAKE);
    }
}
