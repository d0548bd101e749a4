/* SPDX-License-Identifier: Apache-2.0 */
#include "sign/der_p.h"

#define CONSTRUCTED 0x20U
#define CLASS 0xc0U

/* X.690 8.6.2 and 11.2.1: 0 to 7 unused bits, none in an empty string, all of them zero. */
static bool bit_string_is_good(sm_slice v)
{
    if (v.len < 2) {
        return v.len == 1 && v.ptr[0] == 0;
    }
    unsigned unused = v.ptr[0];
    return unused < 8 && (v.ptr[v.len - 1] & ((1U << unused) - 1)) == 0;
}

static bool are_digits(sm_slice v)
{
    for (size_t i = 0; i < v.len; i++) {
        if (v.ptr[i] < '0' || v.ptr[i] > '9') {
            return false;
        }
    }
    return true;
}

/* X.690 11.7 and 11.8: seconds and 'Z' are always there, a fraction (GeneralizedTime's alone)
 * neither is empty nor ends in 0. Whether there is such a day is not asked. */
static bool time_is_good(uint8_t tag, sm_slice v)
{
    size_t digits = tag == SM_DER_UTC_TIME ? 12 : 14;
    if (v.len <= digits || v.ptr[v.len - 1] != 'Z' || !are_digits(sm_slice_first(v, digits))) {
        return false;
    }
    sm_slice fraction = sm_slice_first(sm_slice_from(v, digits), v.len - digits - 1);
    if (fraction.len == 0) {
        return true;
    }
    return tag == SM_DER_GENERALIZED_TIME && fraction.len > 1 && fraction.ptr[0] == '.' &&
           fraction.ptr[fraction.len - 1] != '0' && are_digits(sm_slice_from(fraction, 1));
}

/* A universal type's content, as far as DER has rules for it. The alphabets of strings are not
 * among them, their width is. */
static bool primitive_is_good(uint8_t tag, sm_slice v)
{
    switch (tag) {
    case SM_DER_BOOLEAN:
        return v.len == 1 && (v.ptr[0] == 0 || v.ptr[0] == 0xff);
    case SM_DER_INTEGER:
    case SM_DER_ENUMERATED:
        return sm_der_integer_is_good(v);
    case SM_DER_BIT_STRING:
        return bit_string_is_good(v);
    case SM_DER_NULL:
        return v.len == 0;
    case SM_DER_OID:
        return sm_oid_is_good(v);
    case SM_DER_UTC_TIME:
    case SM_DER_GENERALIZED_TIME:
        return time_is_good(tag, v);
    case SM_DER_BMP_STRING:
        return v.len % 2 == 0;
    case SM_DER_UNIVERSAL_STRING:
        return v.len % 4 == 0;
    default:
        return true;
    }
}

/* X.690 10.2: strings are primitive; SEQUENCE, SET, EXTERNAL, EMBEDDED PDV and CHARACTER STRING are
 * constructions. */
static bool form_is_good(uint8_t tag)
{
    static const uint32_t constructions = 1U << 0x08 | 1U << 0x0b | 1U << 0x10 | 1U << 0x11 |
                                          1U << 0x1d;
    bool wanted = (constructions >> (tag & 0x1fU) & 1U) != 0;
    return wanted == ((tag & CONSTRUCTED) != 0);
}

/* Walks with a stack of its own, so that hostile nesting costs no more than SM_DER_DEPTH_MAX
 * readers. */
sm_err sm_der_check(sm_slice elements)
{
    sm_der stack[SM_DER_DEPTH_MAX];
    size_t top = 0;
    stack[0] = sm_der_init(elements);
    for (;;) {
        sm_der *d = &stack[top];
        if (sm_der_at_end(d)) {
            if (top == 0) {
                return SM_NO_ERR;
            }
            top--;
            continue;
        }
        uint8_t tag;
        sm_slice v = sm_der_read_any(d, &tag);
        SM_TRY(sm_der_err(d));
        bool universal = (tag & CLASS) == 0;
        bool constructed = (tag & CONSTRUCTED) != 0;
        if (universal && (!form_is_good(tag) || (!constructed && !primitive_is_good(tag, v)))) {
            return SM_ERR(MALFORMED);
        }
        if (constructed) {
            if (++top == SM_DER_DEPTH_MAX) {
                return SM_ERR(MALFORMED);
            }
            stack[top] = sm_der_init(v);
        }
    }
}
