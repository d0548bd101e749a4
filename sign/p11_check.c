/* SPDX-License-Identifier: Apache-2.0 */
/* Every signature of a token is verified before it leaves: bits turn in modules, drivers and
 * cables. Under load by a thread of its own, in batches, so that no session waits for it; else on
 * the session's own thread, which has nothing better to do. */
#include "sign/backend.h"
#include "sign/key_p.h"
#include "sign/p11_pool_p.h"

struct check {
    struct p11_result results[SM_BACKEND_LANES];
    sm_crypt_job jobs[SM_BACKEND_LANES];
    sm_crypt_job *list[SM_BACKEND_LANES];
    size_t count;
};

/* Without the lock: the requests are ours alone. */
static void run(struct check *c)
{
    for (size_t i = 0; i < c->count; i++) {
        const sm_crypt_job *job = c->results[i].job;
        c->list[i] = &c->jobs[i];
        c->jobs[i] = (sm_crypt_job){.op = SM_CRYPT_VERIFY,
                                    .alg = job->alg,
                                    .type = job->type,
                                    .message = job->message,
                                    .is_digest = job->is_digest,
                                    .public_key = c->results[i].key->public_key,
                                    .signature = sm_slice_of(job->out, job->out_len)};
    }
    (void)sm_backend_run(c->list, c->count);
}

static void report(sm_tokens *set, const struct check *c)
{
    for (size_t i = 0; i < c->count; i++) {
        sm_p11_verified(set, &c->results[i], sm_ok(c->jobs[i].err));
    }
}

void sm_p11_check(sm_tokens *set, const struct p11_result *result, bool busy)
{
    if (busy && set->unchecked_count < P11_UNCHECKED_MAX) {
        set->unchecked[set->unchecked_count++] = *result;
        if (set->unchecked_count == 1) {
            (void)pthread_cond_signal(&set->check_wake);
        }
        return;
    }
    struct check c = {.results = {*result}, .count = 1};
    (void)pthread_mutex_unlock(&set->lock);
    run(&c);
    (void)pthread_mutex_lock(&set->lock);
    report(set, &c);
}

/* A batch is of one type of key: the oldest's. The others keep their order. */
static void take_batch(sm_tokens *set, struct check *c)
{
    size_t kept = 0;
    enum sm_key_type type = set->unchecked[0].job->type;
    c->count = 0;
    for (size_t i = 0; i < set->unchecked_count; i++) {
        const struct p11_result *r = &set->unchecked[i];
        if (c->count < SM_BACKEND_LANES && r->job->type == type) {
            c->results[c->count++] = *r;
        } else {
            set->unchecked[kept++] = *r;
        }
    }
    set->unchecked_count = kept;
}

static void check(void *ctx)
{
    sm_tokens *set = ctx;
    struct check c;
    (void)pthread_mutex_lock(&set->lock);
    while (!set->check_stop) {
        if (set->unchecked_count == 0) {
            (void)pthread_cond_wait(&set->check_wake, &set->lock);
            continue;
        }
        take_batch(set, &c);
        (void)pthread_mutex_unlock(&set->lock);
        run(&c);
        (void)pthread_mutex_lock(&set->lock);
        report(set, &c);
    }
    (void)pthread_mutex_unlock(&set->lock);
    sm_sign_thread_deinit();
}

sm_err sm_p11_check_start(sm_tokens *set)
{
    SM_TRY(sm_thread_start(&set->checker, "token-check", check, set));
    set->checking = true;
    return SM_NO_ERR;
}

void sm_p11_check_stop(sm_tokens *set)
{
    if (set->checking) {
        (void)pthread_mutex_lock(&set->lock);
        set->check_stop = true;
        (void)pthread_cond_signal(&set->check_wake);
        (void)pthread_mutex_unlock(&set->lock);
        sm_thread_join(&set->checker);
        set->checking = false;
    }
}
