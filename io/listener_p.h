/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside io: a listener's sockets and its counts, shared by its loops.
 *
 * Threads:   any.
 * Limits:    ADDRESS_SLOTS buckets; addresses that share one share their limit.
 * Security:  counts per address (IPv6: per /64, which one customer holds whole).
 * Standards: none.
 */
#pragma once

#include "io/http.h"

#include <stdatomic.h>

#define ADDRESS_SLOTS 4096
#define SOCKETS_MAX 256

struct sm_listener {
    char *name;
    sm_tls_server *tls;
    struct sm_http_limits limits;
    int sockets[SOCKETS_MAX];
    unsigned socket_count;
    uint16_t port;
    _Atomic uint32_t connections;
    _Atomic uint32_t per_address[ADDRESS_SLOTS];
};

/* Counts a new connection; false: over a limit (nothing is counted then). */
bool sm_listener_admit(sm_listener *l, const struct sockaddr_storage *address);
void sm_listener_release(sm_listener *l, const struct sockaddr_storage *address);
