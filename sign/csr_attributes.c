/* SPDX-License-Identifier: Apache-2.0 */
#include "sign/csr_attributes.h"

#include "sign/der.h"
#include "sign/name_p.h"
#include "sign/oids.h"

#define NAMES_FIELD "csr.attributes.change_subject_name"
#define LINKING_FIELD "csr.attributes.est_identity_linking"

/* NULL without it. */
static sm_err find_once(const struct sm_csr *csr, sm_slice oid, const char *field,
                        const struct sm_attribute **out, sm_diag *diag)
{
    *out = NULL;
    for (size_t i = 0; i < csr->attribute_count; i++) {
        if (!sm_slice_equal(csr->attributes[i].oid, oid)) {
            continue;
        }
        if (*out != NULL) {
            return sm_diag_set(diag, SM_ERR(MALFORMED), field, "the attribute comes twice");
        }
        *out = &csr->attributes[i];
    }
    return SM_NO_ERR;
}

/* ---- ChangeSubjectName ---- */

/* Both are SEQUENCEs: GeneralName's choices have context tags, and RelativeDistinguishedName is a SET. */
static bool is_general_names(sm_slice element)
{
    sm_der d = sm_der_init(element);
    sm_der list = sm_der_enter(&d, SM_DER_SEQUENCE);
    return (sm_der_peek(&list) & 0xc0U) == 0x80U;
}

/* [1] IMPLICIT: the SEQUENCE's header is put before it again. */
static sm_err untag(sm_slice content, sm_arena *arena, sm_slice *out)
{
    sm_buf der = sm_buf_init(SM_CSR_MAX);
    sm_der_write(&der, SM_DER_SEQUENCE, content);
    sm_err err = sm_buf_err(&der);
    err = sm_ok(err) ? sm_arena_copy(arena, sm_buf_slice(&der), out) : err;
    sm_buf_deinit(&der);
    return err;
}

/* ChangeSubjectName ::= SEQUENCE { subject Name OPTIONAL, subjectAlt [1] SubjectAltName OPTIONAL }, and one of
 * them is there (RFC 6402 2.8). */
static sm_err split(sm_slice values, sm_arena *arena, struct sm_csr_names *out)
{
    sm_der d = sm_der_init(values);
    sm_der change = sm_der_enter(&d, SM_DER_SEQUENCE);
    while (!sm_der_at_end(&change) && !out->has_sans) {
        sm_slice content;
        if (sm_der_read_if(&change, SM_DER_CTX_CONS(1), &content)) {
            SM_TRY(untag(content, arena, &out->sans));
            out->has_sans = true;
            break;
        }
        sm_slice element = sm_der_read_raw(&change);
        if (is_general_names(element)) {
            out->sans = element;
            out->has_sans = true;
        } else if (!out->has_subject) {
            out->subject = element;
            out->has_subject = true;
        } else {
            return SM_ERR(MALFORMED);
        }
    }
    sm_der_leave(&d, &change);
    SM_TRY(sm_der_finish(&d));
    return out->has_subject || out->has_sans ? SM_NO_ERR : SM_ERR(MALFORMED);
}

static sm_err check_names(const struct sm_csr_names *names, sm_arena *arena, sm_diag *diag)
{
    struct sm_name name;
    struct sm_san *sans;
    size_t count;
    if (names->has_subject) {
        SM_TRY(sm_name_parse(names->subject, &name, diag));
    }
    return names->has_sans ? sm_sans_parse(names->sans, true, arena, &sans, &count, diag)
                           : SM_NO_ERR;
}

sm_err sm_csr_read_names(const struct sm_csr *csr, sm_arena *arena, struct sm_csr_names *out,
                         sm_diag *diag)
{
    const struct sm_attribute *attribute;
    struct sm_csr_names names = {.has_subject = false};
    sm_diag why = {.reason = ""};
    SM_TRY(find_once(csr, SM_OID_CHANGE_NAME, NAMES_FIELD, &attribute, diag));
    sm_err err = attribute == NULL ? SM_NO_ERR : split(attribute->values, arena, &names);
    err = sm_ok(err) ? check_names(&names, arena, &why) : err;
    if (sm_ok(err)) {
        *out = names;
        return err;
    }
    return sm_diag_set(diag, err, NAMES_FIELD, "%s",
                       why.reason[0] != '\0'
                           ? why.reason
                           : "not one ChangeSubjectName in DER with a subject or SANs");
}

static sm_err set_sans(struct sm_csr *csr, sm_slice value, sm_diag *diag)
{
    bool empty = value.len <= 2;
    for (size_t i = 0; i < csr->extension_count; i++) {
        if (sm_slice_equal(csr->extensions[i].oid, SM_OID_SUBJECT_ALT_NAME)) {
            csr->extensions[i].value = value;
            if (empty) {
                csr->extensions[i] = csr->extensions[--csr->extension_count];
            }
            return SM_NO_ERR;
        }
    }
    if (empty) {
        return SM_NO_ERR;
    }
    if (csr->extension_count == SM_CSR_EXTENSIONS_MAX) {
        return sm_diag_set(diag, SM_ERR(TOO_LARGE), "csr.extensions",
                           "more than %d extensions are requested", SM_CSR_EXTENSIONS_MAX);
    }
    csr->extensions[csr->extension_count++] = (struct sm_extension){.oid = SM_OID_SUBJECT_ALT_NAME,
                                                                    .value = value};
    return SM_NO_ERR;
}

sm_err sm_csr_set_names(struct sm_csr *csr, const struct sm_csr_names *names, sm_diag *diag)
{
    struct sm_name name;
    if (names->has_subject) {
        SM_TRY(sm_name_parse(names->subject, &name, diag));
    }
    if (names->has_sans) {
        SM_TRY(set_sans(csr, names->sans, diag));
    }
    if (names->has_subject) {
        csr->subject = names->subject;
        csr->name = name;
    }
    return SM_NO_ERR;
}

/* ---- estIdentityLinking ---- */

sm_err sm_csr_read_linking(const struct sm_csr *csr, sm_slice *out, sm_diag *diag)
{
    const struct sm_attribute *attribute;
    SM_TRY(find_once(csr, SM_OID_EST_LINKING, LINKING_FIELD, &attribute, diag));
    if (attribute == NULL) {
        *out = SM_SLICE_NONE;
        return SM_NO_ERR;
    }
    sm_der d = sm_der_init(attribute->values);
    uint8_t tag;
    sm_slice text = sm_der_read_any(&d, &tag);
    sm_err err = sm_der_finish(&d);
    bool text_like = tag == SM_DER_UTF8_STRING || tag == SM_DER_PRINTABLE_STRING ||
                     tag == SM_DER_IA5_STRING || tag == SM_DER_TELETEX_STRING;
    if (!sm_ok(err) || !text_like || text.len == 0 || text.len > SM_CSR_LINKING_MAX) {
        return sm_diag_set(diag, SM_ERR(MALFORMED), LINKING_FIELD,
                           "not one UTF8String or PrintableString of 1 to %d octets",
                           SM_CSR_LINKING_MAX);
    }
    *out = text;
    return SM_NO_ERR;
}
