/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Requests that wait for a person: kept, decided about, and found again when they are sent again.
 *
 * A request is found by its label, who sends it, what it renews and its octets: the client keeps no state (RFC 7030
 * 4.2.3). Its record is written before anybody is told to wait, and each step replaces the record on condition that it
 * is what was read: a certificate is written with the step to ISSUED, so that a request is issued once.
 *
 * Threads:   blocks: service threads.
 * Limits:    SM_APPROVAL_QUEUE_MAX for a label, its own queue below it; SM_APPROVAL_PURGE_MAX at a time.
 * Security:  what is known under a label is found by its own requester alone. A full queue refuses the new one.
 * Standards: RFC 7030 4.2.3.
 */
#pragma once

#include "api/api.h"
#include "base/arena.h"
#include "base/diag.h"
#include "gen/sealmill/v1/config.pb-c.h"
#include "gen/sealmill/v1/record.pb-c.h"
#include "sign/cert.h"

#define SM_APPROVAL_QUEUE_DEFAULT 1000
#define SM_APPROVAL_OWN_DEFAULT \
    100 /* of one requester: he takes no more than a tenth of the places */
#define SM_APPROVAL_QUEUE_MAX 10000 /* people do not read more; counting them takes 10 ms */
#define SM_APPROVAL_PURGE_MAX 64    /* old ones that go with one new one: more go than come */
#define SM_APPROVAL_KEPT_S \
    (INT64_C(30) * 86400) /* after its last day: what was decided can be read */
#define SM_APPROVAL_REASON_MAX 256
#define SM_APPROVAL_ID_LEN 24 /* octets */

struct sm_approval_rules {
    bool used;
    bool reenroll;
    int64_t expires_s;
    size_t queue;
    size_t own_queue; /* of one requester */
    unsigned retry_after_s;
};

/* `message` may be NULL: not used. Errors: INVALID, OUT_OF_RANGE with the field. */
SM_FALLIBLE sm_approval_rules_make(const Sealmill__Config__V1__LabelApproval *message,
                                   struct sm_approval_rules *out, sm_diag *diag);
/* Seconds after which a client is to ask again. */
unsigned sm_approval_retry_s(const struct sm_approval_rules *rules);

/* What a request is found by. */
struct sm_approval_claim {
    const char *label;
    const char *requester;
    sm_slice renews; /* serial number; empty: nothing */
    sm_slice csr;
};
/* SM_APPROVAL_ID_LEN octets in the arena. Errors: NO_MEMORY, CRYPTO. */
SM_FALLIBLE sm_approval_id(const struct sm_approval_claim *claim, sm_arena *arena, sm_slice *out);

struct sm_approval {
    sm_slice id;
    sm_slice old; /* the record's octets as they were read */
    Sealmill__Record__V1__ApprovalRecord *record;
    Sealmill__V1__ApprovalState state; /* as of when it was read */
};
/* Everything is in the arena. Errors: NOT_FOUND, CORRUPT, DISK, NO_MEMORY. */
SM_FALLIBLE sm_approval_load(sm_store *store, sm_slice id, sm_arena *arena,
                             struct sm_approval *out);
/* The same of a row that was read. */
SM_FALLIBLE sm_approval_read(sm_slice id, sm_slice value, sm_arena *arena, struct sm_approval *out);

/* Another row that is written with a new one, on condition; NULL key: none. */
struct sm_approval_beside {
    struct sm_store_cond cond;
    struct sm_store_put put;
};
/* Keeps a new one: `approval` without id, state and times. Errors: QUEUE_FULL; TOO_LARGE; EXISTS, CONFLICT (another request came
 * in between: look again); DISK, NO_MEMORY. */
SM_FALLIBLE sm_approval_request(sm_api *api, const struct sm_approval_rules *rules, sm_slice id,
                                const Sealmill__V1__Approval *approval,
                                const struct sm_approval_beside *beside, sm_slice correlation_id,
                                sm_arena *arena, sm_diag *diag);
/* Writes what was changed in `a->record`, on condition that it is what was read, with an audit record; ends its waiting
 * unless its state is still PENDING. Errors: CONFLICT, TOO_LARGE, DISK, NO_MEMORY. */
SM_FALLIBLE sm_approval_write(sm_api *api, struct sm_approval *a, const char *caller,
                              const char *action, sm_slice correlation_id, sm_arena *arena);
/* The condition and the row by which a certificate's write makes an approved one ISSUED. Errors: NO_MEMORY. */
SM_FALLIBLE sm_approval_use(const struct sm_approval *a, sm_slice serial, sm_arena *arena,
                            struct sm_store_cond *cond, struct sm_store_put *put);

/* What waits, from before the start: for the metrics. Once. Errors: DISK. */
SM_FALLIBLE sm_approval_start(sm_api *api);
/* Its id in hex; NULL without memory. And back: false for what is none. */
char *sm_approval_id_text(sm_slice id, sm_arena *arena);
bool sm_approval_id_parse(const char *text, sm_arena *arena, sm_slice *out);
/* From the first record of a label (or of all: NULL) to the last. Errors: NO_MEMORY, CRYPTO. */
SM_FALLIBLE sm_approval_range(const char *label, sm_arena *arena, sm_slice *from, sm_slice *to);
/* Subject and SANs of what would be issued. Errors: NO_MEMORY, those of names. */
SM_FALLIBLE sm_approval_describe(Sealmill__V1__Approval *a, const struct sm_cert_params *p,
                                 sm_arena *arena);
void sm_approval_count_issued(void);
