/* SPDX-License-Identifier: Apache-2.0 */
#include "sign/der.h"

/* Arcs of up to 128 bits: UUIDs make such ones (2.25.<uuid>, X.667 7). */
typedef unsigned __int128 arc;

#define ARC_MAX (~(arc)0 - 80) /* leaves room for 40 * first */
#define ARC_OCTETS 19          /* 128 bits in sevens */
#define ARC_HEAD_MAX 0x03U     /* what its first octet may hold beside the 18 others */
#define ARC_DIGITS 39

bool sm_oid_is_good(sm_slice v)
{
    size_t len = 0;
    for (size_t i = 0; i < v.len; i++) {
        /* Minimal: no leading zero septet (X.690 8.19.2). */
        if (len == 0 && v.ptr[i] == 0x80) {
            return false;
        }
        len++;
        if (v.ptr[i] >= 0x80) {
            continue;
        }
        if (len > ARC_OCTETS ||
            (len == ARC_OCTETS && (v.ptr[i + 1 - len] & 0x7fU) > ARC_HEAD_MAX)) {
            return false;
        }
        len = 0;
    }
    return v.len > 0 && len == 0;
}

static void put_arc(sm_buf *out, arc v)
{
    uint8_t octets[ARC_OCTETS];
    size_t at = sizeof(octets);
    octets[--at] = (uint8_t)(v & 0x7fU);
    for (v >>= 7; v > 0; v >>= 7) {
        octets[--at] = (uint8_t)(0x80U | (v & 0x7fU));
    }
    sm_buf_put(out, sm_slice_of(octets + at, sizeof(octets) - at));
}

/* Decimal digits without leading zeros. */
static bool parse_arc(sm_slice text, arc *out)
{
    arc v = 0;
    if (text.len == 0 || text.len > ARC_DIGITS || (text.len > 1 && text.ptr[0] == '0')) {
        return false;
    }
    for (size_t i = 0; i < text.len; i++) {
        unsigned digit = (unsigned)text.ptr[i] - '0';
        if (digit > 9 || v > (ARC_MAX - digit) / 10) {
            return false;
        }
        v = v * 10 + digit;
    }
    *out = v;
    return true;
}

static bool put_oid(sm_slice text, sm_buf *out)
{
    arc first = 0;
    size_t arcs = 0;
    for (; text.ptr != NULL; arcs++) {
        arc v;
        if (!parse_arc(sm_slice_split(&text, '.'), &v) || (arcs == 0 && v > 2) ||
            (arcs == 1 && first < 2 && v > 39)) {
            return false;
        }
        if (arcs == 0) {
            first = v;
        } else {
            put_arc(out, arcs == 1 ? first * 40 + v : v);
        }
    }
    return arcs >= 2;
}

sm_err sm_oid_from_text(sm_slice text, sm_buf *out)
{
    size_t start = out->len;
    if (!put_oid(text, out)) {
        sm_buf_truncate(out, start);
        return SM_ERR(MALFORMED);
    }
    return sm_buf_err(out);
}

static void put_decimal(sm_buf *out, arc v)
{
    uint8_t digits[ARC_DIGITS];
    size_t at = sizeof(digits);
    do {
        digits[--at] = (uint8_t)('0' + (unsigned)(v % 10));
        v /= 10;
    } while (v > 0);
    sm_buf_put(out, sm_slice_of(digits + at, sizeof(digits) - at));
}

sm_err sm_oid_to_text(sm_slice oid, sm_buf *out)
{
    if (!sm_oid_is_good(oid)) {
        return SM_ERR(MALFORMED);
    }
    arc v = 0;
    bool first = true;
    for (size_t i = 0; i < oid.len; i++) {
        v = v << 7 | (oid.ptr[i] & 0x7fU);
        if (oid.ptr[i] >= 0x80) {
            continue;
        }
        if (first) {
            arc top = v < 80 ? v / 40 : 2;
            put_decimal(out, top);
            v -= top * 40;
            first = false;
        }
        sm_buf_put_byte(out, '.');
        put_decimal(out, v);
        v = 0;
    }
    return sm_buf_err(out);
}
