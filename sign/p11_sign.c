/* SPDX-License-Identifier: Apache-2.0 */
/* One signature by a token: the mechanism, the call, the encoding. */
#include "sign/backend.h"
#include "sign/curve.h"
#include "sign/p11_pool_p.h"
#include "sign/rsa_pad.h"

struct mechanism {
    CK_MECHANISM ck;
    CK_RSA_PKCS_PSS_PARAMS pss;
    uint8_t wrapped[SM_RSA_DIGEST_INFO_LEN + SM_DIGEST_MAX];
    sm_slice input;
};

static void use_pss(struct mechanism *m, enum sm_digest digest)
{
    static const CK_MECHANISM_TYPE hashes[] = {0, CKM_SHA256, CKM_SHA384, CKM_SHA512};
    static const CK_RSA_PKCS_MGF_TYPE masks[] = {0, CKG_MGF1_SHA256, CKG_MGF1_SHA384,
                                                 CKG_MGF1_SHA512};
    m->pss = (CK_RSA_PKCS_PSS_PARAMS){hashes[digest], masks[digest], sm_digest_size(digest)};
    m->ck = (CK_MECHANISM){CKM_RSA_PKCS_PSS, &m->pss, sizeof(m->pss)};
}

/* CKM_RSA_PKCS pads, but does not wrap the digest (PKCS#11 2.1.6). */
static void use_pkcs1(struct mechanism *m, enum sm_digest digest)
{
    sm_rsa_digest_info(digest, m->wrapped);
    memcpy(m->wrapped + SM_RSA_DIGEST_INFO_LEN, m->input.ptr, m->input.len);
    m->input = sm_slice_of(m->wrapped, SM_RSA_DIGEST_INFO_LEN + m->input.len);
    m->ck = (CK_MECHANISM){CKM_RSA_PKCS, NULL, 0};
}

static void choose(struct mechanism *m, const struct p11_order *order)
{
    enum sm_digest digest = sm_sig_alg_digest(order->alg);
    m->input = order->input;
    if (sm_sig_alg_is_pss(order->alg)) {
        use_pss(m, digest);
    } else if (sm_sig_alg_is_rsa(order->alg)) {
        use_pkcs1(m, digest);
    } else if (sm_sig_alg_is_ecdsa(order->alg)) {
        m->ck = (CK_MECHANISM){CKM_ECDSA, NULL, 0};
    } else {
        m->ck = (CK_MECHANISM){CKM_EDDSA, NULL, 0};
    }
}

/* A token that answers with a signature of another length is out of order. */
static bool has_right_length(const struct p11_order *order, size_t len)
{
    const struct sm_curve *curve = sm_curve_of(order->type);
    if (curve != NULL) {
        return len > 0 && len % 2 == 0 && len / 2 <= curve->octets;
    }
    return len == sm_sig_size_max(order->alg, order->type);
}

/* ECDSA comes as r and s of equal length (PKCS#11 2.3.1); certificates want DER (RFC 3279 2.2.3).
 */
static CK_RV encode(const struct p11_order *order, const uint8_t *raw, size_t len, uint8_t *out,
                    size_t *out_len)
{
    if (!has_right_length(order, len)) {
        return CKR_DEVICE_ERROR;
    }
    if (!sm_sig_alg_is_ecdsa(order->alg)) {
        memcpy(out, raw, len);
        *out_len = len;
        return CKR_OK;
    }
    *out_len = sm_ecdsa_join(raw, raw + len / 2, len / 2, out);
    return CKR_OK;
}

CK_RV sm_p11_sign(struct sm_token *token, const struct p11_order *order, uint8_t *out,
                  size_t *out_len)
{
    struct mechanism m;
    uint8_t raw[SM_SIGNATURE_MAX];
    CK_ULONG len = sizeof(raw);
    choose(&m, order);
    union {
        const uint8_t *in;
        CK_BYTE *out;
    } input = {m.input.ptr}; /* Cryptoki's prototypes know no const */
    CK_RV rv = P11(token->module, C_SignInit(order->session, &m.ck, order->key));
    if (rv == CKR_OK && order->always_authenticate) {
        /* PKCS#11 4.9: the PIN again, between C_SignInit and C_Sign. */
        rv = sm_p11_login(token, order->session, CKU_CONTEXT_SPECIFIC);
    }
    if (rv == CKR_OK) {
        rv = P11(token->module, C_Sign(order->session, input.out, m.input.len, raw, &len));
    }
    return rv == CKR_OK ? encode(order, raw, len, out, out_len) : rv;
}
