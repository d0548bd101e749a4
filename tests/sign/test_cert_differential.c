/* SPDX-License-Identifier: Apache-2.0 */
/* Thousands of certificates from random requests, templates and terms: octet for octet what
 * OpenSSL's encoder makes of the same content. */
#include "tests/support/ossl.h"
#include "tests/support/support.h"

#include "base/check.h"
#include "sign/cert.h"
#include "sign/oids.h"

#include <openssl/rsa.h>

#define CERTS 3000
#define SPARE_MAX 6               /* further extensions of the template, and of the certificate */
#define VALUE_MAX 400             /* octets: lengths of one, two and three octets */
#define SLOT "/crl/x.1.p0000.crl" /* as a template's slot is */
#define YEAR_1950 (-631152000LL)
#define YEAR_9999 253402300799LL

static sm_arena arena;

/* What a certificate is made of, for both. */
struct terms {
    enum sm_key_type issuer_type;
    enum sm_sig_alg alg;
    sm_buf issuer;
    sm_buf request;
    struct sm_csr csr;
    uint8_t octets[SM_SERIAL_LEN];
    uint8_t key_id[SM_SERIAL_LEN];
    struct sm_cert_template_config config;
    struct sm_cert_params params;
    struct sm_extension fixed[SPARE_MAX];
    struct sm_extension filled[SPARE_MAX]; /* `fixed` with the slot's own text replaced */
    size_t slots;
    struct sm_extension own[SPARE_MAX];
};

/* Extensions with OIDs of their own under 1.3.6.1.4.1.55555.<family>. */
static size_t random_extensions(struct sm_test_random *r, uint8_t family,
                                struct sm_extension out[SPARE_MAX])
{
    size_t count = sm_test_below(r, SPARE_MAX + 1);
    for (size_t i = 0; i < count; i++) {
        uint8_t oid[] = {0x2b, 0x06, 0x01, 0x04, 0x01, 0x83, 0xb2, 0x03, family, (uint8_t)i};
        uint8_t value[VALUE_MAX];
        size_t len = sm_test_below(r, 3) == 0 ? sm_test_below(r, VALUE_MAX)
                                              : 100 + sm_test_below(r, 60);
        sm_test_octets(r, value, len);
        out[i] = (struct sm_extension){.critical = sm_test_below(r, 2) == 0};
        assert_sm_ok(sm_arena_copy(&arena, sm_slice_of(oid, sizeof(oid)), &out[i].oid));
        assert_sm_ok(sm_arena_copy(&arena, sm_slice_of(value, len), &out[i].value));
    }
    return count;
}

static int64_t random_time(struct sm_test_random *r)
{
    static const int64_t edges[] = {YEAR_1950,     -1,         0,
                                    2524607999,    2524608000, /* 2049-12-31T23:59:59Z and after */
                                    951782400,     4107542400, /* leap day of 2000, 2100-03-01 */
                                    YEAR_9999 - 1, YEAR_9999};
    if (sm_test_below(r, 4) == 0) {
        return edges[sm_test_below(r, SM_ARRAY_LEN(edges))];
    }
    uint64_t wide = (uint64_t)sm_test_below(r, 1U << 31) << 20 | sm_test_below(r, 1U << 20);
    bool soon = sm_test_below(r, 2) == 0;
    uint64_t span = (uint64_t)(YEAR_9999 - YEAR_1950);
    return soon ? 1700000000 + (int64_t)(wide % 2000000000) : YEAR_1950 + (int64_t)(wide % span);
}

static void random_issuer(struct sm_test_random *r, struct terms *t)
{
    uint32_t dice = sm_test_below(r, 100);
    t->issuer_type = dice < 60   ? SM_KEY_P256
                     : dice < 80 ? SM_KEY_ED25519
                     : dice < 92 ? SM_KEY_RSA_2048
                                 : (enum sm_key_type)(1 + sm_test_below(r, SM_KEY_TYPE_COUNT - 1));
    do {
        t->alg = (enum sm_sig_alg)(1 + sm_test_below(r, SM_SIG_ALG_COUNT - 1));
    } while (!sm_sig_alg_fits(t->alg, t->issuer_type));
    X509_NAME *name;
    do { /* an issuer has a name (RFC 5280 4.1.2.4) */
        name = sm_test_name(r, 4);
        t->issuer = SM_TEST_DER(X509_NAME, name);
        X509_NAME_free(name);
        if (t->issuer.len == 2) {
            sm_buf_deinit(&t->issuer);
        }
    } while (t->issuer.len == 0);
}

static void random_request(struct sm_test_random *r, struct terms *t)
{
    enum sm_key_type type = SM_KEY_P256;
    if (sm_test_below(r, 3) == 0) {
        type = (enum sm_key_type)(1 + sm_test_below(r, SM_KEY_RSA_3072 - 1));
    } else if (sm_test_below(r, 60) == 0) {
        type = (enum sm_key_type)(SM_KEY_ED25519 + sm_test_below(r, 5));
    }
    X509_REQ *req = sm_test_request(r, type, sm_sig_alg_for(type, SM_DIGEST_NONE, false));
    t->request = SM_TEST_DER(X509_REQ, req);
    X509_REQ_free(req);
    assert_sm_ok(sm_csr_parse(sm_buf_slice(&t->request), &t->csr, NULL));
}

static void random_params(struct sm_test_random *r, struct terms *t)
{
    struct sm_cert_params *p = &t->params;
    size_t len = 1 + sm_test_below(r, SM_SERIAL_LEN);
    do {
        sm_test_octets(r, t->octets, len);
        t->octets[0] &= len == SM_SERIAL_LEN ? 0x7f : 0xff;
        p->serial = sm_slice_of(t->octets, len);
    } while (sm_slice_find(p->serial, 0) == 0);
    p->not_before = random_time(r);
    do {
        p->not_after = random_time(r);
    } while (p->not_after < p->not_before);
    p->subject = t->csr.subject;
    p->key = &t->csr.key;
    const struct sm_extension *sans = sm_csr_extension(&t->csr, SM_OID_SUBJECT_ALT_NAME);
    if (sans != NULL) {
        struct sm_san *names;
        assert_sm_ok(sm_sans_parse(sans->value, true, &arena, &names, &p->san_count, NULL));
        p->sans = names;
        p->sans_critical = sans->critical;
    }
    p->extensions = t->own;
    p->extension_count = random_extensions(r, 2, t->own);
}

/* The slot's text in some of the template's extensions, anywhere in them; what goes there, or nothing. */
static void random_slots(struct sm_test_random *r, struct terms *t)
{
    const size_t len = strlen(SLOT);
    uint8_t text[sizeof(SLOT)];
    sm_test_octets(r, text, len);
    bool filled = sm_test_below(r, 3) > 0;
    assert_sm_ok(sm_arena_copy(&arena, sm_slice_of(text, len), &t->params.slot));
    t->params.slot = filled ? t->params.slot : SM_SLICE_NONE;
    t->config.slot = sm_test_below(r, 4) > 0 ? SM_LIT(SLOT) : SM_SLICE_NONE;
    for (size_t i = 0; i < t->config.extension_count; i++) {
        sm_slice value = t->fixed[i].value;
        bool has = t->config.slot.len > 0 && t->slots < SM_CERT_SLOTS_MAX && value.len > len &&
                   sm_test_below(r, 2) == 0;
        uint8_t *before = sm_arena_alloc(&arena, value.len + 1);
        uint8_t *after = sm_arena_alloc(&arena, value.len + 1);
        size_t at = has ? sm_test_below(r, (uint32_t)(value.len - len)) : 0;
        memcpy(before, value.ptr, value.len);
        memcpy(after, value.ptr, value.len);
        memcpy(before + at, has ? SLOT : (const char *)value.ptr, has ? len : 0);
        memcpy(after + at, has && filled ? (const char *)text : (const char *)before + at,
               has ? len : 0);
        t->filled[i] = t->fixed[i];
        t->fixed[i].value = sm_slice_of(before, value.len);
        t->filled[i].value = sm_slice_of(after, value.len);
        t->slots += has ? 1 : 0;
    }
}

static void random_terms(struct sm_test_random *r, struct terms *t)
{
    memset(t, 0, sizeof(*t));
    random_issuer(r, t);
    random_request(r, t);
    random_params(r, t);
    sm_test_octets(r, t->key_id, sizeof(t->key_id));
    size_t id_len = sm_test_below(r, 3) == 0 ? sm_test_below(r, SM_SERIAL_LEN + 1) : SM_SERIAL_LEN;
    t->config = (struct sm_cert_template_config){
        .sig_alg = t->alg,
        .issuer = sm_buf_slice(&t->issuer),
        .authority_key_id = sm_slice_of(t->key_id, id_len),
        .subject_key_id = sm_test_below(r, 5) != 0,
        .extensions = t->fixed,
        .extension_count = random_extensions(r, 1, t->fixed),
    };
    random_slots(r, t);
}

static void drop_terms(struct terms *t)
{
    sm_buf_deinit(&t->issuer);
    sm_buf_deinit(&t->request);
    sm_arena_reset(&arena);
}

/* ---- the same by OpenSSL ---- */

static X509_NAME *name_of(sm_slice der)
{
    const unsigned char *at = der.ptr;
    X509_NAME *name = d2i_X509_NAME(NULL, &at, (long)der.len);
    assert_non_null(name);
    return name;
}

static void add_given(X509 *cert, X509_EXTENSION *ext)
{
    assert_non_null(ext);
    assert_int_equal(X509_add_ext(cert, ext, -1), 1);
    X509_EXTENSION_free(ext);
}

static void add_extensions(X509 *cert, const struct sm_extension *list, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        sm_buf der = sm_buf_init(100);
        sm_buf_put(&der, SM_LIT("\x06\x0a"));
        sm_buf_put(&der, list[i].oid);
        const unsigned char *at = der.ptr;
        ASN1_OBJECT *oid = d2i_ASN1_OBJECT(NULL, &at, (long)der.len);
        ASN1_OCTET_STRING *value = ASN1_OCTET_STRING_new();
        assert_true(ASN1_OCTET_STRING_set(value, list[i].value.ptr, (int)list[i].value.len));
        add_given(cert, X509_EXTENSION_create_by_OBJ(NULL, oid, list[i].critical, value));
        ASN1_OCTET_STRING_free(value);
        ASN1_OBJECT_free(oid);
        sm_buf_deinit(&der);
    }
}

static void add_key_ids(X509 *cert, const struct terms *t)
{
    if (t->config.subject_key_id) {
        unsigned char digest[EVP_MAX_MD_SIZE];
        unsigned len;
        ASN1_OCTET_STRING *id = ASN1_OCTET_STRING_new();
        assert_true(X509_pubkey_digest(cert, EVP_sha1(), digest, &len));
        assert_true(ASN1_OCTET_STRING_set(id, digest, (int)len));
        add_given(cert, X509V3_EXT_i2d(NID_subject_key_identifier, 0, id));
        ASN1_OCTET_STRING_free(id);
    }
}

static void add_authority_key_id(X509 *cert, sm_slice octets)
{
    if (octets.len == 0) {
        return;
    }
    AUTHORITY_KEYID *id = AUTHORITY_KEYID_new();
    id->keyid = ASN1_OCTET_STRING_new();
    assert_true(ASN1_OCTET_STRING_set(id->keyid, octets.ptr, (int)octets.len));
    add_given(cert, X509V3_EXT_i2d(NID_authority_key_identifier, 0, id));
    AUTHORITY_KEYID_free(id);
}

/* The names as OpenSSL reads them in the request. */
static void add_sans(X509 *cert, const struct terms *t)
{
    if (t->params.san_count == 0) {
        return;
    }
    const unsigned char *at = sm_csr_extension(&t->csr, SM_OID_SUBJECT_ALT_NAME)->value.ptr;
    long len = (long)sm_csr_extension(&t->csr, SM_OID_SUBJECT_ALT_NAME)->value.len;
    GENERAL_NAMES *names = d2i_GENERAL_NAMES(NULL, &at, len);
    bool empty = X509_NAME_entry_count(X509_get_subject_name(cert)) == 0;
    add_given(cert, X509V3_EXT_i2d(NID_subject_alt_name, t->params.sans_critical || empty, names));
    GENERAL_NAMES_free(names);
}

static void sign_cert(X509 *cert, const struct terms *t)
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    EVP_PKEY_CTX *pctx;
    EVP_PKEY *key = sm_test_pkey(t->issuer_type);
    assert_int_equal(EVP_DigestSignInit(ctx, &pctx, sm_test_md(t->alg), NULL, key), 1);
    if (t->alg >= SM_SIG_PSS_SHA256 && t->alg <= SM_SIG_PSS_SHA512) {
        assert_int_equal(EVP_PKEY_CTX_set_rsa_padding(pctx, RSA_PKCS1_PSS_PADDING), 1);
        assert_int_equal(EVP_PKEY_CTX_set_rsa_pss_saltlen(pctx, RSA_PSS_SALTLEN_DIGEST), 1);
    }
    assert_true(X509_sign_ctx(cert, ctx) > 0);
    EVP_MD_CTX_free(ctx);
}

static X509 *openssl_cert(const struct terms *t)
{
    const struct sm_cert_params *p = &t->params;
    X509 *cert = X509_new();
    X509_NAME *issuer = name_of(t->config.issuer);
    X509_NAME *subject = name_of(p->subject);
    BIGNUM *serial = BN_bin2bn(p->serial.ptr, (int)p->serial.len, NULL);
    const unsigned char *at = p->key->spki.ptr;
    EVP_PKEY *key = d2i_PUBKEY(NULL, &at, (long)p->key->spki.len);
    assert_true(X509_set_version(cert, X509_VERSION_3) && X509_set_issuer_name(cert, issuer) &&
                X509_set_subject_name(cert, subject) && X509_set_pubkey(cert, key));
    assert_non_null(BN_to_ASN1_INTEGER(serial, X509_get_serialNumber(cert)));
    assert_non_null(ASN1_TIME_set(X509_getm_notBefore(cert), p->not_before));
    assert_non_null(ASN1_TIME_set(X509_getm_notAfter(cert), p->not_after));
    add_key_ids(cert, t);
    add_sans(cert, t);
    add_authority_key_id(cert, t->config.authority_key_id);
    add_extensions(cert, t->filled, t->config.extension_count);
    add_extensions(cert, p->extensions, p->extension_count);
    sign_cert(cert, t);
    EVP_PKEY_free(key);
    BN_free(serial);
    X509_NAME_free(subject);
    X509_NAME_free(issuer);
    return cert;
}

/* ---- the comparison ---- */

static void show(const char *what, sm_slice octets)
{
    (void)fprintf(stderr, "%s ", what);
    for (size_t i = 0; i < octets.len; i++) {
        (void)fprintf(stderr, "%02x", octets.ptr[i]);
    }
    (void)fprintf(stderr, "\n");
}

static void assert_same(sm_slice ours, sm_slice theirs)
{
    if (!sm_slice_equal(ours, theirs)) {
        show("ours  ", ours);
        show("theirs", theirs);
    }
    assert_true(sm_slice_equal(ours, theirs));
}

/* What our own parser reads in it, too. */
static void assert_reads_back(sm_slice der, const struct terms *t, sm_slice tbs)
{
    struct sm_cert cert;
    const struct sm_cert_params *p = &t->params;
    sm_diag diag = {.reason = ""};
    assert_sm_ok(sm_cert_parse(der, &cert, &diag));
    assert_true(sm_slice_equal(cert.tbs, tbs));
    assert_true(sm_slice_equal(cert.serial, p->serial));
    assert_int_equal(cert.sig_alg, t->alg);
    assert_true(sm_slice_equal(cert.issuer, t->config.issuer));
    assert_true(sm_slice_equal(cert.subject, p->subject));
    assert_true(sm_slice_equal(cert.spki, p->key->spki));
    assert_int_equal(cert.not_before, p->not_before);
    assert_int_equal(cert.not_after, p->not_after);
    assert_true(sm_slice_equal(cert.authority_key_id, t->config.authority_key_id));
    assert_int_equal(cert.subject_key_id.len, t->config.subject_key_id ? 20 : 0);
    size_t count = t->config.extension_count + p->extension_count;
    count += t->config.subject_key_id ? 1 : 0;
    count += p->san_count > 0 ? 1 : 0;
    count += t->config.authority_key_id.len > 0 ? 1 : 0;
    assert_int_equal(cert.extension_count, count);
}

static void compare_one(const struct terms *t)
{
    sm_cert_template *template;
    sm_buf tbs = sm_buf_init(SM_CERT_MAX);
    sm_buf whole = sm_buf_init(SM_CERT_MAX);
    unsigned char *raw = NULL;
    X509 *theirs = openssl_cert(t);
    sm_buf want = SM_TEST_DER(X509, theirs);
    int raw_len = i2d_re_X509_tbs(theirs, &raw);
    sm_buf want_tbs = sm_test_take_der(raw, raw_len);
    const ASN1_BIT_STRING *signature;
    X509_get0_signature(&signature, NULL, theirs);

    assert_sm_ok(sm_cert_template_new(&t->config, &template));
    assert_same(sm_cert_template_slot(template), t->slots == 0 ? SM_SLICE_NONE : t->config.slot);
    assert_int_equal(sm_cert_template_sig_alg(template), t->alg);
    assert_sm_ok(sm_cert_write_tbs(template, &t->params, &tbs));
    assert_same(sm_buf_slice(&tbs), sm_buf_slice(&want_tbs));
    assert_sm_ok(sm_signed_write(
        &whole, sm_buf_slice(&tbs), t->alg,
        sm_slice_of(ASN1_STRING_get0_data(signature), (size_t)ASN1_STRING_length(signature))));
    assert_same(sm_buf_slice(&whole), sm_buf_slice(&want));
    assert_reads_back(sm_buf_slice(&whole), t, sm_buf_slice(&tbs));

    sm_cert_template_free(&template);
    sm_buf_deinit(&want_tbs);
    sm_buf_deinit(&want);
    sm_buf_deinit(&whole);
    sm_buf_deinit(&tbs);
    X509_free(theirs);
}

static void random__certificates_are_openssls_octet_for_octet(void **state)
{
    (void)state;
    static struct terms t;
    struct sm_test_random r = {41};
    int bare = 0;
    int empty = 0;
    int slots = 0;
    for (int i = 0; i < CERTS; i++) {
        random_terms(&r, &t);
        bare += t.params.san_count == 0;
        empty += t.csr.name.count == 0;
        slots += t.slots > 1;
        compare_one(&t);
        drop_terms(&t);
    }
    assert_true(bare > 100 && empty > 100 && slots > 100);
}

static void random__certificates_of_every_issuer_and_subject_key(void **state)
{
    (void)state;
    static struct terms t;
    struct sm_test_random r = {42};
    for (enum sm_key_type type = SM_KEY_P256; type < SM_KEY_TYPE_COUNT; type++) {
        for (enum sm_sig_alg alg = SM_SIG_ECDSA_SHA256; alg < SM_SIG_ALG_COUNT; alg++) {
            if (!sm_sig_alg_fits(alg, type)) {
                continue;
            }
            random_terms(&r, &t);
            sm_buf_deinit(&t.request);
            X509_REQ *req = sm_test_request(&r, type, alg);
            t.request = SM_TEST_DER(X509_REQ, req);
            X509_REQ_free(req);
            assert_sm_ok(sm_csr_parse(sm_buf_slice(&t.request), &t.csr, NULL));
            t.params.subject = t.csr.subject;
            t.params.san_count = 0;
            t.issuer_type = type;
            t.alg = alg;
            t.config.sig_alg = alg;
            compare_one(&t);
            drop_terms(&t);
        }
    }
}

static int set_up(void **state)
{
    (void)state;
    sm_arena_init(&arena, 1 << 22);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    sm_arena_deinit(&arena);
    sm_test_keys_free();
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random__certificates_are_openssls_octet_for_octet),
        cmocka_unit_test(random__certificates_of_every_issuer_and_subject_key),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
