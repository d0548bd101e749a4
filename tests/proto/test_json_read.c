/* SPDX-License-Identifier: Apache-2.0 */
/* JSON into messages: every type at its edges, and what must be refused with the field named. */
#include "tests/support/support.h"

#include "base/check.h"
#include "base/mem.h"
#include "gen/sealmill/v1/certificate.pb-c.h"
#include "gen/sealmill/v1/profile.pb-c.h"
#include "proto/message.h"

#include <string.h>

#define ARENA_CAP (8U << 20)

static sm_arena arena;
static sm_diag diag;

static int set_up(void **state)
{
    (void)state;
    sm_arena_init(&arena, ARENA_CAP);
    sm_diag_clear(&diag);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    sm_arena_deinit(&arena);
    return 0;
}

/* From a copy of the exact size: a reader that goes past its end is seen by AddressSanitizer. */
static sm_err parse(const ProtobufCMessageDescriptor *type, sm_slice text, ProtobufCMessage **out)
{
    uint8_t *copy = sm_malloc(text.len);
    assert_non_null(copy);
    memcpy(copy, text.ptr, text.len);
    sm_diag_clear(&diag);
    sm_err err = sm_message_from_json(type, sm_slice_of(copy, text.len), &arena, out, &diag);
    memset(copy, 'x', text.len); /* what was read must not live in it */
    sm_free(copy);
    return err;
}

static void *take(const ProtobufCMessageDescriptor *type, const char *text)
{
    ProtobufCMessage *m = NULL;
    sm_err err = parse(type, sm_slice_str(text), &m);
    if (!sm_ok(err)) {
        print_error("%s: %s: %s\n", text, diag.field, diag.reason);
    }
    assert_sm_ok(err);
    assert_non_null(m);
    return m;
}

#define ISSUE &sealmill__v1__issue_request__descriptor
#define LIST &sealmill__v1__list_certificates_request__descriptor
#define PROFILE &sealmill__v1__profile__descriptor
#define STREAM &sealmill__v1__issue_stream_request__descriptor

static void refuse_slice(const ProtobufCMessageDescriptor *type, sm_slice text, const char *field)
{
    static ProtobufCMessage untouched;
    ProtobufCMessage *m = &untouched;
    sm_err err = parse(type, text, &m);
    if (sm_ok(err) || strcmp(diag.field, field) != 0) {
        print_error("%.*s: %s, field \"%s\"\n", (int)text.len, (const char *)text.ptr,
                    sm_err_name(err), diag.field);
    }
    assert_int_equal(sm_err_category(err), SM_INPUT);
    assert_string_equal(diag.field, field);
    assert_true(strlen(diag.reason) > 4);
    assert_ptr_equal(m, &untouched);
}

static void refuse(const ProtobufCMessageDescriptor *type, const char *text, const char *field)
{
    refuse_slice(type, sm_slice_str(text), field);
}

/* ---- the text itself ---- */

static void json__empty_body_is_an_empty_message(void **state)
{
    (void)state;
    static const char *const empty[] = {"", " ", "\r\n\t ", "{}", " { } "};
    for (size_t i = 0; i < SM_ARRAY_LEN(empty); i++) {
        Sealmill__V1__IssueRequest *m = take(ISSUE, empty[i]);
        assert_string_equal(m->ca, "");
        assert_int_equal(m->csr.len, 0);
        assert_null(m->subject);
        assert_int_equal(m->n_sans, 0);
    }
}

static void json__what_is_not_one_object_is_refused(void **state)
{
    (void)state;
    static const char *const broken[] = {
        "{",
        "}",
        "{}{}",
        "{} x",
        "null",
        "true",
        "1",
        "\"x\"",
        "{\"ca\"}",
        "{\"ca\":}",
        "{\"ca\":\"a\",}",
        "{,}",
        "{ca:\"a\"}",
        "{'ca':\"a\"}",
        "{\"ca\":\"a\" \"profile\":\"b\"}",
        "{\"ca\":\"a",
        "{\"ca\":\"a\n\"}",
        "{\"ca\":\"\\x\"}",
        "{\"ca\":\"\\u12\"}",
        "{\"ca\":tru}",
        "{\"ca\":NaN}",
        "{\"ca\":01}",
        "{\"ca\":+1}",
        "{\"ca\":.5}",
        "{\"ca\":1.}",
        "{\"ca\":1e}",
        "{\"ca\":0x1}",
        "{\"ca\":1e999}",
        "// {}\n{}",
        "{/**/}",
        "\xef\xbb\xbf{}", /* RFC 8259 8.1: no byte order mark */
    };
    for (size_t i = 0; i < SM_ARRAY_LEN(broken); i++) {
        refuse(ISSUE, broken[i], "body");
    }
    refuse(ISSUE, "[]", "");
    refuse(ISSUE, "[{}]", "");
}

static void json__error_names_the_line(void **state)
{
    (void)state;
    refuse(ISSUE, "{\n\n  \"ca\": oops\n}", "body");
    assert_non_null(strstr(diag.reason, "line 3"));
}

static void json__every_prefix_of_a_request_is_refused(void **state)
{
    (void)state;
    static const char text[] =
        "{\"ca\":\"a\\u00e9\",\"csr\":\"AQID\",\"sans\":[{\"dns\":\"x\"}],"
        "\"validitySeconds\":\"60\",\"metadata\":{\"k\":\"v\"},\"notBefore\":"
        "\"2026-01-31T12:00:00Z\"}";
    (void)take(ISSUE, text);
    for (size_t len = 1; len + 1 < sizeof(text); len++) {
        refuse_slice(ISSUE, sm_slice_of(text, len), "body");
    }
}

static void json__nul_octets_are_refused_wherever_they_stand(void **state)
{
    (void)state;
    refuse_slice(ISSUE, SM_LIT("{\"ca\":\"a\0b\"}"), "body");
    refuse_slice(ISSUE, SM_LIT("{\"ca\0\":\"a\"}"), "body");
    refuse_slice(ISSUE, SM_LIT("{}\0"), "body");
    refuse(ISSUE, "{\"ca\":\"a\\u0000b\"}", "body");
    refuse(ISSUE, "{\"ca\\u0000\":\"a\"}", "body");
}

static void json__bad_utf8_is_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "\x80",
        "\xc0\xaf",
        "\xc1\xbf",
        "\xe0\x80\xaf",
        "\xed\xa0\x80",
        "\xed\xbf\xbf",
        "\xf0\x80\x80\xaf",
        "\xf4\x90\x80\x80",
        "\xf5\x80\x80\x80",
        "\xfe",
        "\xff",
        "\xc3",
        "\xe2\x82",
    };
    for (size_t i = 0; i < SM_ARRAY_LEN(bad); i++) {
        char text[64];
        (void)snprintf(text, sizeof(text), "{\"ca\":\"%s\"}", bad[i]);
        refuse(ISSUE, text, "body");
        (void)snprintf(text, sizeof(text), "{\"metadata\":{\"%s\":\"\"}}", bad[i]);
        refuse(ISSUE, text, "body");
    }
}

static void json__surrogates_must_come_in_pairs(void **state)
{
    (void)state;
    static const char *const alone[] = {"\\ud83d",        "\\ude00",        "\\ud83dx",
                                        "\\ud83d\\u0041", "\\ude00\\ud83d", "\\ud83d\\ud83d",
                                        "\\uD800\\uE000"};
    Sealmill__V1__IssueRequest *m = take(ISSUE, "{\"ca\":\"\\ud83d\\ude00 \\uD834\\uDD1E\"}");
    assert_string_equal(m->ca, "\xf0\x9f\x98\x80 \xf0\x9d\x84\x9e");
    for (size_t i = 0; i < SM_ARRAY_LEN(alone); i++) {
        char text[64];
        (void)snprintf(text, sizeof(text), "{\"ca\":\"%s\"}", alone[i]);
        refuse(ISSUE, text, "body");
    }
}

/* ---- keys ---- */

static void json__names_come_in_either_form(void **state)
{
    (void)state;
    Sealmill__V1__ListCertificatesRequest *m = take(
        LIST, "{\"pageSize\":7,\"page_token\":\"t\",\"keySha256\":\"k\"}");
    assert_int_equal(m->page_size, 7);
    assert_string_equal(m->page_token, "t");
    assert_string_equal(m->key_sha256, "k");
    m = take(LIST, "{\"key_sha256\":\"k\"}");
    assert_string_equal(m->key_sha256, "k");
}

static void json__unknown_and_misspelt_names_are_refused(void **state)
{
    (void)state;
    static const char *const names[] = {"PageSize",  "pagesize", "page-size",  "page_Size",
                                        "pageSize ", "",         "_page_size", "page__size"};
    for (size_t i = 0; i < SM_ARRAY_LEN(names); i++) {
        char text[64];
        (void)snprintf(text, sizeof(text), "{\"%s\":1}", names[i]);
        refuse(LIST, text, "");
        assert_non_null(strstr(diag.reason, "unknown key"));
    }
    refuse(LIST, "{\"page_siez\":1}", "");
    assert_non_null(strstr(diag.reason, "did you mean \"page_size\"?"));
    refuse(ISSUE, "{\"sans\":[{\"dns\":\"a\"},{\"nds\":\"b\"}]}", "sans[1]");
}

static void json__strange_key_is_shown_escaped(void **state)
{
    (void)state;
    refuse(LIST, "{\"\\u001b[2J\\\"\":1}", "");
    assert_non_null(strstr(diag.reason, "\\x1b[2J"));
}

static void json__the_same_key_twice_is_refused(void **state)
{
    (void)state;
    refuse(ISSUE, "{\"ca\":\"a\",\"ca\":\"b\"}", "body");
    refuse(ISSUE, "{\"ca\":\"a\",\"\\u0063a\":\"b\"}", "body");
    refuse(ISSUE, "{\"metadata\":{\"k\":\"a\",\"k\":\"b\"}}", "body");
    refuse(ISSUE, "{\"sans\":[{\"dns\":\"a\",\"dns\":\"b\"}]}", "body");
    refuse(LIST, "{\"pageSize\":1,\"page_size\":2}", "page_size");
}

/* ---- whole numbers ---- */

static void json__int32_edges(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int32_t want;
    } good[] = {{"0", 0},
                {"-0", 0},
                {"2147483647", INT32_MAX},
                {"-2147483648", INT32_MIN},
                {"\"2147483647\"", INT32_MAX},
                {"\"-2147483648\"", INT32_MIN},
                {"1.0", 1},
                {"1e3", 1000},
                {"12.5e1", 125},
                {"-0.0", 0}};
    static const char *const bad[] = {"2147483648",
                                      "-2147483649",
                                      "\"2147483648\"",
                                      "1.5",
                                      "1e10",
                                      "1e300",
                                      "-1e300",
                                      "\"\"",
                                      "\" 1\"",
                                      "\"1 \"",
                                      "\"+1\"",
                                      "\"--1\"",
                                      "\"-\"",
                                      "\"1e3\"",
                                      "\"0x1\"",
                                      "\"one\"",
                                      "true",
                                      "[1]",
                                      "{}",
                                      "9223372036854775807",
                                      "0.1",
                                      "5e-324"};
    char text[64];
    for (size_t i = 0; i < SM_ARRAY_LEN(good); i++) {
        (void)snprintf(text, sizeof(text), "{\"pageSize\":%s}", good[i].text);
        Sealmill__V1__ListCertificatesRequest *m = take(LIST, text);
        assert_int_equal(m->page_size, good[i].want);
    }
    for (size_t i = 0; i < SM_ARRAY_LEN(bad); i++) {
        (void)snprintf(text, sizeof(text), "{\"pageSize\":%s}", bad[i]);
        refuse(LIST, text, "page_size");
    }
}

static void json__uint32_edges(void **state)
{
    (void)state;
    static const char *const bad[] = {"-1", "4294967296", "\"-1\"", "\"4294967296\"", "1.5"};
    char text[96];
    Sealmill__V1__Profile *p = take(PROFILE, "{\"sans\":{\"maxCount\":4294967295}}");
    assert_int_equal(p->sans->max_count, UINT32_MAX);
    for (size_t i = 0; i < SM_ARRAY_LEN(bad); i++) {
        (void)snprintf(text, sizeof(text), "{\"sans\":{\"maxCount\":%s}}", bad[i]);
        refuse(PROFILE, text, "sans.max_count");
    }
}

static void json__int64_edges(void **state)
{
    (void)state;
    static const char *const bad[] = {"\"9223372036854775808\"", "\"-9223372036854775809\"", "1e19",
                                      "\"99999999999999999999\"", "0.5"};
    char text[96];
    Sealmill__V1__IssueRequest *m;
    m = take(ISSUE, "{\"validitySeconds\":\"9223372036854775807\"}");
    assert_true(m->validity_seconds == INT64_MAX);
    m = take(ISSUE, "{\"validitySeconds\":9223372036854775807}");
    assert_true(m->validity_seconds == INT64_MAX);
    m = take(ISSUE, "{\"validitySeconds\":\"-9223372036854775808\"}");
    assert_true(m->validity_seconds == INT64_MIN);
    m = take(ISSUE, "{\"validitySeconds\":-9223372036854775808}");
    assert_true(m->validity_seconds == INT64_MIN);
    for (size_t i = 0; i < SM_ARRAY_LEN(bad); i++) {
        (void)snprintf(text, sizeof(text), "{\"validitySeconds\":%s}", bad[i]);
        refuse(ISSUE, text, "validity_seconds");
    }
    refuse(ISSUE, "{\"validitySeconds\":9223372036854775808}", "body");
}

static void json__uint64_edges(void **state)
{
    (void)state;
    Sealmill__V1__IssueStreamRequest *m;
    m = take(STREAM, "{\"id\":\"18446744073709551615\"}");
    assert_true(m->id == UINT64_MAX);
    m = take(STREAM, "{\"id\":9223372036854775807}");
    assert_true(m->id == INT64_MAX);
    refuse(STREAM, "{\"id\":\"18446744073709551616\"}", "id");
    refuse(STREAM, "{\"id\":-1}", "id");
    refuse(STREAM, "{\"id\":\"-1\"}", "id");
}

/* ---- the other types ---- */

static void json__booleans_are_true_and_false(void **state)
{
    (void)state;
    static const char *const bad[] = {"\"true\"", "1", "0", "\"\"", "[]", "{}"};
    char text[64];
    Sealmill__V1__ListCertificatesRequest *m = take(LIST, "{\"brief\":true}");
    assert_true(m->brief);
    m = take(LIST, "{\"brief\":false}");
    assert_false(m->brief);
    for (size_t i = 0; i < SM_ARRAY_LEN(bad); i++) {
        (void)snprintf(text, sizeof(text), "{\"brief\":%s}", bad[i]);
        refuse(LIST, text, "brief");
    }
}

static void json__strings_are_strings(void **state)
{
    (void)state;
    static const char *const bad[] = {"1", "true", "[]", "{}", "1.5"};
    char text[64];
    Sealmill__V1__IssueRequest *m = take(ISSUE, "{\"ca\":\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u00e9\"}");
    assert_string_equal(m->ca, "\"\\/\b\f\n\r\t\xc3\xa9");
    for (size_t i = 0; i < SM_ARRAY_LEN(bad); i++) {
        (void)snprintf(text, sizeof(text), "{\"ca\":%s}", bad[i]);
        refuse(ISSUE, text, "ca");
    }
}

static void json__enums_by_name_short_name_or_number(void **state)
{
    (void)state;
    static const char *const revoked[] = {"\"CERTIFICATE_STATE_REVOKED\"", "2", "\"revoked\"",
                                          "\"Revoked\""};
    static const char *const bad[] = {"\"\"",
                                      "\"CERTIFICATE_STATE_\"",
                                      "\"certificate_state_revoked\"",
                                      "99",
                                      "-1",
                                      "2.5",
                                      "\"2\"",
                                      "true",
                                      "[]",
                                      "4294967298",
                                      "\"revoked \"",
                                      "\"revoke\""};
    char text[64];
    for (size_t i = 0; i < SM_ARRAY_LEN(revoked); i++) {
        (void)snprintf(text, sizeof(text), "{\"state\":%s}", revoked[i]);
        Sealmill__V1__ListCertificatesRequest *m = take(LIST, text);
        assert_int_equal(m->state, SEALMILL__V1__CERTIFICATE_STATE__CERTIFICATE_STATE_REVOKED);
    }
    for (size_t i = 0; i < SM_ARRAY_LEN(bad); i++) {
        (void)snprintf(text, sizeof(text), "{\"state\":%s}", bad[i]);
        refuse(LIST, text, "state");
        assert_non_null(strstr(diag.reason, "revoked")); /* the short names are told */
    }
}

static void json__bytes_are_base64_of_either_alphabet(void **state)
{
    (void)state;
    static const char *const same[] = {"-_8B", "+/8B"};
    static const char *const bad[] = {"\"A\"", "\"A===\"", "\"AB=C\"", "\"AQ=\"", "\"AR==\"",
                                      "\"*\"", "1.5",      "true",     "[]",      "\"\\u00e9\""};
    char text[64];
    Sealmill__V1__IssueRequest *m;
    for (size_t i = 0; i < SM_ARRAY_LEN(same); i++) {
        (void)snprintf(text, sizeof(text), "{\"csr\":\"%s\"}", same[i]);
        m = take(ISSUE, text);
        assert_int_equal(m->csr.len, 3);
        assert_memory_equal(m->csr.data, "\xfb\xff\x01", 3);
    }
    m = take(ISSUE, "{\"csr\":\"AQ==\"}");
    assert_int_equal(m->csr.len, 1);
    m = take(ISSUE, "{\"csr\":\"AQ\"}"); /* the mapping: with or without padding */
    assert_int_equal(m->csr.len, 1);
    m = take(ISSUE, "{\"csr\":\"\"}");
    assert_int_equal(m->csr.len, 0);
    for (size_t i = 0; i < SM_ARRAY_LEN(bad); i++) {
        (void)snprintf(text, sizeof(text), "{\"csr\":%s}", bad[i]);
        refuse(ISSUE, text, "csr");
    }
}

static void json__timestamps_are_rfc_3339(void **state)
{
    (void)state;
    static const char *const same[] = {"2026-01-31T12:00:00Z", "2026-01-31T13:30:00+01:30",
                                       "2026-01-31T12:00:00.999999999Z"};
    static const char *const bad[] = {"\"\"",
                                      "\"2026-01-31\"",
                                      "\"2026-02-29T00:00:00Z\"",
                                      "\"2026-01-31T12:00:00\"",
                                      "\"2026-01-31T24:00:00Z\"",
                                      "\"0000-01-01T00:00:00Z\"",
                                      "1769860800",
                                      "{\"seconds\":1}",
                                      "[]",
                                      "\"tomorrow\""};
    char text[80];
    for (size_t i = 0; i < SM_ARRAY_LEN(same); i++) {
        (void)snprintf(text, sizeof(text), "{\"notBefore\":\"%s\"}", same[i]);
        Sealmill__V1__IssueRequest *m = take(ISSUE, text);
        assert_true(m->not_before->seconds == 1769860800);
        assert_int_equal(m->not_before->nanos, 0);
    }
    for (size_t i = 0; i < SM_ARRAY_LEN(bad); i++) {
        (void)snprintf(text, sizeof(text), "{\"notBefore\":%s}", bad[i]);
        refuse(ISSUE, text, "not_before");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(json__empty_body_is_an_empty_message),
        cmocka_unit_test(json__what_is_not_one_object_is_refused),
        cmocka_unit_test(json__error_names_the_line),
        cmocka_unit_test(json__every_prefix_of_a_request_is_refused),
        cmocka_unit_test(json__nul_octets_are_refused_wherever_they_stand),
        cmocka_unit_test(json__bad_utf8_is_refused),
        cmocka_unit_test(json__surrogates_must_come_in_pairs),
        cmocka_unit_test(json__names_come_in_either_form),
        cmocka_unit_test(json__unknown_and_misspelt_names_are_refused),
        cmocka_unit_test(json__strange_key_is_shown_escaped),
        cmocka_unit_test(json__the_same_key_twice_is_refused),
        cmocka_unit_test(json__int32_edges),
        cmocka_unit_test(json__uint32_edges),
        cmocka_unit_test(json__int64_edges),
        cmocka_unit_test(json__uint64_edges),
        cmocka_unit_test(json__booleans_are_true_and_false),
        cmocka_unit_test(json__strings_are_strings),
        cmocka_unit_test(json__enums_by_name_short_name_or_number),
        cmocka_unit_test(json__bytes_are_base64_of_either_alphabet),
        cmocka_unit_test(json__timestamps_are_rfc_3339),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
