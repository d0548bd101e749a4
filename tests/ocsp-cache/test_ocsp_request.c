/* SPDX-License-Identifier: Apache-2.0 */
/* OCSP requests beside OpenSSL's writer and reader: what comes out, and what is refused. */
#include "base/check.h"
#include "base/mem.h"
#include "ocsp-cache/ocsp.h"
#include "sign/der.h"
#include "sign/oids.h"
#include "tests/support/ossl.h"
#include "tests/support/support.h"

#include <openssl/ocsp.h>
#include <string.h>

static struct sm_ocsp_request request;

/* From memory of the exact size. */
static sm_err parse(sm_slice der)
{
    uint8_t *copy = sm_malloc(der.len);
    memcpy(copy, der.ptr, der.len);
    sm_err err = sm_ocsp_request_parse(sm_slice_of(copy, der.len), &request);
    sm_free(copy);
    return err;
}

static OCSP_CERTID *cert_id(const EVP_MD *md, const char *serial)
{
    X509_NAME *name = X509_NAME_new();
    BIGNUM *number = NULL;
    assert_int_equal(
        X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8, (const uint8_t *)"ca", -1, -1, 0), 1);
    assert_true(BN_hex2bn(&number, serial) > 0);
    ASN1_INTEGER *integer = BN_to_ASN1_INTEGER(number, NULL);
    ASN1_BIT_STRING *key = ASN1_BIT_STRING_new();
    assert_int_equal(ASN1_BIT_STRING_set(key, (uint8_t *)(uintptr_t) "key", 3), 1);
    OCSP_CERTID *id = OCSP_cert_id_new(md, name, key, integer);
    assert_non_null(id);
    ASN1_BIT_STRING_free(key);
    ASN1_INTEGER_free(integer);
    BN_free(number);
    X509_NAME_free(name);
    return id;
}

static sm_buf make(const EVP_MD *md, const char *serial, size_t count, int nonce)
{
    OCSP_REQUEST *req = OCSP_REQUEST_new();
    for (size_t i = 0; i < count; i++) {
        assert_non_null(OCSP_request_add0_id(req, cert_id(md, serial)));
    }
    if (nonce > 0) {
        uint8_t octets[512];
        memset(octets, 0x5a, sizeof(octets));
        assert_int_equal(OCSP_request_add1_nonce(req, octets, nonce), 1);
    }
    sm_buf der = SM_TEST_DER(OCSP_REQUEST, req);
    OCSP_REQUEST_free(req);
    return der;
}

/* ---- what OpenSSL writes ---- */

static void request__parts_are_those_that_were_written(void **state)
{
    (void)state;
    static const struct {
        const EVP_MD *(*md)(void);
        enum sm_ocsp_hash hash;
        size_t len;
    } hashes[] = {{EVP_sha1, SM_OCSP_SHA1, 20},
                  {EVP_sha256, SM_OCSP_SHA256, 32},
                  {EVP_sha384, SM_OCSP_OTHER, 48}};
    for (size_t i = 0; i < SM_ARRAY_LEN(hashes); i++) {
        sm_buf der = make(hashes[i].md(), "80ffee", 1, 0);
        assert_sm_ok(sm_ocsp_request_parse(sm_buf_slice(&der), &request));
        assert_int_equal(request.count, 1);
        assert_null(request.nonce.ptr);
        assert_int_equal(request.certs[0].hash, hashes[i].hash);
        assert_int_equal(request.certs[0].name_hash.len, hashes[i].len);
        assert_int_equal(request.certs[0].key_hash.len, hashes[i].len);
        assert_true(sm_slice_equal(request.certs[0].serial, SM_LIT("\x80\xff\xee")));
        OCSP_CERTID *id = cert_id(hashes[i].md(), "80ffee");
        sm_buf want = SM_TEST_DER(OCSP_CERTID, id);
        assert_true(sm_slice_equal(request.certs[0].der, sm_buf_slice(&want)));
        OCSP_CERTID_free(id);
        sm_buf_deinit(&want);
        sm_buf_deinit(&der);
    }
}

static void request__serial_numbers(void **state)
{
    (void)state;
    static const char *const serials[] = {"00",
                                          "01",
                                          "7f",
                                          "80",
                                          "ff",
                                          "0100",
                                          "ffffffffffffffffffffffffffffffffffffffff",
                                          "7fffffffffffffffffffffffffffffffffffffffff"};
    for (size_t i = 0; i < SM_ARRAY_LEN(serials); i++) {
        sm_buf der = make(EVP_sha1(), serials[i], 1, 0);
        assert_sm_ok(sm_ocsp_request_parse(sm_buf_slice(&der), &request));
        char hex[80] = "";
        for (size_t j = 0; j < request.certs[0].serial.len; j++) {
            (void)snprintf(hex + 2 * j, 3, "%02x", request.certs[0].serial.ptr[j]);
        }
        assert_true(strcmp(hex, serials[i]) == 0 || (i == 0 && hex[0] == '\0'));
        sm_buf_deinit(&der);
    }
}

static void request__at_most_so_many_certificates(void **state)
{
    (void)state;
    for (size_t count = 1; count <= SM_OCSP_CERTS_MAX + 2; count++) {
        sm_buf der = make(EVP_sha1(), "1234", count, 16);
        sm_err err = parse(sm_buf_slice(&der));
        if (count <= SM_OCSP_CERTS_MAX) {
            assert_sm_ok(err);
            assert_int_equal(request.count, count);
        } else {
            assert_sm_err(err, TOO_LARGE);
        }
        sm_buf_deinit(&der);
    }
    sm_buf der = make(EVP_sha1(), "1234", 0, 0);
    assert_sm_err(parse(sm_buf_slice(&der)), MALFORMED);
    sm_buf_deinit(&der);
}

static void request__nonce_of_1_to_128_octets(void **state)
{
    (void)state;
    static const int sizes[] = {1, 8, 16, 32, 127, 128, 129, 255, 512};
    for (size_t i = 0; i < SM_ARRAY_LEN(sizes); i++) {
        sm_buf der = make(EVP_sha1(), "1234", 1, sizes[i]);
        if (sizes[i] <= SM_OCSP_NONCE_MAX) {
            assert_sm_ok(sm_ocsp_request_parse(sm_buf_slice(&der), &request));
            assert_int_equal(request.nonce.len, sizes[i]);
            assert_int_equal(request.nonce.ptr[0], 0x5a);
        } else {
            assert_sm_err(parse(sm_buf_slice(&der)), MALFORMED);
        }
        sm_buf_deinit(&der);
    }
}

static void request__signed_ones_are_read_without_the_signature(void **state)
{
    (void)state;
    OCSP_REQUEST *req = OCSP_REQUEST_new();
    X509 *cert = X509_new();
    assert_non_null(OCSP_request_add0_id(req, cert_id(EVP_sha1(), "05")));
    assert_int_equal(X509_set_pubkey(cert, sm_test_pkey(SM_KEY_P256)), 1);
    assert_int_equal(
        OCSP_request_sign(req, cert, sm_test_pkey(SM_KEY_P256), EVP_sha256(), NULL, OCSP_NOCERTS),
        1);
    sm_buf der = SM_TEST_DER(OCSP_REQUEST, req);
    assert_sm_ok(parse(sm_buf_slice(&der)));
    assert_int_equal(request.count, 1);
    sm_buf_deinit(&der);
    X509_free(cert);
    OCSP_REQUEST_free(req);
    sm_test_keys_free();
}

/* RFC 6960 4.4: an extension of one certificate's question, too, is passed over unless it is critical. */
static void request__extensions_of_one_certificate(void **state)
{
    (void)state;
    for (int critical = 0; critical <= 1; critical++) {
        OCSP_REQUEST *req = OCSP_REQUEST_new();
        OCSP_ONEREQ *one = OCSP_request_add0_id(req, cert_id(EVP_sha1(), "05"));
        ASN1_OCTET_STRING *value = ASN1_OCTET_STRING_new();
        assert_non_null(one);
        assert_int_equal(ASN1_OCTET_STRING_set(value, (const uint8_t *)"\x05", 2), 1);
        X509_EXTENSION *ext = X509_EXTENSION_create_by_NID(NULL, NID_id_pkix_OCSP_serviceLocator,
                                                           critical, value);
        assert_int_equal(OCSP_ONEREQ_add_ext(one, ext, -1), 1);
        sm_buf der = SM_TEST_DER(OCSP_REQUEST, req);
        if (critical) {
            assert_sm_err(parse(sm_buf_slice(&der)), MALFORMED);
        } else {
            assert_sm_ok(parse(sm_buf_slice(&der)));
        }
        sm_buf_deinit(&der);
        X509_EXTENSION_free(ext);
        ASN1_OCTET_STRING_free(value);
        OCSP_REQUEST_free(req);
    }
}

/* ---- what nobody writes ---- */

static void request__cut_and_lengthened_ones_are_refused(void **state)
{
    (void)state;
    sm_buf der = make(EVP_sha1(), "1234", 2, 16);
    for (size_t len = 0; len < der.len; len++) {
        assert_int_equal(sm_err_category(parse(sm_slice_of(der.ptr, len))), SM_INPUT);
    }
    sm_buf longer = sm_buf_init(der.len + 1);
    sm_buf_put(&longer, sm_buf_slice(&der));
    sm_buf_put_byte(&longer, 0);
    assert_int_equal(longer.len, der.len + 1);
    assert_int_equal(sm_err_category(parse(sm_buf_slice(&longer))), SM_INPUT);
    sm_buf_deinit(&longer);
    sm_buf_deinit(&der);
}

/* What we take with an octet changed, OpenSSL takes too, with the same number of certificates. */
static void request__bent_ones_are_refused_or_openssl_takes_them(void **state)
{
    (void)state;
    sm_buf der = make(EVP_sha256(), "1234", 2, 16);
    size_t taken = 0;
    for (size_t i = 0; i < der.len; i++) {
        for (unsigned v = 1; v < 256; v++) {
            der.ptr[i] ^= (uint8_t)v;
            if (sm_ok(parse(sm_buf_slice(&der)))) {
                const uint8_t *at = der.ptr;
                OCSP_REQUEST *theirs = d2i_OCSP_REQUEST(NULL, &at, (long)der.len);
                if (theirs == NULL) {
                    print_error("octet %zu ^ %02x\n", i, v);
                }
                assert_non_null(theirs);
                assert_int_equal(OCSP_request_onereq_count(theirs), request.count);
                OCSP_REQUEST_free(theirs);
                taken++;
            }
            der.ptr[i] ^= (uint8_t)v;
        }
    }
    assert_true(taken > 1000); /* hashes, serial numbers and the nonce may be anything */
    sm_buf_deinit(&der);
}

/* A request made by hand: `version`, `before` the list, `id` in it, `extensions` behind it. */
static sm_err by_hand(sm_slice before, sm_slice extra, sm_slice extensions)
{
    sm_buf out = sm_buf_init(4096);
    OCSP_CERTID *id = cert_id(EVP_sha1(), "05");
    sm_buf der = SM_TEST_DER(OCSP_CERTID, id);
    sm_der_block all = sm_der_begin(&out, SM_DER_SEQUENCE);
    sm_der_block tbs = sm_der_begin(&out, SM_DER_SEQUENCE);
    sm_buf_put(&out, before);
    sm_der_block list = sm_der_begin(&out, SM_DER_SEQUENCE);
    sm_der_block one = sm_der_begin(&out, SM_DER_SEQUENCE);
    sm_buf_put(&out, sm_buf_slice(&der));
    sm_buf_put(&out, extra);
    sm_der_end(&out, one);
    sm_der_end(&out, list);
    sm_buf_put(&out, extensions);
    sm_der_end(&out, tbs);
    sm_der_end(&out, all);
    sm_err err = parse(sm_buf_slice(&out));
    OCSP_CERTID_free(id);
    sm_buf_deinit(&der);
    sm_buf_deinit(&out);
    return err;
}

static void request__versions(void **state)
{
    (void)state;
    assert_sm_ok(by_hand(SM_SLICE_NONE, SM_SLICE_NONE, SM_SLICE_NONE));
    assert_sm_ok(by_hand(SM_LIT("\xa0\3\2\1\0"), SM_SLICE_NONE, SM_SLICE_NONE)); /* v1, written */
    assert_sm_err(by_hand(SM_LIT("\xa0\3\2\1\1"), SM_SLICE_NONE, SM_SLICE_NONE), MALFORMED);
    assert_sm_err(by_hand(SM_LIT("\xa0\0"), SM_SLICE_NONE, SM_SLICE_NONE), MALFORMED);
    assert_sm_err(by_hand(SM_LIT("\xa0\2\2\0"), SM_SLICE_NONE, SM_SLICE_NONE), MALFORMED);
    assert_sm_err(by_hand(SM_LIT("\xa0\3\4\1\0"), SM_SLICE_NONE, SM_SLICE_NONE), MALFORMED);
    assert_sm_err(by_hand(SM_LIT("\xa0\6\2\1\0\2\1\0"), SM_SLICE_NONE, SM_SLICE_NONE), MALFORMED);
    assert_sm_err(by_hand(SM_LIT("\xa0\3\2\1\xff"), SM_SLICE_NONE, SM_SLICE_NONE), MALFORMED);
}

static void request__names_and_single_extensions_are_passed_over(void **state)
{
    (void)state;
    assert_sm_ok(by_hand(SM_LIT("\xa1\5\x82\3.a."), SM_SLICE_NONE, SM_SLICE_NONE));
    assert_sm_ok(by_hand(SM_SLICE_NONE, SM_LIT("\xa0\2\x30\0"), SM_SLICE_NONE));
    assert_int_equal(sm_err_category(by_hand(SM_SLICE_NONE, SM_LIT("\xa1\2\x30\0"), SM_SLICE_NONE)),
                     SM_INPUT);
    assert_int_equal(sm_err_category(by_hand(SM_LIT("\xa3\0"), SM_SLICE_NONE, SM_SLICE_NONE)),
                     SM_INPUT);
}

#define NONCE_OID "\6\x09\x2b\6\1\5\5\7\x30\1\2"

static void request__extensions(void **state)
{
    (void)state;
    /* unknown, not critical: passed over; critical: refused (RFC 6960 4.1.2) */
    assert_sm_ok(by_hand(SM_SLICE_NONE, SM_SLICE_NONE,
                         SM_LIT("\xa2\x0c\x30\x0a\x30\x08\6\2\x2a\3\4\2\5\0")));
    assert_sm_err(by_hand(SM_SLICE_NONE, SM_SLICE_NONE,
                          SM_LIT("\xa2\x0f\x30\x0d\x30\x0b\6\2\x2a\3\1\1\xff\4\2\5\0")),
                  MALFORMED);
    /* a nonce, also when critical */
    assert_sm_ok(by_hand(SM_SLICE_NONE, SM_SLICE_NONE,
                         SM_LIT("\xa2\x14\x30\x12\x30\x10" NONCE_OID "\4\3\4\1\7")));
    assert_sm_ok(by_hand(SM_SLICE_NONE, SM_SLICE_NONE,
                         SM_LIT("\xa2\x17\x30\x15\x30\x13" NONCE_OID "\1\1\xff\4\3\4\1\7")));
    /* an empty one, one that is no OCTET STRING, one with octets behind it */
    assert_sm_err(by_hand(SM_SLICE_NONE, SM_SLICE_NONE,
                          SM_LIT("\xa2\x13\x30\x11\x30\x0f" NONCE_OID "\4\2\4\0")),
                  MALFORMED);
    assert_int_equal(
        sm_err_category(by_hand(SM_SLICE_NONE, SM_SLICE_NONE,
                                SM_LIT("\xa2\x14\x30\x12\x30\x10" NONCE_OID "\4\3\2\1\7"))),
        SM_INPUT);
    assert_int_equal(
        sm_err_category(by_hand(SM_SLICE_NONE, SM_SLICE_NONE,
                                SM_LIT("\xa2\x15\x30\x13\x30\x11" NONCE_OID "\4\4\4\1\7\0"))),
        SM_INPUT);
    /* two nonces: which would be answered? */
    assert_sm_err(by_hand(SM_SLICE_NONE, SM_SLICE_NONE,
                          SM_LIT("\xa2\x26\x30\x24\x30\x10" NONCE_OID "\4\3\4\1\7\x30\x10" NONCE_OID
                                 "\4\3\4\1\x08")),
                  MALFORMED);
    assert_int_equal(sm_err_category(by_hand(SM_SLICE_NONE, SM_SLICE_NONE, SM_LIT("\xa2\0"))),
                     SM_INPUT);
    assert_int_equal(sm_err_category(by_hand(SM_SLICE_NONE, SM_SLICE_NONE, SM_LIT("\xa4\0"))),
                     SM_INPUT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(request__parts_are_those_that_were_written),
        cmocka_unit_test(request__serial_numbers),
        cmocka_unit_test(request__at_most_so_many_certificates),
        cmocka_unit_test(request__nonce_of_1_to_128_octets),
        cmocka_unit_test(request__signed_ones_are_read_without_the_signature),
        cmocka_unit_test(request__extensions_of_one_certificate),
        cmocka_unit_test(request__cut_and_lengthened_ones_are_refused),
        cmocka_unit_test(request__bent_ones_are_refused_or_openssl_takes_them),
        cmocka_unit_test(request__versions),
        cmocka_unit_test(request__names_and_single_extensions_are_passed_over),
        cmocka_unit_test(request__extensions),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
