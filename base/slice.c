/* SPDX-License-Identifier: Apache-2.0 */
#include "base/slice.h"

int sm_slice_compare(sm_slice a, sm_slice b)
{
    size_t n = a.len < b.len ? a.len : b.len;
    int order = n == 0 ? 0 : memcmp(a.ptr, b.ptr, n);
    if (order != 0) {
        return order;
    }
    return a.len < b.len ? -1 : a.len > b.len;
}

static uint8_t lower(uint8_t c)
{
    return (uint8_t)(c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c);
}

bool sm_slice_equal_nocase(sm_slice a, sm_slice b)
{
    if (a.len != b.len) {
        return false;
    }
    for (size_t i = 0; i < a.len; i++) {
        if (lower(a.ptr[i]) != lower(b.ptr[i])) {
            return false;
        }
    }
    return true;
}

bool sm_slice_equal_secret(sm_slice a, sm_slice b)
{
    if (a.len != b.len) {
        return false;
    }
    volatile uint8_t difference = 0;
    for (size_t i = 0; i < a.len; i++) {
        difference = (uint8_t)(difference | (a.ptr[i] ^ b.ptr[i]));
    }
    return difference == 0;
}

bool sm_slice_starts_with(sm_slice s, sm_slice prefix)
{
    return s.len >= prefix.len && sm_slice_equal(sm_slice_first(s, prefix.len), prefix);
}

bool sm_slice_ends_with(sm_slice s, sm_slice suffix)
{
    return s.len >= suffix.len && sm_slice_equal(sm_slice_from(s, s.len - suffix.len), suffix);
}

size_t sm_slice_find(sm_slice s, uint8_t byte)
{
    const uint8_t *at = s.len == 0 ? NULL : memchr(s.ptr, byte, s.len);
    return at == NULL ? s.len : (size_t)(at - s.ptr);
}

size_t sm_slice_search(sm_slice s, sm_slice needle)
{
    if (needle.len == 0) {
        return 0;
    }
    const uint8_t *at = s.len < needle.len ? NULL : memmem(s.ptr, s.len, needle.ptr, needle.len);
    return at == NULL ? s.len : (size_t)(at - s.ptr);
}

static bool is_space(uint8_t c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

sm_slice sm_slice_trim(sm_slice s)
{
    while (s.len > 0 && is_space(s.ptr[0])) {
        s = sm_slice_from(s, 1);
    }
    while (s.len > 0 && is_space(s.ptr[s.len - 1])) {
        s.len--;
    }
    return s;
}

sm_slice sm_slice_split(sm_slice *rest, uint8_t sep)
{
    size_t at = sm_slice_find(*rest, sep);
    sm_slice head = sm_slice_first(*rest, at);
    *rest = at == rest->len ? SM_SLICE_NONE : sm_slice_from(*rest, at + 1);
    return head;
}
