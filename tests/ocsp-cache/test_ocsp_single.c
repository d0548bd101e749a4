/* SPDX-License-Identifier: Apache-2.0 */
/* The answer about one certificate against the general writer, octet by octet, and against OpenSSL. */
#include "tests/support/support.h"

#include "base/check.h"
#include "base/rand.h"
#include "ocsp-cache/ocsp_single.h"
#include "sign/batch.h"
#include "sign/der.h"

#include <openssl/ocsp.h>
#include <openssl/x509.h>

#define NOW INT64_C(1790000000)

static const uint8_t name_sha1[20] = {1};
static const uint8_t key_sha1[20] = {2};
static const uint8_t name_sha256[32] = {3};
static const uint8_t key_sha256[32] = {4};
static struct sm_ocsp_issuer issuer;
static uint8_t by_key[24] = {0xa2, 0x16, 0x04, 0x14, 9};
static uint8_t by_name[300];
static uint8_t certificate[700];

static int set_up(void **state)
{
    (void)state;
    sm_ocsp_issuer_init(&issuer, 7, 1, name_sha1, key_sha1, name_sha256, key_sha256);
    memset(certificate, 0x5a, sizeof(certificate));
    memset(by_name, 0x31, sizeof(by_name));
    return 0;
}

static struct sm_ocsp_signer signer_of(enum sm_key_type type, bool named, size_t cert_len)
{
    return (struct sm_ocsp_signer){
        .id = 5,
        .alg = sm_sig_alg_for(type, SM_DIGEST_NONE, false),
        .type = type,
        .responder = named ? sm_slice_of(by_name, sizeof(by_name))
                           : sm_slice_of(by_key, sizeof(by_key)),
        .certificate = sm_slice_of(certificate, cert_len),
        .not_after = NOW + 86400,
    };
}

static sm_buf general_data(const struct sm_ocsp_signer *signer, enum sm_ocsp_hash hash,
                           sm_slice serial, const struct sm_ocsp_said *said)
{
    sm_buf id = sm_buf_init(4096);
    sm_buf out = sm_buf_init(8192);
    assert_sm_ok(sm_ocsp_cert_id_write(&issuer, hash, serial, &id));
    const struct sm_ocsp_single single = {.cert_id = sm_buf_slice(&id),
                                          .status = said->status,
                                          .revoked_at = said->revoked_at,
                                          .reason = said->reason,
                                          .this_update = said->this_update,
                                          .next_update = said->next_update};
    const struct sm_ocsp_response_data data = {.responder = signer->responder,
                                               .produced_at = said->produced_at,
                                               .singles = &single,
                                               .count = 1};
    assert_sm_ok(sm_ocsp_write_data(&out, &data));
    sm_buf_deinit(&id);
    return out;
}

static void assert_same(const struct sm_ocsp_signer *signer, enum sm_ocsp_hash hash,
                        sm_slice serial, const struct sm_ocsp_said *said, sm_slice signature)
{
    uint8_t kept_octets[SM_OCSP_SIGNATURE_MAX];
    sm_buf wanted = general_data(signer, hash, serial, said);
    sm_buf got = sm_buf_init(16384);
    assert_sm_ok(sm_ocsp_single_data(&issuer, hash, serial, signer, said, &got));
    assert_true(sm_slice_equal(sm_buf_slice(&got), sm_buf_slice(&wanted)));

    sm_buf whole = sm_buf_init(32768);
    assert_sm_ok(sm_ocsp_write_response(&whole, sm_buf_slice(&wanted), signer->alg, signature,
                                        signer->certificate));
    size_t len = sm_ocsp_signature_keep(signer, signature, kept_octets);
    assert_true(len > 0 && len <= sm_ocsp_signature_room(signer));
    const struct sm_ocsp_kept kept = {*said, signer->id, sm_slice_of(kept_octets, len)};
    sm_buf_reset(&got);
    assert_sm_ok(sm_ocsp_single_response(&issuer, hash, serial, signer, &kept, &got));
    assert_true(sm_slice_equal(sm_buf_slice(&got), sm_buf_slice(&whole)));
    sm_buf_deinit(&wanted);
    sm_buf_deinit(&got);
    sm_buf_deinit(&whole);
}

/* A signature of the shape that the algorithm has; ECDSA with short numbers now and then. */
static sm_slice make_signature(enum sm_key_type type, sm_buf *out)
{
    sm_key *key;
    assert_sm_ok(sm_key_generate(type, &key));
    assert_sm_ok(
        sm_sign_now(key, sm_sig_alg_for(type, SM_DIGEST_NONE, false), SM_LIT("message"), out));
    sm_key_detach(&key);
    return sm_buf_slice(out);
}

static void ocsp_single__is_what_the_general_writer_writes(void **state)
{
    (void)state;
    static const enum sm_key_type types[] = {SM_KEY_P256,     SM_KEY_P384,    SM_KEY_P521,
                                             SM_KEY_RSA_2048, SM_KEY_ED25519, SM_KEY_ML_DSA_44};
    static const size_t cert_lens[] = {0, 100, 126, 127, 128, 254, 255, 256, 700};
    for (size_t t = 0; t < SM_ARRAY_LEN(types); t++) {
        sm_buf signature = sm_buf_init(SM_SIGNATURE_MAX);
        sm_slice octets = make_signature(types[t], &signature);
        for (size_t c = 0; c < SM_ARRAY_LEN(cert_lens); c++) {
            struct sm_ocsp_signer signer = signer_of(types[t], c % 2 == 1, cert_lens[c]);
            const struct sm_ocsp_said said = {SM_OCSP_GOOD, -1, 0, NOW, NOW - 300, NOW + 3600};
            assert_same(&signer, SM_OCSP_SHA1, SM_LIT("\x12\x34"), &said, octets);
            assert_same(&signer, SM_OCSP_SHA256, SM_LIT("\x92\x34"), &said, octets);
        }
        sm_buf_deinit(&signature);
    }
}

static void ocsp_single__says_every_status_reason_and_serial(void **state)
{
    (void)state;
    uint8_t serial[SM_OCSP_SERIAL_MAX];
    struct sm_ocsp_signer signer = signer_of(SM_KEY_P256, false, 300);
    sm_buf signature = sm_buf_init(SM_SIGNATURE_MAX);
    sm_slice octets = make_signature(SM_KEY_P256, &signature);
    for (int status = 0; status <= SM_OCSP_UNKNOWN; status++) {
        for (int reason = -1; reason <= 10; reason++) {
            for (size_t len = 1; len <= sizeof(serial); len++) {
                memset(serial, 0x11, sizeof(serial));
                serial[0] = len % 2 == 0 ? 0x80 : 0x7f;
                const struct sm_ocsp_said said = {
                    (enum sm_ocsp_status)status, reason, NOW - 5000, NOW, NOW - 300, NOW + 3600};
                assert_same(&signer, SM_OCSP_SHA1, sm_slice_of(serial, len), &said, octets);
            }
        }
    }
    sm_buf_deinit(&signature);
}

static void ocsp_single__refuses_serials_that_no_ca_has(void **state)
{
    (void)state;
    uint8_t serial[SM_OCSP_SERIAL_MAX + 1] = {1};
    struct sm_ocsp_signer signer = signer_of(SM_KEY_P256, false, 0);
    const struct sm_ocsp_said said = {SM_OCSP_GOOD, -1, 0, NOW, NOW, NOW + 1};
    sm_buf out = sm_buf_init(4096);
    assert_sm_err(sm_ocsp_single_data(&issuer, SM_OCSP_SHA1, SM_SLICE_NONE, &signer, &said, &out),
                  INVALID);
    assert_sm_err(sm_ocsp_single_data(&issuer, SM_OCSP_SHA1, sm_slice_of(serial, sizeof(serial)),
                                      &signer, &said, &out),
                  INVALID);
    assert_sm_err(sm_ocsp_single_data(&issuer, SM_OCSP_OTHER, SM_LIT("\x01"), &signer, &said, &out),
                  INVALID);
    assert_int_equal(out.len, 0);
    sm_buf_deinit(&out);
}

static void ocsp_single__refuses_signatures_of_another_signer(void **state)
{
    (void)state;
    uint8_t octets[SM_OCSP_SIGNATURE_MAX] = {1};
    struct sm_ocsp_signer signer = signer_of(SM_KEY_P256, false, 0);
    const struct sm_ocsp_kept kept = {
        {SM_OCSP_GOOD, -1, 0, NOW, NOW, NOW + 1}, 5, sm_slice_of(octets, 96)};
    sm_buf out = sm_buf_init(4096);
    assert_sm_err(
        sm_ocsp_single_response(&issuer, SM_OCSP_SHA1, SM_LIT("\x01"), &signer, &kept, &out),
        CORRUPT);
    assert_int_equal(sm_ocsp_signature_keep(&signer, SM_LIT("\x30\x03\x02\x01\x01"), octets), 0);
    sm_buf_deinit(&out);
}

/* What OpenSSL reads of it, and that its signature verifies. */
static void ocsp_single__is_read_and_verified_by_openssl(void **state)
{
    (void)state;
    uint8_t kept_octets[SM_OCSP_SIGNATURE_MAX];
    struct sm_ocsp_signer signer = signer_of(SM_KEY_P256, false, 0);
    const struct sm_ocsp_said said = {SM_OCSP_REVOKED, 4, NOW - 60, NOW, NOW - 300, NOW + 3600};
    sm_buf data = sm_buf_init(4096);
    sm_buf whole = sm_buf_init(4096);
    sm_buf signature = sm_buf_init(SM_SIGNATURE_MAX);
    sm_key *key;
    assert_sm_ok(sm_key_generate(SM_KEY_P256, &key));
    assert_sm_ok(
        sm_ocsp_single_data(&issuer, SM_OCSP_SHA256, SM_LIT("\x99"), &signer, &said, &data));
    assert_sm_ok(sm_sign_now(key, signer.alg, sm_buf_slice(&data), &signature));
    size_t len = sm_ocsp_signature_keep(&signer, sm_buf_slice(&signature), kept_octets);
    const struct sm_ocsp_kept kept = {said, 5, sm_slice_of(kept_octets, len)};
    assert_sm_ok(
        sm_ocsp_single_response(&issuer, SM_OCSP_SHA256, SM_LIT("\x99"), &signer, &kept, &whole));
    const unsigned char *at = whole.ptr;
    OCSP_RESPONSE *response = d2i_OCSP_RESPONSE(NULL, &at, (long)whole.len);
    assert_non_null(response);
    assert_ptr_equal(at, whole.ptr + whole.len);
    assert_int_equal(OCSP_response_status(response), OCSP_RESPONSE_STATUS_SUCCESSFUL);
    OCSP_BASICRESP *basic = OCSP_response_get1_basic(response);
    assert_int_equal(OCSP_resp_count(basic), 1);
    int reason = -1;
    assert_int_equal(OCSP_single_get0_status(OCSP_resp_get0(basic, 0), &reason, NULL, NULL, NULL),
                     V_OCSP_CERTSTATUS_REVOKED);
    assert_int_equal(reason, 4);
    sm_slice spki = sm_key_public(key)->spki;
    const unsigned char *k = spki.ptr;
    EVP_PKEY *public_key = d2i_PUBKEY(NULL, &k, (long)spki.len);
    const ASN1_OCTET_STRING *sig = OCSP_resp_get0_signature(basic);
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    assert_int_equal(EVP_DigestVerifyInit(ctx, NULL, EVP_sha256(), NULL, public_key), 1);
    assert_int_equal(EVP_DigestVerify(ctx, ASN1_STRING_get0_data(sig),
                                      (size_t)ASN1_STRING_length(sig), data.ptr, data.len),
                     1);
    EVP_MD_CTX_free(ctx);
    EVP_PKEY_free(public_key);
    OCSP_BASICRESP_free(basic);
    OCSP_RESPONSE_free(response);
    sm_key_detach(&key);
    sm_buf_deinit(&data);
    sm_buf_deinit(&whole);
    sm_buf_deinit(&signature);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ocsp_single__is_what_the_general_writer_writes),
        cmocka_unit_test(ocsp_single__says_every_status_reason_and_serial),
        cmocka_unit_test(ocsp_single__refuses_serials_that_no_ca_has),
        cmocka_unit_test(ocsp_single__refuses_signatures_of_another_signer),
        cmocka_unit_test(ocsp_single__is_read_and_verified_by_openssl),
    };
    return cmocka_run_group_tests(tests, set_up, NULL);
}
