/* SPDX-License-Identifier: Apache-2.0 */
#include "base/text.h"
#include "sign/der.h"

static void put_arc(sm_buf *out, uint64_t v)
{
    uint8_t octets[10];
    size_t at = sizeof(octets);
    octets[--at] = (uint8_t)(v & 0x7f);
    for (v >>= 7; v > 0; v >>= 7) {
        octets[--at] = (uint8_t)(0x80 | (v & 0x7f));
    }
    sm_buf_put(out, sm_slice_of(octets + at, sizeof(octets) - at));
}

#define ARC_MAX (UINT64_MAX >> 8) /* leaves room for 40 * first */

sm_err sm_oid_from_text(sm_slice text, sm_buf *out)
{
    uint64_t first = 0;
    size_t arcs = 0;
    while (text.len > 0 || text.ptr != NULL) {
        sm_slice part = sm_slice_split(&text, '.');
        uint64_t v;
        bool good = sm_ok(sm_decimal_parse(part, &v)) && v <= ARC_MAX &&
                    (part.len == 1 || part.ptr[0] != '0');
        if (!good || (arcs == 0 && v > 2) || (arcs == 1 && first < 2 && v > 39)) {
            return SM_ERR(MALFORMED);
        }
        if (arcs == 0) {
            first = v;
        } else {
            put_arc(out, arcs == 1 ? first * 40 + v : v);
        }
        arcs++;
    }
    return arcs < 2 ? SM_ERR(MALFORMED) : sm_buf_err(out);
}

sm_err sm_oid_to_text(sm_slice oid, sm_buf *out)
{
    uint64_t v = 0;
    bool first = true;
    for (size_t i = 0; i < oid.len; i++) {
        if (v > ARC_MAX >> 7) {
            return SM_ERR(OUT_OF_RANGE);
        }
        v = v << 7 | (oid.ptr[i] & 0x7fU);
        if (oid.ptr[i] >= 0x80) {
            continue;
        }
        if (first) {
            uint64_t top = v < 80 ? v / 40 : 2;
            sm_buf_put_decimal(out, top);
            v -= top * 40;
            first = false;
        }
        sm_buf_put_byte(out, '.');
        sm_buf_put_decimal(out, v);
        v = 0;
    }
    return first ? SM_ERR(MALFORMED) : sm_buf_err(out);
}
