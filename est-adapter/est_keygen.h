/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The answer of serverkeygen: the private key, then the certificate.
 *
 * Threads:   no state.
 * Limits:    the buffer's.
 * Security:  the body has a private key: it is written into a secret buffer. What the connection copies of it is freed,
 *            and encrypted before it leaves.
 * Standards: RFC 7030 4.4.2, RFC 8951 3.1, RFC 2046 5.1.
 */
#pragma once

#include "base/buf.h"
#include "base/err.h"

#define SM_EST_BOUNDARY_MAX 48

/* A boundary that no base64 has, of its own for each answer; and the whole Content-Type with it. */
struct sm_est_parts {
    char boundary[SM_EST_BOUNDARY_MAX];
    char type[SM_EST_BOUNDARY_MAX + 32];
};
void sm_est_parts_init(struct sm_est_parts *parts);
/* Appends the body: the key (PKCS#8, or CMS where it is enveloped), then certs-only CMS, each in lines of base64. */
void sm_est_parts_write(const struct sm_est_parts *parts, sm_slice key, bool enveloped,
                        sm_slice certs_only, sm_buf *out);
