/* SPDX-License-Identifier: Apache-2.0 */
/* CMS as OpenSSL reads it: every signer, every recipient with every cipher; which algorithms a list of capabilities chooses. */
#include "tests/support/ossl.h"
#include "tests/support/support.h"

#include "base/check.h"
#include "sign/batch.h"
#include "sign/cms.h"
#include "sign/der.h"
#include "sign/oids.h"
#include "sign/server_key.h"

#include <openssl/cms.h>
#include <openssl/err.h>

#define NOW 1700000000
#define ROOM (256U << 10)

static const uint8_t key_id[] = {0, 1, 0xff, 'd', 'e', 'v', '7'};
#define KEY_ID sm_slice_of(key_id, sizeof(key_id))

/* ---- helpers ---- */

/* A certificate of this key, by itself. */
static sm_buf certificate_of(EVP_PKEY *pkey, enum sm_key_type type)
{
    X509 *cert = X509_new();
    X509_NAME *name = X509_get_subject_name(cert);
    const enum sm_sig_alg alg = sm_sig_alg_for(type, SM_DIGEST_NONE, false);
    assert_int_equal(X509_set_version(cert, 2), 1);
    assert_int_equal(ASN1_INTEGER_set(X509_get_serialNumber(cert), 0x80f1), 1);
    assert_int_equal(X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC,
                                                (const unsigned char *)"est.example", -1, -1, 0),
                     1);
    assert_int_equal(X509_set_issuer_name(cert, name), 1);
    assert_non_null(X509_gmtime_adj(X509_getm_notBefore(cert), -60));
    assert_non_null(X509_gmtime_adj(X509_getm_notAfter(cert), 3600));
    assert_int_equal(X509_set_pubkey(cert, pkey), 1);
    assert_true(X509_sign(cert, pkey, sm_test_md(alg)) > 0);
    sm_buf der = SM_TEST_DER(X509, cert);
    X509_free(cert);
    return der;
}

static sm_err sign_as(enum sm_key_type type, sm_slice certificate, sm_slice content, sm_buf *out)
{
    struct sm_cms_signer signer = {.certificate = certificate};
    assert_sm_ok(sm_key_of_openssl(sm_test_pkey(type), &signer.key));
    sm_err err = sm_cms_sign(&signer, SM_OID_KEY_PACKAGE, content, NOW, out);
    sm_key_detach(&signer.key);
    return err;
}

/* SignedData in a ContentInfo, as OpenSSL wants it. */
static CMS_ContentInfo *read_signed(sm_slice signed_data)
{
    sm_buf info = sm_buf_init(ROOM);
    sm_der_block outer = sm_der_begin(&info, SM_DER_SEQUENCE);
    sm_der_write_oid(&info, SM_OID_SIGNED_DATA);
    sm_der_block inner = sm_der_begin(&info, SM_DER_CTX_CONS(0));
    sm_buf_put(&info, signed_data);
    sm_der_end(&info, inner);
    sm_der_end(&info, outer);
    const unsigned char *at = info.ptr;
    CMS_ContentInfo *cms = d2i_CMS_ContentInfo(NULL, &at, (long)info.len);
    assert_non_null(cms);
    assert_ptr_equal(at, info.ptr + info.len);
    sm_buf_deinit(&info);
    return cms;
}

static void assert_octets(BIO *bio, sm_slice wanted)
{
    char *data = NULL;
    long len = BIO_get_mem_data(bio, &data);
    assert_int_equal(len, wanted.len);
    assert_memory_equal(data, wanted.ptr, wanted.len);
}

static int verify(CMS_ContentInfo *cms, BIO *out)
{
    return CMS_verify(cms, NULL, NULL, NULL, out, CMS_NO_SIGNER_CERT_VERIFY | CMS_BINARY);
}

/* ---- SignedData ---- */

static void cms_sign__openssl_verifies_every_signer(void **state)
{
    (void)state;
    static const enum sm_key_type types[] = {SM_KEY_P256, SM_KEY_P384, SM_KEY_P521, SM_KEY_RSA_2048,
                                             SM_KEY_ED25519};
    for (size_t i = 0; i < SM_ARRAY_LEN(types); i++) {
        sm_buf out = sm_buf_init(ROOM);
        sm_buf cert = certificate_of(sm_test_pkey(types[i]), types[i]);
        assert_sm_ok(sign_as(types[i], sm_buf_slice(&cert), SM_LIT("content"), &out));
        CMS_ContentInfo *cms = read_signed(sm_buf_slice(&out));
        BIO *content = BIO_new(BIO_s_mem());
        assert_int_equal(verify(cms, content), 1);
        assert_octets(content, SM_LIT("content"));
        BIO_free(content);
        CMS_ContentInfo_free(cms);
        sm_buf_deinit(&out);
        sm_buf_deinit(&cert);
    }
}

/* Whatever octet of the content, the attributes or the signature is another: it is no signature. */
static void cms_sign__what_was_changed_is_not_verified(void **state)
{
    (void)state;
    sm_buf out = sm_buf_init(ROOM);
    sm_buf cert = certificate_of(sm_test_pkey(SM_KEY_P256), SM_KEY_P256);
    assert_sm_ok(sign_as(SM_KEY_P256, sm_buf_slice(&cert), SM_LIT("content"), &out));
    const size_t content = sm_slice_search(sm_buf_slice(&out), SM_LIT("content"));
    assert_true(content < out.len);
    const size_t places[] = {content, out.len - 1, out.len - 100};
    for (size_t i = 0; i < SM_ARRAY_LEN(places); i++) {
        out.ptr[places[i]] ^= 1;
        CMS_ContentInfo *cms = read_signed(sm_buf_slice(&out));
        assert_int_not_equal(verify(cms, NULL), 1);
        CMS_ContentInfo_free(cms);
        out.ptr[places[i]] ^= 1;
    }
    ERR_clear_error();
    sm_buf_deinit(&out);
    sm_buf_deinit(&cert);
}

static void cms_sign__another_keys_certificate_is_refused(void **state)
{
    (void)state;
    sm_buf out = sm_buf_init(ROOM);
    sm_buf ed448 = certificate_of(sm_test_pkey(SM_KEY_ED448), SM_KEY_ED448);
    assert_true(sm_err_is(sign_as(SM_KEY_ED448, sm_buf_slice(&ed448), SM_LIT("x"), &out),
                          SM_E_UNSUPPORTED));
    sm_buf_deinit(&ed448);
    sm_buf cert = certificate_of(sm_test_pkey(SM_KEY_P384), SM_KEY_P384);
    assert_true(
        sm_err_is(sign_as(SM_KEY_P256, sm_buf_slice(&cert), SM_LIT("x"), &out), SM_E_INVALID));
    assert_false(sm_ok(sign_as(SM_KEY_P256, SM_LIT("no certificate"), SM_LIT("x"), &out)));
    assert_int_equal(out.len, 0);
    sm_buf_deinit(&cert);
}

/* ---- EnvelopedData ---- */

static void envelop(const struct sm_cms_recipient *r, const struct sm_cms_algorithms *a,
                    sm_slice content, sm_buf *out)
{
    sm_buf_reset(out);
    assert_sm_ok(sm_cms_envelop(r, a, SM_OID_SIGNED_DATA, content, out));
}

static CMS_ContentInfo *read_envelope(const sm_buf *der)
{
    const unsigned char *at = der->ptr;
    CMS_ContentInfo *cms = d2i_CMS_ContentInfo(NULL, &at, (long)der->len);
    assert_non_null(cms);
    assert_ptr_equal(at, der->ptr + der->len);
    assert_int_equal(OBJ_obj2nid(CMS_get0_type(cms)), NID_pkcs7_enveloped);
    assert_int_equal(OBJ_obj2nid(CMS_get0_eContentType(cms)), NID_pkcs7_signed);
    return cms;
}

static void assert_decrypts(CMS_ContentInfo *cms, sm_slice content)
{
    BIO *plain = BIO_new(BIO_s_mem());
    assert_int_equal(CMS_decrypt(cms, NULL, NULL, NULL, plain, CMS_BINARY), 1);
    assert_octets(plain, content);
    BIO_free(plain);
}

static const enum sm_cms_cipher ciphers[] = {SM_CMS_AES_128_CBC, SM_CMS_AES_192_CBC,
                                             SM_CMS_AES_256_CBC};

static void cms_envelop__openssl_opens_it_with_the_secret(void **state)
{
    (void)state;
    uint8_t secret[32];
    sm_buf out = sm_buf_init(ROOM);
    memset(secret, 0x5a, sizeof(secret));
    for (size_t len = 16; len <= 32; len += 8) {
        for (size_t i = 0; i < SM_ARRAY_LEN(ciphers); i++) {
            const struct sm_cms_recipient r = {.id = KEY_ID, .secret = sm_slice_of(secret, len)};
            const struct sm_cms_algorithms a = {.cipher = ciphers[i]};
            envelop(&r, &a, SM_LIT("a private key"), &out);
            CMS_ContentInfo *cms = read_envelope(&out);
            uint8_t id[sizeof(key_id)];
            memcpy(id, key_id, sizeof(id));
            assert_int_equal(CMS_decrypt_set1_key(cms, secret, len, id, sizeof(id)), 1);
            assert_decrypts(cms, SM_LIT("a private key"));
            CMS_ContentInfo_free(cms);
            cms = read_envelope(&out);
            id[0] ^= 1;
            assert_int_not_equal(CMS_decrypt_set1_key(cms, secret, len, id, sizeof(id)), 1);
            CMS_ContentInfo_free(cms);
        }
    }
    ERR_clear_error();
    sm_buf_deinit(&out);
}

/* The one recipient is named by the identifier. */
static void assert_named(CMS_ContentInfo *cms)
{
    STACK_OF(CMS_RecipientInfo) *list = CMS_get0_RecipientInfos(cms);
    ASN1_OCTET_STRING *id = NULL;
    assert_int_equal(sk_CMS_RecipientInfo_num(list), 1);
    CMS_RecipientInfo *r = sk_CMS_RecipientInfo_value(list, 0);
    if (CMS_RecipientInfo_type(r) == CMS_RECIPINFO_TRANS) {
        assert_int_equal(CMS_RecipientInfo_ktri_get0_signer_id(r, &id, NULL, NULL), 1);
    } else {
        STACK_OF(CMS_RecipientEncryptedKey) *keys = CMS_RecipientInfo_kari_get0_reks(r);
        assert_int_equal(sk_CMS_RecipientEncryptedKey_num(keys), 1);
        assert_int_equal(
            CMS_RecipientEncryptedKey_get0_id(sk_CMS_RecipientEncryptedKey_value(keys, 0), &id,
                                              NULL, NULL, NULL, NULL),
            1);
    }
    assert_non_null(id);
    assert_true(sm_slice_equal(
        sm_slice_of(ASN1_STRING_get0_data(id), (size_t)ASN1_STRING_length(id)), KEY_ID));
}

/* RSA's both paddings stand where curves have both hashes. */
static void cms_envelop__openssl_opens_it_with_the_private_key(void **state)
{
    (void)state;
    static const enum sm_key_type types[] = {SM_KEY_P256,     SM_KEY_P384,     SM_KEY_P521,
                                             SM_KEY_RSA_2048, SM_KEY_RSA_3072, SM_KEY_RSA_4096};
    sm_buf out = sm_buf_init(ROOM);
    for (size_t i = 0; i < SM_ARRAY_LEN(types) * SM_ARRAY_LEN(ciphers) * 2; i++) {
        EVP_PKEY *pkey = sm_test_pkey(types[i / 6]);
        sm_buf spki = SM_TEST_DER(PUBKEY, pkey);
        const struct sm_cms_recipient r = {.id = KEY_ID, .public_key = sm_buf_slice(&spki)};
        const struct sm_cms_algorithms a = {.cipher = ciphers[i / 2 % 3],
                                            .pkcs1 = i % 2 == 1,
                                            .kdf = i % 2 == 1 ? SM_SHA384 : SM_DIGEST_NONE};
        envelop(&r, &a, SM_LIT("a private key"), &out);
        CMS_ContentInfo *cms = read_envelope(&out);
        assert_named(cms);
        assert_int_equal(CMS_decrypt_set1_pkey(cms, pkey, NULL), 1);
        assert_decrypts(cms, SM_LIT("a private key"));
        CMS_ContentInfo_free(cms);
        sm_buf_deinit(&spki);
    }
    sm_buf_deinit(&out);
}

static void cms_envelop__keys_that_cannot_encrypt_are_refused(void **state)
{
    (void)state;
    const struct sm_cms_algorithms a = {.cipher = SM_CMS_AES_256_CBC};
    const struct sm_cms_recipient short_one = {.id = KEY_ID, .secret = SM_LIT("fifteen octets.")};
    sm_buf out = sm_buf_init(ROOM);
    assert_true(sm_err_is(sm_cms_envelop(&short_one, &a, SM_OID_DATA, SM_LIT("x"), &out),
                          SM_E_UNSUPPORTED));
    sm_buf spki = SM_TEST_DER(PUBKEY, sm_test_pkey(SM_KEY_ED25519));
    const struct sm_cms_recipient signer = {.id = KEY_ID, .public_key = sm_buf_slice(&spki)};
    assert_true(
        sm_err_is(sm_cms_envelop(&signer, &a, SM_OID_DATA, SM_LIT("x"), &out), SM_E_UNSUPPORTED));
    sm_buf small = sm_buf_init(100);
    const uint8_t secret[16] = {1};
    const struct sm_cms_recipient good = {.id = KEY_ID, .secret = sm_slice_of(secret, 16)};
    assert_false(sm_ok(sm_cms_envelop(&good, &a, SM_OID_DATA, SM_LIT("x"), &small)));
    sm_buf_deinit(&small);
    sm_buf_deinit(&spki);
    sm_buf_deinit(&out);
}

/* ---- capabilities ---- */

static sm_err choose(const sm_slice *oids, size_t count, struct sm_cms_algorithms *out)
{
    sm_buf list = sm_buf_init(ROOM);
    sm_der_block outer = sm_der_begin(&list, SM_DER_SEQUENCE);
    for (size_t i = 0; i < count; i++) {
        sm_der_block one = sm_der_begin(&list, SM_DER_SEQUENCE);
        sm_der_write_oid(&list, oids[i]);
        if (i % 2 == 1) {
            sm_der_write_null(&list); /* parameters choose nothing */
        }
        sm_der_end(&list, one);
    }
    sm_der_end(&list, outer);
    sm_err err = sm_cms_algorithms_read(sm_buf_slice(&list), out);
    for (size_t n = 1; n < list.len; n++) { /* cut anywhere it is none */
        struct sm_cms_algorithms cut;
        assert_false(sm_ok(sm_cms_algorithms_read(sm_slice_first(sm_buf_slice(&list), n), &cut)));
    }
    sm_buf_deinit(&list);
    return err;
}

static void cms_algorithms__the_first_of_each_kind_is_taken(void **state)
{
    (void)state;
    const sm_slice camellia = SM_LIT("\x2a\x83\x08\x8c\x9a\x4b\x3d\x01\x01\x01\x04");
    const sm_slice all[] = {camellia,
                            SM_OID_AES_192_WRAP,
                            SM_OID_AES_192_CBC,
                            SM_OID_AES_256_CBC,
                            SM_OID_RSA_ENCRYPTION,
                            SM_OID_RSAES_OAEP,
                            SM_OID_DH_SHA384_KDF};
    struct sm_cms_algorithms a;
    assert_sm_ok(choose(all, SM_ARRAY_LEN(all), &a));
    assert_int_equal(a.cipher, SM_CMS_AES_192_CBC);
    assert_true(a.pkcs1);
    assert_int_equal(a.kdf, SM_SHA384);
    assert_sm_ok(choose(&all[5], 2, &a));
    assert_int_equal(a.cipher, SM_CMS_AES_256_CBC);
    assert_false(a.pkcs1);
    assert_sm_ok(sm_cms_algorithms_read(SM_SLICE_NONE, &a));
    assert_int_equal(a.cipher, SM_CMS_AES_256_CBC);
    assert_false(a.pkcs1);
    assert_int_equal(a.kdf, SM_DIGEST_NONE);
    assert_true(sm_err_is(choose(&camellia, 1, &a), SM_E_UNSUPPORTED));
}

/* ---- a key in its envelope ---- */

/* Opened, verified, and the package of one key inside. */
static void server_key__its_envelope_is_signed_and_encrypted(void **state)
{
    (void)state;
    uint8_t secret[32] = {7};
    sm_buf cert = certificate_of(sm_test_pkey(SM_KEY_P256), SM_KEY_P256);
    sm_buf above = certificate_of(sm_test_pkey(SM_KEY_P384), SM_KEY_P384);
    const sm_slice chain[] = {sm_buf_slice(&above)};
    sm_buf out = sm_buf_init(SM_SERVER_KEY_ENVELOPE_MAX);
    struct sm_cms_signer signer = {
        .certificate = sm_buf_slice(&cert), .chain = chain, .chain_count = 1};
    const struct sm_cms_recipient r = {.id = KEY_ID, .secret = sm_slice_of(secret, 32)};
    const struct sm_cms_algorithms a = {.cipher = SM_CMS_AES_256_CBC};
    assert_sm_ok(sm_key_of_openssl(sm_test_pkey(SM_KEY_P256), &signer.key));
    assert_sm_ok(sm_server_key_envelop(SM_LIT("\x30\x03\x02\x01\x05"), &signer, &r, &a, NOW, &out));
    sm_key_detach(&signer.key);
    CMS_ContentInfo *cms = read_envelope(&out);
    BIO *plain = BIO_new(BIO_s_mem());
    BIO *package = BIO_new(BIO_s_mem());
    char *data = NULL;
    assert_int_equal(CMS_decrypt_set1_key(cms, secret, 32, NULL, 0), 1);
    assert_int_equal(CMS_decrypt(cms, NULL, NULL, NULL, plain, CMS_BINARY), 1);
    long len = BIO_get_mem_data(plain, &data);
    CMS_ContentInfo *inner = read_signed(sm_slice_of((const uint8_t *)data, (size_t)len));
    assert_int_equal(verify(inner, package), 1);
    assert_octets(package, SM_LIT("\x30\x05\x30\x03\x02\x01\x05"));
    STACK_OF(X509) *certificates = CMS_get1_certs(inner);
    assert_int_equal(sk_X509_num(certificates), 2);
    sk_X509_pop_free(certificates, X509_free);
    BIO_free(plain);
    BIO_free(package);
    CMS_ContentInfo_free(inner);
    CMS_ContentInfo_free(cms);
    sm_buf_deinit(&out);
    sm_buf_deinit(&cert);
    sm_buf_deinit(&above);
}

static int tear_down(void **state)
{
    (void)state;
    sm_test_keys_free();
    sm_sign_thread_deinit();
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cms_sign__openssl_verifies_every_signer),
        cmocka_unit_test(cms_sign__what_was_changed_is_not_verified),
        cmocka_unit_test(cms_sign__another_keys_certificate_is_refused),
        cmocka_unit_test(cms_envelop__openssl_opens_it_with_the_secret),
        cmocka_unit_test(cms_envelop__openssl_opens_it_with_the_private_key),
        cmocka_unit_test(cms_envelop__keys_that_cannot_encrypt_are_refused),
        cmocka_unit_test(cms_algorithms__the_first_of_each_kind_is_taken),
        cmocka_unit_test(server_key__its_envelope_is_signed_and_encrypted),
    };
    return cmocka_run_group_tests(tests, NULL, tear_down);
}
