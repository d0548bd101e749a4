/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Keeps an answer that was signed for a query: a write behind the answer, for which nobody waits.
 *
 * The row is written only if the certificate's state is still what the answer was made from: a revocation
 * that came in between wins.
 *
 * Threads:   the loop's.
 * Limits:    SM_OCSP_KEEP_MAX writes under way in a loop; over it the answer is not kept.
 * Security:  see above.
 * Standards: none.
 */
#pragma once

#include "api/ocsp_presign.h"

#define SM_OCSP_KEEP_MAX 4096

/* `so_far`: the row that says the certificate's state, as it was read. Everything is copied. */
void sm_ocsp_keep(sm_api_loop *loop, sm_ocsp_presign *p, const struct sm_store_cond *so_far);
