/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Our errors on EST's wire.
 *
 * Threads:   no state.
 * Limits:    none.
 * Security:  a wrong password, an unknown name and a used one are the same 401.
 * Standards: RFC 7030 4.2.3, RFC 9110 15, RFC 6585 4.
 */
#pragma once

#include "base/err.h"

/* `scheme_helps`: an HTTP scheme could help, so that a denial is 401. */
unsigned sm_est_status(sm_err err, bool scheme_helps);
/* Whether Retry-After goes with it. */
bool sm_est_status_retries(unsigned status);
