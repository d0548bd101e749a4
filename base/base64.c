/* SPDX-License-Identifier: Apache-2.0 */
#include "base/text.h"

static const char plain_digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
static const char url_digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

static void encode(sm_buf *out, sm_slice in, const char *digits, bool pad)
{
    uint8_t *to = sm_buf_reserve(out, (in.len / 3 + 1) * 4);
    if (to == NULL) {
        return;
    }
    size_t at = 0;
    size_t i = 0;
    for (; in.len - i >= 3; i += 3) {
        uint32_t v = (uint32_t)in.ptr[i] << 16 | (uint32_t)in.ptr[i + 1] << 8 | in.ptr[i + 2];
        to[at++] = (uint8_t)digits[v >> 18];
        to[at++] = (uint8_t)digits[v >> 12 & 63];
        to[at++] = (uint8_t)digits[v >> 6 & 63];
        to[at++] = (uint8_t)digits[v & 63];
    }
    size_t rest = in.len - i;
    if (rest > 0) {
        uint32_t v = (uint32_t)in.ptr[i] << 16 | (rest == 2 ? (uint32_t)in.ptr[i + 1] << 8 : 0);
        to[at++] = (uint8_t)digits[v >> 18];
        to[at++] = (uint8_t)digits[v >> 12 & 63];
        if (rest == 2) {
            to[at++] = (uint8_t)digits[v >> 6 & 63];
        }
        for (; pad && rest < 3; rest++) {
            to[at++] = '=';
        }
    }
    sm_buf_commit(out, at);
}

void sm_base64_encode(sm_buf *out, sm_slice in)
{
    encode(out, in, plain_digits, true);
}

void sm_base64url_encode(sm_buf *out, sm_slice in)
{
    encode(out, in, url_digits, false);
}

/* 0..63, or -1. */
static int digit_value(uint8_t c, unsigned flags)
{
    if (c >= 'A' && c <= 'Z') {
        return c - 'A';
    }
    if (c >= 'a' && c <= 'z') {
        return c - 'a' + 26;
    }
    if (c >= '0' && c <= '9') {
        return c - '0' + 52;
    }
    if (c == '+' || (c == '-' && (flags & SM_BASE64_URL) != 0)) {
        return 62;
    }
    return c == '/' || (c == '_' && (flags & SM_BASE64_URL) != 0) ? 63 : -1;
}

static bool is_space(uint8_t c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

struct decoder {
    uint32_t bits;
    unsigned digits; /* in the group under way */
    unsigned pads;
};

static bool take(struct decoder *d, uint8_t c, unsigned flags, sm_buf *out)
{
    if (c == '=') {
        d->pads++;
        return d->digits >= 2 && d->digits + d->pads <= 4;
    }
    int v = digit_value(c, flags);
    if (v < 0 || d->pads > 0) {
        return false;
    }
    d->bits = d->bits << 6 | (uint32_t)v;
    if (++d->digits == 4) {
        sm_buf_put_byte(out, (uint8_t)(d->bits >> 16));
        sm_buf_put_byte(out, (uint8_t)(d->bits >> 8));
        sm_buf_put_byte(out, (uint8_t)d->bits);
        d->bits = 0;
        d->digits = 0;
    }
    return true;
}

/* The last, short group: its unused bits must be zero (RFC 4648 3.5). */
static bool finish(const struct decoder *d, unsigned flags, sm_buf *out)
{
    if (d->digits == 0) {
        return d->pads == 0;
    }
    bool padded = d->digits + d->pads == 4;
    if (d->digits == 1 || (!padded && (d->pads > 0 || (flags & SM_BASE64_NO_PAD) == 0))) {
        return false;
    }
    if (d->digits == 2) {
        sm_buf_put_byte(out, (uint8_t)(d->bits >> 4));
        return (d->bits & 15) == 0;
    }
    sm_buf_put_byte(out, (uint8_t)(d->bits >> 10));
    sm_buf_put_byte(out, (uint8_t)(d->bits >> 2));
    return (d->bits & 3) == 0;
}

sm_err sm_base64_decode(sm_buf *out, sm_slice in, unsigned flags)
{
    struct decoder d = {0};
    for (size_t i = 0; i < in.len; i++) {
        uint8_t c = in.ptr[i];
        if ((flags & SM_BASE64_SPACE) != 0 && is_space(c)) {
            continue;
        }
        if (!take(&d, c, flags, out)) {
            return SM_ERR(MALFORMED);
        }
    }
    return finish(&d, flags, out) ? sm_buf_err(out) : SM_ERR(MALFORMED);
}
