/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Keys that clients have said beforehand that private keys made for them are to be encrypted with.
 *
 * Threads:   blocks: service threads.
 * Limits:    SM_CMS_ID_MAX octets of an identifier.
 * Security:  secret keys are sealed under the key store's passphrase, bound to their identifier; a request that names a
 *            key that is not there, of the other kind, or another label's, is told the same.
 * Standards: RFC 7030 4.4.1, RFC 4108 2.2.5.
 */
#pragma once

#include "api/api.h"
#include "base/arena.h"
#include "sign/cms.h"

#define SM_DECRYPT_KEY_PREFIX "decrypt-key/"

/* The recipient of `id`, in the arena, but for a secret key, which is in `secret` (a secret buffer; it must outlive the
 * recipient). `asymmetric`: by AsymmetricDecryptKeyIdentifier. Errors: INVALID (there is none for this label), CORRUPT (sealed
 * under another passphrase, too), DISK, NO_MEMORY. */
SM_FALLIBLE sm_decrypt_key_find(sm_api *api, sm_slice id, bool asymmetric, const char *label,
                                sm_arena *arena, sm_buf *secret, struct sm_cms_recipient *out,
                                sm_diag *diag);
