/* SPDX-License-Identifier: Apache-2.0 */
/* What a label lets its requests ask for: each rule kept and broken, refused with the field of the request. */
#include "api/label_rules.h"
#include "base/check.h"
#include "proto/message.h"
#include "tests/support/ossl.h"
#include "tests/support/support.h"

#include <stdio.h>
#include <string.h>

#define DAY INT64_C(86400)

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
    sm_test_keys_free();
    return 0;
}

static sm_err make(const char *yaml, struct sm_label_rules *out)
{
    ProtobufCMessage *m;
    *out = (struct sm_label_rules){.key_types = 0};
    sm_diag_clear(&diag);
    assert_sm_ok(sm_message_from_yaml(&sealmill__config__v1__label_requests__descriptor,
                                      sm_slice_str(yaml), &arena, &m, &diag));
    return sm_label_rules_make((const Sealmill__Config__V1__LabelRequests *)(void *)m, &arena, out,
                               &diag);
}

static sm_err check_request(const char *yaml, X509_REQ *req)
{
    struct sm_label_rules rules;
    static struct sm_csr csr;
    sm_buf der = SM_TEST_DER(X509_REQ, req);
    sm_slice copy;
    assert_sm_ok(make(yaml, &rules));
    assert_sm_ok(sm_arena_copy(&arena, sm_buf_slice(&der), &copy));
    assert_sm_ok(sm_csr_parse(copy, &csr, &diag));
    sm_err err = sm_label_rules_check(&rules, &csr, &arena, &diag);
    sm_label_rules_deinit(&rules);
    sm_buf_deinit(&der);
    X509_REQ_free(req);
    return err;
}

static X509_REQ *plain(const char *cn, const char *sans)
{
    return sm_test_plain_request(SM_KEY_P256, cn, sans);
}

/* "O=Acme" and more, in the order of the DER. */
static X509_REQ *named(const char *first, const char *second)
{
    const char *parts[] = {first, second};
    X509_REQ *req = plain("a", NULL);
    X509_NAME *name = X509_NAME_new();
    for (size_t i = 0; i < SM_ARRAY_LEN(parts) && parts[i] != NULL; i++) {
        const char *value = strchr(parts[i], '=') + 1;
        char type[8];
        (void)snprintf(type, sizeof(type), "%.*s", (int)(value - 1 - parts[i]), parts[i]);
        assert_int_equal(X509_NAME_add_entry_by_txt(name, type, MBSTRING_UTF8,
                                                    (const uint8_t *)value, -1, -1, 0),
                         1);
    }
    assert_int_equal(X509_REQ_set_subject_name(req, name), 1);
    assert_true(X509_REQ_sign(req, sm_test_pkey(SM_KEY_P256), EVP_sha256()) > 0);
    X509_NAME_free(name);
    return req;
}

static X509_REQ *with_eku(const char *ekus)
{
    X509_REQ *req = plain("a", NULL);
    STACK_OF(X509_EXTENSION) *list = sk_X509_EXTENSION_new_null();
    (void)sk_X509_EXTENSION_push(list, X509V3_EXT_conf_nid(NULL, NULL, NID_ext_key_usage, ekus));
    assert_int_equal(X509_REQ_add_extensions(req, list), 1);
    assert_true(X509_REQ_sign(req, sm_test_pkey(SM_KEY_P256), EVP_sha256()) > 0);
    sk_X509_EXTENSION_pop_free(list, X509_EXTENSION_free);
    return req;
}

static void refused(sm_err err, const char *field, const char *reason)
{
    assert_true(sm_err_is(err, SM_E_POLICY));
    assert_string_equal(diag.field, field);
    assert_non_null(strstr(diag.reason, reason));
}

/* ---- requests ---- */

static void rules__none_take_all(void **state)
{
    (void)state;
    assert_sm_ok(check_request("{}", plain("a", NULL)));
}

static void rules__key_types(void **state)
{
    (void)state;
    assert_sm_ok(check_request("key_types: [ec-p384, ec-p256]", plain("a", NULL)));
    refused(check_request("key_types: [ec-p384]", plain("a", NULL)), "csr.key", "P-256");
}

static void rules__the_whole_subject_matches(void **state)
{
    (void)state;
    const char *rule = "subject: 'CN=dev[0-9]+,O=Acme'";
    assert_sm_ok(check_request(rule, named("O=Acme", "CN=dev7")));
    refused(check_request(rule, named("O=Acme", "CN=dev7x")), "csr.subject", "CN=dev7x");
    refused(check_request(rule, named("CN=dev7", NULL)), "csr.subject", "does not match");
    refused(check_request(rule, named("CN=dev7", "O=Acme")), "csr.subject", "O=Acme,CN=dev7");
}

static void rules__every_purpose_is_asked_for(void **state)
{
    (void)state;
    const char *field = "csr.extensions.extended_key_usage";
    const char *rule = "extended_key_usage: [clientAuth, 1.3.6.1.5.5.7.3.1]";
    assert_sm_ok(check_request(rule, with_eku("serverAuth,clientAuth,emailProtection")));
    refused(check_request(rule, with_eku("clientAuth")), field, "1.3.6.1.5.5.7.3.1");
    refused(check_request(rule, plain("a", NULL)), field, "1.3.6.1.5.5.7.3.2");
}

static void rules__a_san_of_each_type(void **state)
{
    (void)state;
    assert_sm_ok(check_request("sans: [dns, ip]", plain("a", "DNS:a.example,IP:192.0.2.1")));
    refused(check_request("sans: [dns, ip]", plain("a", "DNS:a.example")), "csr.sans", "ip");
    refused(check_request("sans: [dns]", plain("a", NULL)), "csr.sans", "dns");
}

static void rules__validity_is_the_shortest(void **state)
{
    (void)state;
    struct sm_label_rules rules;
    const struct sm_profile profile = {.validity_s = 90 * DAY, .maximum_s = 365 * DAY};
    assert_sm_ok(make("maximum_validity: 30d", &rules));
    assert_int_equal(sm_label_rules_validity(&rules, &profile, 0), 30 * DAY);
    assert_int_equal(sm_label_rules_validity(&rules, &profile, 60 * DAY), 30 * DAY);
    assert_int_equal(sm_label_rules_validity(&rules, &profile, DAY), DAY);
    assert_sm_ok(make("maximum_validity: 100d", &rules));
    assert_int_equal(sm_label_rules_validity(&rules, &profile, 0), 0);
    assert_sm_ok(make("{}", &rules));
    assert_int_equal(sm_label_rules_validity(&rules, &profile, 60 * DAY), 60 * DAY);
}

/* ---- the configuration ---- */

static void rules__what_is_none_is_named(void **state)
{
    (void)state;
    static const struct {
        const char *yaml;
        const char *field;
    } cases[] = {
        {"subject: '('", "enrolment.labels.requests.subject"},
        {"extended_key_usage: [clientauthority]", "enrolment.labels.requests.extended_key_usage"},
        {"sans: [host]", "enrolment.labels.requests.sans"},
        {"maximum_validity: soon", "enrolment.labels.requests.maximum_validity"},
        {"maximum_validity: 0s", "enrolment.labels.requests.maximum_validity"},
    };
    for (size_t i = 0; i < SM_ARRAY_LEN(cases); i++) {
        struct sm_label_rules rules;
        assert_true(sm_err_is(make(cases[i].yaml, &rules), SM_E_INVALID));
        assert_string_equal(diag.field, cases[i].field);
    }
}

static void rules__too_many_purposes(void **state)
{
    (void)state;
    struct sm_label_rules rules;
    assert_true(sm_err_is(make("extended_key_usage: [1.2.1, 1.2.2, 1.2.3, 1.2.4, 1.2.5, 1.2.6, "
                               "1.2.7, 1.2.8, 1.2.9, 1.2.10, 1.2.11, 1.2.12, 1.2.13, 1.2.14, "
                               "1.2.15, 1.2.16, 1.2.17]",
                               &rules),
                          SM_E_TOO_LARGE));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rules__none_take_all),
        cmocka_unit_test(rules__key_types),
        cmocka_unit_test(rules__the_whole_subject_matches),
        cmocka_unit_test(rules__every_purpose_is_asked_for),
        cmocka_unit_test(rules__a_san_of_each_type),
        cmocka_unit_test(rules__validity_is_the_shortest),
        cmocka_unit_test(rules__what_is_none_is_named),
        cmocka_unit_test(rules__too_many_purposes),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
