/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A request as we read it beside the same request as OpenSSL reads it.
 *
 * Threads:   none.
 * Limits:    none.
 * Security:  none.
 * Standards: RFC 2986.
 */
#pragma once

#include "sign/csr.h"

#include <openssl/x509.h>

/* In which part the two differ ("subject"), static words; NULL when they agree in the version, each
 * attribute of the subject, the key, each attribute and extension, the algorithm and the
 * signature. */
const char *sm_test_csr_difference(const struct sm_csr *ours, X509_REQ *theirs);
/* What OpenSSL makes of all the octets: to be freed, NULL when it refuses them or leaves some. */
X509_REQ *sm_test_csr_read(sm_slice der);
/* The two above for a request that we took: NULL when OpenSSL takes it and agrees. */
const char *sm_test_csr_disagrees(const struct sm_csr *ours);
