/* SPDX-License-Identifier: Apache-2.0 */
#include "sign/backend.h"

sm_err sm_sign_now(sm_key *key, enum sm_sig_alg alg, sm_slice message, sm_buf *out)
{
    enum sm_key_type type = sm_key_get_type(key);
    size_t room = sm_sig_size_max(alg, type);
    if (room == 0) {
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
    (void)sm_backend_run(jobs, 1);
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
