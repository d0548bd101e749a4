/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The public HTTP service: OCSP under /ocsp, CA certificates under /ca/.
 *
 * Threads:   the loop's.
 * Limits:    SM_OCSP_REQUEST_MAX.
 * Security:  needs no credentials; answers are signed.
 * Standards: RFC 6960 A.1; RFC 5280 4.2.2.1 (caIssuers).
 */
#pragma once

#include "api/api.h"
#include "io/http.h"

/* True when the path is one of this service's: the exchange was taken. */
bool sm_public_serve(sm_api_loop *loop, sm_http_exchange *x);
/* /healthz, /readyz, /metrics. */
bool sm_operations_serve(sm_api_loop *loop, sm_http_exchange *x);
