/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Enrolment by a label: who asks, by what, and then the one path of issuance. What every enrolment protocol
 * shares; a protocol's adapter brings the request and makes the answer.
 *
 * Threads:   the loop's; `done` runs on it, once, never inside start.
 * Limits:    those of issuance; lock-out of guessed passwords, see otp.h.
 * Security:  nothing is issued before the label's authentication holds; a certificate of ours is looked up in
 *            the inventory for each request; a one-time password is used by the very write of its certificate.
 *            Where a label needs a person, its request is durable before anybody is told to wait.
 * Standards: RFC 7030 3.2.3, 3.3, 4.2; RFC 4559.
 */
#pragma once

#include "api/approval.h"
#include "api/issue.h"
#include "api/label.h"
#include "api/negotiate.h"
#include "api/otp.h"
#include "api/peer.h"
#include "api/renewal_source.h"

#define SM_ENROL_TRIES 4 /* of a one-time password that another request uses at the same time */

typedef struct sm_enrolment sm_enrolment;

struct sm_enrolment {
    /* ---- the caller fills; pinned until done ---- */
    sm_api_loop *loop;
    sm_http_exchange *x; /* held by the caller: its credentials */
    sm_arena *arena;
    sm_world *world; /* attached by the caller until done */
    const struct sm_label *label;
    const struct sm_label_access *access; /* the label's, for this operation */
    bool again;                           /* re-enrolment: of the client certificate */
    sm_slice csr;
    void (*done)(sm_enrolment *e);
    void *ctx;
    /* ---- results ---- */
    sm_err err; /* PENDING: it waits for a person */
    sm_diag diag;
    bool
        scheme_helps; /* denied, and an HTTP scheme could help (401), not only another certificate (403) */
    unsigned retry_after_s;
    const Sealmill__V1__IssueResponse *response;
    const char
        *challenge; /* "Negotiate ..." by which the client knows us, in the answer; NULL: none */
    /* ---- private ---- */
    sm_slice authorization; /* of the exchange, which is held: service threads read it */
    sm_slice address;
    sm_slice end_point;              /* tls-server-end-point, for Negotiate; empty: none */
    struct sm_negotiated negotiated; /* a token is good for one look, and a request may ask twice */
    struct sm_peer peer;
    struct sm_caller caller;
    sm_issue issue;
    Sealmill__V1__IssueRequest request;
    Sealmill__V1__IssueResponse repeated;
    sm_slice csr_sha256;
    struct sm_otp_found otp;
    int member;     /* of the label's group that issues; -1: there is no group, or none that can */
    uint32_t tried; /* members, as bits */
    uint64_t started_ns; /* the issuance */
    bool by_otp;
    bool authenticate_only; /* and nothing else */
    struct sm_renewal_source source;
    sm_slice approval_id; /* under which its request waits for a person; empty: it does not */
    struct sm_approval approval; /* record NULL: not decided for */
    Sealmill__V1__Grant approved_grant;
    Sealmill__V1__Grant *approved_grants[1];
    sm_errand errand;
    unsigned tries;
    sm_msg defer;
};

void sm_enrol_start(sm_enrolment *e);
/* Who asks, with a request that nothing is issued for yet: one-time passwords are looked at, and not used. */
void sm_enrol_authenticate_for(sm_enrolment *e, sm_slice csr);
/* Who asks, without a request to issue: for what a label gives to authenticated clients alone. As above, with an
 * empty `csr`. */
void sm_enrol_authenticate(sm_enrolment *e);
