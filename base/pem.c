/* SPDX-License-Identifier: Apache-2.0 */
#include "base/text.h"

#define PEM_COLUMNS 48 /* octets in a line of 64 digits (RFC 7468 2) */

void sm_pem_encode(sm_buf *out, const char *label, sm_slice der)
{
    sm_buf_printf(out, "-----BEGIN %s-----\n", label);
    while (der.len > 0) {
        sm_base64_encode(out, sm_slice_first(der, PEM_COLUMNS));
        sm_buf_put_byte(out, '\n');
        der = sm_slice_from(der, PEM_COLUMNS);
    }
    sm_buf_printf(out, "-----END %s-----\n", label);
}

sm_err sm_pem_next(sm_slice *text, sm_slice *label, sm_buf *out)
{
    sm_slice rest = *text;
    size_t begin = sm_slice_search(rest, SM_LIT("-----BEGIN "));
    if (begin == rest.len) {
        return SM_ERR(NOT_FOUND);
    }
    rest = sm_slice_from(rest, begin + 11);
    size_t dashes = sm_slice_search(rest, SM_LIT("-----"));
    if (dashes == rest.len || dashes > 64 || sm_slice_find(sm_slice_first(rest, dashes), '\n') < dashes) {
        return SM_ERR(MALFORMED);
    }
    sm_slice name = sm_slice_first(rest, dashes);
    rest = sm_slice_from(rest, dashes + 5);
    size_t end = sm_slice_search(rest, SM_LIT("-----END "));
    if (end == rest.len) {
        return SM_ERR(MALFORMED);
    }
    sm_slice body = sm_slice_first(rest, end);
    rest = sm_slice_from(rest, end + 9);
    if (!sm_slice_starts_with(rest, name) ||
        !sm_slice_starts_with(sm_slice_from(rest, name.len), SM_LIT("-----"))) {
        return SM_ERR(MALFORMED);
    }
    SM_TRY(sm_base64_decode(out, body, SM_BASE64_SPACE));
    *label = name;
    *text = sm_slice_from(rest, name.len + 5);
    return SM_NO_ERR;
}
