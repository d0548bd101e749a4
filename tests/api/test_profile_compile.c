/* SPDX-License-Identifier: Apache-2.0 */
/* Profiles as they are put: what cannot hold is refused at once, with its field. */
#include "api/profile.h"
#include "base/check.h"
#include "proto/message.h"
#include "sign/oids.h"
#include "tests/support/support.h"

#include <string.h>

static sm_arena arena;
static sm_diag diag;

static int set_up(void **state)
{
    (void)state;
    sm_arena_init(&arena, 32U << 20);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    sm_arena_deinit(&arena);
    return 0;
}

static Sealmill__V1__Profile *message(const char *yaml)
{
    ProtobufCMessage *m;
    sm_diag_clear(&diag);
    sm_err err = sm_message_from_yaml(&sealmill__v1__profile__descriptor, sm_slice_str(yaml),
                                      &arena, &m, &diag);
    if (!sm_ok(err)) {
        print_error("%s: %s\n", yaml, diag.reason);
    }
    assert_sm_ok(err);
    return (Sealmill__V1__Profile *)(void *)m;
}

static sm_err compile(Sealmill__V1__Profile *m, struct sm_profile *out)
{
    sm_diag_clear(&diag);
    return sm_profile_compile(m, &arena, out, &diag);
}

static void refuse_message(Sealmill__V1__Profile *m, const char *what, const char *field)
{
    struct sm_profile p;
    sm_err err = compile(m, &p);
    if (sm_ok(err) || strcmp(diag.field, field) != 0) {
        print_error("%.200s: %s, \"%s\": %s\n", what, sm_err_name(err), diag.field, diag.reason);
    }
    assert_false(sm_ok(err));
    assert_int_equal(sm_err_category(err), SM_INPUT);
    assert_string_equal(diag.field, field);
    assert_true(diag.reason[0] != '\0');
}

static void refuse(const char *yaml, const char *field)
{
    char text[2048];
    (void)snprintf(text, sizeof(text), "name: a\n%s", yaml);
    refuse_message(message(text), yaml, field);
}

static void accept(const char *yaml)
{
    char text[2048];
    struct sm_profile p;
    (void)snprintf(text, sizeof(text), "name: a\n%s", yaml);
    sm_err err = compile(message(text), &p);
    if (!sm_ok(err)) {
        print_error("%s: %s: %s\n", yaml, diag.field, diag.reason);
    }
    assert_sm_ok(err);
    sm_profile_deinit(&p);
}

/* ---- each field ---- */

static void profile__needs_a_name(void **state)
{
    (void)state;
    refuse_message(message("{}"), "{}", "name");
    refuse_message(message("name: ''"), "''", "name");
    refuse_message(
        message("name: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"),
        "64 octets", "name");
    accept("");
}

static void profile__key_types(void **state)
{
    (void)state;
    accept("key_types: [ec-p256, ml-dsa-87]");
    refuse("key_types: [KEY_TYPE_UNSPECIFIED]", "key_types");
    static const int32_t strange[] = {12, 31, 32, 33, 64, -1, INT32_MAX, INT32_MIN};
    for (size_t i = 0; i < SM_ARRAY_LEN(strange); i++) { /* gRPC carries any number */
        Sealmill__V1__Profile *m = message("{name: a, key_types: [ec-p256]}");
        memcpy(&m->key_types[0], &strange[i], sizeof(strange[i]));
        refuse_message(m, "a strange key type", "key_types");
    }
}

static void profile__signature_digest(void **state)
{
    (void)state;
    accept("signature_digest: sha384");
    Sealmill__V1__Profile *m = message("{name: a}");
    const int32_t strange = 99;
    memcpy(&m->signature_digest, &strange, sizeof(strange));
    refuse_message(m, "a strange digest", "signature_digest");
}

static void profile__validity(void **state)
{
    (void)state;
    accept("validity: {default: 90d}");
    accept("validity: {default: 1h, maximum: 1h}");
    accept("validity: {maximum: 1y, backdate: 0s}");
    refuse("validity: {default: soon}", "validity.default");
    refuse("validity: {default: '90'}", "validity.default");
    refuse("validity: {default: -1d}", "validity.default");
    refuse("validity: {default: 0s}", "validity.default");
    refuse("validity: {default: 2h, maximum: 1h}", "validity.default");
    refuse("validity: {maximum: 1h}", "validity.default"); /* the default is 90 days */
    refuse("validity: {maximum: a}", "validity.maximum");
    refuse("validity: {default: 99999999999999999999y}", "validity.default");
    refuse("validity: {backdate: yesterday}", "validity.backdate");
}

static void profile__subject(void **state)
{
    (void)state;
    accept("subject: {source: template, template: 'CN={metadata.serial},O=Acme'}");
    accept("subject: {rules: [{type: CN, pattern: '[a-z]+'}, {type: 2.5.4.10, fixed: Acme}]}");
    refuse("subject: {source: template}", "subject.template");
    static const char *const bad[] = {"CN={csr.CN",
                                      "CN={",
                                      "CN={}",
                                      "CN={csr}",
                                      "CN={csr.Nonsense}",
                                      "CN={metadata}",
                                      "CN={metadata.}",
                                      "CN={san.host}",
                                      "CN={unknown.x}",
                                      "CN={caller},O={Caller}"};
    for (size_t i = 0; i < SM_ARRAY_LEN(bad); i++) {
        char text[120];
        (void)snprintf(text, sizeof(text), "subject: {source: template, template: '%s'}", bad[i]);
        refuse(text, "subject.template");
        (void)snprintf(text, sizeof(text), "sans: {templates: ['dns:a', '%s']}", bad[i]);
        refuse(text, "sans.templates");
    }
    accept("subject: {source: template, template: 'CN={csr.2.5.4.3}-{san.ip}}{caller}'}");
    refuse("subject: {rules: [{type: CN, pattern: '['}]}", "subject.rules.pattern");
    refuse("subject: {rules: [{type: CN, pattern: 'a('}]}", "subject.rules.pattern");
    refuse("subject: {rules: [{pattern: a}]}", "subject.rules.type");
    refuse("subject: {rules: [{type: CN}, {type: Nonsense}]}", "subject.rules.type");
    refuse("subject: {rules: [{type: 1.2.x}]}", "subject.rules.type");
}

static void profile__sans(void **state)
{
    (void)state;
    accept("sans: {types: [dns, ip, email, uri], patterns: [{type: dns, pattern: '.*\\.a'}]}");
    refuse("sans: {types: [dns, hostname]}", "sans.types");
    refuse("sans: {types: ['']}", "sans.types");
    refuse("sans: {patterns: [{type: host, pattern: a}]}", "sans.patterns.type");
    refuse("sans: {patterns: [{pattern: a}]}", "sans.patterns.type");
    refuse("sans: {patterns: [{type: dns, pattern: '*a['}]}", "sans.patterns.pattern");
}

static void profile__usages(void **state)
{
    (void)state;
    accept("key_usage: [digitalSignature, KEYENCIPHERMENT]");
    accept("extended_key_usage: [serverAuth, clientauth, 1.3.6.1.5.5.7.3.99]");
    refuse("key_usage: [signing]", "key_usage");
    refuse("key_usage: ['']", "key_usage");
    refuse("extended_key_usage: [webServer]", "extended_key_usage");
    refuse("extended_key_usage: [1]", "extended_key_usage");
    refuse("extended_key_usage: [3.1.2]", "extended_key_usage");
}

static void profile__extensions(void **state)
{
    (void)state;
    accept("extensions: [{oid: 1.2.3.4, der_hex: '0500'}]");
    accept("extensions: [{oid: 1.2.3.4, der_hex: '05:00', critical: true}]");
    refuse("extensions: [{oid: 1.2.3.4, der_hex: 'xx'}]", "extensions.der_hex");
    refuse("extensions: [{oid: 1.2.3.4, der_hex: '050'}]", "extensions.der_hex");
    refuse("extensions: [{oid: 1.2.3.4, der_hex: '0501'}]", "extensions.der_hex");
    refuse("extensions: [{oid: 1.2.3.4, der_hex: '05000500'}]", "extensions.der_hex");
    refuse("extensions: [{oid: 1.2.3.4}]", "extensions.der_hex");
    refuse("extensions: [{oid: one, der_hex: '0500'}]", "extensions.oid");
    refuse("extensions: [{oid: 1.2.3, der_hex: '0500'}, {oid: 1.2.3, der_hex: '0500'}]",
           "extensions");
    refuse("key_usage: [cRLSign]\nextensions: [{oid: 2.5.29.15, der_hex: '03020106'}]",
           "extensions");
    static const char *const own[] = {"2.5.29.14", "2.5.29.17", "2.5.29.35"};
    for (size_t i = 0; i < SM_ARRAY_LEN(own); i++) { /* they would stand there twice */
        char text[100];
        (void)snprintf(text, sizeof(text), "extensions: [{oid: %s, der_hex: '3000'}]", own[i]);
        refuse(text, "extensions.oid");
        (void)snprintf(text, sizeof(text), "honour_csr_extensions: [%s]", own[i]);
        refuse(text, "honour_csr_extensions");
    }
    /* What a CA is, and where its lists are: 2.5.29.19, name constraints, CRL and OCSP addresses. */
    static const char *const of_cas[] = {"2.5.29.19", "2.5.29.30", "2.5.29.31", "1.3.6.1.5.5.7.1.1",
                                         "1.3.6.1.5.5.7.48.1.5"};
    for (size_t n = 0; n < SM_ARRAY_LEN(of_cas); n++) {
        char given[80];
        (void)snprintf(given, sizeof(given), "honour_csr_extensions: [%s]", of_cas[n]);
        refuse(given, "honour_csr_extensions");
    }
    refuse("subject: {source: copy, template: 'CN=x'}", "subject.template");
    accept("subject: {template: 'CN=x'}");
    refuse("honour_csr_extensions: [keyusage]", "honour_csr_extensions");
    accept("honour_csr_extensions: [keyUsage, extendedKeyUsage, tlsfeature, 1.2.3]");
}

static void profile__policies_and_urls(void **state)
{
    (void)state;
    accept("policies: [{oid: 2.23.140.1.2.1, cps: ['http://a/']}]");
    accept("ocsp_urls: ['http://a/']\ncrl_urls: ['http://b/']\nca_issuer_urls: ['http://c/']");
    refuse("policies: [{oid: dv}]", "policies.oid");
    refuse("policies: [{}]", "policies.oid");
}

static void profile__name_constraints(void **state)
{
    (void)state;
    accept("basic_constraints: {ca: true}\nname_constraints: {permitted: [{dns: a.example}]}");
    struct sm_profile p;
    sm_err err = compile(message("name: a\nname_constraints: {permitted: [{}]}"), &p);
    assert_int_equal(sm_err_category(err), SM_INPUT);
    assert_true(diag.field[0] != '\0');
}

/* ---- lists at their limits: none is cut short in silence ---- */

static void refuse_long(const char *head, const char *element, size_t count, const char *field)
{
    sm_buf text = sm_buf_init(65536);
    sm_buf_printf(&text, "name: a\n%s", head);
    for (size_t i = 0; i < count; i++) {
        sm_buf_printf(&text, "%s%s", i == 0 ? "" : ", ", element);
    }
    sm_buf_put_str(&text, strstr(head, "[{") != NULL  ? "]}]"
                          : strchr(head, '{') != NULL ? "]}"
                                                      : "]");
    sm_buf_put_byte(&text, 0);
    assert_sm_ok(sm_buf_err(&text));
    refuse_message(message((const char *)text.ptr), head, field);
    sm_buf_deinit(&text);
}

static void profile__no_list_is_cut_short(void **state)
{
    (void)state;
    static const struct {
        const char *head;
        const char *element;
        size_t count;
        const char *field;
    } lists[] = {
        {"extended_key_usage: [", "1.2.3", 65, "extended_key_usage"},
        {"ocsp_urls: [", "'http://a/'", 17, "ocsp_urls"},
        {"ca_issuer_urls: [", "'http://a/'", 17, "ca_issuer_urls"},
        {"crl_urls: [", "'http://a/'", 17, "crl_urls"},
        {"policies: [", "{oid: 1.2.3}", 17, "policies"},
        {"name_constraints: {permitted: [", "{dns: a.example}", 65, "name_constraints.permitted"},
        {"name_constraints: {excluded: [", "{dns: a.example}", 65, "name_constraints.excluded"},
        {"honour_csr_extensions: [", "1.2.3", 65, "honour_csr_extensions"},
        {"subject: {rules: [", "{type: CN}", 65, "subject.rules"},
        {"sans: {patterns: [", "{type: dns, pattern: a}", 65, "sans.patterns"},
    };
    for (size_t i = 0; i < SM_ARRAY_LEN(lists); i++) {
        refuse_long(lists[i].head, lists[i].element, lists[i].count, lists[i].field);
    }
    refuse_long("policies: [{oid: 1.2.3, cps: [", "'http://a/'", 17, "policies.cps");
}

static void profile__too_many_extensions(void **state)
{
    (void)state;
    sm_buf text = sm_buf_init(65536);
    sm_buf_put_str(&text, "name: a\nextensions:\n");
    for (size_t i = 0; i <= SM_PROFILE_EXTENSIONS_MAX; i++) {
        sm_buf_printf(&text, "- {oid: 1.2.3.%zu, der_hex: '0500'}\n", i);
    }
    sm_buf_put_byte(&text, 0);
    refuse_message(message((const char *)text.ptr), "33 extensions", "extensions");
    sm_buf_deinit(&text);
}

/* ---- defaults ---- */

static void profile__defaults(void **state)
{
    (void)state;
    struct sm_profile p;
    assert_sm_ok(compile(message("name: a"), &p));
    assert_true(p.validity_s == 90 * 86400 && p.maximum_s == 90 * 86400 && p.backdate_s == 300);
    assert_int_equal(p.extension_count, 0);
    assert_true((p.key_types >> SM_KEY_P256 & 1U) != 0);
    assert_true((p.key_types >> SM_KEY_NONE & 1U) == 0);
    assert_true((p.san_kinds >> SM_SAN_DNS & 1U) != 0);
    assert_true((p.san_kinds >> SM_SAN_OTHER & 1U) == 0);
    sm_profile_deinit(&p);
}

static void profile__without_memory_it_is_said(void **state)
{
    (void)state;
    Sealmill__V1__Profile *m = message(
        "name: a\nkey_usage: [cRLSign]\nextended_key_usage: [serverAuth]\npolicies: [{oid: "
        "1.2.3}]\n"
        "subject: {rules: [{type: CN, pattern: 'a+'}]}\nocsp_urls: ['http://a/']");
    bool good = false;
    for (size_t cap = 0; cap < 65536 && !good; cap += 8) {
        sm_arena small;
        struct sm_profile p;
        sm_arena_init(&small, cap);
        good = sm_ok(sm_profile_compile(m, &small, &p, NULL));
        if (good) {
            sm_profile_deinit(&p);
        }
        sm_arena_deinit(&small);
    }
    assert_true(good);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(profile__needs_a_name),
        cmocka_unit_test(profile__key_types),
        cmocka_unit_test(profile__signature_digest),
        cmocka_unit_test(profile__validity),
        cmocka_unit_test(profile__subject),
        cmocka_unit_test(profile__sans),
        cmocka_unit_test(profile__usages),
        cmocka_unit_test(profile__extensions),
        cmocka_unit_test(profile__policies_and_urls),
        cmocka_unit_test(profile__name_constraints),
        cmocka_unit_test(profile__no_list_is_cut_short),
        cmocka_unit_test(profile__too_many_extensions),
        cmocka_unit_test(profile__defaults),
        cmocka_unit_test(profile__without_memory_it_is_said),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
