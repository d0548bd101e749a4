/* SPDX-License-Identifier: Apache-2.0 */
/* The watch: requests that waited too long, calls that do not come back, tokens to be tried again.
 * It sleeps for good while nothing is under way and every token is up. */
#include "base/clock.h"
#include "base/log.h"
#include "sign/p11_pool_p.h"

#include <time.h>

#define WATCH_EVERY_NS (20 * SM_NS_PER_MS)

static bool is_over(const sm_crypt_job *job, uint64_t now, uint64_t timeout)
{
    return now - job->submitted_ns > timeout ||
           atomic_load_explicit(&job->cancelled, memory_order_relaxed);
}

static void answer_over(struct sm_token_key *key, sm_crypt_job *job)
{
    bool cancelled = atomic_load_explicit(&job->cancelled, memory_order_relaxed);
    sm_p11_answer(key->set, job, cancelled ? SM_ERR(CANCELLED) : SM_ERR(UNAVAILABLE));
}

static void expire_again(struct sm_token_key *key, uint64_t now, uint64_t timeout)
{
    SM_LIST_FOR_SAFE(it, next, &key->again)
    {
        sm_crypt_job *job = SM_CONTAINER_OF(it, sm_crypt_job, node);
        if (is_over(job, now, timeout)) {
            sm_p11_queue_take_again(key, job);
            answer_over(key, job);
        }
    }
}

/* Takes the whole queue out and puts back what may wait on: expiry is rare, this is short. */
static void expire(struct sm_token_key *key, uint64_t now, uint64_t timeout)
{
    sm_list keep;
    sm_list_init(&keep);
    sm_crypt_job *job;
    while ((job = sm_p11_queue_take(key)) != NULL) {
        if (is_over(job, now, timeout)) {
            answer_over(key, job);
        } else {
            sm_list_push_back(&keep, &job->node);
        }
    }
    sm_list *node;
    while ((node = sm_list_pop_front(&keep)) != NULL) {
        sm_fair_push(&key->queue->fair, SM_CONTAINER_OF(node, sm_crypt_job, node));
    }
}

/* Whether any waiting request is over its time: the oldest of each caller stands in front. */
static bool has_expired(const struct sm_token_key *key, uint64_t now, uint64_t timeout)
{
    const struct sm_fair *fair = key->queue == NULL ? NULL : &key->queue->fair;
    for (uint64_t left = fair == NULL ? 0 : fair->occupied; left != 0; left &= left - 1) {
        const sm_list *first = fair->queues[__builtin_ctzll(left)].next;
        if (is_over(SM_CONTAINER_OF_CONST(first, sm_crypt_job, node), now, timeout)) {
            return true;
        }
    }
    return false;
}

/* A token that failed a request may be asked again after its pause, or since another one fell. */
static void watch_key(struct sm_token_key *key, uint64_t now)
{
    uint64_t timeout = sm_p11_has_hope(key) ? sm_p11_timeout_ns(key) : 0;
    if (has_expired(key, now, timeout)) {
        expire(key, now, timeout);
    }
    expire_again(key, now, timeout);
    if (sm_p11_waiting(key) > 0) {
        sm_p11_rouse_for(key, NULL);
    } else {
        sm_p11_queue_taken(key);
    }
}

static void count_lost(struct p11_worker *w, uint64_t now)
{
    struct sm_token *token = w->token;
    w->lost = true;
    sm_metric_inc(token->metrics.given_up);
    sm_log(SM_LOG_ERROR, "token_call_given_up", SM_KS("token", token->name),
           SM_KU("milliseconds", (now - w->since_ns) / SM_NS_PER_MS), SM_KEND);
}

/* A signature that does not come back: its request goes elsewhere, the token rests. */
static void give_up_job(struct p11_worker *w, uint64_t now)
{
    struct sm_token *token = w->token;
    sm_crypt_job *job = w->job;
    struct sm_token_key *key = w->key;
    w->job = NULL;
    atomic_store(&w->calling, false);
    count_lost(w, now);
    sm_p11_let_others(w);
    sm_p11_token_down(token, w->asked, sm_p11_name(P11_RV_HUNG));
    if (now - job->submitted_ns > sm_p11_timeout_ns(key)) {
        sm_p11_answer(token->set, job, SM_ERR(UNAVAILABLE));
    } else {
        sm_p11_requeue(key, job, token);
    }
}

/* Whoever was to bring the token back does not come back: another may try. But a module that hangs in its restart takes no
 * call, and is waited for. */
static void give_up_revival(struct p11_worker *w, uint64_t now)
{
    if (!w->token->module->restarting) {
        count_lost(w, now);
        sm_p11_revival_over(w->token, 0, 0, P11_RV_HUNG, false);
    }
}

static void watch_worker(struct p11_worker *w, uint64_t now)
{
    if (w->lost || now - w->since_ns <= w->token->call_timeout_ns) {
        return;
    }
    if (w->job != NULL && atomic_load(&w->calling)) {
        give_up_job(w, now);
    } else if (w->reviving) {
        give_up_revival(w, now);
    } else if (w->closing) {
        count_lost(w, now);
        sm_p11_token_down(w->token, w->asked, sm_p11_name(P11_RV_HUNG));
    }
}

static void watch_token(struct sm_token *token, uint64_t now)
{
    for (unsigned i = 0; i < token->worker_count; i++) {
        watch_worker(&token->workers[i], now);
    }
    if (token->recall_ns != 0 && now >= token->recall_ns) {
        sm_p11_recall(token);
    }
    if (sm_p11_wants_reviving(token)) {
        (void)sm_p11_rouse(token); /* one worker tries */
    }
}

static bool has_work(const sm_tokens *set)
{
    bool down = false;
    for (size_t i = 0; i < set->token_count; i++) {
        down = down || set->tokens[i]->state == TOKEN_DOWN || set->tokens[i]->closing > 0;
    }
    return down || set->outstanding > 0;
}

static void wait(sm_tokens *set)
{
    struct timespec until;
    if (!has_work(set)) {
        (void)pthread_cond_wait(&set->wake, &set->lock);
        return;
    }
    (void)clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += (long)WATCH_EVERY_NS;
    if (until.tv_nsec >= (long)SM_NS_PER_S) {
        until.tv_nsec -= (long)SM_NS_PER_S;
        until.tv_sec++;
    }
    (void)pthread_cond_timedwait(&set->wake, &set->lock, &until);
}

static void watch(void *ctx)
{
    sm_tokens *set = ctx;
    (void)pthread_mutex_lock(&set->lock);
    while (!set->stopping) {
        wait(set);
        uint64_t now = sm_clock_mono_ns();
        for (size_t i = 0; i < set->token_count; i++) {
            watch_token(set->tokens[i], now);
        }
        SM_LIST_FOR_SAFE(it, next, &set->keys)
        {
            watch_key(SM_CONTAINER_OF(it, struct sm_token_key, node), now);
        }
    }
    (void)pthread_mutex_unlock(&set->lock);
}

sm_err sm_p11_watch_start(sm_tokens *set)
{
    SM_TRY(sm_thread_start(&set->watch, "tokens", watch, set));
    set->watching = true;
    return SM_NO_ERR;
}

void sm_p11_watch_stop(sm_tokens *set)
{
    if (set->watching) {
        (void)pthread_mutex_lock(&set->lock);
        set->stopping = true;
        (void)pthread_cond_signal(&set->wake);
        (void)pthread_mutex_unlock(&set->lock);
        sm_thread_join(&set->watch);
        set->watching = false;
    }
}
