/* SPDX-License-Identifier: Apache-2.0 */
#include "sign/key_seal.h"

#include "base/mem.h"
#include "base/rand.h"
#include "sign/pkcs8.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>
#include <openssl/pkcs12.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

/* scrypt with OpenSSL's own defaults: 16 MiB and about 40 ms. 2^15 would need just over the 32 MiB that OpenSSL allows
 * a file to ask for, so that nothing could read it back. */
#define SCRYPT_N 16384
#define SCRYPT_R 8
#define SCRYPT_P 1
#define SALT_LEN 16
#define SALT_MAX 64
#define KEY_LEN 32 /* AES-256 */
#define IV_LEN 16

struct derivation {
    uint8_t salt[SALT_MAX];
    size_t salt_len; /* 0: none */
    uint64_t n, r, p;
};

struct kept {
    struct derivation by;
    uint8_t key[KEY_LEN]; /* secret */
    uint64_t used;        /* when, in uses */
};

struct sm_key_sealer {
    sm_slice passphrase;
    pthread_mutex_t lock; /* covers what follows */
    struct kept kept[SM_SEAL_KEPT];
    uint64_t uses;
};

sm_err sm_key_sealer_new(sm_slice passphrase, sm_key_sealer **out)
{
    sm_key_sealer *s = sm_calloc(1, sizeof(*s));
    if (s == NULL) {
        return SM_ERR(NO_MEMORY);
    }
    s->passphrase = passphrase;
    (void)pthread_mutex_init(&s->lock, NULL);
    *out = s;
    return SM_NO_ERR;
}

void sm_key_sealer_free(sm_key_sealer **sealer)
{
    sm_key_sealer *s = *sealer;
    *sealer = NULL;
    if (s != NULL) {
        OPENSSL_cleanse(s->kept, sizeof(s->kept));
        (void)pthread_mutex_destroy(&s->lock);
        sm_free(s);
    }
}

/* ---- derived keys ---- */

static bool is_same(const struct derivation *a, const struct derivation *b)
{
    return a->salt_len == b->salt_len && memcmp(a->salt, b->salt, a->salt_len) == 0 &&
           a->n == b->n && a->r == b->r && a->p == b->p;
}

static bool is_ours(const struct derivation *d)
{
    return d->salt_len == SALT_LEN && d->n == SCRYPT_N && d->r == SCRYPT_R && d->p == SCRYPT_P;
}

static struct kept *find(sm_key_sealer *s, const struct derivation *d)
{
    for (size_t i = 0; i < SM_SEAL_KEPT; i++) {
        if (is_same(&s->kept[i].by, d)) {
            return &s->kept[i];
        }
    }
    return NULL;
}

/* The one that was not used for longest makes room. */
static struct kept *make_room(sm_key_sealer *s)
{
    struct kept *oldest = &s->kept[0];
    for (size_t i = 1; i < SM_SEAL_KEPT; i++) {
        oldest = s->kept[i].used < oldest->used ? &s->kept[i] : oldest;
    }
    OPENSSL_cleanse(oldest, sizeof(*oldest));
    return oldest;
}

/* Under the lock: whoever wants the same waits for it instead of deriving it too. */
static struct kept *derive_locked(sm_key_sealer *s, const struct derivation *d)
{
    struct kept *k = find(s, d);
    if (k == NULL) {
        uint8_t key[KEY_LEN];
        if (EVP_PBE_scrypt((const char *)s->passphrase.ptr, s->passphrase.len, d->salt, d->salt_len,
                           d->n, d->r, d->p, 0, key, sizeof(key)) != 1) {
            return NULL;
        }
        k = make_room(s);
        k->by = *d;
        memcpy(k->key, key, sizeof(key));
        OPENSSL_cleanse(key, sizeof(key));
    }
    k->used = ++s->uses;
    return k;
}

static bool derive(sm_key_sealer *s, const struct derivation *d, uint8_t key[KEY_LEN])
{
    (void)pthread_mutex_lock(&s->lock);
    const struct kept *k = derive_locked(s, d);
    if (k != NULL) {
        memcpy(key, k->key, KEY_LEN);
    }
    (void)pthread_mutex_unlock(&s->lock);
    return k != NULL;
}

/* The folder's: that of a file which was opened or made before, the last one if there are several. */
static struct derivation choose(sm_key_sealer *s)
{
    struct derivation d = {.salt_len = SALT_LEN, .n = SCRYPT_N, .r = SCRYPT_R, .p = SCRYPT_P};
    uint64_t last = 0;
    sm_rand_bytes(d.salt, SALT_LEN);
    (void)pthread_mutex_lock(&s->lock);
    for (size_t i = 0; i < SM_SEAL_KEPT; i++) {
        if (is_ours(&s->kept[i].by) && s->kept[i].used > last) {
            last = s->kept[i].used;
            d = s->kept[i].by;
        }
    }
    (void)pthread_mutex_unlock(&s->lock);
    return d;
}

/* ---- AES-256-CBC ---- */

/* `out` has room for a block more than `in`. Returns the length, 0 when it fails. */
static size_t run_cipher(bool encrypt, const uint8_t key[KEY_LEN], const uint8_t *iv, sm_slice in,
                         uint8_t *out)
{
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    int head = 0;
    int tail = 0;
    bool ok = ctx != NULL &&
              EVP_CipherInit_ex(ctx, EVP_aes_256_cbc(), NULL, key, iv, encrypt ? 1 : 0) == 1 &&
              EVP_CipherUpdate(ctx, out, &head, in.ptr, (int)in.len) == 1 &&
              EVP_CipherFinal_ex(ctx, out + head, &tail) == 1;
    EVP_CIPHER_CTX_free(ctx);
    return ok ? (size_t)(head + tail) : 0;
}

/* ---- sealing ---- */

static X509_SIG *pack(X509_ALGOR *pbe, const uint8_t *bytes, size_t len)
{
    X509_SIG *sealed = X509_SIG_new();
    X509_ALGOR *alg = NULL;
    ASN1_OCTET_STRING *octets = NULL;
    if (sealed == NULL) {
        return NULL;
    }
    X509_SIG_getm(sealed, &alg, &octets);
    if (X509_ALGOR_copy(alg, pbe) != 1 || ASN1_OCTET_STRING_set(octets, bytes, (int)len) != 1) {
        X509_SIG_free(sealed);
        return NULL;
    }
    return sealed;
}

static X509_SIG *seal(sm_key_sealer *s, sm_slice plain, uint8_t *room)
{
    struct derivation d = choose(s);
    uint8_t key[KEY_LEN];
    uint8_t iv[IV_LEN];
    sm_rand_bytes(iv, sizeof(iv));
    X509_ALGOR *pbe = PKCS5_pbe2_set_scrypt(EVP_aes_256_cbc(), d.salt, (int)d.salt_len, iv, d.n,
                                            d.r, d.p);
    size_t len = pbe != NULL && derive(s, &d, key) ? run_cipher(true, key, iv, plain, room) : 0;
    X509_SIG *sealed = len > 0 ? pack(pbe, room, len) : NULL;
    OPENSSL_cleanse(key, sizeof(key));
    X509_ALGOR_free(pbe);
    return sealed;
}

X509_SIG *sm_key_seal(sm_key_sealer *s, EVP_PKEY *pkey)
{
    sm_buf der = sm_buf_init_secret(SM_PKCS8_MAX);
    bool written = sm_ok(sm_pkcs8_write(pkey, &der));
    uint8_t *room = written ? sm_malloc(der.len + EVP_MAX_BLOCK_LENGTH) : NULL;
    X509_SIG *sealed = room == NULL ? NULL : seal(s, sm_buf_slice(&der), room);
    sm_free(room);
    sm_buf_deinit(&der);
    return sealed;
}

/* ---- opening ---- */

static bool read_number(const ASN1_INTEGER *from, uint64_t *out)
{
    return ASN1_INTEGER_get_uint64(out, from) == 1;
}

static bool read_scrypt(const X509_ALGOR *kdf, struct derivation *d)
{
    SCRYPT_PARAMS *p = OBJ_obj2nid(kdf->algorithm) == NID_id_scrypt
                           ? ASN1_TYPE_unpack_sequence(ASN1_ITEM_rptr(SCRYPT_PARAMS),
                                                       kdf->parameter)
                           : NULL;
    bool ok = p != NULL && p->salt->length > 0 && p->salt->length <= SALT_MAX &&
              read_number(p->costParameter, &d->n) && read_number(p->blockSize, &d->r) &&
              read_number(p->parallelizationParameter, &d->p) && p->keyLength == NULL;
    if (ok) {
        d->salt_len = (size_t)p->salt->length;
        memcpy(d->salt, p->salt->data, d->salt_len);
    }
    SCRYPT_PARAMS_free(p);
    return ok;
}

static bool read_iv(const X509_ALGOR *cipher, uint8_t iv[IV_LEN])
{
    bool ok = OBJ_obj2nid(cipher->algorithm) == NID_aes_256_cbc && cipher->parameter != NULL &&
              cipher->parameter->type == V_ASN1_OCTET_STRING &&
              cipher->parameter->value.octet_string->length == IV_LEN;
    if (ok) {
        memcpy(iv, cipher->parameter->value.octet_string->data, IV_LEN);
    }
    return ok;
}

/* Whether it is one of the kind that we make. */
static bool read_algorithm(const X509_ALGOR *alg, struct derivation *d, uint8_t iv[IV_LEN])
{
    PBE2PARAM *p = OBJ_obj2nid(alg->algorithm) == NID_pbes2
                       ? ASN1_TYPE_unpack_sequence(ASN1_ITEM_rptr(PBE2PARAM), alg->parameter)
                       : NULL;
    bool ok = p != NULL && read_scrypt(p->keyfunc, d) && read_iv(p->encryption, iv);
    PBE2PARAM_free(p);
    return ok;
}

static sm_err unseal(const uint8_t key[KEY_LEN], const uint8_t *iv, sm_slice sealed,
                     PKCS8_PRIV_KEY_INFO **out)
{
    uint8_t *room = sm_malloc(sealed.len + EVP_MAX_BLOCK_LENGTH);
    if (room == NULL) {
        return SM_ERR(NO_MEMORY);
    }
    size_t len = run_cipher(false, key, iv, sealed, room);
    const unsigned char *at = room;
    *out = len == 0 ? NULL : d2i_PKCS8_PRIV_KEY_INFO(NULL, &at, (long)len);
    OPENSSL_cleanse(room, sealed.len + EVP_MAX_BLOCK_LENGTH);
    sm_free(room);
    return *out == NULL ? SM_ERR(FORBIDDEN) : SM_NO_ERR;
}

sm_err sm_key_unseal(sm_key_sealer *s, const X509_SIG *sealed, PKCS8_PRIV_KEY_INFO **out)
{
    const X509_ALGOR *alg;
    const ASN1_OCTET_STRING *octets;
    struct derivation d = {.salt_len = 0};
    uint8_t iv[IV_LEN];
    uint8_t key[KEY_LEN];
    X509_SIG_get0(sealed, &alg, &octets);
    if (!read_algorithm(alg, &d, iv)) {
        *out = PKCS8_decrypt(sealed, (const char *)s->passphrase.ptr, (int)s->passphrase.len);
        return *out == NULL ? SM_ERR(FORBIDDEN) : SM_NO_ERR;
    }
    if (!derive(s, &d, key)) {
        return SM_ERR(FORBIDDEN); /* parameters that scrypt does not take */
    }
    sm_err err = unseal(key, iv, sm_slice_of(octets->data, (size_t)octets->length), out);
    OPENSSL_cleanse(key, sizeof(key));
    return err;
}

/* ---- other secrets: salt, nonce, ciphertext, tag ---- */

#define NONCE_LEN 12
#define TAG_LEN 16
#define SEALED_OVERHEAD (SALT_LEN + NONCE_LEN + TAG_LEN)

/* A key of their own: what seals key files seals nothing else. */
static bool derive_for_secrets(sm_key_sealer *s, const struct derivation *d, uint8_t key[KEY_LEN])
{
    static const char info[] = "sealmill secret";
    uint8_t root[KEY_LEN];
    size_t len = KEY_LEN;
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_id(EVP_PKEY_HKDF, NULL);
    bool ok = ctx != NULL && derive(s, d, root) && EVP_PKEY_derive_init(ctx) == 1 &&
              EVP_PKEY_CTX_set_hkdf_md(ctx, EVP_sha256()) == 1 &&
              EVP_PKEY_CTX_set1_hkdf_salt(ctx, d->salt, (int)d->salt_len) == 1 &&
              EVP_PKEY_CTX_set1_hkdf_key(ctx, root, KEY_LEN) == 1 &&
              EVP_PKEY_CTX_add1_hkdf_info(ctx, (const unsigned char *)info, sizeof(info) - 1) ==
                  1 &&
              EVP_PKEY_derive(ctx, key, &len) == 1;
    EVP_PKEY_CTX_free(ctx);
    OPENSSL_cleanse(root, sizeof(root));
    return ok;
}

/* `tag` is written when sealing, checked when opening. */
static bool run_gcm(bool encrypt, const uint8_t key[KEY_LEN], const uint8_t *nonce,
                    sm_slice context, sm_slice in, uint8_t *out, uint8_t tag[TAG_LEN])
{
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    int len = 0;
    int tail = 0;
    bool ok = ctx != NULL &&
              EVP_CipherInit_ex(ctx, EVP_aes_256_gcm(), NULL, key, nonce, encrypt ? 1 : 0) == 1 &&
              EVP_CipherUpdate(ctx, NULL, &len, context.ptr, (int)context.len) == 1 &&
              EVP_CipherUpdate(ctx, out, &len, in.ptr, (int)in.len) == 1 &&
              (encrypt || EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_SET_TAG, TAG_LEN, tag) == 1) &&
              EVP_CipherFinal_ex(ctx, out + len, &tail) == 1 &&
              (!encrypt || EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_GET_TAG, TAG_LEN, tag) == 1);
    EVP_CIPHER_CTX_free(ctx);
    return ok;
}

sm_err sm_secret_seal(sm_key_sealer *s, sm_slice context, sm_slice secret, sm_buf *out)
{
    struct derivation d = choose(s);
    uint8_t key[KEY_LEN];
    uint8_t nonce[NONCE_LEN];
    uint8_t sealed[SM_SEALED_SECRET_MAX];
    uint8_t tag[TAG_LEN];
    if (secret.len > sizeof(sealed)) {
        return SM_ERR(TOO_LARGE);
    }
    sm_rand_bytes(nonce, sizeof(nonce));
    bool ok = derive_for_secrets(s, &d, key) &&
              run_gcm(true, key, nonce, context, secret, sealed, tag);
    OPENSSL_cleanse(key, sizeof(key));
    if (!ok) {
        return SM_ERR(CRYPTO);
    }
    sm_buf_put(out, sm_slice_of(d.salt, SALT_LEN));
    sm_buf_put(out, sm_slice_of(nonce, NONCE_LEN));
    sm_buf_put(out, sm_slice_of(sealed, secret.len));
    sm_buf_put(out, sm_slice_of(tag, TAG_LEN));
    return sm_buf_err(out);
}

sm_err sm_secret_unseal(sm_key_sealer *s, sm_slice context, sm_slice sealed, sm_buf *out)
{
    struct derivation d = {.salt_len = SALT_LEN, .n = SCRYPT_N, .r = SCRYPT_R, .p = SCRYPT_P};
    uint8_t key[KEY_LEN];
    uint8_t secret[SM_SEALED_SECRET_MAX];
    uint8_t tag[TAG_LEN];
    if (sealed.len < SEALED_OVERHEAD || sealed.len > SEALED_OVERHEAD + sizeof(secret)) {
        return SM_ERR(FORBIDDEN);
    }
    const size_t len = sealed.len - SEALED_OVERHEAD;
    const uint8_t *nonce = sealed.ptr + SALT_LEN;
    memcpy(d.salt, sealed.ptr, SALT_LEN);
    memcpy(tag, nonce + NONCE_LEN + len, TAG_LEN);
    if (!derive_for_secrets(s, &d, key)) {
        return SM_ERR(CRYPTO);
    }
    bool ok = run_gcm(false, key, nonce, context, sm_slice_of(nonce + NONCE_LEN, len), secret, tag);
    OPENSSL_cleanse(key, sizeof(key));
    if (ok) {
        sm_buf_put(out, sm_slice_of(secret, len));
    }
    OPENSSL_cleanse(secret, sizeof(secret));
    return ok ? sm_buf_err(out) : SM_ERR(FORBIDDEN);
}
