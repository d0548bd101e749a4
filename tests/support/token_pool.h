/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The product's pool of sessions on a module that the tests bring: a fresh copy of the module, a
 * key store with tokens of it, and signatures asked of it whose every answer is accounted for.
 *
 * Two tokens, "alpha" and "beta". Both hold the P-256 keys "shared" and "guarded" (CKA_ALWAYS_AUTHENTICATE);
 * alpha holds "p256", "rsa", "ed25519" and "always" (CKA_ALWAYS_AUTHENTICATE) too, and beta "other".
 *
 * Threads:   one.
 * Limits:    POOL_JOBS_MAX signatures under way.
 * Security:  for tests alone.
 * Standards: none.
 */
#pragma once

#include "tests/pkcs11/client.h"
#include "tests/support/support.h"

#include "sign/batch.h"
#include "sign/token.h"

#define POOL_JOBS_MAX 4096
#define POOL_PIN "471147"

struct pool_job {
    sm_crypt_job job;
    uint8_t out[SM_SIGNATURE_MAX];
    uint8_t message[16];
    unsigned answers;
    unsigned place; /* in the order of the answers */
    uint64_t asked_us;
    uint64_t answered_us;
    struct pool *pool;
};

struct pool {
    struct sm_p11_client module;
    struct sm_p11_client other; /* a second one: pool_load_other */
    sm_keystore *store;
    sm_mailbox box;
    sm_batcher *batcher;
    bool scheduled;        /* the batcher asks to be run */
    sm_sign_pool *workers; /* for what is slow to verify */
    struct pool_job *jobs;
    unsigned asked;
    unsigned answered;
    unsigned tallied;
    uint32_t first_caller; /* requests come from five callers in turn, from this one on */
};

/* What came of the signatures asked since the last count. */
struct pool_tally {
    unsigned good; /* each verified */
    unsigned unavailable;
    unsigned token; /* the request's own error */
};

/* Group set-up and tear-down. Without SoftHSM2 every pool_load skips its test. */
int pool_tokens_make(void **state);
int pool_tokens_drop(void **state);

/* Copies and loads the module; `settings` are lines NAME=value. */
void pool_load(struct pool *p, const char *module, const char *settings);
/* A token of the module with 4 sessions, and limits in time that a busy machine does not reach. */
struct sm_token_config pool_token(const struct pool *p, const char *label);
/* A second module, of another kind, and a token of it. */
void pool_load_other(struct pool *p, const char *module, const char *settings);
struct sm_token_config pool_other_token(const struct pool *p, const char *label);
void pool_open(struct pool *p, const struct sm_token_config *tokens, size_t count);
/* pool_load of the faulty module, and pool_open of alpha alone or of both tokens. */
void pool_faulty(struct pool *p, size_t tokens);
/* The same, for calls that hang. */
#define POOL_HASTY_CALL_MS 700
void pool_hasty(struct pool *p, size_t tokens, uint32_t timeout_ms);
void pool_close(struct pool *p);

/* Lends nothing: detach it before the pool is closed. */
sm_key *pool_key(struct pool *p, const char *uri);
/* New orders to the module. */
void pool_order(struct pool *p, const char *text);

/* One more request, or why it was not taken. */
SM_FALLIBLE pool_try(struct pool *p, sm_key *key, enum sm_sig_alg alg);
void pool_ask(struct pool *p, sm_key *key, enum sm_sig_alg alg, unsigned count);
/* What a loop does each turn. */
void pool_turn(struct pool *p);
/* Waits until every request has its answer; fails when one has not after `ms`. */
void pool_wait(struct pool *p, unsigned ms);
/* The same, and that each got exactly one, right one. */
struct pool_tally pool_tally(struct pool *p, unsigned ms);
/* Ask and tally. */
struct pool_tally pool_sign(struct pool *p, sm_key *key, enum sm_sig_alg alg, unsigned count);
/* Asks and wants all of them good. */
void pool_sign_well(struct pool *p, sm_key *key, enum sm_sig_alg alg, unsigned count);

struct sm_token_status pool_status(struct pool *p, size_t token);
/* Waits until the token is up, or is not. */
void pool_wait_up(struct pool *p, size_t token, bool up);
/* Waits until it has so many sessions that can be used. */
void pool_wait_sessions(struct pool *p, size_t token, unsigned count);
unsigned long pool_calls(struct pool *p, const char *function);
/* How many calls of a function wait inside the module. */
void pool_wait_inside(struct pool *p, const char *function, unsigned long count);
uint64_t pool_now_us(void);
