/* SPDX-License-Identifier: Apache-2.0 */
/*
 * PKCS#10 certification requests.
 *
 * Threads:   values; slices borrow from the request's octets.
 * Limits:    SM_CSR_MAX octets, SM_CSR_ATTRIBUTES_MAX attributes, SM_CSR_EXTENSIONS_MAX requested
 *            extensions.
 * Security:  well-formed DER with no trailing octets; the signature is NOT checked here: submit
 *            `verify` to a batcher.
 * Standards: RFC 2986, RFC 2985 5.4 (challengePassword, extensionRequest), RFC 5967.
 */
#pragma once

#include "base/buf.h"
#include "base/diag.h"
#include "sign/alg.h"
#include "sign/name.h"
#include "sign/pubkey.h"

#define SM_CSR_MAX 65536
#define SM_CSR_ATTRIBUTES_MAX 32
#define SM_CSR_EXTENSIONS_MAX 32

struct sm_extension {
    sm_slice oid; /* content octets */
    bool critical;
    sm_slice value; /* content of extnValue */
};

struct sm_attribute {
    sm_slice oid;
    sm_slice values; /* content of the SET */
};

struct sm_csr {
    sm_slice der;        /* the whole request */
    sm_slice info;       /* CertificationRequestInfo with its header: what is signed */
    sm_slice subject;    /* Name, DER with header */
    struct sm_name name; /* the same, parsed */
    struct sm_public_key key;
    struct sm_attribute attributes[SM_CSR_ATTRIBUTES_MAX];
    size_t attribute_count;
    /* Of extensionRequest (or Microsoft's); each OID once. */
    struct sm_extension extensions[SM_CSR_EXTENSIONS_MAX];
    size_t extension_count;
    sm_slice challenge_password; /* text octets, ptr NULL when absent */
    enum sm_sig_alg sig_alg;
    sm_slice signature;
};

/* Parses DER without allocating anything; `*out` is undefined after an error. Stricter than DER's
 * reader in OpenSSL: lengths, integers, strings and joined attributes of the subject are DER,
 * DEFAULTs are left out, nothing is trailing; more lenient than DER in two points: the attributes
 * need not be sorted, and an empty set of them may be missing. Extension values are not looked
 * into. Errors: MALFORMED, TRUNCATED, TOO_LARGE, UNSUPPORTED, POLICY (weak key); diag names the
 * field ("csr.key"). */
SM_FALLIBLE sm_csr_parse(sm_slice der, struct sm_csr *out, sm_diag *diag);

/* DER from DER or PEM ("CERTIFICATE REQUEST" or "NEW CERTIFICATE REQUEST", RFC 7468 7): when the
 * input is DER already, `*der` borrows it, else it borrows `scratch`. */
SM_FALLIBLE sm_csr_from_pem_or_der(sm_slice in, sm_buf *scratch, sm_slice *der, sm_diag *diag);

/* The extension of that OID, or NULL. */
const struct sm_extension *sm_csr_extension(const struct sm_csr *csr, sm_slice oid);
