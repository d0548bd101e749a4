/* SPDX-License-Identifier: Apache-2.0 */
#include "sign/backend_mb_p.h"

#ifdef SM_HAVE_CRYPTO_MB

#include "base/mem.h"
#include "sign/curve.h"
#include "sign/key_p.h"
#include "sign/nonce.h"

#include <crypto_mb/ec_nistp256.h>
#include <crypto_mb/ec_nistp384.h>
#include <crypto_mb/ec_nistp521.h>

#define LANES SM_BACKEND_LANES

struct verify_lanes {
    uint8_t r[LANES][SM_CURVE_OCTETS];
    uint8_t s[LANES][SM_CURVE_OCTETS];
    uint8_t digest[LANES][SM_CURVE_OCTETS];
    uint64_t x[LANES][SM_CURVE_WORDS];
    uint64_t y[LANES][SM_CURVE_WORDS];
    struct {
        const int8u *r[LANES];
        const int8u *s[LANES];
        const int8u *digest[LANES];
        const int64u *x[LANES];
        const int64u *y[LANES];
    } at; /* NULL: nothing in this lane */
};

static mbx_status call_verify(enum sm_key_type type, const struct verify_lanes *l)
{
    switch (type) {
    case SM_KEY_P256:
        return mbx_nistp256_ecdsa_verify_mb8(l->at.r, l->at.s, l->at.digest, l->at.x, l->at.y, NULL,
                                             NULL);
    case SM_KEY_P384:
        return mbx_nistp384_ecdsa_verify_mb8(l->at.r, l->at.s, l->at.digest, l->at.x, l->at.y, NULL,
                                             NULL);
    default:
        return mbx_nistp521_ecdsa_verify_mb8(l->at.r, l->at.s, l->at.digest, l->at.x, l->at.y, NULL,
                                             NULL);
    }
}

/* Right-aligned. Errors: BAD_SIGNATURE when it is longer than the order. */
static sm_err place(const struct sm_curve *curve, sm_slice number, uint8_t *out)
{
    if (number.len > curve->octets) {
        return SM_ERR(BAD_SIGNATURE);
    }
    size_t pad = curve->octets - number.len;
    memset(out, 0, pad);
    memcpy(out + pad, number.ptr, number.len);
    return SM_NO_ERR;
}

static bool is_zero(const uint8_t *number, size_t len)
{
    unsigned any = 0;
    for (size_t i = 0; i < len; i++) {
        any |= number[i];
    }
    return any == 0;
}

/* Fills a lane. The library checks that r and s are in [1, n-1]; that the point is on the curve is
 * checked here, for it does not say whether it does. It refuses digests that are not below the
 * order (one in 2^32 for P-256), which are therefore reduced, and those that are zero: UNSUPPORTED.
 */
static sm_err fill_verify(struct verify_lanes *l, size_t i, const struct sm_curve *curve,
                          const sm_crypt_job *job)
{
    uint8_t digest[SM_DIGEST_MAX];
    sm_slice input;
    sm_slice r;
    sm_slice s;
    const struct sm_public_key *key = job->public_key;
    SM_TRY(sm_backend_input(job, digest, &input));
    SM_TRY(sm_ecdsa_split(job->signature, &r, &s));
    SM_TRY(place(curve, r, l->r[i]));
    SM_TRY(place(curve, s, l->s[i]));
    SM_TRY(sm_curve_holds(curve, key->x, key->y));
    sm_curve_digest(curve, input, l->digest[i]);
    if (is_zero(l->digest[i], curve->octets)) {
        return SM_ERR(UNSUPPORTED);
    }
    sm_words_from_octets(l->x[i], curve->words, key->x);
    sm_words_from_octets(l->y[i], curve->words, key->y);
    l->at.r[i] = l->r[i];
    l->at.s[i] = l->s[i];
    l->at.digest[i] = l->digest[i];
    l->at.x[i] = (const int64u *)l->x[i];
    l->at.y[i] = (const int64u *)l->y[i];
    return SM_NO_ERR;
}

void sm_mb_ecdsa_verify(sm_crypt_job *const *jobs, size_t count)
{
    const struct sm_curve *curve = sm_curve_of(jobs[0]->type);
    struct verify_lanes l;
    memset(&l.at, 0, sizeof(l.at));
    size_t filled = 0;
    for (size_t i = 0; i < count; i++) {
        jobs[i]->err = fill_verify(&l, i, curve, jobs[i]);
        filled += sm_ok(jobs[i]->err);
        if (sm_err_is(jobs[i]->err, SM_E_UNSUPPORTED)) {
            sm_mb_fall_back(jobs[i]);
        }
    }
    if (filled == 0) {
        return;
    }
    mbx_status status = call_verify(curve->type, &l);
    for (size_t i = 0; i < count; i++) {
        if (l.at.r[i] != NULL && MBX_GET_STS(status, (int)i) != MBX_STATUS_OK) {
            jobs[i]->err = SM_ERR(BAD_SIGNATURE);
        }
    }
}

struct sign_lanes {
    uint8_t r[LANES][SM_CURVE_OCTETS];
    uint8_t s[LANES][SM_CURVE_OCTETS];
    uint8_t digest[LANES][SM_CURVE_OCTETS];
    uint64_t nonce[LANES][SM_CURVE_WORDS]; /* secret */
    struct {
        int8u *r[LANES];
        int8u *s[LANES];
        const int8u *digest[LANES];
        const int64u *nonce[LANES];
        const int64u *key[LANES];
    } at;
};

static mbx_status call_sign(enum sm_key_type type, struct sign_lanes *l)
{
    switch (type) {
    case SM_KEY_P256:
        return mbx_nistp256_ecdsa_sign_mb8(l->at.r, l->at.s, l->at.digest, l->at.nonce, l->at.key,
                                           NULL);
    case SM_KEY_P384:
        return mbx_nistp384_ecdsa_sign_mb8(l->at.r, l->at.s, l->at.digest, l->at.nonce, l->at.key,
                                           NULL);
    default:
        return mbx_nistp521_ecdsa_sign_mb8(l->at.r, l->at.s, l->at.digest, l->at.nonce, l->at.key,
                                           NULL);
    }
}

static sm_err fill_sign(struct sign_lanes *l, size_t i, const struct sm_curve *curve,
                        const sm_crypt_job *job, enum sm_mb_nonce kind)
{
    uint8_t digest[SM_DIGEST_MAX];
    uint8_t nonce[SM_CURVE_OCTETS];
    sm_slice input;
    SM_TRY(sm_backend_input(job, digest, &input));
    enum sm_digest hash = sm_sig_alg_digest(job->alg);
    const uint8_t *secret = job->key->numbers->u.ec.octets;
    if (kind == SM_MB_HEDGED) {
        sm_nonce_make_hedged(curve, hash, secret, input, nonce);
    } else {
        sm_nonce_make(curve, hash, secret, input, SM_SLICE_NONE, nonce);
    }
    sm_words_from_octets(l->nonce[i], curve->words, sm_slice_of(nonce, curve->octets));
    sm_wipe(nonce, sizeof(nonce));
    sm_curve_digest(curve, input, l->digest[i]);
    l->at.r[i] = l->r[i];
    l->at.s[i] = l->s[i];
    l->at.digest[i] = l->digest[i];
    l->at.nonce[i] = (const int64u *)l->nonce[i];
    l->at.key[i] = (const int64u *)job->key->numbers->u.ec.d;
    return SM_NO_ERR;
}

void sm_mb_ecdsa_sign(sm_crypt_job *const *jobs, size_t count, enum sm_mb_nonce kind)
{
    const struct sm_curve *curve = sm_curve_of(jobs[0]->type);
    struct sign_lanes l;
    memset(&l.at, 0, sizeof(l.at));
    for (size_t i = 0; i < count; i++) {
        jobs[i]->err = fill_sign(&l, i, curve, jobs[i], kind);
    }
    mbx_status status = call_sign(curve->type, &l);
    sm_wipe(l.nonce, sizeof(l.nonce));
    for (size_t i = 0; i < count; i++) {
        if (!sm_ok(jobs[i]->err)) {
            continue;
        }
        if (MBX_GET_STS(status, (int)i) != MBX_STATUS_OK) { /* r or s was zero: never seen */
            sm_mb_fall_back(jobs[i]);
        } else {
            jobs[i]->out_len = sm_ecdsa_join(l.r[i], l.s[i], curve->octets, jobs[i]->out);
        }
    }
    sm_wipe(l.r, sizeof(l.r)); /* a check may find that they should not exist */
    sm_wipe(l.s, sizeof(l.s));
}

#endif
