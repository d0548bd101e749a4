/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Socket addresses from text.
 *
 * Threads:   no state.
 * Limits:    none.
 * Security:  no name look-ups: numbers alone, and "localhost".
 * Standards: RFC 3986 3.2.2 ([IPv6]).
 */
#pragma once

#include "base/err.h"

#include <sys/socket.h>

/* "192.0.2.1:80", "[::1]:80", "localhost:80". Errors: INVALID. */
SM_FALLIBLE sm_address_parse(const char *text, struct sockaddr_storage *out, socklen_t *len);
