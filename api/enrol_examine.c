/* SPDX-License-Identifier: Apache-2.0 */
/* Enrolment: what a label has to say of a request. */
#include "api/enrol_p.h"

sm_err sm_enrol_examine(sm_issue *issue)
{
    sm_enrolment *e = issue->ctx;
    return sm_label_rules_check(&e->label->rules, &issue->csr, issue->arena, &issue->diag);
}
