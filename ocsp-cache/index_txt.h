/* SPDX-License-Identifier: Apache-2.0 */
/*
 * OpenSSL's index.txt (openssl-ca's database): one certificate a line.
 *
 * Six fields between tabs: V, R or E; notAfter; when revoked, and after a comma why; serial number in hex; a file's
 * name; subject. Times are YYMMDDHHMMSSZ or YYYYMMDDHHMMSSZ.
 *
 * Threads:   no state.
 * Limits:    none: lines are the caller's to cut.
 * Security:  what cannot be read is an error, never a good certificate.
 * Standards: openssl-ca(1).
 */
#pragma once

#include "base/diag.h"
#include "base/err.h"
#include "base/slice.h"
#include "ocsp-cache/ocsp_foreign.h"

struct sm_index_line {
    struct sm_ocsp_imported what;
    uint8_t serial[SM_OCSP_SERIAL_MAX];
    size_t serial_len;
};

/* A line without its end; empty ones and those that begin with '#' are NOT_FOUND. Errors: MALFORMED with the
 * reason in diag. */
SM_FALLIBLE sm_index_line_parse(sm_slice line, struct sm_index_line *out, sm_diag *diag);
