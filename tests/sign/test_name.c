/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/support/ossl.h"
#include "tests/support/support.h"

#include "base/check.h"
#include "sign/der.h"
#include "sign/name_p.h"
#include "sign/oids.h"

#define ARENA_CAP (1 << 20)
#define S(s)                                \
    {                                       \
        (const uint8_t *)(s), sizeof(s) - 1 \
    }

static sm_arena arena;

static int set_up(void **state)
{
    (void)state;
    sm_arena_init(&arena, ARENA_CAP);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    sm_arena_deinit(&arena);
    return 0;
}

/* One common name of a string type, as a Name. */
static sm_buf name_of(uint8_t tag, sm_slice value)
{
    sm_buf b = sm_buf_init(100000);
    sm_der_block name = sm_der_begin(&b, SM_DER_SEQUENCE);
    sm_der_block set = sm_der_begin(&b, SM_DER_SET);
    sm_der_block pair = sm_der_begin(&b, SM_DER_SEQUENCE);
    sm_der_write_oid(&b, SM_OID_CN);
    sm_der_write(&b, tag, value);
    sm_der_end(&b, pair);
    sm_der_end(&b, set);
    sm_der_end(&b, name);
    assert_sm_ok(sm_buf_err(&b));
    return b;
}

static sm_err parse_value(uint8_t tag, sm_slice value)
{
    struct sm_name name;
    sm_diag diag = {.reason = ""};
    sm_buf der = name_of(tag, value);
    sm_err err = sm_name_parse(sm_buf_slice(&der), &name, &diag);
    assert_true(sm_ok(err) || diag.reason[0] != '\0');
    if (sm_ok(err)) {
        assert_int_equal(name.count, 1);
        assert_int_equal(name.at[0].tag, tag);
        assert_true(sm_slice_equal(name.at[0].value, value));
    }
    sm_buf_deinit(&der);
    return err;
}

static void parse__takes_good_strings(void **state)
{
    (void)state;
    assert_sm_ok(parse_value(SM_DER_UTF8_STRING,
                             SM_LIT("J\xc3\xb6rg \xe2\x82\xac \xf0\x9f\x98\x80 \x7f\x01")));
    assert_sm_ok(parse_value(SM_DER_UTF8_STRING,
                             SM_LIT("\xef\xbf\xbf\xf4\x8f\xbf\xbf\xed\x9f\xbf\xee\x80\x80")));
    assert_sm_ok(parse_value(SM_DER_PRINTABLE_STRING, SM_LIT("Az09 '()+,-./:=?")));
    assert_sm_ok(parse_value(SM_DER_IA5_STRING, SM_LIT("a@b_c*\x01\x7f")));
    assert_sm_ok(parse_value(SM_DER_TELETEX_STRING, SM_LIT("M\xfcnchen")));
    assert_sm_ok(parse_value(SM_DER_BMP_STRING, SM_LIT("\x00\x41\x20\xac\xd7\xff\xe0\x00")));
    assert_sm_ok(parse_value(SM_DER_UNIVERSAL_STRING, SM_LIT("\x00\x00\x00\x41\x00\x10\xff\xff")));
}

static void parse__refuses_bad_strings(void **state)
{
    (void)state;
    static const struct {
        uint8_t tag;
        sm_slice value;
    } bad[] = {
        {SM_DER_UTF8_STRING, S("")},
        {SM_DER_UTF8_STRING, S("a\0b")},             /* embedded NUL */
        {SM_DER_UTF8_STRING, S("\xc0\x80")},         /* NUL in two octets */
        {SM_DER_UTF8_STRING, S("\xc1\xbf")},         /* overlong */
        {SM_DER_UTF8_STRING, S("\xe0\x9f\xbf")},     /* overlong */
        {SM_DER_UTF8_STRING, S("\xf0\x8f\xbf\xbf")}, /* overlong */
        {SM_DER_UTF8_STRING, S("\xed\xa0\x80")},     /* the first surrogate */
        {SM_DER_UTF8_STRING, S("\xed\xbf\xbf")},     /* the last one */
        {SM_DER_UTF8_STRING, S("\xf4\x90\x80\x80")}, /* U+110000 */
        {SM_DER_UTF8_STRING, S("\xf5\x80\x80\x80")},
        {SM_DER_UTF8_STRING, S("\xff")},
        {SM_DER_UTF8_STRING, S("\x80")},
        {SM_DER_UTF8_STRING, S("a\xc3")}, /* cut */
        {SM_DER_UTF8_STRING, S("a\xe2\x82")},
        {SM_DER_UTF8_STRING, S("a\xf0\x9f\x98")},
        {SM_DER_UTF8_STRING, S("\xc3(")}, /* no continuation */
        {SM_DER_PRINTABLE_STRING, S("a@b")},
        {SM_DER_PRINTABLE_STRING, S("a*")},
        {SM_DER_PRINTABLE_STRING, S("a_b")},
        {SM_DER_PRINTABLE_STRING, S("a&b")},
        {SM_DER_PRINTABLE_STRING, S("a\0")},
        {SM_DER_PRINTABLE_STRING, S("\xc3\xa4")},
        {SM_DER_IA5_STRING, S("a\0")},
        {SM_DER_IA5_STRING, S("\x80")},
        {SM_DER_TELETEX_STRING, S("a\0")},
        {SM_DER_BMP_STRING, S("\0A\0")},
        {SM_DER_BMP_STRING, S("\0\0")},
        {SM_DER_BMP_STRING, S("\xd8\x00\xdc\x00")},
        {SM_DER_UNIVERSAL_STRING, S("\0\0\0")},
        {SM_DER_UNIVERSAL_STRING, S("\0\0\0\0")},
        {SM_DER_UNIVERSAL_STRING, S("\x00\x11\x00\x00")},
        {SM_DER_UNIVERSAL_STRING, S("\x00\x00\xd8\x00")},
        {0x12, S("123")}, /* NumericString */
        {0x1a, S("abc")}, /* VisibleString */
        {SM_DER_OCTET_STRING, S("abc")},
        {SM_DER_INTEGER, S("\x01")},
        {0x2c, S("\x0c\x01x")}, /* a constructed UTF8String */
        {SM_DER_SEQUENCE, S("\x05\x00")},
    };
    for (size_t i = 0; i < SM_ARRAY_LEN(bad); i++) {
        sm_err err = parse_value(bad[i].tag, bad[i].value);
        if (!sm_err_is(err, SM_E_MALFORMED)) {
            print_error("case %zu\n", i);
        }
        assert_sm_err(err, MALFORMED);
    }
}

static void parse__refuses_bad_shapes(void **state)
{
    (void)state;
    static const sm_slice bad[] = {
        S(""),
        S("\x31\x00"),                                              /* a SET */
        S("\x30\x02\x31\x00"),                                      /* an empty RDN */
        S("\x30\x02\x30\x00"),                                      /* a SEQUENCE for an RDN */
        S("\x30\x04\x31\x02\x30\x00"),                              /* an empty pair */
        S("\x30\x09\x31\x07\x30\x05\x06\x03\x55\x04\x03"),          /* no value */
        S("\x30\x0c\x31\x0a\x30\x08\x0c\x01x\x06\x03\x55\x04\x03"), /* the wrong way round */
        S("\x30\x0e\x31\x0c\x30\x0a\x06\x03\x55\x04\x03\x0c\x01x\x05\x00"),
        S("\x30\x0b\x31\x09\x30\x07\x06\x02\x80\x04\x0c\x01x"), /* a bad OID */
        S("\x30\x00\x00"),
        S("\x30\x80\x00\x00"),
        S("\x30\x81\x00"),
    };
    struct sm_name name;
    for (size_t i = 0; i < SM_ARRAY_LEN(bad); i++) {
        sm_diag diag = {.reason = ""};
        assert_false(sm_ok(sm_name_parse(bad[i], &name, &diag)));
        assert_string_equal(diag.field, "subject");
    }
    assert_sm_ok(sm_name_parse(SM_LIT("\x30\x00"), &name, NULL));
    assert_int_equal(name.count, 0);
}

/* `count` common names, as DER; one more than struct sm_name holds is written by hand. */
static sm_buf many(size_t count, bool joined)
{
    sm_buf pairs = sm_buf_init(10000);
    sm_buf b = sm_buf_init(10000);
    for (size_t i = 0; i < count; i++) {
        uint8_t text[2] = {(uint8_t)('a' + i / 26), (uint8_t)('a' + i % 26)};
        sm_buf one = name_of(SM_DER_UTF8_STRING, sm_slice_of(text, 2));
        sm_buf_put(&pairs, sm_slice_from(sm_buf_slice(&one), joined ? 4 : 2));
        sm_buf_deinit(&one);
    }
    sm_der_block name = sm_der_begin(&b, SM_DER_SEQUENCE);
    if (joined) {
        sm_der_write(&b, SM_DER_SET, sm_buf_slice(&pairs));
    } else {
        sm_buf_put(&b, sm_buf_slice(&pairs));
    }
    sm_der_end(&b, name);
    sm_buf_deinit(&pairs);
    return b;
}

static void parse__bounds_the_attributes(void **state)
{
    (void)state;
    struct sm_name name;
    for (int joined = 0; joined < 2; joined++) {
        sm_buf b = many(SM_NAME_ATTRIBUTES_MAX, joined);
        sm_buf again = sm_buf_init(10000);
        assert_sm_ok(sm_name_parse(sm_buf_slice(&b), &name, NULL));
        assert_int_equal(name.count, SM_NAME_ATTRIBUTES_MAX);
        assert_int_equal(name.at[31].with_previous, joined);
        sm_name_write(&again, &name);
        assert_true(sm_slice_equal(sm_buf_slice(&b), sm_buf_slice(&again)));
        sm_buf_deinit(&again);
        sm_buf_deinit(&b);
        b = many(SM_NAME_ATTRIBUTES_MAX + 1, joined);
        assert_sm_err(sm_name_parse(sm_buf_slice(&b), &name, NULL), TOO_LARGE);
        sm_buf_deinit(&b);
    }
}

/* Joined attributes come in the order of their encodings: the writer sorts, the reader refuses others. */
static void joined__are_in_ders_order(void **state)
{
    (void)state;
    struct sm_name name = {
        .count = 3,
        .at = {{SM_LIT("\x55\x04\x0a"), SM_DER_UTF8_STRING, SM_LIT("Acme"), false},
               {SM_OID_CN, SM_DER_UTF8_STRING, SM_LIT("zz"), true},
               {SM_OID_CN, SM_DER_UTF8_STRING, SM_LIT("aa"), true}}};
    sm_buf b = sm_buf_init(1000);
    sm_name_write(&b, &name);
    struct sm_name back;
    assert_sm_ok(sm_name_parse(sm_buf_slice(&b), &back, NULL));
    assert_int_equal(back.count, 3);
    assert_true(sm_slice_equal(back.at[0].value, SM_LIT("aa")));
    assert_true(sm_slice_equal(back.at[1].value, SM_LIT("zz")));
    assert_true(sm_slice_equal(back.at[2].value, SM_LIT("Acme")));
    assert_true(!back.at[0].with_previous && back.at[1].with_previous && back.at[2].with_previous);
    b.ptr[sm_slice_search(sm_buf_slice(&b), SM_LIT("aa"))] = '~';
    sm_diag diag = {.reason = ""};
    assert_sm_err(sm_name_parse(sm_buf_slice(&b), &back, &diag), MALFORMED);
    assert_non_null(strstr(diag.reason, "11.6"));
    sm_buf_deinit(&b);
}

static void random__names_round_trip_as_openssl_has_them(void **state)
{
    (void)state;
    struct sm_test_random r = {21};
    for (int i = 0; i < 3000; i++) {
        struct sm_name name;
        X509_NAME *want = sm_test_name(&r, 12);
        sm_buf der = SM_TEST_DER(X509_NAME, want);
        sm_buf again = sm_buf_init(100000);
        assert_sm_ok(sm_name_parse(sm_buf_slice(&der), &name, NULL));
        assert_int_equal(name.count, X509_NAME_entry_count(want));
        sm_name_write(&again, &name);
        assert_true(sm_slice_equal(sm_buf_slice(&again), sm_buf_slice(&der)));
        sm_buf_deinit(&der);
        sm_buf_deinit(&again);
        X509_NAME_free(want);
    }
}

static void random__cuts_and_flips_are_judged_no_laxer_than_openssl(void **state)
{
    (void)state;
    struct sm_test_random r = {22};
    for (int i = 0; i < 60; i++) {
        struct sm_name name;
        X509_NAME *source = sm_test_name(&r, 6);
        sm_buf der = SM_TEST_DER(X509_NAME, source);
        for (size_t cut = 0; cut < der.len; cut++) {
            assert_false(
                sm_ok(sm_name_parse(sm_slice_first(sm_buf_slice(&der), cut), &name, NULL)));
        }
        for (size_t bit = 0; bit < der.len * 8; bit++) {
            der.ptr[bit / 8] ^= (uint8_t)(1U << (bit % 8));
            if (sm_ok(sm_name_parse(sm_buf_slice(&der), &name, NULL))) {
                const uint8_t *p = der.ptr;
                X509_NAME *theirs = d2i_X509_NAME(NULL, &p, (long)der.len);
                assert_non_null(theirs);
                assert_ptr_equal(p, der.ptr + der.len);
                assert_int_equal(X509_NAME_entry_count(theirs), name.count);
                X509_NAME_free(theirs);
            }
            der.ptr[bit / 8] ^= (uint8_t)(1U << (bit % 8));
        }
        sm_buf_deinit(&der);
        X509_NAME_free(source);
    }
}

/* ---- what may be issued ---- */

static sm_err check_one(const char *type, uint8_t tag, sm_slice value)
{
    struct sm_name_attribute a = {.tag = tag, .value = value};
    assert_sm_ok(sm_attribute_oid(sm_slice_str(type), &arena, &a.oid));
    return sm_name_attribute_check(&a, NULL);
}

static void check__knows_rfc_5280s_types_and_bounds(void **state)
{
    (void)state;
    static uint8_t xs[40000];
    memset(xs, 'x', sizeof(xs));
    static const struct {
        const char *type;
        size_t max;
    } bounds[] = {{"CN", 64},  {"O", 64},     {"OU", 64},    {"L", 128},
                  {"ST", 128}, {"title", 64}, {"SN", 32768}, {"1.2.3", 32768}};
    for (size_t i = 0; i < SM_ARRAY_LEN(bounds); i++) {
        assert_sm_ok(check_one(bounds[i].type, SM_DER_UTF8_STRING, sm_slice_of(xs, bounds[i].max)));
        assert_sm_err(
            check_one(bounds[i].type, SM_DER_UTF8_STRING, sm_slice_of(xs, bounds[i].max + 1)),
            TOO_LARGE);
        assert_sm_err(check_one(bounds[i].type, SM_DER_UTF8_STRING, SM_LIT("")), TOO_LARGE);
    }
    assert_sm_ok(check_one("CN", SM_DER_PRINTABLE_STRING, SM_LIT("x")));
    assert_sm_err(check_one("CN", SM_DER_TELETEX_STRING, SM_LIT("x")), INVALID);
    assert_sm_err(check_one("CN", SM_DER_BMP_STRING, SM_LIT("\0x")), INVALID);
    assert_sm_err(check_one("CN", SM_DER_IA5_STRING, SM_LIT("x")), INVALID);
    assert_sm_ok(check_one("unstructuredName", SM_DER_IA5_STRING, SM_LIT("x")));
    assert_sm_ok(check_one("1.2.3", SM_DER_IA5_STRING, SM_LIT("x")));
    assert_sm_err(check_one("C", SM_DER_UTF8_STRING, SM_LIT("DE")), INVALID);
    assert_sm_ok(check_one("C", SM_DER_PRINTABLE_STRING, SM_LIT("DE")));
    assert_sm_err(check_one("C", SM_DER_PRINTABLE_STRING, SM_LIT("D")), TOO_LARGE);
    assert_sm_err(check_one("C", SM_DER_PRINTABLE_STRING, SM_LIT("D1")), INVALID);
    assert_sm_err(check_one("serialNumber", SM_DER_UTF8_STRING, SM_LIT("1")), INVALID);
    assert_sm_err(check_one("emailAddress", SM_DER_UTF8_STRING, SM_LIT("a@b")), INVALID);
    assert_sm_err(check_one("DC", SM_DER_IA5_STRING, SM_LIT("\0")), MALFORMED);
}

static void use_utf8__modernises_old_strings(void **state)
{
    (void)state;
    sm_slice c;
    assert_sm_ok(sm_attribute_oid(SM_LIT("C"), &arena, &c));
    struct sm_name name = {.count = 5,
                           .at = {{SM_OID_CN, SM_DER_TELETEX_STRING, SM_LIT("M\xfc"), false},
                                  {SM_OID_CN, SM_DER_BMP_STRING, SM_LIT("\x20\xac"), false},
                                  {SM_OID_CN, SM_DER_IA5_STRING, SM_LIT("x"), false},
                                  {SM_OID_CN, SM_DER_PRINTABLE_STRING, SM_LIT("p"), false},
                                  {c, SM_DER_TELETEX_STRING, SM_LIT("DE"), false}}};
    assert_sm_ok(sm_name_use_utf8(&name, &arena));
    assert_true(sm_slice_equal(name.at[0].value, SM_LIT("M\xc3\xbc")));
    assert_true(sm_slice_equal(name.at[1].value, SM_LIT("\xe2\x82\xac")));
    assert_true(sm_slice_equal(name.at[2].value, SM_LIT("x")));
    assert_int_equal(name.at[0].tag, SM_DER_UTF8_STRING);
    assert_int_equal(name.at[2].tag, SM_DER_UTF8_STRING);
    assert_int_equal(name.at[3].tag, SM_DER_PRINTABLE_STRING);
    assert_int_equal(name.at[4].tag, SM_DER_TELETEX_STRING); /* not ours to guess */
    assert_sm_err(sm_name_attribute_check(&name.at[4], NULL), INVALID);
    for (size_t i = 0; i < 4; i++) {
        assert_sm_ok(sm_name_attribute_check(&name.at[i], NULL));
    }
}

static void attribute__types_by_name_and_back(void **state)
{
    (void)state;
    sm_slice oid;
    assert_sm_ok(sm_attribute_oid(SM_LIT("cn"), &arena, &oid));
    assert_string_equal(sm_attribute_short_name(oid), "CN");
    assert_sm_ok(sm_attribute_oid(SM_LIT("organizationalUnitName"), &arena, &oid));
    assert_string_equal(sm_attribute_short_name(oid), "OU");
    assert_null(sm_attribute_short_name(SM_LIT("\x2a\x03")));
    assert_sm_err(sm_attribute_oid(SM_LIT("nonsense"), &arena, &oid), MALFORMED);
    assert_sm_err(sm_attribute_oid(SM_LIT(""), &arena, &oid), MALFORMED);
    static const char *const names[] = {"CN",
                                        "C",
                                        "O",
                                        "OU",
                                        "L",
                                        "ST",
                                        "SN",
                                        "GN",
                                        "initials",
                                        "title",
                                        "street",
                                        "serialNumber",
                                        "DC",
                                        "UID",
                                        "emailAddress",
                                        "dnQualifier",
                                        "pseudonym",
                                        "name",
                                        "postalCode",
                                        "generationQualifier",
                                        "unstructuredName",
                                        "unstructuredAddress",
                                        "description",
                                        "businessCategory",
                                        "organizationIdentifier"};
    for (size_t i = 0; i < SM_ARRAY_LEN(names); i++) {
        ASN1_OBJECT *want = OBJ_txt2obj(names[i], 0);
        assert_non_null(want);
        assert_sm_ok(sm_attribute_oid(sm_slice_str(names[i]), &arena, &oid));
        assert_true(sm_slice_equal(oid, sm_slice_of(OBJ_get0_data(want), OBJ_length(want))));
        ASN1_OBJECT_free(want);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parse__takes_good_strings),
        cmocka_unit_test(parse__refuses_bad_strings),
        cmocka_unit_test(parse__refuses_bad_shapes),
        cmocka_unit_test(parse__bounds_the_attributes),
        cmocka_unit_test(joined__are_in_ders_order),
        cmocka_unit_test(random__names_round_trip_as_openssl_has_them),
        cmocka_unit_test(random__cuts_and_flips_are_judged_no_laxer_than_openssl),
        cmocka_unit_test(check__knows_rfc_5280s_types_and_bounds),
        cmocka_unit_test(use_utf8__modernises_old_strings),
        cmocka_unit_test(attribute__types_by_name_and_back),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
