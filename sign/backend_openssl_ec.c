/* SPDX-License-Identifier: Apache-2.0 */
/* The EC_KEY functions are deprecated in favour of EVP, which costs 12 us more for each new public
 * key (provider look-ups, parameter lists, a copy of the group). A CA verifies every signature
 * under a key that it has never seen before, so that cost is not spread over anything. */
#define OPENSSL_SUPPRESS_DEPRECATED

#include "sign/backend.h"
#include "sign/backend_openssl_p.h"

#include <openssl/ec.h>
#include <openssl/ecdsa.h>
#include <openssl/obj_mac.h>

/* One EC_KEY and signature for each curve and thread; each verification sets its own point and
 * numbers. */
static _Thread_local EC_KEY *keys[3];

static EC_KEY *key_of(enum sm_key_type type)
{
    static const int nids[] = {NID_X9_62_prime256v1, NID_secp384r1, NID_secp521r1};
    unsigned at = (unsigned)type - SM_KEY_P256;
    if (keys[at] == NULL) {
        keys[at] = EC_KEY_new_by_curve_name(nids[at]);
    }
    return keys[at];
}

void sm_ecdsa_verify_forget(void)
{
    for (size_t i = 0; i < 3; i++) {
        EC_KEY_free(keys[i]);
        keys[i] = NULL;
    }
}

static ECDSA_SIG *make_signature(sm_slice r, sm_slice s)
{
    ECDSA_SIG *sig = ECDSA_SIG_new();
    BIGNUM *rn = BN_bin2bn(r.ptr, (int)r.len, NULL);
    BIGNUM *sn = BN_bin2bn(s.ptr, (int)s.len, NULL);
    if (sig == NULL || rn == NULL || sn == NULL || !ECDSA_SIG_set0(sig, rn, sn)) {
        BN_free(rn);
        BN_free(sn);
        ECDSA_SIG_free(sig);
        return NULL;
    }
    return sig;
}

sm_err sm_ecdsa_verify(const struct sm_public_key *key, sm_slice digest, sm_slice signature)
{
    sm_slice r;
    sm_slice s;
    SM_TRY(sm_ecdsa_split(signature, &r, &s));
    if (r.len > key->x.len || s.len > key->x.len) {
        return SM_ERR(BAD_SIGNATURE);
    }
    EC_KEY *ec = key_of(key->type);
    if (ec == NULL) {
        return SM_ERR(NO_MEMORY);
    }
    /* Refuses a point that is not on the curve, or whose coordinates are not reduced. */
    if (!EC_KEY_oct2key(ec, key->bits.ptr, key->bits.len, NULL)) {
        return SM_ERR(BAD_SIGNATURE);
    }
    ECDSA_SIG *sig = make_signature(r, s);
    if (sig == NULL) {
        return SM_ERR(NO_MEMORY);
    }
    int good = ECDSA_do_verify(digest.ptr, (int)digest.len, sig, ec);
    ECDSA_SIG_free(sig);
    return good == 1 ? SM_NO_ERR : SM_ERR(BAD_SIGNATURE);
}
