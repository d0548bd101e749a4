/* SPDX-License-Identifier: Apache-2.0 */
#include "sign/backend_mb_p.h"

#ifdef SM_HAVE_CRYPTO_MB

#include "base/check.h"
#include "base/mem.h"
#include "sign/key_p.h"
#include "sign/rsa_pad.h"

#include <crypto_mb/rsa.h>

#define LANES SM_BACKEND_LANES

static int bits_of(enum sm_key_type type)
{
    return type == SM_KEY_RSA_2048 ? 2048 : type == SM_KEY_RSA_3072 ? 3072 : 4096;
}

struct public_lanes {
    uint8_t to[LANES][SM_RSA_OCTETS];
    struct {
        const int8u *from[LANES];
        int8u *to[LANES];
        const int64u *n[LANES];
    } at; /* NULL: nothing in this lane */
};

/* Raises each lane's number to 65537. */
static mbx_status raise_public(enum sm_key_type type, struct public_lanes *l)
{
    int bits = bits_of(type);
    return mbx_rsa_public_mb8(l->at.from, l->at.to, l->at.n, bits, mbx_RSA_pub65537_Method(bits),
                              NULL);
}

/* The library does not ask whether the number is below the modulus (RFC 8017 5.2.2 step 1). */
static bool is_below(sm_slice number, sm_slice modulus)
{
    return number.len == modulus.len && memcmp(number.ptr, modulus.ptr, modulus.len) < 0;
}

void sm_mb_rsa_verify(sm_crypt_job *const *jobs, size_t count)
{
    struct public_lanes l;
    uint64_t moduli[LANES][SM_RSA_WORDS];
    uint8_t digests[LANES][SM_DIGEST_MAX];
    sm_slice inputs[LANES];
    size_t words = (size_t)bits_of(jobs[0]->type) / 64;
    memset(&l.at, 0, sizeof(l.at));
    for (size_t i = 0; i < count; i++) {
        const struct sm_public_key *key = jobs[i]->public_key;
        jobs[i]->err = sm_backend_input(jobs[i], digests[i], &inputs[i]);
        if (!sm_ok(jobs[i]->err)) {
            continue;
        }
        if (!is_below(jobs[i]->signature, key->modulus)) {
            jobs[i]->err = SM_ERR(BAD_SIGNATURE);
            continue;
        }
        sm_words_from_octets(moduli[i], words, key->modulus);
        l.at.from[i] = jobs[i]->signature.ptr;
        l.at.to[i] = l.to[i];
        l.at.n[i] = (const int64u *)moduli[i];
    }
    mbx_status status = raise_public(jobs[0]->type, &l);
    for (size_t i = 0; i < count; i++) {
        if (!sm_ok(jobs[i]->err)) {
            continue;
        }
        jobs[i]->err = MBX_GET_STS(status, (int)i) != MBX_STATUS_OK
                           ? SM_ERR(BAD_SIGNATURE)
                           : sm_rsa_pad_check(jobs[i]->alg, inputs[i],
                                              sm_slice_of(l.to[i], words * 8));
    }
}

struct private_lanes {
    uint8_t encoded[LANES][SM_RSA_OCTETS];
    struct {
        const int8u *from[LANES];
        int8u *to[LANES];
        const int64u *p[LANES];
        const int64u *q[LANES];
        const int64u *dp[LANES];
        const int64u *dq[LANES];
        const int64u *iq[LANES];
    } at;
};

static void fill_private(struct private_lanes *l, size_t i, sm_crypt_job *job, size_t len)
{
    uint8_t digest[SM_DIGEST_MAX];
    sm_slice input;
    job->err = sm_backend_input(job, digest, &input);
    if (!sm_ok(job->err)) {
        return;
    }
    const struct sm_key_numbers *k = job->key->numbers;
    sm_rsa_pad(job->alg, input, l->encoded[i], len);
    l->at.from[i] = l->encoded[i];
    l->at.to[i] = job->out;
    l->at.p[i] = (const int64u *)k->u.rsa.p;
    l->at.q[i] = (const int64u *)k->u.rsa.q;
    l->at.dp[i] = (const int64u *)k->u.rsa.dp;
    l->at.dq[i] = (const int64u *)k->u.rsa.dq;
    l->at.iq[i] = (const int64u *)k->u.rsa.iq;
}

/* A fault in one half of a CRT computation gives a factor of the modulus away (Boneh, DeMillo,
 * Lipton 1997): every result is raised to the public exponent and compared with what was to be
 * signed. OpenSSL signs again what fails. */
static void check(sm_crypt_job *const *jobs, size_t count, const struct private_lanes *l,
                  mbx_status status, size_t len)
{
    struct public_lanes back;
    memset(&back.at, 0, sizeof(back.at));
    for (size_t i = 0; i < count; i++) {
        if (sm_ok(jobs[i]->err)) {
            back.at.from[i] = jobs[i]->out;
            back.at.to[i] = back.to[i];
            back.at.n[i] = (const int64u *)jobs[i]->key->numbers->u.rsa.n;
        }
    }
    mbx_status back_status = raise_public(jobs[0]->type, &back);
    for (size_t i = 0; i < count; i++) {
        if (!sm_ok(jobs[i]->err)) {
            continue;
        }
        bool good = MBX_GET_STS(status, (int)i) == MBX_STATUS_OK &&
                    MBX_GET_STS(back_status, (int)i) == MBX_STATUS_OK &&
                    memcmp(back.to[i], l->encoded[i], len) == 0;
        if (good) {
            jobs[i]->out_len = len;
        } else {
            sm_backend_fault(jobs[i]->alg);
            sm_wipe(jobs[i]->out, len);
            sm_wipe(back.to[i], len); /* a factor of the modulus is in it, too */
            sm_mb_fall_back(jobs[i]);
        }
    }
}

void sm_mb_rsa_sign(sm_crypt_job *const *jobs, size_t count)
{
    struct private_lanes l;
    int bits = bits_of(jobs[0]->type);
    size_t len = (size_t)bits / 8;
    memset(&l.at, 0, sizeof(l.at));
    for (size_t i = 0; i < count; i++) {
        fill_private(&l, i, jobs[i], len);
    }
    mbx_status status = mbx_rsa_private_crt_mb8(l.at.from, l.at.to, l.at.p, l.at.q, l.at.dp,
                                                l.at.dq, l.at.iq, bits,
                                                mbx_RSA_private_crt_Method(bits), NULL);
    check(jobs, count, &l, status, len);
}

#endif
