/* SPDX-License-Identifier: Apache-2.0 */
#include "sign/batch_metrics.h"

#include <pthread.h>
#include <stdio.h>

#define LABEL_MAX 80

static const char *const op_labels[SM_OPS] = {"op=\"verify\"", "op=\"sign\""};
static const char *const op_names[SM_OPS] = {"verify", "sign"};

/* Labels must live as long as the program. */
static char size_labels[SM_OPS][SM_KEY_TYPE_COUNT][LABEL_MAX];
static char job_labels[SM_OPS][SM_SIG_ALG_COUNT][SM_BACKEND_COUNT][LABEL_MAX];
static char failed_labels[SM_OPS][SM_SIG_ALG_COUNT][LABEL_MAX];

static void make_alg_labels(unsigned op, enum sm_sig_alg alg)
{
    const char *const backends[SM_BACKEND_COUNT] = {sm_backend_openssl.name, sm_backend_mb.name};
    const char *name = sm_sig_alg_name(alg);
    (void)snprintf(failed_labels[op][alg], LABEL_MAX, "op=\"%s\",alg=\"%s\"", op_names[op], name);
    for (unsigned i = 0; i < SM_BACKEND_COUNT; i++) {
        (void)snprintf(job_labels[op][alg][i], LABEL_MAX, "op=\"%s\",alg=\"%s\",backend=\"%s\"",
                       op_names[op], name, backends[i]);
    }
}

static void make_labels(void)
{
    for (unsigned op = 0; op < SM_OPS; op++) {
        for (unsigned type = 0; type < SM_KEY_TYPE_COUNT; type++) {
            (void)snprintf(size_labels[op][type], LABEL_MAX, "op=\"%s\",key=\"%s\"", op_names[op],
                           sm_key_type_name((enum sm_key_type)type));
        }
        for (unsigned alg = 0; alg < SM_SIG_ALG_COUNT; alg++) {
            make_alg_labels(op, (enum sm_sig_alg)alg);
        }
    }
}

void sm_batch_metrics_init(struct sm_batch_metrics *m)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    (void)pthread_once(&once, make_labels);
    *m = (struct sm_batch_metrics){0};
    for (int op = 0; op < SM_OPS; op++) {
        m->run[op] = sm_metric_register(SM_HISTOGRAM, "sealmill_batch_seconds",
                                        "Time of one batch on the processor", op_labels[op]);
        m->wait[op] = sm_metric_register(SM_HISTOGRAM, "sealmill_crypto_wait_seconds",
                                         "Time that a job waited for its batch", op_labels[op]);
    }
    m->waiting = sm_metric_register(SM_GAUGE, "sealmill_crypto_jobs_waiting",
                                    "Jobs that wait in lanes or in the pool", NULL);
}

static sm_metric size_series(struct sm_batch_metrics *m, const sm_crypt_job *job)
{
    sm_metric *s = &m->size[job->op][job->type];
    if (s->index == 0) {
        *s = sm_metric_register(SM_HISTOGRAM, "sealmill_batch_size", "Jobs in one batch",
                                size_labels[job->op][job->type]);
    }
    return *s;
}

static sm_metric jobs_series(struct sm_batch_metrics *m, const sm_crypt_job *job,
                             enum sm_backend_id backend)
{
    sm_metric *s = &m->jobs[job->op][job->alg][backend];
    if (s->index == 0) {
        *s = sm_metric_register(SM_COUNTER, "sealmill_crypto_jobs_total",
                                "Signatures made and verified",
                                job_labels[job->op][job->alg][backend]);
    }
    return *s;
}

static sm_metric failed_series(struct sm_batch_metrics *m, const sm_crypt_job *job)
{
    sm_metric *s = &m->failed[job->op][job->alg];
    if (s->index == 0) {
        *s = sm_metric_register(SM_COUNTER, "sealmill_crypto_jobs_failed_total",
                                "Jobs that ended with an error", failed_labels[job->op][job->alg]);
    }
    return *s;
}

void sm_batch_metrics_ran(struct sm_batch_metrics *m, sm_crypt_job *const *jobs, size_t count,
                          const struct sm_backend *backend, uint64_t start_ns, uint64_t end_ns)
{
    enum sm_crypt_op op = jobs[0]->op;
    sm_metric_observe_ns(m->run[op], end_ns - start_ns);
    sm_metric_observe_count(size_series(m, jobs[0]), count);
    for (size_t i = 0; i < count; i++) {
        sm_metric_observe_ns(m->wait[op], start_ns - jobs[i]->queued_ns);
        sm_metric_inc(jobs_series(m, jobs[i], backend->id));
        if (!sm_ok(jobs[i]->err)) {
            sm_metric_inc(failed_series(m, jobs[i]));
        }
    }
}
