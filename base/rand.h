/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Random bytes from the kernel's CSPRNG.
 *
 * Small requests are served from a per-thread buffer that is filled by getrandom(2) and wiped as it
 * is used; the buffer is dropped in a forked child.
 *
 * Threads:   any; state is per thread.
 * Limits:    none.
 * Security:  failure of getrandom aborts: nothing may be signed without randomness.
 * Standards: RFC 5280 4.1.2.2 wants at least 64 bits of entropy in practice (CA/B Forum BR 7.1).
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

void sm_rand_bytes(void *out, size_t len);
uint64_t sm_rand_u64(void);
