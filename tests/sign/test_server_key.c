/* SPDX-License-Identifier: Apache-2.0 */
/* Keys made for others: each type, its PKCS#8 as OpenSSL reads it, the request that is signed with it; wishes that are none. */
#include "tests/sign/keys.h"

#include "base/mem.h"
#include "sign/csr.h"
#include "sign/der.h"
#include "sign/oids.h"
#include "sign/server_key.h"

#include <openssl/evp.h>
#include <openssl/x509.h>

static const uint8_t subject[] = {0x30, 0x0c, 0x31, 0x0a, 0x30, 0x08, 0x06,
                                  0x03, 0x55, 0x04, 0x03, 0x0c, 0x01, 'x'};

static void server_key__every_type_is_a_pair_with_its_request(void **state)
{
    (void)state;
    const struct sm_server_key_wish wish = {.subject = sm_slice_of(subject, sizeof(subject))};
    for (enum sm_key_type type = SM_KEY_P256; type < SM_KEY_TYPE_COUNT; type++) {
        if (type == SM_KEY_RSA_3072 || type == SM_KEY_RSA_4096) {
            continue; /* as RSA-2048, and seconds to make */
        }
        static struct sm_csr csr;
        sm_buf pkcs8 = sm_buf_init_secret(SM_SERVER_KEY_MAX);
        sm_buf request = sm_buf_init(SM_CSR_MAX);
        assert_sm_ok(sm_server_key_make(type, &wish, &pkcs8, &request));
        assert_sm_ok(sm_csr_parse(sm_buf_slice(&request), &csr, NULL));
        assert_int_equal(csr.key.type, type);
        assert_true(sm_slice_equal(csr.subject, wish.subject));
        assert_sm_ok(sm_verify_now(&csr.key, csr.sig_alg, csr.info, csr.signature));
        const unsigned char *at = pkcs8.ptr;
        EVP_PKEY *pkey = d2i_AutoPrivateKey(NULL, &at, (long)pkcs8.len);
        assert_non_null(pkey);
        assert_ptr_equal(at, pkcs8.ptr + pkcs8.len);
        unsigned char *spki = NULL;
        int len = i2d_PUBKEY(pkey, &spki);
        assert_true(sm_slice_equal(sm_slice_of(spki, (size_t)len), csr.key.spki));
        OPENSSL_free(spki);
        EVP_PKEY_free(pkey);
        sm_buf_deinit(&pkcs8);
        sm_buf_deinit(&request);
    }
}

/* Subject, attributes and type come from the request, whatever its signature is. */
static void server_key__wish_is_read_of_an_unsigned_request(void **state)
{
    (void)state;
    const uint8_t attribute[] = {0x30, 0x0d, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86,
                                 0xf7, 0x0d, 0x01, 0x09, 0x07, 0x31, 0x00};
    const struct sm_server_key_wish from = {
        .subject = sm_slice_of(subject, sizeof(subject)),
        .attributes = sm_slice_of(attribute, sizeof(attribute))};
    struct sm_server_key_wish wish;
    sm_diag diag = {.reason = ""};
    sm_buf pkcs8 = sm_buf_init_secret(SM_SERVER_KEY_MAX);
    sm_buf request = sm_buf_init(SM_CSR_MAX);
    assert_sm_ok(sm_server_key_make(SM_KEY_P384, &from, &pkcs8, &request));
    request.ptr[request.len - 1] ^= 1;
    assert_sm_ok(sm_server_key_wish_read(sm_buf_slice(&request), &wish, &diag));
    assert_int_equal(wish.type, SM_KEY_P384);
    assert_true(sm_slice_equal(wish.subject, from.subject));
    assert_true(sm_slice_equal(wish.attributes, from.attributes));
    assert_null(wish.decrypt_key_id.ptr);
    for (size_t n = 0; n < request.len; n++) { /* cut anywhere it is none */
        assert_false(sm_ok(
            sm_server_key_wish_read(sm_slice_first(sm_buf_slice(&request), n), &wish, &diag)));
    }
    sm_buf_put_byte(&request, 0);
    assert_false(sm_ok(sm_server_key_wish_read(sm_buf_slice(&request), &wish, &diag)));
    sm_buf_deinit(&pkcs8);
    sm_buf_deinit(&request);
}

/* ---- what a request says of the envelope ---- */

#define SYMMETRIC SM_OID_DECRYPT_KEY_ID
#define ASYMMETRIC SM_OID_ASYMM_DECRYPT_KEY_ID

static void put_attribute(sm_buf *out, sm_slice oid, uint8_t tag, sm_slice value)
{
    sm_der_block attribute = sm_der_begin(out, SM_DER_SEQUENCE);
    sm_der_write_oid(out, oid);
    sm_der_block values = sm_der_begin(out, SM_DER_SET);
    sm_der_write(out, tag, value);
    sm_der_end(out, values);
    sm_der_end(out, attribute);
}

/* The wish of a request with these attributes, whose slices are in `request`. */
static sm_err wish_of(const sm_buf *attributes, sm_buf *request, struct sm_server_key_wish *out)
{
    const struct sm_server_key_wish from = {.subject = sm_slice_of(subject, sizeof(subject)),
                                            .attributes = sm_buf_slice(attributes)};
    sm_buf pkcs8 = sm_buf_init_secret(SM_SERVER_KEY_MAX);
    sm_diag diag = {.reason = ""};
    assert_sm_ok(sm_server_key_make(SM_KEY_P256, &from, &pkcs8, request));
    sm_buf_deinit(&pkcs8);
    return sm_server_key_wish_read(sm_buf_slice(request), out, &diag);
}

static void server_key__wish_names_a_key_and_ciphers(void **state)
{
    (void)state;
    struct sm_server_key_wish wish;
    sm_buf attributes = sm_buf_init(SM_CSR_MAX);
    sm_buf request = sm_buf_init(SM_CSR_MAX);
    sm_buf capability = sm_buf_init(64);
    sm_der_block one = sm_der_begin(&capability, SM_DER_SEQUENCE);
    sm_der_write_oid(&capability, SM_OID_AES_128_CBC);
    sm_der_end(&capability, one);
    put_attribute(&attributes, SYMMETRIC, SM_DER_OCTET_STRING, SM_LIT("key"));
    put_attribute(&attributes, SM_OID_SMIME_CAPABILITIES, SM_DER_SEQUENCE,
                  sm_buf_slice(&capability));
    assert_sm_ok(wish_of(&attributes, &request, &wish));
    assert_true(sm_slice_equal(wish.decrypt_key_id, SM_LIT("key")));
    assert_false(wish.asymmetric);
    assert_int_equal(wish.algorithms.cipher, SM_CMS_AES_128_CBC);
    sm_buf_reset(&attributes);
    sm_buf_reset(&request);
    put_attribute(&attributes, ASYMMETRIC, SM_DER_OCTET_STRING, SM_LIT("other"));
    assert_sm_ok(wish_of(&attributes, &request, &wish));
    assert_true(sm_slice_equal(wish.decrypt_key_id, SM_LIT("other")));
    assert_true(wish.asymmetric);
    assert_int_equal(wish.algorithms.cipher, SM_CMS_AES_256_CBC);
    sm_buf_reset(&attributes); /* ciphers for nothing */
    sm_buf_reset(&request);
    put_attribute(&attributes, SM_OID_SMIME_CAPABILITIES, SM_DER_SEQUENCE,
                  SM_LIT("\x30\x0a\x06\x08\x2a\x86\x48\x86\xf7\x0d\x03\x07"));
    assert_sm_ok(wish_of(&attributes, &request, &wish));
    sm_buf_deinit(&capability);
    sm_buf_deinit(&attributes);
    sm_buf_deinit(&request);
}

static void assert_refused(sm_buf *attributes)
{
    struct sm_server_key_wish wish;
    sm_buf request = sm_buf_init(SM_CSR_MAX);
    assert_false(sm_ok(wish_of(attributes, &request, &wish)));
    sm_buf_reset(attributes);
    sm_buf_deinit(&request);
}

/* Nothing is sent in the clear because what was said of its envelope was not understood. */
static void server_key__wish_that_is_not_understood_is_refused(void **state)
{
    (void)state;
    static const uint8_t long_id[SM_CMS_ID_MAX + 1];
    sm_buf attributes = sm_buf_init(SM_CSR_MAX);
    put_attribute(&attributes, SYMMETRIC, SM_DER_OCTET_STRING, SM_SLICE_NONE);
    assert_refused(&attributes);
    put_attribute(&attributes, SYMMETRIC, SM_DER_OCTET_STRING,
                  sm_slice_of(long_id, sizeof(long_id)));
    assert_refused(&attributes);
    put_attribute(&attributes, SYMMETRIC, SM_DER_UTF8_STRING, SM_LIT("key"));
    assert_refused(&attributes);
    put_attribute(&attributes, SYMMETRIC, SM_DER_OCTET_STRING, SM_LIT("key"));
    put_attribute(&attributes, ASYMMETRIC, SM_DER_OCTET_STRING, SM_LIT("key"));
    assert_refused(&attributes);
    put_attribute(&attributes, SYMMETRIC, SM_DER_OCTET_STRING, SM_LIT("key"));
    put_attribute(&attributes, SM_OID_SMIME_CAPABILITIES, SM_DER_SEQUENCE, /* DES-EDE3-CBC */
                  SM_LIT("\x30\x0a\x06\x08\x2a\x86\x48\x86\xf7\x0d\x03\x07"));
    assert_refused(&attributes);
    put_attribute(&attributes, SM_OID_SMIME_CAPABILITIES, SM_DER_SEQUENCE, SM_LIT("\x30\x0a"));
    assert_refused(&attributes);
    sm_buf_deinit(&attributes);
}

static void server_key__a_type_that_is_none_is_refused(void **state)
{
    (void)state;
    const struct sm_server_key_wish wish = {.subject = sm_slice_of(subject, sizeof(subject))};
    sm_buf pkcs8 = sm_buf_init_secret(SM_SERVER_KEY_MAX);
    sm_buf request = sm_buf_init(SM_CSR_MAX);
    assert_false(sm_ok(sm_server_key_make(SM_KEY_NONE, &wish, &pkcs8, &request)));
    assert_int_equal(pkcs8.len, 0);
    sm_buf_deinit(&pkcs8);
    sm_buf_deinit(&request);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(server_key__every_type_is_a_pair_with_its_request),
        cmocka_unit_test(server_key__wish_is_read_of_an_unsigned_request),
        cmocka_unit_test(server_key__wish_names_a_key_and_ciphers),
        cmocka_unit_test(server_key__wish_that_is_not_understood_is_refused),
        cmocka_unit_test(server_key__a_type_that_is_none_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, drop_keys);
}
