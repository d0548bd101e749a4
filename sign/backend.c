/* SPDX-License-Identifier: Apache-2.0 */
#include "sign/backend.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/metrics.h"
#include "sign/der.h"
#include "sign/key_p.h"

#define OPS 2

/* A call that takes longer would hold up every connection of its loop. Above it lie (multi-buffer,
 * eight at once) RSA-3072 with 2.0 ms and RSA-4096 with 4.2, and (OpenSSL, one) RSA-3072 0.6 ms,
 * RSA-4096 1.3, ML-DSA-44 0.4, -65 0.7, -87 0.8 with a long tail, and P-384 where OpenSSL was built
 * without its 64-bit field code 0.5; below it RSA-2048 0.48 and P-521 0.52 in eights. */
#define SLOW_SINGLE_NS (350 * SM_NS_PER_US)
#define SLOW_BATCH_NS (1000 * SM_NS_PER_US)

static struct sm_backend_choice choices[OPS][SM_KEY_TYPE_COUNT];

void sm_backend_set_choice(enum sm_crypt_op op, enum sm_key_type type,
                           const struct sm_backend_choice *choice)
{
    choices[op][type] = *choice;
}

const struct sm_backend_choice *sm_backend_get_choice(enum sm_crypt_op op, enum sm_key_type type)
{
    static const struct sm_backend_choice none = {SM_BACKEND_NEVER, "not tested yet", 0, 0};
    const struct sm_backend_choice *choice = &choices[op][type];
    return choice->from == 0 ? &none : choice;
}

const struct sm_backend *sm_backend_choose(enum sm_crypt_op op, enum sm_key_type type, size_t count)
{
    return count >= sm_backend_get_choice(op, type)->from ? &sm_backend_mb : &sm_backend_openssl;
}

size_t sm_backend_batch(enum sm_crypt_op op, enum sm_key_type type)
{
    return sm_backend_get_choice(op, type)->from <= SM_BACKEND_LANES ? SM_BACKEND_LANES : 1;
}

bool sm_backend_is_slow(enum sm_crypt_op op, enum sm_key_type type)
{
    bool sign = op == SM_CRYPT_SIGN;
    if (sign && (type == SM_KEY_RSA_3072 || type == SM_KEY_RSA_4096 || type >= SM_KEY_ML_DSA_44)) {
        return true;
    }
    const struct sm_backend_choice *choice = sm_backend_get_choice(op, type);
    return choice->from <= SM_BACKEND_LANES ? choice->batch_ns > SLOW_BATCH_NS
                                            : choice->single_ns > SLOW_SINGLE_NS;
}

void sm_backend_fault(enum sm_sig_alg alg)
{
    sm_metric faults = sm_metric_register(
        SM_COUNTER, "sealmill_crypto_faults_total",
        "Own signatures that did not verify, and were not given out", NULL);
    sm_metric_inc(faults);
    sm_log(SM_LOG_ERROR, "signature_fault", SM_KS("alg", sm_sig_alg_name(alg)), SM_KEND);
}

/* Verifies fresh signatures of keys that want it (a fault in the processor while signing can give
 * an ECDSA key away). */
static void check_results(sm_crypt_job *const *jobs, size_t count)
{
    sm_crypt_job checks[SM_BACKEND_LANES];
    sm_crypt_job *list[SM_BACKEND_LANES];
    sm_crypt_job *of[SM_BACKEND_LANES];
    size_t n = 0;
    for (size_t i = 0; i < count; i++) {
        if (!sm_ok(jobs[i]->err) || !sm_key_checks_results(jobs[i]->key)) {
            continue;
        }
        checks[n] = (sm_crypt_job){.op = SM_CRYPT_VERIFY,
                                   .alg = jobs[i]->alg,
                                   .type = jobs[i]->type,
                                   .message = jobs[i]->message,
                                   .is_digest = jobs[i]->is_digest,
                                   .public_key = sm_key_public(jobs[i]->key),
                                   .signature = sm_slice_of(jobs[i]->out, jobs[i]->out_len)};
        of[n] = jobs[i];
        list[n] = &checks[n];
        n++;
    }
    if (n == 0) {
        return;
    }
    sm_backend_choose(SM_CRYPT_VERIFY, checks[0].type, n)->run(list, n);
    for (size_t i = 0; i < n; i++) {
        if (!sm_ok(checks[i].err)) {
            sm_backend_fault(of[i]->alg);
            sm_wipe(of[i]->out, of[i]->out_len); /* it may give the key away */
            of[i]->err = SM_ERR(CRYPTO);
            of[i]->out_len = 0;
        }
    }
}

const struct sm_backend *sm_backend_run(sm_crypt_job *const *jobs, size_t count)
{
    const struct sm_backend *backend = sm_backend_choose(jobs[0]->op, jobs[0]->type, count);
    backend->run(jobs, count);
    if (jobs[0]->op == SM_CRYPT_SIGN) {
        check_results(jobs, count);
    }
    return backend;
}

void sm_backend_forget(void)
{
    sm_backend_openssl.forget();
    sm_backend_mb.forget();
}

sm_err sm_backend_input(const sm_crypt_job *job, uint8_t digest[SM_DIGEST_MAX], sm_slice *out)
{
    enum sm_digest kind = sm_sig_alg_digest(job->alg);
    if (kind == SM_DIGEST_NONE) {
        *out = job->message;
        return job->is_digest ? SM_ERR(UNSUPPORTED) : SM_NO_ERR;
    }
    size_t size = sm_digest_size(kind);
    if (job->is_digest) {
        *out = job->message;
        return job->message.len == size ? SM_NO_ERR : SM_ERR(INVALID);
    }
    SM_TRY(sm_digest_compute(kind, job->message, digest));
    *out = sm_slice_of(digest, size);
    return SM_NO_ERR;
}
