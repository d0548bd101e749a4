/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Signs pre-signed answers anew before they go stale, and brings what the store has of them into memory
 * after a start.
 *
 * Each issuer (a CA's generation) has a schedule (ocsp_pass.h), whose place is kept in the store. A step of it
 * reads a run of rows, signs in batches those that would not last, and writes them back on condition that
 * no status has changed since it was read; then what is in memory of them is replaced. Rows of expired certificates
 * are removed. Where issuance is to sign first answers, certificates that have none get one.
 *
 * A change of status wins over a step in every order: see README.md.
 *
 * Threads:   one of its own at low priority; new, start, stop and free from one thread, turn from one
 *            at a time, status and missing from any.
 * Limits:    share percent of a core, measured over each step with its sleep; SM_OCSP_STEP_MAX rows.
 * Security:  says of a certificate what its state record says (or its row, of a foreign CA). What cannot be read is left as it is, and
 *            goes stale.
 * Standards: RFC 6960 2.4, 4.2.2.1.
 */
#pragma once

#include "ocsp-cache/ocsp_cache.h"
#include "ocsp-cache/ocsp_pass.h"
#include "sign/batch.h"

#define SM_OCSP_REFRESH_SHARE 25
#define SM_OCSP_REFRESH_SHARE_BEHIND 100
#define SM_OCSP_REFRESH_ALARM_PART 12 /* of the validity: half of what answers have left */

typedef struct sm_ocsp_refresh sm_ocsp_refresh;

/* One issuer's answers, and who signs them; borrowed until detach. */
struct sm_ocsp_refresh_issuer {
    const struct sm_ocsp_issuer *issuer;
    const struct sm_ocsp_signer *signers; /* whose answers are served; the first one signs */
    size_t signer_count;
    int64_t validity_s;
    int64_t backdate_s;
    bool eager;   /* each certificate is to have an answer */
    bool foreign; /* what is so of its certificates is in rows of its own (ocsp_foreign.h) */
};

struct sm_ocsp_refresh_settings {
    unsigned share;        /* percent of a core; 0: the default */
    unsigned share_behind; /* while it is late */
    int64_t alarm_s;       /* 0: the default */
    uint64_t number;       /* changes whenever an issuer may have */
};

/* What of a certificate's record counts. */
struct sm_ocsp_refresh_cert {
    uint32_t ca_id;
    uint32_t generation;
    int64_t not_after;
};

struct sm_ocsp_refresh_config {
    sm_store *store;
    sm_ocsp_cache *cache;
    sm_sign_pool *pool; /* for slow keys; may be NULL */
    /* The issuers as they are now; each attach is followed by a detach, on the same thread. */
    void *(*attach)(void *ctx, struct sm_ocsp_refresh_settings *out);
    bool (*issuer)(void *held, size_t at, struct sm_ocsp_refresh_issuer *out); /* false: no more */
    void (*detach)(void *held);
    /* Reads a row of CERT. False: it is none. */
    bool (*read_cert)(sm_slice record, struct sm_ocsp_refresh_cert *out);
    void *ctx;
};

/* Errors: NO_MEMORY. Given. */
SM_FALLIBLE sm_ocsp_refresh_new(const struct sm_ocsp_refresh_config *config, sm_ocsp_refresh **out);
/* Stops it. Before the store closes. */
void sm_ocsp_refresh_free(sm_ocsp_refresh **refresh);
/* Its thread. Errors: OS. */
SM_FALLIBLE sm_ocsp_refresh_start(sm_ocsp_refresh *refresh);
void sm_ocsp_refresh_stop(sm_ocsp_refresh *refresh);

/* What the thread does, once: at most one step of each kind. Blocks. Returns whether there was anything to
 * do; `wait_ns`: how long to wait until the next. For tests and benches without a thread. */
bool sm_ocsp_refresh_turn(sm_ocsp_refresh *refresh, uint64_t *wait_ns);

/* A first answer was to be signed at issuance, and could not be. */
void sm_ocsp_refresh_missing(sm_ocsp_refresh *refresh);

struct sm_ocsp_refresh_status {
    int64_t lag_s; /* of the schedule that is most behind */
    bool alarm;
    size_t unable; /* issuers with answers that nobody can sign now */
};
void sm_ocsp_refresh_status(sm_ocsp_refresh *refresh, struct sm_ocsp_refresh_status *out);
