/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/support/ossl.h"

#include "base/check.h"

#include <openssl/rsa.h>
#include <string.h>

static EVP_PKEY *keys[SM_KEY_TYPE_COUNT];

uint32_t sm_test_below(struct sm_test_random *r, uint32_t n)
{
    r->state ^= r->state >> 12;
    r->state ^= r->state << 25;
    r->state ^= r->state >> 27;
    return (uint32_t)((r->state * UINT64_C(0x2545f4914f6cdd1d)) >> 33) % n;
}

void sm_test_octets(struct sm_test_random *r, uint8_t *out, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        out[i] = (uint8_t)sm_test_below(r, 256);
    }
}

EVP_PKEY *sm_test_pkey(enum sm_key_type type)
{
    static const char *const names[SM_KEY_TYPE_COUNT] = {
        [SM_KEY_P256] = "P-256",          [SM_KEY_P384] = "P-384",
        [SM_KEY_P521] = "P-521",          [SM_KEY_ED25519] = "ED25519",
        [SM_KEY_ED448] = "ED448",         [SM_KEY_ML_DSA_44] = "ML-DSA-44",
        [SM_KEY_ML_DSA_65] = "ML-DSA-65", [SM_KEY_ML_DSA_87] = "ML-DSA-87",
    };
    if (keys[type] == NULL) {
        switch (type) {
        case SM_KEY_P256:
        case SM_KEY_P384:
        case SM_KEY_P521:
            keys[type] = EVP_EC_gen(names[type]);
            break;
        case SM_KEY_RSA_2048:
        case SM_KEY_RSA_3072:
        case SM_KEY_RSA_4096:
            keys[type] = EVP_RSA_gen(2048 + 1024 * (unsigned)(type - SM_KEY_RSA_2048));
            break;
        default:
            keys[type] = EVP_PKEY_Q_keygen(NULL, NULL, names[type]);
            break;
        }
    }
    SM_CHECK(keys[type] != NULL);
    return keys[type];
}

void sm_test_keys_free(void)
{
    for (int i = 0; i < SM_KEY_TYPE_COUNT; i++) {
        EVP_PKEY_free(keys[i]);
        keys[i] = NULL;
    }
}

const EVP_MD *sm_test_md(enum sm_sig_alg alg)
{
    switch (sm_sig_alg_digest(alg)) {
    case SM_SHA256:
        return EVP_sha256();
    case SM_SHA384:
        return EVP_sha384();
    case SM_SHA512:
        return EVP_sha512();
    default:
        return NULL;
    }
}

sm_buf sm_test_take_der(unsigned char *der, int len)
{
    SM_CHECK(len > 0);
    sm_buf out = sm_buf_init((size_t)len);
    sm_buf_put(&out, sm_slice_of(der, (size_t)len));
    SM_CHECK(sm_ok(sm_buf_err(&out)));
    OPENSSL_free(der);
    return out;
}

/* Text in the characters of the string type. */
static int make_string(struct sm_test_random *r, int type, uint8_t *out, int max)
{
    static const char printable[] = "abcXYZ019 '()+,-./:=?";
    static const char *const utf8[] = {
        "a", "Z", "9", " ", "=", "\xc3\xa4", "\xe2\x82\xac", "\xf0\x9f\x98\x80", "\"", "#"};
    int len = 0;
    int count = 1 + (int)sm_test_below(r, (uint32_t)max);
    for (int i = 0; i < count; i++) {
        const char *c = utf8[sm_test_below(r, SM_ARRAY_LEN(utf8))];
        switch (type) {
        case V_ASN1_UTF8STRING:
            memcpy(out + len, c, strlen(c));
            len += (int)strlen(c);
            break;
        case V_ASN1_BMPSTRING:
            out[len++] = (uint8_t)sm_test_below(r, 0xd8);
            out[len++] = (uint8_t)(1 + sm_test_below(r, 255));
            break;
        case V_ASN1_T61STRING:
            out[len++] = (uint8_t)(1 + sm_test_below(r, 255));
            break;
        case V_ASN1_IA5STRING:
            out[len++] = (uint8_t)(1 + sm_test_below(r, 127));
            break;
        default:
            out[len++] = (uint8_t)printable[sm_test_below(r, sizeof(printable) - 1)];
            break;
        }
    }
    return len;
}

X509_NAME *sm_test_name(struct sm_test_random *r, unsigned max)
{
    static const char *const types[] = {
        "CN", "C", "O", "OU", "L", "ST", "serialNumber", "DC", "emailAddress", "1.2.3.4.5", "UID"};
    static const int strings[] = {V_ASN1_UTF8STRING, V_ASN1_PRINTABLESTRING, V_ASN1_IA5STRING,
                                  V_ASN1_T61STRING, V_ASN1_BMPSTRING};
    X509_NAME *name = X509_NAME_new();
    unsigned count = sm_test_below(r, max + 1);
    for (unsigned i = 0; i < count; i++) {
        uint8_t value[256];
        int string = strings[sm_test_below(r, SM_ARRAY_LEN(strings))];
        int len = make_string(r, string, value, 40);
        ASN1_OBJECT *type = OBJ_txt2obj(types[sm_test_below(r, SM_ARRAY_LEN(types))], 0);
        int set = i > 0 && sm_test_below(r, 4) == 0 ? -1 : 0; /* -1: into the RDN before */
        X509_NAME_ENTRY *entry = X509_NAME_ENTRY_create_by_OBJ(NULL, type, string, value, len);
        SM_CHECK(entry != NULL && X509_NAME_add_entry(name, entry, -1, set));
        X509_NAME_ENTRY_free(entry);
        ASN1_OBJECT_free(type);
    }
    return name;
}

static void make_label(struct sm_test_random *r, char *out, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        out[i] = (char)('a' + (int)sm_test_below(r, 26));
    }
    out[len] = '\0';
}

static GENERAL_NAME *text_name(int kind, const char *text)
{
    GENERAL_NAME *name = GENERAL_NAME_new();
    ASN1_IA5STRING *value = ASN1_IA5STRING_new();
    SM_CHECK(name != NULL && value != NULL && ASN1_STRING_set(value, text, -1));
    GENERAL_NAME_set0_value(name, kind, value);
    return name;
}

static GENERAL_NAME *other_name(struct sm_test_random *r)
{
    GENERAL_NAME *name = GENERAL_NAME_new();
    ASN1_TYPE *value = ASN1_TYPE_new();
    uint8_t text[64];
    int len = make_string(r, V_ASN1_UTF8STRING, text, 10);
    ASN1_UTF8STRING *string = ASN1_UTF8STRING_new();
    SM_CHECK(ASN1_STRING_set(string, text, len));
    ASN1_TYPE_set(value, V_ASN1_UTF8STRING, string);
    SM_CHECK(GENERAL_NAME_set0_othername(name, OBJ_txt2obj("1.3.6.1.4.1.311.20.2.3", 1), value));
    return name;
}

GENERAL_NAME *sm_test_general_name(struct sm_test_random *r)
{
    char label[32];
    char text[128];
    uint8_t octets[16];
    GENERAL_NAME *name;
    make_label(r, label, 1 + sm_test_below(r, 20));
    switch (sm_test_below(r, 7)) {
    case 0:
        (void)snprintf(text, sizeof(text), "%s@%s.example", label, label);
        return text_name(GEN_EMAIL, text);
    case 1:
        (void)snprintf(text, sizeof(text), "https://%s.example/%s?x=%%20", label, label);
        return text_name(GEN_URI, text);
    case 2:
        name = GENERAL_NAME_new();
        ASN1_OCTET_STRING *ip = ASN1_OCTET_STRING_new();
        sm_test_octets(r, octets, sizeof(octets));
        SM_CHECK(ASN1_OCTET_STRING_set(ip, octets, sm_test_below(r, 2) == 0 ? 4 : 16));
        GENERAL_NAME_set0_value(name, GEN_IPADD, ip);
        return name;
    case 3:
        name = GENERAL_NAME_new();
        X509_NAME *directory = sm_test_name(r, 3);
        SM_CHECK(X509_NAME_add_entry_by_txt(directory, "CN", MBSTRING_ASC, (const uint8_t *)label,
                                            -1, -1, 0));
        GENERAL_NAME_set0_value(name, GEN_DIRNAME, directory);
        return name;
    case 4:
        name = GENERAL_NAME_new();
        GENERAL_NAME_set0_value(name, GEN_RID, OBJ_txt2obj("1.2.840.113549.1.9.14", 1));
        return name;
    case 5:
        return other_name(r);
    default:
        (void)snprintf(text, sizeof(text), "%s%s.xn--mnchen-3ya.example",
                       sm_test_below(r, 4) == 0 ? "*." : "", label);
        return text_name(GEN_DNS, text);
    }
}

static void add_sans(struct sm_test_random *r, STACK_OF(X509_EXTENSION) * out)
{
    GENERAL_NAMES *names = GENERAL_NAMES_new();
    uint32_t count = 1 + sm_test_below(r, sm_test_below(r, 20) == 0 ? 200 : 5);
    for (uint32_t i = 0; i < count; i++) {
        SM_CHECK(sk_GENERAL_NAME_push(names, sm_test_general_name(r)) > 0);
    }
    X509_EXTENSION *ext = X509V3_EXT_i2d(NID_subject_alt_name, (int)sm_test_below(r, 2), names);
    SM_CHECK(ext != NULL && sk_X509_EXTENSION_push(out, ext) > 0);
    GENERAL_NAMES_free(names);
}

void sm_test_extensions(struct sm_test_random *r, STACK_OF(X509_EXTENSION) * out)
{
    static const struct {
        int nid;
        const char *value;
    } known[] = {
        {NID_key_usage, "critical,digitalSignature,keyEncipherment,decipherOnly"},
        {NID_ext_key_usage, "serverAuth,clientAuth"},
        {NID_basic_constraints, "critical,CA:TRUE,pathlen:3"},
        {NID_inhibit_any_policy, "2"},
        {NID_info_access, "OCSP;URI:http://ocsp.example/"},
        {NID_crl_distribution_points, "URI:http://crl.example/a.crl,URI:http://crl.example/b.crl"},
        {NID_name_constraints, "critical,permitted;DNS:example.com,excluded;IP:10.0.0.0/255.0.0.0"},
        {NID_tlsfeature, "status_request"},
    };
    if (sm_test_below(r, 4) != 0) {
        add_sans(r, out);
    }
    for (size_t i = 0; i < SM_ARRAY_LEN(known); i++) {
        if (sm_test_below(r, 3) == 0) {
            X509_EXTENSION *ext = X509V3_EXT_nconf_nid(NULL, NULL, known[i].nid, known[i].value);
            SM_CHECK(ext != NULL && sk_X509_EXTENSION_push(out, ext) > 0);
        }
    }
    if (sm_test_below(r, 3) == 0) {
        uint8_t octets[300];
        uint32_t len = sm_test_below(r, sizeof(octets));
        sm_test_octets(r, octets, len);
        ASN1_OCTET_STRING *value = ASN1_OCTET_STRING_new();
        ASN1_OBJECT *oid = OBJ_txt2obj("1.3.6.1.4.1.55555.1.2", 1);
        SM_CHECK(ASN1_OCTET_STRING_set(value, octets, (int)len));
        X509_EXTENSION *ext = X509_EXTENSION_create_by_OBJ(NULL, oid, (int)sm_test_below(r, 2),
                                                           value);
        SM_CHECK(ext != NULL && sk_X509_EXTENSION_push(out, ext) > 0);
        ASN1_OBJECT_free(oid);
        ASN1_OCTET_STRING_free(value);
    }
}

static void sign_request(X509_REQ *req, EVP_PKEY *key, enum sm_sig_alg alg)
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    EVP_PKEY_CTX *pctx;
    bool pss = alg >= SM_SIG_PSS_SHA256 && alg <= SM_SIG_PSS_SHA512;
    SM_CHECK(EVP_DigestSignInit(ctx, &pctx, sm_test_md(alg), NULL, key) == 1);
    if (pss) {
        SM_CHECK(EVP_PKEY_CTX_set_rsa_padding(pctx, RSA_PKCS1_PSS_PADDING) == 1 &&
                 EVP_PKEY_CTX_set_rsa_pss_saltlen(pctx, RSA_PSS_SALTLEN_DIGEST) == 1);
    }
    SM_CHECK(X509_REQ_sign_ctx(req, ctx) > 0);
    EVP_MD_CTX_free(ctx);
}

X509_REQ *sm_test_request(struct sm_test_random *r, enum sm_key_type type, enum sm_sig_alg alg)
{
    EVP_PKEY *key = sm_test_pkey(type);
    X509_REQ *req = X509_REQ_new();
    X509_NAME *name = sm_test_name(r, 8);
    STACK_OF(X509_EXTENSION) *exts = sk_X509_EXTENSION_new_null();
    SM_CHECK(X509_REQ_set_subject_name(req, name) && X509_REQ_set_pubkey(req, key));
    sm_test_extensions(r, exts);
    if (sk_X509_EXTENSION_num(exts) > 0) {
        int nid = sm_test_below(r, 5) == 0 ? NID_ms_ext_req : NID_ext_req;
        SM_CHECK(X509_REQ_add_extensions_nid(req, exts, nid));
    }
    if (sm_test_below(r, 3) == 0) {
        SM_CHECK(X509_REQ_add1_attr_by_txt(req, "challengePassword", MBSTRING_ASC,
                                           (const uint8_t *)"s3cret", -1));
    }
    if (sm_test_below(r, 3) == 0) {
        SM_CHECK(X509_REQ_add1_attr_by_txt(req, "1.2.3.4.5.6", V_ASN1_OCTET_STRING,
                                           (const uint8_t *)"\0\1", 2));
    }
    sign_request(req, key, alg);
    X509_NAME_free(name);
    sk_X509_EXTENSION_pop_free(exts, X509_EXTENSION_free);
    return req;
}

X509_REQ *sm_test_plain_request(enum sm_key_type type, const char *cn, const char *sans)
{
    EVP_PKEY *key = sm_test_pkey(type);
    X509_REQ *req = X509_REQ_new();
    X509_NAME *name = X509_NAME_new();
    SM_CHECK(X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8, (const uint8_t *)cn, -1, -1, 0));
    SM_CHECK(X509_REQ_set_subject_name(req, name) && X509_REQ_set_pubkey(req, key));
    if (sans != NULL) {
        STACK_OF(X509_EXTENSION) *exts = sk_X509_EXTENSION_new_null();
        X509_EXTENSION *ext = X509V3_EXT_nconf_nid(NULL, NULL, NID_subject_alt_name, sans);
        SM_CHECK(ext != NULL && sk_X509_EXTENSION_push(exts, ext) > 0);
        SM_CHECK(X509_REQ_add_extensions(req, exts));
        sk_X509_EXTENSION_pop_free(exts, X509_EXTENSION_free);
    }
    sign_request(req, key, sm_sig_alg_for(type, SM_DIGEST_NONE, false));
    X509_NAME_free(name);
    return req;
}
