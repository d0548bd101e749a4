/* SPDX-License-Identifier: Apache-2.0 */
/* ChangeSubjectName and estIdentityLinking: what is read of them, what is none, and what becomes of a request. */
#include "base/check.h"
#include "sign/csr_attributes.h"
#include "sign/oids.h"
#include "tests/support/support.h"

#include <string.h>

static sm_arena arena;
static sm_diag diag;
static struct sm_csr csr;

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

#define NAME_X "\x30\x0c\x31\x0a\x30\x08\x06\x03\x55\x04\x03\x0c\x01x" /* CN=x */
#define DNS_A  \
    "\x82\x03" \
    "a.b"

/* A request with these attributes of one kind, and nothing else. */
static void use(sm_slice oid, const sm_slice *values, size_t count)
{
    csr.attribute_count = 0;
    csr.extension_count = 0;
    sm_diag_clear(&diag);
    for (size_t i = 0; i < count; i++) {
        csr.attributes[csr.attribute_count++] = (struct sm_attribute){oid, values[i]};
    }
}

static sm_err read_names(sm_slice value, struct sm_csr_names *out)
{
    use(SM_OID_CHANGE_NAME, &value, 1);
    return sm_csr_read_names(&csr, &arena, out, &diag);
}

/* ---- names ---- */

static void names__none(void **state)
{
    (void)state;
    struct sm_csr_names names;
    use(SM_OID_CHANGE_NAME, NULL, 0);
    assert_sm_ok(sm_csr_read_names(&csr, &arena, &names, &diag));
    assert_false(names.has_subject || names.has_sans);
}

static void names__each_form(void **state)
{
    (void)state;
    struct sm_csr_names names;
    assert_sm_ok(read_names(SM_LIT("\x30\x15" NAME_X "\xa1\x05" DNS_A), &names));
    assert_true(names.has_subject && names.has_sans);
    assert_true(sm_slice_equal(names.subject, SM_LIT(NAME_X)));
    assert_true(sm_slice_equal(names.sans, SM_LIT("\x30\x05" DNS_A)));
    assert_sm_ok(read_names(SM_LIT("\x30\x15" NAME_X "\x30\x05" DNS_A), &names));
    assert_true(names.has_subject && names.has_sans);
    assert_true(sm_slice_equal(names.sans, SM_LIT("\x30\x05" DNS_A)));
    assert_sm_ok(read_names(SM_LIT("\x30\x07\x30\x05" DNS_A), &names));
    assert_true(!names.has_subject && names.has_sans);
    assert_sm_ok(read_names(SM_LIT("\x30\x0e" NAME_X), &names));
    assert_true(names.has_subject && !names.has_sans);
}

static void names__what_is_none(void **state)
{
    (void)state;
    static const sm_slice bad[] = {
        {(const uint8_t *)"\x30\x00", 2},                                 /* neither */
        {(const uint8_t *)"\x31\x00", 2},                                 /* no SEQUENCE */
        {(const uint8_t *)"\x30\x1c" NAME_X NAME_X, 30},                  /* two subjects */
        {(const uint8_t *)"\x30\x15\xa1\x05" DNS_A NAME_X, 23},           /* in the wrong order */
        {(const uint8_t *)"\x30\x0e\xa1\x05" DNS_A "\xa1\x05" DNS_A, 16}, /* SANs twice */
        {(const uint8_t *)"\x30\x0e" NAME_X "\x30\x0e" NAME_X, 32},       /* two values */
        {(const uint8_t *)"\x30\x0e" NAME_X "\x00", 17},                  /* something behind */
        {(const uint8_t *)"\x30\x0d\x30\x0b\x31\x09\x30\x07\x06\x03\x55\x04\x03\x0c\x00", 15},
        {(const uint8_t *)"\x30\x09\xa1\x07\x30\x05" DNS_A, 11}, /* explicit */
        {(const uint8_t *)"\x30\x02\xa1\x00", 4},                /* no SAN */
    };
    for (size_t i = 0; i < SM_ARRAY_LEN(bad); i++) {
        struct sm_csr_names names;
        assert_false(sm_ok(read_names(bad[i], &names)));
        assert_string_equal(diag.field, "csr.attributes.change_subject_name");
    }
}

static void names__twice(void **state)
{
    (void)state;
    struct sm_csr_names names;
    const sm_slice values[] = {SM_LIT("\x30\x0e" NAME_X), SM_LIT("\x30\x0e" NAME_X)};
    use(SM_OID_CHANGE_NAME, values, 2);
    assert_true(sm_err_is(sm_csr_read_names(&csr, &arena, &names, &diag), SM_E_MALFORMED));
    assert_non_null(strstr(diag.reason, "twice"));
}

static void names__take_the_places(void **state)
{
    (void)state;
    struct sm_csr_names names;
    assert_sm_ok(read_names(SM_LIT("\x30\x15" NAME_X "\xa1\x05" DNS_A), &names));
    assert_sm_ok(sm_csr_set_names(&csr, &names, &diag));
    assert_true(sm_slice_equal(csr.subject, SM_LIT(NAME_X)));
    assert_int_equal(csr.name.count, 1);
    assert_int_equal(csr.extension_count, 1);
    assert_sm_ok(sm_csr_set_names(&csr, &names, &diag)); /* once more: not beside it */
    assert_int_equal(csr.extension_count, 1);
    names.sans = SM_LIT("\x30\x00"); /* none at all */
    assert_sm_ok(sm_csr_set_names(&csr, &names, &diag));
    assert_int_equal(csr.extension_count, 0);
}

static void names__no_place_for_sans(void **state)
{
    (void)state;
    struct sm_csr_names names;
    assert_sm_ok(read_names(SM_LIT("\x30\x15" NAME_X "\xa1\x05" DNS_A), &names));
    csr.subject = SM_LIT("before");
    csr.extension_count = SM_CSR_EXTENSIONS_MAX;
    for (size_t i = 0; i < SM_CSR_EXTENSIONS_MAX; i++) {
        csr.extensions[i].oid = SM_OID_EKU;
    }
    assert_true(sm_err_is(sm_csr_set_names(&csr, &names, &diag), SM_E_TOO_LARGE));
    assert_true(sm_slice_equal(csr.subject, SM_LIT("before")));
}

/* ---- linking ---- */

static sm_err read_linking(sm_slice value, sm_slice *out)
{
    use(SM_OID_EST_LINKING, &value, 1);
    return sm_csr_read_linking(&csr, out, &diag);
}

static void linking__text(void **state)
{
    (void)state;
    sm_slice text;
    use(SM_OID_EST_LINKING, NULL, 0);
    assert_sm_ok(sm_csr_read_linking(&csr, &text, &diag));
    assert_null(text.ptr);
    assert_sm_ok(read_linking(SM_LIT("\x0c\x04"
                                     "abc="),
                              &text));
    assert_true(sm_slice_equal(text, SM_LIT("abc=")));
    assert_sm_ok(read_linking(SM_LIT("\x13\x01"
                                     "a"),
                              &text));
}

static void linking__what_is_none(void **state)
{
    (void)state;
    static const sm_slice bad[] = {
        {(const uint8_t *)"\x0c\x00", 2},
        {(const uint8_t *)"\x04\x01"
                          "a",
         3},
        {(const uint8_t *)"\x0c\x01"
                          "a\x0c\x01"
                          "a",
         6},
        {(const uint8_t *)"\x1e\x02\x00"
                          "a",
         4},
        {(const uint8_t *)"\x0c\x02"
                          "a",
         3},
    };
    for (size_t i = 0; i < SM_ARRAY_LEN(bad); i++) {
        sm_slice text;
        assert_false(sm_ok(read_linking(bad[i], &text)));
        assert_string_equal(diag.field, "csr.attributes.est_identity_linking");
    }
    sm_slice text;
    const sm_slice twice[] = {SM_LIT("\x0c\x01"
                                     "a"),
                              SM_LIT("\x0c\x01"
                                     "a")};
    use(SM_OID_EST_LINKING, twice, 2);
    assert_true(sm_err_is(sm_csr_read_linking(&csr, &text, &diag), SM_E_MALFORMED));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names__none),
        cmocka_unit_test(names__each_form),
        cmocka_unit_test(names__what_is_none),
        cmocka_unit_test(names__twice),
        cmocka_unit_test(names__take_the_places),
        cmocka_unit_test(names__no_place_for_sans),
        cmocka_unit_test(linking__text),
        cmocka_unit_test(linking__what_is_none),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
