/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside sign: tokens, their sessions' workers, and keys on them.
 *
 * Threads:   `lock` of the set covers every field that says so; the rest is constant after the
 *            start, or the worker's own. No Cryptoki call is made under `lock`.
 * Limits:    token.h.
 * Security:  a worker signs into memory of its own: the request may have been given up meanwhile.
 * Standards: PKCS#11 v2.40.
 */
#pragma once

#include "base/metrics.h"
#include "base/thread.h"
#include "sign/batch.h"
#include "sign/lane.h"
#include "sign/p11_module.h"
#include "sign/token.h"

#include <p11-kit/uri.h>

#define P11_ID_MAX 64
#define P11_LABEL_MAX 128

struct sm_token;

/* One session and the thread that uses it. */
struct p11_worker {
    sm_worker thread;
    sm_msg wake; /* posted only while idle, so once at a time */
    struct sm_token *token;
    CK_SESSION_HANDLE session; /* the worker's own */
    bool open;
    uint32_t generation; /* of the token when the session was opened */
    sm_buf input;        /* what is signed: the digest, or the whole message */
    uint8_t out[SM_SIGNATURE_MAX];
    /* ---- under the set's lock ---- */
    bool idle;
    bool retired;             /* the token gives no session for it, until it comes up anew */
    bool lost;                /* its call was given up and has not come back */
    sm_crypt_job *job;        /* NULL: none, or given up */
    struct sm_token_key *key; /* of job */
    uint64_t since_ns;
    /* Set once nothing of the job is read any more: from then on it may be given up. */
    _Atomic bool calling;
};

enum token_state { TOKEN_DOWN, TOKEN_UP, TOKEN_REFUSED };

struct token_metrics {
    sm_metric up;
    sm_metric sessions;
    sm_metric busy;
    sm_metric signatures;
    sm_metric failures;
    sm_metric given_up;
    sm_metric reopened;
    sm_metric time;
};

struct sm_token {
    sm_tokens *set;
    struct p11_module *module;
    P11KitUri *uri;
    char name[P11_LABEL_MAX]; /* label or serial, as the URI says */
    sm_buf pin;               /* secret; empty: no login */
    unsigned queue_max;
    uint64_t timeout_ns;
    uint64_t call_timeout_ns;
    bool allow_extractable;
    unsigned sessions_wanted;   /* 0: as the token says */
    pthread_mutex_t login_lock; /* one login at a time */
    struct p11_worker *workers;
    unsigned worker_count;
    struct token_metrics metrics;
    /* ---- under the set's lock ---- */
    enum token_state state;
    CK_SLOT_ID slot;
    uint32_t generation; /* grows each time it comes up: sessions and handles of before are void */
    bool reviving;
    unsigned failures;
    uint64_t retry_ns;
    const char *why;
    unsigned idle;
    unsigned open;     /* sessions */
    unsigned visitors; /* administration's calls under way */
};

/* A key as one token holds it. */
struct key_holder {
    struct sm_token *token;
    /* ---- under the set's lock ---- */
    uint32_t generation; /* that the rest is of; 0: not looked for yet */
    bool absent;
    bool proven; /* a signature of it was verified */
    bool always_authenticate;
    CK_OBJECT_HANDLE handle;
};

/* How a key is found on a token. */
struct p11_match {
    CK_BYTE id[P11_ID_MAX];
    CK_ULONG id_len;           /* 0: any */
    char label[P11_LABEL_MAX]; /* "": any */
};

/* A key that is on one token or several. */
struct sm_token_key {
    sm_tokens *set;
    sm_list node; /* in set->keys */
    enum sm_key_type type;
    const struct sm_public_key *public_key; /* of the sm_key that this belongs to */
    struct p11_match match;
    struct key_holder holders[SM_TOKENS_MAX];
    size_t holder_count;
    unsigned queue_max;
    struct sm_lanes lanes; /* under the set's lock */
};

struct sm_tokens {
    pthread_mutex_t lock;
    pthread_cond_t wake; /* of the watch */
    sm_thread watch;
    bool watching;
    struct p11_module *modules; /* constant after the start */
    struct sm_token *tokens[SM_TOKENS_MAX];
    size_t token_count;
    sm_metric waiting_metric;
    /* ---- under lock ---- */
    sm_list keys;
    size_t outstanding; /* requests that were taken and not answered */
    uint64_t epoch;
    unsigned turn; /* of tokens, among equals */
    bool stopping;
};

/* ---- p11_uri.c ---- */
/* Errors: INVALID, NO_MEMORY. Free with p11_kit_uri_free. */
SM_FALLIBLE sm_p11_uri_parse(const char *text, P11KitUri **out, sm_diag *diag);
/* A token's label or serial as the URI says; false: it says neither. */
bool sm_p11_uri_token_name(P11KitUri *uri, char out[P11_LABEL_MAX]);
/* Whether the key's URI allows this token. */
bool sm_p11_uri_allows(P11KitUri *key, const struct sm_token *token);
/* The PIN from where the configuration or the URI says. Errors: those of passphrases. */
SM_FALLIBLE sm_p11_pin_read(const struct sm_token_config *config, P11KitUri *uri, sm_buf *pin,
                            sm_diag *diag);

/* ---- p11_token.c: blocking calls on one token ---- */
/* Finds the slot that holds the token. */
CK_RV sm_p11_find_slot(struct sm_token *token, CK_SLOT_ID *slot, CK_TOKEN_INFO *info);
/* Opens a session and sees to it that the token is logged in. */
CK_RV sm_p11_session_open(struct sm_token *token, CK_SLOT_ID slot, bool writable,
                          CK_SESSION_HANDLE *out);
void sm_p11_session_close(struct sm_token *token, CK_SESSION_HANDLE session);
/* C_Login as the user; already logged in is fine. */
CK_RV sm_p11_login(struct sm_token *token, CK_SESSION_HANDLE session);

/* ---- p11_object.c ---- */
struct p11_found {
    CK_OBJECT_HANDLE handle;
    bool always_authenticate;
    bool extractable; /* or not sensitive: the token would give it out */
    bool local;       /* made in the token */
};
/* The one private key that matches. Not found: handle 0. More than one: CKR_TEMPLATE_INCONSISTENT.
 */
CK_RV sm_p11_find_key(struct sm_token *token, CK_SESSION_HANDLE session, struct p11_match k,
                      struct p11_found *out);
/* Its SubjectPublicKeyInfo. Errors: UNSUPPORTED, TOKEN, the buffer's own. */
SM_FALLIBLE sm_p11_read_public(struct sm_token *token, CK_SESSION_HANDLE session,
                               CK_OBJECT_HANDLE key, sm_buf *spki, sm_diag *diag);
/* Makes a pair in the token with this label and id. */
CK_RV sm_p11_generate(struct sm_token *token, CK_SESSION_HANDLE session, enum sm_key_type type,
                      struct p11_match k);

/* ---- p11_sign.c ---- */
struct p11_order {
    CK_SESSION_HANDLE session;
    CK_OBJECT_HANDLE key;
    bool always_authenticate;
    enum sm_key_type type;
    enum sm_sig_alg alg;
    sm_slice input; /* the digest, or the whole message for EdDSA */
};
/* One signature, encoded as certificates want it; `out` has room for SM_SIGNATURE_MAX. */
CK_RV sm_p11_sign(struct sm_token *token, const struct p11_order *order, uint8_t *out,
                  size_t *out_len);

/* ---- p11_worker.c ---- */
/* On the worker's thread: takes requests until there are none for its token. */
void sm_p11_work(sm_msg *msg);

/* ---- p11_pool.c; all under the lock ---- */
struct sm_token_key *sm_p11_pick_key(struct sm_token *token);
struct key_holder *sm_p11_holder(struct sm_token_key *key, const struct sm_token *token);
/* Wakes an idle worker of the token, if there is one. */
bool sm_p11_rouse(struct sm_token *token);
/* Wakes an idle worker that can take a request of this key. */
void sm_p11_rouse_for(struct sm_token_key *key);
void sm_p11_token_down(struct sm_token *token, const char *why);
void sm_p11_token_refused(struct sm_token *token, const char *why);
void sm_p11_token_up(struct sm_token *token, CK_SLOT_ID slot);
void sm_p11_requeue(struct sm_token_key *key, sm_crypt_job *job);
/* Gives the request back with this result. */
void sm_p11_answer(sm_tokens *set, sm_crypt_job *job, sm_err err);

/* ---- p11_watch.c ---- */
SM_FALLIBLE sm_p11_watch_start(sm_tokens *set);
void sm_p11_watch_stop(sm_tokens *set);

/* ---- p11_key.c ---- */
/* Finds the key that the URI names, reads its public half. Blocks. Errors: NOT_FOUND, INVALID,
 * POLICY, TOKEN, UNAVAILABLE (no token that may hold it is there), NO_MEMORY. */
SM_FALLIBLE sm_tokens_load(sm_tokens *tokens, const char *uri, sm_key **out, sm_diag *diag);
/* Makes the key where the URI says (object= its label; default `name`), then as load. */
SM_FALLIBLE sm_tokens_create(sm_tokens *tokens, const char *name, const char *uri,
                             enum sm_key_type type, sm_key **out, sm_diag *diag);
/* When no request of it is under way. */
void sm_token_key_free(struct sm_token_key **key);
/* Errors: QUEUE_FULL, UNAVAILABLE (every token refuses us). Then nothing was submitted. */
SM_FALLIBLE sm_token_key_submit(struct sm_token_key *key, sm_crypt_job *job);
