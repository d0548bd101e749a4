/* SPDX-License-Identifier: Apache-2.0 */
/*
 * OCSP over HTTP: GET and POST, caching headers, conditional GET.
 *
 * Threads:   the loop's.
 * Limits:    SM_OCSP_REQUEST_MAX.
 * Security:  needs no credentials; answers are signed.
 * Standards: RFC 6960 A.1; RFC 9919 5, 7; RFC 9110 13.
 */
#pragma once

#include "api/api.h"
#include "io/http.h"

/* Answers a request whose path is /ocsp or below it; `rest` is what follows "/ocsp/". */
void sm_ocsp_serve(sm_api_loop *loop, sm_http_exchange *x, sm_slice rest);
