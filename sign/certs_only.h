/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Certificates in a SignedData that nobody signed: "certs-only".
 *
 * Threads:   no state.
 * Limits:    the buffer's cap.
 * Security:  public certificates only.
 * Standards: RFC 5652 5.1, RFC 8551 3.2.2, RFC 5273.
 */
#pragma once

#include "base/buf.h"
#include "base/err.h"

/* Appends the ContentInfo. With `sorted` the certificates are in the order of DER's SET OF, each once
 * (`certs` is sorted for it); else they stay in the order that they have: some clients take the first for
 * the one that they asked for. Errors: the buffer's own. */
SM_FALLIBLE sm_certs_only_write(sm_buf *out, sm_slice *certs, size_t count, bool sorted);
