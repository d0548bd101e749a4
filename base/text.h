/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Text codecs: hexadecimal, base64, percent escapes, decimal numbers, PEM.
 *
 * Threads:   any; no state.
 * Limits:    the output buffer's cap. A decoder that fails leaves the buffer as long as it was.
 * Security:  decoders refuse what is not canonical unless told otherwise; none reads past its
 * input. Standards: RFC 4648 (base16, base64, base64url), RFC 7468 (PEM), RFC 3986 2.1 (percent).
 */
#pragma once

#include "base/buf.h"
#include "base/err.h"
#include "base/slice.h"

/* Lower-case hex of `in`, appended. */
void sm_hex_encode(sm_buf *out, sm_slice in);

/* Writes 2*in.len lower-case digits and a NUL to `out`; returns `out`. */
char *sm_hex_format(sm_slice in, char *out);

/* Either case; colons between octets are allowed if `colons`. Errors: MALFORMED; the buffer's own.
 */
SM_FALLIBLE sm_hex_decode(sm_buf *out, sm_slice in, bool colons);

/* Base64 with padding (RFC 4648 4), one line. */
void sm_base64_encode(sm_buf *out, sm_slice in);
/* Base64url without padding (RFC 4648 5). */
void sm_base64url_encode(sm_buf *out, sm_slice in);

enum sm_base64_flags {
    SM_BASE64_STRICT = 0,
    SM_BASE64_SPACE = 1,  /* white space anywhere is skipped */
    SM_BASE64_URL = 2,    /* '-' and '_' are accepted as well as '+' and '/' */
    SM_BASE64_NO_PAD = 4, /* padding may be missing */
};

/* Non-zero trailing bits and characters after the padding are refused. Errors: MALFORMED; the
 * buffer's own. */
SM_FALLIBLE sm_base64_decode(sm_buf *out, sm_slice in, unsigned flags);

/* Decodes %XX; anything else is copied ('+' is not a space). Errors: MALFORMED for a broken escape.
 */
SM_FALLIBLE sm_percent_decode(sm_buf *out, sm_slice in);

/* Escapes every octet that is not printable ASCII, and '%' (as grpc-message wants). */
void sm_percent_encode(sm_buf *out, sm_slice in);

/* Digits only, no sign, no spaces. Errors: MALFORMED, OUT_OF_RANGE. */
SM_FALLIBLE sm_decimal_parse(sm_slice in, uint64_t *out);

/* Appends a PEM block with 64-column lines: -----BEGIN label----- ... */
void sm_pem_encode(sm_buf *out, const char *label, sm_slice der);

/* Finds the next PEM block in `*text`, appends its DER to `out`, sets `*label` (borrowed from the
 * text) and moves `*text` behind it. Text before the block is skipped. Errors: NOT_FOUND when there
 * is no further block, MALFORMED. */
SM_FALLIBLE sm_pem_next(sm_slice *text, sm_slice *label, sm_buf *out);
