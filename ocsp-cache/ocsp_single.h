/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The pre-signed answer about one certificate: kept as what was said of it and the raw signature,
 * made into the octets that were signed each time it is served.
 *
 * What is the same in all answers of a responder (its name, its certificate, the algorithm) and in all
 * answers about an issuer's certificates (the CertID without the serial number) is kept once. The same
 * writer makes the octets for signing and for serving, so that they cannot differ; its layout has a
 * number, SM_OCSP_LAYOUT, which is kept with each answer.
 *
 * Threads:   no state.
 * Limits:    SM_OCSP_DATA_MAX, SM_OCSP_SIGNATURE_MAX.
 * Security:  SHA-1 is used for CertIDs and key identifiers alone, as RFC 6960 defines them.
 * Standards: RFC 6960 4.2.1; RFC 9919.
 */
#pragma once

#include "base/buf.h"
#include "ocsp-cache/ocsp.h"
#include "sign/key.h"

/* Of the writer; an answer of another layout is as none. */
#define SM_OCSP_LAYOUT 1
#define SM_OCSP_SIGNATURE_MAX SM_SIGNATURE_MAX
/* A ResponseData: its parts have at most 200 octets besides the responder's name. */
#define SM_OCSP_DATA_MAX (200 + SM_OCSP_RESPONDER_MAX)
#define SM_OCSP_RESPONDER_MAX 1024 /* ResponderID; a longer name is told by key */
#define SM_OCSP_SERIAL_MAX 20      /* RFC 5280 4.1.2.2 */
#define SM_OCSP_HASHES 2           /* SM_OCSP_SHA1, SM_OCSP_SHA256 */

/* Who signs answers. Immutable; its slices live as long as it does. */
struct sm_ocsp_signer {
    uint32_t id;           /* the first octets of SHA-256 over `responder` and its certificate */
    enum sm_sig_alg alg;   /* of its signatures */
    enum sm_key_type type; /* of its key */
    sm_slice responder;    /* ResponderID, DER */
    sm_slice certificate;  /* DER; empty: the CA signs itself */
    int64_t not_after;     /* no answer is good for longer */
    sm_key *key;           /* NULL: not at hand, or of the past: what it signed is still served */
};

/* Whose certificates are asked about: for each hash the CertID's content up to the serial number. */
struct sm_ocsp_issuer {
    uint32_t ca_id;
    uint32_t generation;
    uint8_t cert_id[SM_OCSP_HASHES][15 + 2 * 34];
    size_t cert_id_len[SM_OCSP_HASHES];
};

/* Fills it from the issuer's hashes (name and key, SHA-1 and SHA-256). */
void sm_ocsp_issuer_init(struct sm_ocsp_issuer *out, uint32_t ca_id, uint32_t generation,
                         const uint8_t name_sha1[20], const uint8_t key_sha1[20],
                         const uint8_t name_sha256[32], const uint8_t key_sha256[32]);

/* The whole CertID of a serial number. Appended. Errors: INVALID, the buffer's own. */
SM_FALLIBLE sm_ocsp_cert_id_write(const struct sm_ocsp_issuer *issuer, enum sm_ocsp_hash hash,
                                  sm_slice serial, sm_buf *out);

/* What an answer says; times in Unix seconds. */
struct sm_ocsp_said {
    enum sm_ocsp_status status;
    int reason;         /* CRLReason; -1: none */
    int64_t revoked_at; /* when revoked */
    int64_t produced_at;
    int64_t this_update;
    int64_t next_update;
};

struct sm_ocsp_kept {
    struct sm_ocsp_said said;
    uint32_t signer;    /* sm_ocsp_signer.id */
    sm_slice signature; /* r and s in their full width for ECDSA, else as it is; borrowed */
};

/* The octets to sign: ResponseData with one SingleResponse. Appended. `serial` is a magnitude of at
 * most SM_OCSP_SERIAL_MAX octets. Errors: INVALID (the serial number), the buffer's own. */
SM_FALLIBLE sm_ocsp_single_data(const struct sm_ocsp_issuer *issuer, enum sm_ocsp_hash hash,
                                sm_slice serial, const struct sm_ocsp_signer *signer,
                                const struct sm_ocsp_said *said, sm_buf *out);
/* The whole OCSPResponse around them. Appended. Errors: the same; CORRUPT (a signature of another
 * length than the signer's). */
SM_FALLIBLE sm_ocsp_single_response(const struct sm_ocsp_issuer *issuer, enum sm_ocsp_hash hash,
                                    sm_slice serial, const struct sm_ocsp_signer *signer,
                                    const struct sm_ocsp_kept *kept, sm_buf *out);

/* A signature as the key made it into what is kept, and its length; 0: it is not the signer's. */
size_t sm_ocsp_signature_keep(const struct sm_ocsp_signer *signer, sm_slice signature,
                              uint8_t out[SM_OCSP_SIGNATURE_MAX]);
/* Octets that a kept signature of this signer has at most (and always, but for RSA keys of unusual
 * sizes). */
size_t sm_ocsp_signature_room(const struct sm_ocsp_signer *signer);
