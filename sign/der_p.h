/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside the DER reader: rules of single types.
 *
 * Threads:   values.
 * Limits:    none.
 * Security:  none.
 * Standards: X.690 8.3.2.
 */
#pragma once

#include "sign/der.h"

/* Content octets of an INTEGER: not empty, and the first nine bits are not all alike. */
static inline bool sm_der_integer_is_good(sm_slice v)
{
    return v.len == 1 || (v.len > 1 && !((v.ptr[0] == 0 && v.ptr[1] < 0x80) ||
                                         (v.ptr[0] == 0xff && v.ptr[1] >= 0x80)));
}
