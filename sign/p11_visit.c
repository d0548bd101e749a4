/* SPDX-License-Identifier: Apache-2.0 */
/* Administration's visits to a token: a key looked at or made, in a session of its own. The calls run in an attempt,
 * so that a token that hangs costs whoever asked its time-out and no more. */
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "sign/p11_pool_p.h"

#include <string.h>
#include <time.h>

#define SPKI_MAX 2048
#define MAKE_CALLS \
    40 /* a key pair may take as long as so many other calls: RSA-4096 takes a slow token a minute */

/* ---- a session ---- */

struct visit {
    struct sm_token *token;
    CK_SESSION_HANDLE session;
    struct p11_worker *lent; /* whose place it has; NULL: nobody's */
};

static void leave_token(struct sm_token *token)
{
    (void)pthread_mutex_lock(&token->set->lock);
    token->visitors--;
    (void)pthread_mutex_unlock(&token->set->lock);
}

/* Every session that the token gives is the pool's: one of them makes room, when its call is over.
 * NULL: none did in time. */
static struct p11_worker *borrow(struct sm_token *token)
{
    const struct timespec pause = {.tv_nsec = 1000000};
    uint64_t end = sm_clock_mono_ns() + token->timeout_ns;
    struct p11_worker *lent = NULL;
    (void)pthread_mutex_lock(&token->set->lock);
    token->wanting++;
    while (lent == NULL && sm_clock_mono_ns() < end) {
        sm_p11_rouse_lender(token);
        (void)pthread_mutex_unlock(&token->set->lock);
        (void)nanosleep(&pause, NULL);
        (void)pthread_mutex_lock(&token->set->lock);
        lent = token->lent;
        token->lent = NULL;
    }
    token->wanting -= lent == NULL;
    (void)pthread_mutex_unlock(&token->set->lock);
    return lent;
}

static void give_back(struct p11_worker *lent)
{
    struct sm_token *token = lent->token;
    (void)pthread_mutex_lock(&token->set->lock);
    lent->idle = true;
    token->idle++;
    (void)sm_p11_rouse(token); /* for what has come meanwhile */
    (void)pthread_mutex_unlock(&token->set->lock);
}

static CK_RV open_session(struct visit *v, CK_SLOT_ID slot, bool writable)
{
    CK_RV rv = sm_p11_session_open(v->token, slot, writable, &v->session);
    if (rv != CKR_SESSION_COUNT || (v->lent = borrow(v->token)) == NULL) {
        return rv;
    }
    sm_p11_worker_close(v->lent);
    rv = sm_p11_session_open(v->token, slot, writable, &v->session);
    if (rv != CKR_OK) {
        give_back(v->lent);
    }
    return rv;
}

static sm_err enter(struct sm_token *token, bool writable, struct visit *v, sm_diag *diag)
{
    (void)pthread_mutex_lock(&token->set->lock);
    bool up = token->state == TOKEN_UP;
    token->visitors += up;
    CK_SLOT_ID slot = token->slot;
    const char *why = token->why;
    (void)pthread_mutex_unlock(&token->set->lock);
    if (!up) {
        return sm_diag_set(diag, SM_ERR(UNAVAILABLE), "key_uri", "the token %s is not there: %s",
                           token->name, why);
    }
    *v = (struct visit){.token = token};
    CK_RV rv = open_session(v, slot, writable);
    if (rv != CKR_OK) {
        leave_token(token);
        return sm_p11_token_err(rv, token, diag);
    }
    return SM_NO_ERR;
}

static void leave(struct visit *v)
{
    sm_p11_session_close(v->token, v->session);
    if (v->lent != NULL) {
        give_back(v->lent);
    }
    leave_token(v->token);
}

/* ---- a visit, in an attempt ---- */

struct errand {
    struct p11_attempt attempt;
    struct sm_token *token;
    struct p11_match match;
    enum sm_key_type type;                                    /* of a key to be made */
    sm_err (*calls)(struct errand *e, const struct visit *v); /* in the session */
    bool writable;
    sm_err err; /* what came of it */
    sm_diag diag;
    struct sm_token_says says;
    sm_buf spki;
};

static void run(struct p11_attempt *a)
{
    struct errand *e = SM_CONTAINER_OF(a, struct errand, attempt);
    struct visit v;
    e->err = enter(e->token, e->writable, &v, &e->diag);
    if (sm_ok(e->err)) {
        e->err = e->calls(e, &v);
        leave(&v);
    }
}

static void drop(struct p11_attempt *a)
{
    struct errand *e = SM_CONTAINER_OF(a, struct errand, attempt);
    sm_buf_deinit(&e->spki);
    sm_free(e);
}

static struct errand *errand_new(struct sm_token *token, const struct p11_match *match)
{
    struct errand *e = sm_calloc(1, sizeof(*e));
    if (e != NULL) {
        e->attempt = (struct p11_attempt){.set = token->set, .run = run, .late = drop};
        e->token = token;
        e->match = *match;
        e->spki = sm_buf_init(SPKI_MAX);
    }
    return e;
}

static uint32_t generation_of(struct sm_token *token)
{
    (void)pthread_mutex_lock(&token->set->lock);
    uint32_t generation = token->generation;
    (void)pthread_mutex_unlock(&token->set->lock);
    return generation;
}

static void condemn(struct sm_token *token, uint32_t generation)
{
    (void)pthread_mutex_lock(&token->set->lock);
    sm_p11_token_down(token, generation, sm_p11_name(P11_RV_HUNG));
    (void)pthread_mutex_unlock(&token->set->lock);
}

/* Fine: `e` is the caller's still. Otherwise it is gone, or will be. */
static sm_err go(struct errand *e, uint64_t within_ns, sm_diag *diag)
{
    struct sm_token *token = e->token;
    uint32_t generation = generation_of(token);
    sm_err err = sm_p11_attempt_start(&e->attempt);
    if (!sm_ok(err)) {
        drop(&e->attempt);
        return err;
    }
    if (!sm_p11_attempt_wait(&e->attempt, sm_clock_mono_ns() + within_ns)) {
        condemn(token, generation);
        return sm_diag_set(diag, SM_ERR(UNAVAILABLE), "key_uri", "the token %s does not answer",
                           token->name);
    }
    err = e->err;
    if (!sm_ok(err)) {
        err = sm_diag_set(diag, err, e->diag.field, "%s", e->diag.reason);
        drop(&e->attempt);
    }
    return err;
}

/* ---- to look at a key ---- */

static sm_err check_found(const struct p11_found *found, const struct sm_token *token,
                          sm_diag *diag)
{
    if (found->handle == 0) {
        return sm_diag_set(diag, SM_ERR(NOT_FOUND), "key_uri",
                           "the token %s has no such private key", token->name);
    }
    if (found->open && !token->allow_extractable) {
        return sm_diag_set(diag, SM_ERR(POLICY), "key_uri",
                           "the token %s would give the key out (extractable or not sensitive): "
                           "allow_extractable allows it",
                           token->name);
    }
    return SM_NO_ERR;
}

static sm_err look(struct errand *e, const struct visit *v)
{
    struct p11_found found;
    CK_RV rv = sm_p11_find_key(v->token, v->session, e->match, &found);
    if (rv == CKR_TEMPLATE_INCONSISTENT) {
        return sm_diag_set(&e->diag, SM_ERR(INVALID), "key_uri",
                           "several keys of the token %s match: say their id", v->token->name);
    }
    if (rv != CKR_OK) {
        return sm_p11_token_err(rv, v->token, &e->diag);
    }
    SM_TRY(check_found(&found, v->token, &e->diag));
    e->says = found.says;
    return sm_p11_read_public(v->token, v->session, found.handle, &e->spki, &e->diag);
}

sm_err sm_p11_look(struct sm_token *token, const struct p11_match *match, sm_buf *spki,
                   struct sm_token_says *says, sm_diag *diag)
{
    struct errand *e = errand_new(token, match);
    if (e == NULL) {
        return SM_ERR(NO_MEMORY);
    }
    e->calls = look;
    SM_TRY(go(e, token->timeout_ns + token->call_timeout_ns, diag)); /* a session, then the call */
    sm_buf_put(spki, sm_buf_slice(&e->spki));
    *says = e->says;
    drop(&e->attempt);
    return sm_buf_err(spki);
}

/* ---- to make one, and to take it back ---- */

static sm_err make(struct errand *e, const struct visit *v)
{
    struct p11_found found;
    struct p11_match by_label = {.id_len = 0};
    memcpy(by_label.label, e->match.label, sizeof(by_label.label));
    CK_RV rv = sm_p11_find_key(v->token, v->session, by_label, &found);
    if (rv == CKR_TEMPLATE_INCONSISTENT || (rv == CKR_OK && found.handle != 0)) {
        return sm_diag_set(&e->diag, SM_ERR(EXISTS), "key_uri",
                           "the token %s has a key %s: use_existing_key takes it", v->token->name,
                           e->match.label);
    }
    rv = rv == CKR_OK ? sm_p11_generate(v->token, v->session, e->type, e->match) : rv;
    return rv == CKR_OK ? SM_NO_ERR : sm_p11_token_err(rv, v->token, &e->diag);
}

sm_err sm_p11_make(struct sm_token *token, enum sm_key_type type, const struct p11_match *match,
                   sm_diag *diag)
{
    struct errand *e = errand_new(token, match);
    if (e == NULL) {
        return SM_ERR(NO_MEMORY);
    }
    e->calls = make;
    e->type = type;
    e->writable = true;
    SM_TRY(go(e, MAKE_CALLS * token->call_timeout_ns, diag));
    drop(&e->attempt);
    return SM_NO_ERR;
}

static sm_err unmake(struct errand *e, const struct visit *v)
{
    CK_RV rv = sm_p11_destroy(v->token, v->session, e->match);
    return rv == CKR_OK ? SM_NO_ERR : sm_p11_token_err(rv, v->token, &e->diag);
}

void sm_p11_unmake(struct sm_token *token, const struct p11_match *match)
{
    sm_diag diag = {.reason = ""};
    struct errand *e = errand_new(token, match);
    sm_err err = e == NULL ? SM_ERR(NO_MEMORY) : SM_NO_ERR;
    if (sm_ok(err)) {
        e->calls = unmake;
        e->writable = true;
        err = go(e, token->timeout_ns + token->call_timeout_ns, &diag);
    }
    if (sm_ok(err)) {
        drop(&e->attempt);
    } else {
        sm_log(SM_LOG_ERROR, "token_key_left_behind", SM_KS("token", token->name),
               SM_KS("key", match->label), SM_KE("error", err), SM_KS("reason", diag.reason),
               SM_KEND);
    }
}
