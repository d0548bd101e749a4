/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Key pairs made for somebody else, who cannot make good ones himself, and the requests for their certificates.
 *
 * Threads:   any that may take its time: an RSA-4096 key takes seconds.
 * Limits:    SM_SERVER_KEY_MAX octets of PKCS#8, SM_SERVER_KEY_ENVELOPE_MAX of one in its envelope.
 * Security:  the private key is in the caller's secret buffer and nowhere else; it is wiped with it.
 * Standards: RFC 7030 4.4, RFC 5958, RFC 2986, RFC 4108 2.2.5.
 */
#pragma once

#include "base/buf.h"
#include "base/diag.h"
#include "sign/alg.h"
#include "sign/cms.h"
#include "sign/pkcs8.h"

#define SM_SERVER_KEY_MAX SM_PKCS8_MAX
#define SM_SERVER_KEY_ENVELOPE_MAX (128U << 10) /* the signer's chain is most of it */

/* What a request says; slices of it. Its key and its signature say nothing but which type is wished for (RFC 7030 4.4). */
struct sm_server_key_wish {
    sm_slice subject;      /* Name, DER */
    sm_slice attributes;   /* content of [0]; empty: none */
    enum sm_key_type type; /* SM_KEY_NONE: one that we do not know */
    /* The key that it wants the answer encrypted with; ptr NULL: none (RFC 7030 4.4.1). */
    sm_slice decrypt_key_id;
    bool asymmetric;                     /* AsymmetricDecryptKeyIdentifier */
    struct sm_cms_algorithms algorithms; /* of the encryption */
    bool no_cipher;                      /* none of those that it names is one of ours */
};

/* Errors: MALFORMED, TRUNCATED, UNSUPPORTED (SMIMECapabilities without an algorithm of ours), INVALID (two keys for the
 * encryption, or an identifier that is empty or over SM_CMS_ID_MAX); diag says of what. */
SM_FALLIBLE sm_server_key_wish_read(sm_slice csr, struct sm_server_key_wish *out, sm_diag *diag);
/* A new key as PKCS#8 in `pkcs8` (a secret buffer), and a request with the wish's subject and attributes, signed with it,
 * in `csr`. Appended. Errors: UNSUPPORTED (the type), CRYPTO, NO_MEMORY, the buffers' own. */
SM_FALLIBLE sm_server_key_make(enum sm_key_type type, const struct sm_server_key_wish *wish,
                               sm_buf *pkcs8, sm_buf *csr);
/* ContentInfo with EnvelopedData for `recipient` around SignedData of `signer` around an AsymmetricKeyPackage with `pkcs8`
 * (RFC 7030 4.4.2, RFC 5958 2), appended. Errors: those of sm_cms_sign and sm_cms_envelop. */
SM_FALLIBLE sm_server_key_envelop(sm_slice pkcs8, const struct sm_cms_signer *signer,
                                  const struct sm_cms_recipient *recipient,
                                  const struct sm_cms_algorithms *algorithms, int64_t now_s,
                                  sm_buf *out);
