/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/support/ossl.h"
#include "tests/support/support.h"

#include "base/check.h"
#include "base/mem.h"
#include "sign/der.h"
#include "sign/name_p.h"

#define ARENA_CAP (1 << 20)

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

static void assert_der_text(sm_slice der, const char *want)
{
    sm_buf text = sm_buf_init(10000);
    assert_sm_ok(sm_name_to_text(der, &text));
    sm_buf_put_byte(&text, 0);
    assert_string_equal((const char *)text.ptr, want);
    sm_buf_deinit(&text);
}

static void from_text__reads_back_in_rfc_4514s_order(void **state)
{
    (void)state;
    static const struct {
        const char *in;
        const char *out;
    } names[] = {
        {"C=DE,O=Acme,CN=x", "CN=x,O=Acme,C=DE"},
        {"", ""},
        {"  ", ""},
        {" C = DE , O = Acme Inc  , CN = x y ", "CN=x y,O=Acme Inc,C=DE"},
        {"CN=a\\,b\\+c\\\"d\\\\e\\<f\\>g\\;h\\=i", "CN=a\\,b\\+c\\\"d\\\\e\\<f\\>g\\;h=i"},
        {"CN=\\ a\\ ", "CN=\\ a\\ "},
        {"CN=a\\  ,O=b", "O=b,CN=a\\ "},
        {"CN=a\\  ", "CN=a\\ "},   /* the escaped space stays, the other goes */
        {"CN=a\\\\ ", "CN=a\\\\"}, /* an escaped backslash: the space goes */
        {" \tCN=a\r\n", "CN=a"},
        {"CN=\\#a#", "CN=\\#a#"},
        {"CN=a=b", "CN=a=b"},
        {"CN=J\\C3\\B6rg", "CN=J\xc3\xb6rg"},
        {"CN=a\\0Ab", "CN=a\\0Ab"},
        {"O=Acme,OU=b+CN=a", "CN=a+OU=b,O=Acme"},
        {"commonName=x,emailAddress=a@b.example,serialNumber=42",
         "serialNumber=42,emailAddress=a@b.example,CN=x"},
        {"DC=example,DC=com,UID=u", "UID=u,DC=com,DC=example"},
        {"1.2.3.4=abc", "1.2.3.4=#0c03616263"},
        {"1.2.3.4=#1303616263 ,CN=#0c0178", "CN=x,1.2.3.4=#1303616263"},
        {"2.5.4.3=x", "CN=x"},
    };
    for (size_t i = 0; i < SM_ARRAY_LEN(names); i++) {
        struct sm_name name;
        sm_diag diag = {.reason = ""};
        sm_buf der = sm_buf_init(10000);
        sm_err err = sm_name_from_text(sm_slice_str(names[i].in), &arena, &name, &diag);
        if (!sm_ok(err)) {
            print_error("%s: %s\n", names[i].in, diag.reason);
        }
        assert_sm_ok(err);
        sm_name_write(&der, &name);
        assert_der_text(sm_buf_slice(&der), names[i].out);
        sm_buf_deinit(&der);
    }
}

static void from_text__chooses_string_types(void **state)
{
    (void)state;
    struct sm_name name;
    assert_sm_ok(sm_name_from_text(
        SM_LIT("C=DE,serialNumber=1,dnQualifier=q,DC=x,emailAddress=a@b,CN=c,1.2.3=d"), &arena,
        &name, NULL));
    static const uint8_t tags[] = {SM_DER_PRINTABLE_STRING, SM_DER_PRINTABLE_STRING,
                                   SM_DER_PRINTABLE_STRING, SM_DER_IA5_STRING,
                                   SM_DER_IA5_STRING,       SM_DER_UTF8_STRING,
                                   SM_DER_UTF8_STRING};
    assert_int_equal(name.count, SM_ARRAY_LEN(tags));
    for (size_t i = 0; i < name.count; i++) {
        assert_int_equal(name.at[i].tag, tags[i]);
    }
}

static void from_text__refuses_what_is_no_name(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "x",
        "  =x",
        "CN=a\\\n",
        "CN=a\\\t",
        "=x",
        "CN",
        "CN=",
        "CN= ",
        "CN=a,",
        "CN=a+",
        ",CN=a",
        "CN=a,,O=b",
        "CN=a;O=b",
        "CN=\"a\"",
        "CN=a<b",
        "CN=a\\",
        "CN=a\\g",
        "CN=a\\4",
        "CN=a\\4g",
        "CN=a\\00b",
        "CN=\\FF",
        "CN=#",
        "CN=#0",
        "CN=#0c01",
        "CN=#0c0178 x",
        "CN=#040178",
        "XX=a",
        "1.=a",
        "1.2.=a",
        "C=DEU",
        "C=D",
        "C=1A",
        "C=\xc3\xa4",
        "serialNumber=a_b",
        "emailAddress=\xc3\xa4@b",
        "CN=#0c0178+",
        "CN=#1e0161",
        "C=#0c024445",
        "2.5.4.3.=x",
        "+CN=a",
    };
    for (size_t i = 0; i < SM_ARRAY_LEN(bad); i++) {
        struct sm_name name;
        sm_diag diag = {.reason = ""};
        sm_err err = sm_name_from_text(sm_slice_str(bad[i]), &arena, &name, &diag);
        if (sm_ok(err)) {
            print_error("%s\n", bad[i]);
        }
        assert_false(sm_ok(err));
        assert_string_equal(diag.field, "subject");
        assert_true(diag.reason[0] != '\0');
    }
    struct sm_name name;
    assert_false(sm_ok(sm_name_from_text(SM_LIT("CN=a\0b"), &arena, &name, NULL)));
    assert_false(sm_ok(sm_name_from_text(SM_LIT("CN\0=a"), &arena, &name, NULL)));
}

static void from_text__bounds_length_and_number(void **state)
{
    (void)state;
    struct sm_name name;
    sm_buf text = sm_buf_init(1000);
    sm_buf_put_str(&text, "CN=");
    for (int i = 0; i < 64; i++) {
        sm_buf_put_str(&text, "\xc3\xa4"); /* 64 characters, 128 octets */
    }
    assert_sm_ok(sm_name_from_text(sm_buf_slice(&text), &arena, &name, NULL));
    sm_buf_put_byte(&text, 'x');
    assert_sm_err(sm_name_from_text(sm_buf_slice(&text), &arena, &name, NULL), TOO_LARGE);
    sm_buf_reset(&text);
    for (int i = 0; i < SM_NAME_ATTRIBUTES_MAX; i++) {
        sm_buf_put_str(&text, i == 0 ? "O=x" : ",O=x");
    }
    assert_sm_ok(sm_name_from_text(sm_buf_slice(&text), &arena, &name, NULL));
    sm_buf_put_str(&text, ",O=x");
    assert_sm_err(sm_name_from_text(sm_buf_slice(&text), &arena, &name, NULL), TOO_LARGE);
    sm_buf_deinit(&text);
}

/* OpenSSL's RFC 2253 writer has the same escapes. It forgets to escape a lone '#', so values have two characters. */
static void to_text__is_what_openssl_prints(void **state)
{
    (void)state;
    struct sm_test_random r = {23};
    static const char chars[] = "aZ09 ,+\"\\<>;=#.-/";
    static const char *const types[] = {"CN", "O", "OU", "L", "ST", "UID"};
    for (int i = 0; i < 3000; i++) {
        X509_NAME *name = X509_NAME_new();
        for (uint32_t n = sm_test_below(&r, 5); n > 0; n--) {
            uint8_t value[20];
            uint32_t len = 2 + sm_test_below(&r, sizeof(value) - 2);
            for (uint32_t j = 0; j < len; j++) {
                value[j] = (uint8_t)chars[sm_test_below(&r, sizeof(chars) - 1)];
            }
            const char *type = types[sm_test_below(&r, SM_ARRAY_LEN(types))];
            assert_true(
                X509_NAME_add_entry_by_txt(name, type, V_ASN1_UTF8STRING, value, (int)len, -1, 0));
        }
        BIO *bio = BIO_new(BIO_s_mem());
        assert_true(X509_NAME_print_ex(bio, name, 0, XN_FLAG_RFC2253) >= 0);
        assert_true(BIO_write(bio, "", 1) == 1);
        char *want;
        (void)BIO_get_mem_data(bio, &want);
        sm_buf der = SM_TEST_DER(X509_NAME, name);
        assert_der_text(sm_buf_slice(&der), want);
        sm_buf_deinit(&der);
        BIO_free(bio);
        X509_NAME_free(name);
    }
}

/* The RDNs in the other order, the attributes of each in theirs, the values in UTF-8. */
static void assert_is_reverse(const struct sm_name *back, const struct sm_name *source)
{
    size_t at = 0;
    assert_int_equal(back->count, source->count);
    for (size_t end = source->count; end > 0;) {
        size_t start = end - 1;
        while (source->at[start].with_previous) {
            start--;
        }
        for (size_t i = start; i < end; i++, at++) {
            const struct sm_name_attribute *want = &source->at[i];
            sm_buf utf8 = sm_buf_init(1000);
            sm_string_to_utf8(&utf8, want->tag, want->value);
            assert_true(sm_slice_equal(back->at[at].oid, want->oid));
            assert_int_equal(back->at[at].with_previous, i > start);
            assert_true(sm_slice_equal(
                back->at[at].value,
                sm_attribute_short_name(want->oid) == NULL ? want->value : sm_buf_slice(&utf8)));
            sm_buf_deinit(&utf8);
        }
        end = start;
    }
}

/* Whether each attribute may be issued: in its own string type where that is unknown, else in
 * ours. */
static bool is_issuable(const struct sm_name *name)
{
    bool all = true;
    for (size_t i = 0; i < name->count; i++) {
        const struct sm_name_attribute *a = &name->at[i];
        const char *type = sm_attribute_short_name(a->oid);
        if (type == NULL) {
            all = all && sm_ok(sm_name_attribute_check(a, NULL));
            continue;
        }
        struct sm_name_attribute made;
        sm_buf utf8 = sm_buf_init(1000);
        sm_string_to_utf8(&utf8, a->tag, a->value);
        all = all && sm_ok(sm_name_attribute_make(sm_slice_str(type), sm_buf_slice(&utf8), &arena,
                                                  &made, NULL));
        sm_buf_deinit(&utf8);
    }
    return all;
}

/* What may be issued at all reads back, and nothing else. */
static void to_text__of_random_names_reads_back(void **state)
{
    (void)state;
    struct sm_test_random r = {24};
    int read = 0;
    for (int i = 0; i < 3000; i++) {
        struct sm_name source;
        struct sm_name back;
        X509_NAME *made = sm_test_name(&r, 3);
        sm_buf der = SM_TEST_DER(X509_NAME, made);
        sm_buf text = sm_buf_init(100000);
        sm_arena_reset(&arena);
        assert_sm_ok(sm_name_parse(sm_buf_slice(&der), &source, NULL));
        assert_sm_ok(sm_name_to_text(sm_buf_slice(&der), &text));
        bool good = sm_ok(sm_name_from_text(sm_buf_slice(&text), &arena, &back, NULL));
        assert_int_equal(good, is_issuable(&source));
        if (good) {
            read += back.count > 0;
            assert_is_reverse(&back, &source);
        }
        sm_buf_deinit(&text);
        sm_buf_deinit(&der);
        X509_NAME_free(made);
    }
    assert_true(read > 300); /* the others have a C of three letters and the like */
}

static void to_text__shows_old_string_types_in_utf8(void **state)
{
    (void)state;
    assert_der_text(SM_LIT("\x30\x13\x31\x11\x30\x0f\x06\x03\x55\x04\x03\x14\x08M\xfcnchen,"),
                    "CN=M\xc3\xbcnchen\\,");
    assert_der_text(
        SM_LIT("\x30\x11\x31\x0f\x30\x0d\x06\x03\x55\x04\x03\x1e\x06\x00M\x20\xac\x00,"),
        "CN=M\xe2\x82\xac\\,");
    assert_der_text(
        SM_LIT(
            "\x30\x13\x31\x11\x30\x0f\x06\x03\x55\x04\x03\x1c\x08\x00\x01\xf6\x00\x00\x00\x00\x20"),
        "CN=\xf0\x9f\x98\x80\\ ");
    sm_buf text = sm_buf_init(100);
    assert_sm_err(sm_name_to_text(SM_LIT("\x31\x00"), &text), MALFORMED);
    sm_buf_deinit(&text);
}

static void memory__running_out_fails_cleanly(void **state)
{
    (void)state;
    bool all = false;
    for (size_t n = 1; !all; n++) {
        sm_arena small;
        struct sm_name name;
        sm_buf text = sm_buf_init(1000);
        sm_arena_init(&small, ARENA_CAP);
        sm_mem_fail_at(n);
        sm_err err = sm_name_from_text(SM_LIT("1.2.3.4=#0c0141,CN=x,1.2.3.5=y"), &small, &name,
                                       NULL);
        if (sm_ok(err)) { /* a dotted type, and a BMPString */
            err = sm_name_to_text(SM_LIT("\x30\x19\x31\x0b\x30\x09\x06\x02\x2a\x03\x1e\x03\x0cx"),
                                  &text);
            assert_false(sm_ok(err));
            err = sm_name_to_text(SM_LIT("\x30\x19\x31\x0a\x30\x08\x06\x02\x2a\x03\x1e\x02\x00x"
                                         "\x31\x0b\x30\x09\x06\x03\x55\x04\x03\x1e\x02\x00x"),
                                  &text);
        }
        all = !sm_mem_has_failed();
        sm_mem_fail_at(0);
        assert_int_equal(sm_ok(err), all);
        sm_buf_deinit(&text);
        sm_arena_deinit(&small);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(from_text__reads_back_in_rfc_4514s_order),
        cmocka_unit_test(from_text__chooses_string_types),
        cmocka_unit_test(from_text__refuses_what_is_no_name),
        cmocka_unit_test(from_text__bounds_length_and_number),
        cmocka_unit_test(to_text__is_what_openssl_prints),
        cmocka_unit_test(to_text__of_random_names_reads_back),
        cmocka_unit_test(to_text__shows_old_string_types_in_utf8),
        cmocka_unit_test(memory__running_out_fails_cleanly),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
