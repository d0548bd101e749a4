/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The batcher: signatures made and verified in batches.
 *
 * One batcher belongs to one loop. Jobs that are submitted during a turn wait in lanes (one per
 * operation and type of key) and run together at the turn's end, without a timer: a lone request
 * goes at once, and under load batches form by themselves. What full batches leave over waits for one
 * more look at the connections: it is never the lone request, and a batch costs the same with one job
 * as with eight. Cheap software jobs run on the loop's own thread; slow ones go to the pool's workers,
 * and come back through the loop's mailbox. Lanes share the time of a turn evenly, callers the places
 * in a lane.
 *
 * Threads:   submit, cancel and run on the loop's thread; the pool is shared by all loops.
 * Limits:    SM_BATCH_QUEUE_MAX jobs waiting in a batcher, SM_BATCH_RUN_MAX jobs and SM_BATCH_RUN_NS
 *            in one turn.
 * Security:  each lane's result is checked on its own; signatures of RSA keys are verified before
 *            they leave.
 * Standards: FIPS 186-5, RFC 8017, RFC 8032, FIPS 204, RFC 6979.
 */
#pragma once

#include "base/list.h"
#include "base/mailbox.h"
#include "sign/key.h"

#define SM_BATCH_QUEUE_MAX 16384
#define SM_BATCH_RUN_MAX 256
/* Then a turn of signing ends even with jobs left: the loop has connections to serve. */
#define SM_BATCH_RUN_NS 3000000

typedef struct sm_batcher sm_batcher;
typedef struct sm_sign_pool sm_sign_pool;
typedef struct sm_crypt_job sm_crypt_job;

enum sm_crypt_op { SM_CRYPT_VERIFY, SM_CRYPT_SIGN };

/* Caller-owned, embedded in the request, pinned until done. */
struct sm_crypt_job {
    sm_list node;                         /* private */
    sm_msg msg;                           /* private */
    sm_batcher *batcher;                  /* private */
    enum sm_key_type type;                /* private: of the key */
    uint64_t submitted_ns;                /* private */
    uint64_t queued_ns;                   /* private: when it came to where it waits now */
    unsigned tries;                       /* private: on tokens */
    bool checking;                        /* private: a token made it, and it is to be verified */
    struct sm_token *token;               /* private: which, */
    uint32_t generation;                  /* private: and when */
    const void *failed_on;                /* private: the token that did not sign it, last */
    void (*give_back)(sm_crypt_job *job); /* private: to whoever took it in, from any thread */
    enum sm_crypt_op op;
    enum sm_sig_alg alg;
    sm_slice message; /* what is signed; or the digest itself when `is_digest` */
    bool is_digest;
    /* VERIFY */
    const struct sm_public_key *public_key;
    sm_slice signature;
    /* SIGN: the job holds no reference: the caller keeps the key attached until done. */
    sm_key *key;
    uint8_t *out; /* room for sm_sig_size_max(alg, type) */
    size_t out_room;
    uint32_t caller; /* fairness: jobs of one caller (any number) take turns with those of others */
    void (*done)(sm_crypt_job *job);
    /* ---- results ---- */
    sm_err err; /* BAD_SIGNATURE, CRYPTO, TOKEN, UNAVAILABLE, CANCELLED */
    size_t out_len;
    _Atomic bool cancelled; /* private */
};

/* Workers for slow keys. `threads` 0: one. Errors: NO_MEMORY, OS. Given. */
SM_FALLIBLE sm_sign_pool_new(unsigned threads, sm_sign_pool **out);
/* After every batcher is gone. */
void sm_sign_pool_free(sm_sign_pool **pool);

struct sm_batcher_config {
    sm_mailbox *home;            /* the loop's */
    sm_sign_pool *pool;          /* NULL: slow jobs run on the loop too (tests, tools) */
    void (*schedule)(void *ctx); /* asks for sm_batcher_run at the turn's end; idempotent */
    void *ctx;
};

SM_FALLIBLE sm_batcher_new(const struct sm_batcher_config *config, sm_batcher **out);
/* When no job is under way. */
void sm_batcher_free(sm_batcher **batcher);

/* Errors: QUEUE_FULL, UNSUPPORTED (the algorithm does not fit the key, or takes no digest), INVALID
 * (a digest of the wrong length), TOO_LARGE (out_room is too small), UNAVAILABLE (every token that
 * has the key refuses us); then done does not run. */
SM_FALLIBLE sm_batcher_submit(sm_batcher *batcher, sm_crypt_job *job);
/* Marks; done still comes (with CANCELLED if the job had not run, else with its result). */
void sm_batcher_cancel(sm_batcher *batcher, sm_crypt_job *job);
/* Runs what waits, up to SM_BATCH_RUN_MAX jobs, then their `done`s (which may submit more). Jobs
 * submitted by a `done` run in the same call while the budget lasts. Returns true when jobs still
 * wait: schedule has then been called. */
bool sm_batcher_run(sm_batcher *batcher);
size_t sm_batcher_waiting(const sm_batcher *batcher);

/* One-shot forms for start-up and tests (blocking): the same code paths. */
SM_FALLIBLE sm_sign_now(sm_key *key, enum sm_sig_alg alg, sm_slice message, sm_buf *out);
SM_FALLIBLE sm_verify_now(const struct sm_public_key *key, enum sm_sig_alg alg, sm_slice message,
                          sm_slice signature);

/* Finds the backends once, runs their known-answer tests and logs which algorithm goes where and
 * why. Call before threads start. */
SM_FALLIBLE sm_sign_init(sm_diag *diag);
/* Whether multi-buffer may be used (it may, unless told otherwise): an operator's switch. Before
 * sm_sign_init. */
void sm_sign_set_multi_buffer(bool on);
/* Which backend runs such jobs when they come in full batches ("openssl", "multi-buffer"), and why
 * in words; static. */
const char *sm_sign_backend(enum sm_crypt_op op, enum sm_key_type type, const char **why);
/* Frees what the calling thread keeps (contexts, curves); before a loop's thread ends. */
void sm_sign_thread_deinit(void);
