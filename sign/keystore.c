/* SPDX-License-Identifier: Apache-2.0 */
#include "sign/key.h"

#include "base/file.h"
#include "base/mem.h"
#include "base/rand.h"
#include "sign/key_p.h"
#include "sign/passphrase.h"

#include <limits.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/pkcs12.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <unistd.h>

/* scrypt (RFC 7914) with OpenSSL's own defaults: 16 MiB and about 40 ms a key. */
#define SCRYPT_N 16384
#define SCRYPT_R 8
#define SCRYPT_P 1
#define SALT_LEN 16

struct sm_keystore {
    char dir[PATH_MAX - 128];
    sm_buf passphrase; /* secret */
    bool plain;        /* tests: keys are stored without encryption */
};

sm_err sm_keystore_open(const struct sm_keystore_config *config, sm_keystore **out, sm_diag *diag)
{
    sm_keystore *store = sm_calloc(1, sizeof(*store));
    if (store == NULL) {
        return SM_ERR(NO_MEMORY);
    }
    store->passphrase = sm_buf_init_secret(SM_PASSPHRASE_MAX);
    store->plain = config->allow_plain;
    int n = snprintf(store->dir, sizeof(store->dir), "%s", config->dir);
    sm_err err = n < 0 || (size_t)n >= sizeof(store->dir)
                     ? sm_diag_set(diag, SM_ERR(INVALID), "keys.dir", "the path is too long")
                     : sm_file_mkdirs(config->dir, 0700, diag);
    if (sm_ok(err) && !store->plain) {
        err = sm_passphrase_read(config, &store->passphrase, diag);
    }
    if (!sm_ok(err)) {
        sm_keystore_close(&store);
        return err;
    }
    *out = store;
    return SM_NO_ERR;
}

void sm_keystore_close(sm_keystore **store)
{
    if (*store == NULL) {
        return;
    }
    sm_buf_deinit(&(*store)->passphrase);
    sm_free(*store);
    *store = NULL;
}

/* "file:name" without any path in it. */
static sm_err path_of(const sm_keystore *store, const char *uri, char out[PATH_MAX], sm_diag *diag)
{
    if (strncmp(uri, "pkcs11:", 7) == 0) {
        return sm_diag_set(diag, SM_ERR(UNSUPPORTED), "key_uri",
                           "this build has no PKCS#11 session pools");
    }
    if (strncmp(uri, "file:", 5) != 0) {
        return sm_diag_set(diag, SM_ERR(INVALID), "key_uri",
                           "a key's URI begins with file: or pkcs11:");
    }
    const char *name = uri + 5;
    size_t len = strlen(name);
    if (len == 0 || len > 100 || name[0] == '.' || strchr(name, '/') != NULL) {
        return sm_diag_set(diag, SM_ERR(INVALID), "key_uri",
                           "file: is followed by a plain name, without '/'");
    }
    (void)snprintf(out, PATH_MAX, "%s/%s.key", store->dir, name);
    return SM_NO_ERR;
}

/* PKCS#8 EncryptedPrivateKeyInfo: PBES2 with scrypt and AES-256-CBC (RFC 8018 6.2, RFC 7914). */
static X509_SIG *encrypt(const sm_keystore *store, EVP_PKEY *pkey)
{
    unsigned char salt[SALT_LEN];
    sm_rand_bytes(salt, sizeof(salt));
    PKCS8_PRIV_KEY_INFO *plain = EVP_PKEY2PKCS8(pkey);
    X509_ALGOR *pbe = PKCS5_pbe2_set_scrypt(EVP_aes_256_cbc(), salt, sizeof(salt), NULL, SCRYPT_N,
                                            SCRYPT_R, SCRYPT_P);
    X509_SIG *sealed = NULL;
    if (plain != NULL && pbe != NULL) {
        sealed = PKCS8_set0_pbe((const char *)store->passphrase.ptr, (int)store->passphrase.len,
                                plain, pbe);
    }
    if (sealed == NULL) {
        X509_ALGOR_free(pbe);
    }
    PKCS8_PRIV_KEY_INFO_free(plain);
    return sealed;
}

static sm_err write_key(const sm_keystore *store, EVP_PKEY *pkey, const char *path, sm_diag *diag)
{
    BIO *bio = BIO_new(BIO_s_secmem());
    int good = 0;
    if (bio != NULL && store->plain) {
        good = PEM_write_bio_PKCS8PrivateKey(bio, pkey, NULL, NULL, 0, NULL, NULL);
    } else if (bio != NULL) {
        X509_SIG *sealed = encrypt(store, pkey);
        good = sealed != NULL && PEM_write_bio_PKCS8(bio, sealed);
        X509_SIG_free(sealed);
    }
    char *pem = NULL;
    long len = good ? BIO_get_mem_data(bio, &pem) : 0;
    sm_err err = len > 0 ? sm_file_write_atomic(path, sm_slice_of(pem, (size_t)len), 0600, diag)
                         : sm_diag_set(diag, SM_ERR(CRYPTO), "key_uri",
                                       "the key could not be encrypted");
    BIO_free(bio);
    return err;
}

sm_err sm_keystore_create(sm_keystore *store, const char *name, const char *uri,
                          enum sm_key_type type, sm_key **out, sm_diag *diag)
{
    char made_uri[128];
    char path[PATH_MAX];
    if (uri == NULL || uri[0] == '\0') {
        (void)snprintf(made_uri, sizeof(made_uri), "file:%.100s", name);
        uri = made_uri;
    }
    SM_TRY(path_of(store, uri, path, diag));
    if (sm_file_exists(path)) {
        return sm_diag_set(diag, SM_ERR(EXISTS), "key_uri",
                           "%s exists: choose another name, or use_existing_key", path);
    }
    sm_key *key;
    sm_err err = sm_key_generate(type, &key);
    if (!sm_ok(err)) {
        return sm_diag_set(diag, err, "key_type", "a key of this type could not be made");
    }
    err = write_key(store, key->pkey, path, diag);
    sm_free(key->uri);
    key->uri = sm_strdup(uri);
    if (sm_ok(err) && key->uri == NULL) {
        err = SM_ERR(NO_MEMORY);
    }
    if (!sm_ok(err)) {
        sm_key_detach(&key);
        return err;
    }
    *out = key;
    return SM_NO_ERR;
}

/* OpenSSL asks here for the passphrase. */
static int give_passphrase(char *to, int size, int writing, void *ctx)
{
    const sm_buf *passphrase = ctx;
    (void)writing;
    if (size < 0 || passphrase->len > (size_t)size) {
        return -1;
    }
    memcpy(to, passphrase->ptr, passphrase->len);
    return (int)passphrase->len;
}

sm_err sm_keystore_load(sm_keystore *store, const char *uri, sm_key **out, sm_diag *diag)
{
    char path[PATH_MAX];
    SM_TRY(path_of(store, uri, path, diag));
    sm_buf pem = sm_buf_init_secret(SM_KEY_FILE_MAX);
    sm_err err = sm_file_read(path, &pem, diag);
    EVP_PKEY *pkey = NULL;
    if (sm_ok(err)) {
        BIO *bio = BIO_new_mem_buf(pem.ptr, (int)pem.len);
        pkey = bio == NULL
                   ? NULL
                   : PEM_read_bio_PrivateKey(bio, NULL, give_passphrase, &store->passphrase);
        BIO_free(bio);
        if (pkey == NULL) {
            err = sm_diag_set(
                diag, SM_ERR(FORBIDDEN), "key_uri",
                "%s cannot be opened: the passphrase is wrong, or the file is damaged", path);
        }
    }
    sm_buf_deinit(&pem);
    if (sm_ok(err)) {
        err = sm_key_wrap(pkey, uri, out);
    }
    if (!sm_ok(err)) {
        EVP_PKEY_free(pkey);
    }
    return err;
}

void sm_keystore_discard(sm_keystore *store, const char *uri)
{
    char path[PATH_MAX];
    if (sm_ok(path_of(store, uri, path, NULL))) {
        (void)unlink(path);
    }
}
