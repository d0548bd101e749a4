/* SPDX-License-Identifier: Apache-2.0 */
#include "base/text.h"

static const char plain_digits[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
static const char url_digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

static size_t encoded_len(size_t len, bool pad)
{
    size_t rest = len % 3;
    return len / 3 * 4 + (rest == 0 ? 0 : (pad ? 4 : rest + 1));
}

static void encode(sm_buf *out, sm_slice in, const char *digits, bool pad)
{
    uint8_t *to = sm_buf_reserve(out, encoded_len(in.len, pad));
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

#define DIGIT 0x40U /* marks the characters of the plain alphabet, so that zero means none */

static const uint8_t plain_values[256] = {
    ['A'] = DIGIT | 0,  ['B'] = DIGIT | 1,  ['C'] = DIGIT | 2,  ['D'] = DIGIT | 3,
    ['E'] = DIGIT | 4,  ['F'] = DIGIT | 5,  ['G'] = DIGIT | 6,  ['H'] = DIGIT | 7,
    ['I'] = DIGIT | 8,  ['J'] = DIGIT | 9,  ['K'] = DIGIT | 10, ['L'] = DIGIT | 11,
    ['M'] = DIGIT | 12, ['N'] = DIGIT | 13, ['O'] = DIGIT | 14, ['P'] = DIGIT | 15,
    ['Q'] = DIGIT | 16, ['R'] = DIGIT | 17, ['S'] = DIGIT | 18, ['T'] = DIGIT | 19,
    ['U'] = DIGIT | 20, ['V'] = DIGIT | 21, ['W'] = DIGIT | 22, ['X'] = DIGIT | 23,
    ['Y'] = DIGIT | 24, ['Z'] = DIGIT | 25, ['a'] = DIGIT | 26, ['b'] = DIGIT | 27,
    ['c'] = DIGIT | 28, ['d'] = DIGIT | 29, ['e'] = DIGIT | 30, ['f'] = DIGIT | 31,
    ['g'] = DIGIT | 32, ['h'] = DIGIT | 33, ['i'] = DIGIT | 34, ['j'] = DIGIT | 35,
    ['k'] = DIGIT | 36, ['l'] = DIGIT | 37, ['m'] = DIGIT | 38, ['n'] = DIGIT | 39,
    ['o'] = DIGIT | 40, ['p'] = DIGIT | 41, ['q'] = DIGIT | 42, ['r'] = DIGIT | 43,
    ['s'] = DIGIT | 44, ['t'] = DIGIT | 45, ['u'] = DIGIT | 46, ['v'] = DIGIT | 47,
    ['w'] = DIGIT | 48, ['x'] = DIGIT | 49, ['y'] = DIGIT | 50, ['z'] = DIGIT | 51,
    ['0'] = DIGIT | 52, ['1'] = DIGIT | 53, ['2'] = DIGIT | 54, ['3'] = DIGIT | 55,
    ['4'] = DIGIT | 56, ['5'] = DIGIT | 57, ['6'] = DIGIT | 58, ['7'] = DIGIT | 59,
    ['8'] = DIGIT | 60, ['9'] = DIGIT | 61, ['+'] = DIGIT | 62, ['/'] = DIGIT | 63,
};

/* The value with DIGIT set, or 0. */
static uint32_t digit_value(uint8_t c, unsigned flags)
{
    if ((flags & SM_BASE64_URL) != 0 && (c == '-' || c == '_')) {
        return DIGIT | (c == '-' ? 62U : 63U);
    }
    return plain_values[c];
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

static void put_group(sm_buf *out, uint32_t bits)
{
    uint8_t *to = sm_buf_reserve(out, 3);
    if (to != NULL) {
        to[0] = (uint8_t)(bits >> 16);
        to[1] = (uint8_t)(bits >> 8);
        to[2] = (uint8_t)bits;
        sm_buf_commit(out, 3);
    }
}

/* Decodes whole groups of the plain alphabet while they last: nearly all of a usual input. Returns
 * how much was read. */
static size_t take_groups(sm_buf *out, sm_slice in)
{
    size_t at = 0;
    for (; in.len - at >= 4; at += 4) {
        const uint8_t *p = in.ptr + at;
        uint32_t a = plain_values[p[0]];
        uint32_t b = plain_values[p[1]];
        uint32_t c = plain_values[p[2]];
        uint32_t d = plain_values[p[3]];
        if ((a & b & c & d & DIGIT) == 0) {
            break;
        }
        put_group(out, (a & 63) << 18 | (b & 63) << 12 | (c & 63) << 6 | (d & 63));
    }
    return at;
}

static bool take_one(struct decoder *d, uint8_t c, unsigned flags, sm_buf *out)
{
    if (c == '=') {
        d->pads++;
        return d->digits >= 2 && d->digits + d->pads <= 4;
    }
    uint32_t v = digit_value(c, flags);
    if (v == 0 || d->pads > 0) {
        return false;
    }
    d->bits = d->bits << 6 | (v & 63);
    if (++d->digits == 4) {
        put_group(out, d->bits);
        d->bits = 0;
        d->digits = 0;
    }
    return true;
}

/* The last, short group: its unused bits must be zero (RFC 4648 3.5). */
static bool finish(const struct decoder *d, unsigned flags, sm_buf *out)
{
    if (d->digits == 0) {
        return true;
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

static bool decode(sm_buf *out, sm_slice in, unsigned flags)
{
    struct decoder d = {0};
    size_t at = 0;
    while (at < in.len) {
        if (d.digits == 0 && d.pads == 0) {
            at += take_groups(out, sm_slice_from(in, at));
            if (at == in.len) {
                break;
            }
        }
        uint8_t c = in.ptr[at++];
        bool skip = (flags & SM_BASE64_SPACE) != 0 && is_space(c);
        if (!skip && !take_one(&d, c, flags, out)) {
            return false;
        }
    }
    return finish(&d, flags, out);
}

sm_err sm_base64_decode(sm_buf *out, sm_slice in, unsigned flags)
{
    size_t before = out->len;
    sm_err err = decode(out, in, flags) ? sm_buf_err(out) : SM_ERR(MALFORMED);
    if (!sm_ok(err)) {
        sm_buf_truncate(out, before);
    }
    return err;
}
