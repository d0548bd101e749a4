/* SPDX-License-Identifier: Apache-2.0 */
/* Each restriction of a profile: a request that keeps it, and one that does not, refused with the
 * field. */
#include "api/profile.h"
#include "base/check.h"
#include "proto/message.h"
#include "sign/oids.h"
#include "tests/support/ossl.h"
#include "tests/support/support.h"

#include <string.h>

#define NOW INT64_C(1800000000)
#define DAY INT64_C(86400)

static sm_arena arena;
static sm_diag diag;
static struct sm_csr csr;
static struct sm_cert_params params;

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

/* ---- a profile, a request, and what comes of them ---- */

static void use_request(X509_REQ *req)
{
    sm_buf der = SM_TEST_DER(X509_REQ, req);
    sm_slice copy;
    assert_sm_ok(sm_arena_copy(&arena, sm_buf_slice(&der), &copy));
    assert_sm_ok(sm_csr_parse(copy, &csr, &diag));
    sm_buf_deinit(&der);
    X509_REQ_free(req);
}

static void use_csr(enum sm_key_type type, const char *cn, const char *sans)
{
    use_request(sm_test_plain_request(type, cn, sans));
}

static sm_err apply_message(const char *yaml, const Sealmill__V1__IssueRequest *request)
{
    ProtobufCMessage *m;
    struct sm_profile profile;
    sm_diag_clear(&diag);
    char *text = sm_arena_printf(&arena, "name: a\n%s", yaml);
    assert_sm_ok(sm_message_from_yaml(&sealmill__v1__profile__descriptor, sm_slice_str(text),
                                      &arena, &m, &diag));
    assert_sm_ok(sm_profile_compile((Sealmill__V1__Profile *)(void *)m, &arena, &profile, &diag));
    const struct sm_profile_input input = {
        .csr = &csr,
        .request = request,
        .caller = "a caller",
        .now = NOW,
        .ca_not_before = NOW - 100 * DAY,
        .ca_not_after = NOW + 100 * DAY,
    };
    params = (struct sm_cert_params){.sans_critical = false};
    sm_err err = sm_profile_apply(&profile, &input, &arena, &params, &diag);
    sm_profile_deinit(&profile);
    return err;
}

static sm_err apply(const char *yaml, const char *request)
{
    ProtobufCMessage *m;
    assert_sm_ok(sm_message_from_json(&sealmill__v1__issue_request__descriptor,
                                      sm_slice_str(request), &arena, &m, &diag));
    return apply_message(yaml, (const Sealmill__V1__IssueRequest *)(void *)m);
}

static void accept(const char *yaml, const char *request)
{
    sm_err err = apply(yaml, request);
    if (!sm_ok(err)) {
        print_error("%s with %s: %s: %s\n", yaml, request, diag.field, diag.reason);
    }
    assert_sm_ok(err);
}

static void refuse(const char *yaml, const char *request, const char *field)
{
    sm_err err = apply(yaml, request);
    if (sm_ok(err) || strcmp(diag.field, field) != 0) {
        print_error("%s with %s: %s, \"%s\": %s\n", yaml, request, sm_err_name(err), diag.field,
                    diag.reason);
    }
    assert_int_equal(sm_err_category(err), SM_INPUT);
    assert_string_equal(diag.field, field);
    assert_true(diag.reason[0] != '\0');
}

static void assert_subject(const char *text)
{
    sm_buf out = sm_buf_init(4096);
    assert_sm_ok(sm_name_to_text(params.subject, &out));
    assert_int_equal(out.len, strlen(text));
    assert_memory_equal(out.ptr == NULL ? (const uint8_t *)"" : out.ptr, text, out.len);
    sm_buf_deinit(&out);
}

/* "dns:a ip:192.0.2.1", in this order. */
static void assert_sans(const char *want)
{
    sm_buf out = sm_buf_init(4096);
    for (size_t i = 0; i < params.san_count; i++) {
        sm_buf_printf(&out, "%s%s:", i == 0 ? "" : " ", sm_san_kind_name(params.sans[i].kind));
        assert_sm_ok(sm_san_to_text(&params.sans[i], &out));
    }
    sm_buf_put_byte(&out, 0);
    assert_string_equal((const char *)out.ptr, want);
    sm_buf_deinit(&out);
}

/* ---- keys ---- */

static void apply__key_types(void **state)
{
    (void)state;
    static const struct {
        enum sm_key_type type;
        const char *name;
        bool by_default;
    } types[] = {{SM_KEY_P256, "ec-p256", true},      {SM_KEY_P384, "ec-p384", true},
                 {SM_KEY_P521, "ec-p521", true},      {SM_KEY_RSA_2048, "rsa-2048", true},
                 {SM_KEY_RSA_3072, "rsa-3072", true}, {SM_KEY_ED25519, "ed25519", true},
                 {SM_KEY_ED448, "ed448", false},      {SM_KEY_ML_DSA_44, "ml-dsa-44", false}};
    for (size_t i = 0; i < SM_ARRAY_LEN(types); i++) {
        use_csr(types[i].type, "a", NULL);
        for (size_t j = 0; j < SM_ARRAY_LEN(types); j++) {
            char yaml[64];
            (void)snprintf(yaml, sizeof(yaml), "key_types: [%s]", types[j].name);
            if (i == j) {
                accept(yaml, "{}");
            } else {
                refuse(yaml, "{}", "csr.key");
            }
        }
        if (types[i].by_default) {
            accept("", "{}");
        } else {
            refuse("", "{}", "csr.key");
        }
    }
}

/* ---- subject ---- */

static void apply__subject_from_the_csr_or_the_request(void **state)
{
    (void)state;
    static const char other[] =
        "{\"subject\":{\"attributes\":[{\"type\":\"CN\",\"value\":\"b\"}]}}";
    use_csr(SM_KEY_P256, "a", NULL);
    accept("", "{}");
    assert_subject("CN=a");
    refuse("", other, "subject");
    refuse("subject: {source: copy}", other, "subject");
    accept("subject: {allow_override: true}", other);
    assert_subject("CN=b");
    refuse("subject: {allow_override: true}",
           "{\"subject\":{\"attributes\":[{\"type\":\"XX\",\"value\":\"b\"}]}}", "subject");
}

static void apply__subject_rules(void **state)
{
    (void)state;
    use_csr(SM_KEY_P256, "node-17", NULL);
    accept("subject: {rules: [{type: CN, pattern: 'node-[0-9]+'}]}", "{}");
    refuse("subject: {rules: [{type: CN, pattern: 'node-[0-9]'}]}", "{}", "subject");
    refuse("subject: {rules: [{type: CN, pattern: 'ode-17'}]}", "{}", "subject"); /* whole */
    accept("subject: {rules: [{type: CN, max_length: 7}]}", "{}");
    refuse("subject: {rules: [{type: CN, max_length: 6}]}", "{}", "subject");
    refuse("subject: {rules: [{type: O}]}", "{}", "subject"); /* CN is not among them */
    refuse("subject: {rules: [{type: CN}, {type: O, required: true}]}", "{}", "subject");
    accept("subject: {rules: [{type: CN}, {type: O, fixed: Acme}]}", "{}");
    assert_subject("O=Acme,CN=node-17"); /* RFC 4514 2.1: the last comes first */
    accept("subject: {rules: [{type: CN, fixed: always}]}", "{}");
    assert_subject("CN=always");
    accept("subject: {source: template, template: 'O=Acme,CN=x', rules: [{type: C}]}", "{}");
}

static void apply__subject_template(void **state)
{
    (void)state;
    static const char yaml[] =
        "subject: {source: template, template: 'CN={metadata.serial},OU={csr.CN},O={caller}'}";
    use_csr(SM_KEY_P256, "dev, O=Evil+x", "DNS:a.example");
    accept(yaml, "{\"metadata\":{\"serial\":\"7\\\",O=Evil\\\\\"}}");
    struct sm_name name;
    assert_sm_ok(sm_name_parse(params.subject, &name, NULL));
    assert_int_equal(name.count, 3); /* what is filled in stays one value */
    assert_true(sm_slice_equal(name.at[0].value, SM_LIT("7\",O=Evil\\")));
    assert_true(sm_slice_equal(name.at[1].value, SM_LIT("dev, O=Evil+x")));
    assert_true(sm_slice_equal(name.at[2].value, SM_LIT("a caller")));
    refuse(yaml, "{}", "subject");
    assert_non_null(strstr(diag.reason, "metadata.serial"));
    refuse(yaml, "{\"metadata\":{\"serial\":\"\"}}", "subject");
    accept("subject: {source: template, template: 'CN={san.dns}'}", "{}");
    assert_subject("CN=a.example");
    refuse("subject: {source: template, template: 'CN={san.email}'}", "{}", "subject");
}

static void apply__somebody_must_be_named(void **state)
{
    (void)state;
    use_csr(SM_KEY_P256, "a", "DNS:a.example");
    refuse("subject: {source: empty}", "{}", "subject");
    accept("subject: {source: empty}\nsans: {copy: true}", "{}");
    assert_true(params.sans_critical); /* RFC 5280 4.2.1.6 */
    accept("sans: {copy: true}", "{}");
    assert_false(params.sans_critical);
}

/* ---- SANs ---- */

static void apply__sans_are_copied_only_where_the_profile_says_so(void **state)
{
    (void)state;
    use_csr(SM_KEY_P256, "a", "DNS:a.example,IP:192.0.2.1");
    accept("", "{}");
    assert_int_equal(params.san_count, 0);
    accept("sans: {copy: true}", "{}");
    assert_sans("dns:a.example ip:192.0.2.1");
    refuse("sans: {copy: true}", "{\"sans\":[{\"dns\":\"b.example\"}]}", "sans");
    refuse("", "{\"sans\":[{\"dns\":\"b.example\"}]}", "sans");
    accept("sans: {copy: true, allow_override: true}", "{\"sans\":[{\"dns\":\"b.example\"}]}");
    assert_sans("dns:b.example");
    refuse("sans: {allow_override: true}", "{\"sans\":[{\"dns\":\"b..example\"}]}", "sans");
    refuse("sans: {allow_override: true}", "{\"sans\":[{}]}", "sans");
    refuse("sans: {allow_override: true}", "{\"sans\":[{\"ip\":\"300.1.1.1\"}]}", "sans");
}

static void apply__sans_required_counted_and_typed(void **state)
{
    (void)state;
    use_csr(SM_KEY_P256, "a", NULL);
    refuse("sans: {copy: true, required: true}", "{}", "sans");
    use_csr(SM_KEY_P256, "a", "DNS:a.example,IP:192.0.2.1,email:a@b.example");
    accept("sans: {copy: true, required: true, max_count: 3}", "{}");
    refuse("sans: {copy: true, max_count: 2}", "{}", "sans");
    accept("sans: {copy: true, types: [dns, ip, email]}", "{}");
    refuse("sans: {copy: true, types: [dns, ip]}", "{}", "sans");
    refuse("sans: {allow_override: true}", "{\"sans\":[{\"registeredId\":\"1.2.3\"}]}", "sans");
    accept("sans: {allow_override: true, types: [registered_id]}",
           "{\"sans\":[{\"registeredId\":\"1.2.3\"}]}");
}

static void apply__san_patterns(void **state)
{
    (void)state;
    use_csr(SM_KEY_P256, "a", "DNS:a.example,DNS:b.test,IP:192.0.2.1");
    accept("sans: {copy: true, patterns: [{type: dns, pattern: '.*\\.example'}, {type: dns, "
           "pattern: '.*\\.test'}]}",
           "{}");
    refuse("sans: {copy: true, patterns: [{type: dns, pattern: '.*\\.example'}]}", "{}", "sans");
    accept("sans: {copy: true, patterns: [{type: ip, pattern: '192\\.0\\.2\\..*'}]}", "{}");
    refuse("sans: {copy: true, patterns: [{type: ip, pattern: '10\\..*'}]}", "{}", "sans");
    use_csr(SM_KEY_P256, "a", "DNS:evil.example.attacker.test");
    refuse("sans: {copy: true, patterns: [{type: dns, pattern: '.*\\.example'}]}", "{}", "sans");
}

static void apply__wildcards(void **state)
{
    (void)state;
    use_csr(SM_KEY_P256, "a", "DNS:*.a.example");
    refuse("sans: {copy: true}", "{}", "sans");
    accept("sans: {copy: true, allow_wildcards: true}", "{}");
    assert_sans("dns:*.a.example");
}

static void apply__san_templates_and_the_cn(void **state)
{
    (void)state;
    use_csr(SM_KEY_P256, "a.example", "DNS:a.example");
    accept("sans: {copy: true, add_cn: true, templates: ['uri:urn:id:{metadata.id}', "
           "'dns:{csr.CN}']}",
           "{\"metadata\":{\"id\":\"7\"}}");
    assert_sans("dns:a.example uri:urn:id:7");
    accept("sans: {add_cn: true}", "{}");
    assert_sans("dns:a.example");
    refuse("sans: {templates: ['dns:{metadata.host}']}", "{}", "sans");
    refuse("sans: {templates: ['dns:{metadata.host}']}", "{\"metadata\":{\"host\":\"a b\"}}",
           "sans");
    refuse("sans: {templates: ['host:x']}", "{}", "sans");
    use_csr(SM_KEY_P256, "not a host name", NULL);
    accept("sans: {add_cn: true}", "{}");
    assert_int_equal(params.san_count, 0);
}

/* ---- validity ---- */

static void apply__validity_bounds(void **state)
{
    (void)state;
    static const char yaml[] = "validity: {default: 10d, maximum: 20d, backdate: 1h}";
    use_csr(SM_KEY_P256, "a", NULL);
    accept(yaml, "{}");
    assert_true(params.not_before == NOW - 3600);
    assert_true(params.not_after == NOW + 10 * DAY - 1); /* RFC 5280 4.1.2.5: inclusive */
    accept(yaml, "{\"validitySeconds\":\"1728000\"}");
    assert_true(params.not_after == NOW + 20 * DAY - 1);
    refuse(yaml, "{\"validitySeconds\":\"1728001\"}", "validity_seconds");
    refuse(yaml, "{\"validitySeconds\":\"-1\"}", "validity_seconds");
    refuse(yaml, "{\"validitySeconds\":\"9223372036854775807\"}", "validity_seconds");
    refuse(yaml, "{\"validitySeconds\":\"-9223372036854775808\"}", "validity_seconds");
    refuse(yaml, "{\"validitySeconds\":\"1\"}", "validity_seconds"); /* it ends now */
}

static void apply__never_past_the_ca(void **state)
{
    (void)state;
    use_csr(SM_KEY_P256, "a", NULL);
    accept("validity: {default: 1y}", "{}");
    assert_true(params.not_after == NOW + 100 * DAY);
    refuse("validity: {default: 1y, refuse_past_ca: true}", "{}", "validity_seconds");
    accept("validity: {default: 100d, refuse_past_ca: true}", "{}");
    accept("validity: {default: 10d, backdate: 200d}", "{}");
    assert_true(params.not_before == NOW - 100 * DAY);
}

static void apply__not_before(void **state)
{
    (void)state;
    static const char yaml[] = "validity: {default: 10d, allow_not_before: true}";
    static const int64_t absurd[] = {INT64_MIN,
                                     INT64_MAX,
                                     INT64_MAX - 10 * DAY,
                                     -1,
                                     0,
                                     INT64_C(253402300799),
                                     INT64_C(253402300800)};
    Sealmill__V1__IssueRequest r;
    sealmill__v1__issue_request__init(&r);
    Google__Protobuf__Timestamp time;
    google__protobuf__timestamp__init(&time);
    use_csr(SM_KEY_P256, "a", NULL);
    r.not_before = &time;
    time.seconds = NOW + DAY;
    assert_sm_err(apply_message("", &r), POLICY);
    assert_string_equal(diag.field, "not_before");
    assert_sm_ok(apply_message(yaml, &r));
    assert_true(params.not_before == NOW + DAY && params.not_after == NOW + 11 * DAY - 1);
    for (size_t i = 0; i < SM_ARRAY_LEN(absurd); i++) { /* gRPC carries any number */
        time.seconds = absurd[i];
        assert_int_equal(sm_err_category(apply_message(yaml, &r)), SM_INPUT);
        assert_true(diag.field[0] != '\0');
    }
}

/* ---- extensions of the CSR ---- */

static void use_extensions(const int *nids, const char *const *values, size_t count)
{
    X509_REQ *req = sm_test_plain_request(SM_KEY_P256, "a", NULL);
    STACK_OF(X509_EXTENSION) *exts = sk_X509_EXTENSION_new_null();
    for (size_t i = 0; i < count; i++) {
        assert_true(
            sk_X509_EXTENSION_push(exts, X509V3_EXT_nconf_nid(NULL, NULL, nids[i], values[i])) > 0);
    }
    assert_int_equal(X509_REQ_add_extensions(req, exts), 1);
    assert_true(X509_REQ_sign(req, sm_test_pkey(SM_KEY_P256), EVP_sha256()) > 0);
    sk_X509_EXTENSION_pop_free(exts, X509_EXTENSION_free);
    use_request(req);
}

static void apply__csr_extensions(void **state)
{
    (void)state;
    static const int nids[] = {NID_key_usage, NID_ext_key_usage, NID_basic_constraints};
    static const char *const values[] = {"digitalSignature", "serverAuth", "CA:TRUE"};
    use_extensions(nids, values, SM_ARRAY_LEN(nids));
    accept("", "{}");
    assert_int_equal(params.extension_count, 0);
    refuse("refuse_unknown_csr_extensions: true", "{}", "csr.extensions");
    accept("honour_csr_extensions: [keyUsage]", "{}");
    assert_int_equal(params.extension_count, 1);
    assert_true(sm_slice_equal(params.extensions[0].oid, SM_OID_KEY_USAGE));
    accept("honour_csr_extensions: [keyUsage]\nkey_usage: [keyAgreement]", "{}");
    assert_int_equal(params.extension_count, 0); /* the profile's own wins */
    refuse("honour_csr_extensions: [keyUsage]\nrefuse_unknown_csr_extensions: true", "{}",
           "csr.extensions");
    /* a request never makes itself a CA */
    accept("honour_csr_extensions: [keyUsage, extendedKeyUsage]\n"
           "refuse_unknown_csr_extensions: true",
           "{}");
    assert_int_equal(params.extension_count, 2);
}

/* What only a CA or its responder has is not to be had by asking. */
static void apply__csr_extensions_of_cas(void **state)
{
    (void)state;
    static const struct {
        int nid;
        const char *value;
        const char *field; /* NULL: accepted */
    } cases[] = {
        {NID_key_usage, "keyCertSign", "csr.extensions.key_usage"},
        {NID_key_usage, "cRLSign", "csr.extensions.key_usage"},
        {NID_key_usage, "digitalSignature,keyAgreement,keyCertSign", "csr.extensions.key_usage"},
        {NID_key_usage, "digitalSignature,decipherOnly", NULL},
        {NID_key_usage, "DER:0500", "csr.extensions.key_usage"},
        {NID_key_usage, "DER:03020780", NULL},
        {NID_key_usage, "DER:0302078000", "csr.extensions.key_usage"},
        {NID_ext_key_usage, "OCSPSigning", "csr.extensions.extended_key_usage"},
        {NID_ext_key_usage, "serverAuth,clientAuth,OCSPSigning",
         "csr.extensions.extended_key_usage"},
        {NID_ext_key_usage, "serverAuth,clientAuth", NULL},
        {NID_ext_key_usage, "DER:0500", "csr.extensions.extended_key_usage"},
    };
    for (size_t i = 0; i < SM_ARRAY_LEN(cases); i++) {
        use_extensions(&cases[i].nid, &cases[i].value, 1);
        if (cases[i].field == NULL) {
            accept("honour_csr_extensions: [keyUsage, extendedKeyUsage]", "{}");
            assert_int_equal(params.extension_count, 1);
        } else {
            refuse("honour_csr_extensions: [keyUsage, extendedKeyUsage]", "{}", cases[i].field);
        }
    }
    /* A profile for CAs may take it from the request. */
    use_extensions(&cases[0].nid, &cases[0].value, 1);
    accept("honour_csr_extensions: [keyUsage]\nbasic_constraints: {ca: true}", "{}");
    assert_int_equal(params.extension_count, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(apply__key_types),
        cmocka_unit_test(apply__subject_from_the_csr_or_the_request),
        cmocka_unit_test(apply__subject_rules),
        cmocka_unit_test(apply__subject_template),
        cmocka_unit_test(apply__somebody_must_be_named),
        cmocka_unit_test(apply__sans_are_copied_only_where_the_profile_says_so),
        cmocka_unit_test(apply__sans_required_counted_and_typed),
        cmocka_unit_test(apply__san_patterns),
        cmocka_unit_test(apply__wildcards),
        cmocka_unit_test(apply__san_templates_and_the_cn),
        cmocka_unit_test(apply__validity_bounds),
        cmocka_unit_test(apply__never_past_the_ca),
        cmocka_unit_test(apply__not_before),
        cmocka_unit_test(apply__csr_extensions),
        cmocka_unit_test(apply__csr_extensions_of_cas),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
