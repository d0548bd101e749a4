/* SPDX-License-Identifier: Apache-2.0 */
#include "sign/csr.h"

#include "base/text.h"
#include "sign/der.h"
#include "sign/name_p.h"
#include "sign/oids.h"

#define CHALLENGE_MAX 255 /* pkcs-9-ub-challengePassword */

static sm_err malformed(sm_diag *diag, sm_err err, const char *field, const char *what)
{
    return sm_diag_set(diag, sm_ok(err) ? SM_ERR(MALFORMED) : err, field, "%s", what);
}

static sm_err add_extension(const struct sm_extension *ext, struct sm_csr *csr, sm_diag *diag)
{
    if (sm_csr_extension(csr, ext->oid) != NULL) {
        return malformed(diag, SM_ERR(MALFORMED), "csr.extensions",
                         "an extension is requested twice");
    }
    if (csr->extension_count == SM_CSR_EXTENSIONS_MAX) {
        return sm_diag_set(diag, SM_ERR(TOO_LARGE), "csr.extensions",
                           "more than %d extensions are requested", SM_CSR_EXTENSIONS_MAX);
    }
    csr->extensions[csr->extension_count++] = *ext;
    return SM_NO_ERR;
}

/* Extensions ::= SEQUENCE OF Extension (RFC 5280 4.1); each type at most once (4.2). The attribute
 * has one value (RFC 2985 5.4.2). */
static sm_err parse_extensions(sm_slice values, struct sm_csr *csr, sm_diag *diag)
{
    sm_der d = sm_der_init(values);
    sm_der list = sm_der_enter(&d, SM_DER_SEQUENCE);
    while (!sm_der_at_end(&list)) {
        struct sm_extension ext = {.critical = false};
        sm_der e = sm_der_enter(&list, SM_DER_SEQUENCE);
        ext.oid = sm_der_read_oid(&e);
        if (sm_der_peek(&e) == SM_DER_BOOLEAN) {
            ext.critical = sm_der_read_bool(&e);
            if (!ext.critical) {
                sm_der_fail(&e, SM_ERR(MALFORMED)); /* X.690 11.5: a DEFAULT is left out */
            }
        }
        ext.value = sm_der_read(&e, SM_DER_OCTET_STRING);
        sm_der_leave(&list, &e);
        if (sm_ok(sm_der_err(&list))) {
            SM_TRY(add_extension(&ext, csr, diag));
        }
    }
    sm_der_leave(&d, &list);
    sm_err err = sm_der_finish(&d);
    return sm_ok(err) ? err
                      : malformed(diag, err, "csr.extensions",
                                  "the extension request is not well-formed DER");
}

/* RFC 2985 5.4.1: one DirectoryString of 1 to 255 characters; IA5String is seen, too. Types that
 * are no octet string of ASCII's family are refused: what is compared with a password must have one
 * form. */
static sm_err parse_challenge(sm_slice values, struct sm_csr *csr, sm_diag *diag)
{
    sm_der d = sm_der_init(values);
    uint8_t tag;
    sm_slice text = sm_der_read_any(&d, &tag);
    sm_err err = sm_der_finish(&d);
    bool wide = tag == SM_DER_BMP_STRING || tag == SM_DER_UNIVERSAL_STRING;
    if (!sm_ok(err) || text.len > CHALLENGE_MAX || wide || !sm_string_is_good(tag, text)) {
        return malformed(
            diag, err, "csr.attributes",
            "challengePassword is not one UTF8String or PrintableString of at most 255 octets");
    }
    csr->challenge_password = text;
    return SM_NO_ERR;
}

static bool find_attribute(const struct sm_csr *csr, sm_slice oid, sm_slice *values)
{
    for (size_t i = 0; i < csr->attribute_count; i++) {
        if (sm_slice_equal(csr->attributes[i].oid, oid)) {
            *values = csr->attributes[i].values;
            return true;
        }
    }
    return false;
}

/* What the attributes that we know say. Older Microsoft clients have an OID of their own for
 * extensionRequest. */
static sm_err use_attributes(struct sm_csr *csr, sm_diag *diag)
{
    sm_slice values;
    if (find_attribute(csr, SM_OID_EXTENSION_REQUEST, &values) ||
        find_attribute(csr, SM_OID_MS_EXTENSION_REQUEST, &values)) {
        SM_TRY(parse_extensions(values, csr, diag));
    }
    if (find_attribute(csr, SM_OID_CHALLENGE_PASSWORD, &values)) {
        SM_TRY(parse_challenge(values, csr, diag));
    }
    return SM_NO_ERR;
}

/* Both are parsed whole by use_attributes. */
static bool is_standard(sm_slice oid)
{
    return sm_slice_equal(oid, SM_OID_EXTENSION_REQUEST) ||
           sm_slice_equal(oid, SM_OID_CHALLENGE_PASSWORD);
}

static sm_err add_attribute(const struct sm_attribute *attribute, struct sm_csr *csr, sm_diag *diag)
{
    sm_slice values;
    bool standard = is_standard(attribute->oid);
    /* One instance (RFC 2985 5.4). Of others there may be several: Microsoft's name-value pairs
     * come so. */
    bool single = standard || sm_slice_equal(attribute->oid, SM_OID_MS_EXTENSION_REQUEST);
    if (single && find_attribute(csr, attribute->oid, &values)) {
        return malformed(diag, SM_ERR(MALFORMED), "csr.attributes", "an attribute comes twice");
    }
    sm_err err = standard ? SM_NO_ERR : sm_der_check(attribute->values);
    if (!sm_ok(err) || attribute->values.len == 0) {
        return malformed(diag, err, "csr.attributes",
                         "an attribute has no value or one that is not DER");
    }
    if (csr->attribute_count == SM_CSR_ATTRIBUTES_MAX) {
        return sm_diag_set(diag, SM_ERR(TOO_LARGE), "csr.attributes", "more than %d attributes",
                           SM_CSR_ATTRIBUTES_MAX);
    }
    csr->attributes[csr->attribute_count++] = *attribute;
    return SM_NO_ERR;
}

/* attributes [0] IMPLICIT SET OF Attribute (RFC 2986 4.1). The tag must be there, yet some
 * requesters leave an empty set out; and many do not sort the set, which nothing of ours depends
 * on. */
static sm_err parse_attributes(sm_der *info, struct sm_csr *csr, sm_diag *diag)
{
    if (sm_der_at_end(info)) {
        return SM_NO_ERR;
    }
    sm_der list = sm_der_enter(info, SM_DER_CTX_CONS(0));
    while (!sm_der_at_end(&list)) {
        struct sm_attribute attribute;
        sm_der a = sm_der_enter(&list, SM_DER_SEQUENCE);
        attribute.oid = sm_der_read_oid(&a);
        attribute.values = sm_der_read(&a, SM_DER_SET);
        sm_der_leave(&list, &a);
        if (sm_ok(sm_der_err(&list))) {
            SM_TRY(add_attribute(&attribute, csr, diag));
        }
    }
    sm_der_leave(info, &list);
    return sm_ok(sm_der_err(info)) ? use_attributes(csr, diag) : SM_NO_ERR;
}

static sm_err parse_subject(struct sm_csr *csr, sm_diag *diag)
{
    sm_err err = sm_name_parse(csr->subject, &csr->name, NULL);
    if (sm_ok(err) || diag == NULL) {
        return err;
    }
    sm_diag why; /* once more for its reason, under our name of the field */
    sm_diag_clear(&why);
    err = sm_name_parse(csr->subject, &csr->name, &why);
    return sm_diag_set(diag, err, "csr.subject", "%s", why.reason);
}

/* CertificationRequestInfo (RFC 2986 4.1). */
static sm_err parse_info(sm_der *info, struct sm_csr *csr, sm_diag *diag)
{
    uint64_t version = sm_der_read_u64(info);
    csr->subject = sm_der_read_raw(info);
    sm_slice spki = sm_der_read_raw(info);
    if (!sm_ok(sm_der_err(info))) {
        return malformed(diag, sm_der_err(info), "csr",
                         "the CertificationRequestInfo is not well-formed DER");
    }
    if (version != 0) {
        return malformed(diag, SM_ERR(UNSUPPORTED), "csr.version",
                         "only version 1 (0) exists (RFC 2986 4.1)");
    }
    SM_TRY(parse_subject(csr, diag));
    SM_TRY(sm_public_key_parse(spki, &csr->key, diag));
    return parse_attributes(info, csr, diag);
}

static sm_err parse_signature_algorithm(sm_slice identifier, struct sm_csr *csr, sm_diag *diag)
{
    sm_err err = sm_sig_alg_parse(identifier, &csr->sig_alg);
    if (!sm_ok(err)) {
        return malformed(
            diag, err, "csr.signature_algorithm",
            "not one of ECDSA, RSA PKCS#1 v1.5 or PSS with SHA-256/384/512, EdDSA, ML-DSA");
    }
    if (!sm_sig_alg_fits(csr->sig_alg, csr->key.type)) {
        return sm_diag_set(diag, SM_ERR(MALFORMED), "csr.signature_algorithm",
                           "%s does not fit a %s key", sm_sig_alg_name(csr->sig_alg),
                           sm_key_type_name(csr->key.type));
    }
    return SM_NO_ERR;
}

sm_err sm_csr_parse(sm_slice der, struct sm_csr *out, sm_diag *diag)
{
    if (der.len > SM_CSR_MAX) {
        return sm_diag_set(diag, SM_ERR(TOO_LARGE), "csr", "larger than %d octets", SM_CSR_MAX);
    }
    out->der = der;
    out->attribute_count = 0;
    out->extension_count = 0;
    out->challenge_password = SM_SLICE_NONE;
    sm_der d = sm_der_init(der);
    sm_der request = sm_der_enter(&d, SM_DER_SEQUENCE);
    const uint8_t *start = request.at;
    sm_der info = sm_der_enter(&request, SM_DER_SEQUENCE);
    if (!sm_ok(sm_der_err(&info))) {
        return malformed(diag, sm_der_err(&info), "csr", "not a PKCS#10 request in DER");
    }
    out->info = sm_slice_of(start, (size_t)(request.at - start));
    SM_TRY(parse_info(&info, out, diag));
    sm_der_leave(&request, &info);
    sm_slice identifier = sm_der_read(&request, SM_DER_SEQUENCE);
    out->signature = sm_der_read_bits(&request);
    sm_der_leave(&d, &request);
    sm_err err = sm_der_finish(&d);
    if (!sm_ok(err)) {
        return malformed(diag, err, "csr", "not well-formed DER, or octets follow it");
    }
    return parse_signature_algorithm(identifier, out, diag);
}

const struct sm_extension *sm_csr_extension(const struct sm_csr *csr, sm_slice oid)
{
    for (size_t i = 0; i < csr->extension_count; i++) {
        if (sm_slice_equal(csr->extensions[i].oid, oid)) {
            return &csr->extensions[i];
        }
    }
    return NULL;
}

sm_err sm_csr_from_pem_or_der(sm_slice in, sm_buf *scratch, sm_slice *der, sm_diag *diag)
{
    if (in.len == 0) {
        return malformed(diag, SM_ERR(MALFORMED), "csr", "it is empty");
    }
    if (in.ptr[0] == SM_DER_SEQUENCE) {
        *der = in;
        return SM_NO_ERR;
    }
    sm_slice label;
    sm_err err = sm_pem_next(&in, &label, scratch);
    if (sm_err_is(err, SM_E_NO_MEMORY)) {
        return err; /* ours, not the request's */
    }
    if (!sm_ok(err)) {
        return malformed(diag, SM_ERR(MALFORMED), "csr", "neither DER nor a PEM block");
    }
    if (!sm_slice_equal(label, SM_LIT("CERTIFICATE REQUEST")) &&
        !sm_slice_equal(label, SM_LIT("NEW CERTIFICATE REQUEST"))) {
        return malformed(diag, SM_ERR(MALFORMED), "csr",
                         "the PEM block is not a CERTIFICATE REQUEST (RFC 7468 7)");
    }
    *der = sm_buf_slice(scratch);
    return SM_NO_ERR;
}
