/* SPDX-License-Identifier: Apache-2.0 */
#include "base/log.h"
#include "sign/backend.h"
#include "sign/backend_openssl_p.h"

#include <openssl/crypto.h>

sm_err sm_sign_now(sm_key *key, enum sm_sig_alg alg, sm_slice message, sm_buf *out)
{
    size_t room = sm_sig_size_max(alg, sm_key_get_type(key));
    if (room == 0) {
        return SM_ERR(UNSUPPORTED);
    }
    sm_crypt_job job = {.op = SM_CRYPT_SIGN, .alg = alg, .message = message, .key = key, .out_room = room};
    job.out = sm_buf_reserve(out, room);
    if (job.out == NULL) {
        return sm_buf_err(out);
    }
    sm_crypt_job *jobs[] = {&job};
    sm_backend_choose(job.op, alg, 1)->run(jobs, 1);
    if (sm_ok(job.err)) {
        sm_buf_commit(out, job.out_len);
    }
    return job.err;
}

sm_err sm_verify_now(const struct sm_public_key *key, enum sm_sig_alg alg, sm_slice message, sm_slice signature)
{
    if (!sm_sig_alg_fits(alg, key->type)) {
        return SM_ERR(UNSUPPORTED);
    }
    sm_crypt_job job = {
        .op = SM_CRYPT_VERIFY, .alg = alg, .message = message, .public_key = key, .signature = signature};
    sm_crypt_job *jobs[] = {&job};
    sm_backend_choose(job.op, alg, 1)->run(jobs, 1);
    return job.err;
}

/* A pairwise test of what a start cannot do without. */
static sm_err self_test(void)
{
    sm_key *key;
    SM_TRY(sm_key_generate(SM_KEY_P256, &key));
    sm_buf signature = sm_buf_init(SM_SIGNATURE_MAX);
    sm_slice message = SM_LIT("sealmill");
    sm_err err = sm_sign_now(key, SM_SIG_ECDSA_SHA256, message, &signature);
    if (sm_ok(err)) {
        err = sm_verify_now(sm_key_public(key), SM_SIG_ECDSA_SHA256, message, sm_buf_slice(&signature));
    }
    sm_buf_deinit(&signature);
    sm_key_detach(&key);
    return err;
}

sm_err sm_sign_init(sm_diag *diag)
{
    sm_err err = self_test();
    if (!sm_ok(err)) {
        return sm_diag_set(diag, err, "crypto", "OpenSSL's P-256 failed its self-test");
    }
    sm_log(SM_LOG_INFO, "crypto_ready", SM_KS("backend", "openssl"), SM_KS("version", OpenSSL_version(OPENSSL_VERSION_STRING)),
           SM_KEND);
    return SM_NO_ERR;
}

void sm_sign_thread_deinit(void)
{
    sm_backend_openssl_forget();
}
