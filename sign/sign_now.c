/* SPDX-License-Identifier: Apache-2.0 */
#include "base/clock.h"
#include "base/mem.h"
#include "sign/backend.h"
#include "sign/key_p.h"
#include "sign/p11_pool_p.h"

/* A job that a thread waits for. */
struct waited {
    sm_crypt_job job;
    pthread_mutex_t lock; /* covers `done` */
    pthread_cond_t wake;
    bool done;
};

static void on_back(sm_crypt_job *job)
{
    struct waited *w = SM_CONTAINER_OF(job, struct waited, job);
    (void)pthread_mutex_lock(&w->lock);
    w->done = true;
    (void)pthread_cond_signal(&w->wake);
    (void)pthread_mutex_unlock(&w->lock);
}

static void wait_for(struct waited *w)
{
    (void)pthread_mutex_lock(&w->lock);
    while (!w->done) {
        (void)pthread_cond_wait(&w->wake, &w->lock);
    }
    w->done = false;
    (void)pthread_mutex_unlock(&w->lock);
}

static sm_err verify_result(const sm_crypt_job *job)
{
    sm_crypt_job check = {.op = SM_CRYPT_VERIFY,
                          .alg = job->alg,
                          .type = job->type,
                          .message = job->message,
                          .is_digest = job->is_digest,
                          .public_key = sm_key_public(job->key),
                          .signature = sm_slice_of(job->out, job->out_len)};
    sm_crypt_job *jobs[] = {&check};
    (void)sm_backend_run(jobs, 1);
    if (!sm_ok(check.err)) {
        sm_wipe(job->out, job->out_len);
    }
    return check.err;
}

/* Through the token's pool like every other request; its own time limit ends the wait. */
static void run_on_token(sm_crypt_job *job)
{
    struct waited w = {
        .job = *job, .lock = PTHREAD_MUTEX_INITIALIZER, .wake = PTHREAD_COND_INITIALIZER};
    struct sm_token_key *key = job->key->token;
    w.job.give_back = on_back;
    w.job.submitted_ns = sm_clock_mono_ns();
    job->err = sm_token_key_submit(key, &w.job);
    if (!sm_ok(job->err)) {
        return;
    }
    do {
        wait_for(&w);
    } while (w.job.checking && !sm_token_key_checked(key, &w.job, verify_result(&w.job)));
    job->err = w.job.err;
    job->out_len = w.job.out_len;
}

sm_err sm_sign_now(sm_key *key, enum sm_sig_alg alg, sm_slice message, sm_buf *out)
{
    enum sm_key_type type = sm_key_get_type(key);
    size_t room = sm_sig_size_max(alg, type);
    if (room == 0 || !sm_sig_alg_fits(alg, type)) {
        return SM_ERR(UNSUPPORTED);
    }
    sm_crypt_job job = {.op = SM_CRYPT_SIGN,
                        .alg = alg,
                        .type = type,
                        .message = message,
                        .key = key,
                        .out_room = room};
    job.out = sm_buf_reserve(out, room);
    if (job.out == NULL) {
        return sm_buf_err(out);
    }
    sm_crypt_job *jobs[] = {&job};
    if (key->token != NULL) {
        run_on_token(&job);
    } else {
        (void)sm_backend_run(jobs, 1);
    }
    if (sm_ok(job.err)) {
        sm_buf_commit(out, job.out_len);
    }
    return job.err;
}

sm_err sm_verify_now(const struct sm_public_key *key, enum sm_sig_alg alg, sm_slice message,
                     sm_slice signature)
{
    if (!sm_sig_alg_fits(alg, key->type)) {
        return SM_ERR(UNSUPPORTED);
    }
    sm_crypt_job job = {.op = SM_CRYPT_VERIFY,
                        .alg = alg,
                        .type = key->type,
                        .message = message,
                        .public_key = key,
                        .signature = signature};
    sm_crypt_job *jobs[] = {&job};
    (void)sm_backend_run(jobs, 1);
    return job.err;
}

void sm_sign_thread_deinit(void)
{
    sm_backend_forget();
}
