/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The one always-on check for programmer errors. Input never reaches it.
 *
 * Threads:   any.
 * Limits:    none.
 * Security:  aborts at once, so that a broken invariant cannot be exploited further.
 * Standards: none.
 */
#pragma once

#include <stdint.h>

/* Prints where and what to stderr, then aborts. */
__attribute__((noreturn, cold)) void sm_check_failed(const char *file, int line, const char *what);

#define SM_CHECK(cond)                                  \
    do {                                                \
        if (__builtin_expect(!(cond), 0)) {             \
            sm_check_failed(__FILE__, __LINE__, #cond); \
        }                                               \
    } while (0)

/* The struct that embeds `member` at `ptr`. Through an integer, so that a const pointer will do:
 * assign it to a const one. */
#define SM_CONTAINER_OF(ptr, type, member) \
    ((type *)((uintptr_t)(ptr) - __builtin_offsetof(type, member)))

/* The same for a pointer to const. */
#define SM_CONTAINER_OF_CONST(ptr, type, member) \
    ((const type *)(const void *)((const char *)(ptr) - __builtin_offsetof(type, member)))

#define SM_ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))
