/* SPDX-License-Identifier: Apache-2.0 */
/* What came of a call, and what it means for the request, the session, the key and the token. All
 * under the set's lock. */
#include "base/clock.h"
#include "base/log.h"
#include "sign/backend.h"
#include "sign/p11_pool_p.h"

#define TRIES_MAX 4 /* of one request, over all tokens, with what was opened for it */
#define RECALL_NS (10 * SM_NS_PER_S)
#define LOSSES_MAX 3 /* of sessions in a row, by one worker: then it is the token's trouble */

sm_crypt_job *sm_p11_take_job(struct p11_worker *w)
{
    sm_crypt_job *job = w->job;
    w->job = NULL;
    atomic_store(&w->calling, false);
    return job;
}

/* The request goes on elsewhere, or here in a while; or it has been tried enough. */
static void try_again(struct sm_token *token, struct sm_token_key *key, sm_crypt_job *job)
{
    if (++job->tries < TRIES_MAX) {
        sm_p11_requeue(key, job, token);
    } else {
        sm_p11_answer(token->set, job, SM_ERR(UNAVAILABLE));
    }
}

/* What was lost before the request came is no try of it: all sessions may have been lost at once. Each is met once, since it is
 * then opened anew; and no request goes on for longer than it may wait. */
static void try_beside(struct sm_token *token, struct sm_token_key *key, sm_crypt_job *job)
{
    if (sm_clock_mono_ns() - job->submitted_ns <= sm_p11_timeout_ns(key)) {
        sm_p11_requeue(key, job, NULL);
    } else {
        sm_p11_answer(token->set, job, SM_ERR(UNAVAILABLE));
    }
}

void sm_p11_remember(struct sm_token_key *key, struct sm_token *token,
                     const struct p11_finding *found)
{
    struct key_holder *h = sm_p11_holder(key, token);
    if (found->generation != token->generation) {
        return; /* what was found is void already */
    }
    if (h->absent && h->generation == found->generation && sm_clock_mono_ns() < h->then_ns) {
        return; /* left out meanwhile */
    }
    h->proven = h->proven && h->generation == found->generation;
    h->generation = found->generation;
    h->absent = false;
    h->handle = found->handle;
    h->found_ns = sm_clock_mono_ns();
    h->always_authenticate = found->always_authenticate;
    if (found->says != NULL) {
        h->seen = true;
        h->says = *found->says;
    }
}

/* For a while: someone may put it there, or it was one bad answer. */
static void leave_out(struct key_holder *h)
{
    h->generation = h->token->generation;
    h->absent = true;
    h->proven = false;
    h->then_ns = sm_clock_mono_ns() + sm_p11_pause_ns(h->misses++);
}

void sm_p11_missed(struct p11_worker *w)
{
    struct sm_token_key *key = w->key;
    if (w->asked == w->token->generation) {
        leave_out(sm_p11_holder(key, w->token));
    }
    try_again(w->token, key, sm_p11_take_job(w));
}

/* To open one anew helps, unless that was in vain before. */
static void lose_session(struct p11_worker *w, CK_RV rv)
{
    struct sm_token *token = w->token;
    sm_metric_inc(token->metrics.reopened);
    sm_log(SM_LOG_WARN, "token_session_lost", SM_KS("token", token->name),
           SM_KS("reason", sm_p11_name(rv)), SM_KEND);
    sm_p11_holder(w->key, token)->generation = 0; /* the handle may be what was lost */
    if (++w->losses >= LOSSES_MAX) {
        w->losses = 0;
        sm_p11_token_down(token, w->asked, sm_p11_name(rv));
    }
}

/* The token gives no session more: the pool goes on with those that it has. Others may use it too,
 * and leave. */
static void do_without(struct p11_worker *w, CK_RV rv)
{
    struct sm_token *token = w->token;
    w->retired = token->open > 0;
    if (!w->retired) {
        sm_p11_token_down(token, w->asked, sm_p11_name(rv));
    } else if (token->recall_ns == 0) {
        token->recall_ns = sm_clock_mono_ns() + RECALL_NS;
    }
    sm_p11_requeue(w->key, sm_p11_take_job(w), NULL);
}

static void fail_alone(struct p11_worker *w, CK_RV rv)
{
    sm_log(SM_LOG_ERROR, "token_request_failed", SM_KS("token", w->token->name),
           SM_KS("key", w->key->match.label), SM_KS("reason", sm_p11_name(rv)), SM_KEND);
    sm_p11_answer(w->token->set, sm_p11_take_job(w), SM_ERR(TOKEN));
}

/* A code that does not say whose trouble it is. Another token may have none: then the key is left alone on this one for a
 * while. What one key meets after the other is the token's. */
static void wonder(struct p11_worker *w, CK_RV rv)
{
    struct sm_token *token = w->token;
    struct sm_token_key *key = w->key;
    struct key_holder *h = sm_p11_holder(key, token);
    bool shared = token->strange != NULL && token->strange != key;
    token->strange = key;
    if (shared) {
        sm_p11_token_down(token, w->asked, sm_p11_name(rv));
    } else if (!sm_p11_another_may_serve(key, token)) {
        fail_alone(w, rv);
        return;
    } else if (w->asked == token->generation && !(h->absent && h->generation == w->asked)) {
        sm_log(SM_LOG_ERROR, "token_key_fails", SM_KS("token", token->name),
               SM_KS("key", key->match.label), SM_KS("reason", sm_p11_name(rv)), SM_KEND);
        leave_out(h);
    }
    try_again(token, key, sm_p11_take_job(w));
}

bool sm_p11_failed(struct p11_worker *w, CK_RV rv)
{
    struct sm_token *token = w->token;
    sm_metric_inc(token->metrics.failures);
    switch (sm_p11_trouble(rv)) {
    case P11_FULL:
        do_without(w, rv);
        return false;
    case P11_SESSION:
        lose_session(w, rv);
        if (w->worn) {
            try_beside(token, w->key, sm_p11_take_job(w));
            return true;
        }
        break;
    case P11_TOKEN:
        sm_p11_token_down(token, w->asked, sm_p11_name(rv));
        break;
    case P11_REFUSED:
        sm_p11_token_refused(token, sm_p11_name(rv));
        break;
    case P11_UNKNOWN:
        wonder(w, rv);
        return true;
    default:
        fail_alone(w, rv);
        return true; /* whatever state the session is in */
    }
    try_again(token, w->key, sm_p11_take_job(w));
    return true;
}

/* The signature does not verify under the public key that we know. A token that never made a good
 * one with it may have another key of that name: the others of it may be fine. */
static void doubt(struct sm_token_key *key, const sm_crypt_job *job)
{
    struct sm_token *token = job->token;
    struct key_holder *h = sm_p11_holder(key, token);
    sm_backend_fault(job->alg);
    sm_metric_inc(token->metrics.failures);
    if (job->generation != token->generation) {
        return;
    }
    if (h->proven) {
        sm_p11_token_down(token, job->generation, "a signature does not verify");
    } else if (!h->absent) {
        sm_log(SM_LOG_ERROR, "token_key_differs", SM_KS("token", token->name),
               SM_KS("key", key->match.label), SM_KEND);
        leave_out(h);
    }
}

static void trust(struct sm_token_key *key, const sm_crypt_job *job)
{
    struct sm_token *token = job->token;
    struct key_holder *h = sm_p11_holder(key, token);
    sm_metric_inc(token->metrics.signatures);
    token->strange = NULL;
    if (job->generation == token->generation) {
        token->failures = 0;
        h->misses = 0;
        h->proven = h->generation == job->generation && !h->absent;
    }
}

static bool settle(struct sm_token_key *key, sm_crypt_job *job, sm_err verdict)
{
    if (sm_ok(verdict)) {
        trust(key, job);
    } else {
        job->out_len = 0;
    }
    if (sm_err_is(verdict, SM_E_BAD_SIGNATURE)) { /* others are ours: no memory, given up */
        doubt(key, job);
        if (++job->tries < TRIES_MAX) {
            sm_p11_requeue(key, job, job->token);
            return false;
        }
        verdict = SM_ERR(UNAVAILABLE);
    }
    job->err = verdict;
    sm_p11_count_out(key->set);
    return true;
}

bool sm_token_key_checked(struct sm_token_key *key, sm_crypt_job *job, sm_err verdict)
{
    sm_tokens *set = key->set;
    job->checking = false;
    (void)pthread_mutex_lock(&set->lock);
    bool over = settle(key, job, verdict);
    (void)pthread_mutex_unlock(&set->lock);
    return over;
}
