/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Attributes of requests that enrolment knows, beside those of PKCS#9: other names, and what links a request to its
 * connection. A request is read without them (csr.h); who honours one reads it here.
 *
 * Threads:   values; slices borrow from the request's octets or the arena.
 * Limits:    SM_CSR_LINKING_MAX; those of names and SANs.
 * Security:  an attribute that comes twice, or with two values, is refused: readers would differ in which they took.
 * Standards: RFC 6402 2.8 with erratum 3943, RFC 7894 3.3.
 */
#pragma once

#include "base/arena.h"
#include "sign/csr.h"

#define SM_CSR_LINKING_MAX 255 /* ub-aa-est-identity-linking */

/* ChangeSubjectName: what is to be in the names' place. */
struct sm_csr_names {
    bool has_subject;
    bool has_sans;
    sm_slice subject; /* Name, DER with header */
    sm_slice sans;    /* GeneralNames, DER with header */
};

/* Without the attribute neither is there. subjectAlt is taken with its tag [1] and without any, as RFC 6402 printed
 * it: a Name holds SETs and a GeneralNames none. Errors: MALFORMED and those of names, with the field; NO_MEMORY. */
SM_FALLIBLE sm_csr_read_names(const struct sm_csr *csr, sm_arena *arena, struct sm_csr_names *out,
                              sm_diag *diag);
/* Puts them in the request's place, so that they are asked for as the request's own would be; an empty GeneralNames
 * takes the SANs away. The first error leaves `csr` as it was. Errors: those of names; TOO_LARGE (no place for one more extension). */
SM_FALLIBLE sm_csr_set_names(struct sm_csr *csr, const struct sm_csr_names *names, sm_diag *diag);

/* estIdentityLinking: its text; ptr NULL without it. Errors: MALFORMED with the field. */
SM_FALLIBLE sm_csr_read_linking(const struct sm_csr *csr, sm_slice *out, sm_diag *diag);
