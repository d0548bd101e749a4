/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside api: the two halves of an OCSP query, what is kept and what is signed now.
 *
 * Threads:   the loop's.
 * Limits:    ocsp_query.h.
 * Security:  none.
 * Standards: none.
 */
#pragma once

#include "api/ocsp_query.h"

/* Ends it with an answer in q->response, or with an unsigned error. Always says true, for callers that
 * finish at once; from a completion, call sm_ocsp_query_done behind it. */
bool sm_ocsp_query_fail(sm_ocsp_query *q, enum sm_ocsp_error error);
void sm_ocsp_query_done(sm_ocsp_query *q);
/* Makes the response of a kept answer. Errors: those of sm_ocsp_single_response. */
SM_FALLIBLE sm_ocsp_query_use(sm_ocsp_query *q, const struct sm_ocsp_signer *signer,
                              const struct sm_ocsp_kept *kept);
/* Counts an answer by what it says, of the first certificate. */
void sm_ocsp_query_count(const sm_ocsp_query *q);
/* Looks for the answer of an offline CA that was loaded (ocsp_loaded.c). True: it is finished already. */
bool sm_ocsp_loaded_start(sm_ocsp_query *q);
/* Looks for a kept answer to a query about one certificate, and has it signed where there is none. True: it
 * is finished already. */
bool sm_ocsp_query_kept(sm_ocsp_query *q);
/* Signs an answer. True: it is finished already (an error). */
bool sm_ocsp_live_start(sm_ocsp_query *q);
