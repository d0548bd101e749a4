/* SPDX-License-Identifier: Apache-2.0 */
#include "base/text.h"
#include "sign/cert.h"
#include "sign/der.h"
#include "sign/oids.h"

const struct sm_extension *sm_cert_extension(const struct sm_cert *cert, sm_slice oid)
{
    for (size_t i = 0; i < cert->extension_count; i++) {
        if (sm_slice_equal(cert->extensions[i].oid, oid)) {
            return &cert->extensions[i];
        }
    }
    return NULL;
}

static void parse_basic_constraints(sm_der *tbs, sm_slice value, struct sm_cert *cert)
{
    sm_der d = sm_der_init(value);
    sm_der seq = sm_der_enter(&d, SM_DER_SEQUENCE);
    if (sm_der_peek(&seq) == SM_DER_BOOLEAN) {
        cert->is_ca = sm_der_read_bool(&seq);
    }
    if (sm_der_peek(&seq) == SM_DER_INTEGER) {
        uint64_t n = sm_der_read_u64(&seq);
        cert->path_length = n > 1000 ? 1000 : (int)n;
    }
    sm_der_leave(&d, &seq);
    if (!sm_ok(sm_der_finish(&d))) {
        sm_der_fail(tbs, SM_ERR(MALFORMED));
    }
}

/* The rest of an AuthorityKeyIdentifier (issuer and serial) is not used. */
static void parse_key_ids(sm_der *tbs, const struct sm_extension *ext, struct sm_cert *cert)
{
    sm_der d = sm_der_init(ext->value);
    if (sm_slice_equal(ext->oid, SM_OID_SUBJECT_KEY_ID)) {
        cert->subject_key_id = sm_der_read(&d, SM_DER_OCTET_STRING);
    } else {
        sm_der aki = sm_der_init(sm_der_read(&d, SM_DER_SEQUENCE));
        (void)sm_der_read_if(&aki, SM_DER_CTX(0), &cert->authority_key_id);
        sm_slice rest = sm_slice_of(aki.at, (size_t)(aki.end - aki.at));
        if (!sm_ok(sm_der_err(&aki)) || !sm_ok(sm_der_check(rest))) {
            sm_der_fail(&d, SM_ERR(MALFORMED));
        }
    }
    if (!sm_ok(sm_der_finish(&d))) {
        sm_der_fail(tbs, SM_ERR(MALFORMED));
    }
}

static void parse_extension(sm_der *list, struct sm_cert *cert)
{
    struct sm_extension ext = {.critical = false};
    sm_der e = sm_der_enter(list, SM_DER_SEQUENCE);
    ext.oid = sm_der_read_oid(&e);
    if (sm_der_peek(&e) == SM_DER_BOOLEAN) {
        ext.critical = sm_der_read_bool(&e);
    }
    ext.value = sm_der_read(&e, SM_DER_OCTET_STRING);
    sm_der_leave(list, &e);
    if (!sm_ok(sm_der_err(list))) {
        return;
    }
    if (cert->extension_count == SM_CERT_EXTENSIONS_MAX ||
        sm_cert_extension(cert, ext.oid) != NULL) {
        sm_der_fail(list, SM_ERR(MALFORMED)); /* RFC 5280 4.2: not twice */
        return;
    }
    cert->extensions[cert->extension_count++] = ext;
    if (sm_slice_equal(ext.oid, SM_OID_BASIC_CONSTRAINTS)) {
        parse_basic_constraints(list, ext.value, cert);
    } else if (sm_slice_equal(ext.oid, SM_OID_SUBJECT_KEY_ID) ||
               sm_slice_equal(ext.oid, SM_OID_AUTHORITY_KEY_ID)) {
        parse_key_ids(list, &ext, cert);
    }
}

static void parse_extensions(sm_der *tbs, struct sm_cert *cert)
{
    sm_slice unique;
    (void)sm_der_read_if(tbs, SM_DER_CTX(1), &unique);
    (void)sm_der_read_if(tbs, SM_DER_CTX(2), &unique);
    if (sm_der_at_end(tbs)) {
        return;
    }
    sm_der tagged = sm_der_enter(tbs, SM_DER_CTX_CONS(3));
    sm_der list = sm_der_enter(&tagged, SM_DER_SEQUENCE);
    while (!sm_der_at_end(&list)) {
        parse_extension(&list, cert);
    }
    sm_der_leave(&tagged, &list);
    sm_der_leave(tbs, &tagged);
}

/* A Name's shape alone: others' certificates may hold strings that we would not issue. */
static sm_slice read_name(sm_der *tbs)
{
    const uint8_t *start = tbs->at;
    sm_der name = sm_der_enter(tbs, SM_DER_SEQUENCE);
    while (!sm_der_at_end(&name)) {
        sm_der rdn = sm_der_enter(&name, SM_DER_SET);
        do {
            uint8_t tag;
            sm_der pair = sm_der_enter(&rdn, SM_DER_SEQUENCE);
            (void)sm_der_read_oid(&pair);
            (void)sm_der_read_any(&pair, &tag);
            sm_der_leave(&rdn, &pair);
        } while (!sm_der_at_end(&rdn));
        sm_der_leave(&name, &rdn);
    }
    sm_der_leave(tbs, &name);
    return sm_ok(sm_der_err(tbs)) ? sm_slice_of(start, (size_t)(tbs->at - start)) : SM_SLICE_NONE;
}

static uint64_t read_version(sm_der *tbs)
{
    if (sm_der_peek(tbs) != SM_DER_CTX_CONS(0)) {
        return 0;
    }
    sm_der tagged = sm_der_enter(tbs, SM_DER_CTX_CONS(0));
    uint64_t version = sm_der_read_u64(&tagged);
    if (version == 0 || version > 2) {
        sm_der_fail(&tagged,
                    SM_ERR(MALFORMED)); /* v1 is the DEFAULT; there are three (RFC 5280 4.1) */
    }
    sm_der_leave(tbs, &tagged);
    return version;
}

/* TBSCertificate (RFC 5280 4.1). */
static void parse_tbs(sm_der *tbs, struct sm_cert *cert, sm_slice *identifier)
{
    uint64_t version = read_version(tbs);
    cert->serial = sm_der_read_unsigned(tbs);
    *identifier = sm_der_read(tbs, SM_DER_SEQUENCE);
    cert->issuer = read_name(tbs);
    sm_der validity = sm_der_enter(tbs, SM_DER_SEQUENCE);
    cert->not_before = sm_der_read_time(&validity);
    cert->not_after = sm_der_read_time(&validity);
    sm_der_leave(tbs, &validity);
    cert->subject = read_name(tbs);
    cert->spki = sm_der_read_raw(tbs);
    parse_extensions(tbs, cert);
    if (cert->extension_count > 0 && version != 2) {
        sm_der_fail(tbs, SM_ERR(MALFORMED)); /* 4.1.2.9: extensions only in version 3 */
    }
}

sm_err sm_cert_parse(sm_slice der, struct sm_cert *out, sm_diag *diag)
{
    if (der.len > SM_CERT_MAX) {
        return sm_diag_set(diag, SM_ERR(TOO_LARGE), "certificate", "larger than %u octets",
                           SM_CERT_MAX);
    }
    *out = (struct sm_cert){.der = der, .path_length = -1};
    sm_slice inner = SM_SLICE_NONE;
    sm_der d = sm_der_init(der);
    sm_der cert = sm_der_enter(&d, SM_DER_SEQUENCE);
    const uint8_t *start = cert.at;
    sm_der tbs = sm_der_enter(&cert, SM_DER_SEQUENCE);
    out->tbs = sm_slice_of(start, (size_t)(cert.at - start));
    parse_tbs(&tbs, out, &inner);
    sm_der_leave(&cert, &tbs);
    sm_slice identifier = sm_der_read(&cert, SM_DER_SEQUENCE);
    out->signature = sm_der_read_bits(&cert);
    sm_der_leave(&d, &cert);
    sm_err err = sm_der_finish(&d);
    if (!sm_ok(err)) {
        return sm_diag_set(diag, err, "certificate", "not a well-formed X.509 certificate in DER");
    }
    if (!sm_slice_equal(inner, identifier)) {
        return sm_diag_set(diag, SM_ERR(MALFORMED), "certificate",
                           "its two signature algorithms differ (RFC 5280 4.1.1.2)");
    }
    if (!sm_ok(sm_sig_alg_parse(identifier, &out->sig_alg))) {
        out->sig_alg = SM_SIG_NONE;
    }
    return SM_NO_ERR;
}

sm_err sm_cert_from_pem_or_der(sm_slice in, sm_buf *scratch, sm_slice *der, sm_diag *diag)
{
    if (in.len > 0 && in.ptr[0] == SM_DER_SEQUENCE) {
        *der = in;
        return SM_NO_ERR;
    }
    sm_slice label;
    sm_err err = sm_pem_next(&in, &label, scratch);
    if (sm_err_is(err, SM_E_NO_MEMORY)) {
        return err;
    }
    if (!sm_ok(err) || !sm_slice_equal(label, SM_LIT("CERTIFICATE"))) {
        return sm_diag_set(diag, SM_ERR(MALFORMED), "certificate",
                           "neither DER nor a PEM block CERTIFICATE");
    }
    *der = sm_buf_slice(scratch);
    return SM_NO_ERR;
}
