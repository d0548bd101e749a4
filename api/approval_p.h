/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside api: where requests that wait are in the store; see ApprovalRecord in record.proto.
 *
 * Threads:   no state.
 * Limits:    SM_APPROVAL_RECORD_MAX octets.
 * Security:  none.
 * Standards: none.
 */
#pragma once

#include "api/api_p.h"
#include "api/approval.h"
#include "api/record.h"

#define SM_APPROVAL_ROWS "approval/"
#define SM_APPROVAL_OPEN "approval-open/"
#define SM_APPROVAL_END "approval-end/"
#define SM_APPROVAL_RECORD_MAX (256U << 10) /* a request of 64 KiB, its names again, and words */

SM_FALLIBLE sm_approval_key(sm_slice id, sm_arena *arena, sm_slice *out);
SM_FALLIBLE sm_approval_open_key(sm_slice id, sm_arena *arena, sm_slice *out);
/* Of a label's rows under one of these prefixes; label NULL: of all. */
SM_FALLIBLE sm_approval_rows(const char *prefix, const char *label, sm_arena *arena, sm_slice *from,
                             sm_slice *to);
