/* SPDX-License-Identifier: Apache-2.0 */
/* Each allocation in turn fails: from the key store's opening over the request's reading to the
 * certificate's writing. Each time it is an error, nothing is left behind (LeakSanitizer), and the
 * next attempt is good. */
#include "base/check.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/text.h"
#include "sign/batch.h"
#include "sign/cert.h"
#include "sign/csr.h"
#include "sign/oids.h"
#include "tests/support/ossl.h"
#include "tests/support/support.h"

#include <openssl/pem.h>
#include <stdlib.h>
#include <string.h>

#define ARENA_CAP (4U << 20)
#define STEPS_MAX 2000

static char dir[256];
static char passphrase[300];
static char *request_pem;
static size_t request_pem_len;
static sm_buf request_der;

static int set_up(void **state)
{
    (void)state;
    if (sm_test_dir(dir, sizeof(dir)) == NULL || !sm_ok(sm_sign_init(NULL))) {
        return -1;
    }
    (void)snprintf(passphrase, sizeof(passphrase), "%s/passphrase", dir);
    X509_REQ *req = sm_test_plain_request(
        SM_KEY_P256, "a rather long common name, with \"characters\" to escape",
        "DNS:a.example,IP:192.0.2.1,email:a@b.example,URI:urn:a");
    BIO *bio = BIO_new(BIO_s_mem());
    char *text;
    (void)PEM_write_bio_X509_REQ(bio, req);
    request_pem_len = (size_t)BIO_get_mem_data(bio, &text);
    request_pem = malloc(request_pem_len);
    memcpy(request_pem, text, request_pem_len);
    BIO_free(bio);
    request_der = SM_TEST_DER(X509_REQ, req);
    X509_REQ_free(req);
    return sm_ok(sm_file_write_atomic(passphrase, SM_LIT("secret words\n"), 0600, NULL)) ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    free(request_pem);
    sm_buf_deinit(&request_der);
    sm_test_keys_free();
    sm_sign_thread_deinit();
    sm_test_remove_dir(dir);
    return 0;
}

/* Runs `attempt` with the 1st, 2nd, ... allocation failing, until none fails any more. */
static void sweep(sm_err (*attempt)(void))
{
    size_t n = 0;
    bool failed = true;
    assert_sm_ok(attempt()); /* what is made once for the thread is there */
    while (failed) {
        sm_mem_fail_at(++n);
        sm_err err = attempt();
        failed = sm_mem_has_failed() != 0;
        sm_mem_fail_at(0);
        if (failed && !sm_err_is(err, SM_E_NO_MEMORY)) {
            print_error("allocation %zu: %s\n", n, sm_err_name(err));
        }
        if (failed) {
            assert_sm_err(err, NO_MEMORY);
        } else {
            assert_sm_ok(err);
        }
        assert_true(n < STEPS_MAX);
    }
    assert_true(n > 1); /* something was allocated at all */
    assert_sm_ok(attempt());
}

/* ---- the key store ---- */

static sm_err open_store(sm_keystore **out)
{
    const struct sm_keystore_config config = {.dir = dir, .passphrase_file = passphrase};
    return sm_keystore_open(&config, out, NULL);
}

static sm_err attempt_open(void)
{
    sm_keystore *store = NULL;
    sm_err err = open_store(&store);
    assert_int_equal(store != NULL, sm_ok(err));
    sm_keystore_close(&store);
    return err;
}

static void no_memory__keystore_open(void **state)
{
    (void)state;
    sweep(attempt_open);
}

static sm_keystore *opened;

static sm_err attempt_load(void)
{
    sm_key *key = NULL;
    sm_err err = sm_keystore_load(opened, "file:swept", &key, NULL);
    assert_int_equal(key != NULL, sm_ok(err));
    sm_key_detach(&key);
    return err;
}

static void no_memory__key_load(void **state)
{
    (void)state;
    sm_key *key;
    assert_sm_ok(open_store(&opened));
    assert_sm_ok(sm_keystore_create(opened, "swept", "", SM_KEY_P256, &key, NULL));
    sm_key_detach(&key);
    sweep(attempt_load);
    sm_keystore_close(&opened);
}

/* ---- the request ---- */

static sm_err attempt_request(void)
{
    static struct sm_csr csr;
    sm_buf scratch = sm_buf_init(SM_CSR_MAX);
    sm_buf text = sm_buf_init(SM_CSR_MAX);
    sm_arena arena;
    sm_slice der;
    struct sm_san *sans;
    size_t count = 0;
    struct sm_name name;
    sm_arena_init(&arena, ARENA_CAP);
    sm_err err = sm_csr_from_pem_or_der(sm_slice_of(request_pem, request_pem_len), &scratch, &der,
                                        NULL);
    err = sm_ok(err) ? sm_csr_parse(der, &csr, NULL) : err;
    err = sm_ok(err) ? sm_name_to_text(csr.subject, &text) : err;
    err = sm_ok(err) ? sm_name_from_text(sm_buf_slice(&text), &arena, &name, NULL) : err;
    if (sm_ok(err)) {
        const struct sm_extension *ext = sm_csr_extension(&csr, SM_OID_SUBJECT_ALT_NAME);
        assert_non_null(ext);
        err = sm_sans_parse(ext->value, false, &arena, &sans, &count, NULL);
    }
    for (size_t i = 0; i < count && sm_ok(err); i++) {
        sm_buf san = sm_buf_init(1000);
        err = sm_san_to_text(&sans[i], &san);
        sm_buf_deinit(&san);
    }
    sm_arena_deinit(&arena);
    sm_buf_deinit(&text);
    sm_buf_deinit(&scratch);
    return err;
}

static void no_memory__request(void **state)
{
    (void)state;
    sweep(attempt_request);
}

static sm_buf cert_pem;

static sm_err attempt_certificate_pem(void)
{
    sm_buf scratch = sm_buf_init(SM_CERT_MAX);
    sm_slice der;
    sm_err err = sm_cert_from_pem_or_der(sm_buf_slice(&cert_pem), &scratch, &der, NULL);
    sm_buf_deinit(&scratch);
    return err;
}

static void no_memory__certificate_in_pem(void **state)
{
    (void)state;
    cert_pem = sm_buf_init(65536);
    sm_pem_encode(&cert_pem, "CERTIFICATE", sm_buf_slice(&request_der)); /* its label is asked */
    sweep(attempt_certificate_pem);
    sm_buf_deinit(&cert_pem);
}

/* The reader itself promises to allocate nothing. */
static void no_memory__reading_a_request_allocates_nothing(void **state)
{
    (void)state;
    static struct sm_csr csr;
    sm_mem_fail_at(1);
    sm_err err = sm_csr_parse(sm_buf_slice(&request_der), &csr, NULL);
    bool failed = sm_mem_has_failed() != 0;
    sm_mem_fail_at(0);
    assert_false(failed);
    assert_sm_ok(err);
}

/* ---- the certificate ---- */

static sm_key *issuer_key;

static sm_err write_extensions(sm_buf *usage, sm_buf *eku, sm_buf *aia)
{
    const sm_slice oids[] = {SM_LIT("\x2b\6\1\5\5\7\3\1"), SM_LIT("\x2b\6\1\5\5\7\3\2")};
    const sm_slice urls[] = {SM_LIT("http://ocsp.example/")};
    sm_ext_key_usage(usage, 5);
    SM_TRY(sm_buf_err(usage));
    SM_TRY(sm_ext_eku(eku, oids, SM_ARRAY_LEN(oids)));
    return sm_ext_aia(aia, urls, 1, NULL, 0);
}

static sm_err write_certificate(const struct sm_csr *csr, const struct sm_extension *extensions,
                                size_t count, sm_buf *tbs, sm_buf *cert)
{
    const struct sm_cert_template_config config = {
        .sig_alg = SM_SIG_ECDSA_SHA256,
        .issuer = csr->subject,
        .authority_key_id = SM_LIT("12345678901234567890"),
        .subject_key_id = true,
        .extensions = extensions,
        .extension_count = count};
    const struct sm_cert_params params = {.serial = SM_LIT("\1\2\3"),
                                          .not_before = 1800000000,
                                          .not_after = 1900000000,
                                          .subject = csr->subject,
                                          .key = &csr->key};
    sm_cert_template *t = NULL;
    sm_buf signature = sm_buf_init(1000);
    struct sm_cert parsed;
    sm_err err = sm_cert_template_new(&config, &t);
    assert_int_equal(t != NULL, sm_ok(err));
    err = sm_ok(err) ? sm_cert_write_tbs(t, &params, tbs) : err;
    err = sm_ok(err) ? sm_sign_now(issuer_key, SM_SIG_ECDSA_SHA256, sm_buf_slice(tbs), &signature)
                     : err;
    err = sm_ok(err) ? sm_signed_write(cert, sm_buf_slice(tbs), SM_SIG_ECDSA_SHA256,
                                       sm_buf_slice(&signature))
                     : err;
    err = sm_ok(err) ? sm_cert_parse(sm_buf_slice(cert), &parsed, NULL) : err;
    sm_buf_deinit(&signature);
    sm_cert_template_free(&t);
    return err;
}

static sm_err attempt_certificate(void)
{
    static struct sm_csr csr;
    sm_buf values[3] = {sm_buf_init(1000), sm_buf_init(1000), sm_buf_init(1000)};
    sm_buf tbs = sm_buf_init(SM_CERT_MAX);
    sm_buf cert = sm_buf_init(SM_CERT_MAX);
    sm_err err = sm_csr_parse(sm_buf_slice(&request_der), &csr, NULL);
    err = sm_ok(err) ? write_extensions(&values[0], &values[1], &values[2]) : err;
    const struct sm_extension extensions[] = {
        {SM_OID_KEY_USAGE, true, sm_buf_slice(&values[0])},
        {SM_OID_EKU, false, sm_buf_slice(&values[1])},
        {SM_OID_AIA, false, sm_buf_slice(&values[2])},
    };
    err = sm_ok(err) ? write_certificate(&csr, extensions, SM_ARRAY_LEN(extensions), &tbs, &cert)
                     : err;
    for (size_t i = 0; i < SM_ARRAY_LEN(values); i++) {
        sm_buf_deinit(&values[i]);
    }
    sm_buf_deinit(&tbs);
    sm_buf_deinit(&cert);
    return err;
}

static void no_memory__certificate(void **state)
{
    (void)state;
    assert_sm_ok(sm_key_generate(SM_KEY_P256, &issuer_key));
    sweep(attempt_certificate);
    sm_key_detach(&issuer_key);
}

/* Rooms from none to enough: the same promise for the caps that callers give. */
static void no_memory__every_cap_of_the_certificate(void **state)
{
    (void)state;
    static struct sm_csr csr;
    bool enough = false;
    assert_sm_ok(sm_key_generate(SM_KEY_P256, &issuer_key));
    assert_sm_ok(sm_csr_parse(sm_buf_slice(&request_der), &csr, NULL));
    for (size_t cap = 0; cap < 4096 && !enough; cap += 7) {
        sm_buf tbs = sm_buf_init(cap);
        sm_buf cert = sm_buf_init(cap);
        sm_err err = write_certificate(&csr, NULL, 0, &tbs, &cert);
        enough = sm_ok(err);
        assert_true(enough || sm_err_is(err, SM_E_TOO_LARGE));
        assert_true(tbs.len <= cap && cert.len <= cap);
        sm_buf_deinit(&tbs);
        sm_buf_deinit(&cert);
    }
    assert_true(enough);
    sm_key_detach(&issuer_key);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_memory__keystore_open),
        cmocka_unit_test(no_memory__key_load),
        cmocka_unit_test(no_memory__request),
        cmocka_unit_test(no_memory__reading_a_request_allocates_nothing),
        cmocka_unit_test(no_memory__certificate_in_pem),
        cmocka_unit_test(no_memory__certificate),
        cmocka_unit_test(no_memory__every_cap_of_the_certificate),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
