/* SPDX-License-Identifier: Apache-2.0 */
#include "api/label_rules.h"

#include "base/check.h"
#include "base/clock.h"
#include "base/text.h"
#include "sign/der.h"
#include "sign/oids.h"

#define NAME_TEXT_MAX 8192 /* of a subject: names are a few hundred octets */

#define FIELD "enrolment.labels.requests"

/* ---- making ---- */

static sm_err make_key_types(const Sealmill__Config__V1__LabelRequests *m,
                             struct sm_label_rules *out, sm_diag *diag)
{
    for (size_t i = 0; i < m->n_key_types; i++) {
        int type = (int)m->key_types[i];
        if (type <= SM_KEY_NONE || type >= SM_KEY_TYPE_COUNT) {
            return sm_diag_set(diag, SM_ERR(INVALID), FIELD ".key_types",
                               "%d is no key type's number", type);
        }
        out->key_types |= 1U << (unsigned)type;
    }
    return SM_NO_ERR;
}

static sm_err make_ekus(const Sealmill__Config__V1__LabelRequests *m, sm_arena *arena,
                        struct sm_label_rules *out, sm_diag *diag)
{
    if (m->n_extended_key_usage > SM_LABEL_EKUS_MAX) {
        return sm_diag_set(diag, SM_ERR(TOO_LARGE), FIELD ".extended_key_usage",
                           "more than %d purposes", SM_LABEL_EKUS_MAX);
    }
    for (size_t i = 0; i < m->n_extended_key_usage; i++) {
        sm_err err = sm_eku_parse(m->extended_key_usage[i], arena, &out->ekus[i], NULL);
        if (!sm_ok(err)) {
            return sm_diag_set(diag, err, FIELD ".extended_key_usage",
                               "\"%.60s\" is neither a known name nor a dotted OID",
                               m->extended_key_usage[i]);
        }
        out->eku_count++;
    }
    return SM_NO_ERR;
}

static bool find_san_kind(const char *name, unsigned *kind)
{
    for (unsigned i = 0; i <= SM_SAN_REGISTERED_ID; i++) {
        if (strcmp(name, sm_san_kind_name((enum sm_san_kind)i)) == 0) {
            *kind = i;
            return true;
        }
    }
    return false;
}

static sm_err make_san_kinds(const Sealmill__Config__V1__LabelRequests *m,
                             struct sm_label_rules *out, sm_diag *diag)
{
    for (size_t i = 0; i < m->n_sans; i++) {
        unsigned kind;
        if (!find_san_kind(m->sans[i], &kind)) {
            return sm_diag_set(diag, SM_ERR(INVALID), FIELD ".sans",
                               "\"%.40s\" is no type of a SAN: dns, ip, email, uri, directory, "
                               "registered_id, other",
                               m->sans[i]);
        }
        out->san_kinds |= 1U << kind;
    }
    return SM_NO_ERR;
}

static sm_err make_validity(const char *text, struct sm_label_rules *out, sm_diag *diag)
{
    if (text[0] == '\0' || (sm_ok(sm_duration_parse(sm_slice_str(text), &out->validity_max_s)) &&
                            out->validity_max_s > 0)) {
        return SM_NO_ERR;
    }
    return sm_diag_set(diag, SM_ERR(INVALID), FIELD ".maximum_validity",
                       "\"%.40s\" is not a duration such as 12h or 30d", text);
}

static sm_err make_binding(const char *text, struct sm_label_rules *out, sm_diag *diag)
{
    static const struct {
        const char *name;
        enum sm_binding_rule rule;
    } words[] = {
        {"", SM_BINDING_OFF},
        {"off", SM_BINDING_OFF},
        {"checked", SM_BINDING_CHECKED},
        {"required", SM_BINDING_REQUIRED},
    };
    for (size_t i = 0; i < SM_ARRAY_LEN(words); i++) {
        if (strcmp(text, words[i].name) == 0) {
            out->binding = words[i].rule;
            return SM_NO_ERR;
        }
    }
    return sm_diag_set(diag, SM_ERR(INVALID), FIELD ".channel_binding",
                       "\"%.40s\" is none of off, checked, required", text);
}

sm_err sm_label_rules_make(const Sealmill__Config__V1__LabelRequests *message, sm_arena *arena,
                           struct sm_label_rules *out, sm_diag *diag)
{
    if (message == NULL) {
        return SM_NO_ERR;
    }
    out->change_names = message->change_subject_name;
    SM_TRY(make_key_types(message, out, diag));
    SM_TRY(make_ekus(message, arena, out, diag));
    SM_TRY(make_san_kinds(message, out, diag));
    SM_TRY(make_validity(message->maximum_validity, out, diag));
    SM_TRY(make_binding(message->channel_binding, out, diag));
    return sm_pattern_compile(message->subject, &out->subject, FIELD ".subject", diag);
}

void sm_label_rules_deinit(struct sm_label_rules *rules)
{
    if (rules->subject.used) {
        regfree(&rules->subject.regex);
        rules->subject.used = false;
    }
}

/* ---- checking ---- */

static sm_err check_subject(const struct sm_label_rules *rules, const struct sm_csr *csr,
                            sm_arena *arena, sm_diag *diag)
{
    if (!rules->subject.used) {
        return SM_NO_ERR;
    }
    sm_buf text = sm_buf_init(NAME_TEXT_MAX);
    sm_err err = sm_name_to_text(csr->subject, &text);
    if (sm_ok(err) && !sm_pattern_matches(&rules->subject, sm_buf_slice(&text), arena)) {
        char shown[128];
        err = sm_diag_set(diag, SM_ERR(POLICY), "csr.subject",
                          "%s does not match what this label takes",
                          sm_diag_escape(sm_buf_slice(&text), shown, sizeof(shown)));
    }
    sm_buf_deinit(&text);
    return err;
}

static bool asks_for(sm_slice eku, sm_slice wanted)
{
    sm_der d = sm_der_init(eku);
    sm_der list = sm_der_enter(&d, SM_DER_SEQUENCE);
    bool found = false;
    while (!sm_der_at_end(&list)) {
        found = sm_slice_equal(sm_der_read_oid(&list), wanted) || found;
    }
    sm_der_leave(&d, &list);
    return sm_ok(sm_der_finish(&d)) && found;
}

static sm_err check_ekus(const struct sm_label_rules *rules, const struct sm_csr *csr,
                         sm_diag *diag)
{
    const struct sm_extension *ext = sm_csr_extension(csr, SM_OID_EKU);
    for (size_t i = 0; i < rules->eku_count; i++) {
        if (ext != NULL && asks_for(ext->value, rules->ekus[i])) {
            continue;
        }
        sm_buf text = sm_buf_init(256);
        sm_err err = sm_oid_to_text(rules->ekus[i], &text);
        err = sm_ok(err) ? sm_diag_set(diag, SM_ERR(POLICY), "csr.extensions.extended_key_usage",
                                       "this label wants the purpose %.*s in it", (int)text.len,
                                       (const char *)text.ptr)
                         : err;
        sm_buf_deinit(&text);
        return err;
    }
    return SM_NO_ERR;
}

static sm_err check_sans(const struct sm_label_rules *rules, const struct sm_csr *csr,
                         sm_arena *arena, sm_diag *diag)
{
    const struct sm_extension *ext = sm_csr_extension(csr, SM_OID_SUBJECT_ALT_NAME);
    struct sm_san *sans = NULL;
    size_t count = 0;
    uint32_t missing = rules->san_kinds;
    if (missing != 0 && ext != NULL) {
        SM_TRY(sm_sans_parse(ext->value, true, arena, &sans, &count, diag));
    }
    for (size_t i = 0; i < count; i++) {
        missing &= ~(1U << (unsigned)sans[i].kind);
    }
    for (unsigned i = 0; missing != 0 && i <= SM_SAN_REGISTERED_ID; i++) {
        if ((missing >> i & 1U) != 0) {
            return sm_diag_set(diag, SM_ERR(POLICY), "csr.sans",
                               "this label wants a SAN of type %s",
                               sm_san_kind_name((enum sm_san_kind)i));
        }
    }
    return SM_NO_ERR;
}

sm_err sm_label_rules_check(const struct sm_label_rules *rules, const struct sm_csr *csr,
                            sm_arena *arena, sm_diag *diag)
{
    if (rules->key_types != 0 && (rules->key_types >> (unsigned)csr->key.type & 1U) == 0) {
        return sm_diag_set(diag, SM_ERR(POLICY), "csr.key", "this label does not take %s keys",
                           sm_key_type_name(csr->key.type));
    }
    SM_TRY(check_subject(rules, csr, arena, diag));
    SM_TRY(check_ekus(rules, csr, diag));
    return check_sans(rules, csr, arena, diag);
}

int64_t sm_label_rules_validity(const struct sm_label_rules *rules,
                                const struct sm_profile *profile, int64_t wanted)
{
    int64_t seconds = wanted == 0 ? profile->validity_s : wanted;
    return rules->validity_max_s > 0 && seconds > rules->validity_max_s ? rules->validity_max_s
                                                                        : wanted;
}
