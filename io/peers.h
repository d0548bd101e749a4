/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How many connections each address has, counted over all loops of a listener.
 *
 * Threads:   any; one lock, held for a look-up.
 * Limits:    as many addresses as there are connections; `limit` connections of each.
 * Security:  keyed hash. An IPv6 customer holds a whole /64, so that counts as one address; IPv4
 *            mapped into IPv6 counts as IPv4.
 * Standards: RFC 4291 2.5.4 (/64), 2.5.5.2 (mapped addresses).
 */
#pragma once

#include "base/err.h"

#include <stddef.h>
#include <sys/socket.h>

typedef struct sm_peers sm_peers;

/* Errors: NO_MEMORY. Given. */
SM_FALLIBLE sm_peers_new(uint32_t limit, sm_peers **out);
void sm_peers_free(sm_peers **peers);

/* One connection more. Addresses that are neither IPv4 nor IPv6 are not counted. Errors: EXHAUSTED
 * (the address is at its limit), NO_MEMORY. */
SM_FALLIBLE sm_peers_enter(sm_peers *peers, const struct sockaddr_storage *address);
/* One less; only after an enter that succeeded. */
void sm_peers_leave(sm_peers *peers, const struct sockaddr_storage *address);
/* How many addresses have connections (for tests). */
size_t sm_peers_count(sm_peers *peers);
