/* SPDX-License-Identifier: Apache-2.0 */
#include "api/profile.h"

#include "base/check.h"
#include "base/clock.h"
#include "base/text.h"
#include "sign/der.h"
#include "sign/oids.h"

#include <stdio.h>

#define DEFAULT_VALIDITY "90d"
#define DEFAULT_BACKDATE "5m" /* clocks of relying parties differ */
#define DEFAULT_KEY_TYPES                                                                \
    (1U << SM_KEY_P256 | 1U << SM_KEY_P384 | 1U << SM_KEY_P521 | 1U << SM_KEY_RSA_2048 | \
     1U << SM_KEY_RSA_3072 | 1U << SM_KEY_RSA_4096 | 1U << SM_KEY_ED25519)
#define DEFAULT_SAN_KINDS \
    (1U << SM_SAN_DNS | 1U << SM_SAN_IP | 1U << SM_SAN_EMAIL | 1U << SM_SAN_URI)

static bool given(const char *s)
{
    return s != NULL && s[0] != '\0';
}

/* What is over a limit is refused: a list cut short would be another rule than the one written. */
static sm_err check_count(size_t count, size_t max, const char *field, sm_diag *diag)
{
    return count <= max ? SM_NO_ERR
                        : sm_diag_set(diag, SM_ERR(TOO_LARGE), field, "more than %zu entries", max);
}

sm_err sm_pattern_compile(const char *text, struct sm_pattern *out, const char *field,
                          sm_diag *diag)
{
    char anchored[1024];
    if (!given(text)) {
        return SM_NO_ERR;
    }
    int n = snprintf(anchored, sizeof(anchored), "^(%s)$", text);
    if (n < 0 || (size_t)n >= sizeof(anchored) ||
        regcomp(&out->regex, anchored, REG_EXTENDED | REG_NOSUB) != 0) {
        return sm_diag_set(diag, SM_ERR(INVALID), field,
                           "\"%.80s\" is not a POSIX extended regular expression", text);
    }
    out->used = true;
    return SM_NO_ERR;
}

static sm_err compile_duration(const char *text, const char *fallback, const char *field,
                               int64_t *out, sm_diag *diag)
{
    const char *chosen = given(text) ? text : fallback;
    if (!sm_ok(sm_duration_parse(sm_slice_str(chosen), out))) {
        return sm_diag_set(diag, SM_ERR(INVALID), field,
                           "\"%.40s\" is not a duration such as 90d or 12h", chosen);
    }
    return SM_NO_ERR;
}

static sm_err compile_validity(const Sealmill__V1__ValidityRules *rules, struct sm_profile *out,
                               sm_diag *diag)
{
    Sealmill__V1__ValidityRules none;
    sealmill__v1__validity_rules__init(&none);
    const Sealmill__V1__ValidityRules *r = rules == NULL ? &none : rules;
    SM_TRY(compile_duration(r->default_, DEFAULT_VALIDITY, "validity.default", &out->validity_s,
                            diag));
    SM_TRY(compile_duration(r->maximum, given(r->default_) ? r->default_ : DEFAULT_VALIDITY,
                            "validity.maximum", &out->maximum_s, diag));
    SM_TRY(compile_duration(r->backdate, DEFAULT_BACKDATE, "validity.backdate", &out->backdate_s,
                            diag));
    if (out->validity_s > out->maximum_s || out->validity_s <= 0) {
        return sm_diag_set(diag, SM_ERR(INVALID), "validity.default",
                           "it must be positive and at most the maximum");
    }
    return SM_NO_ERR;
}

static bool san_kind_of(const char *name, unsigned *bit)
{
    for (unsigned i = 0; i <= SM_SAN_REGISTERED_ID; i++) {
        if (strcmp(name, sm_san_kind_name((enum sm_san_kind)i)) == 0) {
            *bit = 1U << i;
            return true;
        }
    }
    return false;
}

/* What stands between '{' and '}': a source that there is, and a name that it can have. */
static bool placeholder_is_good(sm_slice name, sm_arena *arena)
{
    unsigned bit;
    sm_slice oid;
    sm_slice source = sm_slice_split(&name, '.');
    if (sm_slice_equal(source, SM_LIT("csr"))) {
        return sm_ok(sm_attribute_oid(name, arena, &oid));
    }
    if (sm_slice_equal(source, SM_LIT("san"))) {
        char *z = sm_arena_strdup(arena, name);
        return z != NULL && san_kind_of(z, &bit);
    }
    return sm_slice_equal(source, SM_LIT("metadata")) ? name.len > 0
                                                      : sm_slice_equal(source, SM_LIT("caller"));
}

static sm_err check_template(const char *text, sm_arena *arena, const char *field, sm_diag *diag)
{
    sm_slice rest = sm_slice_str(text);
    for (;;) {
        char shown[48];
        rest = sm_slice_from(rest, sm_slice_find(rest, '{'));
        if (rest.len == 0) {
            return SM_NO_ERR;
        }
        rest = sm_slice_from(rest, 1);
        size_t close = sm_slice_find(rest, '}');
        sm_slice name = sm_slice_first(rest, close);
        if (close == rest.len || !placeholder_is_good(name, arena)) {
            return sm_diag_set(
                diag, SM_ERR(INVALID), field,
                "\"{%s\" is not one of {csr.CN}, {metadata.key}, {san.dns}, {caller}",
                sm_diag_escape(name, shown, sizeof(shown)));
        }
        rest = sm_slice_from(rest, close + 1);
    }
}

static sm_err compile_subject(const Sealmill__V1__SubjectRules *rules, sm_arena *arena,
                              struct sm_profile *out, sm_diag *diag)
{
    if (rules == NULL) {
        return SM_NO_ERR;
    }
    if (rules->n_rules > SM_PROFILE_RULES_MAX) {
        return sm_diag_set(diag, SM_ERR(TOO_LARGE), "subject.rules", "more than %d rules",
                           SM_PROFILE_RULES_MAX);
    }
    if (rules->source == SEALMILL__V1__SUBJECT_RULES__SOURCE__SOURCE_TEMPLATE &&
        !given(rules->template_)) {
        return sm_diag_set(diag, SM_ERR(INVALID), "subject.template",
                           "it is needed with source: template");
    }
    if (given(rules->template_) &&
        rules->source != SEALMILL__V1__SUBJECT_RULES__SOURCE__SOURCE_TEMPLATE &&
        rules->source != SEALMILL__V1__SUBJECT_RULES__SOURCE__SOURCE_UNSPECIFIED) {
        return sm_diag_set(diag, SM_ERR(INVALID), "subject.template",
                           "it is not used with source: copy or empty");
    }
    SM_TRY(check_template(rules->template_, arena, "subject.template", diag));
    for (size_t i = 0; i < rules->n_rules; i++) {
        sm_slice oid;
        if (!sm_ok(sm_attribute_oid(sm_slice_str(rules->rules[i]->type), arena, &oid))) {
            return sm_diag_set(diag, SM_ERR(INVALID), "subject.rules.type",
                               "\"%.40s\" is neither an attribute's name nor a dotted OID",
                               rules->rules[i]->type);
        }
        SM_TRY(sm_pattern_compile(rules->rules[i]->pattern, &out->subject_patterns[i],
                                  "subject.rules.pattern", diag));
    }
    return SM_NO_ERR;
}

static sm_err compile_sans(const Sealmill__V1__SanRules *rules, sm_arena *arena,
                           struct sm_profile *out, sm_diag *diag)
{
    out->san_kinds = DEFAULT_SAN_KINDS;
    if (rules == NULL) {
        return SM_NO_ERR;
    }
    if (rules->n_patterns > SM_PROFILE_RULES_MAX) {
        return sm_diag_set(diag, SM_ERR(TOO_LARGE), "sans.patterns", "more than %d patterns",
                           SM_PROFILE_RULES_MAX);
    }
    for (size_t i = 0; i < rules->n_templates; i++) {
        SM_TRY(check_template(rules->templates[i], arena, "sans.templates", diag));
    }
    if (rules->n_types > 0) {
        out->san_kinds = 0;
    }
    unsigned bit = 0;
    for (size_t i = 0; i < rules->n_types; i++) {
        if (!san_kind_of(rules->types[i], &bit)) {
            return sm_diag_set(diag, SM_ERR(INVALID), "sans.types",
                               "\"%.40s\" is not a type of name", rules->types[i]);
        }
        out->san_kinds |= bit;
    }
    for (size_t i = 0; i < rules->n_patterns; i++) {
        if (!san_kind_of(rules->patterns[i]->type, &bit)) {
            return sm_diag_set(diag, SM_ERR(INVALID), "sans.patterns.type",
                               "\"%.40s\" is not a type of name", rules->patterns[i]->type);
        }
        SM_TRY(sm_pattern_compile(rules->patterns[i]->pattern, &out->san_patterns[i],
                                  "sans.patterns.pattern", diag));
    }
    return SM_NO_ERR;
}

/* Adds a fixed extension with the value that was written to `value`. */
static sm_err add_extension(struct sm_profile *out, sm_arena *arena, sm_slice oid, bool critical,
                            sm_buf *value, sm_diag *diag)
{
    if (out->extension_count == SM_PROFILE_EXTENSIONS_MAX) {
        return sm_diag_set(diag, SM_ERR(TOO_LARGE), "extensions", "more than %d extensions",
                           SM_PROFILE_EXTENSIONS_MAX);
    }
    for (size_t i = 0; i < out->extension_count; i++) {
        if (sm_slice_equal(out->extensions[i].oid, oid)) {
            return sm_diag_set(diag, SM_ERR(INVALID), "extensions", "an extension is given twice");
        }
    }
    struct sm_extension *ext = &out->extensions[out->extension_count];
    SM_TRY(sm_buf_err(value));
    ext->oid = oid;
    ext->critical = critical;
    SM_TRY(sm_arena_copy(arena, sm_buf_slice(value), &ext->value));
    out->extension_count++;
    sm_buf_reset(value);
    return SM_NO_ERR;
}

static sm_err add_usages(const Sealmill__V1__Profile *m, sm_arena *arena, struct sm_profile *out,
                         sm_buf *value, sm_diag *diag)
{
    if (m->n_key_usage > 0) {
        uint32_t bits;
        SM_TRY(sm_key_usage_parse(m->key_usage, m->n_key_usage, &bits, diag));
        sm_ext_key_usage(value, bits);
        SM_TRY(add_extension(out, arena, SM_OID_KEY_USAGE, true, value,
                             diag)); /* RFC 5280 4.2.1.3: SHOULD be critical */
    }
    if (m->n_extended_key_usage > 0) {
        sm_slice oids[64];
        size_t count = m->n_extended_key_usage;
        SM_TRY(check_count(count, SM_ARRAY_LEN(oids), "extended_key_usage", diag));
        for (size_t i = 0; i < count; i++) {
            SM_TRY(sm_eku_parse(m->extended_key_usage[i], arena, &oids[i], diag));
        }
        SM_TRY(sm_ext_eku(value, oids, count));
        SM_TRY(add_extension(out, arena, SM_OID_EKU, m->extended_key_usage_critical, value, diag));
    }
    return SM_NO_ERR;
}

static sm_err add_constraints(const Sealmill__V1__Profile *m, sm_arena *arena,
                              struct sm_profile *out, sm_buf *value, sm_diag *diag)
{
    const Sealmill__V1__BasicConstraints *bc = m->basic_constraints;
    if (bc != NULL && (bc->ca || bc->present)) {
        sm_ext_basic_constraints(value, bc->ca, bc->path_length_set ? bc->path_length : -1);
        SM_TRY(add_extension(out, arena, SM_OID_BASIC_CONSTRAINTS, true, value, diag));
    }
    if (m->name_constraints == NULL) {
        return SM_NO_ERR;
    }
    struct sm_san permitted[64];
    struct sm_san excluded[64];
    size_t np = m->name_constraints->n_permitted;
    size_t ne = m->name_constraints->n_excluded;
    SM_TRY(check_count(np, SM_ARRAY_LEN(permitted), "name_constraints.permitted", diag));
    SM_TRY(check_count(ne, SM_ARRAY_LEN(excluded), "name_constraints.excluded", diag));
    for (size_t i = 0; i < np; i++) {
        SM_TRY(sm_san_from_message(m->name_constraints->permitted[i], arena, &permitted[i], diag));
    }
    for (size_t i = 0; i < ne; i++) {
        SM_TRY(sm_san_from_message(m->name_constraints->excluded[i], arena, &excluded[i], diag));
    }
    SM_TRY(sm_ext_name_constraints(value, permitted, np, excluded, ne));
    return add_extension(out, arena, SM_OID_NAME_CONSTRAINTS, true, value,
                         diag); /* RFC 5280 4.2.1.10: critical */
}

#define POLICIES_MAX 16

static sm_err to_slices(char *const *texts, size_t count, sm_slice out[SM_PROFILE_URLS_MAX],
                        const char *field, sm_diag *diag)
{
    SM_TRY(check_count(count, SM_PROFILE_URLS_MAX, field, diag));
    for (size_t i = 0; i < count; i++) {
        out[i] = sm_slice_str(texts[i]);
    }
    return SM_NO_ERR;
}

static sm_err add_pointers(const Sealmill__V1__Profile *m, sm_arena *arena, struct sm_profile *out,
                           sm_buf *value, sm_diag *diag)
{
    sm_slice a[SM_PROFILE_URLS_MAX];
    sm_slice b[SM_PROFILE_URLS_MAX];
    SM_TRY(to_slices(m->ocsp_urls, m->n_ocsp_urls, a, "ocsp_urls", diag));
    SM_TRY(to_slices(m->ca_issuer_urls, m->n_ca_issuer_urls, b, "ca_issuer_urls", diag));
    if (m->n_ocsp_urls + m->n_ca_issuer_urls > 0) {
        SM_TRY(sm_ext_aia(value, a, m->n_ocsp_urls, b, m->n_ca_issuer_urls));
        SM_TRY(add_extension(out, arena, SM_OID_AIA, false, value, diag));
    }
    SM_TRY(to_slices(m->crl_urls, m->n_crl_urls, a, "crl_urls", diag));
    if (m->n_crl_urls > 0) {
        SM_TRY(sm_ext_crl_dp(value, a, m->n_crl_urls));
        SM_TRY(add_extension(out, arena, SM_OID_CRL_DP, false, value, diag));
    }
    return SM_NO_ERR;
}

static sm_err oid_of(const char *text, sm_arena *arena, sm_slice *out, const char *field,
                     sm_diag *diag)
{
    sm_buf der = sm_buf_init(128);
    sm_err err = sm_oid_from_text(sm_slice_str(text), &der);
    err = sm_ok(err)
              ? sm_arena_copy(arena, sm_buf_slice(&der), out)
              : sm_diag_set(diag, SM_ERR(INVALID), field, "\"%.60s\" is not a dotted OID", text);
    sm_buf_deinit(&der);
    return err;
}

static sm_err add_policies(const Sealmill__V1__Profile *m, sm_arena *arena, struct sm_profile *out,
                           sm_buf *value, sm_diag *diag)
{
    struct sm_policy policies[POLICIES_MAX];
    sm_slice cps[POLICIES_MAX][SM_PROFILE_URLS_MAX];
    size_t count = m->n_policies;
    if (count == 0) {
        return SM_NO_ERR;
    }
    SM_TRY(check_count(count, POLICIES_MAX, "policies", diag));
    for (size_t i = 0; i < count; i++) {
        SM_TRY(oid_of(m->policies[i]->oid, arena, &policies[i].oid, "policies.oid", diag));
        policies[i].cps = cps[i];
        policies[i].cps_count = m->policies[i]->n_cps;
        SM_TRY(to_slices(m->policies[i]->cps, m->policies[i]->n_cps, cps[i], "policies.cps", diag));
    }
    SM_TRY(sm_ext_policies(value, policies, count));
    return add_extension(out, arena, SM_OID_CERTIFICATE_POLICIES, false, value, diag);
}

/* These come from the request or the CA: from a second place they would stand in the certificate
 * twice (RFC 5280 4.2: MUST NOT). */
/* They say what a CA is, or where its lists are: no request decides that. */
static bool is_of_cas(sm_slice oid)
{
    return sm_slice_equal(oid, SM_OID_BASIC_CONSTRAINTS) ||
           sm_slice_equal(oid, SM_OID_NAME_CONSTRAINTS) || sm_slice_equal(oid, SM_OID_CRL_DP) ||
           sm_slice_equal(oid, SM_OID_AIA) || sm_slice_equal(oid, SM_OID_OCSP_NO_CHECK);
}

static bool has_its_own_place(sm_slice oid)
{
    return sm_slice_equal(oid, SM_OID_SUBJECT_ALT_NAME) ||
           sm_slice_equal(oid, SM_OID_SUBJECT_KEY_ID) ||
           sm_slice_equal(oid, SM_OID_AUTHORITY_KEY_ID);
}

static sm_err add_custom(const Sealmill__V1__Profile *m, sm_arena *arena, struct sm_profile *out,
                         sm_buf *value, sm_diag *diag)
{
    for (size_t i = 0; i < m->n_extensions; i++) {
        sm_slice oid;
        SM_TRY(oid_of(m->extensions[i]->oid, arena, &oid, "extensions.oid", diag));
        if (has_its_own_place(oid)) {
            return sm_diag_set(diag, SM_ERR(INVALID), "extensions.oid",
                               "%s is written by itself, from the request or the CA",
                               m->extensions[i]->oid);
        }
        if (!sm_ok(sm_hex_decode(value, sm_slice_str(m->extensions[i]->der_hex), true))) {
            return sm_diag_set(diag, SM_ERR(INVALID), "extensions.der_hex", "not hexadecimal");
        }
        sm_der d = sm_der_init(sm_buf_slice(value));
        (void)sm_der_read_raw(&d);
        if (!sm_ok(sm_der_finish(&d))) {
            return sm_diag_set(diag, SM_ERR(INVALID), "extensions.der_hex", "not one DER element");
        }
        SM_TRY(add_extension(out, arena, oid, m->extensions[i]->critical, value, diag));
    }
    if (m->ocsp_no_check) {
        sm_der_write_null(value);
        SM_TRY(add_extension(out, arena, SM_OID_OCSP_NO_CHECK, false, value, diag));
    }
    return SM_NO_ERR;
}

static sm_err compile_honoured(const Sealmill__V1__Profile *m, sm_arena *arena,
                               struct sm_profile *out, sm_diag *diag)
{
    static const struct {
        const char *name;
        const sm_slice *oid;
    } known[] = {{"keyUsage", &SM_OID_KEY_USAGE},
                 {"extendedKeyUsage", &SM_OID_EKU},
                 {"certificatePolicies", &SM_OID_CERTIFICATE_POLICIES},
                 {"tlsfeature", &SM_OID_TLS_FEATURE}};
    SM_TRY(check_count(m->n_honour_csr_extensions, SM_PROFILE_RULES_MAX, "honour_csr_extensions",
                       diag));
    for (size_t i = 0; i < m->n_honour_csr_extensions; i++) {
        sm_slice *to = &out->honoured[out->honoured_count++];
        size_t n = 0;
        while (n < SM_ARRAY_LEN(known) && strcmp(known[n].name, m->honour_csr_extensions[i]) != 0) {
            n++;
        }
        if (n < SM_ARRAY_LEN(known)) {
            *to = *known[n].oid;
        } else {
            SM_TRY(oid_of(m->honour_csr_extensions[i], arena, to, "honour_csr_extensions", diag));
        }
        if (has_its_own_place(*to)) {
            return sm_diag_set(diag, SM_ERR(INVALID), "honour_csr_extensions",
                               "%s is written by itself, from the request or the CA",
                               m->honour_csr_extensions[i]);
        }
        if (is_of_cas(*to)) {
            return sm_diag_set(diag, SM_ERR(INVALID), "honour_csr_extensions",
                               "%s is the CA's to say, not a request's",
                               m->honour_csr_extensions[i]);
        }
    }
    return SM_NO_ERR;
}

static sm_err add_all(const Sealmill__V1__Profile *m, sm_arena *arena, struct sm_profile *out,
                      sm_diag *diag)
{
    sm_buf value = sm_buf_init(65536);
    sm_err err = add_constraints(m, arena, out, &value, diag);
    err = sm_ok(err) ? add_usages(m, arena, out, &value, diag) : err;
    err = sm_ok(err) ? add_pointers(m, arena, out, &value, diag) : err;
    err = sm_ok(err) ? add_policies(m, arena, out, &value, diag) : err;
    err = sm_ok(err) ? add_custom(m, arena, out, &value, diag) : err;
    sm_buf_deinit(&value);
    return err;
}

/* Protobuf lets any number stand in an enum's field. */
static bool has_name(const ProtobufCEnumDescriptor *type, int number)
{
    return protobuf_c_enum_descriptor_get_value(type, number) != NULL;
}

static sm_err compile_key_types(const Sealmill__V1__Profile *m, struct sm_profile *out,
                                sm_diag *diag)
{
    for (size_t i = 0; i < m->n_key_types; i++) {
        int type = (int)m->key_types[i];
        if (type == SM_KEY_NONE || !has_name(&sealmill__v1__key_type__descriptor, type)) {
            return sm_diag_set(diag, SM_ERR(INVALID), "key_types", "%d is no key type's number",
                               type);
        }
        out->key_types |= 1U << (unsigned)type;
    }
    out->key_types = m->n_key_types == 0 ? DEFAULT_KEY_TYPES : out->key_types;
    return SM_NO_ERR;
}

static sm_err compile(Sealmill__V1__Profile *m, sm_arena *arena, struct sm_profile *out,
                      sm_diag *diag)
{
    if (!given(m->name) || strlen(m->name) > 63) {
        return sm_diag_set(diag, SM_ERR(INVALID), "name",
                           "a profile needs a name of 1 to 63 characters");
    }
    SM_TRY(compile_key_types(m, out, diag));
    if (!has_name(&sealmill__v1__digest_algorithm__descriptor, (int)m->signature_digest)) {
        return sm_diag_set(diag, SM_ERR(INVALID), "signature_digest", "%d is no digest's number",
                           (int)m->signature_digest);
    }
    SM_TRY(compile_validity(m->validity, out, diag));
    SM_TRY(compile_subject(m->subject, arena, out, diag));
    SM_TRY(compile_sans(m->sans, arena, out, diag));
    SM_TRY(compile_honoured(m, arena, out, diag));
    return add_all(m, arena, out, diag);
}

sm_err sm_profile_compile(Sealmill__V1__Profile *message, sm_arena *arena, struct sm_profile *out,
                          sm_diag *diag)
{
    *out = (struct sm_profile){.message = message};
    sm_err err = compile(message, arena, out, diag);
    if (!sm_ok(err)) {
        sm_profile_deinit(out);
    }
    return err;
}

void sm_profile_deinit(struct sm_profile *profile)
{
    for (size_t i = 0; i < SM_PROFILE_RULES_MAX; i++) {
        if (profile->subject_patterns[i].used) {
            regfree(&profile->subject_patterns[i].regex);
        }
        if (profile->san_patterns[i].used) {
            regfree(&profile->san_patterns[i].regex);
        }
        profile->subject_patterns[i].used = false;
        profile->san_patterns[i].used = false;
    }
}
