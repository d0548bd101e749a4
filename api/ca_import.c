/* SPDX-License-Identifier: Apache-2.0 */
#include "api/ca_import.h"

#include "sign/batch.h"
#include "sign/der.h"
#include "sign/oids.h"

#include <stdio.h>

#define KEY_CERT_SIGN 0x04 /* bit 5 of KeyUsage, in its first octet */

/* Signers may write other string types than the request had: the values count (RFC 5280 7.1; we ask
 * for the same case). */
static sm_err names_are_same(sm_slice a, sm_slice b, sm_arena *arena, bool *same)
{
    struct sm_name *x = SM_ARENA_NEW(arena, struct sm_name);
    struct sm_name *y = SM_ARENA_NEW(arena, struct sm_name);
    *same = sm_slice_equal(a, b);
    if (*same) {
        return SM_NO_ERR;
    }
    if (x == NULL || y == NULL) {
        return SM_ERR(NO_MEMORY);
    }
    if (!sm_ok(sm_name_parse(a, x, NULL)) || !sm_ok(sm_name_parse(b, y, NULL)) ||
        x->count != y->count) {
        return SM_NO_ERR;
    }
    SM_TRY(sm_name_use_utf8(x, arena));
    SM_TRY(sm_name_use_utf8(y, arena));
    for (size_t i = 0; i < x->count; i++) {
        if (!sm_slice_equal(x->at[i].oid, y->at[i].oid) ||
            !sm_slice_equal(x->at[i].value, y->at[i].value) ||
            x->at[i].with_previous != y->at[i].with_previous) {
            return SM_NO_ERR;
        }
    }
    *same = true;
    return SM_NO_ERR;
}

/* RFC 5280 4.2.1.3: when the extension is there, keyCertSign must be in it. */
static bool may_sign_certificates(const struct sm_cert *cert)
{
    const struct sm_extension *e = sm_cert_extension(cert, SM_OID_KEY_USAGE);
    return e == NULL ||
           (e->value.len >= 4 && e->value.ptr[0] == 3 && (e->value.ptr[3] & KEY_CERT_SIGN) != 0);
}

static const char *fault_as_ca(const struct sm_cert *cert, int64_t now)
{
    if (!cert->is_ca) {
        return "it is not a CA certificate (basicConstraints)";
    }
    if (!may_sign_certificates(cert)) {
        return "its keyUsage has no keyCertSign";
    }
    return cert->not_after <= now ? "it has expired" : NULL;
}

static const char *fault_as_issuer(const struct sm_cert *issuer, const struct sm_cert *cert)
{
    struct sm_public_key key;
    if (sm_slice_equal(issuer->der, cert->der)) {
        return "it is there twice";
    }
    if (!sm_slice_equal(issuer->subject, cert->issuer)) {
        return "its subject is not the issuer of the certificate before it";
    }
    if (cert->sig_alg == SM_SIG_NONE || !sm_ok(sm_public_key_parse(issuer->spki, &key, NULL))) {
        return "its key or signature algorithm is not supported";
    }
    return sm_ok(sm_verify_now(&key, cert->sig_alg, cert->tbs, cert->signature))
               ? NULL
               : "it did not sign the certificate before it";
}

static sm_err refuse(const char *field, const char *fault, sm_diag *diag)
{
    return fault == NULL ? SM_NO_ERR : sm_diag_set(diag, SM_ERR(INVALID), field, "%s", fault);
}

static sm_err check_chain(const struct sm_cert *cert, const sm_slice *chain, size_t count,
                          int64_t now, sm_arena *arena, sm_diag *diag)
{
    const struct sm_cert *below = cert;
    if (count > SM_CA_CHAIN_MAX) {
        return sm_diag_set(diag, SM_ERR(TOO_LARGE), "chain", "more than %d certificates",
                           SM_CA_CHAIN_MAX);
    }
    for (size_t i = 0; i < count; i++) {
        char field[16];
        struct sm_cert *at = SM_ARENA_NEW(arena, struct sm_cert);
        (void)snprintf(field, sizeof(field), "chain[%u]", (unsigned)(i % SM_CA_CHAIN_MAX));
        if (at == NULL) {
            return SM_ERR(NO_MEMORY);
        }
        sm_err err = sm_cert_parse(chain[i], at, NULL);
        if (!sm_ok(err)) {
            return sm_diag_set(diag, err, field, "it is not a certificate in DER");
        }
        SM_TRY(refuse(field, fault_as_ca(at, now), diag));
        SM_TRY(refuse(field, fault_as_issuer(at, below), diag));
        below = at;
    }
    return SM_NO_ERR;
}

sm_err sm_ca_import_check(const struct sm_cert *cert, sm_slice subject, sm_slice spki,
                          const sm_slice *chain, size_t chain_count, int64_t now, sm_arena *arena,
                          sm_diag *diag)
{
    bool same;
    if (!sm_slice_equal(cert->spki, spki)) {
        return refuse("certificate", "it is for another key", diag);
    }
    SM_TRY(refuse("certificate", fault_as_ca(cert, now), diag));
    SM_TRY(names_are_same(cert->subject, subject, arena, &same));
    SM_TRY(refuse("certificate", same ? NULL : "its subject is not the one of the CSR", diag));
    return check_chain(cert, chain, chain_count, now, arena, diag);
}

sm_err sm_ca_foreign_check(const struct sm_cert *cert, const sm_slice *chain, size_t chain_count,
                           int64_t now, sm_arena *arena, sm_diag *diag)
{
    SM_TRY(refuse("certificate", fault_as_ca(cert, now), diag));
    return check_chain(cert, chain, chain_count, now, arena, diag);
}

/* ---- responders ---- */

static bool may_sign_ocsp(const struct sm_cert *cert)
{
    const struct sm_extension *e = sm_cert_extension(cert, SM_OID_EKU);
    bool found = false;
    if (e == NULL) {
        return false;
    }
    sm_der d = sm_der_init(e->value);
    sm_der list = sm_der_enter(&d, SM_DER_SEQUENCE);
    while (!sm_der_at_end(&list)) {
        found = sm_slice_equal(sm_der_read_oid(&list), SM_OID_EKU_OCSP_SIGNING) || found;
    }
    sm_der_leave(&d, &list);
    return sm_ok(sm_der_finish(&d)) && found;
}

sm_err sm_ca_responder_check(const struct sm_cert *cert, const struct sm_cert *ca, sm_slice spki,
                             int64_t now, sm_diag *diag)
{
    if (spki.len > 0 && !sm_slice_equal(cert->spki, spki)) {
        return refuse("certificate", "it is for another key than the responder's", diag);
    }
    SM_TRY(refuse("certificate",
                  fault_as_issuer(ca, cert) == NULL ? NULL : "the CA has not issued it", diag));
    SM_TRY(refuse("certificate",
                  may_sign_ocsp(cert) ? NULL : "its extendedKeyUsage has no OCSPSigning", diag));
    SM_TRY(refuse("certificate", cert->not_before > now ? "it is not valid yet" : NULL, diag));
    return refuse("certificate", cert->not_after <= now ? "it has expired" : NULL, diag);
}
