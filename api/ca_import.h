/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What an external signer's certificate for one of our CAs must be.
 *
 * Threads:   no state.
 * Limits:    SM_CA_CHAIN_MAX.
 * Security:  an administrator's mistake is found here, not by relying parties: every certificate
 *            that the CA would issue must verify up to the chain's end.
 * Standards: RFC 5280 4.2.1.3, 4.2.1.9, 6.1, 7.1.
 */
#pragma once

#include "base/arena.h"
#include "sign/cert.h"

/* Certificates above the CA: each goes with every answer, and real hierarchies have two or three. */
#define SM_CA_CHAIN_MAX 8

/* `subject`: as the CSR said it (Name, DER); `spki`: the CA's key. `chain`: DER, issuer first. Time
 * in Unix seconds. Errors: INVALID, TOO_LARGE, MALFORMED with field "certificate" or "chain[N]". */
SM_FALLIBLE sm_ca_import_check(const struct sm_cert *cert, sm_slice subject, sm_slice spki,
                               const sm_slice *chain, size_t chain_count, int64_t now,
                               sm_arena *arena, sm_diag *diag);
/* The same for a CA that sealmill does not run: only that it is a CA, and its chain. */
SM_FALLIBLE sm_ca_foreign_check(const struct sm_cert *cert, const sm_slice *chain,
                                size_t chain_count, int64_t now, sm_arena *arena, sm_diag *diag);
/* What a responder's certificate must be (RFC 6960 4.2.2.2): issued by the CA's key, OCSPSigning, not expired.
 * `spki`: of the key that it must be for; empty: any. Errors: INVALID with field "certificate". */
SM_FALLIBLE sm_ca_responder_check(const struct sm_cert *cert, const struct sm_cert *ca,
                                  sm_slice spki, int64_t now, sm_diag *diag);
