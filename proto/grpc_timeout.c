/* SPDX-License-Identifier: Apache-2.0 */
#include "base/clock.h"
#include "base/text.h"
#include "proto/grpc.h"

static uint64_t unit_ns(uint8_t unit)
{
    switch (unit) {
    case 'H':
        return 3600 * SM_NS_PER_S;
    case 'M':
        return 60 * SM_NS_PER_S;
    case 'S':
        return SM_NS_PER_S;
    case 'm':
        return SM_NS_PER_MS;
    case 'u':
        return SM_NS_PER_US;
    case 'n':
        return 1;
    default:
        return 0;
    }
}

sm_err sm_grpc_timeout_parse(sm_slice text, uint64_t *out_ns)
{
    if (text.len < 2 || text.len > 9) {
        return SM_ERR(MALFORMED);
    }
    uint64_t unit = unit_ns(text.ptr[text.len - 1]);
    uint64_t v;
    if (unit == 0 || !sm_ok(sm_decimal_parse(sm_slice_first(text, text.len - 1), &v))) {
        return SM_ERR(MALFORMED);
    }
    /* 99999999 hours do not fit; nobody waits for so long. */
    *out_ns = v > UINT64_MAX / unit ? UINT64_MAX : v * unit;
    return SM_NO_ERR;
}

void sm_grpc_timeout_format(uint64_t ns, sm_buf *out)
{
    static const char units[] = "numSMH";
    static const uint64_t sizes[] = {1, 1000, 1000, 1000, 60, 60};
    size_t i = 0;
    for (; i < 5 && ns > 99999999; i++) {
        ns /= sizes[i + 1];
    }
    sm_buf_put_decimal(out, ns > 99999999 ? 99999999 : ns);
    sm_buf_put_byte(out, (uint8_t)units[i]);
}
