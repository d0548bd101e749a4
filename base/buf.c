/* SPDX-License-Identifier: Apache-2.0 */
#include "base/buf.h"

#include "base/check.h"
#include "base/mem.h"

#include <stdarg.h>
#include <stdio.h>

#define BUF_FIRST_ROOM 256 /* most answers fit without growing twice */

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
        sm_wipe(buf->ptr, buf->len);
    }
    buf->len = 0;
    buf->err = SM_NO_ERR;
}

/* Moves to `room` octets. Secrets must not stay behind in memory that realloc gives back. */
static bool move(sm_buf *buf, size_t room)
{
    uint8_t *to = buf->secret ? sm_malloc(room) : sm_realloc(buf->ptr, room);
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

uint8_t *sm_buf_reserve(sm_buf *buf, size_t n)
{
    if (!sm_ok(buf->err)) {
        return NULL;
    }
    if (n > buf->cap - buf->len) {
        buf->err = SM_ERR(TOO_LARGE);
        return NULL;
    }
    size_t need = buf->len + n;
    if (need > buf->room || buf->ptr == NULL) {
        size_t room = buf->room < BUF_FIRST_ROOM ? BUF_FIRST_ROOM : buf->room;
        while (room < need) {
            room += room / 2;
        }
        room = room < buf->cap ? room : buf->cap;
        if (!move(buf, room == 0 ? 1 : room)) {
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
    uint8_t *to = sm_buf_reserve(buf, bytes.len);
    if (to != NULL && bytes.len > 0) {
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

void sm_buf_printf(sm_buf *buf, const char *fmt, ...)
{
    va_list args;
    va_list again;
    va_start(args, fmt);
    va_copy(again, args);
    int n = vsnprintf(NULL, 0, fmt, args);
    uint8_t *to = n < 0 ? NULL : sm_buf_reserve(buf, (size_t)n + 1);
    if (to != NULL) {
        (void)vsnprintf((char *)to, (size_t)n + 1, fmt, again);
        buf->len += (size_t)n;
    }
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

sm_slice sm_buf_take(sm_buf *buf)
{
    sm_slice out = {buf->ptr, buf->len};
    buf->ptr = NULL;
    buf->len = 0;
    buf->room = 0;
    buf->err = SM_NO_ERR;
    return out;
}
