/* SPDX-License-Identifier: Apache-2.0 */
/*
 * CRLs, made from the store's entries straight onto the disk.
 *
 * The entries are encoded into a file as they are read; then the TBSCertList around them, whose lengths are known by
 * then, is written into a second one, mapped, and signed; then the CRL. Memory holds one row at a time, so that a
 * million entries cost files of 40 MB and no more memory than ten do.
 *
 * Threads:   blocks: a thread of its own, or a service thread; one build of an issuer at a time.
 * Limits:    SM_CRL_BYTES_MAX.
 * Security:  the file is put in its place by a rename, whole. Whoever takes the number has made it durable
 *            before (crl_entry.h).
 * Standards: RFC 5280 5.1, 5.2.3 (cRLNumber), 5.2.4 (deltaCRLIndicator), 5.2.5
 *            (issuingDistributionPoint), 5.2.6 (freshestCRL), 5.3.
 */
#pragma once

#include "ocsp-cache/crl_entry.h"
#include "sign/key.h"

#define SM_CRL_BYTES_MAX (UINT64_C(2) << 30) /* some 50 million entries */

struct sm_crl_order {
    sm_store *store;
    struct sm_crl_scope scope;
    sm_slice issuer;           /* Name, DER */
    sm_slice authority_key_id; /* the CA's subjectKeyIdentifier; empty: none */
    sm_key *key;
    uint64_t number;
    int64_t this_update;
    int64_t next_update;
    /* A delta CRL: what has changed since the full CRL of this number, and its time. */
    bool is_delta;
    uint64_t base_number;
    int64_t base_time;
    /* Entries of certificates that had expired by then have been on a CRL since (RFC 5280 3.3); 0: none. */
    int64_t settled_at;
    sm_slice freshest_url; /* where the delta CRL is; empty: there is none */
    /* Of a partition: where certificates say that it is, the first one at least. */
    const sm_slice *own_urls;
    size_t own_url_count;
    const char *path; /* where it goes */
};

struct sm_crl_built {
    uint64_t entries;
    uint64_t bytes;
};

/* Errors: DISK, NO_MEMORY, CORRUPT (an entry), TOO_LARGE, those of signing. Nothing is left behind. */
SM_FALLIBLE sm_crl_build(const struct sm_crl_order *order, struct sm_crl_built *out, sm_diag *diag);
