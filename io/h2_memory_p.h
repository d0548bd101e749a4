/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside io: the memory of an nghttp2 session.
 *
 * A session keeps one buffer of 16 KiB for frames to be written, of which an idle connection touches
 * the first page. From the heap it would be what handshakes have used and freed, every page of it
 * resident; mapped by itself the rest of it costs nothing until it is needed.
 *
 * Threads:   the connection's loop.
 * Limits:    one mapping a session; whatever else is large, or finds no mapping, is the heap's.
 * Security:  none.
 * Standards: none.
 */
#pragma once

#include <nghttp2/nghttp2.h>

struct h2_memory {
    nghttp2_mem mem; /* for nghttp2's constructors; points back here: it must not move */
    void *mapped;    /* NULL: none now */
    size_t mapped_size;
};

void sm_h2_memory_init(struct h2_memory *m);
