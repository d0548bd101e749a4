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
/* Starts the issuance, as a person approved it where one did. `dry_run`: as sm_issue has it. */
void sm_enrol_submit(sm_enrolment *e, bool dry_run, void (*done)(sm_issue *issue));
/* Whether it would be issued but for its proof of possession, which is not looked at. */
void sm_enrol_try(sm_enrolment *e, void (*done)(sm_issue *issue));
/* The end of the enrolment with the issuance's. */
void sm_enrol_finish_issued(sm_enrolment *e, const sm_issue *issue);
/* The certificate of this serial number once more, as the answer. Blocks. Errors: NOT_FOUND, CORRUPT, DISK, NO_MEMORY. */
SM_FALLIBLE sm_enrol_repeat(sm_enrolment *e, sm_slice serial);
/* Whether credentials are of this scheme ("basic"). */
bool sm_enrol_is_scheme(sm_slice authorization, sm_slice scheme);
/* The caller by its kind and name, with the label's rights. Errors: NO_MEMORY. */
SM_FALLIBLE sm_enrol_name_caller(sm_enrolment *e, const char *kind, sm_slice name);
/* The request is for this subject. Errors: POLICY with `reason`, those of reading it, NO_MEMORY. */
SM_FALLIBLE sm_enrol_check_subject(sm_enrolment *e, const char *wanted, const char *reason);
/* Negotiate: on the loop, what the service thread needs of the connection; and there, who it is. Errors: UNAUTHENTICATED,
 * FORBIDDEN, POLICY, RATE_LIMITED, NO_MEMORY. */
SM_FALLIBLE sm_enrol_prepare_negotiate(sm_enrolment *e);
SM_FALLIBLE sm_enrol_by_negotiate(sm_enrolment *e);
/* Where the request came from, without the port. */
sm_slice sm_enrol_address(const sm_enrolment *e);

/* Whether it needs a person's approval. */
bool sm_enrol_wants_approval(const sm_enrolment *e);
/* Looks what became of it; keeps it where it is new. */
void sm_enrol_ask(sm_enrolment *e);
/* An approved one's certificate and names. */
SM_FALLIBLE sm_enrol_use_approval(sm_issue *issue, struct sm_store_cond *cond,
                                  struct sm_store_put *put);
SM_FALLIBLE sm_enrol_set_approved_names(sm_issue *issue);
/* The end of an approved one's issuance. */
void sm_enrol_on_approved(sm_issue *issue);
void sm_enrol_finish(sm_enrolment *e, sm_err err);

/* What the label has to say of a request, once it has been read: sm_issue.examine of an enrolment's. */
SM_FALLIBLE sm_enrol_examine(sm_issue *issue);
