/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The running server: builds every object and wires them; signals, reload, drain.
 *
 * Threads:   main waits for signals; one thread a loop; the store's, the service's and the sign
 *            pool's workers.
 * Limits:    SERVE_LOOPS_MAX loops, SERVE_LISTENERS_MAX listeners.
 * Security:  see the unit file in tools/systemd.
 * Standards: sd_notify(3), sd_listen_fds(3).
 */
#pragma once

#include "base/diag.h"

#define SERVE_LOOPS_MAX 64
#define SERVE_LISTENERS_MAX 16

/* Leaves SIGTERM, SIGINT and SIGHUP to serve_run, which waits for them. Whoever opens a database before serve_run
 * calls it first: the database's threads keep the mask that they were made with, and a signal that comes during a
 * reload would end the program in one of them. */
void serve_take_signals(void);

/* Serves until SIGTERM or SIGINT. `on_ready` (may be NULL) is called once when the listeners are
 * open. Returns the exit code. */
int serve_run(const char *config_path, void (*on_ready)(void *ctx), void *ctx);
