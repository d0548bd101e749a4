/* SPDX-License-Identifier: Apache-2.0 */
#include "sign/password.h"

#include "base/mem.h"
#include "base/rand.h"
#include "base/text.h"

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>
#include <openssl/params.h>

#define MEMORY_KIB 65536 /* RFC 9106 4, second recommendation: 64 MiB, 3 passes, 4 lanes */
#define PASSES 3
#define LANES 4
#define SALT_LEN 16
#define HASH_LEN 32
#define FIELD_MAX 64 /* octets of a salt or a hash */

struct phc {
    uint32_t memory_kib;
    uint32_t passes;
    uint32_t lanes;
    uint8_t salt[FIELD_MAX];
    size_t salt_len;
    uint8_t hash[FIELD_MAX];
    size_t hash_len;
};

static sm_err derive(sm_slice password, const struct phc *p, uint8_t *out)
{
    uint32_t memory = p->memory_kib;
    uint32_t passes = p->passes;
    uint32_t lanes = p->lanes;
    uint8_t secret[SM_PASSWORD_MAX + 1];
    uint8_t salt[FIELD_MAX];
    if (password.len > SM_PASSWORD_MAX) {
        return SM_ERR(TOO_LARGE);
    }
    memcpy(secret, password.ptr, password.len);
    memcpy(salt, p->salt, p->salt_len);
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_PASSWORD, secret, password.len),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_SALT, salt, p->salt_len),
        OSSL_PARAM_construct_uint32(OSSL_KDF_PARAM_ITER, &passes),
        OSSL_PARAM_construct_uint32(OSSL_KDF_PARAM_ARGON2_LANES, &lanes),
        OSSL_PARAM_construct_uint32(OSSL_KDF_PARAM_ARGON2_MEMCOST, &memory),
        OSSL_PARAM_construct_end(),
    };
    EVP_KDF *kdf = EVP_KDF_fetch(NULL, "ARGON2ID", NULL);
    EVP_KDF_CTX *ctx = EVP_KDF_CTX_new(kdf);
    bool good = ctx != NULL && EVP_KDF_derive(ctx, out, p->hash_len, params) == 1;
    EVP_KDF_CTX_free(ctx);
    EVP_KDF_free(kdf);
    sm_wipe(secret, sizeof(secret));
    return good ? SM_NO_ERR : SM_ERR(CRYPTO);
}

/* ---- the text ---- */

/* "m=65536": the letter and a number of at most `max`. */
static bool read_setting(sm_slice *list, const char *name, uint32_t max, uint32_t *out)
{
    sm_slice one = sm_slice_split(list, ',');
    uint64_t v;
    if (!sm_slice_starts_with(one, sm_slice_str(name)) ||
        !sm_ok(sm_decimal_parse(sm_slice_from(one, strlen(name)), &v)) || v == 0 || v > max) {
        return false;
    }
    *out = (uint32_t)v;
    return true;
}

/* PHC has base64 without padding. */
static bool read_field(sm_slice text, uint8_t *out, size_t *len)
{
    sm_buf octets = sm_buf_init(FIELD_MAX);
    bool good = sm_ok(sm_base64_decode(&octets, text, SM_BASE64_NO_PAD)) && octets.len >= 8;
    if (good) {
        memcpy(out, octets.ptr, octets.len);
        *len = octets.len;
    }
    sm_buf_deinit(&octets);
    return good;
}

static bool parse(sm_slice text, struct phc *out)
{
    bool good = sm_slice_starts_with(text, SM_LIT("$argon2id$v=19$"));
    text = sm_slice_from(text, 15);
    sm_slice settings = sm_slice_split(&text, '$');
    sm_slice salt = sm_slice_split(&text, '$');
    return good && read_setting(&settings, "m=", SM_PASSWORD_MEMORY_MAX_KIB, &out->memory_kib) &&
           read_setting(&settings, "t=", SM_PASSWORD_TIME_MAX, &out->passes) &&
           read_setting(&settings, "p=", 16, &out->lanes) && settings.len == 0 &&
           read_field(salt, out->salt, &out->salt_len) &&
           read_field(text, out->hash, &out->hash_len);
}

static void put_field(sm_buf *out, const uint8_t *octets, size_t len)
{
    size_t padded = out->len;
    sm_base64_encode(out, sm_slice_of(octets, len));
    while (sm_ok(sm_buf_err(out)) && out->len > padded && out->ptr[out->len - 1] == '=') {
        sm_buf_truncate(out, out->len - 1);
    }
}

bool sm_password_hash_is_good(sm_slice phc)
{
    struct phc p;
    return parse(phc, &p);
}

sm_err sm_password_hash(sm_slice password, sm_buf *out)
{
    struct phc p = {.memory_kib = MEMORY_KIB,
                    .passes = PASSES,
                    .lanes = LANES,
                    .salt_len = SALT_LEN,
                    .hash_len = HASH_LEN};
    sm_rand_bytes(p.salt, p.salt_len);
    SM_TRY(derive(password, &p, p.hash));
    sm_buf_printf(out, "$argon2id$v=19$m=%u,t=%u,p=%u$", p.memory_kib, p.passes, p.lanes);
    put_field(out, p.salt, p.salt_len);
    sm_buf_put_byte(out, '$');
    put_field(out, p.hash, p.hash_len);
    return sm_buf_err(out);
}

sm_err sm_password_check(sm_slice password, sm_slice phc)
{
    struct phc p;
    uint8_t hash[FIELD_MAX];
    if (!parse(phc, &p)) {
        return SM_ERR(INVALID);
    }
    SM_TRY(derive(password, &p, hash));
    bool same = sm_slice_equal_secret(sm_slice_of(hash, p.hash_len),
                                      sm_slice_of(p.hash, p.hash_len));
    sm_wipe(hash, sizeof(hash));
    return same ? SM_NO_ERR : SM_ERR(UNAUTHENTICATED);
}
