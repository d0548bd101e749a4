/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside sign: what a sm_key is.
 *
 * Threads:   immutable but for the count.
 * Limits:    none.
 * Security:  the EVP_PKEY stays in this folder.
 * Standards: none.
 */
#pragma once

#include "sign/key.h"

#include <openssl/evp.h>
#include <stdatomic.h>

struct sm_key {
    _Atomic uint32_t refs;
    enum sm_key_type type;
    EVP_PKEY *pkey;
    uint8_t *spki;
    struct sm_public_key public_key; /* borrows spki */
    char *uri;
};

/* Wraps `pkey` (taken on success). `uri` is copied, may be NULL. Errors: UNSUPPORTED, NO_MEMORY, CRYPTO. */
SM_FALLIBLE sm_key_wrap(EVP_PKEY *pkey, const char *uri, sm_key **out);

/* Names OpenSSL's type; NULL for NONE. */
const char *sm_key_openssl_name(enum sm_key_type type);
