/* SPDX-License-Identifier: Apache-2.0 */
/* Bringing a token back: a worker of it looks for its slot, and opens a session anew. */
#include "base/clock.h"
#include "base/log.h"
#include "sign/p11_pool_p.h"

/* Under the lock. Whether the module may be restarted: none of its tokens is up, and nobody else is in a call. */
static bool is_alone(const struct p11_worker *w)
{
    const sm_tokens *set = w->token->set;
    const struct p11_module *m = w->token->module;
    for (size_t i = 0; i < set->token_count; i++) {
        const struct sm_token *t = set->tokens[i];
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
 * anew. Sessions of before are void, which each worker finds by the generation. If one of the two calls does not come back,
 * nobody can do anything with the module but wait. */
static void restart_module(struct p11_worker *w)
{
    sm_tokens *set = w->token->set;
    struct p11_module *m = w->token->module;
    (void)pthread_mutex_lock(&set->lock);
    bool mine = is_alone(w);
    for (size_t i = 0; mine && i < set->token_count; i++) {
        if (set->tokens[i]->module == m) {
            forget_sessions(set->tokens[i]);
        }
    }
    m->restarting = m->restarting || mine;
    (void)pthread_mutex_unlock(&set->lock);
    if (!mine) {
        return;
    }
    (void)P11(m, C_Finalize(NULL));
    CK_RV rv = sm_p11_module_initialize(m);
    (void)pthread_mutex_lock(&set->lock);
    m->restarting = false;
    w->since_ns = sm_clock_mono_ns();
    (void)pthread_mutex_unlock(&set->lock);
    sm_log(SM_LOG_DEBUG, "pkcs11_restarted", SM_KS("module", m->path),
           SM_KS("result", sm_p11_name(rv)), SM_KEND);
}

/* Sessions of before this generation are of no use any more, but may take the only places. */
static void close_idle(struct sm_token *token, uint32_t generation)
{
    sm_tokens *set = token->set;
    (void)pthread_mutex_lock(&set->lock);
    for (unsigned i = 0; i < token->worker_count; i++) {
        struct p11_worker *w = &token->workers[i];
        if (w->idle && w->open && w->generation != generation) {
            w->idle = false; /* ours for the moment */
            token->idle--;
            (void)pthread_mutex_unlock(&set->lock);
            sm_p11_worker_close(w);
            (void)pthread_mutex_lock(&set->lock);
            w->idle = true;
            token->idle++;
        }
    }
    (void)pthread_mutex_unlock(&set->lock);
}

/* A success that comes late is one: a token may always take longer than a call is to. */
void sm_p11_revival_over(struct sm_token *token, uint32_t generation, CK_SLOT_ID slot, CK_RV rv,
                         bool late)
{
    token->reviving = token->reviving && late;
    if (sm_p11_trouble(rv) == P11_REFUSED) {
        sm_p11_token_refused(token, sm_p11_name(rv));
    } else if (rv == CKR_OK && token->state == TOKEN_DOWN && token->generation + 1 == generation) {
        sm_p11_token_up(token, slot);
    } else if (rv != CKR_OK && token->state == TOKEN_DOWN && !late) {
        sm_p11_token_rests(token, sm_p11_name(rv));
    }
}

void sm_p11_revive(struct p11_worker *w)
{
    struct sm_token *token = w->token;
    sm_tokens *set = token->set;
    CK_TOKEN_INFO info;
    CK_SLOT_ID slot = 0;
    token->reviving = true;
    w->reviving = true;
    w->since_ns = sm_clock_mono_ns();
    uint32_t next = token->generation + 1;
    (void)pthread_mutex_unlock(&set->lock);
    sm_p11_worker_close(w);
    CK_RV rv = sm_p11_module_try_begin(token->module);
    rv = rv == CKR_OK ? sm_p11_find_slot(token, &slot, &info) : rv;
    if (rv == CKR_TOKEN_NOT_PRESENT) {
        restart_module(w);
        rv = sm_p11_find_slot(token, &slot, &info);
    }
    rv = rv == CKR_OK ? sm_p11_worker_open(w, slot, next) : rv;
    if (rv == CKR_SESSION_COUNT) {
        close_idle(token, next);
        rv = sm_p11_worker_open(w, slot, next);
    }
    if (rv == CKR_OK) {
        sm_p11_start_rest(token, &info);
    }
    (void)pthread_mutex_lock(&set->lock);
    bool late = w->lost;
    w->lost = w->reviving = false;
    sm_p11_revival_over(token, next, slot, rv, late);
}

bool sm_p11_wants_reviving(const struct sm_token *token)
{
    return token->state == TOKEN_DOWN && !token->reviving && !token->module->restarting &&
           !token->set->stopping && sm_clock_mono_ns() >= token->retry_ns;
}
