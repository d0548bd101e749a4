/* SPDX-License-Identifier: Apache-2.0 */
/* What happens under the set's lock: requests in, workers roused, tokens up and down, answers out.
 */
#include "base/clock.h"
#include "base/log.h"
#include "sign/p11_pool_p.h"

#define RETRY_FIRST_NS (100 * SM_NS_PER_MS)
#define RETRY_MAX_NS (30 * SM_NS_PER_S)

struct key_holder *sm_p11_holder(struct sm_token_key *key, const struct sm_token *token)
{
    for (size_t i = 0; i < key->holder_count; i++) {
        if (key->holders[i].token == token) {
            return &key->holders[i];
        }
    }
    return NULL;
}

static bool may_serve(const struct key_holder *h)
{
    return h->token->state == TOKEN_UP &&
           !(h->absent && h->generation == h->token->generation && sm_clock_mono_ns() < h->then_ns);
}

bool sm_p11_is_alone(struct sm_token_key *key, const struct sm_token *token)
{
    return key->always_authenticate || sm_p11_holder(key, token)->always_authenticate;
}

static bool has_room(struct sm_token_key *key, const struct sm_token *token)
{
    return token->alone == 0 || !sm_p11_is_alone(key, token);
}

void sm_p11_let_others(struct p11_worker *w)
{
    w->token->alone -= w->alone;
    w->alone = false;
}

bool sm_p11_another_may_serve(const struct sm_token_key *key, const struct sm_token *token)
{
    for (size_t i = 0; i < key->holder_count; i++) {
        if (key->holders[i].token != token && may_serve(&key->holders[i])) {
            return true;
        }
    }
    return false;
}

/* Where it failed it is tried again only if no other token can. */
static sm_crypt_job *take_again(struct sm_token_key *key, const struct sm_token *token)
{
    bool another = sm_p11_another_may_serve(key, token);
    SM_LIST_FOR(it, &key->again)
    {
        sm_crypt_job *job = SM_CONTAINER_OF(it, sm_crypt_job, node);
        if (!another || job->failed_on != token) {
            sm_p11_queue_take_again(key, job);
            return job;
        }
    }
    return NULL;
}

static sm_crypt_job *take_of(struct sm_token_key *key, const struct sm_token *token)
{
    sm_crypt_job *job = key->again_count == 0 ? NULL : take_again(key, token);
    return job != NULL ? job : sm_p11_queue_take(key);
}

/* The key that was served goes behind the others: keys take turns. */
sm_crypt_job *sm_p11_take(struct sm_token *token, struct sm_token_key **out)
{
    SM_LIST_FOR(it, &token->set->keys)
    {
        struct sm_token_key *key = SM_CONTAINER_OF(it, struct sm_token_key, node);
        const struct key_holder *h = sm_p11_holder(key, token);
        sm_crypt_job *job = h != NULL && may_serve(h) && has_room(key, token) ? take_of(key, token)
                                                                              : NULL;
        if (job != NULL) {
            sm_p11_queue_taken(key);
            *out = key;
            return job;
        }
    }
    return NULL;
}

static bool rouse(struct sm_token *token, bool with_session)
{
    for (unsigned i = 0; token->idle > 0 && i < token->worker_count; i++) {
        struct p11_worker *w = &token->workers[i];
        if (w->idle && (w->open || !with_session)) {
            w->idle = false;
            token->idle--;
            sm_worker_post(&w->thread, &w->wake);
            return true;
        }
    }
    return false;
}

bool sm_p11_rouse(struct sm_token *token)
{
    return rouse(token, false);
}

void sm_p11_rouse_lender(struct sm_token *token)
{
    (void)rouse(token, true);
}

/* The token with most sessions free, and free for this key; among equals they take turns. */
static struct sm_token *freest(struct sm_token_key *key, const struct sm_token *avoid)
{
    struct sm_token *best = NULL;
    unsigned first = key->set->turn++;
    for (size_t i = 0; i < key->holder_count; i++) {
        struct key_holder *h = &key->holders[(first + i) % key->holder_count];
        if (h->token != avoid && h->token->idle > 0 &&
            (best == NULL || h->token->idle > best->idle) && may_serve(h) &&
            has_room(key, h->token)) {
            best = h->token;
        }
    }
    return best;
}

void sm_p11_rouse_for(struct sm_token_key *key, const struct sm_token *avoid)
{
    struct sm_token *best = freest(key, avoid);
    if (best == NULL && avoid != NULL) {
        best = freest(key, NULL);
    }
    if (best != NULL) {
        (void)sm_p11_rouse(best);
    }
}

uint64_t sm_p11_pause_ns(unsigned failures)
{
    uint64_t pause = RETRY_FIRST_NS << (failures < 9 ? failures : 9);
    return pause < RETRY_MAX_NS ? pause : RETRY_MAX_NS;
}

void sm_p11_token_rests(struct sm_token *token, const char *why)
{
    if (token->state == TOKEN_REFUSED) {
        return;
    }
    token->retry_ns = sm_clock_mono_ns() + sm_p11_pause_ns(token->failures++);
    token->why = why;
    token->state = TOKEN_DOWN;
    (void)pthread_cond_signal(&token->set->wake);
}

void sm_p11_token_down(struct sm_token *token, uint32_t generation, const char *why)
{
    if (token->state != TOKEN_UP || token->generation != generation) {
        return;
    }
    sm_log(SM_LOG_ERROR, "token_down", SM_KS("token", token->name), SM_KS("reason", why), SM_KEND);
    sm_metric_set(token->metrics.up, 0);
    sm_p11_token_rests(token, why);
}

/* A wrong PIN is not tried again: tokens count, and lock themselves. */
void sm_p11_token_refused(struct sm_token *token, const char *why)
{
    if (token->state == TOKEN_REFUSED) {
        return; /* every session finds it out */
    }
    token->state = TOKEN_REFUSED;
    token->why = why;
    sm_metric_set(token->metrics.up, 0);
    sm_log(SM_LOG_ERROR, "token_refused", SM_KS("token", token->name), SM_KS("reason", why),
           SM_KS("hint", "correct the PIN and start again"), SM_KEND);
}

void sm_p11_recall(struct sm_token *token)
{
    for (unsigned i = 0; i < token->worker_count; i++) {
        struct p11_worker *w = &token->workers[i];
        if (w->retired) {
            w->retired = false;
            w->idle = true;
            token->idle++;
        }
    }
    token->recall_ns = 0;
}

/* Its failures are forgotten when it signs: to open a session is not enough. */
void sm_p11_token_up(struct sm_token *token, CK_SLOT_ID slot)
{
    token->state = TOKEN_UP;
    token->slot = slot;
    token->generation++;
    token->why = "";
    token->set->epoch++;
    sm_metric_set(token->metrics.up, 1);
    sm_p11_recall(token);
    sm_log(SM_LOG_INFO, "token_up", SM_KS("token", token->name), SM_KU("slot", slot),
           SM_KU("sessions", token->worker_count), SM_KEND);
    SM_LIST_FOR(it, &token->set->keys)
    {
        struct sm_token_key *key = SM_CONTAINER_OF(it, struct sm_token_key, node);
        for (size_t n = sm_p11_waiting(key); n > 0 && sm_p11_holder(key, token) != NULL; n--) {
            if (!sm_p11_rouse(token)) {
                return;
            }
        }
    }
}

void sm_p11_requeue(struct sm_token_key *key, sm_crypt_job *job, const struct sm_token *failed_on)
{
    job->failed_on = failed_on;
    sm_p11_queue_put_again(key, job);
    sm_p11_rouse_for(key, failed_on);
}

void sm_p11_count_out(sm_tokens *set)
{
    set->outstanding--;
    sm_metric_sub(set->waiting_metric, 1);
}

uint64_t sm_p11_timeout_ns(const struct sm_token_key *key)
{
    uint64_t most = 0;
    for (size_t i = 0; i < key->holder_count; i++) {
        uint64_t t = key->holders[i].token->timeout_ns;
        most = t > most ? t : most;
    }
    return most;
}

void sm_p11_answer(sm_tokens *set, sm_crypt_job *job, sm_err err)
{
    sm_p11_count_out(set);
    job->err = err;
    job->give_back(job);
}

bool sm_p11_has_hope(const struct sm_token_key *key)
{
    for (size_t i = 0; i < key->holder_count; i++) {
        if (key->holders[i].token->state != TOKEN_REFUSED) {
            return true;
        }
    }
    return false;
}

static sm_err take_in(struct sm_token_key *key, sm_crypt_job *job)
{
    sm_tokens *set = key->set;
    if (sm_p11_waiting(key) >= key->queue_max) {
        return SM_ERR(QUEUE_FULL);
    }
    if (!sm_p11_has_hope(key)) {
        return SM_ERR(UNAVAILABLE);
    }
    SM_TRY(sm_p11_queue_put(key, job));
    if (set->outstanding++ == 0) {
        (void)pthread_cond_signal(&set->wake);
    }
    sm_metric_add(set->waiting_metric, 1);
    job->tries = 0;
    job->checking = false;
    sm_p11_rouse_for(key, NULL);
    return SM_NO_ERR;
}

sm_err sm_token_key_submit(struct sm_token_key *key, sm_crypt_job *job)
{
    (void)pthread_mutex_lock(&key->set->lock);
    sm_err err = take_in(key, job);
    (void)pthread_mutex_unlock(&key->set->lock);
    return err;
}
