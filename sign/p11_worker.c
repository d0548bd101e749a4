/* SPDX-License-Identifier: Apache-2.0 */
/* One session's worker: it takes a request, makes the call, and sees what a failure means. */
#include "base/clock.h"
#include "base/log.h"
#include "sign/backend.h"
#include "sign/p11_pool_p.h"

/* ---- the session ---- */

static void count_open(struct sm_token *token, int change)
{
    (void)pthread_mutex_lock(&token->set->lock);
    token->open += (unsigned)change;
    (void)pthread_mutex_unlock(&token->set->lock);
}

void sm_p11_worker_close(struct p11_worker *w)
{
    if (w->open) {
        w->open = false;
        sm_p11_session_close(w->token, w->session);
        count_open(w->token, -1);
        sm_metric_sub(w->token->metrics.sessions, 1);
    }
}

/* It counts while it is being opened: who is refused meanwhile must not take the token for empty.
 */
CK_RV sm_p11_worker_open(struct p11_worker *w, CK_SLOT_ID slot, uint32_t generation)
{
    if (w->open && w->generation == generation) {
        return CKR_OK;
    }
    sm_p11_worker_close(w);
    count_open(w->token, 1);
    CK_RV rv = sm_p11_session_open(w->token, slot, false, &w->session);
    if (rv != CKR_OK) {
        count_open(w->token, -1);
        return rv;
    }
    w->open = true;
    w->opened_ns = sm_clock_mono_ns();
    w->generation = generation;
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
    bool seen;           /* looked at in this call: `says` is known */
    struct sm_token_says says;
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
    };
}

/* The key's handle on this token, in this generation. Not there, or not safe there: `*absent`. */
static CK_RV find_handle(struct p11_worker *w, struct task *t, bool *absent)
{
    struct p11_found found;
    CK_RV rv = sm_p11_find_key(w->token, w->session, t->match, &found);
    if (rv != CKR_OK) {
        return rv;
    }
    *absent = found.handle == 0 || (found.open && !w->token->allow_extractable);
    if (*absent) {
        sm_log(SM_LOG_ERROR, "token_key_missing", SM_KS("token", w->token->name),
               SM_KS("key", t->match.label),
               SM_KS("reason", found.handle == 0 ? "it is not there"
                                                 : "the token would give it out (extractable)"),
               SM_KEND);
    }
    t->seen = found.handle != 0;
    t->says = found.says;
    t->order.key = found.handle;
    t->order.always_authenticate = found.says.always_authenticate;
    return CKR_OK;
}

/* The whole call, without the lock. */
static CK_RV call(struct p11_worker *w, struct task *t, bool *absent, size_t *len)
{
    CK_RV rv = sm_p11_worker_open(w, t->slot, t->generation);
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

/* Under the lock. The token signed: the request is ours alone now, since it can no more be given
 * up. It goes back to be verified, where many are at once; no session waits for that. */
static void finish(struct p11_worker *w, size_t len)
{
    sm_crypt_job *job = sm_p11_take_job(w);
    memcpy(job->out, w->out, len);
    job->out_len = len;
    job->checking = true;
    job->token = w->token;
    job->generation = w->asked;
    w->losses = 0;
    job->give_back(job);
}

/* Under the lock. Returns whether the session is to be closed. */
static bool conclude(struct p11_worker *w, const struct task *t, CK_RV rv, bool absent, size_t len)
{
    if (w->job == NULL) { /* given up meanwhile: nobody knows what state the session is in */
        w->lost = false;
        return true;
    }
    if (rv != CKR_OK) {
        return sm_p11_failed(w, rv);
    }
    const struct p11_finding found = {t->generation, absent, t->order.key,
                                      t->order.always_authenticate, t->seen ? &t->says : NULL};
    sm_p11_remember(w->key, w->token, &found);
    if (absent) {
        sm_p11_missed(w);
    } else {
        finish(w, len);
    }
    return false;
}

/* Under the lock; the call is made without it. */
static void close_watched(struct p11_worker *w)
{
    struct sm_token *token = w->token;
    w->closing = true;
    w->since_ns = sm_clock_mono_ns();
    token->closing++;
    (void)pthread_cond_signal(&token->set->wake);
    (void)pthread_mutex_unlock(&token->set->lock);
    sm_p11_worker_close(w);
    (void)pthread_mutex_lock(&token->set->lock);
    token->closing--;
    w->closing = false;
    w->lost = false;
}

/* A key that its token refuses so each time is tried as often as any: what failed was opened for it then. */
static bool is_worn(const struct p11_worker *w, const sm_crypt_job *job, const struct task *t)
{
    bool session = w->open && w->generation == t->generation && w->opened_ns < job->submitted_ns;
    bool handle = t->known && sm_p11_holder(w->key, w->token)->found_ns < job->submitted_ns;
    return session || handle;
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
    w->asked = w->token->generation;
    w->since_ns = sm_clock_mono_ns();
    describe(w, &t);
    w->worn = is_worn(w, job, &t);
    (void)pthread_mutex_unlock(&set->lock);
    sm_err err = copy_input(w, job);
    if (!sm_ok(err)) {
        (void)pthread_mutex_lock(&set->lock);
        sm_p11_answer(set, sm_p11_take_job(w), err);
        return;
    }
    atomic_store(&w->calling, true);
    sm_metric_add(w->token->metrics.busy, 1);
    CK_RV rv = call(w, &t, &absent, &len);
    sm_metric_sub(w->token->metrics.busy, 1);
    sm_metric_observe_ns(w->token->metrics.time, sm_clock_mono_ns() - w->since_ns);
    (void)pthread_mutex_lock(&set->lock);
    if (conclude(w, &t, rv, absent, len)) {
        close_watched(w);
    }
}

/* ---- the thread ---- */

static void take_one(struct p11_worker *w, sm_crypt_job *job, struct sm_token_key *key)
{
    if (atomic_load_explicit(&job->cancelled, memory_order_relaxed)) {
        sm_p11_answer(w->token->set, job, SM_ERR(CANCELLED));
        return;
    }
    w->alone = sm_p11_is_alone(key, w->token);
    w->token->alone += w->alone;
    serve(w, job, key); /* the key may be gone after it */
    sm_p11_let_others(w);
}

/* Under the lock. Administration wants a session and the token gives no more: this one's place. */
static bool lend(struct p11_worker *w)
{
    struct sm_token *token = w->token;
    if (token->wanting == 0 || token->lent != NULL || !w->open) {
        return false;
    }
    token->wanting--;
    token->lent = w;
    return true;
}

/* What the token gives is taken at once, and the next request handed to it: a session that waits for the
 * processor is a session that does not sign. */
static void run_promptly(struct p11_worker *w)
{
    if (!w->prompt) {
        w->prompt = true;
        sm_thread_run_promptly();
    }
}

void sm_p11_work(sm_msg *msg)
{
    struct p11_worker *w = SM_CONTAINER_OF(msg, struct p11_worker, wake);
    struct sm_token *token = w->token;
    run_promptly(w);
    struct sm_token_key *key;
    sm_crypt_job *job;
    bool mine = true;
    (void)pthread_mutex_lock(&token->set->lock);
    while (!w->retired && (mine = !lend(w))) {
        if (sm_p11_wants_reviving(token)) {
            sm_p11_revive(w);
        } else if (token->state == TOKEN_UP && (job = sm_p11_take(token, &key)) != NULL) {
            take_one(w, job, key);
        } else {
            break;
        }
    }
    if (!w->retired && mine) {
        w->idle = true;
        token->idle++;
    }
    (void)pthread_mutex_unlock(&token->set->lock);
}
