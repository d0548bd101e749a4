/* SPDX-License-Identifier: Apache-2.0 */
/* Single fields from text, as URL parameters and path variables bring them. */
#include "tests/support/support.h"

#include "base/check.h"
#include "gen/sealmill/v1/ca.pb-c.h"
#include "gen/sealmill/v1/certificate.pb-c.h"
#include "proto/message.h"

#include <string.h>

typedef Sealmill__V1__ListCertificatesRequest list_request;

static sm_arena arena;
static sm_diag diag;

static int set_up(void **state)
{
    (void)state;
    sm_arena_init(&arena, 1U << 20);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    sm_arena_deinit(&arena);
    return 0;
}

static sm_err set(void *message, const char *path, const char *text)
{
    sm_diag_clear(&diag);
    return sm_message_set_text(message, sm_slice_str(path), sm_slice_str(text), &arena, &diag);
}

static void text__every_scalar_type(void **state)
{
    (void)state;
    list_request m;
    sealmill__v1__list_certificates_request__init(&m);
    Sealmill__V1__IssueStreamRequest stream;
    sealmill__v1__issue_stream_request__init(&stream);
    assert_sm_ok(set(&m, "ca", "a b\"\n"));
    assert_string_equal(m.ca, "a b\"\n");
    assert_sm_ok(set(&m, "page_size", "-7"));
    assert_int_equal(m.page_size, -7);
    assert_sm_ok(set(&m, "pageSize", "2147483647"));
    assert_int_equal(m.page_size, INT32_MAX);
    assert_sm_ok(set(&m, "brief", "true"));
    assert_true(m.brief);
    assert_sm_ok(set(&m, "brief", "false"));
    assert_false(m.brief);
    assert_sm_ok(set(&m, "expiresAfter", "1970-01-01T00:01:00Z"));
    assert_true(m.expires_after->seconds == 60);
    assert_sm_ok(set(&stream, "id", "18446744073709551615"));
    assert_true(stream.id == UINT64_MAX);
}

static void text__enums_by_name_or_number(void **state)
{
    (void)state;
    static const char *const ways[] = {"CERTIFICATE_STATE_ON_HOLD", "on_hold", "on-hold", "3"};
    for (size_t i = 0; i < SM_ARRAY_LEN(ways); i++) {
        list_request m;
        sealmill__v1__list_certificates_request__init(&m);
        assert_sm_ok(set(&m, "state", ways[i]));
        assert_int_equal(m.state, SEALMILL__V1__CERTIFICATE_STATE__CERTIFICATE_STATE_ON_HOLD);
    }
}

static void text__wrong_values_name_the_parameter(void **state)
{
    (void)state;
    static const char *const wrong[][2] = {
        {"page_size", ""},     {"page_size", "many"},    {"page_size", "2147483648"},
        {"page_size", "1.0"},  {"page_size", " 1"},      {"brief", ""},
        {"brief", "yes"},      {"brief", "TRUE"},        {"brief", "1"},
        {"state", ""},         {"state", "gone"},        {"state", "17"},
        {"expires_after", ""}, {"expires_after", "now"}, {"expires_after", "60"},
        {"ca", "\xff"},        {"ca", "\xed\xa0\x80"},
    };
    for (size_t i = 0; i < SM_ARRAY_LEN(wrong); i++) {
        list_request m;
        sealmill__v1__list_certificates_request__init(&m);
        assert_sm_err(set(&m, wrong[i][0], wrong[i][1]), INVALID);
        assert_string_equal(diag.field, wrong[i][0]);
    }
}

static void text__nul_octets_are_refused(void **state)
{
    (void)state;
    list_request m;
    sealmill__v1__list_certificates_request__init(&m);
    assert_sm_err(sm_message_set_text(&m.base, SM_LIT("ca"), SM_LIT("a\0b"), &arena, &diag),
                  INVALID);
    assert_sm_err(sm_message_set_text(&m.base, SM_LIT("ca\0"), SM_LIT("a"), &arena, &diag),
                  NOT_FOUND);
    assert_string_equal(m.ca, "");
}

static void text__unknown_names_are_not_found(void **state)
{
    (void)state;
    static const char *const names[] = {"",
                                        ".",
                                        "..",
                                        "ca.",
                                        ".ca",
                                        "cas",
                                        "CA",
                                        "ca ",
                                        "ca.b",
                                        "ca[0]",
                                        "expires_after.",
                                        "expires_after.hours",
                                        "page_size.x",
                                        "\x1b[2J"};
    for (size_t i = 0; i < SM_ARRAY_LEN(names); i++) {
        list_request m;
        sealmill__v1__list_certificates_request__init(&m);
        assert_sm_err(set(&m, names[i], "a"), NOT_FOUND);
        for (const char *c = diag.field; *c != '\0'; c++) {
            assert_true(*c >= 0x20 && *c < 0x7f);
        }
    }
}

static void text__paths_go_down_into_messages(void **state)
{
    (void)state;
    Sealmill__V1__IssueStreamRequest m;
    sealmill__v1__issue_stream_request__init(&m);
    assert_sm_ok(set(&m, "request.ca", "a"));
    assert_sm_ok(set(&m, "request.validitySeconds", "5"));
    assert_string_equal(m.request->ca, "a");
    assert_true(m.request->validity_seconds == 5);
    assert_sm_err(set(&m, "request", "a"), INVALID);
    assert_string_equal(m.request == NULL ? "" : diag.field, "request");
}

static void text__lists_are_appended_to(void **state)
{
    (void)state;
    Sealmill__V1__CreateCaRequest m;
    sealmill__v1__create_ca_request__init(&m);
    assert_sm_ok(set(&m, "crl_urls", "http://a/"));
    assert_sm_ok(set(&m, "crlUrls", "http://b/"));
    assert_int_equal(m.n_crl_urls, 2);
    assert_string_equal(m.crl_urls[0], "http://a/");
    assert_string_equal(m.crl_urls[1], "http://b/");
}

static void text__no_way_into_lists_and_maps_of_messages(void **state)
{
    (void)state;
    Sealmill__V1__IssueRequest m;
    sealmill__v1__issue_request__init(&m);
    assert_sm_err(set(&m, "sans.dns", "a"), NOT_FOUND);
    assert_sm_err(set(&m, "metadata.key", "a"), NOT_FOUND);
    assert_sm_err(set(&m, "metadata", "a"), INVALID);
    assert_sm_err(set(&m, "sans", "a"), INVALID);
}

/* The alternatives share their memory: a message is made only where the alternative is chosen. */
static void text__alternatives_are_not_mixed(void **state)
{
    (void)state;
    Sealmill__V1__SubjectAltName m;
    sealmill__v1__subject_alt_name__init(&m);
    assert_sm_ok(set(&m, "dns", "a"));
    assert_sm_err(set(&m, "email", "b"), INVALID);
    assert_sm_err(set(&m, "other.type_id", "1.2"), NOT_FOUND);
    assert_int_equal(m.name_case, SEALMILL__V1__SUBJECT_ALT_NAME__NAME_DNS);
    assert_string_equal(m.dns, "a");
    Sealmill__V1__SubjectAltName empty;
    sealmill__v1__subject_alt_name__init(&empty);
    assert_sm_err(set(&empty, "other.type_id", "1.2"), NOT_FOUND);
    assert_int_equal(empty.name_case, SEALMILL__V1__SUBJECT_ALT_NAME__NAME__NOT_SET);
    assert_null(empty.other);
}

static void text__arena_without_room_is_said(void **state)
{
    (void)state;
    list_request m;
    sealmill__v1__list_certificates_request__init(&m);
    sm_arena none;
    sm_arena_init(&none, 0);
    assert_sm_err(sm_message_set_text(&m.base, SM_LIT("ca"), SM_LIT("a"), &none, NULL), NO_MEMORY);
    assert_sm_err(
        sm_message_set_text(&m.base, SM_LIT("expires_after.seconds"), SM_LIT("1"), &none, NULL),
        NO_MEMORY);
    assert_string_equal(m.ca, "");
    sm_arena_deinit(&none);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text__every_scalar_type),
        cmocka_unit_test(text__enums_by_name_or_number),
        cmocka_unit_test(text__wrong_values_name_the_parameter),
        cmocka_unit_test(text__nul_octets_are_refused),
        cmocka_unit_test(text__unknown_names_are_not_found),
        cmocka_unit_test(text__paths_go_down_into_messages),
        cmocka_unit_test(text__lists_are_appended_to),
        cmocka_unit_test(text__no_way_into_lists_and_maps_of_messages),
        cmocka_unit_test(text__alternatives_are_not_mixed),
        cmocka_unit_test(text__arena_without_room_is_said),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
