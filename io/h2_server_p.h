/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside io: the HTTP/2 server session's state.
 *
 * Threads:   the connection's loop.
 * Limits:    http.h.
 * Security:  see h2_guard_p.h.
 * Standards: RFC 9113.
 */
#pragma once

#include "io/exchange_p.h"
#include "io/h2_guard_p.h"
#include "io/h2_memory_p.h"
#include "io/h2_strict_p.h"

#include <nghttp2/nghttp2.h>

struct h2_server {
    sm_session base;
    nghttp2_session *ng;
    struct h2_memory memory; /* of `ng` */
    sm_list exchanges;
    size_t active;
    struct h2_guard guard;
    struct h2_strict strict;
    uint64_t now_ns;
    bool draining;
    bool failed;
    bool closing;
};

extern const struct exchange_transport sm_h2_transport;
