/* SPDX-License-Identifier: Apache-2.0 */
/*
 * CMS that is written: SignedData around some content, EnvelopedData around it for one recipient.
 *
 * OpenSSL's own CMS leaves copies of what it encrypts in memory that it frees unwiped; here everything secret is in the
 * caller's secret buffers and in OpenSSL's cipher contexts, which are wiped.
 *
 * Threads:   any; RSA and key agreement take their time.
 * Limits:    SM_CMS_ID_MAX octets of a recipient's identifier, SM_CMS_CHAIN_MAX certificates.
 * Security:  content keys and ephemeral keys are made for one message and wiped.
 * Standards: RFC 5652, RFC 3565 (AES), RFC 8017 and RFC 4055 (RSAES-OAEP), RFC 5753 (key agreement), RFC 8419 (Ed25519), RFC 9882
 *            (ML-DSA), RFC 8551 2.5.2 (SMIMECapabilities).
 */
#pragma once

#include "base/buf.h"
#include "base/diag.h"
#include "sign/key.h"

#define SM_CMS_ID_MAX 64
#define SM_CMS_CHAIN_MAX 8

/* ---- SignedData ---- */

struct sm_cms_signer {
    sm_key *key;
    sm_slice certificate;  /* DER, of `key` */
    const sm_slice *chain; /* what stands beside it, DER */
    size_t chain_count;
};

/* Appends SignedData, without a ContentInfo around it, with contentType, signingTime and messageDigest signed (RFC 5652 5, 11).
 * Errors: INVALID (the certificate is none, or another key's), UNSUPPORTED (Ed448, too), CRYPTO, NO_MEMORY, TOO_LARGE. */
SM_FALLIBLE sm_cms_sign(const struct sm_cms_signer *signer, sm_slice content_type, sm_slice content,
                        int64_t now_s, sm_buf *out);

/* ---- EnvelopedData ---- */

enum sm_cms_cipher { SM_CMS_AES_128_CBC, SM_CMS_AES_192_CBC, SM_CMS_AES_256_CBC };

/* What the recipient can read. */
struct sm_cms_algorithms {
    enum sm_cms_cipher cipher;
    bool pkcs1;         /* RSAES-PKCS1-v1_5 instead of RSAES-OAEP with SHA-256 */
    enum sm_digest kdf; /* of the key agreement; NONE: as strong as the curve */
};

/* The first of each kind that stands in SMIMECapabilities; without any of the kind (or of any), AES-256-CBC, RSAES-OAEP and
 * the curve's own hash. Errors: MALFORMED, TRUNCATED; UNSUPPORTED: it names algorithms, and none for content that is
 * written here. */
SM_FALLIBLE sm_cms_algorithms_read(sm_slice capabilities, struct sm_cms_algorithms *out);

/* Exactly one of `secret` and `public_key`. */
struct sm_cms_recipient {
    sm_slice id;         /* KEKIdentifier's keyIdentifier, or subjectKeyIdentifier */
    sm_slice secret;     /* a key of AES: 16, 24 or 32 octets */
    sm_slice public_key; /* SubjectPublicKeyInfo: RSA, or P-256, P-384, P-521 */
};

/* Appends ContentInfo with EnvelopedData around `content` (secret), whose type is `content_type` (RFC 5652 6). Errors:
 * UNSUPPORTED (the recipient's key), CRYPTO, NO_MEMORY, TOO_LARGE. */
SM_FALLIBLE sm_cms_envelop(const struct sm_cms_recipient *recipient,
                           const struct sm_cms_algorithms *algorithms, sm_slice content_type,
                           sm_slice content, sm_buf *out);
