/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A view of bytes: passed by value, never NUL-terminated, never owned.
 *
 * Threads:   values; the bytes follow their owner's rules.
 * Limits:    none.
 * Security:  sm_slice_equal_secret compares in time that depends on the lengths alone.
 * Standards: none.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

typedef struct sm_slice {
    const uint8_t *ptr; /* may be NULL when len is 0 */
    size_t len;
} sm_slice;

#define SM_SLICE_NONE ((sm_slice){NULL, 0})

/* A slice of a string literal, without its NUL. */
#define SM_LIT(s) ((sm_slice){(const uint8_t *)("" s), sizeof(s) - 1})

static inline sm_slice sm_slice_of(const void *ptr, size_t len)
{
    return (sm_slice){(const uint8_t *)ptr, len};
}

/* A slice of our own NUL-terminated string (never of outside bytes); NULL gives an empty slice. */
static inline sm_slice sm_slice_str(const char *s)
{
    return (sm_slice){(const uint8_t *)s, s == NULL ? 0 : strlen(s)};
}

static inline bool sm_slice_equal(sm_slice a, sm_slice b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0);
}

/* Lexicographic order, shorter first on a tie: <0, 0, >0. */
int sm_slice_compare(sm_slice a, sm_slice b);

/* ASCII case-insensitive equality. */
bool sm_slice_equal_nocase(sm_slice a, sm_slice b);

/* Equality in time independent of the contents (lengths are not secret). */
bool sm_slice_equal_secret(sm_slice a, sm_slice b);

bool sm_slice_starts_with(sm_slice s, sm_slice prefix);
bool sm_slice_ends_with(sm_slice s, sm_slice suffix);

/* Index of the first `byte`, or s.len when there is none. */
size_t sm_slice_find(sm_slice s, uint8_t byte);

/* Index of the first occurrence of `needle`, or s.len. */
size_t sm_slice_search(sm_slice s, sm_slice needle);

/* Bytes from `from` (clamped to len) to the end. */
static inline sm_slice sm_slice_from(sm_slice s, size_t from)
{
    if (from > s.len) {
        from = s.len;
    }
    return (sm_slice){s.ptr == NULL ? NULL : s.ptr + from, s.len - from};
}

/* The first `n` bytes (clamped). */
static inline sm_slice sm_slice_first(sm_slice s, size_t n)
{
    return (sm_slice){s.ptr, n < s.len ? n : s.len};
}

/* Without leading and trailing ASCII white space. */
sm_slice sm_slice_trim(sm_slice s);

/* Cuts `*rest` at the first `sep`: returns what stands before it, `*rest` becomes what follows
 * (empty with ptr NULL after the last part). */
sm_slice sm_slice_split(sm_slice *rest, uint8_t sep);
