/* SPDX-License-Identifier: Apache-2.0 */
#include "est-adapter/est_keygen.h"

#include "base/rand.h"
#include "est-adapter/est_body.h"

#include <stdio.h>

void sm_est_parts_init(struct sm_est_parts *p)
{
    /* "=_" stands in no base64 (RFC 2045 6.7). */
    (void)snprintf(p->boundary, sizeof(p->boundary), "=_%016llx",
                   (unsigned long long)sm_rand_u64());
    (void)snprintf(p->type, sizeof(p->type), "multipart/mixed; boundary=\"%s\"", p->boundary);
}

static void write_part(const struct sm_est_parts *p, const char *type, sm_slice der, sm_buf *out)
{
    sm_buf_printf(out, "--%s\r\nContent-Type: %s\r\nContent-Transfer-Encoding: base64\r\n\r\n",
                  p->boundary, type);
    sm_est_body_write(der, SM_EST_LINES, out);
    sm_buf_put(out, SM_LIT("\r\n"));
}

void sm_est_parts_write(const struct sm_est_parts *p, sm_slice key, bool enveloped,
                        sm_slice certs_only, sm_buf *out)
{
    write_part(p,
               enveloped ? "application/pkcs7-mime; smime-type=server-generated-key"
                         : "application/pkcs8",
               key, out);
    write_part(p, "application/pkcs7-mime; smime-type=certs-only", certs_only, out);
    sm_buf_printf(out, "--%s--\r\n", p->boundary);
}
