/* SPDX-License-Identifier: Apache-2.0 */
/* Bringing a token back: a worker of it looks for its slot, and opens a session anew. */
#include "base/clock.h"
#include "base/log.h"
#include "sign/p11_pool_p.h"

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

/* Sessions of before are of no use any more, but may take the only places. */
static void close_idle(struct sm_token *token)
{
    sm_tokens *set = token->set;
    (void)pthread_mutex_lock(&set->lock);
    for (unsigned i = 0; i < token->worker_count; i++) {
        struct p11_worker *w = &token->workers[i];
        if (w->idle && w->open) {
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

void sm_p11_revive(struct p11_worker *w)
{
    struct sm_token *token = w->token;
    sm_tokens *set = token->set;
    CK_TOKEN_INFO info;
    CK_SLOT_ID slot = 0;
    token->reviving = true;
    uint32_t next = token->generation + 1;
    (void)pthread_mutex_unlock(&set->lock);
    sm_p11_worker_close(w);
    CK_RV rv = sm_p11_find_slot(token, &slot, &info);
    if (rv == CKR_TOKEN_NOT_PRESENT) {
        restart_module(w);
        rv = sm_p11_find_slot(token, &slot, &info);
    }
    rv = rv == CKR_OK ? sm_p11_worker_open(w, slot, next) : rv;
    if (rv == CKR_SESSION_COUNT) {
        close_idle(token);
        rv = sm_p11_worker_open(w, slot, next);
    }
    (void)pthread_mutex_lock(&set->lock);
    token->reviving = false;
    if (rv == CKR_OK) {
        sm_p11_token_up(token, slot);
    } else if (sm_p11_trouble(rv) == P11_REFUSED) {
        sm_p11_token_refused(token, sm_p11_name(rv));
    } else {
        sm_p11_token_rests(token, sm_p11_name(rv));
    }
}

bool sm_p11_wants_reviving(const struct sm_token *token)
{
    return token->state == TOKEN_DOWN && !token->reviving && !token->set->stopping &&
           sm_clock_mono_ns() >= token->retry_ns;
}
