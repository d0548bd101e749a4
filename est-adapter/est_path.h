/* SPDX-License-Identifier: Apache-2.0 */
/*
 * EST paths: which operation, and under which label.
 *
 * Threads:   no state.
 * Limits:    SM_EST_LABEL_MAX.
 * Security:  a label is matched as it stands: nothing is decoded or normalised.
 * Standards: RFC 7030 3.2.2; the alias /{label}/.well-known/est/{operation}, as strongSwan asks.
 */
#pragma once

#include "base/slice.h"

#define SM_EST_LABEL_MAX 63

enum sm_est_operation {
    SM_EST_CACERTS,
    SM_EST_SIMPLEENROLL,
    SM_EST_SIMPLEREENROLL,
    SM_EST_SERVERKEYGEN,
    SM_EST_CSRATTRS,
    SM_EST_FULLCMC,
    SM_EST_OPERATION_COUNT,
};

struct sm_est_path {
    enum sm_est_operation operation;
    sm_slice label; /* borrowed from the path; empty: the default one */
};

/* Whether a path is EST's at all: below /.well-known/est/, or /{label}/.well-known/est/. */
bool sm_est_path_is_est(sm_slice path);
/* False: there is no such operation, or the label is none. */
bool sm_est_path_parse(sm_slice path, struct sm_est_path *out);
/* "cacerts" and so on; static. */
const char *sm_est_operation_name(enum sm_est_operation operation);
