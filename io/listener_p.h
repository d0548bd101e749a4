/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside io: a listener's sockets and its counts, shared by its loops.
 *
 * Threads:   any; each socket belongs to the one loop that accepts from it.
 * Limits:    SOCKETS_MAX loops.
 * Security:  see peers.h.
 * Standards: none.
 */
#pragma once

#include "io/http.h"
#include "io/metrics_p.h"
#include "io/peers.h"

#include <stdatomic.h>

#define SOCKETS_MAX 1024

struct sm_listener {
    char *name;
    sm_tls_server *tls;
    struct sm_http_limits limits;
    int sockets[SOCKETS_MAX]; /* -1: closed */
    unsigned socket_count;
    bool inherited; /* the sockets are another's too: they stay open */
    uint16_t port;
    sm_metric gauge;
    sm_peers *peers;
    _Atomic uint32_t connections;
};

/* Counts a new connection; false: over a limit, nothing is counted then. */
bool sm_listener_admit(sm_listener *l, const struct sockaddr_storage *address,
                       enum io_refusal *why);
void sm_listener_release(sm_listener *l, const struct sockaddr_storage *address);

/* No more connections come by socket `index`: the kernel refuses them, unless the socket is
 * inherited; then they wait for whoever listens next. */
void sm_listener_close_socket(sm_listener *l, unsigned index);
