/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/utf8.h"

bool sm_utf8_is_valid(sm_slice s)
{
    size_t i = 0;
    while (i < s.len) {
        uint8_t c = s.ptr[i++];
        if (c < 0x80) {
            continue;
        }
        size_t more = c >= 0xf0 ? 3 : (c >= 0xe0 ? 2 : 1);
        if (c < 0xc2 || c > 0xf4 || s.len - i < more) {
            return false;
        }
        uint32_t code = c & (0x3fU >> more);
        for (size_t j = 0; j < more; j++) {
            if ((s.ptr[i] & 0xc0) != 0x80) {
                return false;
            }
            code = code << 6 | (s.ptr[i++] & 0x3fU);
        }
        if ((more == 2 && code < 0x800) || (more == 3 && (code < 0x10000 || code > 0x10ffff)) ||
            (code >= 0xd800 && code < 0xe000)) {
            return false;
        }
    }
    return true;
}
