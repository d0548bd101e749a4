/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One question of StatusService: which certificate is meant, then its OCSP answer.
 *
 * Threads:   the loop's.
 * Limits:    those of ocsp_query.h; SM_OCSP_REQUEST_MAX octets of a request.
 * Security:  the answers are those that /ocsp gives to anybody.
 * Standards: RFC 6960.
 */
#pragma once

#include "api/ocsp_query.h"
#include "base/diag.h"
#include "gen/sealmill/v1/status.pb-c.h"

typedef struct sm_status_check sm_status_check;

/* Caller-owned, zeroed, pinned until it is finished; then sm_status_check_deinit. */
struct sm_status_check {
    /* ---- the caller fills ---- */
    sm_api_loop *loop;
    sm_arena *arena;
    const Sealmill__V1__CheckStatusRequest *request;
    void (*done)(sm_status_check *c); /* once, later, unless start said that it is finished */
    void *ctx;
    /* ---- results ---- */
    sm_err err; /* INVALID, MALFORMED, NOT_FOUND, EXHAUSTED, CORRUPT, NO_MEMORY, DISK */
    sm_diag diag;
    Sealmill__V1__CheckStatusResponse response; /* lives until deinit */
    /* ---- private ---- */
    sm_world *world;
    sm_ocsp_query query;
    const struct sm_ca *ca; /* that was named; NULL: none */
    sm_slice serial;
    sm_store_read read;
    sm_slice value;
};

/* True: it is finished already, and done does not come. */
bool sm_status_check_start(sm_status_check *c);
/* The answer as one of several: a message, or an error (in the check's arena). */
void sm_status_check_result(sm_status_check *c, Sealmill__V1__CheckStatusResponse **response,
                            Sealmill__V1__StatusError **error);
void sm_status_check_deinit(sm_status_check *c);
