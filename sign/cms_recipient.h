/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside CMS: RecipientInfo, the content's key for who may read it.
 *
 * Threads:   any.
 * Limits:    none.
 * Security:  the key that the content's key is encrypted with is wiped.
 * Standards: RFC 5652 6.2, RFC 5753.
 */
#pragma once

#include "sign/cms.h"

#define SM_CMS_KEY_MAX 32 /* AES-256 */

/* Octets of the cipher's key. */
size_t sm_cms_key_len(enum sm_cms_cipher cipher);
/* Appends the one RecipientInfo that says `key`. Errors: UNSUPPORTED, CRYPTO, NO_MEMORY. */
SM_FALLIBLE sm_cms_recipient_write(const struct sm_cms_recipient *recipient,
                                   const struct sm_cms_algorithms *algorithms, sm_slice key,
                                   sm_buf *out);
