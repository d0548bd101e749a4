/* SPDX-License-Identifier: Apache-2.0 */
#include "sign/der.h"
#include "sign/name_p.h"

/* Well-formed UTF-8 without NUL (RFC 3629: no surrogates, nothing over U+10FFFF, shortest forms).
 */
static bool utf8_is_good(sm_slice v)
{
    static const uint32_t least[] = {0, 0x80, 0x800, 0x10000};
    size_t i = 0;
    while (i < v.len) {
        uint8_t c = v.ptr[i++];
        if (c > 0 && c < 0x80) {
            continue;
        }
        if (c < 0xc2 || c > 0xf4) {
            return false;
        }
        size_t more = c >= 0xf0 ? 3 : (c >= 0xe0 ? 2 : 1);
        if (v.len - i < more) {
            return false;
        }
        uint32_t code = c & (0x3fU >> more);
        for (size_t j = 0; j < more; j++, i++) {
            if ((v.ptr[i] & 0xc0) != 0x80) {
                return false;
            }
            code = code << 6 | (v.ptr[i] & 0x3fU);
        }
        if (code < least[more] || code > 0x10ffff || (code >= 0xd800 && code < 0xe000)) {
            return false;
        }
    }
    return true;
}

/* PrintableString (X.680 41.4): letters, digits, space and '()+,-./:=? . One bit a character, 0x20
 * to 0x7f. */
static bool printable_is_good(sm_slice v)
{
    static const uint32_t good[] = {0xa7fffb81, 0x07fffffe, 0x07fffffe};
    for (size_t i = 0; i < v.len; i++) {
        unsigned c = v.ptr[i] - 0x20U;
        if (c >= 0x60 || (good[c / 32] >> (c % 32) & 1U) == 0) {
            return false;
        }
    }
    return true;
}

/* Octets from 1 to `max`: IA5String without NUL, TeletexString read as Latin-1. */
static bool octets_are_good(sm_slice v, uint8_t max)
{
    for (size_t i = 0; i < v.len; i++) {
        if (v.ptr[i] == 0 || v.ptr[i] > max) {
            return false;
        }
    }
    return true;
}

static size_t width_of(uint8_t tag)
{
    return tag == SM_DER_BMP_STRING ? 2 : (tag == SM_DER_UNIVERSAL_STRING ? 4 : 1);
}

static uint32_t wide_character(const uint8_t *at, size_t width)
{
    uint32_t code = 0;
    for (size_t i = 0; i < width; i++) {
        code = code << 8 | at[i];
    }
    return code;
}

/* BMPString and UniversalString: none of the characters is NUL, a surrogate or beyond Unicode. */
static bool wide_is_good(sm_slice v, size_t width)
{
    if (v.len % width != 0) {
        return false;
    }
    for (size_t i = 0; i < v.len; i += width) {
        uint32_t code = wide_character(v.ptr + i, width);
        if (code == 0 || code > 0x10ffff || (code >= 0xd800 && code < 0xe000)) {
            return false;
        }
    }
    return true;
}

bool sm_string_is_good(uint8_t tag, sm_slice content)
{
    switch (tag) {
    case SM_DER_UTF8_STRING:
        return utf8_is_good(content);
    case SM_DER_PRINTABLE_STRING:
        return printable_is_good(content);
    case SM_DER_IA5_STRING:
        return octets_are_good(content, 0x7f);
    case SM_DER_TELETEX_STRING:
        return octets_are_good(content, 0xff);
    case SM_DER_BMP_STRING:
    case SM_DER_UNIVERSAL_STRING:
        return wide_is_good(content, width_of(tag));
    default:
        return false;
    }
}

size_t sm_string_length(uint8_t tag, sm_slice content)
{
    if (tag != SM_DER_UTF8_STRING) {
        return content.len / width_of(tag);
    }
    size_t n = 0;
    for (size_t i = 0; i < content.len; i++) {
        n += (content.ptr[i] & 0xc0) != 0x80; /* continuations do not count */
    }
    return n;
}

static void put_character(sm_buf *out, uint32_t c)
{
    if (c < 0x80) {
        sm_buf_put_byte(out, (uint8_t)c);
        return;
    }
    size_t more = c >= 0x10000 ? 3 : (c >= 0x800 ? 2 : 1);
    static const uint8_t lead[] = {0, 0xc0, 0xe0, 0xf0};
    sm_buf_put_byte(out, (uint8_t)(lead[more] | c >> (6 * more)));
    while (more-- > 0) {
        sm_buf_put_byte(out, (uint8_t)(0x80U | (c >> (6 * more) & 0x3fU)));
    }
}

void sm_string_to_utf8(sm_buf *out, uint8_t tag, sm_slice content)
{
    size_t width = width_of(tag);
    if (width == 1 && tag != SM_DER_TELETEX_STRING) {
        sm_buf_put(out, content);
        return;
    }
    for (size_t i = 0; i + width <= content.len; i += width) {
        put_character(out, wide_character(content.ptr + i, width));
    }
}
