/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/support/ossl.h"
#include "tests/support/support.h"

#include "base/check.h"
#include "sign/der.h"

#define L(s) SM_LIT(s)

static void assert_slice(sm_slice got, sm_slice want)
{
    assert_int_equal(got.len, want.len);
    assert_true(sm_slice_equal(got, want));
}

/* ---- reader ---- */

static void reader__reads_elements_in_turn(void **state)
{
    (void)state;
    sm_der d = sm_der_init(L("\x04\x03"
                             "abc\x05\x00\x02\x01\x07\x13\x01x"));
    sm_slice content;
    uint8_t tag;
    assert_int_equal(sm_der_peek(&d), SM_DER_OCTET_STRING);
    assert_false(sm_der_read_if(&d, SM_DER_NULL, &content));
    assert_true(sm_der_read_if(&d, SM_DER_OCTET_STRING, &content));
    assert_slice(content, L("abc"));
    assert_slice(sm_der_read_raw(&d), L("\x05\x00"));
    assert_slice(sm_der_read(&d, SM_DER_INTEGER), L("\x07"));
    assert_slice(sm_der_read_any(&d, &tag), L("x"));
    assert_int_equal(tag, SM_DER_PRINTABLE_STRING);
    assert_true(sm_der_at_end(&d));
    assert_int_equal(sm_der_peek(&d), 0);
    assert_sm_ok(sm_der_finish(&d));
}

static void reader__empty_input_is_at_its_end(void **state)
{
    (void)state;
    sm_der d = sm_der_init(SM_SLICE_NONE);
    assert_true(sm_der_at_end(&d));
    assert_sm_ok(sm_der_finish(&d));
    assert_int_equal(sm_der_read(&d, SM_DER_NULL).len, 0);
    assert_sm_err(sm_der_err(&d), TRUNCATED);
}

static void reader__enters_and_leaves_constructions(void **state)
{
    (void)state;
    sm_der d = sm_der_init(L("\x30\x06\x31\x00\x02\x02\x01\x00\x05\x00"));
    sm_der seq = sm_der_enter(&d, SM_DER_SEQUENCE);
    sm_der set = sm_der_enter(&seq, SM_DER_SET);
    assert_true(sm_der_at_end(&set));
    sm_der_leave(&seq, &set);
    assert_int_equal(sm_der_read_u64(&seq), 256);
    sm_der_leave(&d, &seq);
    assert_sm_ok(sm_der_err(&d));
    assert_slice(sm_der_read(&d, SM_DER_NULL), L(""));
    assert_sm_ok(sm_der_finish(&d));
}

static void reader__leftovers_inside_are_a_fault_of_the_parent(void **state)
{
    (void)state;
    sm_der d = sm_der_init(L("\x30\x02\x05\x00\x05\x00"));
    sm_der seq = sm_der_enter(&d, SM_DER_SEQUENCE);
    sm_der_leave(&d, &seq);
    assert_sm_err(sm_der_err(&d), MALFORMED);
    assert_true(sm_der_at_end(&d));
}

static void reader__trailing_octets_are_a_fault(void **state)
{
    (void)state;
    sm_der d = sm_der_init(L("\x05\x00\x00"));
    (void)sm_der_read(&d, SM_DER_NULL);
    assert_sm_err(sm_der_finish(&d), MALFORMED);
}

/* Lengths in their one form, or a fault. */
static const struct {
    sm_slice in;
    const char *err;
} headers[] = {
    {{(const uint8_t *)"\x04\x80\x00\x00", 4}, "malformed"},             /* indefinite */
    {{(const uint8_t *)"\x30\x80\x05\x00\x00\x00", 6}, "malformed"},     /* the same, well closed */
    {{(const uint8_t *)"\x04\x81\x01x", 4}, "malformed"},                /* one octet too many */
    {{(const uint8_t *)"\x04\x82\x00\x01x", 5}, "malformed"},            /* a leading zero */
    {{(const uint8_t *)"\x04\x83\x00\x01\x00", 5}, "malformed"},         /* the same behind more */
    {{(const uint8_t *)"\x04\x84\x80\x00\x00\x00", 6}, "malformed"},     /* 2^31 */
    {{(const uint8_t *)"\x04\x84\xff\xff\xff\xff", 6}, "malformed"},     /* 2^32 - 1 */
    {{(const uint8_t *)"\x04\x85\x01\x00\x00\x00\x00", 7}, "malformed"}, /* five octets */
    {{(const uint8_t *)"\x04\xff", 2}, "malformed"},                     /* reserved */
    {{(const uint8_t *)"\x1f\x81\x01\x00", 4}, "malformed"},             /* high tag number */
    {{(const uint8_t *)"\xbf\x1f\x00", 3}, "malformed"}, /* the same, context-specific */
    {{(const uint8_t *)"\x00\x00", 2}, "malformed"},     /* end of contents */
    {{(const uint8_t *)"\x20\x00", 2}, "malformed"},     /* the same, constructed */
    {{(const uint8_t *)"\x04", 1}, "truncated"},
    {{(const uint8_t *)"\x04\x01", 2}, "truncated"},
    {{(const uint8_t *)"\x04\x81", 2}, "truncated"},
    {{(const uint8_t *)"\x04\x82\x01", 3}, "truncated"},
    {{(const uint8_t *)"\x04\x84\x7f\xff\xff\xff", 6}, "truncated"}, /* the longest */
};

static void reader__refuses_bad_headers(void **state)
{
    (void)state;
    for (size_t i = 0; i < SM_ARRAY_LEN(headers); i++) {
        sm_der d = sm_der_init(headers[i].in);
        uint8_t tag = 0xee;
        assert_int_equal(sm_der_read_any(&d, &tag).len, 0);
        assert_int_equal(tag, 0);
        assert_string_equal(sm_err_name(sm_der_err(&d)), headers[i].err);
        assert_true(sm_der_at_end(&d));
        assert_false(sm_ok(sm_der_check(headers[i].in)));
    }
}

static void reader__reads_lengths_of_every_size(void **state)
{
    (void)state;
    static const size_t lens[] = {0, 1, 127, 128, 255, 256, 65535, 65536, 70000};
    for (size_t i = 0; i < SM_ARRAY_LEN(lens); i++) {
        sm_buf b = sm_buf_init(1 << 20);
        uint8_t *content = calloc(1, lens[i] + 1);
        sm_der_write(&b, SM_DER_OCTET_STRING, sm_slice_of(content, lens[i]));
        assert_int_equal(b.len, sm_der_header_size(lens[i]) + lens[i]);
        sm_der d = sm_der_init(sm_buf_slice(&b));
        assert_slice(sm_der_read(&d, SM_DER_OCTET_STRING), sm_slice_of(content, lens[i]));
        assert_sm_ok(sm_der_finish(&d));
        d = sm_der_init(sm_slice_first(sm_buf_slice(&b), b.len - 1)); /* one octet short */
        (void)sm_der_read(&d, SM_DER_OCTET_STRING);
        assert_sm_err(sm_der_err(&d), TRUNCATED);
        free(content);
        sm_buf_deinit(&b);
    }
}

static void reader__the_first_fault_stays(void **state)
{
    (void)state;
    sm_der d = sm_der_init(L("\x04\x05x\x05\x00"));
    (void)sm_der_read(&d, SM_DER_OCTET_STRING);
    assert_sm_err(sm_der_err(&d), TRUNCATED);
    assert_int_equal(sm_der_read(&d, SM_DER_NULL).len, 0);
    assert_int_equal(sm_der_read_raw(&d).len, 0);
    assert_int_equal(sm_der_read_u64(&d), 0);
    assert_int_equal(sm_der_read_oid(&d).len, 0);
    assert_int_equal(sm_der_read_time(&d), 0);
    assert_false(sm_der_read_bool(&d));
    sm_der inner = sm_der_enter(&d, SM_DER_SEQUENCE);
    assert_true(sm_der_at_end(&inner));
    assert_sm_err(sm_der_err(&inner), TRUNCATED);
    sm_der_leave(&d, &inner);
    sm_der_fail(&d, SM_ERR(MALFORMED));
    assert_sm_err(sm_der_finish(&d), TRUNCATED);
}

static void reader__refuses_another_tag(void **state)
{
    (void)state;
    sm_der d = sm_der_init(L("\x24\x02\x05\x00")); /* a constructed OCTET STRING */
    (void)sm_der_read(&d, SM_DER_OCTET_STRING);
    assert_sm_err(sm_der_err(&d), MALFORMED);
}

/* n sequences in each other. */
static sm_buf nest(size_t n)
{
    sm_buf b = sm_buf_init(1 << 20);
    sm_der_block *blocks = calloc(n, sizeof(*blocks));
    for (size_t i = 0; i < n; i++) {
        blocks[i] = sm_der_begin(&b, SM_DER_SEQUENCE);
    }
    for (size_t i = n; i-- > 0;) {
        sm_der_end(&b, blocks[i]);
    }
    assert_sm_ok(sm_buf_err(&b));
    free(blocks);
    return b;
}

static void reader__refuses_to_go_too_deep(void **state)
{
    (void)state;
    sm_buf b = nest(SM_DER_DEPTH_MAX + 1);
    sm_der d = sm_der_init(sm_buf_slice(&b));
    for (int i = 0; i < SM_DER_DEPTH_MAX; i++) {
        d = sm_der_enter(&d, SM_DER_SEQUENCE);
        assert_sm_ok(sm_der_err(&d));
    }
    d = sm_der_enter(&d, SM_DER_SEQUENCE);
    assert_sm_err(sm_der_err(&d), MALFORMED);
    sm_buf_deinit(&b);
}

static void reader__reads_booleans(void **state)
{
    (void)state;
    sm_der d = sm_der_init(L("\x01\x01\xff\x01\x01\x00"));
    assert_true(sm_der_read_bool(&d));
    assert_false(sm_der_read_bool(&d));
    assert_sm_ok(sm_der_finish(&d));
    static const sm_slice bad[] = {{(const uint8_t *)"\x01\x01\x01", 3},
                                   {(const uint8_t *)"\x01\x00", 2},
                                   {(const uint8_t *)"\x01\x02\xff\xff", 4}};
    for (size_t i = 0; i < SM_ARRAY_LEN(bad); i++) {
        d = sm_der_init(bad[i]);
        assert_false(sm_der_read_bool(&d));
        assert_sm_err(sm_der_err(&d), MALFORMED);
    }
}

static void reader__refuses_integers_that_are_not_minimal(void **state)
{
    (void)state;
    static const sm_slice bad[] = {{(const uint8_t *)"\x02\x00", 2},
                                   {(const uint8_t *)"\x02\x02\x00\x00", 4},
                                   {(const uint8_t *)"\x02\x02\x00\x7f", 4},
                                   {(const uint8_t *)"\x02\x02\xff\x80", 4},
                                   {(const uint8_t *)"\x02\x03\xff\xff\xff", 5}};
    for (size_t i = 0; i < SM_ARRAY_LEN(bad); i++) {
        sm_der d = sm_der_init(bad[i]);
        (void)sm_der_read_integer(&d);
        assert_sm_err(sm_der_err(&d), MALFORMED);
        assert_sm_err(sm_der_check(bad[i]), MALFORMED);
    }
}

static void reader__reads_numbers_in_their_range(void **state)
{
    (void)state;
    sm_der d = sm_der_init(
        L("\x02\x01\x00\x02\x01\x7f\x02\x02\x00\x80\x02\x08\x7f\xff\xff\xff\xff\xff\xff\xff"));
    assert_int_equal(sm_der_read_u64(&d), 0);
    assert_int_equal(sm_der_read_u64(&d), 127);
    assert_int_equal(sm_der_read_u64(&d), 128);
    assert_int_equal(sm_der_read_u64(&d), INT64_MAX);
    assert_sm_ok(sm_der_finish(&d));
    static const sm_slice bad[] = {{(const uint8_t *)"\x02\x01\xff", 3},
                                   {(const uint8_t *)"\x02\x01\x80", 3},
                                   {(const uint8_t *)"\x02\x09\x00\x80\0\0\0\0\0\0\0", 11},
                                   {(const uint8_t *)"\x02\x09\x01\0\0\0\0\0\0\0\0", 11}};
    for (size_t i = 0; i < SM_ARRAY_LEN(bad); i++) {
        d = sm_der_init(bad[i]);
        assert_int_equal(sm_der_read_u64(&d), 0);
        assert_sm_err(sm_der_err(&d), MALFORMED);
    }
}

static void reader__takes_the_sign_octet_off(void **state)
{
    (void)state;
    sm_der d = sm_der_init(L("\x02\x02\x00\x80\x02\x01\x00\x02\x01\x01\x02\x01\x80"));
    assert_slice(sm_der_read_unsigned(&d), L("\x80"));
    assert_slice(sm_der_read_unsigned(&d), L("\0"));
    assert_slice(sm_der_read_unsigned(&d), L("\1"));
    assert_int_equal(sm_der_read_unsigned(&d).len, 0);
    assert_sm_err(sm_der_err(&d), MALFORMED);
}

static void reader__reads_bit_strings_of_whole_octets(void **state)
{
    (void)state;
    sm_der d = sm_der_init(L("\x03\x03\x00\xab\xcd\x03\x01\x00"));
    assert_slice(sm_der_read_bits(&d), L("\xab\xcd"));
    assert_int_equal(sm_der_read_bits(&d).len, 0);
    assert_sm_ok(sm_der_finish(&d));
    static const sm_slice bad[] = {{(const uint8_t *)"\x03\x00", 2},
                                   {(const uint8_t *)"\x03\x02\x01\x00", 4},
                                   {(const uint8_t *)"\x23\x03\x03\x01\x00", 5}};
    for (size_t i = 0; i < SM_ARRAY_LEN(bad); i++) {
        d = sm_der_init(bad[i]);
        (void)sm_der_read_bits(&d);
        assert_sm_err(sm_der_err(&d), MALFORMED);
    }
}

static int64_t read_time(uint8_t tag, const char *text, bool *good)
{
    sm_buf b = sm_buf_init(100);
    sm_der_write(&b, tag, sm_slice_str(text));
    sm_der d = sm_der_init(sm_buf_slice(&b));
    int64_t out = sm_der_read_time(&d);
    *good = sm_ok(sm_der_finish(&d));
    sm_buf_deinit(&b);
    return out;
}

static void reader__reads_times_as_rfc_5280_has_them(void **state)
{
    (void)state;
    static const struct {
        uint8_t tag;
        const char *text;
        int64_t want;
    } times[] = {
        {SM_DER_UTC_TIME, "700101000000Z", 0},
        {SM_DER_UTC_TIME, "500101000000Z", -631152000},
        {SM_DER_UTC_TIME, "491231235959Z", 2524607999},
        {SM_DER_UTC_TIME, "000229120000Z", 951825600},
        {SM_DER_GENERALIZED_TIME, "20500101000000Z", 2524608000},
        {SM_DER_GENERALIZED_TIME, "99991231235959Z", 253402300799},
        {SM_DER_GENERALIZED_TIME, "19700101000000Z", 0},
    };
    for (size_t i = 0; i < SM_ARRAY_LEN(times); i++) {
        bool good;
        assert_int_equal(read_time(times[i].tag, times[i].text, &good), times[i].want);
        assert_true(good);
    }
}

static void reader__refuses_other_times(void **state)
{
    (void)state;
    static const char *const utc[] = {"7001010000Z",
                                      "700101000000",
                                      "700101000000+0000",
                                      "700101000000.5Z",
                                      "700001000000Z",
                                      "700132000000Z",
                                      "700230000000Z",
                                      "700101240000Z",
                                      "700101006000Z",
                                      "700101000060Z",
                                      "70010100000aZ",
                                      "-00101000000Z",
                                      "19700101000000Z",
                                      "",
                                      "Z",
                                      "7001010000000Z"};
    static const char *const generalized[] = {
        "700101000000Z",       "1970010100000Z",    "19700101000000",
        "19700101000000+0100", "19700101000000.1Z", "20230229000000Z",
        "1970 101000000Z",     "00000101000000Z",   "197001010000Z"};
    for (size_t i = 0; i < SM_ARRAY_LEN(utc); i++) {
        bool good;
        (void)read_time(SM_DER_UTC_TIME, utc[i], &good);
        assert_false(good);
    }
    for (size_t i = 0; i < SM_ARRAY_LEN(generalized); i++) {
        bool good;
        (void)read_time(SM_DER_GENERALIZED_TIME, generalized[i], &good);
        assert_false(good);
    }
    bool good;
    (void)read_time(SM_DER_PRINTABLE_STRING, "700101000000Z", &good);
    assert_false(good);
}

/* ---- check ---- */

static void check__takes_der(void **state)
{
    (void)state;
    static const sm_slice good[] = {
        {NULL, 0},
        {(const uint8_t *)"\x05\x00\x05\x00", 4},
        {(const uint8_t *)"\x30\x06\x01\x01\xff\x02\x01\x80", 8},
        {(const uint8_t *)"\xa0\x03\x80\x01\x00", 5},
        {(const uint8_t *)"\x03\x02\x07\x80", 4},
        {(const uint8_t *)"\x03\x01\x00", 3},
        {(const uint8_t *)"\x1e\x02\x00\x41", 4},
        {(const uint8_t *)"\x06\x01\x2a", 3},
    };
    for (size_t i = 0; i < SM_ARRAY_LEN(good); i++) {
        assert_sm_ok(sm_der_check(good[i]));
    }
}

static void check__refuses_what_is_not_der(void **state)
{
    (void)state;
    static const sm_slice bad[] = {
        {(const uint8_t *)"\x05\x01\x00", 3},                 /* a NULL with content */
        {(const uint8_t *)"\x30\x03\x01\x01\x01", 5},         /* TRUE is FF */
        {(const uint8_t *)"\xa0\x05\x30\x03\x05\x01\x00", 7}, /* deep inside */
        {(const uint8_t *)"\x10\x00", 2},                     /* a primitive SEQUENCE */
        {(const uint8_t *)"\x24\x03\x04\x01x", 5},            /* a constructed string */
        {(const uint8_t *)"\x2c\x03\x0c\x01x", 5},
        {(const uint8_t *)"\x03\x00", 2},         /* bits without their count */
        {(const uint8_t *)"\x03\x01\x01", 3},     /* unused bits of nothing */
        {(const uint8_t *)"\x03\x02\x08\x00", 4}, /* eight unused bits */
        {(const uint8_t *)"\x03\x02\x01\x01", 4}, /* an unused bit that is set */
        {(const uint8_t *)"\x0a\x02\x00\x01", 4}, /* not minimal */
        {(const uint8_t *)"\x06\x00", 2},
        {(const uint8_t *)"\x06\x01\x80", 3},
        {(const uint8_t *)"\x06\x02\x80\x01", 4},
        {(const uint8_t *)"\x1e\x01\x41", 3},
        {(const uint8_t *)"\x1c\x02\x00\x41", 4},
    };
    for (size_t i = 0; i < SM_ARRAY_LEN(bad); i++) {
        assert_sm_err(sm_der_check(bad[i]), MALFORMED);
    }
    assert_sm_err(sm_der_check(L("\x30\x03\x05\x00")), TRUNCATED);
    assert_sm_err(sm_der_check(L("\x30\x02\x05\x01")), TRUNCATED);
}

static void check__bounds_the_depth(void **state)
{
    (void)state;
    sm_buf b = nest(SM_DER_DEPTH_MAX - 1);
    assert_sm_ok(sm_der_check(sm_buf_slice(&b)));
    sm_buf_deinit(&b);
    b = nest(SM_DER_DEPTH_MAX);
    assert_sm_err(sm_der_check(sm_buf_slice(&b)), MALFORMED);
    sm_buf_deinit(&b);
    b = nest(20000);
    assert_sm_err(sm_der_check(sm_buf_slice(&b)), MALFORMED);
    sm_buf_deinit(&b);
}

static void check__every_cut_and_most_flips_are_seen(void **state)
{
    (void)state;
    X509_REQ *req = sm_test_plain_request(SM_KEY_P256, "x", "DNS:a.example");
    sm_buf der = SM_TEST_DER(X509_REQ, req);
    assert_sm_ok(sm_der_check(sm_buf_slice(&der)));
    for (size_t i = 1; i < der.len; i++) {
        assert_false(sm_ok(sm_der_check(sm_slice_first(sm_buf_slice(&der), i))));
    }
    for (size_t i = 0; i < der.len * 8; i++) { /* no crash, no endless walk */
        der.ptr[i / 8] ^= (uint8_t)(1U << (i % 8));
        (void)sm_ok(sm_der_check(sm_buf_slice(&der)));
        der.ptr[i / 8] ^= (uint8_t)(1U << (i % 8));
    }
    sm_buf_deinit(&der);
    X509_REQ_free(req);
}

/* ---- writer ---- */

static void assert_written(sm_buf *b, sm_buf want)
{
    assert_sm_ok(sm_buf_err(b));
    assert_slice(sm_buf_slice(b), sm_buf_slice(&want));
    sm_buf_deinit(&want);
    sm_buf_reset(b);
}

static void writer__writes_numbers_as_openssl_does(void **state)
{
    (void)state;
    struct sm_test_random r = {1};
    sm_buf b = sm_buf_init(1000);
    for (int i = 0; i < 2000; i++) {
        ASN1_INTEGER *want = ASN1_INTEGER_new();
        uint64_t v = ((uint64_t)sm_test_below(&r, UINT32_MAX) << 32 |
                      sm_test_below(&r, UINT32_MAX)) >>
                     (i % 64);
        assert_true(ASN1_INTEGER_set_uint64(want, v));
        sm_der_write_u64(&b, v);
        assert_written(&b, SM_TEST_DER(ASN1_INTEGER, want));
        uint8_t octets[300];
        size_t len = sm_test_below(&r, sizeof(octets));
        sm_test_octets(&r, octets, len);
        memset(octets, 0, sm_test_below(&r, (uint32_t)len + 1) / 2);
        BIGNUM *n = BN_bin2bn(octets, (int)len, NULL);
        assert_non_null(BN_to_ASN1_INTEGER(n, want));
        sm_der_write_unsigned(&b, sm_slice_of(octets, len));
        assert_written(&b, SM_TEST_DER(ASN1_INTEGER, want));
        BN_free(n);
        ASN1_INTEGER_free(want);
    }
    sm_buf_deinit(&b);
}

static void writer__writes_named_bits_as_openssl_does(void **state)
{
    (void)state;
    struct sm_test_random r = {2};
    sm_buf b = sm_buf_init(100);
    for (uint32_t i = 0; i < 1000; i++) {
        ASN1_BIT_STRING *want = ASN1_BIT_STRING_new();
        uint32_t bits = i < 512 ? i : sm_test_below(&r, UINT32_MAX);
        for (int n = 0; n < 32; n++) {
            assert_true((bits >> n & 1) == 0 || ASN1_BIT_STRING_set_bit(want, n, 1));
        }
        sm_der_write_named_bits(&b, bits);
        assert_sm_ok(sm_der_check(sm_buf_slice(&b)));
        assert_written(&b, SM_TEST_DER(ASN1_BIT_STRING, want));
        ASN1_BIT_STRING_free(want);
    }
    sm_buf_deinit(&b);
}

static void writer__writes_times_as_openssl_does(void **state)
{
    (void)state;
    static const int64_t edges[] = {0,          -1,           -631152000, -631152001, 2524607999,
                                    2524608000, 253402300799, 951782400,  4107542400};
    struct sm_test_random r = {3};
    sm_buf b = sm_buf_init(100);
    for (size_t i = 0; i < 2000; i++) {
        int64_t t = i < SM_ARRAY_LEN(edges) ? edges[i]
                                            : (int64_t)sm_test_below(&r, UINT32_MAX) * 59 +
                                                  sm_test_below(&r, 60) - 2000000000;
        ASN1_TIME *want = ASN1_TIME_set(NULL, t);
        sm_der_write_time(&b, t);
        sm_der d = sm_der_init(sm_buf_slice(&b));
        assert_int_equal(sm_der_read_time(&d), t);
        assert_written(&b, SM_TEST_DER(ASN1_TIME, want));
        ASN1_TIME_free(want);
        want = ASN1_GENERALIZEDTIME_set(NULL, t);
        sm_der_write_generalized_time(&b, t);
        assert_written(&b, SM_TEST_DER(ASN1_TIME, want));
        ASN1_TIME_free(want);
    }
    sm_buf_deinit(&b);
}

static void writer__blocks_patch_their_length(void **state)
{
    (void)state;
    for (size_t len = 0; len < 70000; len += len < 300 ? 1 : 4099) {
        sm_buf b = sm_buf_init(1 << 20);
        sm_buf want = sm_buf_init(1 << 20);
        uint8_t *content = malloc(len + 1);
        memset(content, 'x', len);
        sm_buf_put(&b, L("before"));
        sm_der_block outer = sm_der_begin(&b, SM_DER_SEQUENCE);
        sm_der_block inner = sm_der_begin(&b, SM_DER_CTX(3));
        sm_buf_put(&b, sm_slice_of(content, len));
        sm_der_end(&b, inner);
        sm_der_end(&b, outer);
        sm_buf_put(&b, L("after"));
        sm_buf element = sm_buf_init(1 << 20);
        sm_der_write(&element, SM_DER_CTX(3), sm_slice_of(content, len));
        sm_buf_put(&want, L("before"));
        sm_der_write(&want, SM_DER_SEQUENCE, sm_buf_slice(&element));
        sm_buf_put(&want, L("after"));
        assert_written(&b, want);
        free(content);
        sm_buf_deinit(&element);
        sm_buf_deinit(&b);
    }
}

static void writer__small_values(void **state)
{
    (void)state;
    sm_buf b = sm_buf_init(100);
    sm_der_write_bool(&b, true);
    sm_der_write_bool(&b, false);
    sm_der_write_null(&b);
    sm_der_write_oid(&b, L("\x2a\x03"));
    sm_der_write_bits(&b, L("\xab"));
    sm_der_write_unsigned(&b, SM_SLICE_NONE);
    sm_der_write_unsigned(&b, L("\0\0\xff"));
    assert_slice(sm_buf_slice(&b), L("\x01\x01\xff\x01\x01\x00\x05\x00\x06\x02\x2a\x03\x03\x02\x00"
                                     "\xab\x02\x01\x00\x02\x02\x00\xff"));
    sm_buf_deinit(&b);
}

static void writer__a_full_buffer_fails_and_stays_whole(void **state)
{
    (void)state;
    for (size_t cap = 0; cap < 200; cap++) {
        sm_buf b = sm_buf_init(cap);
        sm_der_block block = sm_der_begin(&b, SM_DER_SEQUENCE);
        for (int i = 0; i < 10; i++) {
            sm_der_write(&b, SM_DER_UTF8_STRING, L("0123456789abcdef"));
        }
        sm_der_end(&b, block);
        assert_int_equal(sm_ok(sm_buf_err(&b)), cap >= 183);
        assert_true(b.len <= cap);
        sm_buf_deinit(&b);
    }
}

static int drop_keys(void **state)
{
    (void)state;
    sm_test_keys_free();
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reader__reads_elements_in_turn),
        cmocka_unit_test(reader__empty_input_is_at_its_end),
        cmocka_unit_test(reader__enters_and_leaves_constructions),
        cmocka_unit_test(reader__leftovers_inside_are_a_fault_of_the_parent),
        cmocka_unit_test(reader__trailing_octets_are_a_fault),
        cmocka_unit_test(reader__refuses_bad_headers),
        cmocka_unit_test(reader__reads_lengths_of_every_size),
        cmocka_unit_test(reader__the_first_fault_stays),
        cmocka_unit_test(reader__refuses_another_tag),
        cmocka_unit_test(reader__refuses_to_go_too_deep),
        cmocka_unit_test(reader__reads_booleans),
        cmocka_unit_test(reader__refuses_integers_that_are_not_minimal),
        cmocka_unit_test(reader__reads_numbers_in_their_range),
        cmocka_unit_test(reader__takes_the_sign_octet_off),
        cmocka_unit_test(reader__reads_bit_strings_of_whole_octets),
        cmocka_unit_test(reader__reads_times_as_rfc_5280_has_them),
        cmocka_unit_test(reader__refuses_other_times),
        cmocka_unit_test(check__takes_der),
        cmocka_unit_test(check__refuses_what_is_not_der),
        cmocka_unit_test(check__bounds_the_depth),
        cmocka_unit_test(check__every_cut_and_most_flips_are_seen),
        cmocka_unit_test(writer__writes_numbers_as_openssl_does),
        cmocka_unit_test(writer__writes_named_bits_as_openssl_does),
        cmocka_unit_test(writer__writes_times_as_openssl_does),
        cmocka_unit_test(writer__blocks_patch_their_length),
        cmocka_unit_test(writer__small_values),
        cmocka_unit_test(writer__a_full_buffer_fails_and_stays_whole),
    };
    return cmocka_run_group_tests(tests, NULL, drop_keys);
}
