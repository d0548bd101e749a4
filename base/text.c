/* SPDX-License-Identifier: Apache-2.0 */
#include "base/text.h"

static const char hex_digits[] = "0123456789abcdef";
static const char hex_digits_upper[] = "0123456789ABCDEF";

/* A decoder's failure: what it appended goes again. */
static sm_err refuse(sm_buf *out, size_t before, sm_err err)
{
    sm_buf_truncate(out, before);
    return err;
}

void sm_hex_encode(sm_buf *out, sm_slice in)
{
    uint8_t *to = sm_buf_reserve(out, in.len * 2);
    if (to == NULL) {
        return;
    }
    for (size_t i = 0; i < in.len; i++) {
        to[2 * i] = (uint8_t)hex_digits[in.ptr[i] >> 4];
        to[2 * i + 1] = (uint8_t)hex_digits[in.ptr[i] & 15];
    }
    sm_buf_commit(out, in.len * 2);
}

char *sm_hex_format(sm_slice in, char *out)
{
    for (size_t i = 0; i < in.len; i++) {
        out[2 * i] = hex_digits[in.ptr[i] >> 4];
        out[2 * i + 1] = hex_digits[in.ptr[i] & 15];
    }
    out[2 * in.len] = '\0';
    return out;
}

static int hex_value(uint8_t c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    if (c >= 'a' && c <= 'f') {
        return c - 'a' + 10;
    }
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* Both digits at `at`, or -1. */
static int hex_octet(sm_slice in, size_t at)
{
    if (at > in.len || in.len - at < 2) {
        return -1;
    }
    int high = hex_value(in.ptr[at]);
    int low = hex_value(in.ptr[at + 1]);
    return high < 0 || low < 0 ? -1 : high * 16 + low;
}

sm_err sm_hex_decode(sm_buf *out, sm_slice in, bool colons)
{
    size_t before = out->len;
    size_t at = 0;
    while (at < in.len) {
        if (colons && at > 0 && in.ptr[at] == ':') {
            at++;
        }
        int octet = hex_octet(in, at);
        if (octet < 0) {
            return refuse(out, before, SM_ERR(MALFORMED));
        }
        sm_buf_put_byte(out, (uint8_t)octet);
        at += 2;
    }
    return sm_ok(sm_buf_err(out)) ? SM_NO_ERR : refuse(out, before, sm_buf_err(out));
}

sm_err sm_percent_decode(sm_buf *out, sm_slice in)
{
    size_t before = out->len;
    while (in.len > 0) {
        size_t plain = sm_slice_find(in, '%');
        sm_buf_put(out, sm_slice_first(in, plain));
        in = sm_slice_from(in, plain);
        if (in.len == 0) {
            break;
        }
        int octet = hex_octet(in, 1);
        if (octet < 0) {
            return refuse(out, before, SM_ERR(MALFORMED));
        }
        sm_buf_put_byte(out, (uint8_t)octet);
        in = sm_slice_from(in, 3);
    }
    return sm_ok(sm_buf_err(out)) ? SM_NO_ERR : refuse(out, before, sm_buf_err(out));
}

void sm_percent_encode(sm_buf *out, sm_slice in)
{
    for (size_t i = 0; i < in.len; i++) {
        uint8_t c = in.ptr[i];
        if (c >= 0x20 && c < 0x7f && c != '%') {
            sm_buf_put_byte(out, c);
            continue;
        }
        sm_buf_put_byte(out, '%');
        sm_buf_put_byte(out, (uint8_t)hex_digits_upper[c >> 4]);
        sm_buf_put_byte(out, (uint8_t)hex_digits_upper[c & 15]);
    }
}

sm_err sm_decimal_parse(sm_slice in, uint64_t *out)
{
    uint64_t v = 0;
    if (in.len == 0) {
        return SM_ERR(MALFORMED);
    }
    for (size_t i = 0; i < in.len; i++) {
        uint8_t c = in.ptr[i];
        if (c < '0' || c > '9') {
            return SM_ERR(MALFORMED);
        }
        if (__builtin_mul_overflow(v, 10U, &v) ||
            __builtin_add_overflow(v, (uint64_t)(c - '0'), &v)) {
            return SM_ERR(OUT_OF_RANGE);
        }
    }
    *out = v;
    return SM_NO_ERR;
}
