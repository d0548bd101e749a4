/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/support/support.h"

#include "base/check.h"
#include "base/clock.h"
#include "base/text.h"
#include "google/protobuf/any.pb-c.h"
#include "google/rpc/error_details.pb-c.h"
#include "google/rpc/status.pb-c.h"
#include "proto/grpc.h"

static const sm_err every_error[] = {
#define X(name, number, category, words) {SM_E_##name},
    SM_ERR_LIST(X)
#undef X
};

/* ---- codes ---- */

static void status__every_error_has_a_code_of_its_own_row(void **state)
{
    (void)state;
    assert_int_equal(sm_grpc_status_of(SM_NO_ERR), SM_GRPC_OK);
    for (size_t i = 0; i < SM_ARRAY_LEN(every_error); i++) {
        enum sm_grpc_status status = sm_grpc_status_of(every_error[i]);
        if (status == SM_GRPC_UNKNOWN || status == SM_GRPC_OK) {
            print_error("%s has no row\n", sm_err_name(every_error[i]));
        }
        assert_int_not_equal(status, SM_GRPC_UNKNOWN);
        assert_int_not_equal(status, SM_GRPC_OK);
    }
    assert_int_equal(sm_grpc_status_of((sm_err){0xabcdef01}), SM_GRPC_UNKNOWN);
}

static void status__codes_agree_with_the_categories(void **state)
{
    (void)state;
    for (size_t i = 0; i < SM_ARRAY_LEN(every_error); i++) {
        unsigned http = sm_grpc_http_status(sm_grpc_status_of(every_error[i]));
        switch (sm_err_category(every_error[i])) {
        case SM_INPUT: /* the caller's fault: never a 5xx, except a method that is not there */
            assert_true((http >= 400 && http < 500) || http == 501);
            break;
        case SM_DENIED:
            assert_true(http == 401 || http == 403);
            break;
        case SM_BUSY:
            assert_true(http == 429 || http == 503);
            break;
        default: /* ours: never blamed on the caller's request (499: the caller has gone) */
            assert_true(http >= 429);
            break;
        }
    }
}

static void status__names_and_http_codes_are_googles(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        unsigned http;
    } want[] = {
        {"OK", 200},
        {"CANCELLED", 499},
        {"UNKNOWN", 500},
        {"INVALID_ARGUMENT", 400},
        {"DEADLINE_EXCEEDED", 504},
        {"NOT_FOUND", 404},
        {"ALREADY_EXISTS", 409},
        {"PERMISSION_DENIED", 403},
        {"RESOURCE_EXHAUSTED", 429},
        {"FAILED_PRECONDITION", 400},
        {"ABORTED", 409},
        {"OUT_OF_RANGE", 400},
        {"UNIMPLEMENTED", 501},
        {"INTERNAL", 500},
        {"UNAVAILABLE", 503},
        {"DATA_LOSS", 500},
        {"UNAUTHENTICATED", 401},
    };
    for (int i = 0; i < (int)SM_ARRAY_LEN(want); i++) {
        assert_string_equal(sm_grpc_status_name((enum sm_grpc_status)i), want[i].name);
        assert_int_equal(sm_grpc_http_status((enum sm_grpc_status)i), want[i].http);
    }
    assert_string_equal(sm_grpc_status_name((enum sm_grpc_status)17), "UNKNOWN");
    assert_int_equal(sm_grpc_http_status((enum sm_grpc_status)4711), 500);
}

/* ---- message and details ---- */

static void assert_words(sm_err err, const sm_diag *diag, const char *want)
{
    sm_buf out = sm_buf_init(1024);
    sm_grpc_message(err, diag, &out);
    assert_true(sm_slice_equal(sm_buf_slice(&out), sm_slice_str(want)));
    sm_buf_deinit(&out);
}

static void message__says_field_and_reason_or_the_errors_words(void **state)
{
    (void)state;
    sm_diag diag = {.reason = ""};
    assert_words(SM_ERR(NOT_FOUND), NULL, "not found");
    assert_words(SM_ERR(NOT_FOUND), &diag, "not found");
    assert_sm_err(sm_diag_set(&diag, SM_ERR(INVALID), "csr", "too short"), INVALID);
    assert_words(SM_ERR(INVALID), &diag, "csr: too short");
    diag.field[0] = '\0';
    assert_words(SM_ERR(INVALID), &diag, "too short");
}

static void message__percent_encoded_is_a_legal_trailer(void **state)
{
    (void)state;
    sm_buf in = sm_buf_init(256);
    for (unsigned c = 0; c < 256; c++) {
        sm_buf_put_byte(&in, (uint8_t)c);
    }
    sm_buf out = sm_buf_init(1024);
    sm_buf back = sm_buf_init(1024);
    sm_percent_encode(&out, sm_buf_slice(&in));
    for (size_t i = 0; i < out.len; i++) {
        assert_in_range(out.ptr[i], 0x20, 0x7e); /* PROTOCOL-HTTP2: Percent-Byte-Unencoded */
    }
    assert_sm_ok(sm_percent_decode(&back, sm_buf_slice(&out)));
    assert_int_equal(back.len, 256);
    assert_memory_equal(back.ptr, in.ptr, 256);
    sm_buf_deinit(&in);
    sm_buf_deinit(&out);
    sm_buf_deinit(&back);
}

static Google__Rpc__Status *details_of(sm_err err, const sm_diag *diag, sm_slice correlation_id)
{
    sm_buf out = sm_buf_init(8192);
    assert_sm_ok(sm_grpc_details(err, diag, correlation_id, &out));
    Google__Rpc__Status *status = google__rpc__status__unpack(NULL, out.len, out.ptr);
    assert_non_null(status);
    sm_buf_deinit(&out);
    return status;
}

static const Google__Protobuf__Any *find(const Google__Rpc__Status *status, const char *name)
{
    for (size_t i = 0; i < status->n_details; i++) {
        const char *slash = strrchr(status->details[i]->type_url, '/');
        assert_non_null(slash);
        if (strcmp(slash + 1, name) == 0) {
            return status->details[i];
        }
    }
    return NULL;
}

static void details__input_error_names_the_field(void **state)
{
    (void)state;
    sm_diag diag = {.reason = ""};
    assert_sm_err(sm_diag_set(&diag, SM_ERR(POLICY), "csr.subject.CN", "is too long"), POLICY);
    Google__Rpc__Status *s = details_of(SM_ERR(POLICY), &diag, SM_LIT("id-1"));
    assert_int_equal(s->code, SM_GRPC_INVALID_ARGUMENT);
    assert_string_equal(s->message, "csr.subject.CN: is too long");
    assert_int_equal(s->n_details, 3);
    const Google__Protobuf__Any *any = find(s, "google.rpc.BadRequest");
    assert_non_null(any);
    Google__Rpc__BadRequest *bad = google__rpc__bad_request__unpack(NULL, any->value.len,
                                                                    any->value.data);
    assert_non_null(bad);
    assert_int_equal(bad->n_field_violations, 1);
    assert_string_equal(bad->field_violations[0]->field, "csr.subject.CN");
    assert_string_equal(bad->field_violations[0]->description, "is too long");
    google__rpc__bad_request__free_unpacked(bad, NULL);
    any = find(s, "google.rpc.ErrorInfo");
    assert_non_null(any);
    Google__Rpc__ErrorInfo *info = google__rpc__error_info__unpack(NULL, any->value.len,
                                                                   any->value.data);
    assert_string_equal(info->reason, "POLICY");
    assert_string_equal(info->domain, "sealmill");
    google__rpc__error_info__free_unpacked(info, NULL);
    any = find(s, "google.rpc.RequestInfo");
    assert_non_null(any);
    Google__Rpc__RequestInfo *request = google__rpc__request_info__unpack(NULL, any->value.len,
                                                                          any->value.data);
    assert_string_equal(request->request_id, "id-1");
    google__rpc__request_info__free_unpacked(request, NULL);
    assert_null(find(s, "google.rpc.RetryInfo"));
    google__rpc__status__free_unpacked(s, NULL);
}

static void details__busy_says_when_to_try_again(void **state)
{
    (void)state;
    Google__Rpc__Status *s = details_of(SM_ERR(QUEUE_FULL), NULL, SM_SLICE_NONE);
    const Google__Protobuf__Any *any = find(s, "google.rpc.RetryInfo");
    assert_non_null(any);
    Google__Rpc__RetryInfo *retry = google__rpc__retry_info__unpack(NULL, any->value.len,
                                                                    any->value.data);
    assert_true(retry->retry_delay->seconds > 0);
    google__rpc__retry_info__free_unpacked(retry, NULL);
    assert_null(find(s, "google.rpc.RequestInfo"));
    assert_null(find(s, "google.rpc.BadRequest"));
    google__rpc__status__free_unpacked(s, NULL);
}

static void details__field_of_another_category_is_no_bad_request(void **state)
{
    (void)state;
    sm_diag diag = {.field = "authorization", .reason = "the token has expired"};
    Google__Rpc__Status *s = details_of(SM_ERR(UNAUTHENTICATED), &diag, SM_SLICE_NONE);
    assert_int_equal(s->code, SM_GRPC_UNAUTHENTICATED);
    assert_null(find(s, "google.rpc.BadRequest"));
    google__rpc__status__free_unpacked(s, NULL);
}

static void details__longest_diag_and_id_fit(void **state)
{
    (void)state;
    sm_diag diag;
    char id[300];
    memset(diag.field, 'f', sizeof(diag.field));
    memset(diag.reason, 'r', sizeof(diag.reason));
    memset(id, 'i', sizeof(id));
    diag.field[sizeof(diag.field) - 1] = '\0';
    diag.reason[sizeof(diag.reason) - 1] = '\0';
    Google__Rpc__Status *s = details_of(SM_ERR(INVALID), &diag, sm_slice_of(id, sizeof(id)));
    assert_int_equal(s->n_details, 3);
    assert_int_equal(strlen(s->message), sizeof(diag.field) - 1 + 2 + sizeof(diag.reason) - 1);
    google__rpc__status__free_unpacked(s, NULL);
}

static void details__without_room_say_so(void **state)
{
    (void)state;
    sm_buf out = sm_buf_init(8);
    assert_sm_err(sm_grpc_details(SM_ERR(INVALID), NULL, SM_LIT("id"), &out), TOO_LARGE);
    assert_int_equal(out.len, 0);
    sm_buf_deinit(&out);
}

/* ---- grpc-timeout ---- */

static void timeout__reads_every_unit(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        uint64_t ns;
    } good[] = {
        {"1n", 1},
        {"1u", SM_NS_PER_US},
        {"1m", SM_NS_PER_MS},
        {"1S", SM_NS_PER_S},
        {"1M", 60 * SM_NS_PER_S},
        {"1H", 3600 * SM_NS_PER_S},
        {"0n", 0},
        {"0H", 0},
        {"00000007S", 7 * SM_NS_PER_S},
        {"99999999n", 99999999},
        {"99999999S", 99999999 * SM_NS_PER_S},
        {"5000000H", 5000000ULL * 3600 * SM_NS_PER_S},
    };
    for (size_t i = 0; i < SM_ARRAY_LEN(good); i++) {
        uint64_t ns = 4711;
        assert_sm_ok(sm_grpc_timeout_parse(sm_slice_str(good[i].text), &ns));
        assert_true(ns == good[i].ns);
    }
}

static void timeout__longer_than_the_clock_is_forever(void **state)
{
    (void)state;
    uint64_t ns = 0;
    assert_sm_ok(sm_grpc_timeout_parse(SM_LIT("99999999H"), &ns));
    assert_true(ns == UINT64_MAX);
    assert_sm_ok(sm_grpc_timeout_parse(SM_LIT("5124095H"), &ns)); /* the last that fits */
    assert_true(ns < UINT64_MAX);
    assert_sm_ok(sm_grpc_timeout_parse(SM_LIT("5124096H"), &ns));
    assert_true(ns == UINT64_MAX);
}

static void timeout__refuses_what_the_grammar_does_not_have(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "",           "S",           "1",   "1s",   "1h",     "1N",    "1U",   "1ms",
        "-1S",        "+1S",         " 1S", "1S ",  "1 S",    "1.5S",  "1e3S", "0x1S",
        "123456789S", "1234567890S", "SS",  "1S\n", "\3771S", "1\xff",
    };
    uint64_t ns = 4711;
    for (size_t i = 0; i < SM_ARRAY_LEN(bad); i++) {
        assert_sm_err(sm_grpc_timeout_parse(sm_slice_str(bad[i]), &ns), MALFORMED);
    }
    assert_sm_err(sm_grpc_timeout_parse(SM_LIT("1\0S"), &ns), MALFORMED);
    assert_int_equal(ns, 4711);
}

static void timeout__written_is_read_again_and_never_longer(void **state)
{
    (void)state;
    static const uint64_t some[] = {0,
                                    1,
                                    99999999,
                                    100000000,
                                    123456789,
                                    SM_NS_PER_S,
                                    90 * SM_NS_PER_S,
                                    86400 * SM_NS_PER_S,
                                    UINT64_MAX / 3600,
                                    UINT64_MAX};
    for (size_t i = 0; i < SM_ARRAY_LEN(some); i++) {
        sm_buf text = sm_buf_init(32);
        uint64_t ns;
        sm_grpc_timeout_format(some[i], &text);
        assert_true(text.len >= 2 && text.len <= 9);
        assert_sm_ok(sm_grpc_timeout_parse(sm_buf_slice(&text), &ns));
        assert_true(ns <= some[i]);
        assert_true(some[i] - ns <= some[i] / 1000); /* rounding loses less than a thousandth */
        sm_buf_deinit(&text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(status__every_error_has_a_code_of_its_own_row),
        cmocka_unit_test(status__codes_agree_with_the_categories),
        cmocka_unit_test(status__names_and_http_codes_are_googles),
        cmocka_unit_test(message__says_field_and_reason_or_the_errors_words),
        cmocka_unit_test(message__percent_encoded_is_a_legal_trailer),
        cmocka_unit_test(details__input_error_names_the_field),
        cmocka_unit_test(details__busy_says_when_to_try_again),
        cmocka_unit_test(details__field_of_another_category_is_no_bad_request),
        cmocka_unit_test(details__longest_diag_and_id_fit),
        cmocka_unit_test(details__without_room_say_so),
        cmocka_unit_test(timeout__reads_every_unit),
        cmocka_unit_test(timeout__longer_than_the_clock_is_forever),
        cmocka_unit_test(timeout__refuses_what_the_grammar_does_not_have),
        cmocka_unit_test(timeout__written_is_read_again_and_never_longer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
