/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Private keys. They never leave this folder: others hold an opaque sm_key and submit jobs.
 *
 * Software keys are EVP_PKEYs, kept at rest as PKCS#8 EncryptedPrivateKeyInfo (PBES2, scrypt or
 * PBKDF2-HMAC-SHA-256, AES-256-CBC/GCM as OpenSSL offers) in one file each, mode 0600. Token keys
 * come by RFC 7512 URIs.
 *
 * Threads:   a sm_key is shared (atomic count) and immutable; keystore calls block: not from a loop.
 * Limits:    file size SM_KEY_FILE_MAX.
 * Security:  passphrases come from a file, an environment variable or a systemd credential; all
 *            copies are wiped. RSA results are checked with the public exponent before they leave
 *            (Bellcore attack).
 * Standards: RFC 5958, RFC 8018, RFC 7914, RFC 7512.
 */
#pragma once

#include "base/buf.h"
#include "base/diag.h"
#include "sign/alg.h"
#include "sign/pubkey.h"
#include "sign/token.h"

#define SM_KEY_FILE_MAX 65536
#define SM_KEY_NAME_MAX 100 /* characters of a key file's name */

typedef struct sm_key sm_key;
typedef struct sm_keystore sm_keystore;

struct sm_keystore_config {
    const char *dir;
    /* Exactly one is set; all NULL: keys are stored without encryption only if `allow_plain`
     * (tests). */
    const char *passphrase_file;
    const char *passphrase_env;
    const char *passphrase_credential; /* a name under $CREDENTIALS_DIRECTORY */
    bool allow_plain;
    const struct sm_token_config *tokens; /* where "pkcs11:" keys are; borrowed for the call */
    size_t token_count;
};

/* Errors: NOT_FOUND, INVALID, NO_MEMORY, OS. Given. */
SM_FALLIBLE sm_keystore_open(const struct sm_keystore_config *config, sm_keystore **out,
                             sm_diag *diag);
void sm_keystore_close(sm_keystore **store);
/* Its tokens, for their state; NULL when there are none. */
sm_tokens *sm_keystore_tokens(const sm_keystore *store);

/* Makes a key. `uri`: "" gives "file:<name>"; "file:<name>"; "pkcs11:...". Errors: EXISTS,
 * UNSUPPORTED, DISK, CRYPTO, TOKEN. `*out` shared with the caller. The URI by which it is loaded
 * again is given by sm_key_uri. */
SM_FALLIBLE sm_keystore_create(sm_keystore *store, const char *name, const char *uri,
                               enum sm_key_type type, sm_key **out, sm_diag *diag);
/* Errors: NOT_FOUND, FORBIDDEN (the passphrase is wrong), INVALID (the name, or the file is not
 * encrypted, or others may read it), MALFORMED, UNSUPPORTED, NO_MEMORY, OS, TOKEN. */
SM_FALLIBLE sm_keystore_load(sm_keystore *store, const char *uri, sm_key **out, sm_diag *diag);
/* Removes a key file that no record names yet (an aborted creation). */
void sm_keystore_discard(sm_keystore *store, const char *uri);

/* Secrets that the store keeps, sealed under the same passphrase: see sm_secret_seal. Blocks for one derivation at first. */
SM_FALLIBLE sm_keystore_seal(sm_keystore *store, sm_slice context, sm_slice secret, sm_buf *out);
SM_FALLIBLE sm_keystore_unseal(sm_keystore *store, sm_slice context, sm_slice sealed, sm_buf *out);

/* A software key that lives in memory only (tests, and short-lived ones). Given. */
SM_FALLIBLE sm_key_generate(enum sm_key_type type, sm_key **out);

/* Of a key that OpenSSL has already, a listener's: shared with it. Errors: UNSUPPORTED, NO_MEMORY, CRYPTO. Given. */
struct evp_pkey_st;
SM_FALLIBLE sm_key_of_openssl(struct evp_pkey_st *pkey, sm_key **out);

sm_key *sm_key_attach(sm_key *key);
void sm_key_detach(sm_key **key);

enum sm_key_type sm_key_get_type(const sm_key *key);
/* DER; borrowed from the key. */
const struct sm_public_key *sm_key_public(const sm_key *key);
const char *sm_key_uri(const sm_key *key);
/* Verify every signature before it leaves, against faults of the processor (off by default: it
 * costs a verification; RSA signatures are always checked). Any thread; jobs that run already may
 * miss it. */
void sm_key_set_check(sm_key *key, bool on);
/* The same where a key has several users: each that wants it says so in this round (a number that comes once); then the key is
 * settled, off if nobody did. It is never off in between. */
void sm_key_want_check(sm_key *key, uint64_t round);
void sm_key_settle_check(sm_key *key, uint64_t round);

/* What signs with it ("multi-buffer", "openssl", "pkcs11"), and why in words; static. */
const char *sm_key_backend(const sm_key *key, const char **why);

/* What a token says of a key (PKCS#11 4.9: CKA_SENSITIVE and so on). */
struct sm_token_says {
    bool sensitive;
    bool extractable;
    bool always_sensitive;
    bool never_extractable;
    bool local; /* made in the token */
    bool always_authenticate;
};

/* A key as one of the tokens holds it. */
struct sm_key_on_token {
    const char *token; /* label or serial; lives as long as the tokens */
    bool up;
    bool seen; /* the key was looked at there: `says` is known */
    struct sm_token_says says;
};
/* How many tokens may hold it: 0 for a software key. Any thread. */
size_t sm_key_token_count(const sm_key *key);
void sm_key_token_facts(const sm_key *key, size_t at, struct sm_key_on_token *out);

/* Writes the key as unencrypted PKCS#8 in PEM, mode 0600: for TLS keys that `sealmill dev` makes
 * for its listeners and clients, never for a CA's. Errors: DISK, CRYPTO. */
SM_FALLIBLE sm_key_write_pem(const sm_key *key, const char *path, sm_diag *diag);
