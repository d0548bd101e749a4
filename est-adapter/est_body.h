/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bodies: what clients really send, and what they get.
 *
 * RFC 8951 has base64, with or without line breaks, whatever Content-Transfer-Encoding says. Clients also send
 * PEM with its header lines, CRLF, and plain DER. All of these are taken, since none can be mistaken for
 * another; anything else is refused with a reason.
 *
 * Threads:   no state.
 * Limits:    the arena's.
 * Security:  the reader takes one object and nothing behind it.
 * Standards: RFC 7030 4.2.1, RFC 8951 3, RFC 7468.
 */
#pragma once

#include "base/arena.h"
#include "base/buf.h"
#include "base/diag.h"
#include "base/err.h"

enum sm_est_form {
    SM_EST_ONE_LINE, /* base64 without line breaks */
    SM_EST_LINES,    /* base64 or PEM in lines */
    SM_EST_DER,
};

struct sm_est_body {
    sm_slice der; /* in the arena, or the body itself */
    enum sm_est_form form;
};

/* Whether a Content-Type can be of a PKCS#10 request: any but those that say plainly that it is something
 * else. Empty: there was none. */
bool sm_est_type_may_be_csr(sm_slice content_type);
/* Reads a request's body. Errors: MALFORMED with the reason, NO_MEMORY. */
SM_FALLIBLE sm_est_body_read(sm_slice body, sm_arena *arena, struct sm_est_body *out,
                             sm_diag *diag);

#define SM_EST_COLUMNS 64
/* Writes DER as `form` has it; lines end in LF, the last one too. Appended. */
void sm_est_body_write(sm_slice der, enum sm_est_form form, sm_buf *out);
