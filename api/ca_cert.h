/* SPDX-License-Identifier: Apache-2.0 */
/*
 * CA certificates: roots, subordinates, their CSRs and OCSP responders' certificates.
 *
 * Threads:   service threads (signs with sm_sign_now).
 * Limits:    SM_CA_SUBTREES_MAX, SM_CA_URLS_MAX.
 * Security:  the caller has checked rights.
 * Standards: RFC 5280 4.2.1.9, 4.2.1.3; RFC 6960 4.2.2.2.
 */
#pragma once

#include "api/world.h"
#include "gen/sealmill/v1/ca.pb-c.h"

/* Name constraints of each kind: verifiers compare each name with each of them. */
#define SM_CA_SUBTREES_MAX 32
#define SM_CA_URLS_MAX 16 /* of each kind, as in profiles: relying parties try a few */

struct sm_ca_cert_request {
    const Sealmill__V1__CreateCaRequest *request;
    sm_slice subject;             /* Name, DER */
    sm_key *key;                  /* the new CA's */
    sm_key *issuer_key;           /* its own for a root */
    const struct sm_cert *issuer; /* NULL for a root */
    const char *issuer_name;      /* the parent's */
    uint32_t issuer_id;           /* the issuing CA's, its own for a root; and the generation */
    uint32_t issuer_generation;
    int64_t validity_s;
    /* Of a link certificate (RFC 4210 4.4): the other generation's key, and its own times in Unix
     * seconds, which need not lie in the issuer's. Else NULL, 0, 0. */
    const struct sm_public_key *linked_key;
    int64_t not_before;
    int64_t not_after;
};

/* What of a request a certificate cannot say; `validity_s` is the request's or a rollover's, 0: the
 * default. Errors: TOO_LARGE, OUT_OF_RANGE with the field. Any thread. */
SM_FALLIBLE sm_ca_request_check(const Sealmill__V1__CreateCaRequest *r, int64_t validity_s,
                                sm_diag *diag);
/* A CA certificate, DER in `arena`. Errors: those of the check, of signing. */
SM_FALLIBLE sm_ca_cert_make(const struct sm_ca_cert_request *r, sm_arena *arena, sm_slice *out,
                            sm_diag *diag);
/* PKCS#10 for an external signer. */
SM_FALLIBLE sm_ca_csr_make(sm_slice subject, sm_key *key, sm_arena *arena, sm_slice *out);
/* A delegated OCSP responder's certificate: EKU OCSPSigning, id-pkix-ocsp-nocheck. */
SM_FALLIBLE sm_ocsp_cert_make(const struct sm_cert *issuer, sm_key *issuer_key, sm_key *key,
                              int64_t validity_s, sm_arena *arena, sm_slice *out);

/* An end-entity certificate outside the pipeline: OCSP responders, and the first TLS
 * certificates of a dev instance. */
struct sm_leaf_request {
    const struct sm_cert *issuer;
    sm_key *issuer_key;
    sm_key *key;
    const char *subject; /* "CN=..." */
    const struct sm_san *sans;
    size_t san_count;
    const sm_slice *eku;
    size_t eku_count;
    bool ocsp_no_check;
    int64_t validity_s;
};
SM_FALLIBLE sm_leaf_cert_make(const struct sm_leaf_request *r, sm_arena *arena, sm_slice *out);
