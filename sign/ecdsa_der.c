/* SPDX-License-Identifier: Apache-2.0 */
#include "sign/ecdsa_der.h"

#include "sign/der.h"

sm_err sm_ecdsa_split(sm_slice der, sm_slice *r, sm_slice *s)
{
    sm_der d = sm_der_init(der);
    sm_der seq = sm_der_enter(&d, SM_DER_SEQUENCE);
    *r = sm_der_read_unsigned(&seq);
    *s = sm_der_read_unsigned(&seq);
    sm_der_leave(&d, &seq);
    return sm_ok(sm_der_finish(&d)) ? SM_NO_ERR : SM_ERR(BAD_SIGNATURE);
}

/* A positive INTEGER: no leading zeros but the sign's. */
static size_t put_integer(const uint8_t *n, size_t len, uint8_t *out)
{
    while (len > 1 && *n == 0) {
        n++;
        len--;
    }
    size_t sign = *n >> 7;
    out[0] = SM_DER_INTEGER;
    out[1] = (uint8_t)(len + sign);
    out[2] = 0;
    memcpy(out + 2 + sign, n, len);
    return 2 + sign + len;
}

size_t sm_ecdsa_join(const uint8_t *r, const uint8_t *s, size_t len, uint8_t *out)
{
    uint8_t body[2 * (2 + 1 + 66)];
    size_t n = put_integer(r, len, body);
    n += put_integer(s, len, body + n);
    size_t at = 0;
    out[at++] = SM_DER_SEQUENCE;
    if (n > 127) {
        out[at++] = 0x81;
    }
    out[at++] = (uint8_t)n;
    memcpy(out + at, body, n);
    return at + n;
}
