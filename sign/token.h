/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tokens (HSMs) and their pools of sessions.
 *
 * Each token has as many sessions as it was told, or as it gives, and one worker thread for each:
 * signatures are submitted from the loops and none ever waits for a token. A key may be on several
 * tokens; whichever has a free session takes the next request. What goes wrong stays where it is: a
 * lost session or login is opened again, a broken token rests and is tried again with growing
 * pauses, a call that does not come back is given up (its late result is thrown away) and its
 * request goes to another token, and what cannot be answered in time gets UNAVAILABLE. A wrong PIN
 * is never tried twice: tokens lock themselves.
 *
 * Threads:   new, free, load and create block: not from a loop. Status: any.
 * Limits:    SM_TOKENS_MAX tokens, SM_TOKEN_SESSIONS_MAX sessions of one, `queue` requests waiting
 *            for one key (then QUEUE_FULL).
 * Security:  module paths and PINs come from the configuration alone; PINs are wiped. A key that
 *            the token would give out (extractable, or not sensitive) is refused unless allowed.
 *            Every signature is verified before it leaves.
 * Standards: PKCS#11 v2.40, RFC 7512.
 */
#pragma once

#include "base/buf.h"
#include "base/diag.h"
#include "base/err.h"
#include "sign/alg.h"

#define SM_TOKENS_MAX 32
#define SM_TOKEN_SESSIONS_MAX 256
#define SM_TOKEN_SESSIONS_DEFAULT \
    16 /* where the token sets no limit: HSMs seldom do more at once */
#define SM_TOKEN_QUEUE_DEFAULT 4096
#define SM_TOKEN_TIMEOUT_MS 10000     /* a request's whole wait */
#define SM_TOKEN_CALL_TIMEOUT_MS 3000 /* one call: network HSMs fail over in one to two seconds */

typedef struct sm_tokens sm_tokens;

struct sm_token_config {
    /* RFC 7512: token and/or serial (manufacturer, model) say which; module-path names the module;
     * pin-source may be file:PATH, env:NAME or credential:NAME. */
    const char *uri;
    /* Instead of pin-source; at most one. None at all: the token is used without login. */
    const char *pin_file;
    const char *pin_env;
    const char *pin_credential;
    unsigned sessions;        /* 0: what the token allows, at most SM_TOKEN_SESSIONS_DEFAULT */
    unsigned queue;           /* 0: SM_TOKEN_QUEUE_DEFAULT */
    uint32_t timeout_ms;      /* 0: SM_TOKEN_TIMEOUT_MS */
    uint32_t call_timeout_ms; /* 0: SM_TOKEN_CALL_TIMEOUT_MS */
    bool one_thread;          /* the module is not thread-safe, whatever it says */
    bool allow_extractable;
};

/* Loads modules, finds tokens, logs in, starts the sessions' threads. A token that is not there is
 * tried again later, also if its module refuses C_Initialize; a module that cannot be loaded and a URI that is wrong are errors: NOT_FOUND, INVALID, TOKEN,
 * NO_MEMORY, OS. Given. */
SM_FALLIBLE sm_tokens_new(const struct sm_token_config *configs, size_t count, sm_tokens **out,
                          sm_diag *diag);
/* After every key of it. A worker whose call has not come back is left behind. */
void sm_tokens_free(sm_tokens **tokens);

struct sm_token_status {
    const char *name; /* label or serial, both where labels repeat; lives as long as the tokens */
    bool up;
    unsigned sessions; /* that can be used */
    unsigned busy;
    const char *why; /* when not up: "CKR_DEVICE_REMOVED"; static */
};
size_t sm_tokens_count(const sm_tokens *tokens);
void sm_tokens_status(sm_tokens *tokens, size_t at, struct sm_token_status *out);
/* Grows each time a token has come (back): keys that could not be loaded may now be there. */
uint64_t sm_tokens_epoch(sm_tokens *tokens);
