/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What clients of benches share, which are built on OpenSSL alone: they end where something is not as it must be.
 *
 * Threads:   one.
 * Limits:    none.
 * Security:  none.
 * Standards: none.
 */
#pragma once

#include <errno.h>
#include <openssl/err.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

/* Ends the program unless `ok`, saying what of. */
static inline void require(bool ok, const char *what)
{
    if (!ok) {
        (void)fprintf(stderr, "%s: %s: %s\n", program_invocation_short_name, what, strerror(errno));
        ERR_print_errors_fp(stderr);
        exit(1);
    }
}

/* As many open files as may be, and `count` of them at least. */
static inline void raise_file_limit(size_t count)
{
    struct rlimit limit;
    require(getrlimit(RLIMIT_NOFILE, &limit) == 0, "limit");
    limit.rlim_cur = limit.rlim_max;
    require(setrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur > count + 16,
            "the limit of open files is too low");
}
