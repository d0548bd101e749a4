/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An OCSP response of another responder, read: one that says one thing about one certificate.
 *
 * Threads:   no state.
 * Limits:    SM_OCSP_READ_CERTS_MAX certificates in it.
 * Security:  strict DER; critical extensions are refused. The signature is the caller's to verify.
 * Standards: RFC 6960 4.2.1; RFC 9919 (one SingleResponse, with nextUpdate).
 */
#pragma once

#include "base/diag.h"
#include "ocsp-cache/ocsp_single.h"
#include "sign/alg.h"

#define SM_OCSP_READ_CERTS_MAX 8

/* Slices borrow from the DER. */
struct sm_ocsp_response_read {
    sm_slice data; /* ResponseData, which is signed */
    enum sm_sig_alg sig_alg;
    sm_slice signature;
    sm_slice certificates[SM_OCSP_READ_CERTS_MAX]; /* DER each */
    size_t certificate_count;
    sm_slice by_name; /* Name, DER; else */
    sm_slice by_key;  /* SHA-1 of the key */
    struct sm_ocsp_cert_id cert_id;
    struct sm_ocsp_said said;
};

/* Errors: MALFORMED; UNSUPPORTED for what is well-formed and not of the kind above; diag says why. */
SM_FALLIBLE sm_ocsp_response_read(sm_slice der, struct sm_ocsp_response_read *out, sm_diag *diag);
