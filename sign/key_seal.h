/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Key files sealed and opened under a passphrase: PKCS#8 EncryptedPrivateKeyInfo, PBES2 with scrypt and AES-256-CBC,
 * which openssl pkey reads too.
 *
 * scrypt is meant to be slow, and the passphrase is one for a whole folder: its files share their salt and with it one
 * derived key, each with an initialisation vector of its own. Ten thousand files cost one derivation. Who has the
 * folder has to guess one passphrase either way; the salt keeps guesses from serving for two folders.
 *
 * Other secrets that are kept in the store are sealed under a key of their own, derived from the same: AES-256-GCM, bound to
 * what they are.
 *
 * Threads:   any; a lock covers the derived keys.
 * Limits:    SM_SEAL_KEPT derived keys: files from elsewhere bring salts of their own. SM_SEALED_SECRET_MAX octets of a secret.
 * Security:  derived keys are wiped with the sealer, and when others take their place.
 * Standards: RFC 5958, RFC 7914, RFC 8018 6.2; RFC 5869, NIST SP 800-38D.
 */
#pragma once

#include "base/buf.h"
#include "base/err.h"
#include "base/slice.h"

#include <openssl/x509.h>

#define SM_SEAL_KEPT 4

typedef struct sm_key_sealer sm_key_sealer;

/* `passphrase` is borrowed until free. Errors: NO_MEMORY. Given. */
SM_FALLIBLE sm_key_sealer_new(sm_slice passphrase, sm_key_sealer **out);
void sm_key_sealer_free(sm_key_sealer **sealer);

/* Given; NULL: out of memory, or OpenSSL refuses. */
X509_SIG *sm_key_seal(sm_key_sealer *sealer, EVP_PKEY *pkey);
/* Given. Whatever OpenSSL reads is read. Errors: FORBIDDEN (another passphrase, or damaged, which cannot be told apart),
 * NO_MEMORY. */
SM_FALLIBLE sm_key_unseal(sm_key_sealer *sealer, const X509_SIG *sealed, PKCS8_PRIV_KEY_INFO **out);

#define SM_SEALED_SECRET_MAX 4096

/* Appends `secret`, sealed: it opens only where `context` (what it is, of which record) is the same. Errors: TOO_LARGE, CRYPTO,
 * the buffer's own. */
SM_FALLIBLE sm_secret_seal(sm_key_sealer *sealer, sm_slice context, sm_slice secret, sm_buf *out);
/* Appends what was sealed to a secret buffer. Errors: FORBIDDEN (another passphrase or context, or damaged), CRYPTO, the
 * buffer's own. */
SM_FALLIBLE sm_secret_unseal(sm_key_sealer *sealer, sm_slice context, sm_slice sealed, sm_buf *out);
