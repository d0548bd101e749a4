/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A growing byte buffer with a cap given at birth.
 *
 * Appends have a sticky error: after the first failure nothing more is written and every later
 * append is a no-op, so a builder checks once, at its end, with sm_buf_err.
 *
 * Threads:   one owner at a time.
 * Limits:    `cap`, given by who made it.
 * Security:  a buffer marked secret is wiped when it grows, resets or ends.
 * Standards: none.
 */
#pragma once

#include "base/err.h"
#include "base/slice.h"

typedef struct sm_buf {
    uint8_t *ptr;
    size_t len;
    size_t room; /* bytes it holds before it must grow */
    size_t cap;  /* bytes it may ever hold */
    sm_err err;  /* sticky */
    bool secret;
} sm_buf;

/* An empty buffer that may grow to `cap` bytes. No allocation yet. */
static inline sm_buf sm_buf_init(size_t cap)
{
    return (sm_buf){NULL, 0, 0, cap, SM_NO_ERR, false};
}

/* The same for secrets: wiped on every move and at the end. */
static inline sm_buf sm_buf_init_secret(size_t cap)
{
    return (sm_buf){NULL, 0, 0, cap, SM_NO_ERR, true};
}

/* Frees (and wipes if secret). The buffer may be used again with the same cap. */
void sm_buf_deinit(sm_buf *buf);

/* Forgets the content and the sticky error, keeps the memory. */
void sm_buf_reset(sm_buf *buf);

/* Makes room for `n` more bytes and returns where they go, or NULL with the sticky error set
 * (TOO_LARGE over the cap, NO_MEMORY). Follow with sm_buf_commit. */
static inline uint8_t *sm_buf_reserve(sm_buf *buf, size_t n);

/* Counts `n` bytes written after sm_buf_reserve. */
void sm_buf_commit(sm_buf *buf, size_t n);

void sm_buf_put(sm_buf *buf, sm_slice bytes);
void sm_buf_put_byte(sm_buf *buf, uint8_t byte);
void sm_buf_put_str(sm_buf *buf, const char *s);
void sm_buf_put_u16be(sm_buf *buf, uint16_t v);
void sm_buf_put_u32be(sm_buf *buf, uint32_t v);
void sm_buf_put_u64be(sm_buf *buf, uint64_t v);
void sm_buf_put_decimal(sm_buf *buf, uint64_t v);

/* printf into the buffer, without the NUL. */
__attribute__((format(printf, 2, 3))) void sm_buf_printf(sm_buf *buf, const char *fmt, ...);

/* Drops the first `n` bytes (n <= len), moving the rest to the front. */
void sm_buf_consume(sm_buf *buf, size_t n);

/* Drops what follows the first `len` bytes (len <= buf->len); the sticky error stays. */
void sm_buf_truncate(sm_buf *buf, size_t len);

/* Moves the memory out: given, to be freed with sm_free; the buffer is empty again. The bytes of a
 * secret buffer are then the caller's to wipe. */
sm_slice sm_buf_take(sm_buf *buf);

static inline sm_slice sm_buf_slice(const sm_buf *buf)
{
    return (sm_slice){buf->ptr, buf->len};
}

static inline sm_err sm_buf_err(const sm_buf *buf)
{
    return buf->err;
}

/* The part of sm_buf_reserve that allocates; not for callers. */
uint8_t *sm_buf_grow(sm_buf *buf, size_t n);

static inline uint8_t *sm_buf_reserve(sm_buf *buf, size_t n)
{
    if (sm_ok(buf->err) && buf->ptr != NULL && n <= buf->room - buf->len) {
        return buf->ptr + buf->len;
    }
    return sm_buf_grow(buf, n);
}
