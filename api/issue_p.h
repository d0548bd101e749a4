/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside api: the second half of issuance.
 *
 * Threads:   the loop's.
 * Limits:    none.
 * Security:  none.
 * Standards: none.
 */
#pragma once

#include "api/issue.h"

enum sm_issue_stage {
    SM_STAGE_PARSE,
    SM_STAGE_VERIFY,
    SM_STAGE_SIGN,
    SM_STAGE_STORE,
    SM_STAGE_TOTAL,
    SM_STAGE_COUNT
};

/* Submits the durable write. Errors: then nothing was submitted. */
SM_FALLIBLE sm_issue_commit(sm_issue *issue);
/* Counts, logs, frees what is private, calls done. */
void sm_issue_complete(sm_issue *issue);
/* Observes the time since the last stage. */
void sm_issue_stage(sm_issue *issue, enum sm_issue_stage stage);
void sm_issue_register_metrics(void);
