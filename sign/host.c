/* SPDX-License-Identifier: Apache-2.0 */
#include "sign/name_p.h"

#define HOST_MAX 253 /* RFC 1035 2.3.4, without the root's dot */
#define LABEL_MAX 63

/* RFC 3492 5: the parameters of Punycode for IDNA. */
#define BASE 36U
#define T_MIN 1U
#define T_MAX 26U
#define SKEW 38U
#define DAMP 700U
#define INITIAL_BIAS 72U
#define INITIAL_N 0x80U

static bool is_alnum(uint8_t c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

/* RFC 3492 6.1. */
static uint32_t adapt(uint32_t delta, uint32_t points, bool first)
{
    uint32_t k = 0;
    delta = first ? delta / DAMP : delta / 2;
    delta += delta / points;
    for (; delta > (BASE - T_MIN) * T_MAX / 2; k += BASE) {
        delta /= BASE - T_MIN;
    }
    return k + (BASE - T_MIN + 1) * delta / (delta + SKEW);
}

/* One generalised variable-length integer (RFC 3492 6.2): what stands behind it is left in `*in`.
 */
static bool take_delta(sm_slice *in, uint32_t bias, uint32_t *out)
{
    uint32_t delta = 0;
    uint32_t weight = 1;
    for (uint32_t k = BASE;; k += BASE) {
        if (in->len == 0 || !is_alnum(in->ptr[0])) {
            return false;
        }
        uint8_t c = in->ptr[0];
        uint32_t digit = c <= '9' ? c - '0' + 26U : (c | 0x20U) - 'a';
        *in = sm_slice_from(*in, 1);
        if (digit > (UINT32_MAX - delta) / weight) {
            return false;
        }
        delta += digit * weight;
        uint32_t t = k <= bias ? T_MIN : (k >= bias + T_MAX ? T_MAX : k - bias);
        if (digit < t) {
            *out = delta;
            return true;
        }
        if (weight > UINT32_MAX / (BASE - t)) {
            return false;
        }
        weight *= BASE - t;
    }
}

bool sm_alabel_is_good(sm_slice label)
{
    sm_slice in = sm_slice_from(label, 4); /* behind "xn--" */
    uint32_t points = 0; /* decoded so far: those of ASCII stand before the last hyphen */
    for (size_t i = 0; i < in.len; i++) {
        points = in.ptr[i] == '-' ? (uint32_t)i : points;
    }
    in = sm_slice_from(in, points > 0 ? points + 1 : 0);
    uint32_t n = INITIAL_N;
    uint32_t bias = INITIAL_BIAS;
    uint32_t at = 0;
    if (in.len == 0) {
        return false; /* nothing but ASCII is no A-label (RFC 5890 2.3.2.1) */
    }
    for (bool first = true; in.len > 0; first = false) {
        uint32_t delta;
        if (!take_delta(&in, bias, &delta) || delta > UINT32_MAX - at) {
            return false;
        }
        points++;
        bias = adapt(delta, points, first);
        at += delta;
        if (at / points > 0x10ffff - n) {
            return false;
        }
        n += at / points;
        at = at % points + 1;
        if (n >= 0xd800 && n < 0xe000) {
            return false;
        }
    }
    return true;
}

/* LDH label (RFC 5890 2.3.1): letters, digits, inner hyphens; hyphens in places 3 and 4 only in
 * A-labels. */
static bool label_is_good(sm_slice label)
{
    if (label.len == 0 || label.len > LABEL_MAX || label.ptr[0] == '-' ||
        label.ptr[label.len - 1] == '-') {
        return false;
    }
    for (size_t i = 0; i < label.len; i++) {
        if (!is_alnum(label.ptr[i]) && label.ptr[i] != '-') {
            return false;
        }
    }
    if (label.len < 4 || label.ptr[2] != '-' || label.ptr[3] != '-') {
        return true;
    }
    return sm_slice_equal_nocase(sm_slice_first(label, 4), SM_LIT("xn--")) &&
           sm_alabel_is_good(label);
}

static bool is_number(sm_slice label)
{
    for (size_t i = 0; i < label.len; i++) {
        if (label.ptr[i] < '0' || label.ptr[i] > '9') {
            return false;
        }
    }
    return true;
}

bool sm_host_is_good(sm_slice name)
{
    sm_slice label = SM_SLICE_NONE;
    if (name.len == 0 || name.len > HOST_MAX) {
        return false;
    }
    while (name.ptr != NULL) {
        label = sm_slice_split(&name, '.');
        if (!label_is_good(label)) {
            return false;
        }
    }
    return !is_number(label); /* 192.0.2.1 is an address (RFC 3696 2) */
}
