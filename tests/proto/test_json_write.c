/* SPDX-License-Identifier: Apache-2.0 */
/* Messages into JSON, checked as text and by jansson; and what is written is read again. */
#include "tests/support/support.h"

#include "base/check.h"
#include "base/mem.h"
#include "gen/sealmill/v1/certificate.pb-c.h"
#include "gen/sealmill/v1/profile.pb-c.h"
#include "google/rpc/error_details.pb-c.h"
#include "proto/message.h"

#include <jansson.h>
#include <string.h>

typedef Sealmill__V1__IssueRequest issue_request;
typedef Sealmill__V1__Certificate certificate;

/* The JSON of a message, in a buffer that the next call writes over. */
static const char *json_of(const void *m, bool pretty, bool all_fields)
{
    static char text[65536];
    const struct sm_json_options options = {pretty, all_fields};
    sm_buf out = sm_buf_init(sizeof(text) - 1);
    assert_sm_ok(sm_message_to_json(m, &options, &out));
    (void)snprintf(text, sizeof(text), "%.*s", (int)out.len, (const char *)out.ptr);
    json_t *json = json_loadb((const char *)out.ptr, out.len,
                              JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, NULL);
    if (json == NULL) {
        print_error("not JSON: %s\n", text);
    }
    assert_non_null(json);
    json_decref(json);
    sm_buf_deinit(&out);
    return text;
}

static void json__defaults_are_left_out(void **state)
{
    (void)state;
    issue_request m;
    sealmill__v1__issue_request__init(&m);
    assert_string_equal(json_of(&m, false, false), "{}");
    assert_string_equal(json_of(&m, true, false), "{}");
}

static void json__all_fields_writes_defaults_too(void **state)
{
    (void)state;
    issue_request m;
    sealmill__v1__issue_request__init(&m);
    assert_string_equal(json_of(&m, false, true),
                        "{\"ca\":\"\",\"profile\":\"\",\"csr\":\"\",\"sans\":[],"
                        "\"validitySeconds\":\"0\",\"metadata\":{},\"idempotencyKey\":\"\"}");
    Sealmill__V1__ListCertificatesRequest list;
    sealmill__v1__list_certificates_request__init(&list);
    const char *text = json_of(&list, false, true);
    assert_non_null(strstr(text, "\"state\":\"CERTIFICATE_STATE_UNSPECIFIED\""));
    assert_non_null(strstr(text, "\"pageSize\":0"));
    assert_non_null(strstr(text, "\"brief\":false"));
}

static void json__64_bit_numbers_are_strings(void **state)
{
    (void)state;
    issue_request m;
    sealmill__v1__issue_request__init(&m);
    m.validity_seconds = INT64_MAX;
    assert_string_equal(json_of(&m, false, false), "{\"validitySeconds\":\"9223372036854775807\"}");
    m.validity_seconds = INT64_MIN;
    assert_string_equal(json_of(&m, false, false),
                        "{\"validitySeconds\":\"-9223372036854775808\"}");
    Sealmill__V1__IssueStreamResponse r;
    sealmill__v1__issue_stream_response__init(&r);
    r.id = UINT64_MAX;
    assert_string_equal(json_of(&r, false, false), "{\"id\":\"18446744073709551615\"}");
}

static void json__32_bit_numbers_are_numbers(void **state)
{
    (void)state;
    Sealmill__V1__ListCertificatesRequest list;
    sealmill__v1__list_certificates_request__init(&list);
    list.page_size = INT32_MIN;
    assert_string_equal(json_of(&list, false, false), "{\"pageSize\":-2147483648}");
    Sealmill__V1__SanRules sans;
    sealmill__v1__san_rules__init(&sans);
    sans.max_count = UINT32_MAX;
    sans.copy = 1;
    assert_string_equal(json_of(&sans, false, false), "{\"copy\":true,\"maxCount\":4294967295}");
}

static void json__strings_are_escaped(void **state)
{
    (void)state;
    issue_request m;
    sealmill__v1__issue_request__init(&m);
    char every[128];
    for (int i = 1; i < 128; i++) {
        every[i - 1] = (char)i;
    }
    every[127] = '\0';
    m.ca = every;
    json_t *json = json_loads(json_of(&m, false, false), 0, NULL);
    assert_string_equal(json_string_value(json_object_get(json, "ca")), every);
    json_decref(json);
    char slashes[] = "</script>\"\\\xc3\xa9\xf0\x9f\x98\x80";
    m.ca = slashes;
    assert_string_equal(json_of(&m, false, false),
                        "{\"ca\":\"</script>\\\"\\\\\xc3\xa9\xf0\x9f\x98\x80\"}");
}

static void json__map_keys_are_escaped_too(void **state)
{
    (void)state;
    issue_request m;
    sealmill__v1__issue_request__init(&m);
    Sealmill__V1__IssueRequest__MetadataEntry entry;
    sealmill__v1__issue_request__metadata_entry__init(&entry);
    Sealmill__V1__IssueRequest__MetadataEntry other = entry;
    Sealmill__V1__IssueRequest__MetadataEntry *entries[] = {&entry, &other};
    char key[] = "a\"\n";
    char value[] = "\\";
    entry.key = key;
    entry.value = value;
    m.metadata = entries;
    m.n_metadata = 2;
    assert_string_equal(json_of(&m, false, false),
                        "{\"metadata\":{\"a\\\"\\u000a\":\"\\\\\",\"\":\"\"}}");
}

static void json__bytes_are_padded_base64(void **state)
{
    (void)state;
    issue_request m;
    sealmill__v1__issue_request__init(&m);
    uint8_t bytes[] = {0xfb, 0xff, 0x01, 0x00};
    static const char *const want[] = {"{}", "{\"csr\":\"+w==\"}", "{\"csr\":\"+/8=\"}",
                                       "{\"csr\":\"+/8B\"}", "{\"csr\":\"+/8BAA==\"}"};
    for (size_t len = 0; len <= sizeof(bytes); len++) {
        m.csr = (ProtobufCBinaryData){len, bytes};
        assert_string_equal(json_of(&m, false, false), want[len]);
    }
}

static void json__lists_of_bytes_keep_empty_elements(void **state)
{
    (void)state;
    certificate m;
    sealmill__v1__certificate__init(&m);
    uint8_t one = 1;
    ProtobufCBinaryData chain[] = {{1, &one}, {0, NULL}};
    m.chain = chain;
    m.n_chain = 2;
    assert_string_equal(json_of(&m, false, false), "{\"chain\":[\"AQ==\",\"\"]}");
}

static void json__enums_are_names_and_strangers_numbers(void **state)
{
    (void)state;
    certificate m;
    sealmill__v1__certificate__init(&m);
    m.state = SEALMILL__V1__CERTIFICATE_STATE__CERTIFICATE_STATE_ON_HOLD;
    assert_string_equal(json_of(&m, false, false), "{\"state\":\"CERTIFICATE_STATE_ON_HOLD\"}");
    const int32_t strange = 77; /* of a newer peer */
    memcpy(&m.state, &strange, sizeof(strange));
    assert_string_equal(json_of(&m, false, false), "{\"state\":77}");
    const int32_t negative = -1;
    memcpy(&m.state, &negative, sizeof(negative));
    assert_string_equal(json_of(&m, false, false), "{\"state\":-1}");
}

static void json__times_are_text_and_stay_in_the_calendar(void **state)
{
    (void)state;
    issue_request m;
    sealmill__v1__issue_request__init(&m);
    Google__Protobuf__Timestamp time;
    google__protobuf__timestamp__init(&time);
    static const struct {
        int64_t seconds;
        const char *want;
    } times[] = {{0, "1970-01-01T00:00:00Z"},
                 {-1, "1969-12-31T23:59:59Z"},
                 {253402300799, "9999-12-31T23:59:59Z"},
                 {INT64_MAX, "9999-12-31T23:59:59Z"},
                 {INT64_MIN, "0001-01-01T00:00:00Z"}};
    m.not_before = &time;
    for (size_t i = 0; i < SM_ARRAY_LEN(times); i++) {
        char want[64];
        time.seconds = times[i].seconds;
        (void)snprintf(want, sizeof(want), "{\"notBefore\":\"%s\"}", times[i].want);
        assert_string_equal(json_of(&m, false, false), want);
    }
    Google__Protobuf__Duration duration;
    google__protobuf__duration__init(&duration);
    Google__Rpc__RetryInfo retry;
    google__rpc__retry_info__init(&retry);
    retry.retry_delay = &duration;
    duration.seconds = -3;
    assert_string_equal(json_of(&retry, false, false), "{\"retryDelay\":\"-3s\"}");
}

static void json__chosen_alternative_is_written_even_when_empty(void **state)
{
    (void)state;
    Sealmill__V1__SubjectAltName san;
    sealmill__v1__subject_alt_name__init(&san);
    Sealmill__V1__Name name;
    sealmill__v1__name__init(&name);
    char empty[] = "";
    assert_string_equal(json_of(&san, false, true), "{}");
    san.name_case = SEALMILL__V1__SUBJECT_ALT_NAME__NAME_URI;
    san.uri = empty;
    assert_string_equal(json_of(&san, false, false), "{\"uri\":\"\"}");
    san.name_case = SEALMILL__V1__SUBJECT_ALT_NAME__NAME_DIRECTORY;
    san.directory = &name;
    assert_string_equal(json_of(&san, false, false), "{\"directory\":{}}");
}

static void json__pretty_is_indented_by_two(void **state)
{
    (void)state;
    Sealmill__V1__Profile p;
    sealmill__v1__profile__init(&p);
    Sealmill__V1__SanRules sans;
    sealmill__v1__san_rules__init(&sans);
    char a[] = "a";
    char b[] = "b";
    char *cas[] = {a, b};
    p.name = a;
    p.cas = cas;
    p.n_cas = 2;
    p.sans = &sans;
    sans.required = 1;
    assert_string_equal(json_of(&p, true, false),
                        "{\n  \"name\": \"a\",\n  \"cas\": [\n    \"a\",\n    \"b\"\n  ],\n"
                        "  \"sans\": {\n    \"required\": true\n  }\n}");
}

static void json__every_room_too_small_is_said(void **state)
{
    (void)state;
    issue_request m;
    sealmill__v1__issue_request__init(&m);
    char ca[] = "issuing\n";
    m.ca = ca;
    m.validity_seconds = 7;
    size_t whole = strlen(json_of(&m, false, false));
    for (size_t cap = 0; cap <= whole; cap++) {
        sm_buf out = sm_buf_init(cap);
        sm_err err = sm_message_to_json(&m.base, NULL, &out);
        if (cap < whole) {
            assert_sm_err(err, TOO_LARGE);
        } else {
            assert_sm_ok(err);
        }
        sm_buf_deinit(&out);
    }
}

static void json__what_is_written_is_read_again(void **state)
{
    (void)state;
    static const char text[] =
        "{\"ca\":\"a\\u0001\\u007f\\u2028\",\"csr\":\"AAECAw==\",\"subject\":{\"attributes\":[{"
        "\"type\":\"CN\"},{\"value\":\"v\"}]},\"sans\":[{\"dns\":\"\"},{\"other\":{\"value\":"
        "\"//8=\"}},{\"registeredId\":\"1.2.3\"}],\"validitySeconds\":\"-5\",\"notBefore\":"
        "\"0001-01-01T00:00:00Z\",\"metadata\":{\"\":\"\\\"\",\"k\":\"\"}}";
    sm_arena arena;
    ProtobufCMessage *first;
    ProtobufCMessage *second;
    sm_arena_init(&arena, 1U << 20);
    assert_sm_ok(sm_message_from_json(&sealmill__v1__issue_request__descriptor, sm_slice_str(text),
                                      &arena, &first, NULL));
    for (int all = 0; all < 2; all++) {
        sm_buf a = sm_buf_init(65536);
        sm_buf b = sm_buf_init(65536);
        assert_sm_ok(sm_message_from_json(&sealmill__v1__issue_request__descriptor,
                                          sm_slice_str(json_of(first, all == 1, all == 1)), &arena,
                                          &second, NULL));
        assert_sm_ok(sm_message_pack(first, &a));
        assert_sm_ok(sm_message_pack(second, &b));
        assert_true(a.len > 0 && sm_slice_equal(sm_buf_slice(&a), sm_buf_slice(&b)));
        sm_buf_deinit(&a);
        sm_buf_deinit(&b);
    }
    sm_arena_deinit(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(json__defaults_are_left_out),
        cmocka_unit_test(json__all_fields_writes_defaults_too),
        cmocka_unit_test(json__64_bit_numbers_are_strings),
        cmocka_unit_test(json__32_bit_numbers_are_numbers),
        cmocka_unit_test(json__strings_are_escaped),
        cmocka_unit_test(json__map_keys_are_escaped_too),
        cmocka_unit_test(json__bytes_are_padded_base64),
        cmocka_unit_test(json__lists_of_bytes_keep_empty_elements),
        cmocka_unit_test(json__enums_are_names_and_strangers_numbers),
        cmocka_unit_test(json__times_are_text_and_stay_in_the_calendar),
        cmocka_unit_test(json__chosen_alternative_is_written_even_when_empty),
        cmocka_unit_test(json__pretty_is_indented_by_two),
        cmocka_unit_test(json__every_room_too_small_is_said),
        cmocka_unit_test(json__what_is_written_is_read_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
