/* SPDX-License-Identifier: Apache-2.0 */
#include "base/text.h"

#define PEM_LINE_OCTETS 48 /* make 64 digits (RFC 7468 2) */
#define PEM_LABEL_MAX 64   /* "CERTIFICATE REQUEST" has 19; longer ones are no PEM */

static const char begin_mark[] = "-----BEGIN ";
static const char end_mark[] = "-----END ";
static const char dashes[] = "-----";

void sm_pem_encode(sm_buf *out, const char *label, sm_slice der)
{
    sm_buf_printf(out, "%s%s%s\n", begin_mark, label, dashes);
    while (der.len > 0) {
        sm_base64_encode(out, sm_slice_first(der, PEM_LINE_OCTETS));
        sm_buf_put_byte(out, '\n');
        der = sm_slice_from(der, PEM_LINE_OCTETS);
    }
    sm_buf_printf(out, "%s%s%s\n", end_mark, label, dashes);
}

/* Cuts `*rest` behind the first `mark`; `*before` is what stands before it. */
static bool cut_at(sm_slice *rest, const char *mark, sm_slice *before)
{
    sm_slice m = sm_slice_str(mark);
    size_t at = sm_slice_search(*rest, m);
    if (at == rest->len) {
        return false;
    }
    *before = sm_slice_first(*rest, at);
    *rest = sm_slice_from(*rest, at + m.len);
    return true;
}

sm_err sm_pem_next(sm_slice *text, sm_slice *label, sm_buf *out)
{
    sm_slice rest = *text;
    sm_slice skipped;
    sm_slice name;
    sm_slice body;
    if (!cut_at(&rest, begin_mark, &skipped)) {
        return SM_ERR(NOT_FOUND);
    }
    if (!cut_at(&rest, dashes, &name) || name.len > PEM_LABEL_MAX ||
        sm_slice_find(name, '\n') < name.len || !cut_at(&rest, end_mark, &body)) {
        return SM_ERR(MALFORMED);
    }
    /* RFC 7468 2: both labels are the same. */
    if (!sm_slice_starts_with(rest, name)) {
        return SM_ERR(MALFORMED);
    }
    rest = sm_slice_from(rest, name.len);
    if (!sm_slice_starts_with(rest, sm_slice_str(dashes))) {
        return SM_ERR(MALFORMED);
    }
    SM_TRY(sm_base64_decode(out, body, SM_BASE64_SPACE));
    *label = name;
    *text = sm_slice_from(rest, sizeof(dashes) - 1);
    return SM_NO_ERR;
}
