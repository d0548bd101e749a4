/* SPDX-License-Identifier: Apache-2.0 */
/* One session's worker: it takes a request, makes the call, and sees what a failure means. */
#include "base/clock.h"
#include "base/log.h"
#include "sign/backend.h"
#include "sign/key_p.h"
#include "sign/p11_pool_p.h"
#include "sign/rsa_pad.h"

#define TRIES_MAX 4 /* of one request, over all tokens: each failure also opens something anew */

/* ---- the session ---- */

static void close_session(struct p11_worker *w)
{
    if (w->open) {
        w->open = false;
        sm_p11_session_close(w->token, w->session);
        (void)pthread_mutex_lock(&w->token->set->lock);
        w->token->open--;
        (void)pthread_mutex_unlock(&w->token->set->lock);
        sm_metric_sub(w->token->metrics.sessions, 1);
    }
}

/* A session of the token's present generation. */
static CK_RV open_session(struct p11_worker *w, CK_SLOT_ID slot, uint32_t generation)
{
    if (w->open && w->generation == generation) {
        return CKR_OK;
    }
    close_session(w);
    CK_RV rv = sm_p11_session_open(w->token, slot, false, &w->session);
    if (rv != CKR_OK) {
        return rv;
    }
    w->open = true;
    w->generation = generation;
    (void)pthread_mutex_lock(&w->token->set->lock);
    w->token->open++;
    (void)pthread_mutex_unlock(&w->token->set->lock);
    sm_metric_add(w->token->metrics.sessions, 1);
    return CKR_OK;
}

/* ---- one request ---- */

/* What the worker needs of a request and its key: copied, since both may be gone before the call
 * comes back. */
struct task {
    struct p11_order order;
    struct p11_match match;
    CK_SLOT_ID slot;
    uint32_t generation; /* of the token */
    bool known;          /* the handle is of this generation */
    bool check;          /* verify before it leaves */
    const struct sm_public_key *public_key;
};

static sm_err copy_input(struct p11_worker *w, const sm_crypt_job *job)
{
    uint8_t digest[SM_DIGEST_MAX];
    sm_slice input;
    SM_TRY(sm_backend_input(job, digest, &input));
    sm_buf_reset(&w->input);
    sm_buf_put(&w->input, input);
    return sm_buf_err(&w->input);
}

/* Under the lock. */
static void describe(struct p11_worker *w, struct task *t)
{
    const struct key_holder *h = sm_p11_holder(w->key, w->token);
    *t = (struct task){
        .order = {.key = h->handle,
                  .always_authenticate = h->always_authenticate,
                  .type = w->key->type,
                  .alg = w->job->alg},
        .match = w->key->match,
        .slot = w->token->slot,
        .generation = w->token->generation,
        .known = h->generation == w->token->generation && !h->absent,
        .public_key = w->key->public_key,
    };
    t->check = !t->known || !h->proven || sm_sig_alg_is_rsa(t->order.alg) ||
               sm_key_checks_results(w->job->key);
}

/* The key's handle on this token, in this generation. Not there, or not safe there: `*absent`. */
static CK_RV find_handle(struct p11_worker *w, struct task *t, bool *absent)
{
    struct p11_found found;
    CK_RV rv = sm_p11_find_key(w->token, w->session, t->match, &found);
    if (rv != CKR_OK) {
        return rv;
    }
    *absent = found.handle == 0 || (found.extractable && !w->token->allow_extractable);
    if (*absent) {
        sm_log(SM_LOG_ERROR, "token_key_missing", SM_KS("token", w->token->name),
               SM_KS("key", t->match.label),
               SM_KS("reason", found.handle == 0 ? "it is not there"
                                                 : "the token would give it out (extractable)"),
               SM_KEND);
    }
    t->order.key = found.handle;
    t->order.always_authenticate = found.always_authenticate;
    return CKR_OK;
}

/* `public_key` lives while the request does; a call that was given up must not look at it. */
static bool verifies(struct p11_worker *w, const struct sm_public_key *key, enum sm_sig_alg alg,
                     size_t len)
{
    bool digest = sm_sig_alg_digest(alg) != SM_DIGEST_NONE;
    sm_crypt_job check = {.op = SM_CRYPT_VERIFY,
                          .alg = alg,
                          .type = key->type,
                          .message = sm_buf_slice(&w->input),
                          .is_digest = digest,
                          .public_key = key,
                          .signature = sm_slice_of(w->out, len)};
    sm_crypt_job *list[] = {&check};
    (void)sm_backend_run(list, 1);
    return sm_ok(check.err);
}

/* The whole call, without the lock. */
static CK_RV call(struct p11_worker *w, struct task *t, bool *absent, size_t *len)
{
    CK_RV rv = open_session(w, t->slot, t->generation);
    if (rv == CKR_OK && !t->known) {
        rv = find_handle(w, t, absent);
    }
    if (rv == CKR_OK && !*absent) {
        t->order.session = w->session;
        t->order.input = sm_buf_slice(&w->input);
        rv = sm_p11_sign(w->token, &t->order, w->out, len);
    }
    return rv;
}

/* ---- what came of it; under the lock ---- */

static void remember(struct p11_worker *w, const struct task *t, bool absent, bool proven)
{
    struct key_holder *h = sm_p11_holder(w->key, w->token);
    if (t->generation != w->token->generation) {
        return; /* what was found is void already */
    }
    h->proven = proven || (h->proven && h->generation == t->generation);
    h->generation = t->generation;
    h->absent = absent;
    h->handle = t->order.key;
    h->always_authenticate = t->order.always_authenticate;
}

static sm_crypt_job *take_job(struct p11_worker *w)
{
    sm_crypt_job *job = w->job;
    w->job = NULL;
    atomic_store(&w->calling, false);
    return job;
}

/* The request goes on elsewhere, or here in a while; or it has been tried enough. */
static void try_again(struct p11_worker *w, struct sm_token_key *key, sm_crypt_job *job)
{
    if (++job->tries < TRIES_MAX) {
        sm_p11_requeue(key, job);
    } else {
        sm_p11_answer(w->token->set, job, SM_ERR(UNAVAILABLE));
    }
}

/* Returns whether the session is to be closed. */
static bool after_failure(struct p11_worker *w, CK_RV rv)
{
    struct sm_token *token = w->token;
    struct sm_token_key *key = w->key;
    sm_crypt_job *job = take_job(w);
    sm_metric_inc(token->metrics.failures);
    switch (sm_p11_trouble(rv)) {
    case P11_SESSION:
        sm_metric_inc(token->metrics.reopened);
        sm_log(SM_LOG_WARN, "token_session_lost", SM_KS("token", token->name),
               SM_KS("reason", sm_p11_name(rv)), SM_KEND);
        sm_p11_holder(key, token)->generation = 0; /* the handle may be what was lost */
        try_again(w, key, job);
        return true;
    case P11_FULL:
        w->retired = token->open > 0;
        if (!w->retired) {
            sm_p11_token_down(token, sm_p11_name(rv));
        }
        sm_p11_requeue(key, job);
        return false;
    case P11_TOKEN:
        sm_p11_token_down(token, sm_p11_name(rv));
        try_again(w, key, job);
        return true;
    case P11_REFUSED:
        sm_p11_token_refused(token, sm_p11_name(rv));
        try_again(w, key, job);
        return true;
    default:
        sm_log(SM_LOG_ERROR, "token_request_failed", SM_KS("token", token->name),
               SM_KS("key", key->match.label), SM_KS("reason", sm_p11_name(rv)), SM_KEND);
        sm_p11_answer(token->set, job, SM_ERR(TOKEN));
        return true; /* whatever state the session is in */
    }
}

static void after_success(struct p11_worker *w, size_t len)
{
    sm_crypt_job *job = take_job(w);
    memcpy(job->out, w->out, len);
    job->out_len = len;
    sm_metric_inc(w->token->metrics.signatures);
    sm_p11_answer(w->token->set, job, SM_NO_ERR);
}

/* The token's signature does not verify under the public key that we know: another key, or a fault.
 */
static bool after_fault(struct p11_worker *w)
{
    struct sm_token_key *key = w->key;
    sm_crypt_job *job = take_job(w);
    sm_backend_fault(job->alg);
    sm_metric_inc(w->token->metrics.failures);
    struct key_holder *h = sm_p11_holder(key, w->token);
    if (!h->proven) {
        h->generation = w->token->generation;
        h->absent = true; /* not this key at all */
        sm_log(SM_LOG_ERROR, "token_key_differs", SM_KS("token", w->token->name),
               SM_KS("key", key->match.label), SM_KEND);
    }
    try_again(w, key, job);
    return true;
}

/* Under the lock; the call is made without it. */
static void serve(struct p11_worker *w, sm_crypt_job *job, struct sm_token_key *key)
{
    sm_tokens *set = w->token->set;
    struct task t;
    bool absent = false;
    size_t len = 0;
    w->job = job;
    w->key = key;
    w->since_ns = sm_clock_mono_ns();
    describe(w, &t);
    (void)pthread_mutex_unlock(&set->lock);
    sm_err err = copy_input(w, job);
    if (!sm_ok(err)) {
        (void)pthread_mutex_lock(&set->lock);
        sm_p11_answer(set, take_job(w), err);
        return;
    }
    atomic_store(&w->calling, true);
    sm_metric_add(w->token->metrics.busy, 1);
    CK_RV rv = call(w, &t, &absent, &len);
    sm_metric_sub(w->token->metrics.busy, 1);
    sm_metric_observe_ns(w->token->metrics.time, sm_clock_mono_ns() - w->since_ns);
    (void)pthread_mutex_lock(&set->lock);
    bool close = true;
    if (w->job == NULL) { /* given up meanwhile: nobody knows what state the session is in */
        w->lost = false;
    } else if (rv != CKR_OK) {
        close = after_failure(w, rv);
    } else if (absent) {
        remember(w, &t, true, false);
        try_again(w, key, take_job(w));
        close = false;
    } else {
        close = false;
        bool good = true;
        if (t.check) {
            atomic_store(&w->calling,
                         false); /* ours for good from here on: it is not given up any more */
            (void)pthread_mutex_unlock(&set->lock);
            good = verifies(w, t.public_key, t.order.alg, len);
            (void)pthread_mutex_lock(&set->lock);
        }
        if (good) {
            remember(w, &t, false, true);
            after_success(w, len);
        } else {
            close = after_fault(w);
        }
    }
    if (close) {
        (void)pthread_mutex_unlock(&set->lock);
        close_session(w);
        (void)pthread_mutex_lock(&set->lock);
    }
}

/* ---- bringing a token back ---- */

/* Under the lock. Claims every token of the module for a restart of it: none is up, and nobody else
 * is in a call. */
static bool claim_module(struct p11_worker *w)
{
    sm_tokens *set = w->token->set;
    struct p11_module *m = w->token->module;
    for (size_t i = 0; i < set->token_count; i++) {
        struct sm_token *t = set->tokens[i];
        if (t->module != m) {
            continue;
        }
        if (t->state == TOKEN_UP || t->visitors > 0 || (t->reviving && t != w->token)) {
            return false;
        }
        for (unsigned j = 0; j < t->worker_count; j++) {
            if (&t->workers[j] != w && !t->workers[j].idle && !t->workers[j].retired) {
                return false;
            }
        }
    }
    return true;
}

static void mark_module(struct p11_worker *w, bool reviving)
{
    sm_tokens *set = w->token->set;
    for (size_t i = 0; i < set->token_count; i++) {
        if (set->tokens[i]->module == w->token->module) {
            set->tokens[i]->reviving = reviving;
        }
    }
}

/* Their numbers will be given out anew: an idle worker must not close another's session later. */
static void forget_sessions(struct sm_token *token)
{
    for (unsigned i = 0; i < token->worker_count; i++) {
        token->workers[i].open = false;
    }
    sm_metric_sub(token->metrics.sessions, token->open);
    token->open = 0;
}

/* Some modules look for tokens only in C_Initialize: when there is nothing to lose, it is called
 * anew. Sessions of before are void, which each worker finds by the generation. */
static void restart_module(struct p11_worker *w)
{
    sm_tokens *set = w->token->set;
    (void)pthread_mutex_lock(&set->lock);
    bool mine = claim_module(w);
    for (size_t i = 0; mine && i < set->token_count; i++) {
        if (set->tokens[i]->module == w->token->module) {
            forget_sessions(set->tokens[i]);
        }
    }
    if (mine) {
        mark_module(w, true);
    }
    (void)pthread_mutex_unlock(&set->lock);
    if (!mine) {
        return;
    }
    (void)P11(w->token->module, C_Finalize(NULL));
    CK_RV rv = sm_p11_module_initialize(w->token->module);
    (void)pthread_mutex_lock(&set->lock);
    mark_module(w, false);
    w->token->reviving = true; /* still ours */
    (void)pthread_mutex_unlock(&set->lock);
    sm_log(SM_LOG_DEBUG, "pkcs11_restarted", SM_KS("module", w->token->module->path),
           SM_KS("result", sm_p11_name(rv)), SM_KEND);
}

static void revive(struct p11_worker *w)
{
    struct sm_token *token = w->token;
    sm_tokens *set = token->set;
    CK_TOKEN_INFO info;
    CK_SLOT_ID slot = 0;
    token->reviving = true;
    uint32_t next = token->generation + 1;
    (void)pthread_mutex_unlock(&set->lock);
    close_session(w);
    CK_RV rv = sm_p11_find_slot(token, &slot, &info);
    if (rv == CKR_TOKEN_NOT_PRESENT) {
        restart_module(w);
        rv = sm_p11_find_slot(token, &slot, &info);
    }
    rv = rv == CKR_OK ? open_session(w, slot, next) : rv;
    (void)pthread_mutex_lock(&set->lock);
    token->reviving = false;
    if (rv == CKR_OK) {
        sm_p11_token_up(token, slot);
    } else if (sm_p11_trouble(rv) == P11_REFUSED) {
        sm_p11_token_refused(token, sm_p11_name(rv));
    } else {
        sm_p11_token_down(token, sm_p11_name(rv));
    }
}

static bool wants_reviving(const struct sm_token *token)
{
    return token->state == TOKEN_DOWN && !token->reviving && !token->set->stopping &&
           sm_clock_mono_ns() >= token->retry_ns;
}

/* ---- the thread ---- */

static void take_one(struct p11_worker *w, struct sm_token_key *key)
{
    sm_crypt_job *job;
    struct sm_lane *lane = sm_lanes_pick(&key->lanes);
    (void)sm_lane_take(&key->lanes, lane, &job, 1);
    if (atomic_load_explicit(&job->cancelled, memory_order_relaxed)) {
        sm_p11_answer(w->token->set, job, SM_ERR(CANCELLED));
    } else {
        serve(w, job, key);
    }
}

void sm_p11_work(sm_msg *msg)
{
    struct p11_worker *w = SM_CONTAINER_OF(msg, struct p11_worker, wake);
    struct sm_token *token = w->token;
    struct sm_token_key *key;
    (void)pthread_mutex_lock(&token->set->lock);
    while (!w->retired) {
        if (wants_reviving(token)) {
            revive(w);
        } else if (token->state == TOKEN_UP && (key = sm_p11_pick_key(token)) != NULL) {
            take_one(w, key);
        } else {
            break;
        }
    }
    if (!w->retired) {
        w->idle = true;
        token->idle++;
    }
    (void)pthread_mutex_unlock(&token->set->lock);
}
