/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A file that is a CRL: mapped, read, its signature checked, shown.
 *
 * Threads:   main.
 * Limits:    none of its own: a million entries are shown as they are read.
 * Security:  see ocsp-cache/crl_read.h: files come from anywhere.
 * Standards: RFC 5280 5.
 */
#pragma once

#include "base/buf.h"
#include "ocsp-cache/crl_read.h"

struct crl_file {
    void *map;
    size_t size;
    sm_buf scratch; /* of PEM */
    sm_slice der;
    struct sm_crl_read crl; /* borrows from der */
};

/* Opens DER or PEM ("-": standard input). Close it after success. Errors: NOT_FOUND, DISK, MALFORMED and those of
 * sm_crl_read_parse. */
SM_FALLIBLE crl_file_open(const char *path, struct crl_file *out, sm_diag *diag);
void crl_file_close(struct crl_file *file);
/* Whether the certificate (DER or PEM) signed it. Errors: MALFORMED, BAD_SIGNATURE with the reason. */
SM_FALLIBLE crl_file_verify(const struct crl_file *file, sm_slice issuer, sm_diag *diag);
/* Its number; false: it has none of 1 to 8 octets. */
bool crl_file_number(const struct crl_file *file, uint64_t *out);
/* Whether a URL of its issuingDistributionPoint ends so. */
bool crl_file_is_of(const struct crl_file *file, sm_slice ending);
/* Prints it, or one JSON object of it, on standard output. `verified`: by a certificate that was given. */
void crl_file_print(const struct crl_file *file, bool verified);
void crl_file_print_json(const struct crl_file *file, bool verified);
