/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The OCSP responder over HTTP.
 *
 * Threads:   the loop's.
 * Limits:    SM_OCSP_REQUEST_MAX octets, SM_OCSP_CERTS_MAX CertIDs.
 * Security:  answers are signed by a delegated responder under the CA's own key; a damaged state
 *            is never `good`.
 * Standards: RFC 6960, RFC 9654.
 */
#pragma once

#include "api/api.h"
#include "io/http.h"

/* `rest`: the path behind "/ocsp/" (GET). */
void sm_ocsp_serve(sm_api_loop *loop, sm_http_exchange *x, sm_slice rest);
