/* SPDX-License-Identifier: Apache-2.0 */
#include "sign/der.h"

#include "base/clock.h"

#include <stdio.h>

size_t sm_der_header_size(size_t len)
{
    size_t size = 2;
    for (size_t v = len; len >= 0x80 && v > 0; v >>= 8) {
        size++;
    }
    return size;
}

sm_der_block sm_der_begin(sm_buf *out, uint8_t tag)
{
    sm_buf_put_byte(out, tag);
    sm_der_block block = {out->len};
    sm_buf_put_byte(out, 0);
    return block;
}

void sm_der_end(sm_buf *out, sm_der_block block)
{
    if (!sm_ok(out->err)) {
        return;
    }
    size_t content = block.at + 1;
    size_t len = out->len - content;
    size_t more = sm_der_header_size(len) - 2;
    if (more > 0) {
        if (sm_buf_reserve(out, more) == NULL) {
            return;
        }
        memmove(out->ptr + content + more, out->ptr + content, len);
        sm_buf_commit(out, more);
        for (size_t i = 0; i < more; i++) {
            out->ptr[content + i] = (uint8_t)(len >> (8 * (more - 1 - i)));
        }
    }
    out->ptr[block.at] = (uint8_t)(more == 0 ? len : 0x80U | more);
}

void sm_der_write(sm_buf *out, uint8_t tag, sm_slice content)
{
    size_t header = sm_der_header_size(content.len);
    uint8_t *to = sm_buf_reserve(out, header + content.len);
    if (to == NULL) {
        return;
    }
    to[0] = tag;
    if (header == 2) {
        to[1] = (uint8_t)content.len;
    } else {
        to[1] = (uint8_t)(0x80U | (header - 2));
        for (size_t i = 2; i < header; i++) {
            to[i] = (uint8_t)(content.len >> (8 * (header - 1 - i)));
        }
    }
    if (content.len > 0) {
        memcpy(to + header, content.ptr, content.len);
    }
    sm_buf_commit(out, header + content.len);
}

void sm_der_write_bool(sm_buf *out, bool v)
{
    uint8_t octet = v ? 0xff : 0;
    sm_der_write(out, SM_DER_BOOLEAN, sm_slice_of(&octet, 1));
}

void sm_der_write_unsigned(sm_buf *out, sm_slice magnitude)
{
    while (magnitude.len > 1 && magnitude.ptr[0] == 0) {
        magnitude = sm_slice_from(magnitude, 1);
    }
    if (magnitude.len == 0) {
        sm_der_write(out, SM_DER_INTEGER, SM_LIT("\0"));
        return;
    }
    if (magnitude.ptr[0] < 0x80) {
        sm_der_write(out, SM_DER_INTEGER, magnitude);
        return;
    }
    sm_der_block block = sm_der_begin(out, SM_DER_INTEGER);
    sm_buf_put_byte(out, 0);
    sm_buf_put(out, magnitude);
    sm_der_end(out, block);
}

void sm_der_write_u64(sm_buf *out, uint64_t v)
{
    uint8_t octets[8];
    for (size_t i = 0; i < 8; i++) {
        octets[i] = (uint8_t)(v >> (8 * (7 - i)));
    }
    sm_der_write_unsigned(out, sm_slice_of(octets, 8));
}

void sm_der_write_null(sm_buf *out)
{
    sm_der_write(out, SM_DER_NULL, SM_SLICE_NONE);
}

void sm_der_write_oid(sm_buf *out, sm_slice oid)
{
    sm_der_write(out, SM_DER_OID, oid);
}

void sm_der_write_bits(sm_buf *out, sm_slice octets)
{
    sm_der_block block = sm_der_begin(out, SM_DER_BIT_STRING);
    sm_buf_put_byte(out, 0);
    sm_buf_put(out, octets);
    sm_der_end(out, block);
}

void sm_der_write_named_bits(sm_buf *out, uint32_t bits)
{
    uint8_t content[5] = {0};
    size_t len = 1;
    unsigned last = 0;
    for (unsigned n = 0; n < 32; n++) {
        if ((bits >> n & 1U) != 0) {
            content[1 + n / 8] = (uint8_t)(content[1 + n / 8] | (0x80U >> (n % 8)));
            last = n;
            len = 2 + n / 8;
        }
    }
    content[0] = (uint8_t)(len == 1 ? 0 : 7 - last % 8);
    sm_der_write(out, SM_DER_BIT_STRING, sm_slice_of(content, len));
}

static void put_two(uint8_t *at, int v)
{
    at[0] = (uint8_t)('0' + v / 10 % 10);
    at[1] = (uint8_t)('0' + v % 10);
}

static void write_time(sm_buf *out, int64_t unix_s, bool utc)
{
    struct sm_civil c;
    sm_civil_from_unix(unix_s, &c);
    uint8_t text[15];
    put_two(text, c.year / 100);
    put_two(text + 2, c.year % 100);
    put_two(text + 4, c.month);
    put_two(text + 6, c.day);
    put_two(text + 8, c.hour);
    put_two(text + 10, c.minute);
    put_two(text + 12, c.second);
    text[14] = 'Z';
    sm_slice all = sm_slice_of(text, sizeof(text));
    if (utc) {
        sm_der_write(out, SM_DER_UTC_TIME, sm_slice_from(all, 2));
    } else {
        sm_der_write(out, SM_DER_GENERALIZED_TIME, all);
    }
}

void sm_der_write_generalized_time(sm_buf *out, int64_t unix_s)
{
    write_time(out, unix_s, false);
}

#define UNIX_1950 INT64_C(-631152000)
#define UNIX_2050 INT64_C(2524608000)

void sm_der_write_time(sm_buf *out, int64_t unix_s)
{
    write_time(out, unix_s, unix_s >= UNIX_1950 && unix_s < UNIX_2050);
}
