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
#include "sign/fair.h"
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
    uint64_t opened_ns;
    unsigned losses; /* of sessions, since one last signed */
    bool worn;       /* the session or the key's handle is older than the request */
    bool prompt;     /* its thread has said how it is to be scheduled */
    sm_buf input;    /* what is signed: the digest, or the whole message */
    uint8_t out[SM_SIGNATURE_MAX];
    /* ---- under the set's lock ---- */
    bool idle;
    bool retired;             /* the token gives no session for it, for the moment */
    bool lost;                /* its call was given up and has not come back */
    bool reviving;            /* in calls to bring its token back */
    bool closing;             /* in the call that closes its session */
    uint32_t asked;           /* the token's generation when job was taken */
    sm_crypt_job *job;        /* NULL: none, or given up */
    struct sm_token_key *key; /* of job */
    uint64_t since_ns;        /* of job, reviving or closing */
    bool alone;               /* job is counted in its token's `alone` */
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
    char name
        [P11_LABEL_MAX]; /* label or serial, as the URI says; with what tells it from others of that name */
    sm_buf pin;          /* secret; empty: no login */
    unsigned queue_max;
    uint64_t timeout_ns;
    uint64_t call_timeout_ns;
    bool allow_extractable;
    unsigned sessions_wanted;   /* 0: as the token says */
    pthread_mutex_t login_lock; /* covers the next five; no call is made under it */
    pthread_cond_t login_over;
    bool logging_in; /* one at a time */
    uint64_t login_ns;
    bool accepted; /* the token took the PIN once */
    CK_RV refused; /* what the token said of the PIN: then it is not shown again */
    struct p11_worker *workers;
    unsigned worker_count; /* under the set's lock */
    unsigned worker_room;
    struct token_metrics metrics;
    /* ---- under the set's lock ---- */
    enum token_state state;
    CK_SLOT_ID slot;
    bool known; /* it was there once: info is what it says of itself */
    CK_TOKEN_INFO info;
    uint32_t generation; /* grows each time it comes up: sessions and handles of before are void */
    bool reviving;
    unsigned failures;
    uint64_t retry_ns;
    const char *why;
    bool met;     /* C_Initialize has come back: calls of the token's own may be tried */
    bool started; /* somebody starts its workers, or has */
    const struct sm_token_key
        *strange; /* whose last call ended in a code that nobody knows; NULL: it has signed since */
    uint64_t recall_ns; /* when retired workers try again; 0: there are none */
    unsigned idle;
    unsigned open;           /* sessions */
    unsigned closing;        /* workers that close theirs */
    unsigned visitors;       /* administration's calls under way, and the first contact */
    unsigned alone;          /* requests under way of keys that want the PIN each time */
    unsigned wanting;        /* of them those that found no session free */
    struct p11_worker *lent; /* gave its place up for one of them, not yet taken */
};

/* A key as one token holds it. */
struct key_holder {
    struct sm_token *token;
    /* ---- under the set's lock ---- */
    uint32_t generation; /* that the rest is of; 0: not looked for yet */
    bool absent;         /* not there, or not this key: not asked until then_ns */
    bool proven;         /* a signature of it was verified */
    unsigned misses;
    uint64_t then_ns;
    bool always_authenticate;
    CK_OBJECT_HANDLE handle;
    uint64_t found_ns;
    bool seen;
    struct sm_token_says says;
};

/* How a key is found on a token. */
struct p11_match {
    CK_BYTE id[P11_ID_MAX];
    CK_ULONG id_len;           /* 0: any */
    char label[P11_LABEL_MAX]; /* "": any */
};

/* What waits for one key: lent to it while something does. */
struct p11_queue {
    struct sm_fair fair;
    struct p11_queue *next; /* of those that are spare */
};

/* A key that is on one token or several. There may be ten thousand, most of them idle: it is small, and in no list while
 * nothing waits for it. */
struct sm_token_key {
    sm_tokens *set;
    sm_list node; /* in set->keys, while requests wait */
    enum sm_key_type type;
    const struct sm_public_key *public_key; /* of the sm_key that this belongs to */
    struct p11_match match;
    unsigned queue_max;
    bool always_authenticate; /* on the token that showed the public key */
    /* ---- under the set's lock ---- */
    struct p11_queue *queue; /* NULL: nothing waits in it */
    sm_list again; /* requests that failed on a token: before the others, on another if there is */
    size_t again_count;
    size_t holder_count; /* constant */
    struct key_holder holders[];
};

struct sm_tokens {
    pthread_mutex_t lock;
    pthread_cond_t wake; /* of the watch */
    pthread_cond_t came; /* an attempt came back */
    sm_thread watch;
    bool watching;
    struct p11_module *modules; /* constant after the start */
    struct sm_token *tokens[SM_TOKENS_MAX];
    size_t token_count;
    sm_metric waiting_metric;
    /* ---- under lock ---- */
    sm_list keys; /* for which requests wait */
    struct p11_queue *spare;
    unsigned spare_count;
    size_t outstanding; /* requests that were taken and not answered */
    size_t attempts;    /* under way, left ones too */
    uint64_t epoch;
    unsigned turn; /* of tokens, among equals */
    bool stopping;
};

/* ---- p11_uri.c ---- */
/* Errors: INVALID, NO_MEMORY. Free with p11_kit_uri_free. */
SM_FALLIBLE sm_p11_uri_parse(const char *text, P11KitUri **out, sm_diag *diag);
/* A token's label or serial as the URI says; false: it says neither. */
bool sm_p11_uri_token_name(P11KitUri *uri, char out[P11_LABEL_MAX]);
/* "label/serial"; false: it does not say both. */
bool sm_p11_uri_token_full_name(P11KitUri *uri, char out[P11_LABEL_MAX]);
/* Whether the key's URI allows this token (RFC 7512 2.3: each attribute that it names must be the token's own). Of a token
 * that was never there, what its own URI does not name may be anything. */
bool sm_p11_uri_allows(P11KitUri *key, const struct sm_token *token);
/* The PIN from where the configuration or the URI says. Errors: those of passphrases. */
SM_FALLIBLE sm_p11_pin_read(const struct sm_token_config *config, P11KitUri *uri, sm_buf *pin,
                            sm_diag *diag);

/* ---- p11_attempt.c ---- */
/* The first member of what `run` works on and `late` frees: allocated by itself, since it may outlive the wait. */
struct p11_attempt {
    sm_tokens *set;
    void (*run)(struct p11_attempt *a); /* the calls, on the attempt's thread, without the lock */
    void (*late)(
        struct p11_attempt *a); /* there, after `run`, if nobody waited for it: frees `a` */
    sm_thread thread;
    /* ---- under the set's lock ---- */
    bool done;
    bool left;
};
/* Errors: OS; then `a` is still the caller's. */
SM_FALLIBLE sm_p11_attempt_start(struct p11_attempt *a);
/* After start. True: it has come back, and `a` is the caller's again. False: not by `until_ns` of the monotonic clock;
 * `a` is its own thread's, and gone when that likes. */
bool sm_p11_attempt_wait(struct p11_attempt *a, uint64_t until_ns);

/* ---- p11_start.c ---- */
/* C_Initialize, the slot, a session and its login: of all tokens at once, each for as long as one call may take. A
 * token that does not come back in time is down, and is tried again as any other; one whose C_Initialize does not, when that
 * does. One whose module refuses C_Initialize is down too. Errors: NO_MEMORY, OS. */
SM_FALLIBLE sm_p11_first_contact(sm_tokens *set);
/* Starts the threads of sessions that were not started before C_Initialize had come back. */
void sm_p11_start_rest(struct sm_token *token, const CK_TOKEN_INFO *info);

/* ---- p11_token.c: blocking calls on one token ---- */
/* Finds the slot that holds the token. */
CK_RV sm_p11_find_slot(struct sm_token *token, CK_SLOT_ID *slot, CK_TOKEN_INFO *info);
/* Opens a session and sees to it that the token is logged in. */
CK_RV sm_p11_session_open(struct sm_token *token, CK_SLOT_ID slot, bool writable,
                          CK_SESSION_HANDLE *out);
void sm_p11_session_close(struct sm_token *token, CK_SESSION_HANDLE session);
/* What a failed call means for who looks at a key or makes one: UNAVAILABLE if it may be another time, else TOKEN. */
sm_err sm_p11_token_err(CK_RV rv, const struct sm_token *token, sm_diag *diag);
/* C_Login, unless the PIN was refused before: then what was said of it. As the user, to be logged
 * in already is fine. */
CK_RV sm_p11_login(struct sm_token *token, CK_SESSION_HANDLE session, CK_USER_TYPE user);
bool sm_p11_is_logged_in(struct sm_token *token, CK_SESSION_HANDLE session);

/* ---- p11_object.c ---- */
struct p11_found {
    CK_OBJECT_HANDLE handle;
    bool open; /* extractable or not sensitive: the token would give it out */
    struct sm_token_says says;
};
/* The one private key that matches. Not found: handle 0. More than one: CKR_TEMPLATE_INCONSISTENT.
 */
CK_RV sm_p11_find_key(struct sm_token *token, CK_SESSION_HANDLE session, struct p11_match k,
                      struct p11_found *out);
/* Its SubjectPublicKeyInfo. Errors: UNSUPPORTED, TOKEN, UNAVAILABLE, the buffer's own. */
SM_FALLIBLE sm_p11_read_public(struct sm_token *token, CK_SESSION_HANDLE session,
                               CK_OBJECT_HANDLE key, sm_buf *spki, sm_diag *diag);
/* Makes a pair in the token with this label and id. */
CK_RV sm_p11_generate(struct sm_token *token, CK_SESSION_HANDLE session, enum sm_key_type type,
                      struct p11_match k);

/* Takes back what generate made: the one private and the one public object of this label and id. */
CK_RV sm_p11_destroy(struct sm_token *token, CK_SESSION_HANDLE session, struct p11_match k);

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
/* The worker's own, or whoever has claimed it while it was idle: without the lock. */
void sm_p11_worker_close(struct p11_worker *w);
/* A session of the token's present generation. */
CK_RV sm_p11_worker_open(struct p11_worker *w, CK_SLOT_ID slot, uint32_t generation);

/* ---- p11_revive.c; under the lock, which it gives up meanwhile ---- */
bool sm_p11_wants_reviving(const struct sm_token *token);
void sm_p11_revive(struct p11_worker *w);
/* What came of bringing the token up as this generation. `late`: it was given up, and another may be at it, or have done it. */
void sm_p11_revival_over(struct sm_token *token, uint32_t generation, CK_SLOT_ID slot, CK_RV rv,
                         bool late);

/* ---- p11_outcome.c; all under the lock ---- */
/* What a call found out about a key on a token. */
struct p11_finding {
    uint32_t generation;
    bool absent;
    CK_OBJECT_HANDLE handle;
    bool always_authenticate;
    const struct sm_token_says *says; /* NULL: not asked this time */
};
void sm_p11_remember(struct sm_token_key *key, struct sm_token *token,
                     const struct p11_finding *found);
/* The call failed. Returns whether the session is to be closed. */
bool sm_p11_failed(struct p11_worker *w, CK_RV rv);
/* The key is not there: the request goes elsewhere. */
void sm_p11_missed(struct p11_worker *w);
sm_crypt_job *sm_p11_take_job(struct p11_worker *w);

/* ---- p11_queue.c; all under the lock ---- */
size_t sm_p11_waiting(const struct sm_token_key *key);
/* Errors: NO_MEMORY. */
SM_FALLIBLE sm_p11_queue_put(struct sm_token_key *key, sm_crypt_job *job);
/* One that failed on a token. */
void sm_p11_queue_put_again(struct sm_token_key *key, sm_crypt_job *job);
/* The next caller's, none of those that failed; NULL: none. After one of the two: sm_p11_queue_taken. */
sm_crypt_job *sm_p11_queue_take(struct sm_token_key *key);
/* This one of those that failed. */
void sm_p11_queue_take_again(struct sm_token_key *key, sm_crypt_job *job);
/* The key goes behind the others, or leaves them if nothing waits for it any more. */
void sm_p11_queue_taken(struct sm_token_key *key);
void sm_p11_queues_free(sm_tokens *set);

/* ---- p11_pool.c; all under the lock ---- */
/* The next request that this token may take, and its key; NULL: none. */
sm_crypt_job *sm_p11_take(struct sm_token *token, struct sm_token_key **key);
/* Whether a token is to make only one signature of this key at a time: the PIN is shown for each,
 * and must not be shown by many at once if it is wrong. */
bool sm_p11_is_alone(struct sm_token_key *key, const struct sm_token *token);
/* The worker's request is over, or given up: another of such keys may be served. */
void sm_p11_let_others(struct p11_worker *w);
/* Whether another token than this one may serve the key now. */
bool sm_p11_another_may_serve(const struct sm_token_key *key, const struct sm_token *token);
/* Whether some token may still answer, now or after a pause. */
bool sm_p11_has_hope(const struct sm_token_key *key);
struct key_holder *sm_p11_holder(struct sm_token_key *key, const struct sm_token *token);
/* Wakes an idle worker of the token, if there is one. */
bool sm_p11_rouse(struct sm_token *token);
/* The same, if it has a session that it may lend. */
void sm_p11_rouse_lender(struct sm_token *token);
/* Wakes an idle worker that can take a request of this key, of `avoid` only if no other can. */
void sm_p11_rouse_for(struct sm_token_key *key, const struct sm_token *avoid);
/* After a failure of a call of this generation: what all sessions find at once counts once. */
void sm_p11_token_down(struct sm_token *token, uint32_t generation, const char *why);
/* It was down and does not come up. */
void sm_p11_token_rests(struct sm_token *token, const char *why);
void sm_p11_token_refused(struct sm_token *token, const char *why);
/* There may be sessions for all now. */
void sm_p11_recall(struct sm_token *token);
void sm_p11_token_up(struct sm_token *token, CK_SLOT_ID slot);
/* To be tried on another token than `failed_on` if one may serve the key. */
void sm_p11_requeue(struct sm_token_key *key, sm_crypt_job *job, const struct sm_token *failed_on);
/* The request is no more ours. */
void sm_p11_count_out(sm_tokens *set);
/* How long a request of this key may wait. */
uint64_t sm_p11_timeout_ns(const struct sm_token_key *key);
/* Gives the request back with this result. */
void sm_p11_answer(sm_tokens *set, sm_crypt_job *job, sm_err err);
uint64_t sm_p11_pause_ns(unsigned failures);

/* ---- p11_watch.c ---- */
SM_FALLIBLE sm_p11_watch_start(sm_tokens *set);
void sm_p11_watch_stop(sm_tokens *set);

/* ---- p11_visit.c: on any thread that may wait; the calls run on another ---- */
/* The public key of the one private key that matches, and what the token says of it. Errors: NOT_FOUND, INVALID
 * (several), POLICY (extractable), TOKEN, UNSUPPORTED, UNAVAILABLE (the token is down, or did not answer in time and
 * is down now), NO_MEMORY, OS. */
SM_FALLIBLE sm_p11_look(struct sm_token *token, const struct p11_match *match, sm_buf *spki,
                        struct sm_token_says *says, sm_diag *diag);
/* Makes a pair. Errors: EXISTS (a key of that label), otherwise as look; after UNAVAILABLE the token may still make it. */
SM_FALLIBLE sm_p11_make(struct sm_token *token, enum sm_key_type type,
                        const struct p11_match *match, sm_diag *diag);
/* Takes back a pair that was made, and is of no use: best effort, said in the log if in vain. */
void sm_p11_unmake(struct sm_token *token, const struct p11_match *match);

/* ---- p11_key.c ---- */
/* Finds the key that the URI names, reads its public half. Blocks. Errors: NOT_FOUND, INVALID,
 * POLICY, TOKEN, UNAVAILABLE (no token that may hold it is there), NO_MEMORY. */
SM_FALLIBLE sm_tokens_load(sm_tokens *tokens, const char *uri, sm_key **out, sm_diag *diag);
/* Makes the key where the URI says (object= its label; default `name`), then as load. */
SM_FALLIBLE sm_tokens_create(sm_tokens *tokens, const char *name, const char *uri,
                             enum sm_key_type type, sm_key **out, sm_diag *diag);
/* When no request of it is under way. */
void sm_token_key_free(struct sm_token_key **key);
/* Errors: QUEUE_FULL, UNAVAILABLE (every token refuses us). Then nothing was submitted.
 * Every signature is verified before it leaves, by whom it is given back to: `checking` is set,
 * and sm_token_key_checked is to be told what came of it. */
SM_FALLIBLE sm_token_key_submit(struct sm_token_key *key, sm_crypt_job *job);
/* `verdict` is of the verification. True: that was all, `err` is set. False: the signature was wrong
 * and is made again, and the request given back again. */
bool sm_token_key_checked(struct sm_token_key *key, sm_crypt_job *job, sm_err verdict);
