/* SPDX-License-Identifier: Apache-2.0 */
/*
 * CRLs over HTTP: GET /crl/NAME.crl and its kin (crl.h), with caching headers.
 *
 * A file is read on a service thread, piece by piece, as the peer takes it: the loop never waits for the disk, and
 * a CRL of any size costs a piece of memory.
 *
 * Threads:   the loop's, and service threads.
 * Limits:    SM_CRL_PIECE octets in memory for each request.
 * Security:  needs no credentials; CRLs are signed.
 * Standards: RFC 5280 4.2.1.13; RFC 2585 4.2 (application/pkix-crl).
 */
#pragma once

#include "api/api.h"
#include "io/http.h"

#define SM_CRL_PIECE (128U << 10)

/* `file` is what follows "/crl/". Takes the exchange. */
void sm_crl_serve(sm_api_loop *loop, sm_http_exchange *x, sm_slice file);
