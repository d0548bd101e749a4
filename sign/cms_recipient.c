/* SPDX-License-Identifier: Apache-2.0 */
#include "sign/cms_recipient.h"

#include "base/mem.h"
#include "sign/der.h"
#include "sign/oids.h"
#include "sign/pubkey.h"

#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>

#define KEK_VERSION 4       /* RFC 5652 6.2.3 */
#define TRANSPORT_VERSION 2 /* named by subjectKeyIdentifier (RFC 5652 6.2.1) */
#define AGREEMENT_VERSION 3 /* RFC 5652 6.2.2 */
#define WRAP_OVERHEAD 8     /* octets (RFC 3394 2.2.1) */
#define ENCRYPTED_MAX 512   /* octets: RSA-4096 */
#define SHARED_MAX 66       /* octets: a coordinate of P-521 */
#define POINT_MAX 133       /* octets: P-521, uncompressed */

/* ---- AES key wrap (RFC 3394, RFC 3565) ---- */

static const sm_slice *wrap_oid(size_t key_len)
{
    return key_len == 16   ? &SM_OID_AES_128_WRAP
           : key_len == 24 ? &SM_OID_AES_192_WRAP
                           : &SM_OID_AES_256_WRAP;
}

static void write_wrap_algorithm(size_t key_len, sm_buf *out)
{
    sm_der_block algorithm = sm_der_begin(out, SM_DER_SEQUENCE);
    sm_der_write_oid(out, *wrap_oid(key_len)); /* parameters absent (RFC 3565 2.3.2) */
    sm_der_end(out, algorithm);
}

/* Appends the OCTET STRING of `key` under `kek`. */
static sm_err write_wrapped(sm_slice kek, sm_slice key, sm_buf *out)
{
    uint8_t wrapped[SM_CMS_KEY_MAX + WRAP_OVERHEAD];
    const EVP_CIPHER *cipher = kek.len == 16   ? EVP_aes_128_wrap()
                               : kek.len == 24 ? EVP_aes_192_wrap()
                                               : EVP_aes_256_wrap();
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    int len = 0;
    if (ctx == NULL) {
        return SM_ERR(NO_MEMORY);
    }
    EVP_CIPHER_CTX_set_flags(ctx, EVP_CIPHER_CTX_FLAG_WRAP_ALLOW);
    bool ok = EVP_EncryptInit_ex(ctx, cipher, NULL, kek.ptr, NULL) == 1 &&
              EVP_EncryptUpdate(ctx, wrapped, &len, key.ptr, (int)key.len) == 1;
    EVP_CIPHER_CTX_free(ctx);
    sm_der_write(out, SM_DER_OCTET_STRING, sm_slice_of(wrapped, (size_t)len));
    return ok ? sm_buf_err(out) : SM_ERR(CRYPTO);
}

/* ---- a key that both have: KEKRecipientInfo ---- */

static sm_err write_kek(const struct sm_cms_recipient *r, sm_slice key, sm_buf *out)
{
    if (r->secret.len != 16 && r->secret.len != 24 && r->secret.len != 32) {
        return SM_ERR(UNSUPPORTED);
    }
    sm_der_block info = sm_der_begin(out, SM_DER_CTX_CONS(2));
    sm_der_write_u64(out, KEK_VERSION);
    sm_der_block id = sm_der_begin(out, SM_DER_SEQUENCE);
    sm_der_write(out, SM_DER_OCTET_STRING, r->id);
    sm_der_end(out, id);
    write_wrap_algorithm(r->secret.len, out);
    sm_err err = write_wrapped(r->secret, key, out);
    sm_der_end(out, info);
    return err;
}

/* ---- RSA: KeyTransRecipientInfo ---- */

static void write_sha256(sm_buf *out)
{
    sm_der_block algorithm = sm_der_begin(out, SM_DER_SEQUENCE);
    sm_der_write_oid(out, SM_OID_SHA256);
    sm_der_write_null(out); /* RFC 4055 2.1 */
    sm_der_end(out, algorithm);
}

/* RSAES-OAEP-params with SHA-256 as the hash and of MGF1 (RFC 4055 4.1) */
static void write_oaep(sm_buf *out)
{
    sm_der_write_oid(out, SM_OID_RSAES_OAEP);
    sm_der_block params = sm_der_begin(out, SM_DER_SEQUENCE);
    sm_der_block hash = sm_der_begin(out, SM_DER_CTX_CONS(0));
    write_sha256(out);
    sm_der_end(out, hash);
    sm_der_block mask = sm_der_begin(out, SM_DER_CTX_CONS(1));
    sm_der_block function = sm_der_begin(out, SM_DER_SEQUENCE);
    sm_der_write_oid(out, SM_OID_MGF1);
    write_sha256(out);
    sm_der_end(out, function);
    sm_der_end(out, mask);
    sm_der_end(out, params);
}

static sm_err write_transported(EVP_PKEY *pkey, bool pkcs1, sm_slice key, sm_buf *out)
{
    uint8_t encrypted[ENCRYPTED_MAX];
    size_t len = sizeof(encrypted);
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(NULL, pkey, NULL);
    bool ok = ctx != NULL && EVP_PKEY_encrypt_init(ctx) == 1 &&
              EVP_PKEY_CTX_set_rsa_padding(ctx, pkcs1 ? RSA_PKCS1_PADDING
                                                      : RSA_PKCS1_OAEP_PADDING) == 1 &&
              (pkcs1 || (EVP_PKEY_CTX_set_rsa_oaep_md(ctx, EVP_sha256()) == 1 &&
                         EVP_PKEY_CTX_set_rsa_mgf1_md(ctx, EVP_sha256()) == 1)) &&
              EVP_PKEY_encrypt(ctx, encrypted, &len, key.ptr, key.len) == 1;
    EVP_PKEY_CTX_free(ctx);
    sm_der_write(out, SM_DER_OCTET_STRING, sm_slice_of(encrypted, ok ? len : 0));
    return ok ? sm_buf_err(out) : SM_ERR(CRYPTO);
}

static sm_err write_transport(const struct sm_cms_recipient *r, EVP_PKEY *pkey, bool pkcs1,
                              sm_slice key, sm_buf *out)
{
    sm_der_block info = sm_der_begin(out, SM_DER_SEQUENCE);
    sm_der_write_u64(out, TRANSPORT_VERSION);
    sm_der_write(out, SM_DER_CTX(0), r->id); /* subjectKeyIdentifier */
    sm_der_block algorithm = sm_der_begin(out, SM_DER_SEQUENCE);
    if (pkcs1) {
        sm_der_write_oid(out, SM_OID_RSA_ENCRYPTION);
        sm_der_write_null(out);
    } else {
        write_oaep(out);
    }
    sm_der_end(out, algorithm);
    sm_err err = write_transported(pkey, pkcs1, key, out);
    sm_der_end(out, info);
    return err;
}

/* ---- elliptic curves: KeyAgreeRecipientInfo (RFC 5753 3.1) ---- */

struct agreement {
    sm_slice curve; /* content of the AlgorithmIdentifier of its keys */
    enum sm_digest kdf;
    size_t kek_len;
    uint8_t point[POINT_MAX]; /* the ephemeral key */
    size_t point_len;
    uint8_t kek[SM_CMS_KEY_MAX]; /* secret */
};

static enum sm_digest kdf_of(enum sm_key_type type)
{
    return type == SM_KEY_P256 ? SM_SHA256 : type == SM_KEY_P384 ? SM_SHA384 : SM_SHA512;
}

static void write_scheme(const struct agreement *a, sm_buf *out)
{
    sm_der_block algorithm = sm_der_begin(out, SM_DER_SEQUENCE);
    sm_der_write_oid(out, a->kdf == SM_SHA256   ? SM_OID_DH_SHA256_KDF
                          : a->kdf == SM_SHA384 ? SM_OID_DH_SHA384_KDF
                                                : SM_OID_DH_SHA512_KDF);
    write_wrap_algorithm(a->kek_len, out);
    sm_der_end(out, algorithm);
}

/* ECC-CMS-SharedInfo: the wrap's algorithm and the length of its key in bits (RFC 5753 7.2) */
static void write_shared_info(const struct agreement *a, sm_buf *out)
{
    const uint8_t bits[4] = {0, 0, (uint8_t)(a->kek_len * 8 >> 8), (uint8_t)(a->kek_len * 8)};
    sm_der_block info = sm_der_begin(out, SM_DER_SEQUENCE);
    write_wrap_algorithm(a->kek_len, out);
    sm_der_block public_info = sm_der_begin(out, SM_DER_CTX_CONS(2));
    sm_der_write(out, SM_DER_OCTET_STRING, sm_slice_of(bits, sizeof(bits)));
    sm_der_end(out, public_info);
    sm_der_end(out, info);
}

/* The KDF of ANSI X9.63 (RFC 5753 7.1.1, SEC 1 3.6.1). */
static sm_err derive_kek(struct agreement *a, sm_slice shared)
{
    sm_buf info = sm_buf_init(128);
    write_shared_info(a, &info);
    const char *digest = a->kdf == SM_SHA256 ? "SHA256" : a->kdf == SM_SHA384 ? "SHA384" : "SHA512";
    EVP_KDF *kdf = EVP_KDF_fetch(NULL, "X963KDF", NULL);
    EVP_KDF_CTX *ctx = kdf == NULL ? NULL : EVP_KDF_CTX_new(kdf);
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, (char *)(uintptr_t)digest, 0),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_KEY, (void *)(uintptr_t)shared.ptr,
                                          shared.len),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_INFO, info.ptr, info.len),
        OSSL_PARAM_construct_end(),
    };
    bool ok = sm_ok(sm_buf_err(&info)) && ctx != NULL &&
              EVP_KDF_derive(ctx, a->kek, a->kek_len, params) == 1;
    EVP_KDF_CTX_free(ctx);
    EVP_KDF_free(kdf);
    sm_buf_deinit(&info);
    return ok ? SM_NO_ERR : SM_ERR(CRYPTO);
}

static sm_err agree_with(struct agreement *a, EVP_PKEY *ephemeral, EVP_PKEY *peer)
{
    uint8_t shared[SHARED_MAX];
    size_t len = sizeof(shared);
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(NULL, ephemeral, NULL);
    bool ok = ctx != NULL && EVP_PKEY_derive_init(ctx) == 1 &&
              EVP_PKEY_derive_set_peer(ctx, peer) == 1 && EVP_PKEY_derive(ctx, shared, &len) == 1 &&
              EVP_PKEY_get_octet_string_param(ephemeral, OSSL_PKEY_PARAM_ENCODED_PUBLIC_KEY,
                                              a->point, sizeof(a->point), &a->point_len) == 1;
    EVP_PKEY_CTX_free(ctx);
    sm_err err = ok ? derive_kek(a, sm_slice_of(shared, len)) : SM_ERR(CRYPTO);
    sm_wipe(shared, sizeof(shared));
    return err;
}

static sm_err agree(struct agreement *a, EVP_PKEY *peer)
{
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(NULL, peer, NULL); /* the peer's curve */
    EVP_PKEY *ephemeral = NULL;
    bool made = ctx != NULL && EVP_PKEY_keygen_init(ctx) == 1 &&
                EVP_PKEY_generate(ctx, &ephemeral) == 1;
    sm_err err = made ? agree_with(a, ephemeral, peer) : SM_ERR(CRYPTO);
    EVP_PKEY_free(ephemeral);
    EVP_PKEY_CTX_free(ctx);
    return err;
}

static void write_originator(const struct agreement *a, sm_buf *out)
{
    sm_der_block originator = sm_der_begin(out, SM_DER_CTX_CONS(0));
    sm_der_block key = sm_der_begin(out, SM_DER_CTX_CONS(1)); /* originatorKey */
    sm_der_write(out, SM_DER_SEQUENCE, a->curve);
    sm_der_write_bits(out, sm_slice_of(a->point, a->point_len));
    sm_der_end(out, key);
    sm_der_end(out, originator);
}

static sm_err write_agreement(const struct sm_cms_recipient *r, const struct agreement *a,
                              sm_slice key, sm_buf *out)
{
    sm_der_block info = sm_der_begin(out, SM_DER_CTX_CONS(1));
    sm_der_write_u64(out, AGREEMENT_VERSION);
    write_originator(a, out);
    write_scheme(a, out);
    sm_der_block keys = sm_der_begin(out, SM_DER_SEQUENCE);
    sm_der_block encrypted = sm_der_begin(out, SM_DER_SEQUENCE);
    sm_der_block id = sm_der_begin(out, SM_DER_CTX_CONS(0)); /* rKeyId */
    sm_der_write(out, SM_DER_OCTET_STRING, r->id);
    sm_der_end(out, id);
    sm_err err = write_wrapped(sm_slice_of(a->kek, a->kek_len), key, out);
    sm_der_end(out, encrypted);
    sm_der_end(out, keys);
    sm_der_end(out, info);
    return err;
}

static sm_err write_agreed(const struct sm_cms_recipient *r,
                           const struct sm_cms_algorithms *algorithms,
                           const struct sm_public_key *public_key, EVP_PKEY *pkey, sm_slice key,
                           sm_buf *out)
{
    struct agreement a = {.curve = sm_public_key_algorithm(public_key->type),
                          .kdf = algorithms->kdf != SM_DIGEST_NONE ? algorithms->kdf
                                                                   : kdf_of(public_key->type),
                          .kek_len = sm_cms_key_len(algorithms->cipher)};
    sm_err err = agree(&a, pkey);
    err = sm_ok(err) ? write_agreement(r, &a, key, out) : err;
    sm_wipe(a.kek, sizeof(a.kek));
    return err;
}

/* ---- which ---- */

static sm_err write_for_key(const struct sm_cms_recipient *r,
                            const struct sm_cms_algorithms *algorithms,
                            const struct sm_public_key *public_key, EVP_PKEY *pkey, sm_slice key,
                            sm_buf *out)
{
    switch (public_key->type) {
    case SM_KEY_RSA_2048:
    case SM_KEY_RSA_3072:
    case SM_KEY_RSA_4096:
        return write_transport(r, pkey, algorithms->pkcs1, key, out);
    case SM_KEY_P256:
    case SM_KEY_P384:
    case SM_KEY_P521:
        return write_agreed(r, algorithms, public_key, pkey, key, out);
    default:
        return SM_ERR(UNSUPPORTED);
    }
}

sm_err sm_cms_recipient_write(const struct sm_cms_recipient *r,
                              const struct sm_cms_algorithms *algorithms, sm_slice key, sm_buf *out)
{
    struct sm_public_key public_key;
    if (r->secret.len > 0) {
        return write_kek(r, key, out);
    }
    SM_TRY(sm_public_key_parse(r->public_key, &public_key, NULL));
    const unsigned char *at = r->public_key.ptr;
    EVP_PKEY *pkey = d2i_PUBKEY(NULL, &at, (long)r->public_key.len);
    sm_err err = pkey == NULL ? SM_ERR(CRYPTO)
                              : write_for_key(r, algorithms, &public_key, pkey, key, out);
    EVP_PKEY_free(pkey);
    ERR_clear_error();
    return err;
}
