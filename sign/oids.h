/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Object identifiers that sealmill knows, as content octets.
 *
 * Threads:   constants.
 * Limits:    none.
 * Security:  none.
 * Standards: RFC 5280 appendix A, RFC 2985, RFC 6402, RFC 6960, RFC 7633, RFC 7894 and those of
 *            alg.h and cms.h.
 */
#pragma once

#include "base/slice.h"

#define SM_OID_LIST(X)                                                      \
    X(CN, "\x55\x04\x03")                                                   \
    X(SUBJECT_KEY_ID, "\x55\x1d\x0e")                                       \
    X(KEY_USAGE, "\x55\x1d\x0f")                                            \
    X(SUBJECT_ALT_NAME, "\x55\x1d\x11")                                     \
    X(BASIC_CONSTRAINTS, "\x55\x1d\x13")                                    \
    X(CRL_NUMBER, "\x55\x1d\x14")                                           \
    X(CRL_REASON, "\x55\x1d\x15")                                           \
    X(INVALIDITY_DATE, "\x55\x1d\x18")                                      \
    X(DELTA_CRL, "\x55\x1d\x1b")                                            \
    X(ISSUING_DP, "\x55\x1d\x1c")                                           \
    X(NAME_CONSTRAINTS, "\x55\x1d\x1e")                                     \
    X(CRL_DP, "\x55\x1d\x1f")                                               \
    X(CERTIFICATE_POLICIES, "\x55\x1d\x20")                                 \
    X(AUTHORITY_KEY_ID, "\x55\x1d\x23")                                     \
    X(FRESHEST_CRL, "\x55\x1d\x2e")                                         \
    X(EKU, "\x55\x1d\x25")                                                  \
    X(AIA, "\x2b\x06\x01\x05\x05\x07\x01\x01")                              \
    X(TLS_FEATURE, "\x2b\x06\x01\x05\x05\x07\x01\x18")                      \
    X(AD_OCSP, "\x2b\x06\x01\x05\x05\x07\x30\x01")                          \
    X(AD_CA_ISSUERS, "\x2b\x06\x01\x05\x05\x07\x30\x02")                    \
    X(OCSP_BASIC, "\x2b\x06\x01\x05\x05\x07\x30\x01\x01")                   \
    X(OCSP_NONCE, "\x2b\x06\x01\x05\x05\x07\x30\x01\x02")                   \
    X(OCSP_NO_CHECK, "\x2b\x06\x01\x05\x05\x07\x30\x01\x05")                \
    X(OCSP_CUTOFF, "\x2b\x06\x01\x05\x05\x07\x30\x01\x06")                  \
    X(OCSP_PREFERRED, "\x2b\x06\x01\x05\x05\x07\x30\x01\x08")               \
    X(OCSP_EXTENDED_REVOKE, "\x2b\x06\x01\x05\x05\x07\x30\x01\x09")         \
    X(EKU_OCSP_SIGNING, "\x2b\x06\x01\x05\x05\x07\x03\x09")                 \
    X(CPS, "\x2b\x06\x01\x05\x05\x07\x02\x01")                              \
    X(DECRYPT_KEY_ID, "\x2a\x86\x48\x86\xf7\x0d\x01\x09\x10\x02\x25")       \
    X(ASYMM_DECRYPT_KEY_ID, "\x2a\x86\x48\x86\xf7\x0d\x01\x09\x10\x02\x36") \
    X(CHALLENGE_PASSWORD, "\x2a\x86\x48\x86\xf7\x0d\x01\x09\x07")           \
    X(CSR_TEMPLATE, "\x2a\x86\x48\x86\xf7\x0d\x01\x09\x10\x02\x3d")         \
    X(EXTENSION_TEMPLATE, "\x2a\x86\x48\x86\xf7\x0d\x01\x09\x10\x02\x3e")   \
    X(EXTENSION_REQUEST, "\x2a\x86\x48\x86\xf7\x0d\x01\x09\x0e")            \
    X(MS_EXTENSION_REQUEST, "\x2b\x06\x01\x04\x01\x82\x37\x02\x01\x0e")     \
    X(EST_LINKING, "\x2a\x86\x48\x86\xf7\x0d\x01\x09\x10\x02\x3a")          \
    X(CHANGE_NAME, "\x2b\x06\x01\x05\x05\x07\x07\x24")                      \
    X(RSA_ENCRYPTION, "\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01")               \
    X(EC_PUBLIC_KEY, "\x2a\x86\x48\xce\x3d\x02\x01")                        \
    X(P256, "\x2a\x86\x48\xce\x3d\x03\x01\x07")                             \
    X(P384, "\x2b\x81\x04\x00\x22")                                         \
    X(P521, "\x2b\x81\x04\x00\x23")                                         \
    X(ED25519, "\x2b\x65\x70")                                              \
    X(ED448, "\x2b\x65\x71")                                                \
    X(SHA1, "\x2b\x0e\x03\x02\x1a")                                         \
    X(DATA, "\x2a\x86\x48\x86\xf7\x0d\x01\x07\x01")                         \
    X(SIGNED_DATA, "\x2a\x86\x48\x86\xf7\x0d\x01\x07\x02")                  \
    X(ENVELOPED_DATA, "\x2a\x86\x48\x86\xf7\x0d\x01\x07\x03")               \
    X(KEY_PACKAGE, "\x60\x86\x48\x01\x65\x02\x01\x02\x4e\x05")              \
    X(CONTENT_TYPE, "\x2a\x86\x48\x86\xf7\x0d\x01\x09\x03")                 \
    X(MESSAGE_DIGEST, "\x2a\x86\x48\x86\xf7\x0d\x01\x09\x04")               \
    X(SIGNING_TIME, "\x2a\x86\x48\x86\xf7\x0d\x01\x09\x05")                 \
    X(SMIME_CAPABILITIES, "\x2a\x86\x48\x86\xf7\x0d\x01\x09\x0f")           \
    X(RSAES_OAEP, "\x2a\x86\x48\x86\xf7\x0d\x01\x01\x07")                   \
    X(MGF1, "\x2a\x86\x48\x86\xf7\x0d\x01\x01\x08")                         \
    X(AES_128_CBC, "\x60\x86\x48\x01\x65\x03\x04\x01\x02")                  \
    X(AES_128_WRAP, "\x60\x86\x48\x01\x65\x03\x04\x01\x05")                 \
    X(AES_192_CBC, "\x60\x86\x48\x01\x65\x03\x04\x01\x16")                  \
    X(AES_192_WRAP, "\x60\x86\x48\x01\x65\x03\x04\x01\x19")                 \
    X(AES_256_CBC, "\x60\x86\x48\x01\x65\x03\x04\x01\x2a")                  \
    X(AES_256_WRAP, "\x60\x86\x48\x01\x65\x03\x04\x01\x2d")                 \
    X(DH_SHA256_KDF, "\x2b\x81\x04\x01\x0b\x01")                            \
    X(DH_SHA384_KDF, "\x2b\x81\x04\x01\x0b\x02")                            \
    X(DH_SHA512_KDF, "\x2b\x81\x04\x01\x0b\x03")                            \
    X(SHA384, "\x60\x86\x48\x01\x65\x03\x04\x02\x02")                       \
    X(SHA512, "\x60\x86\x48\x01\x65\x03\x04\x02\x03")                       \
    X(SHA256, "\x60\x86\x48\x01\x65\x03\x04\x02\x01")

#define X(name, octets)                 \
    static const sm_slice SM_OID_##name \
        __attribute__((unused)) = {(const uint8_t *)(octets), sizeof(octets) - 1};
SM_OID_LIST(X)
#undef X
