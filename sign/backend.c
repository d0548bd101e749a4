/* SPDX-License-Identifier: Apache-2.0 */
#include "sign/backend.h"

#include "sign/der.h"

const struct sm_backend *sm_backend_choose(enum sm_crypt_op op, enum sm_sig_alg alg, size_t count)
{
    (void)op;
    (void)alg;
    (void)count;
    return &sm_backend_openssl;
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

sm_err sm_ecdsa_split(sm_slice der, sm_slice *r, sm_slice *s)
{
    sm_der d = sm_der_init(der);
    sm_der seq = sm_der_enter(&d, SM_DER_SEQUENCE);
    *r = sm_der_read_unsigned(&seq);
    *s = sm_der_read_unsigned(&seq);
    sm_der_leave(&d, &seq);
    return sm_ok(sm_der_finish(&d)) ? SM_NO_ERR : SM_ERR(BAD_SIGNATURE);
}
