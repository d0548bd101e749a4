/* SPDX-License-Identifier: Apache-2.0 */
#include "sign/key.h"

#include "base/file.h"
#include "base/mem.h"
#include "base/text.h"
#include "sign/key_p.h"
#include "sign/key_seal.h"
#include "sign/p11_pool_p.h"
#include "sign/passphrase.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

struct sm_keystore {
    char dir[PATH_MAX - 128];
    sm_buf passphrase; /* secret */
    sm_key_sealer *sealer;
    bool plain;        /* tests: keys are stored without encryption */
    sm_tokens *tokens; /* NULL: none */
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
    if (sm_ok(err)) {
        err = sm_key_sealer_new(sm_buf_slice(&store->passphrase), &store->sealer);
    }
    if (sm_ok(err) && config->token_count > 0) {
        err = sm_tokens_new(config->tokens, config->token_count, &store->tokens, diag);
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
    sm_tokens_free(&(*store)->tokens);
    sm_key_sealer_free(&(*store)->sealer);
    sm_buf_deinit(&(*store)->passphrase);
    sm_free(*store);
    *store = NULL;
}

sm_tokens *sm_keystore_tokens(const sm_keystore *store)
{
    return store->tokens;
}

sm_err sm_keystore_seal(sm_keystore *store, sm_slice context, sm_slice secret, sm_buf *out)
{
    return sm_secret_seal(store->sealer, context, secret, out);
}

sm_err sm_keystore_unseal(sm_keystore *store, sm_slice context, sm_slice sealed, sm_buf *out)
{
    return sm_secret_unseal(store->sealer, context, sealed, out);
}

static bool is_token_uri(const char *uri)
{
    return strncmp(uri, "pkcs11:", 7) == 0;
}

/* A file's name of our own making: printable, no path in it, not hidden. */
static bool is_plain_name(const char *name)
{
    size_t len = strlen(name);
    if (len == 0 || len > SM_KEY_NAME_MAX || name[0] == '.') {
        return false;
    }
    for (const char *c = name; *c != '\0'; c++) {
        if (*c <= ' ' || *c > '~' || *c == '/') {
            return false;
        }
    }
    return true;
}

/* The path of "file:name". */
static sm_err path_of(const sm_keystore *store, const char *uri, char out[PATH_MAX], sm_diag *diag)
{
    if (strncmp(uri, "file:", 5) != 0) {
        return sm_diag_set(diag, SM_ERR(INVALID), "key_uri",
                           "a key's URI begins with file: or pkcs11:");
    }
    if (!is_plain_name(uri + 5)) {
        return sm_diag_set(diag, SM_ERR(INVALID), "key_uri",
                           "file: is followed by a plain name: at most %d printable characters, no "
                           "'/', no leading '.'",
                           SM_KEY_NAME_MAX);
    }
    (void)snprintf(out, PATH_MAX, "%s/%s.key", store->dir, uri + 5);
    return SM_NO_ERR;
}

static sm_err write_key(const sm_keystore *store, EVP_PKEY *pkey, const char *path, sm_diag *diag)
{
    BIO *bio = BIO_new(BIO_s_secmem());
    int good = 0;
    if (bio != NULL && store->plain) {
        good = PEM_write_bio_PKCS8PrivateKey(bio, pkey, NULL, NULL, 0, NULL, NULL);
    } else if (bio != NULL) {
        X509_SIG *sealed = sm_key_seal(store->sealer, pkey);
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

/* Takes the name, so that of two creations with one name only one succeeds. */
static sm_err reserve(const char *path, sm_diag *diag)
{
    int fd = open(path, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0600);
    if (fd >= 0) {
        (void)close(fd);
        return SM_NO_ERR;
    }
    if (errno == EEXIST) {
        return sm_diag_set(diag, SM_ERR(EXISTS), "key_uri",
                           "%s exists: choose another name, or use_existing_key", path);
    }
    return sm_diag_set(diag, SM_ERR(DISK), "key_uri", "%s: %s", path, strerror(errno));
}

static sm_err make_key(sm_keystore *store, const char *uri, const char *path, enum sm_key_type type,
                       sm_key **out, sm_diag *diag)
{
    EVP_PKEY *pkey = sm_key_make(type);
    if (pkey == NULL) {
        return sm_diag_set(diag,
                           type > SM_KEY_NONE && type < SM_KEY_TYPE_COUNT ? SM_ERR(CRYPTO)
                                                                          : SM_ERR(UNSUPPORTED),
                           "key_type", "a key of this type could not be made");
    }
    sm_key *key = NULL;
    sm_err err = sm_key_wrap(pkey, uri, &key);
    if (!sm_ok(err)) {
        EVP_PKEY_free(pkey);
        return sm_diag_set(diag, err, "key_type", "a key of this type could not be made");
    }
    err = write_key(store, pkey, path, diag);
    if (!sm_ok(err)) {
        sm_key_detach(&key);
        return err;
    }
    *out = key;
    return SM_NO_ERR;
}

sm_err sm_keystore_create(sm_keystore *store, const char *name, const char *uri,
                          enum sm_key_type type, sm_key **out, sm_diag *diag)
{
    char made_uri[sizeof("file:") + SM_KEY_NAME_MAX + 1];
    char path[PATH_MAX];
    if (uri == NULL || uri[0] == '\0') {
        (void)snprintf(made_uri, sizeof(made_uri), "file:%s",
                       name); /* a name that is cut here is still too long */
        uri = made_uri;
    }
    if (is_token_uri(uri)) {
        return sm_tokens_create(store->tokens, name, uri, type, out, diag);
    }
    SM_TRY(path_of(store, uri, path, diag));
    SM_TRY(reserve(path, diag));
    sm_err err = make_key(store, uri, path, type, out, diag);
    if (!sm_ok(err)) {
        (void)unlink(path);
    }
    return err;
}

static sm_err malformed(sm_diag *diag, const char *path, const char *what)
{
    return sm_diag_set(diag, SM_ERR(MALFORMED), "key_uri", "%s %s", path, what);
}

/* PKCS#8 EncryptedPrivateKeyInfo (RFC 5958 3). */
static sm_err decrypt(const sm_keystore *store, const char *path, sm_slice der,
                      PKCS8_PRIV_KEY_INFO **out, sm_diag *diag)
{
    const unsigned char *at = der.ptr;
    X509_SIG *sealed = d2i_X509_SIG(NULL, &at, (long)der.len);
    if (sealed == NULL || at != der.ptr + der.len) {
        X509_SIG_free(sealed);
        return malformed(diag, path, "is damaged: its EncryptedPrivateKeyInfo is not well-formed");
    }
    sm_err err = sm_key_unseal(store->sealer, sealed, out);
    X509_SIG_free(sealed);
    return sm_err_is(err, SM_E_FORBIDDEN)
               ? sm_diag_set(diag, err, "key_uri",
                             "the passphrase is not the one that %s was encrypted with", path)
               : err;
}

static sm_err parse_plain(const sm_keystore *store, const char *path, sm_slice der,
                          PKCS8_PRIV_KEY_INFO **out, sm_diag *diag)
{
    const unsigned char *at = der.ptr;
    if (!store->plain) {
        return sm_diag_set(
            diag, SM_ERR(INVALID), "key_uri",
            "%s is not encrypted: openssl pkcs8 -topk8 -scrypt makes an encrypted one of it", path);
    }
    *out = d2i_PKCS8_PRIV_KEY_INFO(NULL, &at, (long)der.len);
    return *out != NULL
               ? SM_NO_ERR
               : malformed(diag, path, "is damaged: its PrivateKeyInfo is not well-formed");
}

/* The first PEM block of a kind that we know. */
static sm_err open_pem(const sm_keystore *store, const char *path, sm_slice text,
                       PKCS8_PRIV_KEY_INFO **out, sm_diag *diag)
{
    sm_buf der = sm_buf_init_secret(SM_KEY_FILE_MAX);
    sm_slice label;
    sm_err err = sm_pem_next(&text, &label, &der);
    if (sm_err_is(err, SM_E_NO_MEMORY)) {
        /* says nothing of the file */
    } else if (!sm_ok(err)) {
        err = malformed(diag, path, "is damaged: it is not PEM");
    } else if (sm_slice_equal(label, SM_LIT("ENCRYPTED PRIVATE KEY"))) {
        err = decrypt(store, path, sm_buf_slice(&der), out, diag);
    } else if (sm_slice_equal(label, SM_LIT("PRIVATE KEY"))) {
        err = parse_plain(store, path, sm_buf_slice(&der), out, diag);
    } else {
        err = malformed(diag, path, "holds no ENCRYPTED PRIVATE KEY (PKCS#8)");
    }
    sm_buf_deinit(&der);
    return err;
}

static sm_err wrap(PKCS8_PRIV_KEY_INFO *info, const char *path, const char *uri, sm_key **out,
                   sm_diag *diag)
{
    EVP_PKEY *pkey = EVP_PKCS82PKEY(info);
    if (pkey == NULL) {
        return malformed(diag, path, "holds a key that OpenSSL does not know");
    }
    sm_err err = sm_key_wrap(pkey, uri, out);
    if (!sm_ok(err)) {
        EVP_PKEY_free(pkey);
        return sm_diag_set(diag, err, "key_uri",
                           "%s holds a key of a type or size that is not supported", path);
    }
    return SM_NO_ERR;
}

/* Its group may read it (an account of a service under another owner's folder), nobody else. */
static sm_err check_mode(const char *path, sm_diag *diag)
{
    struct stat st;
    if (stat(path, &st) == 0 && (st.st_mode & (S_IRWXO | S_IWGRP)) != 0) {
        return sm_diag_set(diag, SM_ERR(INVALID), "key_uri",
                           "others may read or change %s: chmod 600 it", path);
    }
    return SM_NO_ERR; /* a file that is not there is the reading's to tell */
}

sm_err sm_keystore_load(sm_keystore *store, const char *uri, sm_key **out, sm_diag *diag)
{
    char path[PATH_MAX];
    if (is_token_uri(uri)) {
        return sm_tokens_load(store->tokens, uri, out, diag);
    }
    SM_TRY(path_of(store, uri, path, diag));
    SM_TRY(check_mode(path, diag));
    sm_buf pem = sm_buf_init_secret(SM_KEY_FILE_MAX);
    PKCS8_PRIV_KEY_INFO *info = NULL;
    sm_err err = sm_file_read(path, &pem, diag);
    err = sm_ok(err) ? open_pem(store, path, sm_buf_slice(&pem), &info, diag) : err;
    err = sm_ok(err) ? wrap(info, path, uri, out, diag) : err;
    PKCS8_PRIV_KEY_INFO_free(info); /* wipes the key's octets */
    sm_buf_deinit(&pem);
    ERR_clear_error();
    return err;
}

/* What was made in a token stays there: destroying keys in an HSM is its operator's act. */
void sm_keystore_discard(sm_keystore *store, const char *uri)
{
    char path[PATH_MAX];
    if (sm_ok(path_of(store, uri, path, NULL))) {
        (void)unlink(path);
    }
}
