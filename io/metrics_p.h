/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside io: the series that loops, connections and TLS count in.
 *
 * Threads:   made once by the first loop; counted in from any.
 * Limits:    groups and versions of TLS are a fixed table, so that no peer can make series.
 * Security:  no label comes from outside.
 * Standards: none.
 */
#pragma once

#include "base/metrics.h"

/* Why a connection was closed before it was served. */
enum io_refusal {
    IO_REFUSED_CONNECTIONS, /* the listener's limit */
    IO_REFUSED_ADDRESS,     /* the limit of one address */
    IO_REFUSED_MEMORY,
    IO_REFUSED_DRAINING,
    IO_REFUSED_FILES, /* no descriptor left: it waits in the kernel's queue */
    IO_REFUSED_COUNT,
};

/* Why a connection was closed by us. */
enum io_timeout { IO_TIMEOUT_HANDSHAKE, IO_TIMEOUT_IDLE, IO_TIMEOUT_WRITE, IO_TIMEOUT_COUNT };

struct io_metrics {
    sm_metric turns;
    sm_metric turn_time;
    sm_metric bytes_in;
    sm_metric bytes_out;
    sm_metric accepted;
    sm_metric refused[IO_REFUSED_COUNT];
    sm_metric timed_out[IO_TIMEOUT_COUNT];
};

extern struct io_metrics sm_io_metrics;

/* Registers them; any thread, any number of times. */
void sm_io_metrics_init(void);

/* One TLS handshake that ended: `group` as OpenSSL names it. */
void sm_io_metrics_handshake(bool server, int version, const char *group, bool resumed);
void sm_io_metrics_handshake_failed(bool server);

/* The gauge of a listener's connections, by its name. */
sm_metric sm_io_metrics_connections(const char *listener);
