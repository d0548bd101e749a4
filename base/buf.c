/* SPDX-License-Identifier: Apache-2.0 */
#include "base/buf.h"

#include "base/check.h"
#include "base/mem.h"

#include <stdarg.h>
#include <stdio.h>

#define BUF_FIRST_ROOM 255 /* most answers fit without growing twice */

void sm_buf_deinit(sm_buf *buf)
{
    if (buf->secret) {
        sm_wipe(buf->ptr, buf->room);
    }
    sm_free(buf->ptr);
    buf->ptr = NULL;
    buf->len = 0;
    buf->room = 0;
    buf->err = SM_NO_ERR;
}

void sm_buf_reset(sm_buf *buf)
{
    if (buf->secret) {
        sm_wipe(buf->ptr, buf->room);
    }
    buf->len = 0;
    buf->err = SM_NO_ERR;
}

/* Moves to memory for `room` octets and one more: printf wants to write a NUL even when its text
 * fills the room exactly. Secrets must not stay behind in memory that realloc gives back. */
static bool move(sm_buf *buf, size_t room)
{
    uint8_t *to = buf->secret ? sm_malloc(room + 1) : sm_realloc(buf->ptr, room + 1);
    if (to == NULL) {
        buf->err = SM_ERR(NO_MEMORY);
        return false;
    }
    if (buf->secret && buf->ptr != NULL) {
        memcpy(to, buf->ptr, buf->len);
        sm_wipe(buf->ptr, buf->room);
        sm_free(buf->ptr);
    }
    buf->ptr = to;
    buf->room = room;
    return true;
}

uint8_t *sm_buf_grow(sm_buf *buf, size_t n)
{
    if (!sm_ok(buf->err)) {
        return NULL;
    }
    /* The second test keeps room + 1 from wrapping when the cap is SIZE_MAX. */
    if (n > buf->cap - buf->len || n > SIZE_MAX / 2 - buf->len) {
        buf->err = SM_ERR(TOO_LARGE);
        return NULL;
    }
    size_t need = buf->len + n;
    if (need > buf->room || buf->ptr == NULL) {
        size_t room = buf->room + buf->room / 2;
        room = room < BUF_FIRST_ROOM ? BUF_FIRST_ROOM : room;
        room = room < need ? need : room;
        if (!move(buf, room < buf->cap ? room : buf->cap)) {
            return NULL;
        }
    }
    return buf->ptr + buf->len;
}

void sm_buf_commit(sm_buf *buf, size_t n)
{
    SM_CHECK(n <= buf->room - buf->len);
    buf->len += n;
}

void sm_buf_put(sm_buf *buf, sm_slice bytes)
{
    uint8_t *to = bytes.len == 0 ? NULL : sm_buf_reserve(buf, bytes.len);
    if (to != NULL) {
        memcpy(to, bytes.ptr, bytes.len);
        buf->len += bytes.len;
    }
}

void sm_buf_put_byte(sm_buf *buf, uint8_t byte)
{
    uint8_t *to = sm_buf_reserve(buf, 1);
    if (to != NULL) {
        *to = byte;
        buf->len++;
    }
}

void sm_buf_put_str(sm_buf *buf, const char *s)
{
    sm_buf_put(buf, sm_slice_str(s));
}

static void put_be(sm_buf *buf, uint64_t v, size_t octets)
{
    uint8_t *to = sm_buf_reserve(buf, octets);
    if (to == NULL) {
        return;
    }
    for (size_t i = 0; i < octets; i++) {
        to[i] = (uint8_t)(v >> (8 * (octets - 1 - i)));
    }
    buf->len += octets;
}

void sm_buf_put_u16be(sm_buf *buf, uint16_t v)
{
    put_be(buf, v, 2);
}

void sm_buf_put_u32be(sm_buf *buf, uint32_t v)
{
    put_be(buf, v, 4);
}

void sm_buf_put_u64be(sm_buf *buf, uint64_t v)
{
    put_be(buf, v, 8);
}

void sm_buf_put_decimal(sm_buf *buf, uint64_t v)
{
    char digits[20];
    size_t at = sizeof(digits);
    do {
        digits[--at] = (char)('0' + v % 10);
        v /= 10;
    } while (v > 0);
    sm_buf_put(buf, sm_slice_of(digits + at, sizeof(digits) - at));
}

__attribute__((format(printf, 2, 0))) static int print_at(sm_buf *buf, const char *fmt,
                                                          va_list args)
{
    char *to = buf->ptr == NULL ? NULL : (char *)buf->ptr + buf->len;
    return vsnprintf(to, to == NULL ? 0 : buf->room - buf->len + 1, fmt, args);
}

void sm_buf_printf(sm_buf *buf, const char *fmt, ...)
{
    if (!sm_ok(buf->err)) {
        return;
    }
    va_list args;
    va_list again;
    va_start(args, fmt);
    va_copy(again, args);
    int n = print_at(buf, fmt, args);
    if (n < 0) {
        buf->err = SM_ERR(INTERNAL);
    } else if ((size_t)n > buf->room - buf->len) {
        /* Did not fit: nothing is counted yet, so make room and print once more. */
        n = sm_buf_reserve(buf, (size_t)n) == NULL ? 0 : print_at(buf, fmt, again);
    }
    buf->len += n < 0 ? 0 : (size_t)n;
    va_end(again);
    va_end(args);
}

void sm_buf_consume(sm_buf *buf, size_t n)
{
    SM_CHECK(n <= buf->len);
    if (n == 0) {
        return;
    }
    memmove(buf->ptr, buf->ptr + n, buf->len - n);
    if (buf->secret) {
        sm_wipe(buf->ptr + buf->len - n, n);
    }
    buf->len -= n;
}

void sm_buf_truncate(sm_buf *buf, size_t len)
{
    SM_CHECK(len <= buf->len);
    if (buf->secret && buf->ptr != NULL) {
        sm_wipe(buf->ptr + len, buf->len - len);
    }
    buf->len = len;
}

sm_slice sm_buf_take(sm_buf *buf)
{
    sm_slice out = {buf->ptr, buf->len};
    buf->ptr = NULL;
    buf->len = 0;
    buf->room = 0;
    buf->err = SM_NO_ERR;
    return out;
}
