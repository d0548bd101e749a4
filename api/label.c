/* SPDX-License-Identifier: Apache-2.0 */
#include "api/label.h"

#include "api/call.h"
#include "api/label_attributes.h"
#include "api/negotiate.h"
#include "api/principal_map.h"
#include "api/record.h"
#include "base/clock.h"
#include "base/text.h"
#include "sign/der.h"

struct word {
    const char *name;
    unsigned value;
};

static const struct word operations[] = {
    {"cacerts", SM_LABEL_CACERTS},         {"simpleenroll", SM_LABEL_ENROLL},
    {"simplereenroll", SM_LABEL_REENROLL}, {"serverkeygen", SM_LABEL_KEYGEN},
    {"csrattrs", SM_LABEL_CSRATTRS},       {NULL, 0},
};
static const struct word ways[] = {
    {"certificate", SM_LABEL_CERTIFICATE},
    {"device", SM_LABEL_DEVICE},
    {"otp", SM_LABEL_OTP},
    {"user", SM_LABEL_USER},
    {"token", SM_LABEL_TOKEN},
    {"negotiate", SM_LABEL_NEGOTIATE},
    {NULL, 0},
};
static const struct word certificates[] = {
    {"reenroll", SM_LABEL_CERT_REENROLL},
    {"required", SM_LABEL_CERT_REQUIRED},
    {"optional", SM_LABEL_CERT_OPTIONAL},
    {"none", SM_LABEL_CERT_NONE},
    {NULL, 0},
};

/* ---- words ---- */

static sm_err read_word(const struct word *words, const char *text, const char *field,
                        unsigned *out, sm_diag *diag)
{
    for (size_t i = 0; words[i].name != NULL; i++) {
        if (strcmp(words[i].name, text) == 0) {
            *out = words[i].value;
            return SM_NO_ERR;
        }
    }
    return sm_diag_set(diag, SM_ERR(INVALID), field, "\"%.40s\" is none of its values", text);
}

static sm_err read_bits(const struct word *words, char *const *names, size_t count,
                        const char *field, unsigned *out, sm_diag *diag)
{
    unsigned bits = 0;
    for (size_t i = 0; i < count; i++) {
        unsigned bit;
        SM_TRY(read_word(words, names[i], field, &bit, diag));
        bits |= bit;
    }
    *out = bits;
    return SM_NO_ERR;
}

static sm_err read_duration(const char *text, const char *field, int64_t *out, sm_diag *diag)
{
    *out = 0;
    if (text[0] == '\0' || (sm_ok(sm_duration_parse(sm_slice_str(text), out)) && *out >= 0)) {
        return SM_NO_ERR;
    }
    return sm_diag_set(diag, SM_ERR(INVALID), field,
                       "\"%.40s\" is not a duration such as 5m, 12h or 30d", text);
}

/* ---- labels ---- */

static void make_grant(struct sm_label *l)
{
    union {
        char *const *in;
        char **out;
    } profile = {&l->message->profile};
    sealmill__v1__grant__init(&l->grant);
    l->grant.role = SEALMILL__V1__ROLE__ROLE_RA;
    l->grant.cas = l->cas;
    l->grant.n_cas = l->ca_count;
    l->grant.profiles = profile.out;
    l->grant.n_profiles = 1;
    l->grants[0] = &l->grant;
}

static size_t place_of(enum sm_label_operation operation)
{
    size_t at = 0;
    while (((unsigned)operation >> at & 1U) == 0) {
        at++;
    }
    return at;
}

const struct sm_label_access *sm_label_access(const struct sm_label *label,
                                              enum sm_label_operation operation)
{
    return &label->access[place_of(operation)];
}

/* What is not said is as it was in *out. */
static sm_err read_access(char *const *names, size_t count, const char *certificate_word,
                          const char *field, struct sm_label_access *out, sm_diag *diag)
{
    unsigned word = out->certificates;
    if (count > 0) {
        SM_TRY(read_bits(ways, names, count, field, &out->auth, diag));
    }
    if (certificate_word[0] != '\0') {
        SM_TRY(read_word(certificates, certificate_word, field, &word, diag));
    }
    out->certificates = (enum sm_label_certificates)word;
    return SM_NO_ERR;
}

static sm_err read_exception(struct sm_label *l, const Sealmill__Config__V1__LabelAccess *m,
                             unsigned *seen, sm_diag *diag)
{
    static const char field[] = "enrolment.labels.access";
    unsigned which;
    SM_TRY(read_bits(operations, m->operations, m->n_operations, field, &which, diag));
    if (which == 0 || (which & *seen) != 0) {
        return sm_diag_set(diag, SM_ERR(INVALID), field,
                           "\"%.60s\": each names operations, and none is named twice",
                           l->message->name);
    }
    if ((which & SM_LABEL_REENROLL) != 0) {
        return sm_diag_set(
            diag, SM_ERR(INVALID), field,
            "\"%.60s\": simplereenroll is by the certificate that it renews, whatever "
            "else is said",
            l->message->name);
    }
    *seen |= which;
    for (size_t i = 0; i < SM_LABEL_OPERATIONS; i++) {
        if ((which >> i & 1U) != 0) {
            SM_TRY(read_access(m->authentication, m->n_authentication, m->client_certificates,
                               field, &l->access[i], diag));
        }
    }
    return SM_NO_ERR;
}

static sm_err read_all_access(struct sm_label *l, sm_diag *diag)
{
    const Sealmill__Config__V1__Label *m = l->message;
    struct sm_label_access usual = {SM_LABEL_CERTIFICATE | SM_LABEL_OTP, SM_LABEL_CERT_REENROLL};
    unsigned seen = 0;
    SM_TRY(read_access(m->authentication, m->n_authentication, "",
                       "enrolment.labels.authentication", &usual, diag));
    SM_TRY(read_access(NULL, 0, m->client_certificates, "enrolment.labels.client_certificates",
                       &usual, diag));
    for (size_t i = 0; i < SM_LABEL_OPERATIONS; i++) {
        l->access[i] = usual;
    }
    for (size_t i = 0; i < m->n_access; i++) {
        SM_TRY(read_exception(l, m->access[i], &seen, diag));
    }
    for (size_t i = 0; i < SM_LABEL_OPERATIONS; i++) {
        l->auth |= l->access[i].auth;
    }
    return SM_NO_ERR;
}

static sm_err fill(struct sm_label *l, sm_arena *arena, sm_diag *diag)
{
    const Sealmill__Config__V1__Label *m = l->message;
    if (m->name[0] != '\0' && !sm_record_name_is_good(m->name)) {
        return sm_diag_set(diag, SM_ERR(INVALID), "enrolment.labels.name",
                           "\"%.60s\": letters, digits, '-', '_' and '.'", m->name);
    }
    if ((m->ca[0] == '\0' && m->ca_group[0] == '\0') || m->profile[0] == '\0') {
        return sm_diag_set(diag, SM_ERR(INVALID), "enrolment.labels",
                           "\"%.60s\" names no ca, or no profile", m->name);
    }
    SM_TRY(read_bits(operations, m->operations, m->n_operations, "enrolment.labels.operations",
                     &l->operations, diag));
    l->operations = m->n_operations == 0 ? ~0U : l->operations;
    SM_TRY(read_all_access(l, diag));
    SM_TRY(read_duration(m->expired_grace, "enrolment.labels.expired_grace", &l->expired_grace_s,
                         diag));
    SM_TRY(read_duration(m->renewal_window, "enrolment.labels.renewal_window", &l->renewal_window_s,
                         diag));
    SM_TRY(sm_label_rules_make(m->requests, arena, &l->rules, diag));
    SM_TRY(sm_approval_rules_make(m->approval, &l->approval, diag));
    make_grant(l);
    if (m->trust_anchors_file[0] != '\0') {
        SM_TRY(sm_anchors_read(m->trust_anchors_file, &l->anchors, diag));
    }
    if ((l->auth & SM_LABEL_DEVICE) != 0 && l->anchors == NULL) {
        return sm_diag_set(diag, SM_ERR(INVALID), "enrolment.labels.trust_anchors_file",
                           "\"%.60s\" takes devices' certificates, and trusts no CA of theirs",
                           m->name);
    }
    return SM_NO_ERR;
}

/* ---- groups of CAs ---- */

static sm_err make_groups(sm_api *api, sm_world *world, sm_diag *diag)
{
    const Sealmill__Config__V1__Enrolment *e = world->config->enrolment;
    if (e->n_groups > SM_CA_GROUPS_MAX) {
        return sm_diag_set(diag, SM_ERR(TOO_LARGE), "enrolment.groups", "more than %d",
                           SM_CA_GROUPS_MAX);
    }
    world->ca_groups = sm_arena_zalloc(&world->arena,
                                       (e->n_groups + 1) * sizeof(*world->ca_groups));
    if (world->ca_groups == NULL) {
        return SM_ERR(NO_MEMORY);
    }
    for (size_t i = 0; i < e->n_groups; i++) {
        for (size_t j = 0; j < i; j++) {
            if (strcmp(e->groups[i]->name, e->groups[j]->name) == 0) {
                return sm_diag_set(diag, SM_ERR(INVALID), "enrolment.groups.name",
                                   "\"%.60s\" comes twice", e->groups[i]->name);
            }
        }
        SM_TRY(sm_ca_group_make(api, e->groups[i], &world->ca_groups[i], diag));
        world->ca_group_count++;
    }
    return SM_NO_ERR;
}

static struct sm_ca_group *find_group(const sm_world *world, const char *name)
{
    for (size_t i = 0; i < world->ca_group_count; i++) {
        if (strcmp(world->ca_groups[i].name, name) == 0) {
            return &world->ca_groups[i];
        }
    }
    return NULL;
}

/* Messages have `char *`, and nobody writes to them. */
static char *name_of(const char *name)
{
    union {
        const char *in;
        char *out;
    } n = {name};
    return n.out;
}

static sm_err choose_cas(const sm_world *world, struct sm_label *l, sm_diag *diag)
{
    const Sealmill__Config__V1__Label *m = l->message;
    if (m->ca_group[0] == '\0') {
        l->cas[l->ca_count++] = m->ca;
        return SM_NO_ERR;
    }
    l->group = find_group(world, m->ca_group);
    if (l->group == NULL || m->ca[0] != '\0') {
        return sm_diag_set(diag, SM_ERR(INVALID), "enrolment.labels.ca_group",
                           l->group == NULL ? "there is no group \"%.60s\""
                                            : "a label has a CA or a group (\"%.60s\"), not both",
                           m->ca_group);
    }
    for (size_t i = 0; i < l->group->count; i++) {
        l->cas[l->ca_count++] = name_of(l->group->members[i].ca);
    }
    return SM_NO_ERR;
}

bool sm_label_has_ca(const struct sm_label *l, const char *ca)
{
    for (size_t i = 0; i < l->ca_count; i++) {
        if (strcmp(l->cas[i], ca) == 0) {
            return true;
        }
    }
    return false;
}

/* ---- Kerberos ---- */

static sm_err make_negotiate(sm_world *world, sm_diag *diag)
{
    const Sealmill__Config__V1__Negotiate *n = world->config->enrolment->negotiate;
    const struct sm_label *taker = NULL;
    for (size_t i = 0; i < world->label_count && taker == NULL; i++) {
        taker = (world->labels[i].auth & SM_LABEL_NEGOTIATE) != 0 ? &world->labels[i] : NULL;
    }
    if (taker != NULL && !sm_negotiate_is_built()) {
        return sm_diag_set(diag, SM_ERR(UNSUPPORTED), "enrolment.labels.authentication",
                           "\"%.60s\" takes negotiate, and this program was built without GSSAPI "
                           "(libkrb5-dev)",
                           taker->message->name);
    }
    if (taker != NULL && n == NULL) {
        return sm_diag_set(diag, SM_ERR(INVALID), "enrolment.negotiate",
                           "it is needed: \"%.60s\" takes negotiate", taker->message->name);
    }
    if (n == NULL) {
        return SM_NO_ERR;
    }
    SM_TRY(sm_principal_map_make(n, &world->arena, &world->principals, diag));
    return sm_negotiate_new(n, &world->negotiate, diag);
}

sm_err sm_labels_make(sm_api *api, sm_world *world, sm_diag *diag)
{
    const Sealmill__Config__V1__Enrolment *e = world->config->enrolment;
    if (e == NULL) {
        return SM_NO_ERR;
    }
    if (e->n_labels > SM_LABELS_MAX || e->n_users > SM_ENROLMENT_USERS_MAX) {
        return sm_diag_set(diag, SM_ERR(TOO_LARGE), "enrolment", "more than %d labels or %d users",
                           SM_LABELS_MAX, SM_ENROLMENT_USERS_MAX);
    }
    SM_TRY(make_groups(api, world, diag));
    world->labels = sm_arena_zalloc(&world->arena, (e->n_labels + 1) * sizeof(*world->labels));
    if (world->labels == NULL) {
        return SM_ERR(NO_MEMORY);
    }
    for (size_t i = 0; i < e->n_labels; i++) {
        if (sm_label_find(world, sm_slice_str(e->labels[i]->name)) != NULL) {
            return sm_diag_set(diag, SM_ERR(INVALID), "enrolment.labels.name",
                               "\"%.60s\" comes twice", e->labels[i]->name);
        }
        struct sm_label *l = &world->labels[world->label_count++];
        l->message = e->labels[i];
        SM_TRY(choose_cas(world, l, diag));
        SM_TRY(fill(l, &world->arena, diag));
        SM_TRY(sm_label_attributes_make(world, l, diag));
    }
    return make_negotiate(world, diag);
}

void sm_labels_free(sm_world *world)
{
    for (size_t i = 0; i < world->label_count; i++) {
        sm_anchors_free(&world->labels[i].anchors);
        sm_label_rules_deinit(&world->labels[i].rules);
    }
    sm_negotiate_free(&world->negotiate);
    sm_principal_map_deinit(world->principals);
}

const struct sm_label *sm_label_find(const sm_world *world, sm_slice name)
{
    for (size_t i = 0; i < world->label_count; i++) {
        if (sm_slice_equal(sm_slice_str(world->labels[i].message->name), name)) {
            return &world->labels[i];
        }
    }
    return NULL;
}

static sm_err require_ra(sm_call *call, const struct sm_label *label)
{
    for (size_t i = 0; i < label->ca_count; i++) {
        SM_TRY(sm_caller_require_ra(&call->caller, label->cas[i], label->message->profile,
                                    &call->diag));
    }
    return SM_NO_ERR;
}

sm_err sm_label_right(sm_call *call, const char *name)
{
    const sm_world *world = call->world;
    if (sm_ok(sm_caller_require(&call->caller, SM_ROLE_ADMIN | SM_ROLE_OPERATOR, NULL))) {
        return SM_NO_ERR;
    }
    if (name[0] != '\0') {
        const struct sm_label *label = sm_label_find(world, sm_slice_str(name));
        return label != NULL
                   ? require_ra(call, label)
                   : sm_diag_set(&call->diag, SM_ERR(FORBIDDEN), "label", "there is no such label");
    }
    for (size_t i = 0; i < world->label_count; i++) {
        SM_TRY(require_ra(call, &world->labels[i]));
    }
    return SM_NO_ERR;
}
