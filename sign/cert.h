/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Certificates: the TBSCertificate writer, templates, and a parser for our own needs.
 *
 * What does not change for a CA and a profile (issuer, signature algorithm, fixed extensions) is
 * encoded once into a sm_cert_template; a certificate is then a handful of copies.
 *
 * Threads:   templates are constant after birth; everything else is values.
 * Limits:    SM_CERT_MAX octets.
 * Security:  builder input was checked by api; the writer never emits what its own parser would
 *            refuse.
 * Standards: RFC 5280 4.1, 4.2.
 */
#pragma once

#include "base/buf.h"
#include "base/diag.h"
#include "sign/alg.h"
#include "sign/csr.h"
#include "sign/name.h"

#define SM_CERT_MAX (1U << 20)
#define SM_CERT_EXTENSIONS_MAX 64
#define SM_SERIAL_LEN 20 /* RFC 5280 4.1.2.2: at most 20 octets */

/* A new serial number: 20 octets, positive. milliseconds first (so that the inventory grows at its
 * end), then 112 bits from the CSPRNG. */
void sm_serial_make(uint8_t out[SM_SERIAL_LEN]);

struct sm_cert_template_config {
    enum sm_sig_alg sig_alg;
    sm_slice issuer; /* Name, DER */
    /* 20 octets or what the CA's subjectKeyIdentifier says; empty: none. */
    sm_slice authority_key_id;
    bool subject_key_id; /* write subjectKeyIdentifier */
    /* Fixed ones, written in this order behind the identifiers. */
    const struct sm_extension *extensions;
    size_t extension_count;
    /* A text in them that is another one of the same length in each certificate; empty: none. */
    sm_slice slot;
};

typedef struct sm_cert_template sm_cert_template;

#define SM_CERT_SLOTS_MAX 16 /* places of the text in one template */

/* Copies everything. Errors: NO_MEMORY, TOO_LARGE, INVALID (an extension twice), MALFORMED (an OID
 * that is none), TOO_LARGE (over SM_CERT_SLOTS_MAX). Given. */
SM_FALLIBLE sm_cert_template_new(const struct sm_cert_template_config *config,
                                 sm_cert_template **out);
void sm_cert_template_free(sm_cert_template **t);

struct sm_cert_params {
    sm_slice serial; /* magnitude, 1..20 octets */
    int64_t not_before;
    int64_t not_after; /* 253402300799 (9999-12-31T23:59:59Z) for "no well-defined expiration" (RFC
                          5280 4.1.2.5) */
    sm_slice subject;  /* Name, DER */
    const struct sm_public_key *key;
    const struct sm_san *sans;
    size_t san_count;
    bool sans_critical; /* besides, SANs are critical when the subject is empty */
    const struct sm_extension *extensions; /* further ones of this certificate alone */
    size_t extension_count;
    sm_slice
        slot; /* what stands in the template's slot; empty, or of another length: the slot's own text */
};

/* Appends the TBSCertificate: subjectKeyIdentifier, subjectAltName, authorityKeyIdentifier, the
 * template's other extensions, the certificate's own. Neither allocates (but what the buffer grows
 * by) nor leaves anything behind when it fails. Errors: INVALID (serial zero or over 20 octets,
 * notAfter before notBefore, an extension twice), TOO_LARGE; the buffer's own. */
SM_FALLIBLE sm_cert_write_tbs(const sm_cert_template *t, const struct sm_cert_params *params,
                              sm_buf *out);
/* Appends SEQUENCE { tbs, algorithm, BIT STRING signature }: for certificates, CSRs, CRLs and OCSP
 * alike. */
SM_FALLIBLE sm_signed_write(sm_buf *out, sm_slice tbs, enum sm_sig_alg alg, sm_slice signature);
enum sm_sig_alg sm_cert_template_sig_alg(const sm_cert_template *t);
/* The slot's own text; empty: there is none, or it stands nowhere in the extensions. */
sm_slice sm_cert_template_slot(const sm_cert_template *t);

/* A parsed certificate; slices borrow from its DER. */
struct sm_cert {
    sm_slice der;
    sm_slice tbs;
    sm_slice serial;         /* magnitude without a leading zero */
    enum sm_sig_alg sig_alg; /* SM_SIG_NONE when we do not know it */
    sm_slice issuer;
    sm_slice subject;
    int64_t not_before;
    int64_t not_after;
    sm_slice spki;
    struct sm_extension extensions[SM_CERT_EXTENSIONS_MAX];
    size_t extension_count;
    sm_slice signature;
    bool is_ca;
    int path_length; /* -1: none */
    sm_slice subject_key_id;
    sm_slice authority_key_id;
};

/* Parses DER; `*out` is undefined after an error. Names are not looked into beyond their shape, nor
 * is the key: others' certificates may hold what we would not issue; BOOLEAN FALSE is tolerated
 * where the DEFAULT should be left out. Errors: MALFORMED, TRUNCATED, TOO_LARGE. */
SM_FALLIBLE sm_cert_parse(sm_slice der, struct sm_cert *out, sm_diag *diag);
const struct sm_extension *sm_cert_extension(const struct sm_cert *cert, sm_slice oid);
SM_FALLIBLE sm_cert_from_pem_or_der(sm_slice in, sm_buf *scratch, sm_slice *der, sm_diag *diag);

/* Writers of extension values (content of extnValue), used by profiles. Errors: INVALID for lists
 * that must not be empty, and for names that are no constraints; the buffer's own. */
void sm_ext_key_usage(sm_buf *out, uint32_t bits); /* bit n: KeyUsage bit n */
void sm_ext_basic_constraints(sm_buf *out, bool ca, int path_length);
SM_FALLIBLE sm_ext_eku(sm_buf *out, const sm_slice *oids, size_t count);
SM_FALLIBLE sm_ext_aia(sm_buf *out, const sm_slice *ocsp, size_t ocsp_count,
                       const sm_slice *issuers, size_t issuer_count);
SM_FALLIBLE sm_ext_crl_dp(sm_buf *out, const sm_slice *urls, size_t count);
SM_FALLIBLE sm_ext_name_constraints(sm_buf *out, const struct sm_san *permitted,
                                    size_t permitted_count, const struct sm_san *excluded,
                                    size_t excluded_count);
struct sm_policy {
    sm_slice oid;
    const sm_slice *cps;
    size_t cps_count;
};
SM_FALLIBLE sm_ext_policies(sm_buf *out, const struct sm_policy *policies, size_t count);
