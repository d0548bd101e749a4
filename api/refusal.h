/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Audit records of calls that were refused for want of a right, or by a signing key's policy.
 *
 * Who came with good credentials and asked for what it may not do belongs into the audit; but a
 * refusal must cost nothing that lasts, so at most SM_REFUSALS_PER_SECOND are written. The rest
 * is counted, and every one has its log line.
 *
 * Threads:   the loop's.
 * Limits:    SM_REFUSALS_PER_SECOND.
 * Security:  anonymous calls leave no record: anyone could fill the disk.
 * Standards: none.
 */
#pragma once

#include "api/call.h"

#define SM_REFUSALS_PER_SECOND \
    10 /* a person's mistakes and a script's; 86 MB a day at the very most */

/* Writes the record behind the answer: nobody waits for it. `diag` says why; the correlation id is
 * the call's, or that of one item of its stream. */
void sm_refusal_record(const sm_call *call, sm_slice correlation_id, sm_err err,
                       const sm_diag *diag);
