/* SPDX-License-Identifier: Apache-2.0 */
/* OCSP responses as OpenSSL reads and verifies them. */
#include "base/check.h"
#include "ocsp-cache/ocsp.h"
#include "tests/support/ossl.h"
#include "tests/support/support.h"

#include <openssl/ocsp.h>
#include <string.h>

#define NOW INT64_C(1800000000)

static X509 *ca;
static uint8_t key_id[20];
static uint8_t responder[24] = {0xa2, 0x16, 0x04, 0x14}; /* ResponderID byKey */

/* A CA that answers by itself. */
static int set_up(void **state)
{
    (void)state;
    EVP_PKEY *key = sm_test_pkey(SM_KEY_P256);
    ca = X509_new();
    unsigned len = sizeof(key_id);
    X509_NAME *name = X509_get_subject_name(ca);
    bool good = X509_set_version(ca, 2) && ASN1_INTEGER_set(X509_get_serialNumber(ca), 1) &&
                X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8, (const uint8_t *)"ca", -1, -1,
                                           0) &&
                X509_set_issuer_name(ca, name) && X509_gmtime_adj(X509_getm_notBefore(ca), -100) &&
                X509_gmtime_adj(X509_getm_notAfter(ca), 86400) && X509_set_pubkey(ca, key) &&
                X509_sign(ca, key, EVP_sha256()) > 0 &&
                X509_pubkey_digest(ca, EVP_sha1(), key_id, &len);
    memcpy(responder + 4, key_id, sizeof(key_id));
    return good ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    X509_free(ca);
    sm_test_keys_free();
    return 0;
}

static OCSP_CERTID *cert_id(long serial)
{
    ASN1_INTEGER *number = ASN1_INTEGER_new();
    assert_int_equal(ASN1_INTEGER_set(number, serial), 1);
    OCSP_CERTID *id = OCSP_cert_id_new(EVP_sha1(), X509_get_subject_name(ca),
                                       X509_get0_pubkey_bitstr(ca), number);
    ASN1_INTEGER_free(number);
    return id;
}

/* The whole answer, signed by OpenSSL with the CA's key. */
static sm_buf respond(const struct sm_ocsp_response_data *data, sm_slice certificate)
{
    sm_buf tbs = sm_buf_init(1U << 20);
    sm_buf out = sm_buf_init(1U << 20);
    uint8_t signature[256];
    size_t len = sizeof(signature);
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    assert_sm_ok(sm_ocsp_write_data(&tbs, data));
    assert_int_equal(EVP_DigestSignInit(ctx, NULL, EVP_sha256(), NULL, sm_test_pkey(SM_KEY_P256)),
                     1);
    assert_int_equal(EVP_DigestSign(ctx, signature, &len, tbs.ptr, tbs.len), 1);
    assert_sm_ok(sm_ocsp_write_response(&out, sm_buf_slice(&tbs), SM_SIG_ECDSA_SHA256,
                                        sm_slice_of(signature, len), certificate));
    EVP_MD_CTX_free(ctx);
    sm_buf_deinit(&tbs);
    return out;
}

/* Read to the last octet, successful, its signature good. */
static OCSP_BASICRESP *read_verified(const sm_buf *der)
{
    const uint8_t *at = der->ptr;
    OCSP_RESPONSE *response = d2i_OCSP_RESPONSE(NULL, &at, (long)der->len);
    assert_non_null(response);
    assert_ptr_equal(at, der->ptr + der->len);
    assert_int_equal(OCSP_response_status(response), OCSP_RESPONSE_STATUS_SUCCESSFUL);
    sm_buf again = SM_TEST_DER(OCSP_RESPONSE, response);
    assert_true(sm_slice_equal(sm_buf_slice(der), sm_buf_slice(&again)));
    sm_buf_deinit(&again);
    OCSP_BASICRESP *basic = OCSP_response_get1_basic(response);
    assert_non_null(basic);
    STACK_OF(X509) *certs = sk_X509_new_null();
    assert_true(sk_X509_push(certs, ca) > 0);
    X509_STORE *store = X509_STORE_new();
    assert_int_equal(OCSP_basic_verify(basic, certs, store, OCSP_TRUSTOTHER), 1);
    X509_STORE_free(store);
    sk_X509_free(certs);
    OCSP_RESPONSE_free(response);
    return basic;
}

static int64_t seconds(const ASN1_GENERALIZEDTIME *time)
{
    struct tm tm;
    assert_non_null(time);
    assert_int_equal(ASN1_TIME_to_tm(time, &tm), 1);
    return (int64_t)timegm(&tm);
}

static void check_single(OCSP_BASICRESP *basic, int i, const struct sm_ocsp_single *want)
{
    static const int statuses[] = {V_OCSP_CERTSTATUS_GOOD, V_OCSP_CERTSTATUS_REVOKED,
                                   V_OCSP_CERTSTATUS_UNKNOWN};
    ASN1_GENERALIZEDTIME *revoked;
    ASN1_GENERALIZEDTIME *this_update;
    ASN1_GENERALIZEDTIME *next_update;
    int reason = -2;
    int status = OCSP_single_get0_status(OCSP_resp_get0(basic, i), &reason, &revoked, &this_update,
                                         &next_update);
    assert_int_equal(status, statuses[want->status]);
    assert_true(seconds(this_update) == want->this_update);
    assert_true(seconds(next_update) == want->next_update);
    if (want->status == SM_OCSP_REVOKED) {
        assert_true(seconds(revoked) == want->revoked_at);
        assert_int_equal(reason, want->reason > 0 ? want->reason : -1);
    }
}

static void response__every_status_and_reason(void **state)
{
    (void)state;
    static const int reasons[] = {-1, 0, 1, 2, 3, 4, 5, 6, 8, 9, 10};
    OCSP_CERTID *id = cert_id(7);
    sm_buf der = SM_TEST_DER(OCSP_CERTID, id);
    struct sm_ocsp_single singles[SM_ARRAY_LEN(reasons) + 2];
    for (size_t i = 0; i < SM_ARRAY_LEN(singles); i++) {
        singles[i] = (struct sm_ocsp_single){
            .cert_id = sm_buf_slice(&der),
            .status = i == 0 ? SM_OCSP_GOOD : (i == 1 ? SM_OCSP_UNKNOWN : SM_OCSP_REVOKED),
            .revoked_at = NOW - 1000 * (int64_t)i,
            .reason = i < 2 ? -1 : reasons[i - 2],
            .this_update = NOW - (int64_t)i,
            .next_update = NOW + 3600 + (int64_t)i};
    }
    const struct sm_ocsp_response_data data = {
        .responder = sm_slice_of(responder, sizeof(responder)),
        .produced_at = NOW,
        .singles = singles,
        .count = SM_ARRAY_LEN(singles)};
    sm_buf out = respond(&data, SM_SLICE_NONE);
    OCSP_BASICRESP *basic = read_verified(&out);
    assert_int_equal(OCSP_resp_count(basic), SM_ARRAY_LEN(singles));
    assert_true(seconds(OCSP_resp_get0_produced_at(basic)) == NOW);
    for (size_t i = 0; i < SM_ARRAY_LEN(singles); i++) {
        check_single(basic, (int)i, &singles[i]);
        assert_int_equal(OCSP_id_cmp(id, OCSP_SINGLERESP_get0_id(OCSP_resp_get0(basic, (int)i))),
                         0);
    }
    OCSP_BASICRESP_free(basic);
    OCSP_CERTID_free(id);
    sm_buf_deinit(&out);
    sm_buf_deinit(&der);
}

static void response__nonce_comes_back(void **state)
{
    (void)state;
    OCSP_CERTID *id = cert_id(7);
    sm_buf der = SM_TEST_DER(OCSP_CERTID, id);
    uint8_t nonce[SM_OCSP_NONCE_MAX];
    const struct sm_ocsp_single single = {
        .cert_id = sm_buf_slice(&der), .reason = -1, .this_update = NOW, .next_update = NOW + 1};
    memset(nonce, 0xa5, sizeof(nonce));
    for (size_t len = 0; len <= sizeof(nonce); len += len < 2 ? 1 : 63) {
        const struct sm_ocsp_response_data data = {
            .responder = sm_slice_of(responder, sizeof(responder)),
            .produced_at = NOW,
            .singles = &single,
            .count = 1,
            .nonce = len == 0 ? SM_SLICE_NONE : sm_slice_of(nonce, len)};
        OCSP_REQUEST *req = OCSP_REQUEST_new();
        if (len > 0) {
            assert_int_equal(OCSP_request_add1_nonce(req, nonce, (int)len), 1);
        }
        sm_buf out = respond(&data, SM_SLICE_NONE);
        OCSP_BASICRESP *basic = read_verified(&out);
        assert_int_equal(OCSP_check_nonce(req, basic), len == 0 ? 2 : 1); /* 2: neither has one */
        OCSP_BASICRESP_free(basic);
        OCSP_REQUEST_free(req);
        sm_buf_deinit(&out);
    }
    OCSP_CERTID_free(id);
    sm_buf_deinit(&der);
}

static void response__responder_certificate_comes_along(void **state)
{
    (void)state;
    OCSP_CERTID *id = cert_id(7);
    sm_buf der = SM_TEST_DER(OCSP_CERTID, id);
    sm_buf cert = SM_TEST_DER(X509, ca);
    const struct sm_ocsp_single single = {
        .cert_id = sm_buf_slice(&der), .reason = -1, .this_update = NOW, .next_update = NOW + 1};
    const struct sm_ocsp_response_data data = {
        .responder = sm_slice_of(responder, sizeof(responder)),
        .produced_at = NOW,
        .singles = &single,
        .count = 1};
    sm_buf out = respond(&data, sm_buf_slice(&cert));
    OCSP_BASICRESP *basic = read_verified(&out);
    const STACK_OF(X509) *certs = OCSP_resp_get0_certs(basic);
    assert_int_equal(sk_X509_num(certs), 1);
    assert_int_equal(X509_cmp(sk_X509_value(certs, 0), ca), 0);
    const ASN1_OCTET_STRING *id_of_key;
    const X509_NAME *name_of;
    assert_int_equal(OCSP_resp_get0_id(basic, &id_of_key, &name_of), 1);
    assert_null(name_of);
    assert_memory_equal(ASN1_STRING_get0_data(id_of_key), key_id, 20);
    OCSP_BASICRESP_free(basic);
    OCSP_CERTID_free(id);
    sm_buf_deinit(&out);
    sm_buf_deinit(&cert);
    sm_buf_deinit(&der);
}

static void response__times_at_the_calendars_ends(void **state)
{
    (void)state;
    static const int64_t times[] = {0, -1, INT64_C(253402300799), INT64_C(2524608000)};
    OCSP_CERTID *id = cert_id(7);
    sm_buf der = SM_TEST_DER(OCSP_CERTID, id);
    for (size_t i = 0; i < SM_ARRAY_LEN(times); i++) {
        const struct sm_ocsp_single single = {.cert_id = sm_buf_slice(&der),
                                              .status = SM_OCSP_REVOKED,
                                              .revoked_at = times[i],
                                              .reason = 1,
                                              .this_update = times[i],
                                              .next_update = times[i]};
        const struct sm_ocsp_response_data data = {
            .responder = sm_slice_of(responder, sizeof(responder)),
            .produced_at = times[i],
            .singles = &single,
            .count = 1};
        sm_buf out = respond(&data, SM_SLICE_NONE);
        OCSP_BASICRESP *basic = read_verified(&out);
        check_single(basic, 0, &single);
        OCSP_BASICRESP_free(basic);
        sm_buf_deinit(&out);
    }
    OCSP_CERTID_free(id);
    sm_buf_deinit(&der);
}

static void response__every_room_too_small_is_said(void **state)
{
    (void)state;
    OCSP_CERTID *id = cert_id(7);
    sm_buf der = SM_TEST_DER(OCSP_CERTID, id);
    const struct sm_ocsp_single single = {.cert_id = sm_buf_slice(&der),
                                          .status = SM_OCSP_REVOKED,
                                          .revoked_at = NOW,
                                          .reason = 1,
                                          .this_update = NOW,
                                          .next_update = NOW};
    const struct sm_ocsp_response_data data = {
        .responder = sm_slice_of(responder, sizeof(responder)),
        .produced_at = NOW,
        .singles = &single,
        .count = 1,
        .nonce = SM_LIT("12345678")};
    bool enough = false;
    for (size_t cap = 0; cap < 4096 && !enough; cap++) {
        sm_buf out = sm_buf_init(cap);
        sm_err err = sm_ocsp_write_data(&out, &data);
        enough = sm_ok(err);
        assert_true(enough || sm_err_is(err, SM_E_TOO_LARGE));
        sm_buf_deinit(&out);
    }
    assert_true(enough);
    enough = false;
    for (size_t cap = 0; cap < 4096 && !enough; cap++) {
        sm_buf out = sm_buf_init(cap);
        sm_err err = sm_ocsp_write_response(&out, SM_LIT("\x30\0"), SM_SIG_ECDSA_SHA256,
                                            SM_LIT("s"), SM_LIT("\x30\0"));
        enough = sm_ok(err);
        assert_true(enough || sm_err_is(err, SM_E_TOO_LARGE));
        sm_buf_deinit(&out);
    }
    assert_true(enough);
    OCSP_CERTID_free(id);
    sm_buf_deinit(&der);
}

static void response__errors_are_five_octets_that_openssl_reads(void **state)
{
    (void)state;
    static const enum sm_ocsp_error errors[] = {SM_OCSP_MALFORMED, SM_OCSP_INTERNAL,
                                                SM_OCSP_TRY_LATER, SM_OCSP_SIG_REQUIRED,
                                                SM_OCSP_UNAUTHORIZED};
    for (size_t i = 0; i < SM_ARRAY_LEN(errors); i++) {
        sm_slice der = sm_ocsp_error_response(errors[i]);
        const uint8_t *at = der.ptr;
        OCSP_RESPONSE *response = d2i_OCSP_RESPONSE(NULL, &at, (long)der.len);
        assert_int_equal(der.len, 5);
        assert_non_null(response);
        assert_int_equal(OCSP_response_status(response), errors[i]);
        assert_null(OCSP_response_get1_basic(response));
        OCSP_RESPONSE_free(response);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(response__every_status_and_reason),
        cmocka_unit_test(response__nonce_comes_back),
        cmocka_unit_test(response__responder_certificate_comes_along),
        cmocka_unit_test(response__times_at_the_calendars_ends),
        cmocka_unit_test(response__every_room_too_small_is_said),
        cmocka_unit_test(response__errors_are_five_octets_that_openssl_reads),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
