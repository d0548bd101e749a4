/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Key files sealed and opened under a passphrase: PKCS#8 EncryptedPrivateKeyInfo, PBES2 with scrypt and AES-256-CBC,
 * which openssl pkey reads too.
 *
 * scrypt is meant to be slow, and the passphrase is one for a whole folder: its files share their salt and with it one
 * derived key, each with an initialisation vector of its own. Ten thousand files cost one derivation. Who has the
 * folder has to guess one passphrase either way; the salt keeps guesses from serving for two folders.
 *
 * Threads:   any; a lock covers the derived keys.
 * Limits:    SM_SEAL_KEPT derived keys: files from elsewhere bring salts of their own.
 * Security:  derived keys are wiped with the sealer, and when others take their place.
 * Standards: RFC 5958, RFC 7914, RFC 8018 6.2.
 */
#pragma once

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
