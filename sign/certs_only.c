/* SPDX-License-Identifier: Apache-2.0 */
#include "sign/certs_only.h"

#include "sign/der.h"
#include "sign/oids.h"

#include <stdlib.h>

#define FRAME_ROOM 128 /* octets around the certificates */

static int compare_slices(const void *a, const void *b)
{
    const sm_slice *x = a;
    const sm_slice *y = b;
    int order = memcmp(x->ptr, y->ptr, x->len < y->len ? x->len : y->len);
    return order != 0 ? order : (x->len > y->len) - (x->len < y->len);
}

sm_err sm_certs_only_write(sm_buf *out, sm_slice *certs, size_t count, bool sorted)
{
    if (sorted && count > 0) {
        qsort(certs, count, sizeof(*certs), compare_slices);
    }
    size_t octets = FRAME_ROOM;
    for (size_t i = 0; i < count; i++) {
        octets += certs[i].len;
    }
    (void)sm_buf_reserve(out, octets); /* at once, instead of growing to it */
    sm_der_block info = sm_der_begin(out, SM_DER_SEQUENCE);
    sm_der_write_oid(out, SM_OID_SIGNED_DATA);
    sm_der_block content = sm_der_begin(out, SM_DER_CTX_CONS(0));
    sm_der_block data = sm_der_begin(out, SM_DER_SEQUENCE);
    sm_der_write_u64(out, 1); /* version: only v3 certificates, content id-data (RFC 5652 5.1) */
    sm_der_write(out, SM_DER_SET, SM_SLICE_NONE);
    sm_der_block encap = sm_der_begin(out, SM_DER_SEQUENCE);
    sm_der_write_oid(out, SM_OID_DATA);
    sm_der_end(out, encap);
    sm_der_block list = sm_der_begin(out, SM_DER_CTX_CONS(0));
    for (size_t i = 0; i < count; i++) {
        if (!sorted || i == 0 || !sm_slice_equal(certs[i - 1], certs[i])) {
            sm_buf_put(out, certs[i]);
        }
    }
    sm_der_end(out, list);
    sm_der_write(out, SM_DER_SET, SM_SLICE_NONE);
    sm_der_end(out, data);
    sm_der_end(out, content);
    sm_der_end(out, info);
    return sm_buf_err(out);
}
