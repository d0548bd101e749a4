/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside api: the steps of an enrolment.
 *
 * Threads:   the loop's.
 * Limits:    none.
 * Security:  none.
 * Standards: none.
 */
#pragma once

#include "api/enrol.h"

/* On a service thread: a password, or the certificate that is renewed; then issuance goes on. */
void sm_enrol_look(sm_enrolment *e);
/* The same once more, after another request came in between. */
void sm_enrol_look_again(sm_enrolment *e);
void sm_enrol_issue(sm_enrolment *e);
void sm_enrol_finish(sm_enrolment *e, sm_err err);

/* What the label has to say of a request, once it has been read: sm_issue.examine of an enrolment's. */
SM_FALLIBLE sm_enrol_examine(sm_issue *issue);
