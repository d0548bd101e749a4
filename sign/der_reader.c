/* SPDX-License-Identifier: Apache-2.0 */
#include "sign/der.h"

#include "base/clock.h"
#include "sign/der_p.h"

void sm_der_fail(sm_der *d, sm_err err)
{
    if (sm_ok(d->err)) {
        d->err = err;
    }
    d->at = d->end;
}

bool sm_der_at_end(const sm_der *d)
{
    return d->at == d->end;
}

uint8_t sm_der_peek(const sm_der *d)
{
    return d->at == d->end ? 0 : *d->at;
}

/* The length octets behind the tag (X.690 8.1.3, 10.1: definite and minimal). False: a fault was
 * set. */
static bool read_length(sm_der *d, const uint8_t **at, size_t *out)
{
    size_t left = (size_t)(d->end - *at);
    if (left == 0) {
        sm_der_fail(d, SM_ERR(TRUNCATED));
        return false;
    }
    uint8_t first = *(*at)++;
    if (first < 0x80) {
        *out = first;
        return true;
    }
    size_t octets = first & 0x7fU;
    if (octets == 0 || octets > 4) {
        sm_der_fail(d, SM_ERR(MALFORMED)); /* indefinite, or beyond any limit of ours */
        return false;
    }
    if (left - 1 < octets) {
        sm_der_fail(d, SM_ERR(TRUNCATED));
        return false;
    }
    size_t len = 0;
    for (size_t i = 0; i < octets; i++) {
        len = len << 8 | *(*at)++;
    }
    if (len < 0x80 || len >> (8 * (octets - 1)) == 0 || len > INT32_MAX) {
        sm_der_fail(d, SM_ERR(MALFORMED)); /* not minimal */
        return false;
    }
    *out = len;
    return true;
}

sm_slice sm_der_read_any(sm_der *d, uint8_t *tag)
{
    *tag = 0;
    if (d->at == d->end) {
        sm_der_fail(d, SM_ERR(TRUNCATED));
        return SM_SLICE_NONE;
    }
    const uint8_t *at = d->at;
    uint8_t found = *at++;
    if ((found & 0xdfU) == 0 || (found & 0x1fU) == 0x1fU) {
        sm_der_fail(d, SM_ERR(MALFORMED)); /* end-of-contents, or a tag of several octets */
        return SM_SLICE_NONE;
    }
    size_t len;
    if (!read_length(d, &at, &len)) {
        return SM_SLICE_NONE;
    }
    if (len > (size_t)(d->end - at)) {
        sm_der_fail(d, SM_ERR(TRUNCATED));
        return SM_SLICE_NONE;
    }
    *tag = found;
    d->at = at + len;
    return sm_slice_of(at, len);
}

sm_slice sm_der_read(sm_der *d, uint8_t tag)
{
    if (d->at != d->end && *d->at != tag) {
        sm_der_fail(d, SM_ERR(MALFORMED));
        return SM_SLICE_NONE;
    }
    uint8_t found;
    return sm_der_read_any(d, &found);
}

sm_slice sm_der_read_raw(sm_der *d)
{
    const uint8_t *start = d->at;
    uint8_t tag;
    (void)sm_der_read_any(d, &tag);
    return sm_ok(d->err) ? sm_slice_of(start, (size_t)(d->at - start)) : SM_SLICE_NONE;
}

bool sm_der_read_if(sm_der *d, uint8_t tag, sm_slice *content)
{
    if (sm_der_peek(d) != tag) {
        return false;
    }
    *content = sm_der_read(d, tag);
    return sm_ok(d->err);
}

sm_der sm_der_enter(sm_der *d, uint8_t tag)
{
    sm_slice content = sm_der_read(d, tag);
    sm_der inner = sm_der_init(content);
    inner.err = d->err;
    inner.depth = (uint8_t)(d->depth + 1);
    if (inner.depth > SM_DER_DEPTH_MAX) {
        sm_der_fail(&inner, SM_ERR(MALFORMED));
    }
    return inner;
}

void sm_der_leave(sm_der *parent, const sm_der *inner)
{
    if (!sm_ok(inner->err)) {
        sm_der_fail(parent, inner->err);
    } else if (inner->at != inner->end) {
        sm_der_fail(parent, SM_ERR(MALFORMED));
    }
}

sm_err sm_der_finish(sm_der *d)
{
    if (d->at != d->end) {
        sm_der_fail(d, SM_ERR(MALFORMED));
    }
    return d->err;
}

bool sm_der_read_bool(sm_der *d)
{
    sm_slice v = sm_der_read(d, SM_DER_BOOLEAN);
    if (v.len != 1 || (v.ptr[0] != 0 && v.ptr[0] != 0xff)) {
        sm_der_fail(d, SM_ERR(MALFORMED)); /* X.690 11.1 */
        return false;
    }
    return v.ptr[0] == 0xff;
}

sm_slice sm_der_read_integer(sm_der *d)
{
    sm_slice v = sm_der_read(d, SM_DER_INTEGER);
    if (!sm_der_integer_is_good(v)) {
        sm_der_fail(d, SM_ERR(MALFORMED));
        return SM_SLICE_NONE;
    }
    return v;
}

sm_slice sm_der_read_unsigned(sm_der *d)
{
    sm_slice v = sm_der_read_integer(d);
    if (v.len == 0 || v.ptr[0] >= 0x80) {
        sm_der_fail(d, SM_ERR(MALFORMED));
        return SM_SLICE_NONE;
    }
    return v.ptr[0] == 0 && v.len > 1 ? sm_slice_from(v, 1) : v;
}

uint64_t sm_der_read_u64(sm_der *d)
{
    sm_slice v = sm_der_read_unsigned(d);
    if (v.len > 8 || (v.len == 8 && v.ptr[0] >= 0x80)) {
        sm_der_fail(d, SM_ERR(MALFORMED));
        return 0;
    }
    uint64_t out = 0;
    for (size_t i = 0; i < v.len; i++) {
        out = out << 8 | v.ptr[i];
    }
    return out;
}

sm_slice sm_der_read_oid(sm_der *d)
{
    sm_slice v = sm_der_read(d, SM_DER_OID);
    if (!sm_oid_is_good(v)) {
        sm_der_fail(d, SM_ERR(MALFORMED));
        return SM_SLICE_NONE;
    }
    return v;
}

sm_slice sm_der_read_bits(sm_der *d)
{
    sm_slice v = sm_der_read(d, SM_DER_BIT_STRING);
    if (v.len == 0 || v.ptr[0] != 0) {
        sm_der_fail(d, SM_ERR(MALFORMED));
        return SM_SLICE_NONE;
    }
    return sm_slice_from(v, 1);
}

static int two_digits(const uint8_t *at)
{
    if (at[0] < '0' || at[0] > '9' || at[1] < '0' || at[1] > '9') {
        return -1;
    }
    return (at[0] - '0') * 10 + (at[1] - '0');
}

/* RFC 5280 4.1.2.5.1 and .2: YYMMDDHHMMSSZ or YYYYMMDDHHMMSSZ, always with seconds, never with
 * fractions. */
int64_t sm_der_read_time(sm_der *d)
{
    uint8_t tag;
    sm_slice v = sm_der_read_any(d, &tag);
    size_t year_digits = tag == SM_DER_UTC_TIME ? 2 : 4;
    bool good = sm_ok(d->err) && (tag == SM_DER_UTC_TIME || tag == SM_DER_GENERALIZED_TIME) &&
                v.len == year_digits + 11 && v.ptr[v.len - 1] == 'Z';
    int64_t out = 0;
    if (good) {
        const uint8_t *at = v.ptr;
        int century = year_digits == 4 ? two_digits(at) : 0;
        at += year_digits - 2;
        struct sm_civil c = {two_digits(at),     two_digits(at + 2), two_digits(at + 4),
                             two_digits(at + 6), two_digits(at + 8), two_digits(at + 10)};
        good = century >= 0 && c.year >= 0;
        c.year += year_digits == 4 ? century * 100 : (c.year < 50 ? 2000 : 1900);
        good = good && sm_ok(sm_civil_to_unix(&c, &out));
    }
    if (!good) {
        sm_der_fail(d, SM_ERR(MALFORMED));
        return 0;
    }
    return out;
}
