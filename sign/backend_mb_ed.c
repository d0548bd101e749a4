/* SPDX-License-Identifier: Apache-2.0 */
/* Ed25519. Debian's build of crypto_mb 1.0.14 computes wrong public keys and signatures; the
 * known-answer test at start finds that, and Ed25519 then stays with OpenSSL. */
#include "sign/backend_mb_p.h"

#ifdef SM_HAVE_CRYPTO_MB

#include "sign/key_p.h"

#include <crypto_mb/ed25519.h>

#define LANES SM_BACKEND_LANES
#define HALF 32

void sm_mb_ed25519_verify(sm_crypt_job *const *jobs, size_t count)
{
    const ed25519_sign_component *r[LANES] = {NULL};
    const ed25519_sign_component *s[LANES] = {NULL};
    const ed25519_public_key *keys[LANES] = {NULL};
    const int8u *messages[LANES] = {NULL};
    int32u lengths[LANES] = {0};
    for (size_t i = 0; i < count; i++) {
        const sm_crypt_job *job = jobs[i];
        jobs[i]->err = job->signature.len == 2 * HALF && job->message.len <= INT32_MAX
                           ? SM_NO_ERR
                           : SM_ERR(BAD_SIGNATURE);
        if (sm_ok(jobs[i]->err)) {
            r[i] = (const void *)job->signature.ptr;
            s[i] = (const void *)(job->signature.ptr + HALF);
            keys[i] = (const void *)job->public_key->bits.ptr;
            messages[i] = job->message.ptr;
            lengths[i] = (int32u)job->message.len;
        }
    }
    mbx_status status = mbx_ed25519_verify_mb8(r, s, messages, lengths, keys);
    for (size_t i = 0; i < count; i++) {
        if (sm_ok(jobs[i]->err) && MBX_GET_STS(status, (int)i) != MBX_STATUS_OK) {
            jobs[i]->err = SM_ERR(BAD_SIGNATURE);
        }
    }
}

void sm_mb_ed25519_sign(sm_crypt_job *const *jobs, size_t count)
{
    ed25519_sign_component *r[LANES] = {NULL};
    ed25519_sign_component *s[LANES] = {NULL};
    const ed25519_private_key *secrets[LANES] = {NULL};
    const ed25519_public_key *keys[LANES] = {NULL};
    const int8u *messages[LANES] = {NULL};
    int32u lengths[LANES] = {0};
    for (size_t i = 0; i < count; i++) {
        const sm_crypt_job *job = jobs[i];
        jobs[i]->err = SM_NO_ERR;
        r[i] = (ed25519_sign_component *)job->out;
        s[i] = (ed25519_sign_component *)(job->out + HALF);
        secrets[i] = (const void *)job->key->numbers->u.ed25519;
        keys[i] = (const void *)job->key->public_key.bits.ptr;
        messages[i] = job->message.ptr;
        lengths[i] = (int32u)job->message.len;
    }
    mbx_status status = mbx_ed25519_sign_mb8(r, s, messages, lengths, secrets, keys);
    for (size_t i = 0; i < count; i++) {
        if (MBX_GET_STS(status, (int)i) != MBX_STATUS_OK) {
            sm_mb_fall_back(jobs[i]);
        } else {
            jobs[i]->out_len = 2 * HALF;
        }
    }
}

#endif
