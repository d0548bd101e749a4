/* SPDX-License-Identifier: Apache-2.0 */
/*
 * EST: enrolment over HTTPS.
 *
 * Threads:   the loop's.
 * Limits:    SM_EST_BODY_MAX. An answer's head has at most 16 fields and 1,000 octets, Date and Content-Length with them:
 *            small clients have fixed buffers. What a refusal says is in its body.
 * Security:  authentication is the label's, decided for each request; see api/enrol.h.
 * Standards: RFC 7030, RFC 8951, RFC 9110, RFC 4559.
 */
#pragma once

#include "api/ticket.h"

#define SM_EST_BODY_MAX (96U << 10) /* a request of 64 KiB in base64 with line breaks */

/* True when the path is EST's: the exchange was taken. */
bool sm_est_serve(sm_api_loop *loop, sm_web *w);
