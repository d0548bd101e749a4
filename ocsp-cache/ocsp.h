/* SPDX-License-Identifier: Apache-2.0 */
/*
 * OCSP messages: requests read, responses written. Signing and look-ups are the caller's.
 *
 * Threads:   no state.
 * Limits:    SM_OCSP_REQUEST_MAX octets, SM_OCSP_CERTS_MAX CertIDs.
 * Security:  the reader is strict DER; a nonce is echoed only within RFC 9654's sizes.
 * Standards: RFC 6960 4.1, 4.2; RFC 9654.
 */
#pragma once

#include "base/buf.h"
#include "base/err.h"
#include "base/slice.h"
#include "sign/alg.h"

#define SM_OCSP_REQUEST_MAX 16384
#define SM_OCSP_CERTS_MAX 16
#define SM_OCSP_NONCE_MAX 128   /* RFC 9654 2.1 */
#define SM_OCSP_PREFERRED_MAX 8 /* algorithms that we know; the client's first ones count */

enum sm_ocsp_hash { SM_OCSP_SHA1, SM_OCSP_SHA256, SM_OCSP_OTHER };

struct sm_ocsp_cert_id {
    sm_slice der; /* the whole CertID, for the answer */
    enum sm_ocsp_hash hash;
    sm_slice name_hash;
    sm_slice key_hash;
    sm_slice serial; /* magnitude */
};

struct sm_ocsp_request {
    struct sm_ocsp_cert_id certs[SM_OCSP_CERTS_MAX];
    size_t count;
    sm_slice nonce; /* content of the OCTET STRING; ptr NULL: none */
    /* RFC 6960 4.4.7: the client's preferred ones first; those that we do not know are left out. */
    enum sm_sig_alg preferred[SM_OCSP_PREFERRED_MAX];
    size_t preferred_count;
};

/* Errors: MALFORMED; TOO_LARGE (more CertIDs than the limit). */
SM_FALLIBLE sm_ocsp_request_parse(sm_slice der, struct sm_ocsp_request *out);

enum sm_ocsp_status { SM_OCSP_GOOD, SM_OCSP_REVOKED, SM_OCSP_UNKNOWN };

struct sm_ocsp_single {
    sm_slice cert_id; /* DER */
    enum sm_ocsp_status status;
    int64_t revoked_at;
    int reason; /* -1: none */
    int64_t this_update;
    int64_t next_update;
    int64_t archive_cutoff; /* RFC 6960 4.4.4; 0: none */
};

struct sm_ocsp_response_data {
    sm_slice responder; /* ResponderID, DER */
    int64_t produced_at;
    const struct sm_ocsp_single *singles;
    size_t count;
    sm_slice nonce;        /* ptr NULL: none */
    bool extended_revoked; /* RFC 6960 4.4.8: one is revoked that was never issued */
};

/* Appends ResponseData, the octets that are signed. */
SM_FALLIBLE sm_ocsp_write_data(sm_buf *out, const struct sm_ocsp_response_data *data);
/* Appends the whole OCSPResponse (successful) around it. `certificate` DER of the responder;
 * empty: the CA signed itself. */
SM_FALLIBLE sm_ocsp_write_response(sm_buf *out, sm_slice data, enum sm_sig_alg alg,
                                   sm_slice signature, sm_slice certificate);

enum sm_ocsp_error {
    SM_OCSP_MALFORMED = 1,
    SM_OCSP_INTERNAL = 2,
    SM_OCSP_TRY_LATER = 3,
    SM_OCSP_SIG_REQUIRED = 5,
    SM_OCSP_UNAUTHORIZED = 6
};
/* The five octets of an unsigned error response; static. */
sm_slice sm_ocsp_error_response(enum sm_ocsp_error error);
