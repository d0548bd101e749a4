/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/support/ossl.h"
#include "tests/support/support.h"

#include "base/check.h"
#include "sign/der.h"
#include "sign/oids.h"

#include <openssl/objects.h>

static void assert_text(sm_slice oid, const char *want)
{
    sm_buf text = sm_buf_init(1000);
    assert_sm_ok(sm_oid_to_text(oid, &text));
    assert_int_equal(text.len, strlen(want));
    assert_memory_equal(text.ptr, want, text.len);
    sm_buf_deinit(&text);
}

static void assert_round(const char *text)
{
    sm_buf oid = sm_buf_init(1000);
    assert_sm_ok(sm_oid_from_text(sm_slice_str(text), &oid));
    assert_true(sm_oid_is_good(sm_buf_slice(&oid)));
    assert_text(sm_buf_slice(&oid), text);
    sm_buf_deinit(&oid);
}

static void oid__known_ones_are_what_openssl_says(void **state)
{
    (void)state;
    static const struct {
        sm_slice oid;
        int nid;
    } known[] = {
        {{(const uint8_t *)"\x55\x04\x03", 3}, NID_commonName},
        {{(const uint8_t *)"\x2a\x86\x48\x86\xf7\x0d\x01\x09\x0e", 9}, NID_ext_req},
    };
    const struct {
        sm_slice oid;
        int nid;
    } ours[] = {
        {SM_OID_SUBJECT_ALT_NAME, NID_subject_alt_name},
        {SM_OID_KEY_USAGE, NID_key_usage},
        {SM_OID_BASIC_CONSTRAINTS, NID_basic_constraints},
        {SM_OID_AUTHORITY_KEY_ID, NID_authority_key_identifier},
        {SM_OID_SUBJECT_KEY_ID, NID_subject_key_identifier},
        {SM_OID_EKU, NID_ext_key_usage},
        {SM_OID_AIA, NID_info_access},
        {SM_OID_CRL_DP, NID_crl_distribution_points},
        {SM_OID_NAME_CONSTRAINTS, NID_name_constraints},
        {SM_OID_CERTIFICATE_POLICIES, NID_certificate_policies},
        {SM_OID_EXTENSION_REQUEST, NID_ext_req},
        {SM_OID_MS_EXTENSION_REQUEST, NID_ms_ext_req},
        {SM_OID_CHALLENGE_PASSWORD, NID_pkcs9_challengePassword},
        {SM_OID_TLS_FEATURE, NID_tlsfeature},
        {SM_OID_SHA1, NID_sha1},
        {SM_OID_SHA256, NID_sha256},
    };
    for (size_t i = 0; i < SM_ARRAY_LEN(known); i++) {
        const ASN1_OBJECT *o = OBJ_nid2obj(known[i].nid);
        assert_true(sm_slice_equal(known[i].oid, sm_slice_of(OBJ_get0_data(o), OBJ_length(o))));
    }
    for (size_t i = 0; i < SM_ARRAY_LEN(ours); i++) {
        const ASN1_OBJECT *o = OBJ_nid2obj(ours[i].nid);
        assert_true(sm_slice_equal(ours[i].oid, sm_slice_of(OBJ_get0_data(o), OBJ_length(o))));
    }
}

static void oid__text_round_trips(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "0.0",
        "0.39",
        "1.0",
        "1.39",
        "2.0",
        "2.39",
        "2.40",
        "2.47",
        "2.48",
        "2.999",
        "2.5.29.17",
        "1.2.840.113549.1.9.14",
        "2.25.329800735698586629295641978511506172918", /* a UUID */
        "2.25.340282366920938463463374607431768211375", /* 2^128 - 81: the last that we take */
        "1.3.6.1.4.1.18446744073709551616.127.128.16383.16384",
    };
    for (size_t i = 0; i < SM_ARRAY_LEN(texts); i++) {
        assert_round(texts[i]);
    }
}

static void oid__refuses_bad_text_and_leaves_the_buffer(void **state)
{
    (void)state;
    static const char *const texts[] = {"",
                                        "1",
                                        "1.",
                                        ".1",
                                        "1..2",
                                        "1.2.",
                                        "3.1",
                                        "0.40",
                                        "1.40",
                                        "01.2",
                                        "1.02",
                                        "1.2.-3",
                                        "1.2.3a",
                                        "1 .2",
                                        "+1.2",
                                        "2.25.340282366920938463463374607431768211376",
                                        "2.25.999999999999999999999999999999999999999999",
                                        "1.2.x",
                                        "CN"};
    for (size_t i = 0; i < SM_ARRAY_LEN(texts); i++) {
        sm_buf out = sm_buf_init(100);
        sm_buf_put_byte(&out, 'k');
        assert_sm_err(sm_oid_from_text(sm_slice_str(texts[i]), &out), MALFORMED);
        assert_int_equal(out.len, 1);
        sm_buf_deinit(&out);
    }
    sm_buf out = sm_buf_init(3);
    assert_sm_err(sm_oid_from_text(SM_LIT("1.2.3.4.5.6"), &out), TOO_LARGE);
    sm_buf_deinit(&out);
}

static void oid__refuses_bad_octets(void **state)
{
    (void)state;
    static const sm_slice bad[] = {
        {NULL, 0},
        {(const uint8_t *)"\x80", 1},
        {(const uint8_t *)"\x80\x01", 2},
        {(const uint8_t *)"\x2a\x80\x01", 3},
        {(const uint8_t *)"\x2a\x81", 2},
        /* 2^128, and an arc of twenty octets */
        {(const uint8_t
              *)"\x2a\x84\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x00",
         20},
        {(const uint8_t *)"\x2a\x81\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80"
                          "\x80\x80\x00",
         21},
    };
    for (size_t i = 0; i < SM_ARRAY_LEN(bad); i++) {
        sm_buf text = sm_buf_init(100);
        assert_false(sm_oid_is_good(bad[i]));
        assert_sm_err(sm_oid_to_text(bad[i], &text), MALFORMED);
        assert_int_equal(text.len, 0);
        sm_buf_deinit(&text);
    }
    /* 2^128 - 1 */
    assert_text(
        SM_LIT("\x2a\x83\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x7f"),
        "1.2.340282366920938463463374607431768211455");
}

static void oid__agrees_with_openssl(void **state)
{
    (void)state;
    struct sm_test_random r = {7};
    for (int i = 0; i < 3000; i++) {
        char text[200];
        uint32_t first = sm_test_below(&r, 3);
        int len = snprintf(text, sizeof(text), "%u.%u", first,
                           sm_test_below(&r, first < 2 ? 40 : 100000));
        for (uint32_t n = sm_test_below(&r, 8); n > 0; n--) {
            len += snprintf(text + len, sizeof(text) - (size_t)len, ".%u",
                            sm_test_below(&r, 1U << sm_test_below(&r, 32)));
        }
        ASN1_OBJECT *o = OBJ_txt2obj(text, 1);
        assert_non_null(o);
        assert_text(sm_slice_of(OBJ_get0_data(o), OBJ_length(o)), text);
        assert_round(text);
        ASN1_OBJECT_free(o);
    }
}

/* What we call good OpenSSL's reader takes, and the other way round but for the limit of arcs. */
static void oid__random_octets_are_judged_as_openssl_does(void **state)
{
    (void)state;
    struct sm_test_random r = {8};
    for (int i = 0; i < 20000; i++) {
        uint8_t der[14] = {SM_DER_OID};
        uint32_t len = sm_test_below(&r, 12);
        der[1] = (uint8_t)len;
        for (uint32_t j = 0; j < len; j++) {
            der[2 + j] = (uint8_t)(sm_test_below(&r, 3) == 0 ? 0x80 : sm_test_below(&r, 256));
        }
        const uint8_t *p = der;
        ASN1_OBJECT *o = d2i_ASN1_OBJECT(NULL, &p, (long)len + 2);
        assert_int_equal(sm_oid_is_good(sm_slice_of(der + 2, len)), o != NULL);
        ASN1_OBJECT_free(o);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(oid__known_ones_are_what_openssl_says),
        cmocka_unit_test(oid__text_round_trips),
        cmocka_unit_test(oid__refuses_bad_text_and_leaves_the_buffer),
        cmocka_unit_test(oid__refuses_bad_octets),
        cmocka_unit_test(oid__agrees_with_openssl),
        cmocka_unit_test(oid__random_octets_are_judged_as_openssl_does),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
