/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Algorithms: key types, signature algorithms, their AlgorithmIdentifiers and sizes.
 *
 * Threads:   constant tables.
 * Limits:    SM_SIGNATURE_MAX.
 * Security:  no SHA-1 or MD5 signature is in the table; a CSR signed so is refused.
 * Standards: RFC 3279, 4055, 5480, 5758, 8410, 9881 (ML-DSA).
 */
#pragma once

#include "base/err.h"
#include "base/slice.h"

#define SM_SIGNATURE_MAX 4627 /* ML-DSA-87 (FIPS 204) */
#define SM_DIGEST_MAX 64

/* Numbers equal sealmill.v1.KeyType. */
enum sm_key_type {
    SM_KEY_NONE = 0,
    SM_KEY_P256 = 1,
    SM_KEY_P384 = 2,
    SM_KEY_P521 = 3,
    SM_KEY_RSA_2048 = 4,
    SM_KEY_RSA_3072 = 5,
    SM_KEY_RSA_4096 = 6,
    SM_KEY_ED25519 = 7,
    SM_KEY_ED448 = 8,
    SM_KEY_ML_DSA_44 = 9,
    SM_KEY_ML_DSA_65 = 10,
    SM_KEY_ML_DSA_87 = 11,
    SM_KEY_TYPE_COUNT,
};

/* Numbers equal sealmill.v1.DigestAlgorithm. */
enum sm_digest { SM_DIGEST_NONE = 0, SM_SHA256 = 1, SM_SHA384 = 2, SM_SHA512 = 3, SM_DIGEST_COUNT };

enum sm_sig_alg {
    SM_SIG_NONE = 0,
    SM_SIG_ECDSA_SHA256,
    SM_SIG_ECDSA_SHA384,
    SM_SIG_ECDSA_SHA512,
    SM_SIG_RSA_SHA256,
    SM_SIG_RSA_SHA384,
    SM_SIG_RSA_SHA512,
    SM_SIG_PSS_SHA256, /* MGF1 with the same hash, salt as long as the hash (RFC 4055 3.1) */
    SM_SIG_PSS_SHA384,
    SM_SIG_PSS_SHA512,
    SM_SIG_ED25519,
    SM_SIG_ED448,
    SM_SIG_ML_DSA_44,
    SM_SIG_ML_DSA_65,
    SM_SIG_ML_DSA_87,
    SM_SIG_ALG_COUNT,
};

/* "P-256", "RSA-2048", ... ; static. */
const char *sm_key_type_name(enum sm_key_type type);
/* Accepts our names in either case, "ec-p256", "rsa2048", "ed25519", "ml-dsa-65". NONE when
 * unknown. */
enum sm_key_type sm_key_type_parse(sm_slice text);
const char *sm_sig_alg_name(enum sm_sig_alg alg);

/* The whole AlgorithmIdentifier in DER, as written into certificates; static. */
sm_slice sm_sig_alg_identifier(enum sm_sig_alg alg);
/* From the content of an AlgorithmIdentifier (OID and parameters). RSA with absent parameters
 * instead of NULL is taken (RFC 4055 5), and so are the hashes of PSS without NULL. Errors:
 * UNSUPPORTED (PSS with another salt or mask hash too), MALFORMED (parameters present where they
 * must be absent, RFC 5758 3.2, or wrong ones). */
SM_FALLIBLE sm_sig_alg_parse(sm_slice algorithm_identifier, enum sm_sig_alg *out);
/* The hash it signs, NONE for EdDSA and ML-DSA, which take the whole message. */
enum sm_digest sm_sig_alg_digest(enum sm_sig_alg alg);
bool sm_sig_alg_fits(enum sm_sig_alg alg, enum sm_key_type type);
/* The algorithm for a key with a wished digest (NONE: the usual). SIG_NONE when they do not fit. */
enum sm_sig_alg sm_sig_alg_for(enum sm_key_type type, enum sm_digest digest, bool pss);
/* Longest signature of the algorithm under that type of key (DER for ECDSA). */
size_t sm_sig_size_max(enum sm_sig_alg alg, enum sm_key_type type);
size_t sm_digest_size(enum sm_digest digest);

/* One-shot hash; neither allocates nor looks anything up. Errors: UNSUPPORTED for SM_DIGEST_NONE.
 */
SM_FALLIBLE sm_digest_compute(enum sm_digest digest, sm_slice data, uint8_t out[SM_DIGEST_MAX]);
/* SHA-1, for key identifiers and CertIDs alone (RFC 5280 4.2.1.2, RFC 6960 4.1.1). */
SM_FALLIBLE sm_sha1(sm_slice data, uint8_t out[20]);
