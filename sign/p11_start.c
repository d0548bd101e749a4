/* SPDX-License-Identifier: Apache-2.0 */
/* The first contact with each token, all at once: a module may block in any of these calls, and the start does not
 * wait for it longer than one call may take. */
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "sign/p11_pool_p.h"

struct contact {
    struct p11_attempt attempt;
    struct sm_token *token;
    uint64_t until_ns;
    CK_RV began; /* what C_Initialize says */
    CK_RV rv;    /* what the rest says; CKR_OK: slot and info are known */
    CK_SLOT_ID slot;
    CK_TOKEN_INFO info;
};

static unsigned choose_sessions(const struct sm_token *t, const CK_TOKEN_INFO *info)
{
    CK_ULONG max = info == NULL ? CK_UNAVAILABLE_INFORMATION : info->ulMaxSessionCount;
    bool limited = max != CK_UNAVAILABLE_INFORMATION && max != CK_EFFECTIVELY_INFINITE;
    unsigned n = t->sessions_wanted != 0 ? t->sessions_wanted : SM_TOKEN_SESSIONS_DEFAULT;
    n = limited && max < n ? (unsigned)max : n;
    n = t->module->one_thread ? 1 : n; /* more would only wait for each other, as if it hung */
    return n == 0 ? 1 : n > SM_TOKEN_SESSIONS_MAX ? SM_TOKEN_SESSIONS_MAX : n;
}

/* Under the lock. */
static sm_err start_worker(struct sm_token *t)
{
    struct p11_worker *w = &t->workers[t->worker_count];
    w->token = t;
    w->wake.run = sm_p11_work;
    w->input = sm_buf_init(2U << 20);
    w->idle = true;
    SM_TRY(sm_worker_start(&w->thread, "token", NULL, NULL));
    t->worker_count++;
    t->idle++;
    return SM_NO_ERR;
}

static sm_err start_workers(struct sm_token *t, unsigned count)
{
    sm_err err = SM_NO_ERR;
    (void)pthread_mutex_lock(&t->set->lock);
    while (sm_ok(err) && t->worker_count < count && t->worker_count < t->worker_room) {
        err = start_worker(t);
    }
    (void)pthread_mutex_unlock(&t->set->lock);
    return err;
}

void sm_p11_start_rest(struct sm_token *t, const CK_TOKEN_INFO *info)
{
    sm_err err = start_workers(t, choose_sessions(t, info));
    if (!sm_ok(err)) { /* it goes on with those that it has */
        sm_log(SM_LOG_ERROR, "token_session_not_started", SM_KS("token", t->name),
               SM_KE("error", err), SM_KEND);
    }
}

/* Looks whether the token is there and takes the PIN; how many sessions it gives. */
static CK_RV look(struct contact *c)
{
    CK_SESSION_HANDLE session;
    CK_RV rv = sm_p11_find_slot(c->token, &c->slot, &c->info);
    if (rv != CKR_OK) {
        return rv;
    }
    rv = sm_p11_session_open(c->token, c->slot, false, &session);
    if (rv == CKR_OK) {
        sm_p11_session_close(c->token, session);
    }
    return rv;
}

/* If nobody waits any more when C_Initialize comes back, the pool makes the other calls: it can give them up. */
static void call(struct p11_attempt *a)
{
    struct contact *c = SM_CONTAINER_OF(a, struct contact, attempt);
    struct sm_token *t = c->token;
    c->rv = c->began = sm_p11_module_begin(t->module);
    (void)pthread_mutex_lock(&t->set->lock);
    t->met = c->began == CKR_OK;
    bool late = a->left;
    t->visitors += !late;
    (void)pthread_mutex_unlock(&t->set->lock);
    if (late) {
        c->rv = c->began == CKR_OK ? P11_RV_HUNG : c->began;
        return;
    }
    c->rv = c->began == CKR_OK ? look(c) : c->began;
    (void)pthread_mutex_lock(&t->set->lock);
    t->visitors--;
    (void)pthread_mutex_unlock(&t->set->lock);
}

static bool claim_start(struct sm_token *t)
{
    (void)pthread_mutex_lock(&t->set->lock);
    bool mine = !t->started;
    t->started = true;
    (void)pthread_mutex_unlock(&t->set->lock);
    return mine;
}

/* How many sessions it is to have is known only when it answers; before C_Initialize has come back it is not even known whether
 * there may be two. */
static sm_err start_first(struct sm_token *t, bool begun, const CK_TOKEN_INFO *info)
{
    unsigned most = choose_sessions(t, NULL);
    unsigned now = begun ? choose_sessions(t, info) : 1;
    t->workers = sm_calloc(most, sizeof(*t->workers));
    if (t->workers == NULL) {
        return SM_ERR(NO_MEMORY);
    }
    t->worker_room = most;
    return start_workers(t, now);
}

/* `info`: NULL if the token did not answer. */
static sm_err begin(struct sm_token *t, bool begun, CK_RV rv, CK_SLOT_ID slot,
                    const CK_TOKEN_INFO *info)
{
    bool first = claim_start(t);
    if (first) {
        SM_TRY(start_first(t, begun, info));
    }
    if (first && rv != CKR_OK && sm_p11_trouble(rv) != P11_REFUSED) {
        sm_log(SM_LOG_ERROR, "token_missing", SM_KS("token", t->name),
               SM_KS("reason", sm_p11_name(rv)), SM_KEND);
    }
    (void)pthread_mutex_lock(&t->set->lock);
    sm_p11_revival_over(t, 1, slot, rv, !first);
    (void)pthread_mutex_unlock(&t->set->lock);
    return SM_NO_ERR;
}

static sm_err begin_as(const struct contact *c)
{
    return begin(c->token, c->began == CKR_OK, c->rv, c->slot, c->rv == CKR_OK ? &c->info : NULL);
}

static void come_late(struct p11_attempt *a)
{
    struct contact *c = SM_CONTAINER_OF(a, struct contact, attempt);
    sm_err err = begin_as(c);
    if (!sm_ok(err)) { /* it stays down: its requests end in UNAVAILABLE */
        sm_log(SM_LOG_ERROR, "token_not_started", SM_KS("token", c->token->name),
               SM_KE("error", err), SM_KEND);
    }
    sm_free(c);
}

/* It did not answer in time. The pool goes on trying; but while C_Initialize is under way no call may be tried. */
static sm_err go_on_without(struct sm_token *t)
{
    (void)pthread_mutex_lock(&t->set->lock);
    bool met = t->met;
    if (!met && !t->started) { /* it may have come just now */
        t->why = sm_p11_name(P11_RV_HUNG);
        sm_log(SM_LOG_ERROR, "token_missing", SM_KS("token", t->name), SM_KS("reason", t->why),
               SM_KEND);
    }
    (void)pthread_mutex_unlock(&t->set->lock);
    return met ? begin(t, true, P11_RV_HUNG, 0, NULL) : SM_NO_ERR;
}

static sm_err start(struct sm_token *t, struct contact **out)
{
    struct contact *c = sm_calloc(1, sizeof(*c));
    if (c == NULL) {
        return SM_ERR(NO_MEMORY);
    }
    c->attempt = (struct p11_attempt){.set = t->set, .run = call, .late = come_late};
    c->token = t;
    c->until_ns = sm_clock_mono_ns() + t->call_timeout_ns;
    t->reviving = true;
    sm_err err = sm_p11_attempt_start(&c->attempt);
    if (!sm_ok(err)) {
        sm_free(c);
        return err;
    }
    *out = c;
    return SM_NO_ERR;
}

static sm_err finish(struct contact *c)
{
    struct sm_token *t = c->token;
    if (!sm_p11_attempt_wait(&c->attempt, c->until_ns)) {
        return go_on_without(t);
    }
    sm_err err = begin_as(c);
    sm_free(c);
    return err;
}

sm_err sm_p11_first_contact(sm_tokens *set)
{
    struct contact *contacts[SM_TOKENS_MAX];
    sm_err err = SM_NO_ERR;
    size_t started = 0;
    while (started < set->token_count && sm_ok(err)) {
        err = start(set->tokens[started], &contacts[started]);
        started += sm_ok(err);
    }
    for (size_t i = 0; i < started; i++) {
        sm_err one = finish(contacts[i]);
        err = sm_ok(err) ? one : err;
    }
    return err;
}
