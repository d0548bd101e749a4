/* SPDX-License-Identifier: Apache-2.0 */
#include "sign/backend_mb_p.h"

#include "sign/curve.h"
#include "sign/key_p.h"

#ifdef SM_HAVE_CRYPTO_MB

#include <crypto_mb/cpu_features.h>

void sm_mb_fall_back(sm_crypt_job *job)
{
    sm_backend_openssl.run(&job, 1);
}

static bool applicable(enum sm_crypt_op op, enum sm_key_type type)
{
    (void)op;
    return type >= SM_KEY_P256 && type <= SM_KEY_ED25519 && mbx_is_crypto_mb_applicable(0) != 0;
}

static void run_verify(sm_crypt_job *const *jobs, size_t count)
{
    enum sm_key_type type = jobs[0]->type;
    if (sm_curve_of(type) != NULL) {
        sm_mb_ecdsa_verify(jobs, count);
    } else if (type == SM_KEY_ED25519) {
        sm_mb_ed25519_verify(jobs, count);
    } else {
        sm_mb_rsa_verify(jobs, count);
    }
}

static void run_sign(sm_crypt_job *const *jobs, size_t count)
{
    enum sm_key_type type = jobs[0]->type;
    if (sm_curve_of(type) != NULL) {
        sm_mb_ecdsa_sign(jobs, count, SM_MB_HEDGED);
    } else if (type == SM_KEY_ED25519) {
        sm_mb_ed25519_sign(jobs, count);
    } else {
        sm_mb_rsa_sign(jobs, count);
    }
}

/* Jobs whose keys multi-buffer can read: all but RSA keys of odd shapes. */
static bool fits(const sm_crypt_job *job)
{
    if (job->op == SM_CRYPT_SIGN) {
        return job->key->numbers != NULL;
    }
    /* The library raises to 65537 alone. */
    static const uint8_t f4[] = {1, 0, 1};
    return job->public_key->modulus.len == 0 ||
           sm_slice_equal(job->public_key->exponent, sm_slice_of(f4, sizeof(f4)));
}

static void run(sm_crypt_job *const *jobs, size_t count)
{
    sm_crypt_job *fitting[SM_BACKEND_LANES];
    size_t n = 0;
    for (size_t i = 0; i < count; i++) {
        if (fits(jobs[i])) {
            fitting[n++] = jobs[i];
        } else {
            sm_backend_openssl.run(&jobs[i], 1);
        }
    }
    if (n > 0 && fitting[0]->op == SM_CRYPT_VERIFY) {
        run_verify(fitting, n);
    } else if (n > 0) {
        run_sign(fitting, n);
    }
}

#else

static bool applicable(enum sm_crypt_op op, enum sm_key_type type)
{
    (void)op;
    (void)type;
    return false;
}

static void run(sm_crypt_job *const *jobs, size_t count)
{
    sm_backend_openssl.run(jobs, count);
}

#endif

const struct sm_backend sm_backend_mb = {SM_BACKEND_MB, "multi-buffer", applicable, run,
                                         sm_curve_forget};
