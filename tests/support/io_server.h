/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A server on a loop and thread of its own with a trivial handler, and blocking sockets to talk to
 * it.
 *
 *   /hello      200 "hello\n"
 *   /echo       the request's body
 *   /big?N      N octets, streamed with back-pressure
 *   /wait       answers "waited\n" when sm_io_server_answer_waiting is called
 *   /hold       takes no body octets before sm_io_server_answer_waiting; then says how many came
 *   /never      never answers
 *   /tls        what sm_http_tls says, as text
 *   /peer       the peer's address
 *
 * Threads:   the test's, beside the loop's.
 * Limits:    /wait of one server at a time.
 * Security:  none.
 * Standards: none.
 */
#pragma once

#include "base/thread.h"
#include "io/http.h"
#include "tests/support/support.h"

#include <stdatomic.h>

struct sm_io_server {
    sm_thread thread;
    sm_loop *loop;
    sm_listener *listener;
    sm_http_server *server;
    unsigned without; /* ring_p.h: what the kernel shall lack */
    uint16_t port;
    _Atomic bool ready;
    _Atomic bool drained;
    _Atomic int closed_early; /* exchanges that ended with an error */
};

/* If set, runs once in sm_io_server_start, between the listener and the loop. */
extern void (*sm_io_server_before_loop)(void);

/* Starts it on a free port of 127.0.0.1, or on `address`. `tls` and `limits` may be NULL. */
void sm_io_server_start(struct sm_io_server *s, unsigned without, sm_tls_server *tls,
                        const struct sm_http_limits *limits, const char *address);
/* Ends it; the connections that are left are closed. */
void sm_io_server_stop(struct sm_io_server *s);
/* Begins the drain; `drained` is set at its end. */
void sm_io_server_drain(struct sm_io_server *s);
/* Waits for it; false after `ms`. */
bool sm_io_server_is_drained_within(struct sm_io_server *s, unsigned ms);
/* Answers every /wait that waits. */
void sm_io_server_answer_waiting(struct sm_io_server *s);
/* Runs `run` on the server's loop and waits for it. */
void sm_io_server_call(struct sm_io_server *s, void (*run)(struct sm_io_server *s));

/* A blocking connection with a receive time-out of 10 s. -1 when it is refused. */
int sm_io_connect(uint16_t port);
void sm_io_send(int fd, const char *text);
/* Reads until `needle` has come, the end, or no room; NUL-terminated. Returns octets read. */
size_t sm_io_read_until(int fd, const char *needle, char *to, size_t room);
/* Reads to the end and closes; returns octets, or -1 when the connection was reset. */
long sm_io_read_to_end(int fd, char *to, size_t room);
/* Whether the peer closes (or resets) within `ms`. */
bool sm_io_is_closed_within(int fd, unsigned ms);
