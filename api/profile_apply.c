/* SPDX-License-Identifier: Apache-2.0 */
/* A profile's rules against one request. */
#include "api/profile.h"

#include "base/check.h"
#include "sign/der.h"
#include "sign/oids.h"

#include <stdio.h>

#define SANS_DEFAULT_MAX 100 /* verifiers walk them all; a profile may say up to SM_SANS_MAX */

struct apply {
    const struct sm_profile *profile;
    const struct sm_profile_input *in;
    sm_arena *arena;
    struct sm_cert_params *out;
    sm_diag *diag;
};

bool sm_pattern_matches(const struct sm_pattern *pattern, sm_slice value, sm_arena *arena)
{
    char *z = sm_arena_strdup(arena, value);
    return z != NULL && strlen(z) == value.len && regexec(&pattern->regex, z, 0, NULL, 0) == 0;
}

/* ---- templates: "{source.key}" ---- */

static sm_slice csr_attribute(struct apply *a, sm_slice type)
{
    struct sm_name name;
    sm_slice oid;
    if (!sm_ok(sm_name_parse(a->in->csr->subject, &name, NULL)) ||
        !sm_ok(sm_attribute_oid(type, a->arena, &oid))) {
        return SM_SLICE_NONE;
    }
    for (size_t i = 0; i < name.count; i++) {
        if (sm_slice_equal(name.at[i].oid, oid)) {
            return name.at[i].value;
        }
    }
    return SM_SLICE_NONE;
}

static sm_slice metadata(struct apply *a, sm_slice key)
{
    for (size_t i = 0; i < a->in->request->n_metadata; i++) {
        if (sm_slice_equal(sm_slice_str(a->in->request->metadata[i]->key), key)) {
            return sm_slice_str(a->in->request->metadata[i]->value);
        }
    }
    return SM_SLICE_NONE;
}

static sm_slice first_san(struct apply *a, sm_slice type)
{
    const struct sm_extension *ext = sm_csr_extension(a->in->csr, SM_OID_SUBJECT_ALT_NAME);
    struct sm_san *sans;
    size_t count = 0;
    if (ext == NULL || !sm_ok(sm_sans_parse(ext->value, true, a->arena, &sans, &count, NULL))) {
        return SM_SLICE_NONE;
    }
    for (size_t i = 0; i < count; i++) {
        if (sm_slice_equal(sm_slice_str(sm_san_kind_name(sans[i].kind)), type)) {
            return sans[i].value;
        }
    }
    return SM_SLICE_NONE;
}

static sm_slice placeholder(struct apply *a, sm_slice name)
{
    sm_slice source = sm_slice_split(&name, '.');
    if (sm_slice_equal(source, SM_LIT("csr"))) {
        return csr_attribute(a, name);
    }
    if (sm_slice_equal(source, SM_LIT("metadata"))) {
        return metadata(a, name);
    }
    if (sm_slice_equal(source, SM_LIT("san"))) {
        return first_san(a, name);
    }
    return sm_slice_equal(source, SM_LIT("caller")) ? sm_slice_str(a->in->caller) : SM_SLICE_NONE;
}

/* Fills the placeholders in. Inside a name, what is filled in is escaped, so that it stays one
 * value. */
static sm_err expand(struct apply *a, const char *template, bool name, const char *field,
                     sm_slice *out)
{
    sm_buf text = sm_buf_init(16384);
    sm_slice rest = sm_slice_str(template);
    sm_err err = SM_NO_ERR;
    while (rest.len > 0 && sm_ok(err)) {
        size_t open = sm_slice_find(rest, '{');
        sm_buf_put(&text, sm_slice_first(rest, open));
        if (open == rest.len) {
            break;
        }
        rest = sm_slice_from(rest, open + 1);
        size_t close = sm_slice_find(rest, '}');
        sm_slice key = sm_slice_first(rest, close);
        sm_slice value = placeholder(a, key);
        char shown[48];
        if (value.len == 0) {
            err = sm_diag_set(a->diag, SM_ERR(POLICY), field,
                              "the profile needs {%s}, which the request does not bring",
                              sm_diag_escape(key, shown, sizeof(shown)));
        }
        for (size_t i = 0; i < value.len; i++) {
            if (name && memchr(",+\"\\<>;=#", value.ptr[i], 9) != NULL) {
                sm_buf_put_byte(&text, '\\');
            }
            sm_buf_put_byte(&text, value.ptr[i]);
        }
        rest = sm_slice_from(rest, close + 1);
    }
    err = sm_ok(err) ? sm_buf_err(&text) : err;
    err = sm_ok(err) ? sm_arena_copy(a->arena, sm_buf_slice(&text), out) : err;
    sm_buf_deinit(&text);
    return err;
}

/* ---- subject ---- */

static sm_err encode_name(struct apply *a, const struct sm_name *name)
{
    sm_buf der = sm_buf_init(65536);
    sm_name_write(&der, name);
    sm_err err = sm_buf_err(&der);
    err = sm_ok(err) ? sm_arena_copy(a->arena, sm_buf_slice(&der), &a->out->subject) : err;
    sm_buf_deinit(&der);
    return err;
}

static sm_err check_attribute(struct apply *a, const Sealmill__V1__SubjectRules *rules,
                              struct sm_name_attribute *at)
{
    const char *shown = sm_attribute_short_name(at->oid);
    for (size_t i = 0; i < rules->n_rules; i++) {
        const Sealmill__V1__AttributeRule *rule = rules->rules[i];
        sm_slice oid;
        SM_TRY(sm_attribute_oid(sm_slice_str(rule->type), a->arena, &oid));
        if (!sm_slice_equal(oid, at->oid)) {
            continue;
        }
        if (rule->fixed[0] != '\0') {
            bool joined = at->with_previous;
            SM_TRY(sm_name_attribute_make(sm_slice_str(rule->type), sm_slice_str(rule->fixed),
                                          a->arena, at, a->diag));
            at->with_previous = joined;
            return SM_NO_ERR;
        }
        if (rule->max_length != 0 && at->value.len > rule->max_length) {
            return sm_diag_set(a->diag, SM_ERR(POLICY), "subject", "%s is longer than %u octets",
                               rule->type, rule->max_length);
        }
        if (a->profile->subject_patterns[i].used &&
            !sm_pattern_matches(&a->profile->subject_patterns[i], at->value, a->arena)) {
            return sm_diag_set(a->diag, SM_ERR(POLICY), "subject",
                               "%s does not match the profile's pattern", rule->type);
        }
        return SM_NO_ERR;
    }
    return sm_diag_set(a->diag, SM_ERR(POLICY), "subject",
                       "the profile does not allow the attribute %s",
                       shown == NULL ? "(unknown)" : shown);
}

static sm_err check_required(struct apply *a, const Sealmill__V1__SubjectRules *rules,
                             struct sm_name *name)
{
    for (size_t i = 0; i < rules->n_rules; i++) {
        const Sealmill__V1__AttributeRule *rule = rules->rules[i];
        sm_slice oid;
        bool found = false;
        SM_TRY(sm_attribute_oid(sm_slice_str(rule->type), a->arena, &oid));
        for (size_t j = 0; j < name->count; j++) {
            found = found || sm_slice_equal(name->at[j].oid, oid);
        }
        if (!found && rule->fixed[0] != '\0' && name->count < SM_NAME_ATTRIBUTES_MAX) {
            SM_TRY(sm_name_attribute_make(sm_slice_str(rule->type), sm_slice_str(rule->fixed),
                                          a->arena, &name->at[name->count], a->diag));
            name->at[name->count++].with_previous = false;
        } else if (!found && rule->required) {
            return sm_diag_set(a->diag, SM_ERR(POLICY), "subject", "%s is required", rule->type);
        }
    }
    return SM_NO_ERR;
}

static sm_err copy_subject(struct apply *a, const Sealmill__V1__SubjectRules *rules)
{
    const Sealmill__V1__IssueRequest *request = a->in->request;
    struct sm_name name;
    sm_slice der = a->in->csr->subject;
    if (request->subject != NULL) {
        if (rules == NULL || !rules->allow_override) {
            return sm_diag_set(a->diag, SM_ERR(POLICY), "subject",
                               "the profile takes the subject from the CSR alone");
        }
        SM_TRY(sm_name_from_message(request->subject, a->arena, &der, a->diag));
    }
    SM_TRY(sm_name_parse(der, &name, a->diag));
    if (rules == NULL || rules->n_rules == 0) {
        a->out->subject = der;
        return SM_NO_ERR;
    }
    for (size_t i = 0; i < name.count; i++) {
        SM_TRY(check_attribute(a, rules, &name.at[i]));
    }
    SM_TRY(check_required(a, rules, &name));
    return encode_name(a, &name);
}

static sm_err apply_subject(struct apply *a)
{
    const Sealmill__V1__SubjectRules *rules = a->profile->message->subject;
    struct sm_name name = {.count = 0};
    if (rules != NULL && rules->source == SEALMILL__V1__SUBJECT_RULES__SOURCE__SOURCE_EMPTY) {
        return encode_name(a, &name);
    }
    if (rules != NULL && rules->template_[0] != '\0') {
        sm_slice text;
        SM_TRY(expand(a, rules->template_, true, "subject", &text));
        SM_TRY(sm_name_from_text(text, a->arena, &name, a->diag));
        return encode_name(a, &name);
    }
    return copy_subject(a, rules);
}

/* ---- SANs ---- */

static sm_err check_san(struct apply *a, const Sealmill__V1__SanRules *rules,
                        const struct sm_san *san)
{
    const char *kind = sm_san_kind_name(san->kind);
    SM_TRY(sm_san_check(san, rules != NULL && rules->allow_wildcards, a->diag));
    if ((a->profile->san_kinds >> (unsigned)san->kind & 1U) == 0) {
        return sm_diag_set(a->diag, SM_ERR(POLICY), "sans",
                           "the profile does not allow names of type %s", kind);
    }
    bool ruled = false;
    bool good = false;
    for (size_t i = 0; rules != NULL && i < rules->n_patterns; i++) {
        if (strcmp(rules->patterns[i]->type, kind) == 0 && a->profile->san_patterns[i].used) {
            ruled = true;
            sm_buf text = sm_buf_init(8192);
            good = good || (sm_ok(sm_san_to_text(san, &text)) &&
                            sm_pattern_matches(&a->profile->san_patterns[i], sm_buf_slice(&text),
                                               a->arena));
            sm_buf_deinit(&text);
        }
    }
    if (ruled && !good) {
        return sm_diag_set(a->diag, SM_ERR(POLICY), "sans",
                           "a name of type %s matches none of the profile's patterns", kind);
    }
    return SM_NO_ERR;
}

/* Names of the CSR, or of the request in their place. */
static sm_err base_sans(struct apply *a, const Sealmill__V1__SanRules *rules, struct sm_san **sans,
                        size_t *count)
{
    const Sealmill__V1__IssueRequest *request = a->in->request;
    const struct sm_extension *ext = sm_csr_extension(a->in->csr, SM_OID_SUBJECT_ALT_NAME);
    *count = 0;
    *sans = NULL;
    if (request->n_sans > 0) {
        if (rules == NULL || !rules->allow_override) {
            return sm_diag_set(a->diag, SM_ERR(POLICY), "sans",
                               "the profile takes SANs from the CSR alone");
        }
        if (request->n_sans > SM_SANS_MAX) {
            return sm_diag_set(a->diag, SM_ERR(TOO_LARGE), "sans", "more than %d names",
                               SM_SANS_MAX);
        }
        *sans = sm_arena_alloc(a->arena, request->n_sans * sizeof(**sans));
        for (; *sans != NULL && *count < request->n_sans; (*count)++) {
            SM_TRY(sm_san_from_message(request->sans[*count], a->arena, &(*sans)[*count], a->diag));
        }
        return *sans == NULL ? SM_ERR(NO_MEMORY) : SM_NO_ERR;
    }
    if (ext != NULL && rules != NULL && rules->copy) {
        return sm_sans_parse(ext->value, rules->allow_wildcards, a->arena, sans, count, a->diag);
    }
    return SM_NO_ERR;
}

static sm_err add_template_san(struct apply *a, const char *template, struct sm_san *out)
{
    sm_slice text;
    SM_TRY(expand(a, template, false, "sans", &text));
    sm_slice type = sm_slice_split(&text, ':');
    return sm_san_from_text(type, text, a->arena, out, a->diag);
}

static sm_err apply_sans(struct apply *a)
{
    const Sealmill__V1__SanRules *rules = a->profile->message->sans;
    struct sm_san *base;
    size_t count;
    SM_TRY(base_sans(a, rules, &base, &count));
    size_t extra = rules == NULL ? 0 : rules->n_templates + 1;
    struct sm_san *all = sm_arena_alloc(a->arena, (count + extra) * sizeof(*all));
    if (all == NULL) {
        return SM_ERR(NO_MEMORY);
    }
    if (count > 0) {
        memcpy(all, base, count * sizeof(*all));
    }
    for (size_t i = 0; rules != NULL && i < rules->n_templates; i++) {
        SM_TRY(add_template_san(a, rules->templates[i], &all[count]));
        count += !sm_sans_have(all, count, &all[count]);
    }
    if (rules != NULL && rules->add_cn) {
        struct sm_san cn = {SM_SAN_DNS, csr_attribute(a, SM_LIT("CN"))};
        if (sm_ok(sm_san_check(&cn, rules->allow_wildcards, NULL)) &&
            !sm_sans_have(all, count, &cn)) {
            all[count++] = cn;
        }
    }
    size_t max = rules == NULL || rules->max_count == 0 ? SANS_DEFAULT_MAX : rules->max_count;
    if (count > max) {
        return sm_diag_set(a->diag, SM_ERR(POLICY), "sans", "%zu names, the profile allows %zu",
                           count, max);
    }
    if (count == 0 && rules != NULL && rules->required) {
        return sm_diag_set(a->diag, SM_ERR(POLICY), "sans", "the profile requires a SAN");
    }
    for (size_t i = 0; i < count; i++) {
        SM_TRY(check_san(a, rules, &all[i]));
    }
    a->out->sans = all;
    a->out->san_count = count;
    return SM_NO_ERR;
}

/* ---- the rest ---- */

static sm_err apply_validity(struct apply *a)
{
    const Sealmill__V1__IssueRequest *request = a->in->request;
    const Sealmill__V1__ValidityRules *rules = a->profile->message->validity;
    int64_t seconds = request->validity_seconds == 0 ? a->profile->validity_s
                                                     : request->validity_seconds;
    if (seconds <= 0 || seconds > a->profile->maximum_s) {
        return sm_diag_set(a->diag, SM_ERR(POLICY), "validity_seconds",
                           "%lld is not between 1 and the profile's maximum %lld",
                           (long long)seconds, (long long)a->profile->maximum_s);
    }
    int64_t start = a->in->now;
    a->out->not_before = start - a->profile->backdate_s;
    if (request->not_before != NULL) {
        if (rules == NULL || !rules->allow_not_before) {
            return sm_diag_set(a->diag, SM_ERR(POLICY), "not_before",
                               "the profile does not let requests set it");
        }
        start = request->not_before->seconds; /* any number: the sum below must fit */
        if (start > a->in->ca_not_after) {
            return sm_diag_set(a->diag, SM_ERR(POLICY), "not_before",
                               "it is after the end of the CA's own certificate");
        }
        a->out->not_before = start;
    }
    if (a->out->not_before < a->in->ca_not_before) {
        a->out->not_before = a->in->ca_not_before;
    }
    /* RFC 5280 4.1.2.5: the period includes its last second. */
    a->out->not_after = start + seconds - 1;
    if (a->out->not_after > a->in->ca_not_after) {
        if (rules != NULL && rules->refuse_past_ca) {
            return sm_diag_set(a->diag, SM_ERR(POLICY), "validity_seconds",
                               "it would end after the CA's own certificate");
        }
        a->out->not_after = a->in->ca_not_after;
    }
    if (a->out->not_after <= a->in->now || a->out->not_after <= a->out->not_before) {
        return sm_diag_set(a->diag, SM_ERR(POLICY), "validity_seconds",
                           a->out->not_after == a->in->ca_not_after
                               ? "nothing would be left of it: the CA's own certificate ends"
                               : "it is over before the certificate is there: ask for longer");
    }
    return SM_NO_ERR;
}

static bool is_honoured(const struct sm_profile *p, sm_slice oid)
{
    for (size_t i = 0; i < p->honoured_count; i++) {
        if (sm_slice_equal(p->honoured[i], oid)) {
            return true;
        }
    }
    return false;
}

static bool is_fixed(const struct sm_profile *p, sm_slice oid)
{
    for (size_t i = 0; i < p->extension_count; i++) {
        if (sm_slice_equal(p->extensions[i].oid, oid)) {
            return true;
        }
    }
    return false;
}

/* RFC 5280 4.2.1.3: keyCertSign only with cA; cRLSign verifies the CA's own lists. */
#define KEY_USAGE_OF_CAS 0x06 /* bits 5 and 6 of the first octet */

static bool is_for_cas(sm_slice key_usage)
{
    sm_der d = sm_der_init(key_usage);
    sm_slice bits = sm_der_read(&d, SM_DER_BIT_STRING); /* the count of unused bits, octets */
    return !sm_ok(sm_der_finish(&d)) || bits.len < 2 || (bits.ptr[1] & KEY_USAGE_OF_CAS) != 0;
}

/* RFC 6960 4.2.2.2: with it the certificate's key could answer for the CA. */
static bool may_answer_ocsp(sm_slice eku)
{
    sm_der d = sm_der_init(eku);
    sm_der list = sm_der_enter(&d, SM_DER_SEQUENCE);
    bool found = false;
    while (!sm_der_at_end(&list)) {
        sm_slice oid = sm_der_read_oid(&list);
        found = found || sm_slice_equal(oid, SM_OID_EKU_OCSP_SIGNING);
    }
    sm_der_leave(&d, &list);
    return !sm_ok(sm_der_finish(&d)) || found;
}

/* What a requester may not have by asking, even where the profile honours the extension. */
static sm_err check_honoured(struct apply *a, const struct sm_extension *ext)
{
    const Sealmill__V1__BasicConstraints *bc = a->profile->message->basic_constraints;
    bool is_ca = bc != NULL && bc->ca;
    if (sm_slice_equal(ext->oid, SM_OID_KEY_USAGE) && !is_ca && is_for_cas(ext->value)) {
        return sm_diag_set(a->diag, SM_ERR(POLICY), "csr.extensions.key_usage",
                           "keyCertSign and cRLSign are for CAs, which this profile does not make");
    }
    if (sm_slice_equal(ext->oid, SM_OID_EKU) && may_answer_ocsp(ext->value)) {
        return sm_diag_set(a->diag, SM_ERR(POLICY), "csr.extensions.extended_key_usage",
                           "it is no list of purposes, or OCSPSigning is in it, which only a "
                           "profile can give");
    }
    return SM_NO_ERR;
}

static sm_err apply_extensions(struct apply *a)
{
    const struct sm_csr *csr = a->in->csr;
    struct sm_extension *list = sm_arena_alloc(a->arena,
                                               (csr->extension_count + 1) * sizeof(*list));
    if (list == NULL) {
        return SM_ERR(NO_MEMORY);
    }
    size_t count = 0;
    for (size_t i = 0; i < csr->extension_count; i++) {
        const struct sm_extension *ext = &csr->extensions[i];
        bool identity = sm_slice_equal(ext->oid, SM_OID_SUBJECT_ALT_NAME) ||
                        sm_slice_equal(ext->oid, SM_OID_SUBJECT_KEY_ID) ||
                        sm_slice_equal(ext->oid, SM_OID_BASIC_CONSTRAINTS);
        if (!identity && is_honoured(a->profile, ext->oid) && !is_fixed(a->profile, ext->oid)) {
            SM_TRY(check_honoured(a, ext));
            list[count++] = *ext;
        } else if (!identity && a->profile->message->refuse_unknown_csr_extensions &&
                   !is_fixed(a->profile, ext->oid)) {
            return sm_diag_set(a->diag, SM_ERR(POLICY), "csr.extensions",
                               "the profile does not honour an extension of the CSR");
        }
    }
    a->out->extensions = list;
    a->out->extension_count = count;
    return SM_NO_ERR;
}

sm_err sm_profile_apply(const struct sm_profile *profile, const struct sm_profile_input *input,
                        sm_arena *arena, struct sm_cert_params *params, sm_diag *diag)
{
    struct apply a = {profile, input, arena, params, diag};
    enum sm_key_type type = input->csr->key.type;
    if ((profile->key_types >> (unsigned)type & 1U) == 0) {
        return sm_diag_set(diag, SM_ERR(POLICY), "csr.key", "the profile does not allow %s keys",
                           sm_key_type_name(type));
    }
    SM_TRY(apply_subject(&a));
    SM_TRY(apply_sans(&a));
    bool empty = params->subject.len <= 2;
    params->sans_critical = empty; /* RFC 5280 4.2.1.6 */
    if (empty && params->san_count == 0) {
        return sm_diag_set(diag, SM_ERR(POLICY), "subject",
                           "neither a subject nor a SAN: the certificate would name nobody");
    }
    SM_TRY(apply_validity(&a));
    return apply_extensions(&a);
}
