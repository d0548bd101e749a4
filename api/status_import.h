/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The certificates of a CA that sealmill does not run: what a source says of them becomes rows
 * (ocsp-cache/ocsp_foreign.h), and what OCSP has said of them before is replaced with the row.
 *
 * What is revoked stays revoked, whatever a source says; a hold may end. So sources may come in any order, and
 * the same one twice.
 *
 * Threads:   blocking: service threads. One import is one thread's at a time; several may run.
 * Limits:    SM_IMPORT_WRITE_MAX entries in one write.
 * Security:  a row is written on condition that it is what it was read as. Certificates and CRLs are verified with the
 *            CA's key.
 * Standards: RFC 5280 5.
 */
#pragma once

#include "api/ocsp_responder.h"
#include "base/diag.h"
#include "ocsp-cache/crl_read.h"
#include "ocsp-cache/ocsp_foreign.h"

#define SM_IMPORT_WRITE_MAX 256 /* entries: with two signatures each 10 ms of a core */
#define SM_IMPORT_TRIES 8       /* of a read and conditional write, when others import the same */

struct sm_import_counts {
    uint64_t entries;
    uint64_t added;
    uint64_t changed;
    uint64_t unchanged;
    uint64_t kept_revoked;
    uint64_t released;
    uint64_t refused;
};

struct sm_import {
    /* ---- the caller fills ---- */
    sm_api *api;
    const char *ca_name;
    const char *caller; /* for the audit, as the next two */
    const char *source;
    sm_slice correlation_id;
    /* ---- results ---- */
    struct sm_import_counts counts;
    /* ---- private: between attach and detach ---- */
    sm_world *world;
    const struct sm_ca_generation *g;
};

/* The CA as it is now. Errors: NOT_FOUND, PRECONDITION (one that sealmill runs, or offline), in diag. */
SM_FALLIBLE sm_import_attach(struct sm_import *in, sm_diag *diag);
void sm_import_detach(struct sm_import *in);

struct sm_import_entry {
    sm_slice serial; /* 1 to SM_OCSP_SERIAL_MAX octets, without leading zeros */
    struct sm_ocsp_imported what;
    bool issued_only; /* it says nothing of the state */
    bool of_crl;      /* what.crl counts */
};

/* A certificate of the CA's; `der` is borrowed for as long as the entry. Errors: INVALID, with the reason in
 * diag. */
SM_FALLIBLE sm_import_certificate(const struct sm_import *in, sm_slice der,
                                  struct sm_import_entry *out, sm_diag *diag);
/* Writes what is new, durable and said by OCSP on return. Attached. Any number of entries; whole writes of them
 * may be done when it fails. Errors: DISK, CONFLICT, CORRUPT, QUEUE_FULL, DRAINING, NO_MEMORY. */
SM_FALLIBLE sm_import_apply(struct sm_import *in, const struct sm_import_entry *entries,
                            size_t count);

/* ---- a whole CRL, in steps ---- */

#define SM_IMPORT_CRL_MAX (64U << 20) /* octets: 1.7 million entries */
#define SM_IMPORT_CRL_STEP 1024       /* entries in a step */
#define SM_IMPORT_RELEASE_STEP 20000  /* rows looked at in a step */
#define SM_IMPORT_CLOCK_S 300         /* thisUpdate may be so far ahead */

struct sm_import_crl {
    struct sm_crl_read crl; /* borrows the octets */
    struct sm_ocsp_imported_crl now;
    uint64_t scope;
    sm_slice old_row; /* ptr NULL: none */
    uint8_t old_octets[SM_OCSP_IMPORTED_MAX];
    enum { SM_IMPORT_BEGIN, SM_IMPORT_ENTRIES, SM_IMPORT_RELEASE, SM_IMPORT_END } state;
    sm_der cursor;
    uint8_t from[SM_OCSP_FOREIGN_KEY_MAX + 1]; /* the release's place */
    size_t from_len;
};

/* Verifies it, and that it is not older than the last one. Attached. Errors: MALFORMED, UNSUPPORTED, INVALID (not the
 * CA's), BAD_SIGNATURE, PRECONDITION (its number or time goes back; a delta whose base is missing). */
SM_FALLIBLE sm_import_crl_begin(struct sm_import *in, struct sm_import_crl *c, sm_slice der,
                                sm_diag *diag);
/* Some of it; `*more`: call again. Attached. Errors: those of sm_import_apply. */
SM_FALLIBLE sm_import_crl_step(struct sm_import *in, struct sm_import_crl *c, bool *more);
