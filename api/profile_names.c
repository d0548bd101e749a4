/* SPDX-License-Identifier: Apache-2.0 */
/* Words of profiles and requests: usages, names, SANs. */
#include "api/profile.h"

#include "base/check.h"
#include "base/text.h"
#include "sign/der.h"

sm_err sm_key_usage_parse(char *const *names, size_t count, uint32_t *bits, sm_diag *diag)
{
    static const char *const known[] = {"digitalSignature", "nonRepudiation", "keyEncipherment",
                                        "dataEncipherment", "keyAgreement",   "keyCertSign",
                                        "cRLSign",          "encipherOnly",   "decipherOnly"};
    *bits = 0;
    for (size_t i = 0; i < count; i++) {
        size_t n = 0;
        while (n < SM_ARRAY_LEN(known) &&
               !sm_slice_equal_nocase(sm_slice_str(known[n]), sm_slice_str(names[i]))) {
            n++;
        }
        if (n == SM_ARRAY_LEN(known)) {
            return sm_diag_set(diag, SM_ERR(INVALID), "key_usage",
                               "\"%.40s\" is not one of digitalSignature, nonRepudiation, "
                               "keyEncipherment, dataEncipherment, "
                               "keyAgreement, keyCertSign, cRLSign, encipherOnly, decipherOnly",
                               names[i]);
        }
        *bits |= 1U << n;
    }
    return SM_NO_ERR;
}

static const struct {
    const char *name;
    const char *oid;
} ekus[] = {
    {"serverAuth", "1.3.6.1.5.5.7.3.1"},
    {"clientAuth", "1.3.6.1.5.5.7.3.2"},
    {"codeSigning", "1.3.6.1.5.5.7.3.3"},
    {"emailProtection", "1.3.6.1.5.5.7.3.4"},
    {"timeStamping", "1.3.6.1.5.5.7.3.8"},
    {"OCSPSigning", "1.3.6.1.5.5.7.3.9"},
    {"cmcCA", "1.3.6.1.5.5.7.3.27"},
    {"cmcRA", "1.3.6.1.5.5.7.3.28"},
    {"documentSigning", "1.3.6.1.5.5.7.3.36"},
    {"ipsecIKE", "1.3.6.1.5.5.7.3.17"},
    {"sshClient", "1.3.6.1.5.5.7.3.21"},
    {"sshServer", "1.3.6.1.5.5.7.3.22"},
    {"smartcardLogon", "1.3.6.1.4.1.311.20.2.2"},
};

static sm_err dotted(const char *text, sm_arena *arena, sm_slice *oid)
{
    sm_buf der = sm_buf_init(128);
    sm_err err = sm_oid_from_text(sm_slice_str(text), &der);
    if (sm_ok(err)) {
        err = sm_arena_copy(arena, sm_buf_slice(&der), oid);
    }
    sm_buf_deinit(&der);
    return err;
}

sm_err sm_eku_parse(const char *name, sm_arena *arena, sm_slice *oid, sm_diag *diag)
{
    for (size_t i = 0; i < SM_ARRAY_LEN(ekus); i++) {
        if (sm_slice_equal_nocase(sm_slice_str(ekus[i].name), sm_slice_str(name))) {
            return dotted(ekus[i].oid, arena, oid);
        }
    }
    sm_err err = dotted(name, arena, oid);
    return sm_ok(err) ? err
                      : sm_diag_set(diag, SM_ERR(INVALID), "extended_key_usage",
                                    "\"%.60s\" is neither a known name (serverAuth, clientAuth, "
                                    "...) nor a dotted OID",
                                    name);
}

sm_err sm_name_from_message(const Sealmill__V1__Name *message, sm_arena *arena, sm_slice *der,
                            sm_diag *diag)
{
    struct sm_name name = {.count = 0};
    if (message->n_attributes > SM_NAME_ATTRIBUTES_MAX) {
        return sm_diag_set(diag, SM_ERR(TOO_LARGE), "subject", "more than %d attributes",
                           SM_NAME_ATTRIBUTES_MAX);
    }
    for (size_t i = 0; i < message->n_attributes; i++) {
        SM_TRY(sm_name_attribute_make(sm_slice_str(message->attributes[i]->type),
                                      sm_slice_str(message->attributes[i]->value), arena,
                                      &name.at[name.count], diag));
        name.at[name.count++].with_previous = false;
    }
    sm_buf out = sm_buf_init(65536);
    sm_name_write(&out, &name);
    sm_err err = sm_buf_err(&out);
    if (sm_ok(err)) {
        err = sm_arena_copy(arena, sm_buf_slice(&out), der);
    }
    sm_buf_deinit(&out);
    return err;
}

/* OtherName's content of [0]: type-id, [0] EXPLICIT value. */
static sm_err other_from_message(const Sealmill__V1__OtherName *other, sm_arena *arena,
                                 sm_slice *out)
{
    sm_slice oid;
    SM_TRY(dotted(other->type_id, arena, &oid));
    sm_buf der = sm_buf_init(65536);
    sm_der_write_oid(&der, oid);
    sm_der_write(&der, SM_DER_CTX_CONS(0), sm_slice_of(other->value.data, other->value.len));
    sm_err err = sm_buf_err(&der);
    if (sm_ok(err)) {
        err = sm_arena_copy(arena, sm_buf_slice(&der), out);
    }
    sm_buf_deinit(&der);
    return err;
}

sm_err sm_san_from_message(const Sealmill__V1__SubjectAltName *m, sm_arena *arena,
                           struct sm_san *out, sm_diag *diag)
{
    switch (m->name_case) {
    case SEALMILL__V1__SUBJECT_ALT_NAME__NAME_DNS:
        return sm_san_from_text(SM_LIT("dns"), sm_slice_str(m->dns), arena, out, diag);
    case SEALMILL__V1__SUBJECT_ALT_NAME__NAME_EMAIL:
        return sm_san_from_text(SM_LIT("email"), sm_slice_str(m->email), arena, out, diag);
    case SEALMILL__V1__SUBJECT_ALT_NAME__NAME_URI:
        return sm_san_from_text(SM_LIT("uri"), sm_slice_str(m->uri), arena, out, diag);
    case SEALMILL__V1__SUBJECT_ALT_NAME__NAME_IP:
        return sm_san_from_text(SM_LIT("ip"), sm_slice_str(m->ip), arena, out, diag);
    case SEALMILL__V1__SUBJECT_ALT_NAME__NAME_REGISTERED_ID:
        return sm_san_from_text(SM_LIT("registered_id"), sm_slice_str(m->registered_id), arena, out,
                                diag);
    case SEALMILL__V1__SUBJECT_ALT_NAME__NAME_DIRECTORY:
        out->kind = SM_SAN_DIRECTORY;
        return sm_name_from_message(m->directory, arena, &out->value, diag);
    case SEALMILL__V1__SUBJECT_ALT_NAME__NAME_OTHER:
        out->kind = SM_SAN_OTHER;
        return other_from_message(m->other, arena, &out->value);
    default:
        return sm_diag_set(diag, SM_ERR(INVALID), "sans",
                           "a name of one type is wanted (dns, ip, ...)");
    }
}

Sealmill__V1__SubjectAltName *sm_san_to_message(const struct sm_san *san, sm_arena *arena)
{
    Sealmill__V1__SubjectAltName *m = SM_ARENA_NEW(arena, Sealmill__V1__SubjectAltName);
    sm_buf text = sm_buf_init(65536);
    if (m == NULL || !sm_ok(sm_san_to_text(san, &text))) {
        sm_buf_deinit(&text);
        return NULL;
    }
    sealmill__v1__subject_alt_name__init(m);
    char *z = sm_arena_strdup(arena, sm_buf_slice(&text));
    sm_buf_deinit(&text);
    switch (san->kind) {
    case SM_SAN_EMAIL:
        m->name_case = SEALMILL__V1__SUBJECT_ALT_NAME__NAME_EMAIL;
        m->email = z;
        break;
    case SM_SAN_URI:
        m->name_case = SEALMILL__V1__SUBJECT_ALT_NAME__NAME_URI;
        m->uri = z;
        break;
    case SM_SAN_IP:
        m->name_case = SEALMILL__V1__SUBJECT_ALT_NAME__NAME_IP;
        m->ip = z;
        break;
    case SM_SAN_REGISTERED_ID:
        m->name_case = SEALMILL__V1__SUBJECT_ALT_NAME__NAME_REGISTERED_ID;
        m->registered_id = z;
        break;
    default: /* directory and other names in their text */
        m->name_case = SEALMILL__V1__SUBJECT_ALT_NAME__NAME_DNS;
        m->dns = z;
        break;
    }
    return z == NULL ? NULL : m;
}
