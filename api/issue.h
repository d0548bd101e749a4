/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Issuance: the one path that every protocol takes.
 *
 * Fill the upper part, start, wait for `done`. The steps: CA, profile and rights - the CSR's
 * parsing and the profile's rules - proof of possession (batched) - TBSCertificate - signature
 * (batched) - one durable write of the certificate, its log record and whatever conditions it
 * has - only then the answer.
 *
 * Threads:   a loop's own; `done` runs on it, once, never inside start.
 * Limits:    SM_API_PENDING_MAX under way in a loop.
 * Security:  fails closed at every step; each refusal is counted by its reason.
 * Standards: RFC 5280, RFC 2986.
 */
#pragma once

#include "api/api.h"
#include "api/caller.h"
#include "api/world.h"
#include "gen/sealmill/v1/certificate.pb-c.h"
#include "sign/csr.h"

typedef struct sm_issue sm_issue;

/* A certificate that is renewed: the new one has its names, and is only written while its state is
 * still this. */
struct sm_renewed {
    sm_slice serial;
    const struct sm_cert *cert;
    sm_slice state; /* the StateRecord's octets; empty: there is none */
    uint32_t ca_id;
    uint32_t generation;
};

struct sm_issue {
    /* ---- the caller fills; everything is pinned until done ---- */
    sm_api_loop *loop;
    sm_arena *arena; /* results and intermediate memory */
    const Sealmill__V1__IssueRequest *request;
    const struct sm_caller *caller;
    sm_slice correlation_id;
    const struct sm_renewed *renewed; /* what this renews; NULL: nothing */
    bool revoke_renewed;              /* as superseded, in the same write */
    /* What it renews is revoked: only the answer that its idempotency key had before will do. */
    bool repeat_only;
    /* It ends with the proof of possession: nothing is signed, written or taken from a rate, and `params` says what
     * would be issued. */
    bool dry_run;
    /* The request was authenticated otherwise (renewal with the same key), or is tried for another key: no CSR signature. */
    bool without_proof;
    /* Looks at the CSR once it has been read, and may set other names in it that are to be issued; NULL: nobody
     * does. Its error ends the issuance. */
    sm_err (*examine)(sm_issue *issue);
    /* One more condition and row for the certificate's write; NULL: none. When that condition fails,
     * the issuance does, with CONFLICT and `added_failed`. */
    sm_err (*add)(sm_issue *issue, struct sm_store_cond *cond, struct sm_store_put *put);
    void (*done)(sm_issue *issue);
    void *ctx;
    /* ---- results ---- */
    sm_err err;
    unsigned retry_after_s; /* RATE_LIMITED: when there is room again; else 0 */
    sm_diag diag;
    Sealmill__V1__IssueResponse response; /* when err is none */
    bool repeated;                        /* it is the answer of an earlier request */
    bool added_failed;
    /* ---- private ---- */
    sm_world *world;
    struct sm_ca *ca;
    const struct sm_profile *profile;
    const sm_cert_template *template; /* of both */
    struct sm_csr csr;                /* examine's, too */
    bool renames;                     /* examine's: a renewal's names are to be others */
    struct sm_cert_params params;     /* the caller's too, after a dry run */
    uint8_t serial[SM_SERIAL_LEN];
    sm_crypt_job job;
    unsigned signing;           /* signatures under way: the certificate's, and of OCSP answers */
    sm_err sign_err;            /* of the certificate's */
    int64_t revoked_at;         /* what is renewed */
    struct sm_issue_ocsp *ocsp; /* the answers that are written with it; NULL: none */
    sm_buf tbs;
    sm_buf cert;
    sm_store_write write;
    struct sm_store_put puts[12];
    struct sm_store_cond conds[5];
    size_t added_cond; /* which of them is `add`'s */
    sm_slice log[2];
    sm_slice request_hash;
    sm_errand errand; /* blocking look-ups after a conflict */
    bool retry;       /* what the errand found: the write is to be tried again */
    bool cancelled;
    sm_msg defer;
    uint64_t start_ns;
    uint64_t stage_ns;
};

void sm_issue_start(sm_issue *issue);
/* Nobody waits for it any more: it ends with CANCELLED unless its signature is made already, or its
 * write is under way; done still comes, not from here. Not after done. */
void sm_issue_cancel(sm_issue *issue);
