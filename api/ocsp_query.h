/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One OCSP query, whichever way it came: the pre-signed answer in memory, or its row in the store, or one
 * that is signed now.
 *
 * Threads:   the loop's.
 * Limits:    ocsp.pending (default SM_OCSP_PENDING_DEFAULT) answers being signed in a loop,
 *            ocsp.unknown_per_second of them about serial numbers of nobody; over either: tryLater.
 * Security:  an answer whose nextUpdate is past is never given. What cannot be read is never good.
 * Standards: RFC 6960, RFC 9654, RFC 9919.
 */
#pragma once

#include "api/ocsp_responder.h"
#include "ocsp-cache/ocsp_record.h"

#define SM_OCSP_PENDING_DEFAULT 1024 /* at 50,000 signatures a second they wait 20 ms */
#define SM_OCSP_UNKNOWN_DEFAULT 1000 /* a second: a hundredth of a core, whoever asks */
/* How long an answer about a serial number of nobody is good: it may be issued. */
#define SM_OCSP_UNKNOWN_VALIDITY_S 600

typedef struct sm_ocsp_query sm_ocsp_query;

/* Caller-owned, pinned until it is finished. */
struct sm_ocsp_query {
    /* ---- the caller fills ---- */
    sm_api_loop *loop;
    sm_arena *arena;
    int64_t min_left_s;             /* a kept answer is to be good for longer than that */
    void (*done)(sm_ocsp_query *q); /* once, later, unless start said that it is finished */
    void *ctx;
    /* ---- results ---- */
    enum sm_ocsp_error error; /* 0: none */
    sm_buf response;          /* OCSPResponse, of an error too; the caller's to deinit */
    bool cacheable;           /* the same for everybody who asks so */
    int64_t max_age_s;        /* then: how long caches may keep it at most, */
    uint64_t tag;             /* and a number that is other for each answer that is signed */
    /* What it says, when there is no error, of the first certificate, and whose that is. */
    struct sm_ocsp_said said;
    uint32_t ca_id;
    /* ---- private ---- */
    sm_world *world;
    struct sm_ocsp_request request;
    const struct sm_ocsp_responder *responder;
    const struct sm_ocsp_signer *signer;
    const struct sm_ocsp_signer *wanted; /* that the client prefers; NULL: the usual one */
    struct sm_ocsp_key key;
    uint8_t row_key[SM_OCSP_ROW_KEY_MAX];
    sm_slice row_key_slice;
    sm_slice row_value;
    uint64_t epoch;
    uint64_t unknown_epoch;
    sm_store_read row;
    struct sm_ocsp_live *live; /* what signing now needs */
};

/* `der` is borrowed until it is finished. True: it is finished already, and done does not come. */
bool sm_ocsp_query_start(sm_ocsp_query *q, sm_slice der);
/* The same for one certificate of a CA's generation, without a request. `serial` is a magnitude,
 * borrowed; the caller holds g's world until it is finished. */
bool sm_ocsp_query_start_for(sm_ocsp_query *q, const struct sm_ca_generation *g,
                             enum sm_ocsp_hash hash, sm_slice serial);
