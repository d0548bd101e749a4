/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A CRL of another CA, read.
 *
 * Threads:   no state.
 * Limits:    none of its own: one pass over the octets.
 * Security:  strict DER; critical extensions that are not named here are refused, and so are indirect CRLs
 *            and those of some reasons alone. The signature is the caller's to verify.
 * Standards: RFC 5280 5.
 */
#pragma once

#include "base/diag.h"
#include "base/err.h"
#include "base/slice.h"
#include "sign/alg.h"
#include "sign/der.h"

/* Slices borrow from the DER. */
struct sm_crl_read {
    sm_slice tbs;
    enum sm_sig_alg sig_alg; /* NONE: one that we do not know */
    sm_slice signature;
    sm_slice issuer; /* Name, DER */
    int64_t this_update;
    int64_t next_update; /* 0: none */
    sm_slice entries;    /* see sm_crl_read_next */
    size_t count;
    sm_slice number;        /* magnitude; empty: none */
    bool is_delta;          /* it has what has changed since `base_number` */
    sm_slice base_number;   /* magnitude */
    sm_slice distribution;  /* issuingDistributionPoint's value; empty: none */
    bool some_certificates; /* users', CAs' or attribute certificates alone (RFC 5280 5.2.5) */
};

struct sm_crl_read_entry {
    sm_slice serial; /* magnitude */
    int64_t revoked_at;
    int reason;              /* CRLReason; -1: none */
    int64_t invalidity_date; /* 0: none */
};

/* The DER in what is DER or a PEM block "X509 CRL"; borrowed from `text`, or in `scratch`. Errors: MALFORMED, NO_MEMORY,
 * the buffer's own. */
SM_FALLIBLE sm_crl_read_pem_or_der(sm_slice text, sm_buf *scratch, sm_slice *der, sm_diag *diag);

/* Reads all of it, entries too. Errors: MALFORMED, TRUNCATED, UNSUPPORTED; diag says why. */
SM_FALLIBLE sm_crl_read_parse(sm_slice der, struct sm_crl_read *out, sm_diag *diag);
/* The next entry of `cursor` (sm_der_init(crl->entries)); false at the end. */
bool sm_crl_read_next(sm_der *cursor, struct sm_crl_read_entry *out);
