/* SPDX-License-Identifier: Apache-2.0 */
#include "sign/rsa_pad.h"

#include "base/check.h"
#include "base/rand.h"
#include "sign/sha.h"

bool sm_sig_alg_is_pss(enum sm_sig_alg alg)
{
    return alg >= SM_SIG_PSS_SHA256 && alg <= SM_SIG_PSS_SHA512;
}

bool sm_sig_alg_is_rsa(enum sm_sig_alg alg)
{
    return alg >= SM_SIG_RSA_SHA256 && alg <= SM_SIG_PSS_SHA512;
}

bool sm_sig_alg_is_ecdsa(enum sm_sig_alg alg)
{
    return alg >= SM_SIG_ECDSA_SHA256 && alg <= SM_SIG_ECDSA_SHA512;
}

/* The last octet of the hash's OID and the two lengths differ. */
void sm_rsa_digest_info(enum sm_digest digest, uint8_t out[SM_RSA_DIGEST_INFO_LEN])
{
    static const uint8_t form[SM_RSA_DIGEST_INFO_LEN] = {0x30, 0x11, 0x30, 0x0d, 0x06, 0x09, 0x60,
                                                         0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02,
                                                         0x00, 0x05, 0x00, 0x04, 0x00};
    static const uint8_t oids[SM_DIGEST_COUNT] = {0, 1, 2, 3};
    memcpy(out, form, sizeof(form));
    size_t size = sm_digest_size(digest);
    out[1] = (uint8_t)(out[1] + size);
    out[14] = oids[digest];
    out[18] = (uint8_t)size;
}

/* EMSA-PKCS1-v1_5: 00 01 FF .. FF 00 DigestInfo (RFC 8017 9.2). */
static void pad_pkcs1(enum sm_digest kind, sm_slice digest, uint8_t *out, size_t len)
{
    size_t tail = SM_RSA_DIGEST_INFO_LEN + digest.len;
    SM_CHECK(len >= tail + 11);
    memset(out, 0xff, len - tail);
    out[0] = 0;
    out[1] = 1;
    out[len - tail - 1] = 0;
    sm_rsa_digest_info(kind, out + len - tail);
    memcpy(out + len - digest.len, digest.ptr, digest.len);
}

/* XORs MGF1(seed) onto `out` (RFC 8017 B.2.1). */
static void mask(enum sm_digest kind, sm_slice seed, uint8_t *out, size_t len)
{
    uint8_t block[SM_DIGEST_MAX];
    size_t size = sm_digest_size(kind);
    for (uint32_t counter = 0; len > 0; counter++) {
        const uint8_t number[4] = {(uint8_t)(counter >> 24), (uint8_t)(counter >> 16),
                                   (uint8_t)(counter >> 8), (uint8_t)counter};
        struct sm_sha sha;
        sm_sha_begin(&sha, kind);
        sm_sha_add(&sha, seed.ptr, seed.len);
        sm_sha_add(&sha, number, sizeof(number));
        sm_sha_end(&sha, block);
        for (size_t i = 0; i < size && len > 0; i++, len--) {
            *out++ ^= block[i];
        }
    }
}

/* H = Hash(eight zeros || digest || salt) (RFC 8017 9.1.1 step 6). */
static void salted_hash(enum sm_digest kind, sm_slice digest, const uint8_t *salt, uint8_t *out)
{
    static const uint8_t zeros[8] = {0};
    struct sm_sha sha;
    sm_sha_begin(&sha, kind);
    sm_sha_add(&sha, zeros, sizeof(zeros));
    sm_sha_add(&sha, digest.ptr, digest.len);
    sm_sha_add(&sha, salt, digest.len);
    sm_sha_end(&sha, out);
}

/* EMSA-PSS (RFC 8017 9.1.1): masked (00 .. 00 01 salt) || H || BC, and emBits = 8 len - 1: the
 * first bit is zero. */
static void pad_pss(enum sm_digest kind, sm_slice digest, uint8_t *out, size_t len)
{
    size_t size = digest.len;
    size_t db = len - size - 1;
    SM_CHECK(db >= size + 2);
    uint8_t *salt = out + db - size;
    uint8_t *hash = out + db;
    memset(out, 0, db);
    salt[-1] = 1;
    sm_rand_bytes(salt, size);
    salted_hash(kind, digest, salt, hash);
    mask(kind, sm_slice_of(hash, size), out, db);
    out[0] &= 0x7f;
    out[len - 1] = 0xbc;
}

/* EMSA-PSS-VERIFY (RFC 8017 9.1.2). */
static sm_err check_pss(enum sm_digest kind, sm_slice digest, sm_slice encoded)
{
    uint8_t db[SM_RSA_OCTETS];
    uint8_t again[SM_DIGEST_MAX];
    size_t size = digest.len;
    size_t db_len = encoded.len - size - 1;
    const uint8_t *hash = encoded.ptr + db_len;
    if (encoded.ptr[encoded.len - 1] != 0xbc || encoded.ptr[0] > 0x7f) {
        return SM_ERR(BAD_SIGNATURE);
    }
    memcpy(db, encoded.ptr, db_len);
    mask(kind, sm_slice_of(hash, size), db, db_len);
    db[0] &= 0x7f;
    size_t salt = db_len - size;
    for (size_t i = 0; i < salt; i++) {
        if (db[i] != (i == salt - 1)) {
            return SM_ERR(BAD_SIGNATURE);
        }
    }
    salted_hash(kind, digest, db + salt, again);
    return memcmp(again, hash, size) == 0 ? SM_NO_ERR : SM_ERR(BAD_SIGNATURE);
}

void sm_rsa_pad(enum sm_sig_alg alg, sm_slice digest, uint8_t *out, size_t len)
{
    enum sm_digest kind = sm_sig_alg_digest(alg);
    SM_CHECK(len <= SM_RSA_OCTETS && digest.len == sm_digest_size(kind));
    if (sm_sig_alg_is_pss(alg)) {
        pad_pss(kind, digest, out, len);
    } else {
        pad_pkcs1(kind, digest, out, len);
    }
}

sm_err sm_rsa_pad_check(enum sm_sig_alg alg, sm_slice digest, sm_slice encoded)
{
    enum sm_digest kind = sm_sig_alg_digest(alg);
    SM_CHECK(encoded.len <= SM_RSA_OCTETS && digest.len == sm_digest_size(kind) &&
             encoded.len >= 2 * digest.len + 3);
    if (sm_sig_alg_is_pss(alg)) {
        return check_pss(kind, digest, encoded);
    }
    uint8_t right[SM_RSA_OCTETS];
    pad_pkcs1(kind, digest, right, encoded.len);
    return memcmp(right, encoded.ptr, encoded.len) == 0 ? SM_NO_ERR : SM_ERR(BAD_SIGNATURE);
}
