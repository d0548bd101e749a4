/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside api: the OCSP answers that issuance signs beside the certificate and writes with it.
 *
 * The first answer about the new certificate, where the CA pre-signs eagerly, by SHA-1 CertID, which is
 * what most clients send; and both about the one that a renewal revokes.
 *
 * Threads:   the loop's.
 * Limits:    none.
 * Security:  an answer that cannot be signed never holds the certificate up: the new one's is signed at its
 *            first query, the old one's are removed.
 * Standards: RFC 6960.
 */
#pragma once

#include "api/issue.h"

/* Once the serial number is there, and before the certificate's signature is submitted. `on_each` is called
 * once for each of the signatures that it adds to issue->signing, later. */
void sm_issue_ocsp_start(sm_issue *issue, void (*on_each)(sm_issue *issue));
/* Adds their rows to the write. Errors: NO_MEMORY. */
SM_FALLIBLE sm_issue_ocsp_puts(sm_issue *issue);
/* The write is durable, and is told to nobody yet. */
void sm_issue_ocsp_written(sm_issue *issue);
