/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/support/support.h"

#include "base/text.h"
#include "est-adapter/est_body.h"

/* SEQUENCE { INTEGER 1 ... } of 200 octets: long enough for several lines. */
static uint8_t der[203];

static int set_up(void **state)
{
    (void)state;
    der[0] = 0x30;
    der[1] = 0x81;
    der[2] = 200;
    for (size_t i = 3; i < sizeof(der); i++) {
        der[i] = (uint8_t)(7 * i);
    }
    return 0;
}

static void assert_reads(sm_slice body, enum sm_est_form form)
{
    sm_arena arena;
    struct sm_est_body out;
    sm_diag diag = {.reason = ""};
    sm_arena_init(&arena, 1U << 20);
    assert_sm_ok(sm_est_body_read(body, &arena, &out, &diag));
    assert_true(sm_slice_equal(out.der, sm_slice_of(der, sizeof(der))));
    assert_int_equal(out.form, form);
    sm_arena_deinit(&arena);
}

static void assert_refused(const char *body)
{
    sm_arena arena;
    struct sm_est_body out;
    sm_diag diag = {.reason = ""};
    sm_arena_init(&arena, 1U << 20);
    assert_sm_err(sm_est_body_read(sm_slice_str(body), &arena, &out, &diag), MALFORMED);
    assert_true(diag.reason[0] != '\0');
    sm_arena_deinit(&arena);
}

static sm_buf written(enum sm_est_form form)
{
    sm_buf out = sm_buf_init(4096);
    sm_est_body_write(sm_slice_of(der, sizeof(der)), form, &out);
    assert_sm_ok(sm_buf_err(&out));
    return out;
}

static void est_body__reads_what_it_writes(void **state)
{
    (void)state;
    static const enum sm_est_form forms[] = {SM_EST_ONE_LINE, SM_EST_LINES, SM_EST_DER};
    for (size_t i = 0; i < 3; i++) {
        sm_buf text = written(forms[i]);
        assert_reads(sm_buf_slice(&text), forms[i]);
        sm_buf_deinit(&text);
    }
}

static void est_body__writes_lines_of_64_columns(void **state)
{
    (void)state;
    sm_buf text = written(SM_EST_LINES);
    sm_slice rest = sm_buf_slice(&text);
    assert_int_equal(rest.ptr[rest.len - 1], '\n');
    while (rest.len > 0) {
        sm_slice line = sm_slice_split(&rest, '\n');
        assert_true(line.len == SM_EST_COLUMNS || (rest.len == 0 && line.len < SM_EST_COLUMNS));
    }
    sm_buf_deinit(&text);
}

/* CRLF, spaces around, PEM of both names, with CRLF too. */
static void est_body__reads_what_clients_send(void **state)
{
    (void)state;
    sm_buf lines = written(SM_EST_LINES);
    sm_buf other = sm_buf_init(8192);
    sm_buf_put_str(&other, "\r\n ");
    for (size_t i = 0; i < lines.len; i++) {
        sm_buf_put_str(&other, lines.ptr[i] == '\n' ? "\r" : "");
        sm_buf_put_byte(&other, lines.ptr[i]);
    }
    assert_reads(sm_buf_slice(&other), SM_EST_LINES);
    static const char *const labels[] = {"CERTIFICATE REQUEST", "NEW CERTIFICATE REQUEST"};
    for (size_t i = 0; i < 2; i++) {
        sm_buf_reset(&other);
        sm_pem_encode(&other, labels[i], sm_slice_of(der, sizeof(der)));
        assert_reads(sm_buf_slice(&other), SM_EST_LINES);
    }
    sm_buf_deinit(&lines);
    sm_buf_deinit(&other);
}

static void est_body__refuses_the_rest(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "",
        "   \r\n",
        "<html>",
        "MIIB*",
        "csr=MIIB",
        "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n",
        "-----BEGIN CERTIFICATE REQUEST-----\nMIIB\n",
        "-----BEGIN CERTIFICATE REQUEST-----\nMIIB\n-----END CERTIFICATE REQUEST-----\nx",
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_refused(bad[i]);
    }
}

static void est_body__judges_content_types(void **state)
{
    (void)state;
    static const char *const good[] = {"",
                                       "application/pkcs10",
                                       "application/pkcs10; charset=x",
                                       "application/x-www-form-urlencoded",
                                       "text/plain",
                                       "application/octet-stream",
                                       "application/x-pem-file"};
    static const char *const bad[] = {"application/pkcs7-mime; smime-type=CMC-request",
                                      "multipart/mixed; boundary=x", "Application/JSON",
                                      "application/csrattrs"};
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        assert_true(sm_est_type_may_be_csr(sm_slice_str(good[i])));
    }
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_false(sm_est_type_may_be_csr(sm_slice_str(bad[i])));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(est_body__reads_what_it_writes),
        cmocka_unit_test(est_body__writes_lines_of_64_columns),
        cmocka_unit_test(est_body__reads_what_clients_send),
        cmocka_unit_test(est_body__refuses_the_rest),
        cmocka_unit_test(est_body__judges_content_types),
    };
    return cmocka_run_group_tests(tests, set_up, NULL);
}
