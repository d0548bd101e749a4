/* SPDX-License-Identifier: Apache-2.0 */
/* ECDSA-Sig-Value: our reader takes exactly what OpenSSL reads and writes back unchanged. RSA's
 * encoded messages: no octets lead the check astray, and only the one right PKCS#1 v1.5 encoding
 * passes. */
#include "base/check.h"
#include "sign/backend.h"
#include "sign/rsa_pad.h"

#include <openssl/ecdsa.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool openssl_takes(const uint8_t *data, size_t size)
{
    const unsigned char *at = data;
    unsigned char *again = NULL;
    ECDSA_SIG *sig = d2i_ECDSA_SIG(NULL, &at, (long)size);
    if (sig == NULL) {
        return false;
    }
    int len = i2d_ECDSA_SIG(sig, &again);
    bool same = at == data + size && len == (int)size && memcmp(again, data, size) == 0;
    bool positive = !BN_is_negative(ECDSA_SIG_get0_r(sig)) &&
                    !BN_is_negative(ECDSA_SIG_get0_s(sig));
    OPENSSL_free(again);
    ECDSA_SIG_free(sig);
    return same && positive;
}

static void fuzz_ecdsa(const uint8_t *data, size_t size)
{
    sm_slice r;
    sm_slice s;
    uint8_t again[160];
    bool taken = sm_ok(sm_ecdsa_split(sm_slice_of(data, size), &r, &s));
    SM_CHECK(taken == openssl_takes(data, size));
    if (taken && r.len <= 66 && s.len <= 66) {
        uint8_t padded[2][66] = {{0}};
        memcpy(padded[0] + 66 - r.len, r.ptr, r.len);
        memcpy(padded[1] + 66 - s.len, s.ptr, s.len);
        size_t len = sm_ecdsa_join(padded[0], padded[1], 66, again);
        SM_CHECK(len == size && memcmp(again, data, size) == 0);
    }
}

static void fuzz_rsa(enum sm_sig_alg alg, const uint8_t *data, size_t size)
{
    uint8_t digest[SM_DIGEST_MAX] = {0};
    uint8_t encoded[256] = {0};
    uint8_t right[256];
    sm_slice d = sm_slice_of(digest, sm_digest_size(sm_sig_alg_digest(alg)));
    memcpy(encoded, data, size < sizeof(encoded) ? size : sizeof(encoded));
    bool good = sm_ok(sm_rsa_pad_check(alg, d, sm_slice_of(encoded, sizeof(encoded))));
    if (!sm_sig_alg_is_pss(alg)) {
        sm_rsa_pad(alg, d, right, sizeof(right));
        SM_CHECK(good == (memcmp(right, encoded, sizeof(right)) == 0));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0) {
        return 0;
    }
    unsigned kind = data[0] % 7;
    if (kind == 0) {
        fuzz_ecdsa(data + 1, size - 1);
    } else {
        fuzz_rsa((enum sm_sig_alg)(SM_SIG_RSA_SHA256 + kind - 1), data + 1, size - 1);
    }
    return 0;
}
